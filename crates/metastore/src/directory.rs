//! What a directory says of principals (Microsoft Graph): who is a person, and whose a program is.

use rusqlite::params;
use uuid::Uuid;

use crate::{Error, Metastore, Principal, PrincipalSecret, principal_secret};

/// Who logs in by a principal's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Somebody: a user, to Azure.
    Person,
    /// A service or a CI job: an application and its service principal, to Azure.
    Program,
}

impl PrincipalKind {
    /// As it is stored, and as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Program => "program",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        // The schema knows no third.
        if text == Self::Person.name() { Self::Person } else { Self::Program }
    }
}

/// What became of a new program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddProgram {
    /// It is there, without a role.
    Added,
    /// A principal has this name, in whatever case, or a registry, whose admin user it is.
    NameTaken,
    /// Its owner has as many as they may.
    TooMany,
}

impl Metastore {
    /// Makes a program that holds these secrets, maybe none, and no role, unless its owner has `owned_max` already.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn add_program(
        &self,
        program: Principal,
        secrets: Vec<PrincipalSecret>,
        owned_max: usize,
        now_ms: i64,
    ) -> Result<AddProgram, Error> {
        self.grow(move |rows| {
            let owner = program.owner.map(|owner| owner.to_string());
            let owned: usize = rows
                .prepare_cached("SELECT count(*) FROM principal WHERE owner = ?1")?
                .query_row([&owner], |row| row.get(0))?;
            if owned >= owned_max {
                return Ok(AddProgram::TooMany);
            }
            let made = rows.execute(
                "INSERT INTO principal (id, name, kind, owner, created_ms) SELECT ?1, ?2, ?3, ?4, ?5
                 WHERE NOT EXISTS (SELECT 1 FROM principal WHERE name = ?2 COLLATE NOCASE)
                   AND NOT EXISTS (SELECT 1 FROM registry WHERE name = ?2 COLLATE NOCASE)",
                params![program.id.to_string(), program.name, program.kind.name(), owner, now_ms],
            )?;
            if made == 0 {
                return Ok(AddProgram::NameTaken);
            }
            for secret in &secrets {
                principal_secret::insert(rows, program.id, secret, now_ms)?;
            }
            Ok(AddProgram::Added)
        })
        .await
    }

    /// Says that a principal is a person, or a program. `false`: there is none of that id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn set_principal_kind(&self, id: Uuid, kind: PrincipalKind) -> Result<bool, Error> {
        self.write(move |rows| {
            let sql = "UPDATE principal SET kind = ?2 WHERE id = ?1";
            Ok(rows.execute(sql, params![id.to_string(), kind.name()])? > 0)
        })
        .await
    }
}
