//! Management locks: what may not be deleted, or not be changed at all, until the lock is removed.
//!
//! A lock holds at its scope and beneath it; and what has a lock beneath it cannot be deleted either.

use rusqlite::{Connection, Row, params};

use crate::{Error, Metastore, Registry};

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementLock {
    /// The ARM id of a subscription, group or registry.
    pub scope: String,
    /// Its name at that scope.
    pub name: String,
    /// What it forbids.
    pub level: LockLevel,
    /// Why it is there, for people.
    pub notes: String,
}

/// What a lock forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockLevel {
    /// To delete.
    CanNotDelete,
    /// To delete, and to change.
    ReadOnly,
}

impl LockLevel {
    /// As Azure writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CanNotDelete => "CanNotDelete",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// The level of that name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::CanNotDelete, Self::ReadOnly].into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// What is to be done with something that may be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To delete it, with all that is beneath it.
    Delete,
    /// To make or change it.
    Write,
}

impl ManagementLock {
    /// Its ARM id.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/providers/Microsoft.Authorization/locks/{}", self.scope, self.name)
    }
}

impl Metastore {
    /// Every lock, by scope.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn management_locks(&self) -> Result<Vec<ManagementLock>, Error> {
        self.read(locks).await
    }

    /// Makes a lock, or changes the one of that name at that scope. `true`: it is new.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_management_lock(&self, lock: ManagementLock) -> Result<bool, Error> {
        self.write(move |rows| {
            let sql = "SELECT 1 FROM management_lock WHERE scope = ?1 AND name = ?2";
            let is_new = !rows.prepare_cached(sql)?.exists([&lock.scope, &lock.name])?;
            rows.execute(
                "INSERT INTO management_lock (scope, name, level, notes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (scope, name) DO UPDATE SET level = excluded.level, notes = excluded.notes",
                params![lock.scope, lock.name, lock.level.name(), lock.notes],
            )?;
            Ok(is_new)
        })
        .await
    }

    /// Takes a lock away. `false`: there is none of that name at that scope.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_management_lock(&self, scope: &str, name: &str) -> Result<bool, Error> {
        let key = [scope.to_owned(), name.to_owned()];
        self.write(move |rows| {
            Ok(rows.execute("DELETE FROM management_lock WHERE scope = ?1 AND name = ?2", key)? > 0)
        })
        .await
    }

    /// Lets through what no lock forbids.
    ///
    /// # Errors
    /// [`Error::Locked`] if one does; others if the store fails.
    pub async fn check_unlocked(&self, scope: &str, intent: Intent) -> Result<(), Error> {
        let scope = scope.to_owned();
        self.read(move |rows| check_unlocked(rows, &scope, intent)).await
    }
}

/// The same within a transaction.
pub(crate) fn check_unlocked(rows: &Connection, scope: &str, intent: Intent) -> Result<(), Error> {
    let forbids = |lock: &ManagementLock| {
        let (is_level, is_within) = match intent {
            Intent::Delete => (true, is_beneath(scope, &lock.scope)),
            Intent::Write => (lock.level == LockLevel::ReadOnly, false),
        };
        is_level && (is_within || is_beneath(&lock.scope, scope))
    };
    match locks(rows)?.iter().find(|lock| forbids(lock)) {
        None => Ok(()),
        Some(lock) => Err(Error::Locked {
            scope: scope.to_owned(),
            operation: if intent == Intent::Delete { "delete" } else { "write" },
            lock: lock.id(),
        }),
    }
}

/// Lets a deleted registry be removed for good, unless a lock forbids to delete it or its subscription is disabled:
/// until then it could come back, so that its removal is a deletion like any other.
pub(crate) fn check_purgeable(rows: &Connection, registry: &Registry) -> Result<(), Error> {
    let sql = "SELECT 1 FROM subscription WHERE id = ?1 AND is_disabled";
    if rows.prepare_cached(sql)?.exists([registry.subscription.to_string()])? {
        return Err(Error::Disabled { subscription: registry.subscription });
    }
    check_unlocked(rows, &registry.resource_id(), Intent::Delete)
}

/// True if `inner` is `outer` or beneath it.
fn is_beneath(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (outer.to_ascii_lowercase(), inner.to_ascii_lowercase());
    inner.strip_prefix(&outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn locks(rows: &Connection) -> Result<Vec<ManagementLock>, Error> {
    let sql = "SELECT scope, name, level, notes FROM management_lock ORDER BY scope, name";
    let mut statement = rows.prepare_cached(sql)?;
    let lock = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?));
    let found = statement.query_map([], lock)?;
    found
        .map(|row| {
            let (scope, name, level, notes) = row?;
            let level = LockLevel::from_name(&level).ok_or(Error::Damaged { what: "management lock" })?;
            Ok(ManagementLock { scope, name, level, notes })
        })
        .collect()
}
