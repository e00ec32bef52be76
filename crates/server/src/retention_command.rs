//! `lazaret retention` and `lazaret purge`: what is removed by itself, and what that would be now.

use metastore::{Metastore, Registry, RetentionRule};
use serde_json::json;

use crate::cli::{Format, PurgeArgs, RetentionCommand, RetentionSetArgs};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::table;
use crate::target::registries_of;
use crate::{Failure, now_ms};

pub(crate) async fn run(command: RetentionCommand) -> Result<(), Failure> {
    let (RetentionCommand::List { place, .. }
    | RetentionCommand::Set { place, .. }
    | RetentionCommand::Remove { place, .. }) = &command;
    let (metastore, registry) = place.open().await?;
    match command {
        RetentionCommand::List { format, .. } => list(&metastore, &registry, format).await,
        RetentionCommand::Set { name, rule, .. } => {
            let rule = checked(name, rule)?;
            let name = rule.name.clone();
            metastore.put_retention_rule(registry.id, rule).await?;
            say!(
                "rule {name} is set, and carried out within the hour by a running server; \
                 `lazaret purge --dry-run` shows what it removes"
            );
            Ok(())
        }
        RetentionCommand::Remove { name, .. } => {
            if metastore.delete_retention_rule(registry.id, &name).await? {
                say!("rule {name} is removed");
                return Ok(());
            }
            Err(format!("there is no rule {name}: `lazaret retention list` shows them").into())
        }
    }
}

/// Removes what the rules say and then blobs that no manifest needs, or only says what the rules remove. A
/// running server does the same every hour.
pub(crate) async fn purge(arguments: PurgeArgs) -> Result<(), Failure> {
    let data = DataFolder::existing(&arguments.place.data.path)?;
    let metastore = data.metastore()?;
    let mut documents = Vec::new();
    let mut rows = table(&["REGISTRY", "REPOSITORY", "REMOVED", "RULE", "REASON"]);
    for registry in registries_of(&metastore, arguments.place.registry.as_deref()).await? {
        for repository in metastore.every_repository(registry.id).await? {
            let removals = if arguments.dry_run {
                metastore.planned_removals(registry.id, &repository, now_ms()).await?
            } else {
                metastore.purge(registry.id, &repository, now_ms()).await?
            };
            for removal in removals {
                documents.push(json!({
                    "registry": registry.name,
                    "repository": repository,
                    "reference": removal.reference.to_string(),
                    "rule": removal.rule,
                    "reason": removal.reason,
                }));
                rows.add_row([
                    registry.name.clone(),
                    repository.to_string(),
                    removal.reference.to_string(),
                    removal.rule,
                    removal.reason,
                ]);
            }
        }
    }
    match (arguments.format, documents.len()) {
        (Format::Json, _) => say!("{}", serde_json::to_string_pretty(&documents)?),
        (Format::Table, 0) => say!("no rule removes anything now"),
        (Format::Table, _) => say!("{rows}"),
    }
    if !arguments.dry_run {
        let came = crate::space::collect_now(&data).await?;
        if arguments.format == Format::Table {
            say!("{came}");
        }
    }
    Ok(())
}

fn checked(name: String, arguments: RetentionSetArgs) -> Result<RetentionRule, Failure> {
    let RetentionSetArgs { repositories, tags, keep_newest, older_than_days, not_pulled_days, untagged_days } =
        arguments;
    let conditions = [keep_newest, older_than_days, not_pulled_days, untagged_days];
    if conditions.iter().all(Option::is_none) {
        return Err(
            "a rule needs a condition: --keep-newest, --older-than-days, --not-pulled-days or --untagged-days"
                .into(),
        );
    }
    if [&name, &repositories, &tags].iter().any(|text| text.is_empty() || text.len() > TEXT_MAX) {
        return Err(format!("names and patterns have 1 to {TEXT_MAX} bytes").into());
    }
    Ok(RetentionRule {
        name,
        repositories,
        tags,
        keep_newest,
        older_than_days,
        not_pulled_days,
        untagged_days,
    })
}

async fn list(metastore: &Metastore, registry: &Registry, format: Format) -> Result<(), Failure> {
    let rules = metastore.retention_rules(registry.id).await?;
    let mut documents = Vec::new();
    let mut rows =
        table(&["RULE", "REPOSITORIES", "TAGS", "KEEP NEWEST", "OLDER THAN", "NOT PULLED", "UNTAGGED"]);
    for rule in rules {
        documents.push(json!({
            "name": rule.name,
            "repositories": rule.repositories,
            "tags": rule.tags,
            "keepNewest": rule.keep_newest,
            "olderThanDays": rule.older_than_days,
            "notPulledDays": rule.not_pulled_days,
            "untaggedDays": rule.untagged_days,
        }));
        let shown = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        rows.add_row([
            rule.name,
            rule.repositories,
            rule.tags,
            shown(rule.keep_newest),
            shown(rule.older_than_days),
            shown(rule.not_pulled_days),
            shown(rule.untagged_days),
        ]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

/// As long as a repository's name may be.
const TEXT_MAX: usize = 255;
