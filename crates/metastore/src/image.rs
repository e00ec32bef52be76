//! Inventories, verdicts and findings: what is known of images.

use std::sync::Arc;

use assessment::{Cause, Finding, ImageState, RuledFinding, Verdict};
use inventory::{Distro, EXTRACTOR, ImageInventory, LayerInventory};
use oci::{Digest, Reference, Repository, Tag};
use rusqlite::{Connection, OptionalExtension, params};

use crate::change::newest_change;
use crate::feed::SNAPSHOT;
use crate::news::{advisories_of, note_news};
use crate::repository::parse_digest;
use crate::ruled::{Prior, Ruled, parse_distro, rule_changes};
use crate::tenancy::setting;
use crate::usage::{Judged, end_kept, meter};
use crate::watched::Watched;
use crate::{Error, Metastore, RegistryId};

/// A verdict to be stored, with what it rests on.
#[derive(Clone, Debug)]
pub struct VerdictWrite {
    /// The image judged.
    pub image: Digest,
    /// What it holds.
    pub inventory: ImageInventory,
    /// The advisory snapshot it was judged by; `None` if there was none.
    pub snapshot: Option<Digest>,
    /// The program that judged.
    pub engine: String,
    /// What it concluded.
    pub verdict: Verdict,
    /// The (namespace, source package) keys whose change asks for a new judgement; the empty
    /// package stands for the namespace itself.
    pub keys: Vec<(String, String)>,
    /// When.
    pub now_ms: i64,
}

/// A verdict as it is stored, without its findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVerdict {
    /// The state, whatever rules disable.
    pub state: ImageState,
    /// The reasons.
    pub causes: Vec<Cause>,
    /// The image's operating system, if it says which.
    pub distro: Option<Distro>,
    /// How many findings it has, disabled ones included.
    pub findings: u64,
    /// The digest of the image inventory it rests on.
    pub inventory: Digest,
    /// The advisory snapshot it rests on.
    pub snapshot: Option<Digest>,
    /// The program that judged.
    pub engine: String,
    /// When the image was judged for the first time.
    pub first_judged_ms: i64,
    /// When this verdict was made.
    pub judged_ms: i64,
    /// When that state last became another.
    pub changed_ms: i64,
}

/// One image in one repository, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// Where the row stands in the order of [`Metastore::images`]; goes with the digest.
    pub repository_id: i64,
    /// The registry that holds it.
    pub registry: RegistryId,
    /// The repository that holds it.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// What its manifest was pushed as.
    pub media_type: String,
    /// When it was last pushed.
    pub pushed_ms: i64,
    /// Its tags, in byte order.
    pub tags: Vec<Tag>,
    /// Whether the subscription's plan is on.
    pub plan_is_on: bool,
    /// The verdict; `None` until it was first judged for this registry. Another subscription's plan gives
    /// this one no verdict.
    pub verdict: Option<StoredVerdict>,
    /// What rules make of the verdict; `None`: nothing.
    pub ruled: Option<Ruled>,
    /// Set while a scan has failed and will be tried again.
    pub failure: Option<ScanFailure>,
}

impl ImageRow {
    /// The one state of the image, with its reasons: what rules disable does not count.
    #[must_use]
    pub fn state(&self) -> (ImageState, Vec<Cause>) {
        let because = |code: &str, description: String| vec![Cause { code: code.to_owned(), description }];
        match (&self.verdict, &self.failure) {
            (Some(verdict), _) => {
                let mut causes = verdict.causes.clone();
                let disabled = self.ruled.as_ref().map_or(0, |ruled| ruled.disabled);
                if disabled > 0 {
                    let plural = if disabled == 1 { " is" } else { "s are" };
                    causes.extend(because("Exempt", format!("{disabled} finding{plural} disabled by rules")));
                }
                // What was found stays true after the plan is turned off; it is no longer kept up.
                if !self.plan_is_on {
                    causes
                        .extend(because("PlanOff", "the plan is off: this result is not kept up".to_owned()));
                }
                (self.ruled.as_ref().map_or(verdict.state, |ruled| ruled.state), causes)
            }
            (None, _) if !self.plan_is_on => {
                let reason = "the container registries plan of the subscription is off".to_owned();
                (ImageState::NotApplicable, because("PlanOff", reason))
            }
            (None, Some(ScanFailure { attempts, error })) => {
                let reason = format!("the scan failed {attempts} times and will be tried again: {error}");
                (ImageState::Unverified, because("ScanFailed", reason))
            }
            (None, None) => {
                (ImageState::Pending, because("ScanPending", "its scan is queued or running".to_owned()))
            }
        }
    }
}

impl ImageRow {
    /// When the state of a judged image last became another, by a verdict or by a rule.
    #[must_use]
    pub fn changed_ms(&self) -> Option<i64> {
        let by_verdict = self.verdict.as_ref().map(|verdict| verdict.changed_ms);
        self.ruled.as_ref().map(|ruled| ruled.changed_ms).or(by_verdict)
    }
}

/// A scan that failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanFailure {
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: String,
}

impl Metastore {
    /// The stored inventory of a layer, if this extractor made it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn layer_inventory(&self, layer: &Digest) -> Result<Option<LayerInventory>, Error> {
        let layer = layer.to_string();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT document FROM layer_inventory WHERE digest = ?1 AND extractor = ?2",
            )?;
            let document: Option<Vec<u8>> =
                statement.query_row(params![layer, EXTRACTOR], |row| row.get(0)).optional()?;
            document
                .map(|bytes| {
                    serde_json::from_slice(&bytes).map_err(|_| Error::Damaged { what: "layer inventory" })
                })
                .transpose()
        })
        .await
    }

    /// How many bytes the stored inventory of a layer has as a document, if this extractor made it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn layer_inventory_bytes(&self, layer: &Digest) -> Result<Option<u64>, Error> {
        self.document_bytes(
            layer,
            "SELECT length(document) FROM layer_inventory WHERE digest = ?1 AND extractor = ?2",
        )
        .await
    }

    /// How many bytes the stored inventory of an image has as a document, if this extractor made it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn image_inventory_bytes(&self, image: &Digest) -> Result<Option<u64>, Error> {
        self.document_bytes(image, "SELECT length(inventory) FROM image WHERE digest = ?1 AND extractor = ?2")
            .await
    }

    async fn document_bytes(&self, of: &Digest, sql: &'static str) -> Result<Option<u64>, Error> {
        let of = of.to_string();
        self.read(move |rows| {
            Ok(rows.prepare_cached(sql)?.query_row(params![of, EXTRACTOR], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Stores the inventory of a layer whose bytes are in the blob store.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_layer_inventory(&self, layer: &Digest, inventory: &LayerInventory) -> Result<(), Error> {
        let layer = layer.to_string();
        let document =
            serde_json::to_vec(inventory).map_err(|_| Error::Damaged { what: "layer inventory" })?;
        self.grow(move |rows| {
            rows.prepare_cached(
                "INSERT INTO layer_inventory (digest, extractor, document) VALUES (?1, ?2, ?3)
                 ON CONFLICT (digest, extractor) DO UPDATE SET document = excluded.document",
            )?
            .execute(params![layer, EXTRACTOR, document])?;
            Ok(())
        })
        .await
    }

    /// The stored inventory of an image, if this extractor made it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn image_inventory(&self, image: &Digest) -> Result<Option<ImageInventory>, Error> {
        let image = image.to_string();
        self.read(move |rows| {
            let mut statement =
                rows.prepare_cached("SELECT inventory FROM image WHERE digest = ?1 AND extractor = ?2")?;
            let document: Option<Vec<u8>> =
                statement.query_row(params![image, EXTRACTOR], |row| row.get(0)).optional()?;
            document
                .map(|bytes| {
                    serde_json::from_slice(&bytes).map_err(|_| Error::Damaged { what: "image inventory" })
                })
                .transpose()
        })
        .await
    }

    /// Stores a verdict with its findings, unless the snapshot it rests on is no longer the
    /// current one: then nothing is stored, the answer is `false`, and the caller judges again.
    /// An image that was deleted meanwhile is `true` and stores nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_verdict(&self, write: VerdictWrite) -> Result<bool, Error> {
        let origin = Arc::clone(&self.origin);
        self.grow(move |rows| {
            let current = setting(rows, SNAPSHOT)?;
            let snapshot = write.snapshot.as_ref().map(ToString::to_string);
            if current != snapshot {
                return Ok(false);
            }
            let image = write.image.to_string();
            if !rows.prepare_cached("SELECT 1 FROM manifest WHERE digest = ?1 LIMIT 1")?.exists([&image])? {
                return Ok(true);
            }
            let since = newest_change(rows)?;
            let before = stored_verdict(rows, &image)?;
            let watched = Watched::begin(rows, &image)?;
            end_kept(rows, &image, write.now_ms)?;
            let known = advisories_of(rows, &image)?;
            let inventory = write.inventory.to_json();
            let distro = write.inventory.distro.as_ref().map(|distro| serde_json::json!(distro).to_string());
            let causes = serde_json::json!(write.verdict.causes).to_string();
            // SQLite copies the document: the two are not held beside it.
            drop(write.inventory);
            rows.prepare_cached(
                "INSERT INTO image (digest, extractor, inventory_digest, inventory, snapshot, engine, state, causes,
                                    first_judged_ms, judged_ms, changed_ms, distro)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?9, ?10)
                 ON CONFLICT (digest) DO UPDATE SET extractor = excluded.extractor,
                   inventory_digest = excluded.inventory_digest, inventory = excluded.inventory,
                   snapshot = excluded.snapshot, engine = excluded.engine, state = excluded.state,
                   causes = excluded.causes, judged_ms = excluded.judged_ms, distro = excluded.distro,
                   changed_ms = iif(state = excluded.state, changed_ms, excluded.changed_ms)",
            )?
            .execute(params![
                image,
                EXTRACTOR,
                Digest::sha256(&inventory).to_string(),
                inventory,
                snapshot,
                write.engine,
                write.verdict.state.name(),
                causes,
                write.now_ms,
                distro
            ])?;
            put_findings(rows, &image, &write.verdict.findings)?;
            rows.prepare_cached("DELETE FROM image_package WHERE image = ?1")?.execute([&image])?;
            let mut key = rows.prepare_cached(
                "INSERT INTO image_package (namespace, package, image) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?;
            for (namespace, package) in &write.keys {
                key.execute([namespace, package, &image])?;
            }
            meter(rows, &image, Judged::Now, write.now_ms)?;
            // The same packages judged by other advisories: what is new came with the advisories.
            let is_rematch = before.as_ref().is_some_and(|before| {
                before.inventory == Digest::sha256(&inventory)
                    && before.snapshot.is_some()
                    && before.snapshot != write.snapshot
            });
            let prior = before.map_or(Prior::AsStored, |it| Prior::Was(it.state, it.changed_ms));
            rule_changes(rows, since, prior, write.now_ms)?;
            if is_rematch {
                note_news(rows, &image, &known)?;
            }
            watched.end(rows, &origin, write.now_ms)?;
            Ok(true)
        })
        .await
    }

    /// The images that hold a package under this key; see [`VerdictWrite::keys`].
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn images_holding(&self, keys: Vec<(String, String)>) -> Result<Vec<Digest>, Error> {
        self.read(move |rows| {
            let mut statement =
                rows.prepare_cached("SELECT image FROM image_package WHERE namespace = ?1 AND package = ?2")?;
            let mut images = std::collections::BTreeSet::new();
            for (namespace, package) in keys {
                let mut found = statement.query([namespace, package])?;
                while let Some(row) = found.next()? {
                    images.insert(row.get::<_, String>(0)?);
                }
            }
            images.iter().map(|digest| parse_digest(digest)).collect()
        })
        .await
    }

    /// True if the image is in a registry whose subscription has a plan on.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn is_covered(&self, image: &Digest) -> Result<bool, Error> {
        let image = image.to_string();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT 1 FROM manifest
                 JOIN repository ON repository.id = manifest.repository_id
                 JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL
                 JOIN plan ON plan.subscription_id = registry.subscription_id
                 WHERE manifest.digest = ?1 AND plan.tier = 'Standard' LIMIT 1",
            )?;
            Ok(statement.exists([image])?)
        })
        .await
    }

    /// The verdict of an image digest, wherever the image is.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn verdict(&self, image: &Digest) -> Result<Option<StoredVerdict>, Error> {
        let image = image.to_string();
        self.read(move |rows| stored_verdict(rows, &image)).await
    }

    /// The findings of an image, worst first, each with the rule that disables it there.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn findings(&self, image: &ImageRow) -> Result<Vec<RuledFinding>, Error> {
        let (repository, digest) = (image.repository_id, image.digest.to_string());
        if image.verdict.is_none() {
            return Ok(Vec::new());
        }
        self.read(move |rows| crate::ruled::findings(rows, (repository, &digest), 0, usize::MAX)).await
    }

    /// Images of a registry in a fixed order, after the row named by `after` (its repository's row
    /// number and its digest). Indexes are not images: their children are.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn images(
        &self,
        registry: RegistryId,
        after: Option<(i64, String)>,
        limit: usize,
    ) -> Result<Vec<ImageRow>, Error> {
        self.read(move |rows| images(rows, registry, None, after, ">", limit)).await
    }

    /// Which images of a registry the tags of indexes lead to: the repository's row number, the image and
    /// the tag, in that order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn index_tags(&self, registry: RegistryId) -> Result<Vec<(i64, Digest, Tag)>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "WITH RECURSIVE held (repository_id, digest, kind, tag) AS (
                   SELECT tag.repository_id, tag.digest, manifest.kind, tag.name FROM tag
                   JOIN repository ON repository.id = tag.repository_id AND repository.registry_id = ?1
                   JOIN manifest ON manifest.repository_id = tag.repository_id AND manifest.digest = tag.digest
                   WHERE manifest.kind = 'index'
                   UNION
                   SELECT child.repository_id, child.digest, child.kind, held.tag FROM held
                   JOIN manifest_reference AS needed
                     ON held.kind = 'index' AND needed.repository_id = held.repository_id
                        AND needed.manifest = held.digest
                   JOIN manifest AS child
                     ON child.repository_id = needed.repository_id AND child.digest = needed.target)
                 SELECT repository_id, digest, tag FROM held WHERE kind <> 'index'
                 ORDER BY repository_id, digest, tag",
            )?;
            let found = statement.query_map([registry.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })?;
            let parse = |row: rusqlite::Result<(i64, String, String)>| {
                let (repository, digest, tag) = row?;
                let tag = tag.parse().map_err(|_| Error::Damaged { what: "tag" })?;
                Ok((repository, parse_digest(&digest)?, tag))
            };
            found.map(parse).collect()
        })
        .await
    }

    /// The image that the reference names; `None` if it names none, or an index.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn image(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<ImageRow>, Error> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.read(move |rows| {
            let by = match reference {
                Reference::Digest(_) => "manifest.digest = ?3",
                Reference::Tag(_) => {
                    "manifest.digest = (SELECT digest FROM tag WHERE repository_id = repository.id AND name = ?3)"
                }
            };
            let sql = format!(
                "{IMAGE_ROWS} WHERE registry.id = ?1 AND repository.name = ?2 AND manifest.kind <> 'index' AND {by}"
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement
                .query_row(params![registry.0, repository.as_str(), reference.to_string()], raw_image)
                .optional()?;
            found.map(|raw| image_row(rows, raw)).transpose()
        })
        .await
    }
}

/// Images of a registry, or of repositories of it alone (their row numbers), from the row named by `from` on: itself
/// included with `>=`, not with `>`.
pub(crate) fn images(
    rows: &Connection,
    registry: RegistryId,
    of: Option<&[i64]>,
    from: Option<(i64, String)>,
    comparison: &'static str,
    limit: usize,
) -> Result<Vec<ImageRow>, Error> {
    let sql = format!(
        "{IMAGE_ROWS} WHERE manifest.kind <> 'index' AND registry.id = ?1
         AND (repository.id, manifest.digest) {comparison} (?2, ?3) {}
         ORDER BY repository.id, manifest.digest LIMIT ?4",
        among(of, "?5")
    );
    let (repository_id, digest) = from.unwrap_or((0, String::new()));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = rows.prepare_cached(&sql)?;
    let found =
        statement.query_map(params![registry.0, repository_id, digest, limit, listed(of)], raw_image)?;
    found.map(|row| image_row(rows, row?)).collect()
}

/// That a repository is one of those that the parameter lists, see [`listed`]; nothing if all are meant.
pub(crate) fn among(of: Option<&[i64]>, parameter: &str) -> String {
    // The parameter is named in either case: a statement has as many as are bound.
    match of {
        Some(_) => format!("AND repository.id IN (SELECT value FROM json_each({parameter}))"),
        None => format!("AND {parameter} IS NULL"),
    }
}

/// Repositories' row numbers as a parameter.
pub(crate) fn listed(of: Option<&[i64]>) -> Option<String> {
    of.map(|ids| format!("[{}]", ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")))
}

fn put_findings(rows: &Connection, image: &str, findings: &[Finding]) -> Result<(), Error> {
    rows.prepare_cached("DELETE FROM finding WHERE image = ?1")?.execute([image])?;
    let mut insert = rows.prepare_cached(
        "INSERT INTO finding (image, position, severity, document, advisory) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, finding) in (0_i64..).zip(findings) {
        let document = serde_json::to_string(finding).map_err(|_| Error::Damaged { what: "finding" })?;
        let advisory = finding.aliases.is_empty().then(|| finding.id.to_ascii_uppercase());
        insert.execute(params![image, position, finding.severity.name(), document, advisory])?;
    }
    Ok(())
}

fn stored_verdict(rows: &Connection, image: &str) -> Result<Option<StoredVerdict>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT state, causes, inventory_digest, snapshot, engine, first_judged_ms, judged_ms, changed_ms,
                (SELECT count(*) FROM finding WHERE finding.image = image.digest), distro
         FROM image WHERE digest = ?1",
    )?;
    let mut found = statement.query([image])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let snapshot: Option<String> = row.get(3)?;
    Ok(Some(StoredVerdict {
        state: ImageState::from_name(&row.get::<_, String>(0)?).ok_or(Error::Damaged { what: "state" })?,
        causes: serde_json::from_str(&row.get::<_, String>(1)?)
            .map_err(|_| Error::Damaged { what: "cause" })?,
        inventory: parse_digest(&row.get::<_, String>(2)?)?,
        snapshot: snapshot.map(|text| parse_digest(&text)).transpose()?,
        engine: row.get(4)?,
        first_judged_ms: row.get(5)?,
        judged_ms: row.get(6)?,
        changed_ms: row.get(7)?,
        findings: row.get(8)?,
        distro: parse_distro(row.get(9)?)?,
    }))
}

pub(crate) type RawImage = (i64, i64, String, String, String, i64, bool, Option<i64>);

pub(crate) fn raw_image(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawImage> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
    ))
}

pub(crate) fn image_row(rows: &Connection, raw: RawImage) -> Result<ImageRow, Error> {
    let (repository_id, registry, repository, digest, media_type, pushed_ms, plan_is_on, judged_ms) = raw;
    let tags = tags_of(rows, repository_id, &digest)?;
    let failure = rows
        .prepare_cached(
            "SELECT attempts, error FROM job WHERE kind = 'scan' AND key = ?1 AND error IS NOT NULL",
        )?
        .query_row([&digest], |row| Ok(ScanFailure { attempts: row.get(0)?, error: row.get(1)? }))
        .optional()?;
    // What was judged for another subscription is not shown where no plan was on.
    let is_shown = plan_is_on || judged_ms.is_some();
    let mut verdict = if is_shown { stored_verdict(rows, &digest)? } else { None };
    let mut ruled = if is_shown { crate::ruled::stored(rows, repository_id, &digest)? } else { None };
    // Dates belong to the registry: the image may have been judged elsewhere long before it came here.
    if let Some(here_ms) = judged_ms {
        if let Some(verdict) = &mut verdict {
            verdict.first_judged_ms = verdict.first_judged_ms.max(here_ms);
            verdict.changed_ms = verdict.changed_ms.max(here_ms);
        }
        if let Some(ruled) = &mut ruled {
            ruled.changed_ms = ruled.changed_ms.max(here_ms);
        }
    }
    Ok(ImageRow {
        repository_id,
        registry: RegistryId(registry),
        repository: repository.parse().map_err(|_| Error::Damaged { what: "repository name" })?,
        media_type,
        pushed_ms,
        tags,
        plan_is_on,
        verdict,
        ruled,
        failure,
        digest: parse_digest(&digest)?,
    })
}

/// The tags of a manifest, in byte order.
pub(crate) fn tags_of(rows: &Connection, repository_id: i64, digest: &str) -> Result<Vec<Tag>, Error> {
    let mut tags =
        rows.prepare_cached("SELECT name FROM tag WHERE repository_id = ?1 AND digest = ?2 ORDER BY name")?;
    let tags = tags.query_map(params![repository_id, digest], |row| row.get::<_, String>(0))?;
    tags.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "tag" })).collect()
}

pub(crate) const IMAGE_ROWS: &str =
    "SELECT repository.id, registry.id, repository.name, manifest.digest, manifest.media_type,
        manifest.pushed_ms,
        EXISTS (SELECT 1 FROM plan WHERE plan.subscription_id = registry.subscription_id AND tier = 'Standard'),
        (SELECT first_ms FROM judged_in
         WHERE judged_in.registry_id = registry.id AND judged_in.image = manifest.digest)
 FROM manifest
 JOIN repository ON repository.id = manifest.repository_id
 JOIN registry ON registry.id = repository.registry_id AND registry.deleted_ms IS NULL";
