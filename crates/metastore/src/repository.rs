//! Repositories and the blobs they link.

use oci::{Digest, Repository};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::upload::delete_upload;
use crate::{Error, Metastore, RegistryId};

/// What became of a request to unlink a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlinkBlob {
    /// The repository links it no longer.
    Unlinked,
    /// The repository did not link it.
    Unknown,
    /// A manifest of the repository needs it.
    Referenced,
}

/// A blob as one repository links it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedBlob {
    /// Its size in bytes.
    pub size: u64,
    /// When it was linked, or last asked for by somebody about to need it.
    pub linked_ms: i64,
    /// Whether a manifest of the repository needs it.
    pub is_needed: bool,
    /// False: an attribute of the repository forbids pulls.
    pub is_readable: bool,
}

/// A blob that is in the blob store, and whether any repository links it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobUse {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// False: nobody can reach it.
    pub is_linked: bool,
}

impl Metastore {
    /// The size of a blob, if this repository links it. Elsewhere does not count.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn linked_blob(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<LinkedBlob>, Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT blob.size, link.linked_ms,
                        EXISTS (SELECT 1 FROM manifest_reference AS needed
                                WHERE needed.repository_id = link.repository_id AND needed.target = link.digest),
                        repository.locks & 8 = 0
                 FROM repository
                 JOIN repository_blob AS link ON link.repository_id = repository.id
                 JOIN blob ON blob.digest = link.digest
                 WHERE repository.registry_id = ?1 AND repository.name = ?2 AND link.digest = ?3",
            )?;
            Ok(statement
                .query_row(params![registry.0, repository.as_str(), digest], |row| {
                    Ok(LinkedBlob {
                        size: row.get(0)?,
                        linked_ms: row.get(1)?,
                        is_needed: row.get(2)?,
                        is_readable: row.get(3)?,
                    })
                })
                .optional()?)
        })
        .await
    }

    /// Says that somebody still wants a blob that no manifest needs yet: its link is as new as now.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn touch_link(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        now_ms: i64,
    ) -> Result<(), Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.grow(move |rows| {
            if let Some(repository_id) = repository_id(rows, registry, &repository)? {
                rows.prepare_cached(
                    "UPDATE repository_blob SET linked_ms = ?3 WHERE repository_id = ?1 AND digest = ?2",
                )?
                .execute(params![repository_id, digest, now_ms])?;
            }
            Ok(())
        })
        .await
    }

    /// Takes blobs out of repositories in which no manifest needs them, and nobody has linked them or
    /// asked for them since `before_ms`. Returns how many links went, `limit` at most.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn unlink_unneeded(&self, before_ms: i64, limit: usize) -> Result<usize, Error> {
        self.write(move |rows| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            Ok(rows
                .prepare_cached(
                    "DELETE FROM repository_blob WHERE (repository_id, digest) IN (
                       SELECT link.repository_id, link.digest FROM repository_blob AS link
                       WHERE link.linked_ms < ?1 AND NOT EXISTS (
                         SELECT 1 FROM manifest_reference AS needed
                         WHERE needed.repository_id = link.repository_id AND needed.target = link.digest)
                       LIMIT ?2)",
                )?
                .execute(params![before_ms, limit])?)
        })
        .await
    }

    /// Blobs that no repository links and no deleted manifest needs that can be restored, `limit` at most.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn unlinked_blobs(&self, limit: usize) -> Result<Vec<Digest>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT digest FROM blob
                 WHERE NOT EXISTS (SELECT 1 FROM repository_blob AS link WHERE link.digest = blob.digest)
                   AND NOT EXISTS (SELECT 1 FROM deleted_reference WHERE target = blob.digest) LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = statement.query_map([limit], |row| row.get::<_, String>(0))?;
            found.map(|digest| parse_digest(&digest?)).collect()
        })
        .await
    }

    /// The size of a blob, whoever links it. For the scanner, which serves no stranger.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let digest = digest.to_string();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached("SELECT size FROM blob WHERE digest = ?1")?;
            Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Records a blob whose verified bytes are durable in the blob store, links it and ends its
    /// upload session, all or nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn commit_blob(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        upload: Option<Uuid>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.grow(move |rows| {
            let repository_id = ensure_repository(rows, registry, &repository, now_ms)?;
            rows.prepare_cached(
                "INSERT INTO blob (digest, size, created_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![digest, size, now_ms])?;
            link(rows, repository_id, &digest, now_ms)?;
            if let Some(upload) = upload {
                delete_upload(rows, upload)?;
            }
            Ok(())
        })
        .await
    }

    /// The repositories of a registry that link the blob, in byte order, `limit` at most.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn repositories_linking(
        &self,
        registry: RegistryId,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<Repository>, Error> {
        let digest = digest.to_string();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT repository.name FROM repository_blob AS link
                 JOIN repository ON repository.id = link.repository_id
                 WHERE link.digest = ?1 AND repository.registry_id = ?2 ORDER BY repository.name LIMIT ?3",
            )?;
            let names =
                statement.query_map(params![digest, registry.0, limit], |row| row.get::<_, String>(0))?;
            names.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "repository name" })).collect()
        })
        .await
    }

    /// Links a blob of one of the `sources` of the registry `from` into `target`; `None` if none of
    /// them links it. Which repositories the caller may look into is for the caller to have decided.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn mount_blob(
        &self,
        from: RegistryId,
        sources: Vec<Repository>,
        (registry, target): (RegistryId, &Repository),
        digest: &Digest,
        now_ms: i64,
    ) -> Result<Option<u64>, Error> {
        let (target, digest) = (target.clone(), digest.to_string());
        self.grow(move |rows| {
            for source in sources {
                let mut statement = rows.prepare_cached(
                    "SELECT blob.size FROM repository
                     JOIN repository_blob AS link ON link.repository_id = repository.id
                     JOIN blob ON blob.digest = link.digest
                     WHERE repository.registry_id = ?1 AND repository.name = ?2 AND link.digest = ?3",
                )?;
                let size = statement
                    .query_row(params![from.0, source.as_str(), digest], |row| row.get(0))
                    .optional()?;
                if let Some(size) = size {
                    let repository_id = ensure_repository(rows, registry, &target, now_ms)?;
                    link(rows, repository_id, &digest, now_ms)?;
                    return Ok(Some(size));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Takes a blob out of a repository, unless one of its manifests needs it. The bytes stay:
    /// other repositories may share them.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn unlink_blob(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<UnlinkBlob, Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.write(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else {
                return Ok(UnlinkBlob::Unknown);
            };
            let needed = rows
                .prepare_cached(
                    "SELECT 1 FROM manifest_reference WHERE repository_id = ?1 AND target = ?2 LIMIT 1",
                )?
                .exists(params![repository_id, digest])?;
            if needed {
                return Ok(UnlinkBlob::Referenced);
            }
            let gone = rows
                .prepare_cached("DELETE FROM repository_blob WHERE repository_id = ?1 AND digest = ?2")?
                .execute(params![repository_id, digest])?;
            Ok(if gone == 1 { UnlinkBlob::Unlinked } else { UnlinkBlob::Unknown })
        })
        .await
    }

    /// Every blob that should be in the blob store.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn blobs(&self) -> Result<Vec<BlobUse>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(
                "SELECT digest, size, EXISTS (SELECT 1 FROM repository_blob AS link WHERE link.digest = blob.digest)
                   OR EXISTS (SELECT 1 FROM deleted_reference WHERE target = blob.digest)
                 FROM blob ORDER BY digest",
            )?;
            let found = statement
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
            found
                .map(|row| {
                    let (digest, size, is_linked) = row?;
                    Ok(BlobUse { digest: parse_digest(&digest)?, size, is_linked })
                })
                .collect()
        })
        .await
    }

    /// True if there is a row for the blob's bytes.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let digest = digest.to_string();
        self.read(move |rows| {
            Ok(rows.prepare_cached("SELECT 1 FROM blob WHERE digest = ?1")?.exists([&digest])?)
        })
        .await
    }

    /// Forgets a blob that no repository links. `false`: somebody links it, or it was unknown.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn forget_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let digest = digest.to_string();
        self.write(move |rows| {
            let gone = rows
                .prepare_cached(
                    "DELETE FROM blob WHERE digest = ?1
                     AND NOT EXISTS (SELECT 1 FROM repository_blob AS link WHERE link.digest = blob.digest)
                     AND NOT EXISTS (SELECT 1 FROM deleted_reference WHERE target = blob.digest)",
                )?
                .execute([&digest])?
                == 1;
            if gone {
                rows.prepare_cached("DELETE FROM layer_inventory WHERE digest = ?1")?.execute([&digest])?;
            }
            Ok(gone)
        })
        .await
    }

    /// Forgets a blob whose bytes are lost, wherever it is linked.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn drop_blob(&self, digest: &Digest) -> Result<(), Error> {
        let digest = digest.to_string();
        self.write(move |rows| {
            for table in ["repository_blob", "blob", "layer_inventory"] {
                rows.prepare_cached(&format!("DELETE FROM {table} WHERE digest = ?1"))?.execute([&digest])?;
            }
            Ok(())
        })
        .await
    }

    /// The names of the registry's repositories after `after`, in byte order.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn repositories(
        &self,
        registry: RegistryId,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Repository>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT name FROM repository
                 WHERE registry_id = ?1 AND name > ?2 AND locks & 4 = 0 ORDER BY name LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let names = statement
                .query_map(params![registry.0, after.unwrap_or_default(), limit], |row| {
                    row.get::<_, String>(0)
                })?;
            names.map(|name| name?.parse().map_err(|_| Error::Damaged { what: "repository name" })).collect()
        })
        .await
    }
}

pub(crate) fn repository_id(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
) -> Result<Option<i64>, Error> {
    let mut statement =
        rows.prepare_cached("SELECT id FROM repository WHERE registry_id = ?1 AND name = ?2")?;
    Ok(statement.query_row(params![registry.0, repository.as_str()], |row| row.get(0)).optional()?)
}

pub(crate) fn ensure_repository(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
    now_ms: i64,
) -> Result<i64, Error> {
    if let Some(id) = repository_id(rows, registry, repository)? {
        return Ok(id);
    }
    rows.prepare_cached("INSERT INTO repository (registry_id, name, created_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![registry.0, repository.as_str(), now_ms])?;
    Ok(rows.last_insert_rowid())
}

pub(crate) fn link(rows: &Connection, repository_id: i64, digest: &str, now_ms: i64) -> Result<(), Error> {
    rows.prepare_cached(
        "INSERT INTO repository_blob (repository_id, digest, linked_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET linked_ms = excluded.linked_ms",
    )?
    .execute(params![repository_id, digest, now_ms])?;
    Ok(())
}

pub(crate) fn parse_digest(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|_| Error::Damaged { what: "digest" })
}
