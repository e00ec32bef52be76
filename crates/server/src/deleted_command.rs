//! `lazaret deleted`: what was deleted and can be restored.

use clap::Subcommand;
use metastore::Restore;
use oci::{Reference, Repository, Tag};

use crate::cli::PlaceArgs;
use crate::output::say;
use crate::table::{table, time};
use crate::target::Target;
use crate::{Failure, now_ms};

#[derive(Debug, Subcommand)]
pub(crate) enum DeletedCommand {
    /// List the manifests that can be restored, of one repository or of all.
    List {
        /// The repository.
        repository: Option<Repository>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Bring a manifest back with its tags. A running server shows it within a second.
    Restore {
        /// `REPOSITORY@DIGEST`
        target: Target,
        /// The tag that it gets instead of those that it had.
        #[arg(long)]
        tag: Option<Tag>,
        /// Take the tag from what has it now.
        #[arg(long, requires = "tag")]
        force: bool,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

pub(crate) async fn run(command: DeletedCommand) -> Result<(), Failure> {
    let (DeletedCommand::List { place, .. } | DeletedCommand::Restore { place, .. }) = &command;
    let (metastore, found) = place.open().await?;
    match command {
        DeletedCommand::List { repository, .. } => {
            let repositories = match repository {
                Some(repository) => vec![repository],
                None => metastore.deleted_repositories(found.id, None, LIST_MAX).await?,
            };
            let mut rows = table(&["MANIFEST", "TAGS", "DELETED", "RESTORABLE UNTIL"]);
            for repository in repositories {
                for row in metastore.deleted_manifests(found.id, &repository, None, LIST_MAX).await? {
                    let tags: Vec<String> = row.tags.iter().map(ToString::to_string).collect();
                    let until_ms = row.deleted_ms + i64::from(found.soft_delete.days) * 86_400_000;
                    rows.add_row([
                        format!("{repository}@{}", row.digest),
                        tags.join(" "),
                        time(row.deleted_ms),
                        time(until_ms),
                    ]);
                }
            }
            say!("{rows}");
        }
        DeletedCommand::Restore { target, tag, force, .. } => {
            let Some(Reference::Digest(digest)) = target.reference else {
                return Err(
                    "say which manifest: REPOSITORY@DIGEST, as `lazaret deleted list` shows them".into()
                );
            };
            let (registry, repository) = (found.id, target.repository.clone());
            let restore = Restore { registry, repository, digest, tag, is_forced: force, now_ms: now_ms() };
            let tags = metastore.restore_manifest(restore).await?;
            let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            say!(
                "{} is back, tagged: {}",
                target.repository,
                if tags.is_empty() { "-".to_owned() } else { tags.join(" ") }
            );
        }
    }
    Ok(())
}

const LIST_MAX: usize = 10_000;
