//! `lazaret cache`: repositories that are filled from other registries when somebody pulls.

use clap::Subcommand;
use metastore::{CacheRule, Metastore, PutCacheRule, RegistryId, RemoveCredential, UpstreamCredential};
use mirror::Mapping;
use serde_json::json;
use upstream::Host;

use crate::cli::{CredentialArgs, Format, PlaceArgs};
use crate::output::say;
use crate::table::{table, time};
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Make a rule, or change the one of that name. A running server follows within a second.
    Create {
        /// The rule's name.
        name: String,
        /// Where images come from: `docker.io/library`, `ghcr.io/team/app`; with `http://` before it for a
        /// registry without TLS.
        #[arg(long, value_name = "SOURCE")]
        upstream: String,
        /// The repositories that they fill: `hub/*`, or one.
        #[arg(long, value_name = "TARGET")]
        repository: String,
        /// The credential to use there.
        #[arg(long, value_name = "NAME")]
        credential: Option<String>,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// List the rules.
    List {
        #[command(flatten)]
        at: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove a rule. What it has brought stays.
    Delete {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// Keep names and passwords for other registries.
    #[command(subcommand)]
    Credential(CredentialCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Keep one, for one host alone.
    Set {
        /// What to call it.
        name: String,
        /// The registry it is for.
        #[arg(long, value_name = "HOST")]
        host: String,
        #[command(flatten)]
        credentials: CredentialArgs,
        #[command(flatten)]
        at: PlaceArgs,
    },
    /// List them, without their passwords.
    List {
        #[command(flatten)]
        at: PlaceArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Forget one that no rule uses.
    Delete {
        /// What it is called.
        name: String,
        #[command(flatten)]
        at: PlaceArgs,
    },
}

pub(crate) async fn run(command: CacheCommand) -> Result<(), Failure> {
    match command {
        CacheCommand::Create { name, upstream, repository, credential, at } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            create(&metastore, registry, name, &Mapping::parse(&upstream, &repository)?, credential).await
        }
        CacheCommand::List { at, format } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            list(&metastore, registry, format).await
        }
        CacheCommand::Delete { name, at } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            if !metastore.delete_cache_rule(registry, &name).await? {
                return Err(format!(
                    "there is no cache rule {name}: `lazaret cache list` shows those there are"
                )
                .into());
            }
            say!("{name} is gone; what it has brought stays, and can be pushed to");
            Ok(())
        }
        CacheCommand::Credential(command) => credential(command).await,
    }
}

async fn create(
    metastore: &Metastore,
    registry: RegistryId,
    name: String,
    mapping: &Mapping,
    credential: Option<String>,
) -> Result<(), Failure> {
    if let Some(wanted) = &credential {
        let known = metastore.upstream_credentials(registry).await?;
        let found = known.iter().find(|found| found.name.eq_ignore_ascii_case(wanted));
        if let Some(found) = found.filter(|found| found.host != mapping.host().to_string()) {
            return Err(
                format!("the credential {wanted} is for {}, not for {}", found.host, mapping.host()).into()
            );
        }
    }
    let rule = CacheRule {
        name: name.clone(),
        source: mapping.source(),
        target: mapping.target(),
        credential,
        // Whoever has the data folder says where it goes.
        is_private: true,
        created_ms: now_ms(),
    };
    match metastore.put_cache_rule(registry, rule).await? {
        PutCacheRule::Created | PutCacheRule::Updated => {
            say!("{name}: {} is filled from {}", mapping.target(), mapping.source());
            Ok(())
        }
        PutCacheRule::TargetTaken => Err(format!("another rule fills {} already", mapping.target()).into()),
        PutCacheRule::NoCredential => {
            Err("there is no such credential: `lazaret cache credential set` makes one".into())
        }
    }
}

async fn list(metastore: &Metastore, registry: RegistryId, format: Format) -> Result<(), Failure> {
    let mut rows = table(&["RULE", "REPOSITORIES", "FILLED FROM", "CREDENTIAL", "CREATED"]);
    let mut documents = Vec::new();
    for rule in metastore.cache_rules(registry).await? {
        let created = time(rule.created_ms);
        documents.push(json!({
            "name": rule.name,
            "repositories": rule.target,
            "upstream": rule.source,
            "credential": rule.credential,
            "created": created,
        }));
        rows.add_row([
            rule.name,
            rule.target,
            rule.source,
            rule.credential.unwrap_or_else(|| "-".to_owned()),
            created,
        ]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

async fn credential(command: CredentialCommand) -> Result<(), Failure> {
    match command {
        CredentialCommand::Set { name, host, credentials, at } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            let host: Host = host.parse()?;
            let given = credentials.settle()?.ok_or("say who you are there with --username")?;
            for rule in metastore.cache_rules(registry).await? {
                let is_used = rule.credential.is_some_and(|used| used.eq_ignore_ascii_case(&name));
                if is_used && *Mapping::parse(&rule.source, &rule.target)?.host() != host {
                    return Err(
                        format!("the rule {} uses {name} for another host than {host}", rule.name).into()
                    );
                }
            }
            let wanted = UpstreamCredential {
                name: name.clone(),
                host: host.to_string(),
                username: given.username,
                secret: given.secret,
                realms: given.realms,
            };
            metastore.put_upstream_credential(registry, wanted).await?;
            say!("{name} is for {host}, and for no other");
            Ok(())
        }
        CredentialCommand::List { at, format } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            let mut rows = table(&["CREDENTIAL", "HOST", "USERNAME"]);
            let mut documents = Vec::new();
            for found in metastore.upstream_credentials(registry).await? {
                documents.push(json!({ "name": found.name, "host": found.host, "username": found.username }));
                rows.add_row([found.name, found.host, found.username]);
            }
            match format {
                Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
                Format::Table => say!("{rows}"),
            }
            Ok(())
        }
        CredentialCommand::Delete { name, at } => {
            let (metastore, registry) = at.open().await?;
            let registry = registry.id;
            match metastore.delete_upstream_credential(registry, &name).await? {
                RemoveCredential::Removed => {
                    say!("{name} is gone");
                    Ok(())
                }
                RemoveCredential::Missing => Err(format!("there is no credential {name}").into()),
                RemoveCredential::InUse => Err(format!("a cache rule uses {name}: delete that first").into()),
            }
        }
    }
}
