//! A registry's scope maps and the tokens that hold them.

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, RegistryId};

/// What tokens may do in which repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeMap {
    /// Its name, unique in the registry whatever the case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its actions; checked by whoever asks.
    pub actions: Vec<String>,
    /// When it was made.
    pub created_ms: i64,
}

/// Something that logs in at one registry alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryToken {
    /// Its object id.
    pub id: Uuid,
    /// The name it logs in by, unique in the registry whatever the case.
    pub name: String,
    /// The scope map that says what it may do. Names that begin with `_` are the system's, and no rows.
    pub scope_map: String,
    /// The actions of that scope map; none if it is one of the system's.
    pub actions: Vec<String>,
    /// Whether it may log in.
    pub is_enabled: bool,
    /// When it was made.
    pub created_ms: i64,
    /// Its passwords, by name.
    pub passwords: Vec<TokenPassword>,
}

/// One of a token's two passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPassword {
    /// `password1` or `password2`.
    pub name: String,
    /// A password hash string (PHC); never the secret.
    pub secret_hash: String,
    /// When it was made.
    pub created_ms: i64,
    /// When it is good no longer, if ever.
    pub expires_ms: Option<i64>,
}

/// A token as somebody wants it; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenChange {
    /// The scope map it shall hold. A new token needs one.
    pub scope_map: Option<String>,
    /// Whether it may log in. A new token may.
    pub is_enabled: Option<bool>,
    /// Passwords by name: the new expiry of one that is there, or `None` to remove it.
    pub passwords: Option<Vec<(String, Option<i64>)>>,
}

/// What became of making or changing a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutToken {
    /// It is there now.
    Created(RegistryToken),
    /// It was there, and is as wanted now.
    Updated(RegistryToken),
    /// There is no such scope map.
    NoScopeMap,
}

/// What became of deleting a scope map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteScopeMap {
    /// It is gone.
    Deleted,
    /// This token holds it, so it stays.
    InUse(String),
    /// There is none.
    Missing,
}

impl Metastore {
    /// The registry's scope maps, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn scope_maps(&self, registry: RegistryId) -> Result<Vec<ScopeMap>, Error> {
        self.read(move |rows| {
            let sql = "SELECT name, description, actions, created_ms FROM scope_map WHERE registry_id = ?1 ORDER BY name";
            let mut statement = rows.prepare_cached(sql)?;
            let found = statement.query_map([registry.0], raw_map)?;
            found.map(|row| parse_map(row?)).collect()
        })
        .await
    }

    /// Makes or changes a scope map; what is `None` stays, or is empty. Returns it, and whether it was made now.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_scope_map(
        &self,
        registry: RegistryId,
        name: String,
        description: Option<String>,
        actions: Option<Vec<String>>,
        now_ms: i64,
    ) -> Result<(ScopeMap, bool), Error> {
        self.write(move |rows| {
            let found = scope_map(rows, registry, &name)?;
            let is_new = found.is_none();
            let found = found.unwrap_or(ScopeMap { name, description: String::new(), actions: Vec::new(), created_ms: now_ms });
            let map = ScopeMap {
                description: description.unwrap_or(found.description),
                actions: actions.unwrap_or(found.actions),
                ..found
            };
            rows.execute(
                "INSERT INTO scope_map (registry_id, name, description, actions, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (registry_id, name) DO UPDATE SET description = excluded.description, actions = excluded.actions",
                params![registry.0, map.name, map.description, json(&map.actions)?, map.created_ms],
            )?;
            Ok((map, is_new))
        })
        .await
    }

    /// Deletes a scope map that no token holds.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_scope_map(&self, registry: RegistryId, name: &str) -> Result<DeleteScopeMap, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "SELECT name FROM registry_token WHERE registry_id = ?1 AND scope_map = ?2 LIMIT 1";
            let holder = rows.query_row(sql, params![registry.0, name], |row| row.get(0)).optional()?;
            if let Some(holder) = holder {
                return Ok(DeleteScopeMap::InUse(holder));
            }
            let sql = "DELETE FROM scope_map WHERE registry_id = ?1 AND name = ?2";
            let gone = rows.execute(sql, params![registry.0, name])?;
            Ok(if gone == 1 { DeleteScopeMap::Deleted } else { DeleteScopeMap::Missing })
        })
        .await
    }

    /// The registry's tokens, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn registry_tokens(&self, registry: RegistryId) -> Result<Vec<RegistryToken>, Error> {
        self.read(move |rows| {
            let sql = "SELECT id FROM registry_token WHERE registry_id = ?1 ORDER BY name";
            let mut statement = rows.prepare_cached(sql)?;
            let ids = statement.query_map([registry.0], |row| row.get::<_, String>(0))?;
            let found = ids.map(|id| token(rows, registry, &id?));
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// The registry's token of that name or id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn registry_token(
        &self,
        registry: RegistryId,
        name_or_id: &str,
    ) -> Result<Option<RegistryToken>, Error> {
        let name_or_id = name_or_id.to_owned();
        self.read(move |rows| token(rows, registry, &name_or_id)).await
    }

    /// Makes or changes a token. `None`: a new one needs a scope map.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_registry_token(
        &self,
        registry: RegistryId,
        name: String,
        change: TokenChange,
        now_ms: i64,
    ) -> Result<PutToken, Error> {
        self.write(move |rows| {
            let found = token(rows, registry, &name)?;
            let scope_map_name = change.scope_map.or(found.as_ref().map(|found| found.scope_map.clone()));
            let Some(scope_map_name) = scope_map_name else { return Ok(PutToken::NoScopeMap) };
            if !scope_map_name.starts_with('_') && scope_map(rows, registry, &scope_map_name)?.is_none() {
                return Ok(PutToken::NoScopeMap);
            }
            let id = found.as_ref().map_or_else(Uuid::new_v4, |found| found.id).to_string();
            let is_enabled = change.is_enabled.or(found.as_ref().map(|found| found.is_enabled)).unwrap_or(true);
            rows.execute(
                "INSERT INTO registry_token (id, registry_id, name, scope_map, is_enabled, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO UPDATE SET scope_map = excluded.scope_map, is_enabled = excluded.is_enabled",
                params![id, registry.0, name, scope_map_name, is_enabled, now_ms],
            )?;
            if let Some(kept) = change.passwords {
                for password in found.iter().flat_map(|found| &found.passwords) {
                    let wanted = kept.iter().find(|(name, _)| *name == password.name);
                    let key = params![id, password.name, wanted.and_then(|(_, expires_ms)| *expires_ms)];
                    let sql = if wanted.is_some() {
                        "UPDATE registry_token_password SET expires_ms = ?3 WHERE token_id = ?1 AND name = ?2"
                    } else {
                        "DELETE FROM registry_token_password WHERE token_id = ?1 AND name = ?2 AND ?3 IS NULL"
                    };
                    rows.execute(sql, key)?;
                }
            }
            let made = token(rows, registry, &id)?.ok_or(Error::Damaged { what: "registry token" })?;
            Ok(if found.is_some() { PutToken::Updated(made) } else { PutToken::Created(made) })
        })
        .await
    }

    /// Gives a token new passwords under the names that these have. `None`: there is no such token.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn set_token_passwords(
        &self,
        registry: RegistryId,
        token_id: Uuid,
        passwords: Vec<TokenPassword>,
    ) -> Result<Option<RegistryToken>, Error> {
        self.write(move |rows| {
            let id = token_id.to_string();
            if token(rows, registry, &id)?.is_none() {
                return Ok(None);
            }
            for password in passwords {
                rows.execute(
                    "INSERT INTO registry_token_password (token_id, name, secret_hash, created_ms, expires_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (token_id, name) DO UPDATE SET secret_hash = excluded.secret_hash,
                       created_ms = excluded.created_ms, expires_ms = excluded.expires_ms",
                    params![id, password.name, password.secret_hash, password.created_ms, password.expires_ms],
                )?;
            }
            token(rows, registry, &id)
        })
        .await
    }

    /// Deletes a token. `false`: there is none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_registry_token(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let sql = "DELETE FROM registry_token WHERE registry_id = ?1 AND name = ?2";
            Ok(rows.execute(sql, params![registry.0, name])? == 1)
        })
        .await
    }
}

type RawMap = (String, String, String, i64);

fn raw_map(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawMap> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn parse_map((name, description, actions, created_ms): RawMap) -> Result<ScopeMap, Error> {
    let actions = serde_json::from_str(&actions).map_err(|_| Error::Damaged { what: "scope map" })?;
    Ok(ScopeMap { name, description, actions, created_ms })
}

fn json(actions: &[String]) -> Result<String, Error> {
    serde_json::to_string(actions).map_err(|_| Error::Damaged { what: "scope map" })
}

fn scope_map(rows: &Connection, registry: RegistryId, name: &str) -> Result<Option<ScopeMap>, Error> {
    let sql =
        "SELECT name, description, actions, created_ms FROM scope_map WHERE registry_id = ?1 AND name = ?2";
    let found = rows.prepare_cached(sql)?.query_row(params![registry.0, name], raw_map).optional()?;
    found.map(parse_map).transpose()
}

fn token(rows: &Connection, registry: RegistryId, name_or_id: &str) -> Result<Option<RegistryToken>, Error> {
    let sql = "SELECT id, name, scope_map, is_enabled, created_ms FROM registry_token
               WHERE registry_id = ?1 AND (name = ?2 OR id = lower(?2))";
    let found = rows.prepare_cached(sql)?.query_row(params![registry.0, name_or_id], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?, row.get(4)?))
    });
    let Some((id, name, map, is_enabled, created_ms)) = found.optional()? else { return Ok(None) };
    let actions = scope_map(rows, registry, &map)?.map(|map| map.actions).unwrap_or_default();
    let sql = "SELECT name, secret_hash, created_ms, expires_ms FROM registry_token_password
               WHERE token_id = ?1 ORDER BY name";
    let mut statement = rows.prepare_cached(sql)?;
    let passwords = statement.query_map([&id], |row| {
        Ok(TokenPassword {
            name: row.get(0)?,
            secret_hash: row.get(1)?,
            created_ms: row.get(2)?,
            expires_ms: row.get(3)?,
        })
    })?;
    let passwords = passwords.collect::<Result<_, _>>()?;
    let id = parse_uuid(&id)?;
    Ok(Some(RegistryToken { id, name, scope_map: map, actions, is_enabled, created_ms, passwords }))
}
