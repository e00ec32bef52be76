//! Principals and what roles they hold where.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore};

/// A user or service principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its object id, which is its client id too.
    pub id: Uuid,
    /// The name it logs in by.
    pub name: String,
    /// A password hash string (PHC); never the secret.
    pub secret_hash: String,
}

/// One role given to one principal at one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its name, a GUID.
    pub id: Uuid,
    /// Who holds the role.
    pub principal: Uuid,
    /// The role definition's GUID.
    pub role: Uuid,
    /// `/`, or an ARM id: the role holds there and beneath.
    pub scope: String,
}

impl Metastore {
    /// Makes a principal with its first role, both or neither. `false`: the name is taken.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_principal(
        &self,
        principal: Principal,
        assignment: RoleAssignment,
        now_ms: i64,
    ) -> Result<bool, Error> {
        self.write(move |rows| {
            let made = rows.execute(
                "INSERT INTO principal (id, name, secret_hash, created_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO NOTHING",
                params![principal.id.to_string(), principal.name, principal.secret_hash, now_ms],
            )?;
            if made == 0 {
                return Ok(false);
            }
            assign(rows, &assignment, now_ms)?;
            Ok(true)
        })
        .await
    }

    /// Gives a principal one more role.
    ///
    /// # Errors
    /// [`Error`] if the store fails, or there is no such principal.
    pub async fn assign_role(&self, assignment: RoleAssignment, now_ms: i64) -> Result<(), Error> {
        self.write(move |rows| assign(rows, &assignment, now_ms)).await
    }

    /// The principal that logs in by this name, or has this id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn principal(&self, name_or_id: &str) -> Result<Option<Principal>, Error> {
        let wanted = name_or_id.to_owned();
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT id, name, secret_hash FROM principal WHERE name = ?1 OR id = lower(?1) LIMIT 1",
            )?;
            let found = statement
                .query_row([wanted], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            found
                .map(|(id, name, secret_hash)| Ok(Principal { id: parse_uuid(&id)?, name, secret_hash }))
                .transpose()
        })
        .await
    }

    /// Every role that the principal holds, at whatever scope.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn role_assignments(&self, principal: Uuid) -> Result<Vec<RoleAssignment>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT id, role_id, scope FROM role_assignment WHERE principal_id = ?1 ORDER BY id",
            )?;
            let found = statement.query_map([principal.to_string()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?))
            })?;
            found
                .map(|row| {
                    let (id, role, scope) = row?;
                    Ok(RoleAssignment { id: parse_uuid(&id)?, principal, role: parse_uuid(&role)?, scope })
                })
                .collect()
        })
        .await
    }
}

fn assign(rows: &rusqlite::Connection, assignment: &RoleAssignment, now_ms: i64) -> Result<(), Error> {
    rows.execute(
        "INSERT INTO role_assignment (id, principal_id, role_id, scope, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            assignment.id.to_string(),
            assignment.principal.to_string(),
            assignment.role.to_string(),
            assignment.scope,
            now_ms
        ],
    )?;
    Ok(())
}
