//! What a repository holds, as lists for people and tools.

use std::sync::Arc;

use oci::{Digest, MediaType, Repository, Tag};
use rusqlite::{Connection, OptionalExtension, Row, Rows, Statement, params};

use crate::assessed::note_leaving;
use crate::attributes::check_repository_deletable;
use crate::deleted::keep_manifest;
use crate::event::Outbox;
use crate::image::tags_of;
use crate::manifest::parse_manifest;
use crate::registries::check_emptied;
use crate::repository::{parse_digest, repository_id};
use crate::{
    Attributes, DeleteError, Error, EventAction, Metastore, Quarantine, QuarantineState, RegistryId,
    StoredManifest,
};

/// A repository in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    /// When it was made.
    pub created_ms: i64,
    /// When something was last pushed to it.
    pub updated_ms: i64,
    /// How many manifests it holds.
    pub manifests: u64,
    /// How many tags it has.
    pub tags: u64,
    /// What may be done with it.
    pub attributes: Attributes,
}

/// A manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// When it was last pushed.
    pub pushed_ms: i64,
    /// Its tags, in byte order.
    pub tags: Vec<Tag>,
    /// What may be done with it.
    pub attributes: Attributes,
    /// What is said of it, if it was pushed into quarantine.
    pub quarantine: Option<Quarantine>,
}

/// A tag of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// Its name.
    pub name: Tag,
    /// What it points to.
    pub digest: Digest,
    /// When it was last moved.
    pub updated_ms: i64,
    /// What may be done with it.
    pub attributes: Attributes,
}

/// In which order a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name or digest.
    Name,
    /// The oldest first.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// The last row of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Its name or digest.
    pub key: String,
    /// Its time, for lists in the order of time: so the list goes on even if the row is gone or has another time by
    /// now. `None`: the time that it has now, and from the first row on if it is gone.
    pub time_ms: Option<i64>,
}

/// What a repository held when it was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedRepository {
    /// Its manifests.
    pub manifests: Vec<Digest>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl Metastore {
    /// The repository in figures; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn repository(
        &self,
        registry: RegistryId,
        repository: &Repository,
    ) -> Result<Option<RepositoryRow>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT created_ms,
                        max(created_ms,
                            coalesce((SELECT max(pushed_ms) FROM manifest WHERE repository_id = repository.id), 0),
                            coalesce((SELECT max(updated_ms) FROM tag WHERE repository_id = repository.id), 0)),
                        (SELECT count(*) FROM manifest WHERE repository_id = repository.id),
                        (SELECT count(*) FROM tag WHERE repository_id = repository.id),
                        locks
                 FROM repository WHERE registry_id = ?1 AND name = ?2",
            )?;
            let row = statement.query_row(params![registry.0, repository.as_str()], |row| {
                Ok(RepositoryRow {
                    created_ms: row.get(0)?,
                    updated_ms: row.get(1)?,
                    manifests: row.get(2)?,
                    tags: row.get(3)?,
                    attributes: Attributes::from_locks(row.get(4)?),
                })
            });
            Ok(row.optional()?)
        })
        .await
    }

    /// The manifests of a repository after the one of the digest `after`, `limit` at most; `None` if
    /// there is no such repository.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn manifest_rows(
        &self,
        registry: RegistryId,
        repository: &Repository,
        order: Order,
        after: Option<After>,
        limit: usize,
    ) -> Result<Option<Vec<ManifestRow>>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let page = Page { table: "manifest", key: "digest", time: "pushed_ms", order };
            let sql = page.sql(MANIFEST_COLUMNS);
            let mut statement = rows.prepare_cached(&sql)?;
            let mut found = page.query(&mut statement, id, after, limit)?;
            let mut manifests = Vec::new();
            while let Some(row) = found.next()? {
                manifests.push(manifest_row(rows, id, row)?);
            }
            Ok(Some(manifests))
        })
        .await
    }

    /// The tags of a repository after `after`, `limit` at most; `None` if there is no such repository.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tag_rows(
        &self,
        registry: RegistryId,
        repository: &Repository,
        order: Order,
        after: Option<After>,
        limit: usize,
    ) -> Result<Option<Vec<TagRow>>, Error> {
        let repository = repository.clone();
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let page = Page { table: "tag", key: "name", time: "updated_ms", order };
            let sql = page.sql(TAG_COLUMNS);
            let mut statement = rows.prepare_cached(&sql)?;
            let mut found = page.query(&mut statement, id, after, limit)?;
            let mut tags = Vec::new();
            while let Some(row) = found.next()? {
                tags.push(tag_row(row)?);
            }
            Ok(Some(tags))
        })
        .await
    }

    /// One manifest of a repository, by digest.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn manifest_row(
        &self,
        registry: RegistryId,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestRow>, Error> {
        let (repository, digest) = (repository.clone(), digest.to_string());
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let sql =
                format!("SELECT {MANIFEST_COLUMNS} FROM manifest WHERE repository_id = ?1 AND digest = ?2");
            let mut statement = rows.prepare_cached(&sql)?;
            let mut found = statement.query(params![id, digest])?;
            found.next()?.map(|row| manifest_row(rows, id, row)).transpose()
        })
        .await
    }

    /// One tag of a repository.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tag_row(
        &self,
        registry: RegistryId,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRow>, Error> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let sql = format!("SELECT {TAG_COLUMNS} FROM tag WHERE repository_id = ?1 AND name = ?2");
            let mut statement = rows.prepare_cached(&sql)?;
            let mut found = statement.query(params![id, tag.as_str()])?;
            found.next()?.map(tag_row).transpose()
        })
        .await
    }

    /// Manifests of the whole house after a place, with their places and repositories: for checks.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn all_manifests(
        &self,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, Repository, StoredManifest)>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT manifest.rowid, repository.name, manifest.digest, manifest.media_type, manifest.kind,
                        manifest.bytes
                 FROM manifest JOIN repository ON repository.id = manifest.repository_id
                 WHERE manifest.rowid > ?1 ORDER BY manifest.rowid LIMIT ?2",
            )?;
            let mut found = statement.query(params![after.unwrap_or(0), bounded(limit)])?;
            let mut manifests = Vec::new();
            while let Some(row) = found.next()? {
                let stored = parse_manifest((row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, true))?;
                manifests.push((row.get(0)?, parse_name(&row.get::<_, String>(1)?)?, stored));
            }
            Ok(manifests)
        })
        .await
    }

    /// Images that need a blob that their repository does not hold, and which. An index may lack
    /// children: somebody has deleted them, or it was pushed as a sparse one.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn incomplete_manifests(
        &self,
        limit: usize,
    ) -> Result<Vec<(Repository, Digest, Digest)>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT repository.name, needed.manifest, needed.target FROM manifest_reference AS needed
                 JOIN repository ON repository.id = needed.repository_id
                 JOIN manifest ON manifest.repository_id = needed.repository_id AND manifest.digest = needed.manifest
                 WHERE manifest.kind != 'index'
                   AND NOT EXISTS (SELECT 1 FROM repository_blob AS link
                                   WHERE link.repository_id = needed.repository_id AND link.digest = needed.target)
                 ORDER BY repository.name, needed.manifest, needed.target LIMIT ?1",
            )?;
            let mut found = statement.query([bounded(limit)])?;
            let mut incomplete = Vec::new();
            while let Some(row) = found.next()? {
                let [name, manifest, target]: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
                incomplete.push((parse_name(&name)?, parse_digest(&manifest)?, parse_digest(&target)?));
            }
            Ok(incomplete)
        })
        .await
    }

    /// Removes a repository with all that it holds; bytes that others share stay. `None`: there was
    /// none of that name.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete_repository(
        &self,
        registry: RegistryId,
        repository: &Repository,
        now_ms: i64,
    ) -> Result<Option<DeletedRepository>, DeleteError> {
        let (repository, origin) = (repository.clone(), Arc::clone(&self.origin));
        self.write(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            check_repository_deletable(rows, id, &repository)?;
            check_emptied(rows, registry)?;
            let deleted = DeletedRepository {
                manifests: texts(rows, "SELECT digest FROM manifest WHERE repository_id = ?1", id)?
                    .iter()
                    .map(|digest| parse_digest(digest))
                    .collect::<Result<_, _>>()?,
                tags: texts(rows, "SELECT name FROM tag WHERE repository_id = ?1 ORDER BY name", id)?
                    .iter()
                    .map(|name| name.parse().map_err(|_| Error::Damaged { what: "tag" }))
                    .collect::<Result<_, _>>()?,
            };
            if let Some(outbox) = Outbox::open(rows, registry.0, &[EventAction::Delete], &origin, now_ms)? {
                for digest in &deleted.manifests {
                    outbox.deleted(id, &repository, digest)?;
                }
            }
            for digest in &deleted.manifests {
                keep_manifest(rows, registry, id, digest, now_ms)?;
                note_leaving(rows, (id, &digest.to_string()), now_ms)?;
                rows.prepare_cached("DELETE FROM manifest WHERE repository_id = ?1 AND digest = ?2")?
                    .execute(params![id, digest.to_string()])?;
            }
            for digest in &deleted.manifests {
                rows.prepare_cached(
                    "DELETE FROM image WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM manifest WHERE digest = ?1)",
                )?
                .execute([digest.to_string()])?;
            }
            for table in ["repository_blob", "upload"] {
                rows.execute(&format!("DELETE FROM {table} WHERE repository_id = ?1"), [id])?;
            }
            rows.execute("DELETE FROM repository WHERE id = ?1", [id])?;
            Ok(Some(deleted))
        })
        .await
    }
}

fn parse_name(name: &str) -> Result<Repository, Error> {
    name.parse().map_err(|_| Error::Damaged { what: "repository name" })
}

fn manifest_row(rows: &Connection, repository_id: i64, row: &Row<'_>) -> Result<ManifestRow, Error> {
    let digest: String = row.get(0)?;
    Ok(ManifestRow {
        tags: tags_of(rows, repository_id, &digest)?,
        digest: parse_digest(&digest)?,
        media_type: MediaType::new(&row.get::<_, String>(1)?),
        bytes: row.get(2)?,
        pushed_ms: row.get(3)?,
        attributes: Attributes::from_locks(row.get(4)?),
        quarantine: quarantine(row.get(5)?, row.get(6)?)?,
    })
}

fn quarantine(state: Option<String>, details: Option<String>) -> Result<Option<Quarantine>, Error> {
    let Some(state) = state else { return Ok(None) };
    let state = QuarantineState::from_name(&state).ok_or(Error::Damaged { what: "quarantine" })?;
    Ok(Some(Quarantine { state, details }))
}

fn tag_row(row: &Row<'_>) -> Result<TagRow, Error> {
    let name: String = row.get(0)?;
    Ok(TagRow {
        name: name.parse().map_err(|_| Error::Damaged { what: "tag" })?,
        digest: parse_digest(&row.get::<_, String>(1)?)?,
        updated_ms: row.get(2)?,
        attributes: Attributes::from_locks(row.get(3)?),
    })
}

const MANIFEST_COLUMNS: &str = "digest, media_type, bytes, pushed_ms, locks, quarantine, quarantine_details";
const TAG_COLUMNS: &str = "name, digest, updated_ms, locks";

/// A list by key or by time, from a key on.
struct Page {
    table: &'static str,
    key: &'static str,
    time: &'static str,
    order: Order,
}

impl Page {
    fn query<'s>(
        &self,
        statement: &'s mut Statement<'_>,
        repository_id: i64,
        after: Option<After>,
        limit: usize,
    ) -> Result<Rows<'s>, Error> {
        let (key, time_ms) = after.map(|after| (after.key, after.time_ms)).unwrap_or_default();
        Ok(match self.order {
            Order::Name => statement.query(params![repository_id, key, bounded(limit)])?,
            Order::OldestFirst | Order::NewestFirst => {
                statement.query(params![repository_id, key, bounded(limit), time_ms])?
            }
        })
    }

    /// With the repository's id, the key after which it begins (empty: at the start), the limit and, in the orders
    /// of time, that key's time if it is known.
    fn sql(&self, columns: &str) -> String {
        let Self { table, key, time, order } = self;
        let (direction, comparison, first) = match order {
            Order::Name => {
                return format!(
                    "SELECT {columns} FROM {table} WHERE repository_id = ?1 AND locks & 4 = 0 AND {key} > ?2
                     ORDER BY {key} LIMIT ?3"
                );
            }
            Order::OldestFirst => ("ASC", ">", i64::MIN),
            Order::NewestFirst => ("DESC", "<", i64::MAX),
        };
        let known = format!("(SELECT {time} FROM {table} WHERE repository_id = ?1 AND {key} = ?2)");
        format!(
            "SELECT {columns} FROM {table} WHERE repository_id = ?1 AND locks & 4 = 0
               AND (?2 = '' OR ({time}, {key}) {comparison} (coalesce(?4, {known}, {first}), ?2))
             ORDER BY {time} {direction}, {key} {direction} LIMIT ?3"
        )
    }
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn texts(rows: &Connection, sql: &str, id: i64) -> Result<Vec<String>, Error> {
    let mut statement = rows.prepare_cached(sql)?;
    let found = statement.query_map([id], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
