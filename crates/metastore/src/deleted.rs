//! What was deleted softly, and how it comes back.
//!
//! While a registry's policy is on, a deleted manifest moves to rows of its own, with what it needs: there it
//! is in nobody's way, and its blobs are not given back. It comes back as if it were pushed again: content
//! looked for, tags moved, scan queued, in one transaction.

use std::sync::Arc;

use oci::{Digest, MediaType, Repository, Tag};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::Error;
use crate::manifest::{ManifestKind, PutManifest, PutManifestError, store};
use crate::origin::Origin;
use crate::repository::{ensure_repository, link, parse_digest};
use crate::{Metastore, RegistryId};

/// Whether deletion keeps what it deletes, and for how many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftDelete {
    /// Whether it does.
    pub is_on: bool,
    /// How long what was deleted can be restored, 1 to 90 days. Goes on when the policy is switched off.
    pub days: u32,
}

/// A deleted manifest that can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedManifest {
    /// Its digest.
    pub digest: Digest,
    /// What it was pushed as.
    pub media_type: MediaType,
    /// The tags that went with it, or before it.
    pub tags: Vec<Tag>,
    /// When it was deleted.
    pub deleted_ms: i64,
}

/// A deleted tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTag {
    /// Its name.
    pub name: Tag,
    /// What it pointed to.
    pub digest: Digest,
    /// When it was deleted.
    pub deleted_ms: i64,
}

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The registry.
    pub registry: RegistryId,
    /// The repository, which is made again if it is gone.
    pub repository: Repository,
    /// The manifest.
    pub digest: Digest,
    /// The tag that it is to have; `None`: those that it had and nobody has taken meanwhile.
    pub tag: Option<Tag>,
    /// The tag is taken from whatever has it now.
    pub is_forced: bool,
    /// When.
    pub now_ms: i64,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is neither here nor among what can be restored.
    #[error("no manifest {0} was deleted here that can still be restored")]
    Unknown(Digest),
    /// The tag points to something else now.
    #[error("the tag {tag} points to {digest} now: restore without it, under another tag, or by force")]
    TagTaken {
        /// The tag.
        tag: Tag,
        /// What it points to.
        digest: Digest,
    },
    /// It cannot be stored again.
    #[error(transparent)]
    Put(#[from] PutManifestError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for RestoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Metastore {
    /// The repositories after `after` in which something can be restored, in byte order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn deleted_repositories(
        &self,
        registry: RegistryId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Repository>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT repository FROM deleted_manifest WHERE registry_id = ?1 AND repository > ?2
                 UNION SELECT repository FROM deleted_tag WHERE registry_id = ?1 AND repository > ?2
                 ORDER BY repository LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement
                .query_map(params![registry.0, after.unwrap_or_default(), limit], |row| {
                    row.get::<_, String>(0)
                })?;
            found.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "repository name" })).collect()
        })
        .await
    }

    /// The deleted manifests of a repository after `after`, by digest.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn deleted_manifests(
        &self,
        registry: RegistryId,
        repository: &Repository,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<DeletedManifest>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT digest, media_type, deleted_ms FROM deleted_manifest
                 WHERE registry_id = ?1 AND repository = ?2 AND digest > ?3 ORDER BY digest LIMIT ?4",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let after = after.unwrap_or_default();
            let found = statement
                .query_map(params![registry.0, repository.as_str(), after, limit], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
                })?;
            found
                .map(|row| {
                    let (digest, media_type, deleted_ms) = row?;
                    let tags = kept_tags(rows, registry, &repository, &digest)?;
                    let media_type = MediaType::new(&media_type);
                    Ok(DeletedManifest { digest: parse_digest(&digest)?, media_type, tags, deleted_ms })
                })
                .collect()
        })
        .await
    }

    /// The deleted tags of a repository, the newest deletion last; of more than `limit` the newest.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn deleted_tags(
        &self,
        registry: RegistryId,
        repository: &Repository,
        limit: usize,
    ) -> Result<Vec<DeletedTag>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT name, digest, deleted_ms FROM deleted_tag WHERE registry_id = ?1 AND repository = ?2
                 ORDER BY deleted_ms DESC, name DESC LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map(params![registry.0, repository.as_str(), limit], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
            })?;
            found
                .map(|row| {
                    let (name, digest, deleted_ms) = row?;
                    let name = name.parse().map_err(|_| Error::Damaged { what: "tag" })?;
                    Ok(DeletedTag { name, digest: parse_digest(&digest)?, deleted_ms })
                })
                .collect::<Result<Vec<_>, Error>>()
                .map(|newest_first| newest_first.into_iter().rev().collect())
        })
        .await
    }

    /// Brings a manifest back, with what an index lists as far as that was deleted, too; returns its tags.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn restore_manifest(&self, restore: Restore) -> Result<Vec<Tag>, RestoreError> {
        let origin = Arc::clone(&self.origin);
        self.grow(move |rows| bring_back(rows, &restore, &origin, DEPTH_MAX)).await
    }

    /// Gives up what nobody restored in time, `limit` at most; returns how many manifests and tags that were.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn forget_expired(&self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        self.write(move |rows| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut gone = 0;
            for sql in EXPIRED {
                gone += rows.prepare_cached(sql)?.execute(params![now_ms, limit])?;
            }
            Ok(gone)
        })
        .await
    }
}

fn is_on(rows: &Connection, registry: RegistryId) -> Result<bool, Error> {
    Ok(rows.prepare_cached("SELECT 1 FROM registry WHERE id = ?1 AND soft_delete")?.exists([registry.0])?)
}

/// To be called before a manifest and its tags are deleted: keeps them, if the registry's policy says so.
pub(crate) fn keep_manifest(
    rows: &Connection,
    registry: RegistryId,
    repository_id: i64,
    digest: &Digest,
    now_ms: i64,
) -> Result<(), Error> {
    if !is_on(rows, registry)? {
        return Ok(());
    }
    let digest = digest.to_string();
    rows.prepare_cached(
        "INSERT INTO deleted_manifest (registry_id, repository, digest, kind, media_type, artifact_type, subject,
           annotations, bytes, pushed_ms, pushed_by, deleted_ms)
         SELECT ?1, repository.name, digest, kind, media_type, artifact_type, subject, annotations, bytes,
           pushed_ms, pushed_by, ?4
         FROM manifest JOIN repository ON repository.id = manifest.repository_id
         WHERE repository_id = ?2 AND digest = ?3
         ON CONFLICT DO UPDATE SET deleted_ms = excluded.deleted_ms",
    )?
    .execute(params![registry.0, repository_id, digest, now_ms])?;
    rows.prepare_cached(
        "INSERT INTO deleted_reference (manifest, target)
         SELECT deleted.id, needed.target FROM manifest_reference AS needed
         JOIN repository ON repository.id = needed.repository_id
         JOIN deleted_manifest AS deleted ON deleted.registry_id = repository.registry_id
           AND deleted.repository = repository.name AND deleted.digest = needed.manifest
         WHERE needed.repository_id = ?1 AND needed.manifest = ?2
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![repository_id, digest])?;
    rows.prepare_cached(
        "INSERT INTO deleted_tag (registry_id, repository, name, digest, deleted_ms)
         SELECT ?1, repository.name, tag.name, tag.digest, ?4
         FROM tag JOIN repository ON repository.id = tag.repository_id
         WHERE tag.repository_id = ?2 AND tag.digest = ?3
         ON CONFLICT DO UPDATE SET deleted_ms = excluded.deleted_ms",
    )?
    .execute(params![registry.0, repository_id, digest, now_ms])?;
    Ok(())
}

/// As [`keep_manifest`], of a tag whose manifest stays.
pub(crate) fn keep_tag(
    rows: &Connection,
    registry: RegistryId,
    repository_id: i64,
    tag: &Tag,
    now_ms: i64,
) -> Result<(), Error> {
    if !is_on(rows, registry)? {
        return Ok(());
    }
    rows.prepare_cached(
        "INSERT INTO deleted_tag (registry_id, repository, name, digest, deleted_ms)
         SELECT ?1, repository.name, tag.name, tag.digest, ?4
         FROM tag JOIN repository ON repository.id = tag.repository_id
         WHERE tag.repository_id = ?2 AND tag.name = ?3
         ON CONFLICT DO UPDATE SET deleted_ms = excluded.deleted_ms",
    )?
    .execute(params![registry.0, repository_id, tag.as_str(), now_ms])?;
    Ok(())
}

/// What is pushed again is not deleted any more: neither the manifest nor the tags that it gets.
pub(crate) fn forget_deleted(rows: &Connection, put: &PutManifest) -> Result<(), Error> {
    let (repository, digest) = (put.repository.as_str(), put.digest.to_string());
    rows.prepare_cached(
        "DELETE FROM deleted_manifest WHERE registry_id = ?1 AND repository = ?2 AND digest = ?3",
    )?
    .execute(params![put.registry.0, repository, digest])?;
    for tag in &put.tags {
        rows.prepare_cached(
            "DELETE FROM deleted_tag WHERE registry_id = ?1 AND repository = ?2 AND name = ?3 AND digest = ?4",
        )?
        .execute(params![put.registry.0, repository, tag.as_str(), digest])?;
    }
    Ok(())
}

/// A manifest as it is stored, deleted or not.
struct Kept {
    put: PutManifest,
    pushed_ms: i64,
}

fn bring_back(
    rows: &Connection,
    restore: &Restore,
    origin: &Origin,
    depth_left: usize,
) -> Result<Vec<Tag>, RestoreError> {
    let Restore { registry, repository, digest, .. } = restore;
    let unknown = || RestoreError::Unknown(digest.clone());
    let Some(depth_left) = depth_left.checked_sub(1) else { return Err(unknown()) };
    let text = digest.to_string();
    let deleted = "SELECT kind, media_type, artifact_type, subject, annotations, bytes, pushed_ms, pushed_by
         FROM deleted_manifest WHERE registry_id = ?1 AND repository = ?2 AND digest = ?3";
    let present = "SELECT kind, media_type, artifact_type, subject, annotations, bytes, pushed_ms, pushed_by
         FROM manifest JOIN repository ON repository.id = manifest.repository_id
         WHERE registry_id = ?1 AND repository.name = ?2 AND digest = ?3";
    let mut found = None;
    for sql in [deleted, present] {
        if found.is_none() {
            found = rows
                .prepare_cached(sql)?
                .query_row(params![registry.0, repository.as_str(), text], |row| Ok(kept(row, restore)))
                .optional()?;
        }
    }
    let Kept { mut put, pushed_ms } = found.ok_or_else(unknown)??;
    let repository_id = ensure_repository(rows, *registry, repository, restore.now_ms)?;
    put.tags = match &restore.tag {
        Some(tag) => vec![tag.clone()],
        None => kept_tags(rows, *registry, repository, &text)?,
    };
    let mut free = Vec::new();
    for tag in put.tags {
        let holder: Option<String> = rows
            .prepare_cached("SELECT digest FROM tag WHERE repository_id = ?1 AND name = ?2 AND digest <> ?3")?
            .query_row(params![repository_id, tag.as_str(), text], |row| row.get(0))
            .optional()?;
        match holder {
            Some(holder) if restore.tag.is_some() && !restore.is_forced => {
                return Err(RestoreError::TagTaken { tag, digest: parse_digest(&holder)? });
            }
            Some(_) if restore.tag.is_none() => {}
            _ => free.push(tag),
        }
    }
    put.tags = free;
    let needed = targets(rows, *registry, repository, &text)?;
    for target in &needed {
        if put.kind == ManifestKind::Index {
            // What was not deleted keeps the tags that it has.
            if rows
                .prepare_cached("SELECT 1 FROM manifest WHERE repository_id = ?1 AND digest = ?2")?
                .exists(params![repository_id, target.to_string()])?
            {
                continue;
            }
            let child = Restore { digest: target.clone(), tag: None, is_forced: false, ..restore.clone() };
            match bring_back(rows, &child, origin, depth_left) {
                // An index may list what was never here.
                Ok(_) | Err(RestoreError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
        } else if rows.prepare_cached("SELECT 1 FROM blob WHERE digest = ?1")?.exists([target.to_string()])? {
            link(rows, repository_id, &target.to_string(), restore.now_ms)?;
        }
    }
    let is_index = put.kind == ManifestKind::Index;
    (put.children, put.blobs) = if is_index { (needed, Vec::new()) } else { (Vec::new(), needed) };
    store(rows, &put, origin)?;
    rows.prepare_cached("UPDATE manifest SET pushed_ms = ?3 WHERE repository_id = ?1 AND digest = ?2")?
        .execute(params![repository_id, text, pushed_ms])?;
    Ok(put.tags)
}

fn kept(row: &Row<'_>, restore: &Restore) -> Result<Kept, Error> {
    let kind: String = row.get(0)?;
    let subject: Option<String> = row.get(3)?;
    let annotations: Option<String> = row.get(4)?;
    let annotations = annotations.map(|text| serde_json::from_str(&text)).transpose();
    let put = PutManifest {
        registry: restore.registry,
        repository: restore.repository.clone(),
        digest: restore.digest.clone(),
        kind: ManifestKind::from_name(&kind)?,
        media_type: MediaType::new(&row.get::<_, String>(1)?),
        artifact_type: row.get(2)?,
        subject: subject.map(|subject| parse_digest(&subject)).transpose()?,
        annotations: annotations.map_err(|_| Error::Damaged { what: "annotations" })?,
        bytes: row.get(5)?,
        blobs: Vec::new(),
        children: Vec::new(),
        is_sparse: true,
        tags: Vec::new(),
        pushed_by: row.get(7)?,
        now_ms: restore.now_ms,
    };
    Ok(Kept { put, pushed_ms: row.get(6)? })
}

/// The tags that a manifest had when they were deleted.
fn kept_tags(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
    digest: &str,
) -> Result<Vec<Tag>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT name FROM deleted_tag WHERE registry_id = ?1 AND repository = ?2 AND digest = ?3 ORDER BY name",
    )?;
    let names = statement
        .query_map(params![registry.0, repository.as_str(), digest], |row| row.get::<_, String>(0))?;
    names.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "tag" })).collect()
}

/// What a manifest needs, deleted or not.
fn targets(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
    digest: &str,
) -> Result<Vec<Digest>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT target FROM deleted_reference JOIN deleted_manifest AS deleted ON deleted.id = manifest
         WHERE deleted.registry_id = ?1 AND deleted.repository = ?2 AND deleted.digest = ?3
         UNION SELECT target FROM manifest_reference AS needed
         JOIN repository ON repository.id = needed.repository_id
         WHERE repository.registry_id = ?1 AND repository.name = ?2 AND needed.manifest = ?3",
    )?;
    let found = statement
        .query_map(params![registry.0, repository.as_str(), digest], |row| row.get::<_, String>(0))?;
    found.map(|target| parse_digest(&target?)).collect()
}

/// Gives up what was deleted longer ago than its registry's days.
const EXPIRED: [&str; 2] = [
    "DELETE FROM deleted_manifest WHERE id IN (
       SELECT gone.id FROM deleted_manifest AS gone JOIN registry ON registry.id = gone.registry_id
       WHERE gone.deleted_ms < ?1 - registry.soft_delete_days * 86400000 LIMIT ?2)",
    "DELETE FROM deleted_tag WHERE (registry_id, repository, name, digest) IN (
       SELECT gone.registry_id, gone.repository, gone.name, gone.digest
       FROM deleted_tag AS gone JOIN registry ON registry.id = gone.registry_id
       WHERE gone.deleted_ms < ?1 - registry.soft_delete_days * 86400000 LIMIT ?2)",
];

/// Indexes of indexes are brought back so deep.
const DEPTH_MAX: usize = 8;
