//! Manifests, their tags and referrers.

use std::collections::BTreeMap;
use std::sync::Arc;

use oci::{Content, Digest, Manifest, MediaType, Reference, Repository, Tag};
use rusqlite::{Connection, OptionalExtension, params};

use crate::assessed::note_leaving;
use crate::attributes::{
    check_manifest_deletable, check_repository_writable, check_tag_deletable, check_tag_movable,
};
use crate::change::newest_change;
use crate::deleted::{forget_deleted, keep_manifest, keep_tag};
use crate::event::Outbox;
use crate::gate::stored;
use crate::image::tags_of;
use crate::job::enqueue;
use crate::repository::{ensure_repository, parse_digest, repository_id};
use crate::retention::{note_untagged, remove_tag};
use crate::ruled::{rule_children, rule_retagged};
use crate::usage::show_verdict;
use crate::{DeleteError, Error, EventAction, EventTarget, JobKind, Locked, Metastore, Origin, RegistryId};

/// What a manifest is, as far as scanning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// A container image for one platform.
    Image,
    /// A chart, a signature, an SBOM…
    Artifact,
    /// A list of others.
    Index,
}

impl ManifestKind {
    /// What a manifest is.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        match manifest.content() {
            Content::Index { .. } => Self::Index,
            Content::Image { .. } if manifest.is_container_image() => Self::Image,
            Content::Image { .. } => Self::Artifact,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Artifact => "artifact",
            Self::Index => "index",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "image" => Ok(Self::Image),
            "artifact" => Ok(Self::Artifact),
            "index" => Ok(Self::Index),
            _ => Err(Error::Damaged { what: "manifest kind" }),
        }
    }
}

/// A manifest to be stored, with all that one transaction needs to know of it.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// The registry it is pushed to.
    pub registry: RegistryId,
    /// The repository it is pushed to.
    pub repository: Repository,
    /// Its digest, in the algorithm of the push.
    pub digest: Digest,
    /// What it is.
    pub kind: ManifestKind,
    /// What it was pushed as.
    pub media_type: MediaType,
    /// As lists of referrers show it.
    pub artifact_type: Option<String>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// Its own annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// The blobs that the repository must link. What an index names without saying that it is a manifest may be one
    /// all the same.
    pub blobs: Vec<Digest>,
    /// The manifests that the repository must hold.
    pub children: Vec<Digest>,
    /// True if children may be missing (a sparse index).
    pub is_sparse: bool,
    /// The tags to move to it.
    pub tags: Vec<Tag>,
    /// Who pushed it.
    pub pushed_by: String,
    /// When.
    pub now_ms: i64,
}

/// Why a manifest was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutManifestError {
    /// It names content that this repository does not hold.
    #[error("the manifest names {} blobs or manifests that this repository does not hold", missing.len())]
    ContentUnknown {
        /// What is missing.
        missing: Vec<Digest>,
    },
    /// An attribute forbids it.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for PutManifestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A stored manifest, exactly as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Its digest, in the algorithm of the push.
    pub digest: Digest,
    /// What it was pushed as.
    pub media_type: MediaType,
    /// What it is.
    pub kind: ManifestKind,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// False: an attribute of the repository, the manifest or the tag that was asked for forbids pulls.
    pub is_readable: bool,
}

/// A manifest that points at another as its subject.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: u64,
    /// The kind of artifact.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Which referrers of a subject are asked for.
#[derive(Clone, Debug, Default)]
pub struct ReferrersPage {
    /// Only those of this artifact type.
    pub artifact_type: Option<String>,
    /// Only those whose digest comes after this one.
    pub after: Option<String>,
    /// So many at most; fewer if their annotations are long.
    pub limit: usize,
}

impl Metastore {
    /// Stores the manifest, moves its tags and queues its scan, or does none of them: an image
    /// that can be pulled is an image that will be scanned.
    ///
    /// The scan is queued if the subscription's plan is on; an index is scanned by its children.
    ///
    /// # Errors
    /// [`PutManifestError`].
    pub async fn put_manifest(&self, put: PutManifest) -> Result<(), PutManifestError> {
        let origin = Arc::clone(&self.origin);
        self.grow(move |rows| store(rows, &put, &origin)).await
    }

    /// The manifest that the reference names in this repository.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>, Error> {
        let (repository, reference) = (repository.clone(), reference.clone());
        self.read(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            stored(rows, repository_id, &reference)
        })
        .await
    }

    /// A manifest of this repository that names the blob or manifest `target`.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn manifest_naming(
        &self,
        registry: RegistryId,
        repository: &Repository,
        target: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        let (repository, target) = (repository.clone(), target.to_string());
        self.read(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let found = rows
                .prepare_cached(
                    "SELECT digest, media_type, kind, bytes, locks & 8 = 0 FROM manifest
                     WHERE repository_id = ?1 AND digest = (SELECT manifest FROM manifest_reference
                       WHERE repository_id = ?1 AND target = ?2 LIMIT 1)",
                )?
                .query_row(params![repository_id, target], stored_manifest)
                .optional()?;
            found.map(parse_manifest).transpose()
        })
        .await
    }

    /// The manifest of that digest in whichever repository holds it. For the scanner.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn any_manifest(&self, digest: &Digest) -> Result<Option<StoredManifest>, Error> {
        let digest = digest.to_string();
        self.read(move |rows| {
            let found = rows
                .prepare_cached(
                    "SELECT digest, media_type, kind, bytes, TRUE FROM manifest WHERE digest = ?1 LIMIT 1",
                )?
                .query_row([digest], stored_manifest)
                .optional()?;
            found.map(parse_manifest).transpose()
        })
        .await
    }

    /// Takes a manifest and all its tags out of a repository; with its last copy in the house its
    /// verdict and findings go too. `false`: the repository does not hold it.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_manifest(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        now_ms: i64,
    ) -> Result<bool, DeleteError> {
        let (repository, digest, origin) = (repository.clone(), digest.clone(), Arc::clone(&self.origin));
        self.write(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(false) };
            check_manifest_deletable(rows, repository_id, &repository, &digest)?;
            if let Some(outbox) = Outbox::open(rows, registry.0, &[EventAction::Delete], &origin, now_ms)? {
                outbox.deleted(repository_id, &repository, &digest)?;
            }
            keep_manifest(rows, registry, repository_id, &digest, now_ms)?;
            let digest = digest.to_string();
            note_leaving(rows, (repository_id, &digest), now_ms)?;
            let gone = rows
                .prepare_cached("DELETE FROM manifest WHERE repository_id = ?1 AND digest = ?2")?
                .execute(params![repository_id, digest])?;
            rows.prepare_cached(
                "DELETE FROM image WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM manifest WHERE digest = ?1)",
            )?
            .execute([digest])?;
            Ok(gone == 1)
        })
        .await
    }

    /// Removes a tag; its manifest and other tags stay. `false`: there was none.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_tag(
        &self,
        registry: RegistryId,
        repository: &Repository,
        tag: &Tag,
        now_ms: i64,
    ) -> Result<bool, DeleteError> {
        let (repository, tag, origin) = (repository.clone(), tag.clone(), Arc::clone(&self.origin));
        self.write(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(false) };
            check_tag_deletable(rows, repository_id, &repository, &tag)?;
            keep_tag(rows, registry, repository_id, &tag, now_ms)?;
            Ok(remove_tag(rows, repository_id, &tag, &origin, now_ms)?)
        })
        .await
    }

    /// The tags after `after`, in byte order; `None` if there is no such repository.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tags(
        &self,
        registry: RegistryId,
        repository: &Repository,
        after: Option<String>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let mut statement = rows.prepare_cached(
                "SELECT name FROM tag WHERE repository_id = ?1 AND name > ?2 AND locks & 4 = 0 ORDER BY name LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let names = statement
                .query_map(params![repository_id, after.unwrap_or_default(), limit], |row| {
                    row.get::<_, String>(0)
                })?;
            let tags: Result<_, Error> =
                names.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "tag" })).collect();
            tags.map(Some)
        })
        .await
    }

    /// The manifests of this repository that name `subject`, in the order of their digests: one page,
    /// and whether there is more. An unknown repository or subject has none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn referrers(
        &self,
        registry: RegistryId,
        repository: &Repository,
        subject: &Digest,
        page: ReferrersPage,
    ) -> Result<(Vec<Referrer>, bool), Error> {
        let (repository, subject) = (repository.clone(), subject.to_string());
        self.read(move |rows| {
            let (mut listed, mut bytes) = (Vec::new(), 0);
            let Some(repository_id) = repository_id(rows, registry, &repository)? else {
                return Ok((listed, false));
            };
            let mut statement = rows.prepare_cached(
                "SELECT digest, media_type, length(bytes), artifact_type, annotations FROM manifest
                 WHERE repository_id = ?1 AND subject = ?2 AND locks & 4 = 0
                   AND (?3 IS NULL OR artifact_type = ?3) AND digest > ?4 ORDER BY digest",
            )?;
            let after = page.after.unwrap_or_default();
            let mut found = statement.query(params![repository_id, subject, page.artifact_type, after])?;
            while let Some(row) = found.next()? {
                let (artifact_type, annotations): (Option<String>, Option<String>) =
                    (row.get(3)?, row.get(4)?);
                bytes += [&artifact_type, &annotations].into_iter().flatten().map(String::len).sum::<usize>();
                if listed.len() == page.limit || (bytes > PAGE_BYTES_MAX && !listed.is_empty()) {
                    return Ok((listed, true));
                }
                let annotations = annotations
                    .map(|text| serde_json::from_str(&text))
                    .transpose()
                    .map_err(|_| Error::Damaged { what: "annotations" })?;
                listed.push(Referrer {
                    digest: parse_digest(&row.get::<_, String>(0)?)?,
                    media_type: MediaType::new(&row.get::<_, String>(1)?),
                    size: row.get(2)?,
                    artifact_type,
                    annotations,
                });
            }
            Ok((listed, false))
        })
        .await
    }
}

/// What the referrers of one page have in annotations: clients read no index above 4 MiB.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// Tells the push to who wants to know: once for each tag, or once if there is none.
/// As [`Metastore::put_manifest`], within a transaction.
pub(crate) fn store(rows: &Connection, put: &PutManifest, origin: &Origin) -> Result<(), PutManifestError> {
    let since = newest_change(rows)?;
    let repository_id = ensure_repository(rows, put.registry, &put.repository, put.now_ms)?;
    check_repository_writable(rows, repository_id, &put.repository)??;
    let missing = missing_content(rows, repository_id, put)?;
    if !missing.is_empty() {
        return Err(PutManifestError::ContentUnknown { missing });
    }
    let digest = put.digest.to_string();
    let annotations = put.annotations.as_ref().map(|map| serde_json::json!(map).to_string());
    let is_new =
        rows.prepare_cached(
            "INSERT INTO manifest (repository_id, digest, kind, media_type, artifact_type, subject,
                                   annotations, bytes, pushed_ms, pushed_by, quarantine)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
               (SELECT 'Quarantined' FROM registry WHERE id = ?11 AND quarantine))
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            repository_id,
            digest,
            put.kind.name(),
            put.media_type.as_str(),
            put.artifact_type,
            put.subject.as_ref().map(ToString::to_string),
            annotations,
            put.bytes,
            put.now_ms,
            put.pushed_by,
            put.registry.0
        ])? == 1;
    if is_new {
        let mut reference = rows.prepare_cached(
            "INSERT INTO manifest_reference (repository_id, manifest, target) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?;
        for target in put.blobs.iter().chain(&put.children) {
            reference.execute(params![repository_id, digest, target.to_string()])?;
        }
    } else {
        rows.prepare_cached(
            "UPDATE manifest SET pushed_ms = ?3, pushed_by = ?4 WHERE repository_id = ?1 AND digest = ?2",
        )?
        .execute(params![repository_id, digest, put.now_ms, put.pushed_by])?;
    }
    for tag in &put.tags {
        if check_tag_movable(rows, repository_id, (put.registry, &put.repository, tag), &digest)?? {
            continue;
        }
        note_untagged(rows, repository_id, tag, &digest, put.now_ms)?;
        rows.prepare_cached(
            "INSERT INTO tag (repository_id, name, digest, updated_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET digest = excluded.digest, updated_ms = excluded.updated_ms",
        )?
        .execute(params![repository_id, tag.as_str(), digest, put.now_ms])?;
    }
    note_push(rows, repository_id, put, origin)?;
    if put.kind != ManifestKind::Index && plan_is_on(rows, put.registry)? {
        enqueue(rows, JobKind::Scan, &digest, put.now_ms)?;
        show_verdict(rows, &digest, put.now_ms)?;
    }
    // It may be judged already, and what its tags pointed to before may be meant by other rules now.
    rule_retagged(rows, since, origin, put.now_ms)?;
    if is_new && put.kind == ManifestKind::Index {
        rule_children(rows, repository_id, &digest, origin, put.now_ms)?;
    }
    forget_deleted(rows, put)?;
    Ok(())
}

fn note_push(rows: &Connection, repository_id: i64, put: &PutManifest, origin: &Origin) -> Result<(), Error> {
    let actions = [EventAction::Push, EventAction::Quarantine];
    let Some(outbox) = Outbox::open(rows, put.registry.0, &actions, origin, put.now_ms)? else {
        return Ok(());
    };
    let digest = put.digest.to_string();
    let tags: Vec<String> = tags_of(rows, repository_id, &digest)?.iter().map(ToString::to_string).collect();
    let target = |tag: Option<&Tag>| EventTarget {
        repository: put.repository.to_string(),
        tag: tag.map(ToString::to_string),
        tags: tags.clone(),
        digest: digest.clone(),
        media_type: put.media_type.to_string(),
        size: put.bytes.len() as u64,
    };
    let pushed: Vec<EventTarget> = match put.tags.as_slice() {
        [] => vec![target(None)],
        tags => tags.iter().map(|tag| target(Some(tag))).collect(),
    };
    for target in pushed {
        for action in actions {
            outbox.put(action, target.clone(), None)?;
        }
    }
    Ok(())
}

fn missing_content(rows: &Connection, repository_id: i64, put: &PutManifest) -> Result<Vec<Digest>, Error> {
    let mut linked =
        rows.prepare_cached("SELECT 1 FROM repository_blob WHERE repository_id = ?1 AND digest = ?2")?;
    let mut held = rows.prepare_cached("SELECT 1 FROM manifest WHERE repository_id = ?1 AND digest = ?2")?;
    let mut missing = Vec::new();
    let children = if put.is_sparse { [].as_slice() } else { put.children.as_slice() };
    for digest in &put.blobs {
        let key = (repository_id, digest.to_string());
        let is_there = linked.exists(key.clone())? || put.kind == ManifestKind::Index && held.exists(key)?;
        if !is_there {
            missing.push(digest.clone());
        }
    }
    for digest in children {
        if !held.exists((repository_id, digest.to_string()))? {
            missing.push(digest.clone());
        }
    }
    Ok(missing)
}

fn plan_is_on(rows: &Connection, registry: RegistryId) -> Result<bool, Error> {
    Ok(rows
        .prepare_cached(
            "SELECT 1 FROM registry JOIN plan ON plan.subscription_id = registry.subscription_id
             WHERE registry.id = ?1 AND plan.tier = 'Standard'",
        )?
        .exists([registry.0])?)
}

pub(crate) type RawManifest = (String, String, String, Vec<u8>, bool);

pub(crate) fn stored_manifest(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawManifest> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

pub(crate) fn parse_manifest(
    (digest, media_type, kind, bytes, is_readable): RawManifest,
) -> Result<StoredManifest, Error> {
    Ok(StoredManifest {
        digest: parse_digest(&digest)?,
        media_type: MediaType::new(&media_type),
        kind: ManifestKind::from_name(&kind)?,
        bytes,
        is_readable,
    })
}
