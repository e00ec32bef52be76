//! Images with their findings, in pages: what the results' readers go through.

use std::collections::BTreeMap;

use assessment::{ImageState, RuledFinding};
use oci::{Digest, Repository};
use rusqlite::Connection;

use crate::image::images;
use crate::repository::parse_digest;
use crate::ruled::findings;
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
    pub images: Vec<(ImageRow, Vec<RuledFinding>)>,
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
    /// Since when what they come to is what it is, as far as the images that are left tell: since one of
    /// them was Unhealthy, or since none is.
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
                "WITH judged AS (
                   SELECT coalesce(ruled.state, image.state) AS state, image.first_judged_ms AS first_ms,
                          coalesce(ruled.changed_ms, image.changed_ms) AS changed_ms
                   FROM manifest
                   JOIN repository ON repository.id = manifest.repository_id
                   LEFT JOIN image ON image.digest = manifest.digest
                   LEFT JOIN ruled ON ruled.repository_id = manifest.repository_id AND ruled.digest = manifest.digest
                   WHERE repository.registry_id = ?1 AND manifest.kind <> 'index')
                 SELECT state, count(*), min(first_ms), min(changed_ms),
                        max(changed_ms) FILTER (WHERE changed_ms > first_ms)
                 FROM judged GROUP BY state",
            )?;
            let mut found = statement.query([registry.0])?;
            let mut counts = StateCounts::default();
            let (mut unhealthy_ms, mut left_ms) = (None, None);
            while let Some(row) = found.next()? {
                let (state, count): (Option<String>, u64) = (row.get(0)?, row.get(1)?);
                let Some(state) = state else {
                    counts.unjudged = count;
                    continue;
                };
                let state = ImageState::from_name(&state).ok_or(Error::Damaged { what: "state" })?;
                counts.judged.insert(state.name(), count);
                let first = row.get(2)?;
                counts.first_judged_ms = Some(counts.first_judged_ms.map_or(first, |known| known.min(first)));
                if state == ImageState::Unhealthy {
                    unhealthy_ms = row.get(3)?;
                }
                left_ms = left_ms.max(row.get(4)?);
            }
            counts.changed_ms = unhealthy_ms.or(left_ms).or(counts.first_judged_ms);
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
            // Disabled findings are results, too.
            let is_listed = image.verdict.as_ref().is_some_and(|it| it.state == ImageState::Unhealthy);
            if !is_listed {
                left -= 1;
                page.images.push((image, Vec::new()));
                continue;
            }
            let key = (image.repository_id, image.digest.to_string());
            let mut findings = findings(rows, (key.0, &key.1), position, left + 1)?;
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
