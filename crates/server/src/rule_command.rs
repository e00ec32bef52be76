//! `lazaret rule`: findings that are disabled, by which rule, why and until when.

use advisory::Severity;
use assessment::Criteria;
use azure_documents::finding_rule;
use clap::{Args, Subcommand};
use metastore::{Metastore, PutRule, Rule, RuleScope, StoredRule};
use oci::Digest;

use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{counted, table, time};
use crate::target::registry_of;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Make or replace a rule; it takes effect at once. Every criterion that is given must hold.
    Create {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        criteria: Box<CriteriaArgs>,
        /// Why, for those who wonder later.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// When it ends by itself: `2027-01-31`, or a time with its zone.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        #[command(flatten)]
        scope: RuleScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List every rule, and how many findings each disables.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show one rule.
    Show {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        scope: RuleScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove a rule: what it disables counts again, at once.
    Delete {
        /// The rule's name.
        name: String,
        #[command(flatten)]
        scope: RuleScopeArgs,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Where a rule holds, and beneath.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleScopeArgs {
    /// The ARM id of a subscription, resource group or registry, or `/` for everything [default: the
    /// default registry].
    #[arg(long, value_name = "ID", conflicts_with = "registry")]
    scope: Option<String>,
    /// A registry's name, instead of its id.
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CriteriaArgs {
    /// The advisory's id or another of its names; repeatable.
    #[arg(long = "advisory", value_name = "ID")]
    advisories: Vec<String>,
    /// Whose advisory: `debian`, `alpine`, or `os` for every operating system's; repeatable.
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
    /// The package, or the source it was built from; `*` stands for any characters; repeatable.
    #[arg(long = "package", value_name = "PATTERN")]
    packages: Vec<String>,
    /// What the advisory's id, title or description contains.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only findings less severe than this.
    #[arg(long, value_name = "SEVERITY")]
    severity_below: Option<Severity>,
    /// Only findings without a fixed version.
    #[arg(long)]
    not_patchable: bool,
    /// Only in these repositories; repeatable.
    #[arg(long = "repository", value_name = "PATTERN")]
    repositories: Vec<String>,
    /// Only in images all of whose tags are such; repeatable.
    #[arg(long = "tag", value_name = "PATTERN")]
    tags: Vec<String>,
    /// Only in this image; repeatable.
    #[arg(long = "image", value_name = "DIGEST")]
    images: Vec<Digest>,
    /// Only on this release: `debian_12`, `alpine_3.22`; repeatable.
    #[arg(long = "distribution", value_name = "PATTERN")]
    distributions: Vec<String>,
}

impl From<CriteriaArgs> for Criteria {
    fn from(args: CriteriaArgs) -> Self {
        Self {
            advisories: args.advisories.into_iter().collect(),
            categories: args.categories.into_iter().collect(),
            packages: args.packages.into_iter().collect(),
            text: args.text,
            severity_below: args.severity_below,
            not_patchable: args.not_patchable,
            repositories: args.repositories.into_iter().collect(),
            tags: args.tags.into_iter().collect(),
            images: args.images.into_iter().collect(),
            distributions: args.distributions.into_iter().collect(),
        }
    }
}

pub(crate) async fn run(command: RuleCommand) -> Result<(), Failure> {
    let (RuleCommand::Create { data, .. }
    | RuleCommand::List { data, .. }
    | RuleCommand::Show { data, .. }
    | RuleCommand::Delete { data, .. }) = &command;
    let metastore = DataFolder::existing(&data.path)?.current_rows().await?;
    match command {
        RuleCommand::Create { name, criteria, reason, expires, scope, .. } => {
            let scope = settle(&metastore, scope).await?;
            let criteria = Criteria::from(*criteria).checked()?;
            let expires_ms = expires.as_deref().map(parse_time).transpose()?;
            let rule = Rule { scope, name, criteria, reason, expires_ms };
            create(&metastore, rule.checked(now_ms())?).await
        }
        RuleCommand::List { format, .. } => list(&metastore, format).await,
        RuleCommand::Show { name, scope, .. } => {
            let scope = settle(&metastore, scope).await?;
            let rule = find(&metastore, &scope, &name).await?;
            say!("{}", serde_json::to_string_pretty(&finding_rule(&rule))?);
            Ok(())
        }
        RuleCommand::Delete { name, scope, .. } => {
            let scope = settle(&metastore, scope).await?;
            if !metastore.delete_rule(scope.clone(), &name, now_ms()).await? {
                return Err(no_such_rule(&scope, &name));
            }
            tracing::info!(rule = name, scope = scope.id(), "a rule was deleted from the command line");
            say!("rule {name} is deleted; what it disabled counts again");
            Ok(())
        }
    }
}

async fn create(metastore: &Metastore, rule: Rule) -> Result<(), Failure> {
    let (scope, name) = (rule.scope.clone(), rule.name.clone());
    match metastore.put_rule(rule, "the command line", now_ms()).await? {
        PutRule::Created | PutRule::Updated => {
            let stored = find(metastore, &scope, &name).await?;
            say!(
                "rule {name} holds in {}; it disables {}",
                scope.id(),
                counted(stored.disabled, "finding", "findings")
            );
            Ok(())
        }
        PutRule::NoScope => Err(format!("there is no {}", scope.id()).into()),
        PutRule::TooMany => Err("there are as many rules as there may be: delete some".into()),
    }
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let rules = metastore.rules().await?;
    match format {
        Format::Json => {
            let documents: Vec<_> = rules.iter().map(finding_rule).collect();
            say!("{}", serde_json::to_string_pretty(&documents)?);
        }
        Format::Table => {
            let mut rows = table(&["NAME", "SCOPE", "DISABLES", "EXPIRES", "CRITERIA", "REASON"]);
            for StoredRule { rule, is_expired, disabled, .. } in &rules {
                let expires = rule.expires_ms.map_or_else(|| "-".to_owned(), time);
                rows.add_row([
                    rule.name.clone(),
                    rule.scope.id(),
                    disabled.to_string(),
                    if *is_expired { format!("{expires} (is over)") } else { expires },
                    serde_json::to_string(&rule.criteria)?,
                    rule.reason.clone(),
                ]);
            }
            say!("{rows}");
        }
    }
    Ok(())
}

async fn find(metastore: &Metastore, scope: &RuleScope, name: &str) -> Result<StoredRule, Failure> {
    let found = metastore.rule(scope.clone(), name).await?;
    found.ok_or_else(|| no_such_rule(scope, name))
}

fn no_such_rule(scope: &RuleScope, name: &str) -> Failure {
    format!("there is no rule {name} in {}: `lazaret rule list` shows them", scope.id()).into()
}

async fn settle(metastore: &Metastore, scope: RuleScopeArgs) -> Result<RuleScope, Failure> {
    match scope.scope {
        Some(id) => Ok(id.parse()?),
        None => Ok(RuleScope::of(&registry_of(metastore, scope.registry.as_deref()).await?)),
    }
}

/// A day begins at its midnight, UTC.
fn parse_time(text: &str) -> Result<i64, Failure> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let day: jiff::civil::Date =
        text.parse().map_err(|_| format!("{text:?} is not a date, and not a time with its zone"))?;
    Ok(day.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond())
}
