//! `lazaret upload`: what was begun and not finished, and its end.

use std::sync::Arc;

use clap::{Args, Subcommand};
use metastore::OpenUpload;
use registry::{NobodyWatches, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{DataArgs, Format};
use crate::data::DataFolder;
use crate::output::say;
use crate::size::Size;
use crate::table::{table, time};
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum UploadCommand {
    /// List the uploads that were begun and not finished, the one that was touched longest ago first.
    List {
        #[command(flatten)]
        data: DataArgs,
        /// How the answer is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// End uploads and give their space back at once, also on a full disk. A client that goes on with one has to
    /// begin again.
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct CancelArgs {
    /// The upload, as `lazaret upload list` shows it.
    #[arg(group = "which")]
    id: Option<Uuid>,
    /// All that were not touched for so many minutes.
    #[arg(long, value_name = "MINUTES", group = "which")]
    idle_minutes: Option<u32>,
    /// All of them.
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl UploadCommand {
    fn data(&self) -> &DataArgs {
        match self {
            Self::List { data, .. } | Self::Cancel(CancelArgs { data, .. }) => data,
        }
    }
}

pub(crate) async fn run(command: UploadCommand) -> Result<(), Failure> {
    let data = DataFolder::existing(&command.data().path)?;
    let registry = Registry::new(
        data.metastore()?,
        data.blobs()?,
        Arc::new(NobodyWatches),
        Arc::new(|| ()),
        Arc::new(now_ms),
    );
    let uploads = registry.open_uploads().await?;
    match command {
        UploadCommand::List { format, .. } => list(&uploads, format)?,
        UploadCommand::Cancel(CancelArgs { id: Some(id), .. }) => {
            let upload = uploads.iter().find(|upload| upload.id == id);
            let upload = upload.ok_or_else(|| {
                format!("there is no unfinished upload {id}: `lazaret upload list` shows those there are")
            })?;
            cancel(&registry, [upload]).await?;
        }
        UploadCommand::Cancel(CancelArgs { idle_minutes, .. }) => {
            let before_ms = idle_minutes.map_or(i64::MAX, |minutes| now_ms() - i64::from(minutes) * 60_000);
            cancel(&registry, uploads.iter().filter(|upload| upload.touched_ms <= before_ms)).await?;
        }
    }
    Ok(())
}

fn list(uploads: &[OpenUpload], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let documents: Vec<_> = uploads
            .iter()
            .map(|upload| {
                json!({
                    "id": upload.id,
                    "registry": upload.registry_name,
                    "repository": upload.repository,
                    "principal": upload.principal,
                    "receivedBytes": upload.received,
                    "touched": time(upload.touched_ms),
                })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&documents)?);
        return Ok(());
    }
    let mut rows = table(&["UPLOAD", "REGISTRY", "REPOSITORY", "PRINCIPAL", "RECEIVED", "LAST TOUCHED"]);
    for upload in uploads {
        rows.add_row([
            upload.id.to_string(),
            upload.registry_name.clone(),
            upload.repository.clone(),
            upload.principal.clone(),
            Size(upload.received).to_string(),
            time(upload.touched_ms),
        ]);
    }
    say!("{rows}");
    Ok(())
}

async fn cancel(registry: &Registry, uploads: impl IntoIterator<Item = &OpenUpload>) -> Result<(), Failure> {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    for upload in uploads {
        if registry.end_upload(upload.id).await? {
            count += 1;
            bytes = bytes.saturating_add(upload.received);
        }
    }
    let noun = if count == 1 { "upload is" } else { "uploads are" };
    say!("{count} {noun} ended, {} given back", Size(bytes));
    Ok(())
}
