//! Gates: what images must be to be pulled, and all that is known of what somebody pulls.

use assessment::{Asked, Cause, Finding, Gate, GateExemption, Gates, ImageState, Judged, Ruling};
use oci::{Digest, Reference, Repository, Tag};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::change::image_now;
use crate::image::tags_of;
use crate::manifest::{ManifestKind, parse_manifest, stored_manifest};
use crate::repository::{parse_digest, repository_id};
use crate::{Error, Metastore, RegistryId, StoredManifest};

/// A manifest that somebody pulls, with all that decides whether they may.
#[derive(Clone, Debug)]
pub struct PulledManifest {
    /// The manifest.
    pub manifest: StoredManifest,
    /// Its repository's row number, as [`crate::Changes`] names it.
    pub repository_id: i64,
    /// Who pushed it last.
    pub pushed_by: String,
    /// When.
    pub pushed_ms: i64,
    /// Somebody has to let it pass first (Azure's quarantine).
    pub is_quarantined: bool,
    /// Its tags, in byte order.
    pub tags: Vec<Tag>,
    /// The images that it stands for: itself, or those of the index; `None`: more than there are platforms.
    pub images: Option<Vec<JudgedImage>>,
    /// The registry's gates.
    pub gates: Gates,
}

impl PulledManifest {
    /// What the gates say of it.
    #[must_use]
    pub fn rule(&self, repository: &Repository, now_ms: i64) -> Ruling {
        let asked =
            Asked { repository: repository.as_str(), digest: &self.manifest.digest, tags: &self.tags };
        match &self.images {
            Some(images) => {
                let judged: Vec<Judged<'_>> = images.iter().map(JudgedImage::judged).collect();
                self.gates.rule(&asked, &judged, now_ms)
            }
            None if self.gates.guard(repository.as_str()) => Ruling::Block(format!(
                "it names more than {IMAGES_MAX} images, which are not judged together"
            )),
            None => Ruling::Pass(None),
        }
    }
}

/// An image as it was judged.
#[derive(Clone, Debug)]
pub struct JudgedImage {
    /// Which.
    pub digest: Digest,
    /// Its state.
    pub state: ImageState,
    /// Why it is in it.
    pub causes: Vec<Cause>,
    /// The findings that no rule disables, worst first.
    pub findings: Vec<Finding>,
}

impl JudgedImage {
    /// As rules take it.
    #[must_use]
    pub fn judged(&self) -> Judged<'_> {
        Judged { digest: &self.digest, state: self.state, causes: &self.causes, findings: &self.findings }
    }
}

/// How somebody judged a quarantined manifest, as Azure writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineState {
    /// Nobody has yet.
    Quarantined,
    /// It may be pulled.
    Passed,
    /// It may not.
    Failed,
}

impl QuarantineState {
    /// As Azure writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quarantined => "Quarantined",
            Self::Passed => "Passed",
            Self::Failed => "Failed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Quarantined, Self::Passed, Self::Failed].into_iter().find(|state| state.name() == name)
    }
}

/// What is said of a manifest that was pushed into quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// How it was judged.
    pub state: QuarantineState,
    /// What whoever judged it says: text of theirs.
    pub details: Option<String>,
}

impl Metastore {
    /// The registry's gates and exemptions, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn gates(&self, registry: RegistryId) -> Result<Gates, Error> {
        self.read(move |rows| gates(rows, registry)).await
    }

    /// True if an image that is new to the repository may not be pulled by everybody before it was judged
    /// or let pass: a gate guards the repository, or the registry has a quarantine.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn holds_back(&self, registry: RegistryId, repository: &Repository) -> Result<bool, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let sql = "SELECT 1 FROM registry WHERE id = ?1 AND quarantine";
            let has_quarantine = rows.prepare_cached(sql)?.exists([registry.0])?;
            Ok(has_quarantine || gates(rows, registry)?.guard(repository.as_str()))
        })
        .await
    }

    /// Makes or replaces a gate.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_gate(&self, registry: RegistryId, gate: Gate) -> Result<(), Error> {
        let policy = serde_json::to_string(&gate.policy).map_err(|_| Error::Damaged { what: "policy" })?;
        self.write(move |rows| {
            let sql = "INSERT INTO gate (registry_id, name, repositories, policy) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (registry_id, name)
                       DO UPDATE SET repositories = excluded.repositories, policy = excluded.policy";
            rows.prepare_cached(sql)?.execute(params![registry.0, gate.name, gate.repositories, policy])?;
            Ok(())
        })
        .await
    }

    /// Removes a gate. `false`: there was none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_gate(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        self.delete_named("DELETE FROM gate WHERE registry_id = ?1 AND name = ?2", registry, name).await
    }

    /// Makes or replaces an exemption.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_exemption(&self, registry: RegistryId, exemption: GateExemption) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached(
                "INSERT INTO gate_exemption (registry_id, name, repositories, tags, digest, advisory,
                   reason, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (registry_id, name) DO UPDATE SET repositories = excluded.repositories,
                   tags = excluded.tags, digest = excluded.digest, advisory = excluded.advisory,
                   reason = excluded.reason, expires_ms = excluded.expires_ms",
            )?
            .execute(params![
                registry.0,
                exemption.name,
                exemption.repositories,
                exemption.tags,
                exemption.digest.map(|digest| digest.to_string()),
                exemption.advisory,
                exemption.reason,
                exemption.expires_ms
            ])?;
            Ok(())
        })
        .await
    }

    /// Removes an exemption. `false`: there was none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_exemption(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM gate_exemption WHERE registry_id = ?1 AND name = ?2";
        self.delete_named(sql, registry, name).await
    }

    pub(crate) async fn delete_named(
        &self,
        sql: &'static str,
        registry: RegistryId,
        name: &str,
    ) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| Ok(rows.prepare_cached(sql)?.execute(params![registry.0, name])? == 1)).await
    }

    /// The manifest that the reference names, with all that decides whether it may be pulled.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn pulled(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<PulledManifest>, Error> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.read(move |rows| pulled(rows, registry, &repository, &reference)).await
    }

    /// Says how a manifest was judged. `false`: the repository does not hold it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_quarantine(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        quarantine: Quarantine,
    ) -> Result<bool, Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.write(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(false) };
            let sql =
                "UPDATE manifest SET quarantine = ?3, quarantine_details = coalesce(?4, quarantine_details)
                       WHERE repository_id = ?1 AND digest = ?2";
            let Quarantine { state, details } = quarantine;
            Ok(rows.prepare_cached(sql)?.execute(params![id, digest, state.name(), details])? == 1)
        })
        .await
    }
}

fn gates(rows: &Connection, registry: RegistryId) -> Result<Gates, Error> {
    let mut gates = Gates::default();
    let mut statement = rows
        .prepare_cached("SELECT name, repositories, policy FROM gate WHERE registry_id = ?1 ORDER BY name")?;
    let mut found = statement.query([registry.0])?;
    while let Some(row) = found.next()? {
        let policy: String = row.get(2)?;
        gates.gates.push(Gate {
            name: row.get(0)?,
            repositories: row.get(1)?,
            policy: serde_json::from_str(&policy).map_err(|_| Error::Damaged { what: "gate" })?,
        });
    }
    let mut statement = rows.prepare_cached(
        "SELECT name, repositories, tags, digest, advisory, reason, expires_ms FROM gate_exemption
         WHERE registry_id = ?1 ORDER BY name",
    )?;
    let mut found = statement.query([registry.0])?;
    while let Some(row) = found.next()? {
        let digest: Option<String> = row.get(3)?;
        gates.exemptions.push(GateExemption {
            name: row.get(0)?,
            repositories: row.get(1)?,
            tags: row.get(2)?,
            digest: digest.map(|digest| parse_digest(&digest)).transpose()?,
            advisory: row.get(4)?,
            reason: row.get(5)?,
            expires_ms: row.get(6)?,
        });
    }
    Ok(gates)
}

fn pulled(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
    reference: &Reference,
) -> Result<Option<PulledManifest>, Error> {
    let Some(repository_id) = repository_id(rows, registry, repository)? else { return Ok(None) };
    let Some(manifest) = stored(rows, repository_id, reference)? else { return Ok(None) };
    let digest = manifest.digest.to_string();
    let (pushed_by, pushed_ms, is_quarantined) = rows
        .prepare_cached(
            "SELECT pushed_by, pushed_ms, coalesce(quarantine, 'Passed') <> 'Passed' FROM manifest
             WHERE repository_id = ?1 AND digest = ?2",
        )?
        .query_row(params![repository_id, digest], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Some(PulledManifest {
        repository_id,
        pushed_by,
        pushed_ms,
        is_quarantined,
        tags: tags_of(rows, repository_id, &digest)?,
        images: images_of(rows, repository_id, &manifest)?,
        gates: gates(rows, registry)?,
        manifest,
    }))
}

/// The manifest that the reference names.
pub(crate) fn stored(
    rows: &Connection,
    repository_id: i64,
    reference: &Reference,
) -> Result<Option<StoredManifest>, Error> {
    let by = match reference {
        Reference::Digest(_) => "manifest.digest = ?2",
        Reference::Tag(_) => {
            "manifest.digest = (SELECT digest FROM tag WHERE repository_id = ?1 AND name = ?2)"
        }
    };
    // A tag's name is never a digest.
    let sql = format!(
        "SELECT digest, media_type, kind, bytes,
                (locks | (SELECT locks FROM repository WHERE id = ?1)
                 | coalesce((SELECT locks FROM tag WHERE repository_id = ?1 AND name = ?2), 0)) & 8 = 0
         FROM manifest WHERE repository_id = ?1 AND {by}"
    );
    let mut statement = rows.prepare_cached(&sql)?;
    let found = statement.query_row(params![repository_id, reference.to_string()], stored_manifest);
    found.optional()?.map(parse_manifest).transpose()
}

/// The image itself, or those that the index, and the indexes in it, name.
fn images_of(
    rows: &Connection,
    repository_id: i64,
    manifest: &StoredManifest,
) -> Result<Option<Vec<JudgedImage>>, Error> {
    let mut digests = vec![manifest.digest.clone()];
    if manifest.kind == ManifestKind::Index {
        let mut statement = rows.prepare_cached(
            "WITH RECURSIVE tree (digest, kind) AS (
               SELECT digest, kind FROM manifest WHERE repository_id = ?1 AND digest = ?2
               UNION
               SELECT child.digest, child.kind FROM tree
               JOIN manifest_reference AS needed
                 ON tree.kind = 'index' AND needed.repository_id = ?1 AND needed.manifest = tree.digest
               JOIN manifest AS child ON child.repository_id = ?1 AND child.digest = needed.target
               LIMIT ?3)
             SELECT digest FROM tree WHERE kind <> 'index'",
        )?;
        let limit = i64::try_from(TREE_MAX + 1).unwrap_or(i64::MAX);
        let found = statement
            .query_map(params![repository_id, manifest.digest.to_string(), limit], |row| {
                row.get::<_, String>(0)
            })?;
        digests = found.map(|digest| parse_digest(&digest?)).collect::<Result<_, Error>>()?;
        if digests.len() > IMAGES_MAX {
            return Ok(None);
        }
    }
    let mut images = Vec::with_capacity(digests.len());
    for digest in digests {
        if let Some((image, findings)) = image_now(rows, repository_id, &digest)? {
            let (state, causes) = image.state();
            let open = findings.into_iter().filter(|ruled| ruled.exemption.is_none());
            let findings = open.map(|ruled| ruled.finding).collect();
            images.push(JudgedImage { digest, state, causes, findings });
        }
    }
    Ok(Some(images))
}

/// More than there are platforms.
const IMAGES_MAX: usize = 64;

/// Attestations beside each image, and indexes between them.
const TREE_MAX: usize = 256;
