//! Images with their findings, in pages: what the results' readers go through.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(doc)]
use assessment::Finding;
use assessment::{ImageState, RuledFinding};
use oci::{Digest, Repository};
use rusqlite::{Connection, params};

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
    /// The last of the image's findings that was shown, by [`Finding::key`]; `None`: it begins with the image.
    pub after: Option<u64>,
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
    /// The results of a registry, or of repositories of it alone (their row numbers), from a place on: `limit` at
    /// most, a finding or an image without findings each. The cost is that of the page, wherever it begins, and of one image's findings where a page
    /// ends within an image.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn results(
        &self,
        registry: RegistryId,
        of: Option<Arc<[i64]>>,
        from: Option<ResultCursor>,
        limit: usize,
    ) -> Result<ResultPage, Error> {
        self.read(move |rows| page(rows, registry, of.as_deref(), from, limit)).await
    }

    /// The repositories of a registry with their row numbers.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn repository_ids(&self, registry: RegistryId) -> Result<Vec<(i64, Repository)>, Error> {
        self.read(move |rows| {
            let mut statement =
                rows.prepare_cached("SELECT id, name FROM repository WHERE registry_id = ?1 ORDER BY id")?;
            let found = statement
                .query_map([registry.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
            found
                .map(|row| {
                    let (id, name) = row?;
                    Ok((id, name.parse().map_err(|_| Error::Damaged { what: "repository name" })?))
                })
                .collect()
        })
        .await
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
                   SELECT coalesce(ruled.state, image.state) AS state,
                          max(image.first_judged_ms, coalesce(here.first_ms, 0)) AS first_ms,
                          max(coalesce(ruled.changed_ms, image.changed_ms), coalesce(here.first_ms, 0)) AS changed_ms
                   FROM manifest
                   JOIN repository ON repository.id = manifest.repository_id
                   JOIN registry ON registry.id = repository.registry_id
                   LEFT JOIN judged_in AS here
                     ON here.registry_id = registry.id AND here.image = manifest.digest
                   LEFT JOIN image ON image.digest = manifest.digest AND (here.image IS NOT NULL OR EXISTS (
                     SELECT 1 FROM plan WHERE plan.subscription_id = registry.subscription_id AND tier = 'Standard'))
                   LEFT JOIN ruled ON image.digest IS NOT NULL AND ruled.repository_id = manifest.repository_id
                     AND ruled.digest = manifest.digest
                   WHERE repository.registry_id = ?1 AND manifest.kind <> 'index')
                 SELECT state, count(*), min(first_ms), min(changed_ms),
                        max(changed_ms) FILTER (WHERE changed_ms > first_ms)
                 FROM judged GROUP BY state",
            )?;
            let mut found = statement.query([registry.0])?;
            let mut counts = StateCounts::default();
            let mut unhealthy_ms = None;
            let mut left_ms: Option<i64> = rows
                .prepare_cached("SELECT left_ms FROM registry WHERE id = ?1")?
                .query_row([registry.0], |row| row.get(0))?;
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

/// To be called before an image is deleted: remembers what the registry's date of change rests on and other images
/// do not tell. An image that is the last Unhealthy one leaves the registry without any from now on.
pub(crate) fn note_leaving(
    rows: &Connection,
    (repository_id, digest): (i64, &str),
    now_ms: i64,
) -> Result<(), Error> {
    let Some((image, _)) = crate::change::image_now(rows, repository_id, &parse_digest(digest)?)? else {
        return Ok(());
    };
    let (Some(verdict), Some(changed_ms)) = (&image.verdict, image.changed_ms()) else { return Ok(()) };
    let left_ms = if image.state().0 == ImageState::Unhealthy {
        let sql = "SELECT 1 FROM repository
                   JOIN manifest ON manifest.repository_id = repository.id AND manifest.kind <> 'index'
                   JOIN image ON image.digest = manifest.digest
                   LEFT JOIN ruled ON ruled.repository_id = repository.id AND ruled.digest = manifest.digest
                   JOIN registry ON registry.id = repository.registry_id
                   WHERE repository.registry_id = ?1 AND coalesce(ruled.state, image.state) = 'Unhealthy'
                     AND (repository.id, manifest.digest) <> (?2, ?3)
                     AND (EXISTS (SELECT 1 FROM judged_in AS here
                                  WHERE here.registry_id = registry.id AND here.image = manifest.digest)
                          OR EXISTS (SELECT 1 FROM plan WHERE plan.subscription_id = registry.subscription_id
                                     AND tier = 'Standard')) LIMIT 1";
        if rows.prepare_cached(sql)?.exists(params![image.registry.0, repository_id, digest])? {
            return Ok(());
        }
        now_ms
    } else if changed_ms > verdict.first_judged_ms {
        changed_ms
    } else {
        return Ok(());
    };
    rows.prepare_cached("UPDATE registry SET left_ms = max(coalesce(left_ms, 0), ?2) WHERE id = ?1")?
        .execute(params![image.registry.0, left_ms])?;
    Ok(())
}

/// An image comes whole, worst findings first, unless it has more findings than a page: then its findings come in
/// the order of their keys, which a new verdict does not change. So findings that are there throughout are listed
/// once, whatever is judged, pushed or deleted between two pages.
fn page(
    rows: &Connection,
    registry: RegistryId,
    of: Option<&[i64]>,
    from: Option<ResultCursor>,
    limit: usize,
) -> Result<ResultPage, Error> {
    let mut page = ResultPage::default();
    let mut left = limit;
    let mut begin = from.as_ref().map(|cursor| (cursor.repository_id, cursor.digest.clone()));
    let mut comparison = ">=";
    loop {
        // One more than fits: if it is there, there is a next page.
        let found = images(rows, registry, of, begin, comparison, left + 1)?;
        let Some(last) = found.last() else { return Ok(page) };
        begin = Some((last.repository_id, last.digest.to_string()));
        comparison = ">";
        for image in found {
            if image.state().0 == ImageState::Pending {
                continue;
            }
            let (repository_id, digest) = (image.repository_id, image.digest.to_string());
            let is_begun =
                |cursor: &&ResultCursor| (cursor.repository_id, &cursor.digest) == (repository_id, &digest);
            let after = from.as_ref().filter(is_begun).and_then(|cursor| cursor.after);
            // Disabled findings are results, too.
            let is_listed = image.verdict.as_ref().is_some_and(|it| it.state == ImageState::Unhealthy);
            let count = if is_listed { finding_count(rows, &digest)? } else { 1 };
            if left == 0 || after.is_none() && count > left && !page.images.is_empty() {
                page.next = Some(ResultCursor { repository_id, digest, after });
                return Ok(page);
            }
            let mut shown = Vec::new();
            if is_listed {
                shown = findings(rows, (repository_id, &digest), 0, usize::MAX)?;
            }
            let mut next = None;
            if after.is_some() || count > left {
                (shown, next) = part(shown, after, left);
            }
            left -= if is_listed { shown.len() } else { 1 };
            if !is_listed || !shown.is_empty() {
                page.images.push((image, shown));
            }
            if let Some(after) = next {
                page.next = Some(ResultCursor { repository_id, digest, after: Some(after) });
                return Ok(page);
            }
        }
    }
}

/// The `limit` findings that come first after a key, by key, and the last key if there are more.
fn part(findings: Vec<RuledFinding>, after: Option<u64>, limit: usize) -> (Vec<RuledFinding>, Option<u64>) {
    let keyed = findings.into_iter().map(|found| (found.finding.key(), found));
    let mut keyed: Vec<_> = keyed.filter(|(key, _)| after.is_none_or(|after| *key > after)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    let has_more = keyed.len() > limit;
    keyed.truncate(limit);
    let next = keyed.last().filter(|_| has_more).map(|(key, _)| *key);
    (keyed.into_iter().map(|(_, found)| found).collect(), next)
}

fn finding_count(rows: &Connection, image: &str) -> Result<usize, Error> {
    let mut statement = rows.prepare_cached("SELECT count(*) FROM finding WHERE image = ?1")?;
    Ok(statement.query_row([image], |row| row.get(0))?)
}
