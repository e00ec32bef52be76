//! What principals log in by.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore};

/// One secret of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalSecret {
    /// Its key id: what the tokens that it was exchanged for name.
    pub id: Uuid,
    /// For people; may be empty.
    pub name: String,
    /// By what its holder is known.
    pub proof: Proof,
    /// When it was made.
    pub created_ms: i64,
    /// From when on it is good no longer; `None`: it stays good until it is removed.
    pub expires_ms: Option<i64>,
}

/// By what the holder of a secret is known; never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The secret's password hash string (PHC).
    Hash(String),
    /// A signature of one of these keys.
    Keys {
        /// A JSON Web Key Set (RFC 7517), as JSON.
        keys: String,
        /// Whose keys they are; `None`: the principal's own.
        issuer: Option<Issuer>,
    },
}

/// Somebody else who vouches for a principal (workload identity federation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name: the `iss` of what it signs.
    pub issuer: String,
    /// What it calls the principal: the `sub`.
    pub subject: String,
    /// Whom it is meant for: the `aud`.
    pub audience: String,
}

impl PrincipalSecret {
    /// Without a name and an end. The store says when it was made.
    #[must_use]
    pub fn new(id: Uuid, hash: String) -> Self {
        Self { id, name: String::new(), proof: Proof::Hash(hash), created_ms: 0, expires_ms: None }
    }

    /// The hash of a secret that is typed or kept; `None` if it is proved by keys.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        match &self.proof {
            Proof::Hash(hash) => Some(hash),
            Proof::Keys { .. } => None,
        }
    }

    /// Whether it lets its principal in at this time.
    #[must_use]
    pub fn is_good(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// What became of giving a principal one more secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddSecret {
    /// It has it now.
    Added,
    /// It has [`SECRETS_MAX`] already, of which some may have expired.
    TooMany,
    /// There is no such principal.
    NoPrincipal,
}

impl Metastore {
    /// Gives a principal one more secret.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn add_secret(
        &self,
        principal: Uuid,
        secret: PrincipalSecret,
        now_ms: i64,
    ) -> Result<AddSecret, Error> {
        self.write(move |rows| {
            if !is_known(rows, principal)? {
                return Ok(AddSecret::NoPrincipal);
            }
            let sql = "SELECT count(*) FROM principal_secret WHERE principal_id = ?1";
            let held: usize = rows.query_row(sql, [principal.to_string()], |row| row.get(0))?;
            if held >= SECRETS_MAX {
                return Ok(AddSecret::TooMany);
            }
            insert(rows, principal, &secret, now_ms)?;
            Ok(AddSecret::Added)
        })
        .await
    }

    /// Gives a principal this secret in place of all that it has. `false`: there is none of that id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn replace_secrets(
        &self,
        principal: Uuid,
        secret: PrincipalSecret,
        now_ms: i64,
    ) -> Result<bool, Error> {
        self.write(move |rows| {
            if !is_known(rows, principal)? {
                return Ok(false);
            }
            rows.execute("DELETE FROM principal_secret WHERE principal_id = ?1", [principal.to_string()])?;
            insert(rows, principal, &secret, now_ms)?;
            Ok(true)
        })
        .await
    }

    /// Leaves a principal of its own keys those of these ids, and gives it these. What else it has stays.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn set_own_keys(
        &self,
        principal: Uuid,
        kept: Vec<Uuid>,
        added: Vec<PrincipalSecret>,
        now_ms: i64,
    ) -> Result<AddSecret, Error> {
        self.write(move |rows| {
            if !is_known(rows, principal)? {
                return Ok(AddSecret::NoPrincipal);
            }
            let of = principal.to_string();
            let sql = "SELECT id, keys IS NOT NULL AND issuer IS NULL FROM principal_secret WHERE principal_id = ?1";
            let mut statement = rows.prepare_cached(sql)?;
            let held = statement.query_map([&of], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
            let held: Vec<_> = held.collect::<Result<_, _>>()?;
            let kept: Vec<String> = kept.iter().map(Uuid::to_string).collect();
            let (gone, left): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|(id, is_own)| *is_own && !kept.contains(id));
            if left.len() + added.len() > SECRETS_MAX {
                return Ok(AddSecret::TooMany);
            }
            for (id, _) in gone {
                rows.execute("DELETE FROM principal_secret WHERE id = ?1", [id])?;
            }
            for secret in &added {
                insert(rows, principal, secret, now_ms)?;
            }
            Ok(AddSecret::Added)
        })
        .await
    }

    /// Takes a secret away. `false`: the principal has none of that id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn remove_secret(&self, principal: Uuid, secret: Uuid) -> Result<bool, Error> {
        self.write(move |rows| {
            let sql = "DELETE FROM principal_secret WHERE id = ?1 AND principal_id = ?2";
            Ok(rows.execute(sql, params![secret.to_string(), principal.to_string()])? > 0)
        })
        .await
    }

    /// A principal's secrets, those that have expired too; the newest first.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn principal_secrets(&self, principal: Uuid) -> Result<Vec<PrincipalSecret>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT id, name, hash, created_ms, expires_ms, keys, issuer, subject, audience FROM principal_secret WHERE principal_id = ?1
                 ORDER BY created_ms DESC, id",
            )?;
            let found = statement.query_map([principal.to_string()], |row| {
                let issuer = row.get::<_, Option<String>>(6)?.map(|issuer| {
                    Ok::<_, rusqlite::Error>(Issuer { issuer, subject: row.get(7)?, audience: row.get(8)? })
                });
                let issuer = issuer.transpose()?;
                let proof = match row.get::<_, Option<String>>(5)? {
                    Some(keys) => Proof::Keys { keys, issuer },
                    None => Proof::Hash(row.get(2)?),
                };
                let rest = PrincipalSecret {
                    id: Uuid::nil(),
                    name: row.get(1)?,
                    proof,
                    created_ms: row.get(3)?,
                    expires_ms: row.get(4)?,
                };
                Ok((row.get::<_, String>(0)?, rest))
            })?;
            found
                .map(|row| {
                    let (id, rest) = row?;
                    Ok(PrincipalSecret { id: parse_uuid(&id)?, ..rest })
                })
                .collect()
        })
        .await
    }
}

fn is_known(rows: &Connection, principal: Uuid) -> Result<bool, Error> {
    Ok(rows.prepare_cached("SELECT 1 FROM principal WHERE id = ?1")?.exists([principal.to_string()])?)
}

pub(crate) fn insert(
    rows: &Connection,
    principal: Uuid,
    secret: &PrincipalSecret,
    now_ms: i64,
) -> Result<(), Error> {
    let (hash, keys, issuer) = match &secret.proof {
        Proof::Hash(hash) => (hash.as_str(), None, None),
        Proof::Keys { keys, issuer } => ("", Some(keys), issuer.as_ref()),
    };
    rows.execute(
        "INSERT INTO principal_secret
           (id, principal_id, name, hash, created_ms, expires_ms, keys, issuer, subject, audience)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            secret.id.to_string(),
            principal.to_string(),
            secret.name,
            hash,
            now_ms,
            secret.expires_ms,
            keys,
            issuer.map(|it| &it.issuer),
            issuer.map(|it| &it.subject),
            issuer.map(|it| &it.audience),
        ],
    )?;
    Ok(())
}

/// How many a principal may have: a wrong one is compared with each, and that is slow on purpose.
pub const SECRETS_MAX: usize = 5;
