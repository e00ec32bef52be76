//! Principals and what roles they hold where.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, PrincipalKind, PrincipalSecret, principal_secret};

/// A user or service principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its object id, which is its client id too.
    pub id: Uuid,
    /// The name it logs in by.
    pub name: String,
    /// Who logs in by it.
    pub kind: PrincipalKind,
    /// Who made it, by id, and may give it secrets. `None`: the operator made it, or they are gone.
    pub owner: Option<Uuid>,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_ms: i64,
}

impl Principal {
    /// One that the operator makes. The store says when it was made.
    #[must_use]
    pub fn new(id: Uuid, name: String, kind: PrincipalKind) -> Self {
        Self { id, name, kind, owner: None, created_ms: 0 }
    }
}

/// One role given to one principal at one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its name, a GUID.
    pub id: Uuid,
    /// Who holds the role.
    pub principal: Uuid,
    /// What they are.
    pub principal_kind: PrincipalKind,
    /// The role definition's GUID.
    pub role: Uuid,
    /// `/`, or an ARM id: the role holds there and beneath.
    pub scope: String,
    /// What narrows it, in Azure's language of conditions (version 2.0).
    pub condition: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// The id of whoever made it; empty if nobody knows.
    pub created_by: String,
    /// When it was last changed, or made.
    pub updated_ms: i64,
    /// The id of whoever changed it last.
    pub updated_by: String,
}

impl RoleAssignment {
    /// Without a condition. The store says when it was made and what its holder is.
    #[must_use]
    pub fn new(id: Uuid, principal: Uuid, role: Uuid, scope: String) -> Self {
        Self {
            id,
            principal,
            principal_kind: PrincipalKind::Program,
            role,
            scope,
            condition: None,
            description: None,
            created_ms: 0,
            created_by: String::new(),
            updated_ms: 0,
            updated_by: String::new(),
        }
    }
}

/// What became of giving somebody a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignRole {
    /// They hold it now.
    Assigned(RoleAssignment),
    /// They held it before, by an assignment of this name; its condition and description are as wanted now.
    Kept(RoleAssignment),
    /// They held it before, by this assignment; or the name is another one's.
    Held {
        /// Its name.
        id: Uuid,
    },
    /// There is no such principal.
    NoPrincipal,
}

/// Why somebody keeps a role.
#[derive(Debug, thiserror::Error)]
pub enum KeepRole {
    /// Without them nobody could ever give roles again.
    #[error("no other principal holds this role at the root: give it to another one first")]
    LastHolder,
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for KeepRole {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Metastore {
    /// Makes a principal with its first secret and role, all or nothing. `false`: the name is taken.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_principal(
        &self,
        principal: Principal,
        secret: PrincipalSecret,
        assignment: RoleAssignment,
        now_ms: i64,
    ) -> Result<bool, Error> {
        self.write(move |rows| {
            let made = rows.execute(
                "INSERT INTO principal (id, name, kind, created_ms) SELECT ?1, ?2, ?3, ?4
                 WHERE NOT EXISTS (SELECT 1 FROM principal WHERE name = ?2 COLLATE NOCASE)
                   AND NOT EXISTS (SELECT 1 FROM registry WHERE name = ?2 COLLATE NOCASE)",
                params![principal.id.to_string(), principal.name, principal.kind.name(), now_ms],
            )?;
            if made == 0 {
                return Ok(false);
            }
            principal_secret::insert(rows, principal.id, &secret, now_ms)?;
            assign(rows, &assignment, now_ms)?;
            Ok(true)
        })
        .await
    }

    /// Gives a principal one more role, or changes on what condition they hold it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn assign_role(&self, assignment: RoleAssignment, now_ms: i64) -> Result<AssignRole, Error> {
        self.write(move |rows| {
            let known = "SELECT kind FROM principal WHERE id = ?1";
            let kind: Option<String> = rows
                .prepare_cached(known)?
                .query_row([assignment.principal.to_string()], |row| row.get(0))
                .optional()?;
            let Some(kind) = kind else { return Ok(AssignRole::NoPrincipal) };
            let principal_kind = PrincipalKind::parse(&kind);
            let sql =
                format!("{ASSIGNMENTS} WHERE id = ?1 OR (principal_id = ?2 AND role_id = ?3 AND scope = ?4)");
            let key = params![
                assignment.id.to_string(),
                assignment.principal.to_string(),
                assignment.role.to_string(),
                assignment.scope
            ];
            let held = rows.prepare_cached(&sql)?.query_row(key, raw_assignment).optional()?;
            let Some(held) = held.map(parse_assignment).transpose()? else {
                assign(rows, &assignment, now_ms)?;
                let made =
                    RoleAssignment { principal_kind, created_ms: now_ms, updated_ms: now_ms, ..assignment };
                return Ok(AssignRole::Assigned(made));
            };
            let is_it = held.id == assignment.id
                && held.principal == assignment.principal
                && held.role == assignment.role
                && held.scope.eq_ignore_ascii_case(&assignment.scope);
            if !is_it {
                return Ok(AssignRole::Held { id: held.id });
            }
            let is_same =
                held.condition == assignment.condition && held.description == assignment.description;
            if is_same {
                return Ok(AssignRole::Kept(held));
            }
            let (condition, description) = (assignment.condition, assignment.description);
            rows.execute(
                "UPDATE role_assignment SET condition = ?2, description = ?3, updated_ms = ?4, updated_by = ?5
                 WHERE id = ?1",
                params![held.id.to_string(), condition, description, now_ms, assignment.updated_by],
            )?;
            let updated_by = assignment.updated_by;
            Ok(AssignRole::Kept(RoleAssignment {
                condition,
                description,
                updated_ms: now_ms,
                updated_by,
                ..held
            }))
        })
        .await
    }

    /// Takes a role away; returns what it was. `None`: there is no such assignment.
    ///
    /// # Errors
    /// [`KeepRole::LastHolder`] if nobody would hold the role `keep` at `/` any more.
    pub async fn remove_role(
        &self,
        assignment: Uuid,
        keep: Uuid,
    ) -> Result<Option<RoleAssignment>, KeepRole> {
        self.write(move |rows| {
            let sql = format!("{ASSIGNMENTS} WHERE id = ?1");
            let found =
                rows.prepare_cached(&sql)?.query_row([assignment.to_string()], raw_assignment).optional()?;
            let Some(found) = found.map(parse_assignment).transpose()? else { return Ok(None) };
            rows.execute("DELETE FROM role_assignment WHERE id = ?1", [assignment.to_string()])?;
            check_kept(rows, keep)?;
            Ok(Some(found))
        })
        .await
    }

    /// Removes a principal with its roles. `false`: there is none of that id.
    ///
    /// # Errors
    /// [`KeepRole::LastHolder`] if nobody would hold the role `keep` at `/` any more.
    pub async fn delete_principal(&self, id: Uuid, keep: Uuid) -> Result<bool, KeepRole> {
        self.write(move |rows| {
            // Before the principal, whose name the audit log tells with them.
            rows.execute("DELETE FROM principal_secret WHERE principal_id = ?1", [id.to_string()])?;
            rows.execute("DELETE FROM role_assignment WHERE principal_id = ?1", [id.to_string()])?;
            let gone = rows.execute("DELETE FROM principal WHERE id = ?1", [id.to_string()])?;
            if gone > 0 {
                check_kept(rows, keep)?;
            }
            Ok(gone > 0)
        })
        .await
    }

    /// Every principal, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn principals(&self) -> Result<Vec<Principal>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(&format!("{PRINCIPALS} ORDER BY name"))?;
            let found = statement.query_map([], raw_principal)?;
            found.map(|row| parse_principal(row?)).collect()
        })
        .await
    }

    /// Every role that anybody holds, in the order of scopes.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn all_role_assignments(&self) -> Result<Vec<RoleAssignment>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached(&format!("{ASSIGNMENTS} ORDER BY scope, id"))?;
            let found = statement.query_map([], raw_assignment)?;
            found.map(|row| parse_assignment(row?)).collect()
        })
        .await
    }

    /// The principal that logs in by this name, or has this id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn principal(&self, name_or_id: &str) -> Result<Option<Principal>, Error> {
        let wanted = name_or_id.to_owned();
        self.read(move |rows| {
            let sql = format!("{PRINCIPALS} WHERE name = ?1 OR id = lower(?1) LIMIT 1");
            let found = rows.prepare_cached(&sql)?.query_row([wanted], raw_principal).optional()?;
            found.map(parse_principal).transpose()
        })
        .await
    }

    /// Every role that the principal holds, at whatever scope.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn role_assignments(&self, principal: Uuid) -> Result<Vec<RoleAssignment>, Error> {
        self.read(move |rows| {
            let sql = format!("{ASSIGNMENTS} WHERE principal_id = ?1 ORDER BY id");
            let mut statement = rows.prepare_cached(&sql)?;
            let found = statement.query_map([principal.to_string()], raw_assignment)?;
            found.map(|row| parse_assignment(row?)).collect()
        })
        .await
    }
}

fn assign(rows: &rusqlite::Connection, assignment: &RoleAssignment, now_ms: i64) -> Result<(), Error> {
    rows.execute(
        "INSERT INTO role_assignment (id, principal_id, role_id, scope, condition, description, created_ms, created_by,
           updated_ms, updated_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7, ?8)",
        params![
            assignment.id.to_string(),
            assignment.principal.to_string(),
            assignment.role.to_string(),
            assignment.scope,
            assignment.condition,
            assignment.description,
            now_ms,
            assignment.created_by,
        ],
    )?;
    Ok(())
}

fn check_kept(rows: &rusqlite::Connection, role: Uuid) -> Result<(), KeepRole> {
    let sql = "SELECT 1 FROM role_assignment WHERE role_id = ?1 AND scope = '/'";
    let is_kept =
        rows.prepare_cached(sql).map_err(Error::from)?.exists([role.to_string()]).map_err(Error::from)?;
    if is_kept { Ok(()) } else { Err(KeepRole::LastHolder) }
}

/// The ids as texts, and the rest.
type RawPrincipal = (String, Option<String>, Principal);

fn raw_principal(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawPrincipal> {
    let kind = PrincipalKind::parse(&row.get::<_, String>(2)?);
    let rest = Principal { created_ms: row.get(4)?, ..Principal::new(Uuid::nil(), row.get(1)?, kind) };
    Ok((row.get(0)?, row.get(3)?, rest))
}

fn parse_principal((id, owner, rest): RawPrincipal) -> Result<Principal, Error> {
    let owner = owner.map(|owner| parse_uuid(&owner)).transpose()?;
    Ok(Principal { id: parse_uuid(&id)?, owner, ..rest })
}

const PRINCIPALS: &str = "SELECT id, name, kind, owner, created_ms FROM principal";

type RawAssignment = ([String; 4], RoleAssignment);

/// The ids as texts, and the rest.
fn raw_assignment(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawAssignment> {
    let nobody = Uuid::nil();
    let created_ms = row.get(6)?;
    let rest = RoleAssignment {
        principal_kind: PrincipalKind::parse(&row.get::<_, String>(10)?),
        condition: row.get(4)?,
        description: row.get(5)?,
        created_ms,
        created_by: row.get(7)?,
        updated_ms: row.get::<_, Option<i64>>(8)?.unwrap_or(created_ms),
        updated_by: row.get(9)?,
        ..RoleAssignment::new(nobody, nobody, nobody, String::new())
    };
    Ok(([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?], rest))
}

fn parse_assignment(([id, principal, role, scope], rest): RawAssignment) -> Result<RoleAssignment, Error> {
    let [id, principal, role] = [id, principal, role].map(|text| parse_uuid(&text));
    Ok(RoleAssignment { id: id?, principal: principal?, role: role?, scope, ..rest })
}

const ASSIGNMENTS: &str =
    "SELECT id, principal_id, role_id, scope, condition, description, created_ms, created_by,
        updated_ms, updated_by, (SELECT kind FROM principal WHERE principal.id = principal_id) FROM role_assignment";
