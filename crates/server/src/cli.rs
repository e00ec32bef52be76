//! The command line: what can be asked for, in words.

use std::path::PathBuf;

use advisory::Severity;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::ServeOptions;

/// A private container registry that inspects every image at the gate.
#[derive(Debug, Parser)]
#[command(name = "lazaret", version = VERSION, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the registry and its scanner. Needs no configuration.
    Serve(Box<ServeOptions>),
    /// Look at the images in the registry, without HTTP.
    #[command(subcommand)]
    Image(crate::image_command::ImageCommand),
    /// Judge an image: one in the registry by its reference, or an OCI layout, or a tar.
    Scan(ScanArgs),
    /// Copy images into a registry: from a folder, an archive or another registry. The server may run.
    Import(ImportArgs),
    /// Fill repositories from other registries when somebody pulls: a pull-through cache.
    #[command(subcommand)]
    Cache(crate::cache_command::CacheCommand),
    /// Import and update advisory data.
    #[command(subcommand)]
    Feeds(FeedsCommand),
    /// Ask the resources and results with KQL, as Azure Resource Graph would be asked.
    Query(crate::query_command::QueryArgs),
    /// Show what each subscription is charged for: images judged, each digest once a month.
    Usage(UsageArgs),
    /// Copy everything to another folder, from which a server can be started, while this one serves.
    Backup(BackupArgs),
    /// List unfinished uploads, and end them: their space is given back at once.
    #[command(subcommand)]
    Upload(crate::upload_command::UploadCommand),
    /// Read everything that is stored, and say what is lost or damaged. Fails if something is.
    Fsck(FsckArgs),
    /// Say what images must be to be pulled, and what is let through all the same.
    #[command(subcommand)]
    Gate(crate::gate_command::GateCommand),
    /// Protect repositories, manifests and tags from deletion, overwriting, listing or pulling.
    #[command(subcommand)]
    Lock(LockCommand),
    /// Show what was deleted, and restore it, where `registry set NAME --soft-delete true` keeps it.
    #[command(subcommand)]
    Deleted(crate::deleted_command::DeletedCommand),
    /// Say what is removed by itself: old tags, images that nobody pulls, manifests without a tag.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Remove now what the retention rules say, and then blobs that no manifest needs; with --dry-run, only show
    /// what the rules remove and why.
    Purge(PurgeArgs),
    /// Make, list and remove those who may log in: people, services, CI jobs.
    #[command(subcommand)]
    Principal(crate::principal_command::PrincipalCommand),
    /// Give and take roles.
    #[command(subcommand)]
    Role(crate::principal_command::RoleCommand),
    /// Make, list, rename, disable and enable subscriptions, which hold resource groups.
    #[command(subcommand)]
    Subscription(crate::subscription_command::SubscriptionCommand),
    /// Make, list and delete resource groups, which hold registries.
    #[command(subcommand)]
    Group(crate::subscription_command::GroupCommand),
    /// Make, list, delete and restore registries.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Tell others what happens in a registry: pushes, deletes, verdicts that change.
    #[command(subcommand)]
    Webhook(crate::webhook_command::WebhookCommand),
    /// Show who changed what, and who was refused what.
    Audit(crate::audit_command::AuditArgs),
    /// Make, list and remove names that log in at one registry alone.
    #[command(subcommand)]
    Token(crate::token_command::TokenCommand),
    /// Say what such names may do in which repositories.
    #[command(subcommand)]
    ScopeMap(crate::token_command::ScopeMapCommand),
    /// See and switch whether the registries of a subscription are scanned.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Disable findings by rules, with a reason and an end, and enable them again.
    #[command(subcommand)]
    Rule(crate::rule_command::RuleCommand),
    /// Let Kubernetes clusters ask which images they may run, and see what they do run.
    #[command(subcommand)]
    Cluster(crate::cluster_command::ClusterCommand),
    /// Print a script by which a shell completes commands: bash, zsh, fish, elvish or powershell.
    Completion(crate::shell_command::CompletionArgs),
    /// Write manual pages.
    Man(crate::shell_command::ManArgs),
}

/// The version, and what it was built from (`build.rs`).
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("LAZARET_BUILT"), ")");

/// Where the data is; every command takes it.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// The data folder.
    #[arg(long = "data", env = "LAZARET_DATA", value_name = "DIR", default_value = crate::settings::DATA)]
    pub(crate) path: PathBuf,
}

/// A registry of a data folder.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The registry's name [default: the default registry].
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// One registry of a data folder, or all.
#[derive(Clone, Debug, Args)]
pub(crate) struct AnyPlaceArgs {
    /// The registry's name [default: all registries].
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST` of the registry, an OCI layout folder, or an
    /// oci-archive or docker-archive tar.
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) place: AnyPlaceArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Exit with 3 if a finding is at least this severe, and with 4 if the image could not be
    /// judged. `unknown` takes every finding.
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<Severity>,
    /// Days after which advisory data that no source has confirmed is too old [default: as the server was told].
    #[arg(long, env = "LAZARET_STALE_AFTER_DAYS", value_name = "DAYS")]
    pub(crate) stale_after_days: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// An OCI layout folder, an oci-archive or docker-archive tar, a folder of Docker's registry; or
    /// `docker://HOST/REPOSITORY:TAG` (or `@DIGEST`), with `http://` for a registry without TLS.
    pub(crate) source: String,
    /// What to call it here: `REPOSITORY` or `REPOSITORY:TAG` [default: as it is called there].
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// Every tag of the repository elsewhere.
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Of the repositories in a folder, this one.
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) only: Option<oci::Repository>,
    /// Leave out what refers to the images: signatures, SBOMs.
    #[arg(long)]
    pub(crate) no_referrers: bool,
    /// The registry to import into [default: the default one].
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// Who we are at a registry elsewhere.
#[derive(Clone, Args)]
pub(crate) struct CredentialArgs {
    /// The name to log in by there.
    #[arg(long, env = "LAZARET_UPSTREAM_USERNAME", value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// The password there; better in the environment or a file than here, where other users see it.
    #[arg(long, env = "LAZARET_UPSTREAM_PASSWORD", value_name = "TEXT", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// A file with the password; `-` reads it from the standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A host of a token service that may see the password, besides the registry itself; may be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) token_realm: Vec<String>,
}

impl std::fmt::Debug for CredentialArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialArgs").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedsCommand {
    /// Take in advisory data from files or folders: Debian tracker JSON, Alpine secdb JSON, plain
    /// or compressed with gzip or zstd.
    Import {
        /// The files, and folders that are searched with those beneath them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        limits: ShrinkArgs,
    },
    /// Fetch what is new from the feeds' sites or from a mirror.
    Update {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        sources: SourceArgs,
        #[command(flatten)]
        limits: ShrinkArgs,
    },
    /// List the feeds and how fresh they are.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// The month, UTC [default: this one].
    #[arg(long, value_name = "YYYY-MM")]
    pub(crate) month: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) rates: crate::settings::RateArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: UsageFormat,
}

/// How usage is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageFormat {
    /// For people: counts.
    #[default]
    Table,
    /// For programs: every image.
    Json,
    /// For spreadsheets: every image.
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder to copy to; empty, or not there yet.
    #[arg(value_name = "DIR")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// Forget blobs that are lost or damaged, so that the next push brings them again. The server
    /// must be stopped.
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// Where a role holds, and beneath.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScopeArgs {
    /// An ARM id, or `/` for everything [default: the registry].
    #[arg(long, value_name = "ID", conflicts_with_all = ["repository", "registry"])]
    pub(crate) scope: Option<String>,
    /// The registry's name [default: the default registry].
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,
    /// A repository of the registry, or the first components of its name: `team` holds for `team/app`, too.
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<oci::Repository>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Make one, served at `NAME.DOMAIN`.
    Create {
        /// 5 to 50 letters and digits.
        name: String,
        /// Its resource group; made if it is not there.
        #[arg(long, value_name = "GROUP", default_value = "default")]
        resource_group: String,
        /// Which subscription (id or name), if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Say who gets in besides those who hold roles, and what goes by itself.
    Set {
        /// Its name.
        name: String,
        /// Whether its admin user may log in; `registry credentials` shows the passwords.
        #[arg(long, value_name = "BOOL")]
        admin_user: Option<bool>,
        /// Whether everybody may pull from it.
        #[arg(long, value_name = "BOOL")]
        anonymous_pull: Option<bool>,
        /// Whether what is deleted can be restored; `lazaret deleted` does it.
        #[arg(long, value_name = "BOOL")]
        soft_delete: Option<bool>,
        /// For how many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=90))]
        soft_delete_days: Option<u32>,
        /// How many bytes it may hold, or `none` for any number: each blob once, and each manifest. What is over is
        /// refused, what is there stays.
        #[arg(long, value_name = "SIZE", value_parser = quota)]
        quota_bytes: Option<Quota>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Show the admin user's passwords.
    Credentials {
        /// The registry's name, which is the admin user's too.
        name: String,
        /// Give it another one first.
        #[arg(long, value_name = "PASSWORD", value_parser = ["password", "password2"])]
        renew: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List every registry, and the deleted ones that can be restored.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete one with all its images. It can be restored for 7 days.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Bring a deleted one back with all its images.
    Restore {
        /// Its name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove a deleted one for good, now, with the roles held there; its name is free then.
    Purge {
        /// Its name.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Show every subscription's plans.
    Show {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Turn scanning on: what is stored is scanned, and whatever is pushed from now on.
    On {
        /// Which subscription (id or name), if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Turn scanning off: results are kept and no longer kept up.
    Off {
        /// Which subscription (id or name), if there are several.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// When a feed is too small to be true.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// Refuse a feed that has lost more than this share of its records since last time [default: as the server
    /// was told].
    #[arg(long, env = "LAZARET_SHRINK_MAX_PERCENT", value_name = "PERCENT",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) shrink_max_percent: Option<u8>,
}

/// Where advisory data is fetched from.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceArgs {
    /// Debian's security tracker, as one JSON document; empty to leave it out [default: as the server was told].
    #[arg(long, env = "LAZARET_DEBIAN_URL", value_name = "URL")]
    pub(crate) debian_url: Option<String>,
    /// The folder that holds Alpine's secdb, `vN.NN/main.json` and so on beneath it; empty to leave it out
    /// [default: as the server was told].
    #[arg(long, env = "LAZARET_ALPINE_URL", value_name = "URL")]
    pub(crate) alpine_url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Show what is allowed.
    Show {
        /// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
        target: crate::target::Target,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Forbid something, or allow it again. A running server follows within a second.
    Set {
        /// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
        target: crate::target::Target,
        #[command(flatten)]
        attributes: AttributeArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Keep tags from being moved, by patterns: they can be made and deleted, and never pushed over.
    #[command(subcommand)]
    Immutable(ImmutableCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImmutableCommand {
    /// Make or replace a rule. It holds at once.
    Set {
        /// The rule's name.
        name: String,
        /// The repositories it is for; `*` stands for any characters.
        #[arg(long, value_name = "PATTERN", default_value = "*", value_parser = crate::target::repository_pattern)]
        repositories: String,
        /// The tags it is for; `*` stands for any characters.
        #[arg(long, value_name = "PATTERN", default_value = "*")]
        tags: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List the rules.
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove a rule.
    Remove {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// The attributes by their Azure names; what is not named stays.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct AttributeArgs {
    /// Whether it can be deleted.
    #[arg(long, value_name = "BOOL")]
    pub(crate) delete_enabled: Option<bool>,
    /// Whether it can be pushed to, moved or deleted.
    #[arg(long, value_name = "BOOL")]
    pub(crate) write_enabled: Option<bool>,
    /// Whether lists show it.
    #[arg(long, value_name = "BOOL")]
    pub(crate) list_enabled: Option<bool>,
    /// Whether it can be pulled.
    #[arg(long, value_name = "BOOL")]
    pub(crate) read_enabled: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// List the rules.
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Make or replace a rule. A tag goes if every condition on tags that is given holds.
    Set {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        rule: RetentionSetArgs,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove a rule.
    Remove {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RetentionSetArgs {
    /// The repositories it is for; `*` stands for any characters.
    #[arg(long, value_name = "PATTERN", default_value = "*", value_parser = crate::target::repository_pattern)]
    pub(crate) repositories: String,
    /// The tags it is for; `*` stands for any characters.
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pub(crate) tags: String,
    /// Keep the newest of these tags in each repository, one at least.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_newest: Option<u32>,
    /// Tags go that were last moved this long ago.
    #[arg(long, value_name = "DAYS")]
    pub(crate) older_than_days: Option<u32>,
    /// Tags go whose image was neither pushed nor pulled for this long.
    #[arg(long, value_name = "DAYS")]
    pub(crate) not_pulled_days: Option<u32>,
    /// Manifests go that have been without a tag this long.
    #[arg(long, value_name = "DAYS")]
    pub(crate) untagged_days: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) place: AnyPlaceArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// A number of bytes, or any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota(pub(crate) Option<u64>);

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "none" => Ok(Quota(None)),
        size => match size.parse::<crate::size::Size>() {
            Ok(size) => Ok(Quota(Some(size.0))),
            Err(error) => Err(format!("{error}; or none")),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::Cli;

    /// A name alone is a riddle to who sees it for the first time.
    #[test]
    fn every_command_and_option_is_explained() {
        fn look(path: &str, command: &Command, silent: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.get_about().is_none() {
                silent.push(path.clone());
            }
            let options = command.get_arguments().filter(|option| option.get_help().is_none());
            silent.extend(options.map(|option| format!("{path} {}", option.get_id())));
            for inner in command.get_subcommands() {
                look(&path, inner, silent);
            }
        }
        let mut silent = Vec::new();
        look("", &Cli::command(), &mut silent);
        assert!(silent.is_empty(), "{silent:#?}");
    }
}
