//! Images with their findings, in pages: what the results' readers go through.

use std::collections::BTreeMap;

use assessment::{Finding, ImageState};
use oci::{Digest, Repository};
use rusqlite::{Connection, params};

use crate::image::images;
use crate::repository::parse_digest;
use crate::{Error, ImageRow, Metastore, RegistryId};

/// Where a page of results begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultCursor {
    /// The repository's row number.
    pub repository_id: i64,
    /// The image's digest.
    pub digest: String,
    /// How many of the image's findings were shown.
    pub position: u32,
    /// When those were judged: if the image was judged again since, it is shown from its start.
    pub judged_ms: i64,
}

/// One page of results.
#[derive(Clone, Debug, Default)]
pub struct ResultPage {
    /// Images in a fixed order, with their findings or a part of them. An image without findings
    /// counts as one result; one that is not judged yet has no part in it.
    pub images: Vec<(ImageRow, Vec<Finding>)>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<ResultCursor>,
}

/// The images of a registry by their states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// How many images were judged to be in each state.
    pub judged: BTreeMap<&'static str, u64>,
    /// How many have no verdict.
    pub unjudged: u64,
    /// When the first of them was judged for the first time.
    pub first_judged_ms: Option<i64>,
    /// When the state of one of them last changed.
    pub changed_ms: Option<i64>,
}

impl Metastore {
    /// The results of a registry from a place on: `limit` at most, a finding or an image without
    /// findings each. The cost is that of the page, wherever it begins.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn results(
        &self,
        registry: RegistryId,
        from: Option<ResultCursor>,
        limit: usize,
    ) -> Result<ResultPage, Error> {
        self.read(move |rows| page(rows, registry, from, limit)).await
    }

    /// Every image of a registry, as (repository, digest); indexes are none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn image_names(&self, registry: RegistryId) -> Result<Vec<(Repository, Digest)>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT repository.name, manifest.digest FROM manifest
                 JOIN repository ON repository.id = manifest.repository_id
                 WHERE repository.registry_id = ?1 AND manifest.kind <> 'index'",
            )?;
            let found = statement
                .query_map([registry.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            found
                .map(|row| {
                    let (name, digest) = row?;
                    let name = name.parse().map_err(|_| Error::Damaged { what: "repository name" })?;
                    Ok((name, parse_digest(&digest)?))
                })
                .collect()
        })
        .await
    }

    /// How many images of a registry are in which state.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn state_counts(&self, registry: RegistryId) -> Result<StateCounts, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT image.state, count(*), min(image.first_judged_ms), max(image.changed_ms) FROM manifest
                 JOIN repository ON repository.id = manifest.repository_id
                 LEFT JOIN image ON image.digest = manifest.digest
                 WHERE repository.registry_id = ?1 AND manifest.kind <> 'index' GROUP BY image.state",
            )?;
            let mut found = statement.query([registry.0])?;
            let mut counts = StateCounts::default();
            while let Some(row) = found.next()? {
                let (state, count): (Option<String>, u64) = (row.get(0)?, row.get(1)?);
                let Some(state) = state else {
                    counts.unjudged = count;
                    continue;
                };
                let state = ImageState::from_name(&state).ok_or(Error::Damaged { what: "state" })?;
                counts.judged.insert(state.name(), count);
                let (first, changed): (i64, i64) = (row.get(2)?, row.get(3)?);
                counts.first_judged_ms = Some(counts.first_judged_ms.map_or(first, |known| known.min(first)));
                counts.changed_ms = Some(counts.changed_ms.map_or(changed, |known| known.max(changed)));
            }
            Ok(counts)
        })
        .await
    }
}

fn page(
    rows: &Connection,
    registry: RegistryId,
    from: Option<ResultCursor>,
    limit: usize,
) -> Result<ResultPage, Error> {
    let mut page = ResultPage::default();
    let mut left = limit;
    let mut begin = from.as_ref().map(|cursor| (cursor.repository_id, cursor.digest.clone()));
    let mut comparison = ">=";
    loop {
        // One more than fits: if it is there, there is a next page.
        let found = images(rows, registry, begin, comparison, left + 1)?;
        let Some(last) = found.last() else { return Ok(page) };
        begin = Some((last.repository_id, last.digest.to_string()));
        comparison = ">";
        for image in found {
            let state = image.state().0;
            if state == ImageState::Pending {
                continue;
            }
            let judged_ms = image.verdict.as_ref().map_or(0, |verdict| verdict.judged_ms);
            let position = match &from {
                Some(cursor)
                    if cursor.digest == image.digest.to_string() && cursor.judged_ms == judged_ms =>
                {
                    cursor.position
                }
                _ => 0,
            };
            let cursor = |position: u32| ResultCursor {
                repository_id: image.repository_id,
                digest: image.digest.to_string(),
                position,
                judged_ms,
            };
            if left == 0 {
                page.next = Some(cursor(position));
                return Ok(page);
            }
            if state != ImageState::Unhealthy {
                left -= 1;
                page.images.push((image, Vec::new()));
                continue;
            }
            let mut findings = findings_from(rows, &image.digest.to_string(), position, left + 1)?;
            if findings.len() > left {
                findings.truncate(left);
                page.next = Some(cursor(position + u32::try_from(left).unwrap_or(u32::MAX)));
                page.images.push((image, findings));
                return Ok(page);
            }
            left -= findings.len();
            if !findings.is_empty() {
                page.images.push((image, findings));
            }
        }
    }
}

fn findings_from(rows: &Connection, image: &str, position: u32, limit: usize) -> Result<Vec<Finding>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT document FROM finding WHERE image = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let documents = statement.query_map(params![image, position, limit], |row| row.get::<_, String>(0))?;
    documents
        .map(|text| serde_json::from_str(&text?).map_err(|_| Error::Damaged { what: "finding" }))
        .collect()
}
