//! Cache rules: which repositories are filled from which registry elsewhere, and as whom.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{Error, Metastore, RegistryId};

/// A rule by which repositories are filled from elsewhere. What its texts mean is for others to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Its name, unique in the registry whatever the case.
    pub name: String,
    /// Where the images come from.
    pub source: String,
    /// Which repositories are filled; unique in the registry.
    pub target: String,
    /// The name of the credential to use.
    pub credential: Option<String>,
    /// Whether the source may be in a private network.
    pub is_private: bool,
    /// When it was made.
    pub created_ms: i64,
}

/// A name and a secret for one registry elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamCredential {
    /// Its name, unique in the registry whatever the case.
    pub name: String,
    /// The registry that it is for, and no other.
    pub host: String,
    /// Who we are there.
    pub username: String,
    /// The password or token.
    pub secret: String,
    /// Hosts of token services that may see it, too.
    pub realms: Vec<String>,
}

impl std::fmt::Debug for UpstreamCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamCredential")
            .field("name", &self.name)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A rule in force, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveRule {
    /// The registry that it is a rule of.
    pub registry: RegistryId,
    /// The rule.
    pub rule: CacheRule,
    /// What it is to log in with.
    pub credential: Option<UpstreamCredential>,
}

/// What became of making a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutCacheRule {
    /// It is there now.
    Created,
    /// It was there, and is as wanted now.
    Updated,
    /// Another rule fills these repositories.
    TargetTaken,
    /// There is no such credential.
    NoCredential,
}

/// What became of removing a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveCredential {
    /// It is gone.
    Removed,
    /// There is none.
    Missing,
    /// A rule uses it.
    InUse,
}

impl Metastore {
    /// Every rule of every registry that is not deleted.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn active_cache_rules(&self) -> Result<Vec<ActiveRule>, Error> {
        self.read(|rows| {
            let sql = format!(
                "{RULES}, registry_id FROM cache_rule
                 WHERE registry_id IN (SELECT id FROM registry WHERE deleted_ms IS NULL) ORDER BY registry_id, name"
            );
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([], |row| Ok((rule(row)?, RegistryId(row.get(6)?))))?;
            found
                .map(|row| {
                    let (rule, registry) = row?;
                    let credential = match &rule.credential {
                        Some(name) => credential_named(rows, registry, name)?,
                        None => None,
                    };
                    Ok(ActiveRule { registry, rule, credential })
                })
                .collect()
        })
        .await
    }

    /// The rules of a registry, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn cache_rules(&self, registry: RegistryId) -> Result<Vec<CacheRule>, Error> {
        self.read(move |rows| {
            let sql = format!("{RULES} FROM cache_rule WHERE registry_id = ?1 ORDER BY name");
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([registry.0], rule)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Makes a rule, or changes the one of that name; when it was made stays.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_cache_rule(
        &self,
        registry: RegistryId,
        wanted: CacheRule,
    ) -> Result<PutCacheRule, Error> {
        self.write(move |rows| {
            let sql = "SELECT 1 FROM cache_rule WHERE registry_id = ?1 AND target = ?2 AND name <> ?3";
            if rows.prepare_cached(sql)?.exists(params![registry.0, wanted.target, wanted.name])? {
                return Ok(PutCacheRule::TargetTaken);
            }
            if let Some(name) = &wanted.credential
                && credential_named(rows, registry, name)?.is_none()
            {
                return Ok(PutCacheRule::NoCredential);
            }
            let sql = "SELECT 1 FROM cache_rule WHERE registry_id = ?1 AND name = ?2";
            let is_there = rows.prepare_cached(sql)?.exists(params![registry.0, wanted.name])?;
            rows.prepare_cached(
                "INSERT INTO cache_rule (registry_id, name, source, target, credential, is_private, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (registry_id, name) DO UPDATE SET source = excluded.source, target = excluded.target,
                   credential = excluded.credential, is_private = excluded.is_private",
            )?
            .execute(params![
                registry.0,
                wanted.name,
                wanted.source,
                wanted.target,
                wanted.credential,
                wanted.is_private,
                wanted.created_ms
            ])?;
            Ok(if is_there { PutCacheRule::Updated } else { PutCacheRule::Created })
        })
        .await
    }

    /// Removes a rule; what it has brought stays. `false`: there was none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_cache_rule(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "DELETE FROM cache_rule WHERE registry_id = ?1 AND name = ?2";
            Ok(rows.prepare_cached(sql)?.execute(params![registry.0, name])? > 0)
        })
        .await
    }

    /// The credentials of a registry, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn upstream_credentials(&self, registry: RegistryId) -> Result<Vec<UpstreamCredential>, Error> {
        self.read(move |rows| {
            let sql = format!("{CREDENTIALS} WHERE registry_id = ?1 ORDER BY name");
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([registry.0], credential)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Makes a credential, or replaces the one of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_upstream_credential(
        &self,
        registry: RegistryId,
        wanted: UpstreamCredential,
    ) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached(
                "INSERT INTO upstream_credential (registry_id, name, host, username, secret, realms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (registry_id, name) DO UPDATE SET host = excluded.host, username = excluded.username,
                   secret = excluded.secret, realms = excluded.realms",
            )?
            .execute(params![
                registry.0,
                wanted.name,
                wanted.host,
                wanted.username,
                wanted.secret,
                wanted.realms.join(" ")
            ])?;
            Ok(())
        })
        .await
    }

    /// Removes a credential that no rule uses.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_upstream_credential(
        &self,
        registry: RegistryId,
        name: &str,
    ) -> Result<RemoveCredential, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "SELECT 1 FROM cache_rule WHERE registry_id = ?1 AND credential = ?2";
            if rows.prepare_cached(sql)?.exists(params![registry.0, name])? {
                return Ok(RemoveCredential::InUse);
            }
            let sql = "DELETE FROM upstream_credential WHERE registry_id = ?1 AND name = ?2";
            let gone = rows.prepare_cached(sql)?.execute(params![registry.0, name])?;
            Ok(if gone > 0 { RemoveCredential::Removed } else { RemoveCredential::Missing })
        })
        .await
    }
}

fn credential_named(
    rows: &Connection,
    registry: RegistryId,
    name: &str,
) -> Result<Option<UpstreamCredential>, Error> {
    let sql = format!("{CREDENTIALS} WHERE registry_id = ?1 AND name = ?2");
    Ok(rows.prepare_cached(&sql)?.query_row(params![registry.0, name], credential).optional()?)
}

fn rule(row: &Row<'_>) -> rusqlite::Result<CacheRule> {
    Ok(CacheRule {
        name: row.get(0)?,
        source: row.get(1)?,
        target: row.get(2)?,
        credential: row.get(3)?,
        is_private: row.get(4)?,
        created_ms: row.get(5)?,
    })
}

fn credential(row: &Row<'_>) -> rusqlite::Result<UpstreamCredential> {
    let realms: String = row.get(4)?;
    Ok(UpstreamCredential {
        name: row.get(0)?,
        host: row.get(1)?,
        username: row.get(2)?,
        secret: row.get(3)?,
        realms: realms.split_whitespace().map(str::to_owned).collect(),
    })
}

const RULES: &str = "SELECT name, source, target, credential, is_private, created_ms";
const CREDENTIALS: &str = "SELECT name, host, username, secret, realms FROM upstream_credential";
