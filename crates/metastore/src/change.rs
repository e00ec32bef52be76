//! What changed since when: how readers that keep their own view of the images keep it up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use assessment::RuledFinding;
use oci::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::image::{IMAGE_ROWS, among, image_row, listed, raw_image};
use crate::repository::parse_digest;
use crate::ruled::findings;
use crate::{Error, ImageRow, Metastore, RegistryId};

/// An image in a repository, by the repository's row number and the image's digest.
pub type ImageKey = (i64, Digest);

/// Images that changed, and up to where that is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The place in the log up to which this goes; what comes later has a higher one.
    pub upto: i64,
    /// The images that were pushed, tagged, judged or deleted.
    pub images: Vec<ImageKey>,
    /// There is more beyond.
    pub is_partial: bool,
}

impl Metastore {
    /// The place in the log of the newest change that this process has committed: no look at the store.
    #[must_use]
    pub fn changed_upto(&self) -> i64 {
        self.upto.load(Ordering::Acquire)
    }

    /// The place in the log of the newest change.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn newest_change(&self) -> Result<i64, Error> {
        self.read(newest_change).await
    }

    /// Images that changed after a place in the log, each once, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn changes(&self, after: i64, limit: usize) -> Result<Changes, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT seq, repository_id, digest FROM change WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let limit_rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut found = statement.query(params![after, limit_rows])?;
            let mut changes = Changes { upto: after, ..Changes::default() };
            let mut count = 0;
            while let Some(row) = found.next()? {
                count += 1;
                changes.upto = row.get(0)?;
                let (repository_id, digest): (i64, String) = (row.get(1)?, row.get(2)?);
                if repository_id != 0 {
                    changes.images.push((repository_id, parse_digest(&digest)?));
                }
            }
            changes.is_partial = count == limit;
            Ok(changes)
        })
        .await
    }

    /// These images with their findings, as they are now; `None` for those that are gone, and for indexes.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn images_now(
        &self,
        keys: Vec<ImageKey>,
    ) -> Result<Vec<Option<(ImageRow, Vec<RuledFinding>)>>, Error> {
        self.read(move |rows| {
            keys.iter().map(|(repository, digest)| image_now(rows, *repository, digest)).collect()
        })
        .await
    }

    /// The keys of a registry's images, or of those in repositories of it alone (their row numbers), in a fixed order,
    /// after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn image_keys(
        &self,
        registry: RegistryId,
        of: Option<Arc<[i64]>>,
        after: Option<ImageKey>,
        limit: usize,
    ) -> Result<Vec<ImageKey>, Error> {
        self.read(move |rows| {
            let of = of.as_deref();
            let sql = format!(
                "SELECT repository.id, manifest.digest FROM manifest
                 JOIN repository ON repository.id = manifest.repository_id
                 WHERE repository.registry_id = ?1 AND manifest.kind <> 'index'
                   AND (repository.id, manifest.digest) > (?2, ?3) {}
                 ORDER BY repository.id, manifest.digest LIMIT ?4",
                among(of, "?5")
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let (repository, digest) =
                after.map_or((0, String::new()), |(repository, digest)| (repository, digest.to_string()));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement
                .query_map(params![registry.0, repository, digest, limit, listed(of)], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })?;
            found
                .map(|key| {
                    let (repository, digest) = key?;
                    Ok((repository, parse_digest(&digest)?))
                })
                .collect()
        })
        .await
    }
}

pub(crate) fn image_now(
    rows: &Connection,
    repository: i64,
    digest: &Digest,
) -> Result<Option<(ImageRow, Vec<RuledFinding>)>, Error> {
    let sql = format!(
        "{IMAGE_ROWS} WHERE manifest.kind <> 'index' AND repository.id = ?1 AND manifest.digest = ?2"
    );
    let digest = digest.to_string();
    let found = rows.prepare_cached(&sql)?.query_row(params![repository, digest], raw_image).optional()?;
    let Some(found) = found else { return Ok(None) };
    let image = image_row(rows, found)?;
    let findings = match image.verdict {
        Some(_) => findings(rows, (repository, &digest), 0, usize::MAX)?,
        None => Vec::new(),
    };
    Ok(Some((image, findings)))
}

/// The place in the log of the newest change.
pub(crate) fn newest_change(rows: &Connection) -> Result<i64, Error> {
    Ok(rows.prepare_cached(NEWEST)?.query_row([], |row| row.get(0))?)
}

pub(crate) const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM change";
