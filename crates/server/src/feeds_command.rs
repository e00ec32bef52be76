//! `lazaret feeds`: advisory data, taken in by hand.

use std::process::ExitCode;

use feeds::{Feeds, Sources};
use serde_json::json;

use crate::cli::{FeedsCommand, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::settings::{Told, check_sources};
use crate::table::{table, time};
use crate::{Failure, now_ms};

pub(crate) async fn run(command: FeedsCommand) -> Result<ExitCode, Failure> {
    match command {
        FeedsCommand::Import { paths, data, limits } => {
            let data = DataFolder::create(&data.path)?;
            let _importing = data.importing()?;
            let metastore = data.metastore()?;
            let told = Told::read(&metastore).await?;
            let shrink_max_percent = limits.shrink_max_percent.unwrap_or(told.shrink_max_percent);
            let feeds = Feeds::new(metastore, data.advisory_blobs()?, shrink_max_percent);
            report(&feeds.import(&paths, now_ms()).await?)
        }
        FeedsCommand::Update { data, sources, limits } => {
            let data = DataFolder::create(&data.path)?;
            let _importing = data.importing()?;
            let metastore = data.metastore()?;
            let told = Told::read(&metastore).await?;
            let shrink_max_percent = limits.shrink_max_percent.unwrap_or(told.shrink_max_percent);
            let feeds = Feeds::new(metastore, data.advisory_blobs()?, shrink_max_percent);
            let sources = Sources {
                debian: sources.debian_url.unwrap_or(told.debian_url),
                alpine: sources.alpine_url.unwrap_or(told.alpine_url),
            };
            check_sources(&sources.debian, &sources.alpine)?;
            report(&feeds.update(&sources, now_ms()).await?)
        }
        FeedsCommand::List { data, format } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            list(&metastore, format).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What happened to each feed; refused ones make the command fail, whatever else went well.
fn report(report: &feeds::Report) -> Result<ExitCode, Failure> {
    say!("{report}");
    Ok(if report.has_refusals() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn list(metastore: &metastore::Metastore, format: Format) -> Result<(), Failure> {
    let feeds = metastore.feeds().await?;
    let snapshot = metastore.current_snapshot().await?;
    match format {
        Format::Json => {
            let rows: Vec<_> = feeds
                .iter()
                .map(|feed| {
                    json!({
                        "name": feed.name,
                        "origin": feed.payload.origin,
                        "records": feed.payload.records,
                        "payload": feed.payload.digest,
                        "fetched": time(feed.fetched_ms),
                        "checked": time(feed.checked_ms),
                    })
                })
                .collect();
            say!("{}", serde_json::to_string_pretty(&json!({ "snapshot": snapshot, "feeds": rows }))?);
        }
        Format::Table => {
            let mut rows = table(&["FEED", "RECORDS", "FETCHED", "CONFIRMED", "FROM"]);
            for feed in &feeds {
                rows.add_row([
                    feed.name.clone(),
                    feed.payload.records.to_string(),
                    time(feed.fetched_ms),
                    time(feed.checked_ms),
                    feed.payload.origin.clone(),
                ]);
            }
            say!("{rows}");
            say!("snapshot {}", snapshot.map_or_else(|| "none".to_owned(), |id| id.to_string()));
        }
    }
    Ok(())
}
