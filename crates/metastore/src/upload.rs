//! Upload sessions: where a push stands, so that it can go on after anything.

use oci::{Algorithm, Hasher, Repository};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::repository::{ensure_repository, repository_id};
use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, RegistryId};

/// One upload session as it was last written down.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its id: unguessable, and of use only in its repository and to its principal.
    pub id: Uuid,
    /// How many bytes are in the session's file for certain.
    pub received: u64,
    /// The hash of those bytes, to go on with.
    pub hasher: Hasher,
}

/// One open session, as others list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// Its id.
    pub id: Uuid,
    /// The registry.
    pub registry: RegistryId,
    /// The registry's name.
    pub registry_name: String,
    /// The repository.
    pub repository: String,
    /// Who opened it.
    pub principal: String,
    /// How many bytes are in its file for certain.
    pub received: u64,
    /// When somebody last sent to it.
    pub touched_ms: i64,
}

impl Metastore {
    /// Opens a session, and makes the repository if this is its first push.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_upload(
        &self,
        registry: RegistryId,
        repository: &Repository,
        principal: &str,
        upload: Upload,
        now_ms: i64,
    ) -> Result<(), Error> {
        let (repository, principal) = (repository.clone(), principal.to_owned());
        self.grow(move |rows| {
            let repository_id = ensure_repository(rows, registry, &repository, now_ms)?;
            rows.prepare_cached(
                "INSERT INTO upload (id, repository_id, principal, algorithm, received, hash_state, touched_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                upload.id.to_string(),
                repository_id,
                principal,
                upload.hasher.algorithm().name(),
                upload.received,
                upload.hasher.save(),
                now_ms
            ])?;
            Ok(())
        })
        .await
    }

    /// The session of that id, if it belongs to this repository and this principal.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn upload(
        &self,
        registry: RegistryId,
        repository: &Repository,
        principal: &str,
        id: Uuid,
    ) -> Result<Option<Upload>, Error> {
        let (repository, principal) = (repository.clone(), principal.to_owned());
        self.read(move |rows| {
            let Some(repository_id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let mut statement = rows.prepare_cached(
                "SELECT algorithm, received, hash_state FROM upload
                 WHERE id = ?1 AND repository_id = ?2 AND principal = ?3",
            )?;
            let found = statement
                .query_row(params![id.to_string(), repository_id, principal], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, Vec<u8>>(2)?))
                })
                .optional()?;
            found
                .map(|(algorithm, received, state)| {
                    let hasher = algorithm_named(&algorithm)
                        .and_then(|algorithm| Hasher::resume(algorithm, &state))
                        .ok_or(Error::Damaged { what: "hash state" })?;
                    Ok(Upload { id, received, hasher })
                })
                .transpose()
        })
        .await
    }

    /// Writes down how far a session has come; its bytes must be in its file by now.
    /// `false`: the session is gone.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn advance_upload(&self, upload: Upload, now_ms: i64) -> Result<bool, Error> {
        self.grow(move |rows| {
            let changed = rows
                .prepare_cached(
                    "UPDATE upload SET received = ?2, hash_state = ?3, touched_ms = ?4 WHERE id = ?1",
                )?
                .execute(params![upload.id.to_string(), upload.received, upload.hasher.save(), now_ms])?;
            Ok(changed == 1)
        })
        .await
    }

    /// Ends a session without a blob. `false`: there was none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_upload(&self, id: Uuid) -> Result<bool, Error> {
        self.write(move |rows| Ok(delete_upload(rows, id)? == 1)).await
    }

    /// Ends sessions, all of them in one transaction.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_uploads(&self, ids: Vec<Uuid>) -> Result<(), Error> {
        self.write(move |rows| ids.iter().try_for_each(|id| delete_upload(rows, *id).map(drop))).await
    }

    /// All open sessions, the one that was touched longest ago first.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn uploads(&self) -> Result<Vec<OpenUpload>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(
                "SELECT upload.id, registry.id, registry.name, repository.name, upload.principal,
                        upload.received, upload.touched_ms
                 FROM upload JOIN repository ON repository.id = upload.repository_id
                 JOIN registry ON registry.id = repository.registry_id
                 ORDER BY upload.touched_ms, upload.id",
            )?;
            let found = statement.query_map([], |row| {
                let principal: (String, u64, i64) = (row.get(4)?, row.get(5)?, row.get(6)?);
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, principal))
            })?;
            found
                .map(|row| {
                    let (id, registry, registry_name, repository, (principal, received, touched_ms)) = row?;
                    Ok(OpenUpload {
                        id: parse_uuid(&id)?,
                        registry: RegistryId(registry),
                        registry_name,
                        repository,
                        principal,
                        received,
                        touched_ms,
                    })
                })
                .collect()
        })
        .await
    }
}

pub(crate) fn delete_upload(rows: &Connection, id: Uuid) -> Result<usize, Error> {
    Ok(rows.prepare_cached("DELETE FROM upload WHERE id = ?1")?.execute([id.to_string()])?)
}

fn algorithm_named(name: &str) -> Option<Algorithm> {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| algorithm.name() == name)
}
