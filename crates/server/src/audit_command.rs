//! `lazaret audit`: who changed what, and who was refused what.

use clap::Args;
use metastore::{Alteration, Alterations, AlteredField, AuditEntry, AuditFilter, Fate};
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::table::{table, time};

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Not what was before: a date, or a time such as 2026-11-25T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<i64>,
    /// Only of this principal, by name or id.
    #[arg(long, value_name = "WHO")]
    who: Option<String>,
    /// The newest so many.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    data: DataArgs,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Of the table where no terminal says how wide it is.
const LINE_CHARACTERS: u16 = 200;

/// Milliseconds since 1970.
fn instant(text: &str) -> Result<i64, String> {
    let day = || text.parse::<jiff::civil::Date>().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    let found = text.parse::<jiff::Timestamp>().or_else(|_| day().map(|day| day.timestamp()));
    found
        .map(|instant| instant.as_millisecond())
        .map_err(|_| "write 2026-11-25 or 2026-11-25T12:00:00Z".to_owned())
}

pub(crate) async fn run(arguments: AuditArgs) -> Result<(), Failure> {
    let metastore = DataFolder::existing(&arguments.data.path)?.metastore()?;
    let filter = AuditFilter { since_ms: arguments.since, who: arguments.who, ..AuditFilter::default() };
    let log = metastore.audit(filter, arguments.limit).await?;
    if arguments.format == Format::Json {
        let documents: Vec<Value> = log.iter().map(document).collect();
        say!("{}", serde_json::to_string_pretty(&documents)?);
        return Ok(());
    }
    if log.is_empty() {
        say!("nothing was changed or refused in that time");
        return Ok(());
    }
    let mut rows = table(&["TIME", "WHO", "ACTION", "SCOPE", "OUTCOME", "COUNT", "CHANGES"]);
    if rows.width().is_none() {
        // A file or a pager: scopes and changes are long, and a line of thousands of characters is not read.
        rows.set_width(LINE_CHARACTERS);
    }
    for entry in &log {
        let who = if entry.name.is_empty() { &entry.principal } else { &entry.name };
        rows.add_row([
            time(entry.last_ms),
            who.clone(),
            entry.action.clone(),
            entry.scope.clone(),
            outcome(entry).to_owned(),
            entry.count.to_string(),
            told(&entry.alterations),
        ]);
    }
    say!("{rows}");
    Ok(())
}

fn document(entry: &AuditEntry) -> Value {
    json!({
        "time": time(entry.at_ms),
        "lastTime": time(entry.last_ms),
        "count": entry.count,
        "principalId": entry.principal,
        "principalName": entry.name,
        "action": entry.action,
        "scope": entry.scope,
        "outcome": outcome(entry),
        "status": entry.status,
        "request": entry.request,
        "requestId": entry.request_id,
        "address": entry.address,
        "changes": entry.alterations.listed,
        "changesLeftOut": entry.alterations.left_out,
    })
}

/// What was altered, for people.
fn told(alterations: &Alterations) -> String {
    let mut told: Vec<String> = alterations.listed.iter().map(sentence).collect();
    if alterations.left_out > 0 {
        told.push(format!("and {} more", alterations.left_out));
    }
    told.join("; ")
}

fn sentence(alteration: &Alteration) -> String {
    let Alteration { fate, kind, name, of, fields } = alteration;
    let fate = match fate {
        Fate::Made => "made",
        Fate::Changed => "changed",
        Fate::Removed => "removed",
    };
    let of = if of.is_empty() { String::new() } else { format!(" of {of}") };
    let fields: Vec<String> = fields.iter().map(change).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    format!("{fate} {kind} {name}{of}{fields}")
}

fn change(field: &AlteredField) -> String {
    let AlteredField { name, before, after } = field;
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!("{name} changed"),
        (Some(before), Some(after)) => format!("{name} {before} → {after}"),
        (None, Some(after)) => format!("{name} → {after}"),
        (Some(before), None) => format!("{name} {before} →"),
        (None, None) => name.clone(),
    }
}

fn outcome(entry: &AuditEntry) -> &'static str {
    if entry.is_refused { "refused" } else { "done" }
}
