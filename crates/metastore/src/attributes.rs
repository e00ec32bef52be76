//! Locks: what may be done with a repository, a manifest or a tag (Azure: `changeableAttributes`).

use oci::{Digest, Reference, Repository, Tag};
use rusqlite::{Connection, OptionalExtension, params};

use crate::immutable::immutable_by;
use crate::repository::repository_id;
use crate::{Error, Metastore, RegistryId};

/// What is allowed; everything, until somebody forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// It can be deleted. What cannot be written cannot be deleted either.
    pub delete_enabled: bool,
    /// It can be pushed to; a tag can be moved.
    pub write_enabled: bool,
    /// It appears in lists.
    pub list_enabled: bool,
    /// It can be pulled.
    pub read_enabled: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self::from_locks(0)
    }
}

impl Attributes {
    pub(crate) fn from_locks(locks: i64) -> Self {
        Self {
            delete_enabled: locks & NO_DELETE == 0,
            write_enabled: locks & NO_WRITE == 0,
            list_enabled: locks & NO_LIST == 0,
            read_enabled: locks & NO_READ == 0,
        }
    }

    fn locks(self) -> i64 {
        let bit = |is_allowed: bool, bit| if is_allowed { 0 } else { bit };
        bit(self.delete_enabled, NO_DELETE)
            | bit(self.write_enabled, NO_WRITE)
            | bit(self.list_enabled, NO_LIST)
            | bit(self.read_enabled, NO_READ)
    }
}

/// What to change; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributesChange {
    /// See [`Attributes::delete_enabled`].
    pub delete_enabled: Option<bool>,
    /// See [`Attributes::write_enabled`].
    pub write_enabled: Option<bool>,
    /// See [`Attributes::list_enabled`].
    pub list_enabled: Option<bool>,
    /// See [`Attributes::read_enabled`].
    pub read_enabled: Option<bool>,
}

/// What was asked for is forbidden.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// By an attribute.
    #[error(
        "{what} is locked ({flag} is false): set {flag} to true first, with `lazaret lock set` or `az acr repository update`"
    )]
    Attribute {
        /// What: `the tag app:1`.
        what: String,
        /// The attribute, as Azure writes it.
        flag: &'static str,
    },
    /// By a rule.
    #[error(
        "{what} is immutable by the rule {rule} and points elsewhere: push under another tag (`lazaret lock immutable` \
         shows and changes the rules)"
    )]
    Immutable {
        /// What: `the tag app:1`.
        what: String,
        /// The rule's name.
        rule: String,
    },
}

/// Why something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// An attribute forbids it.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for DeleteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Metastore {
    /// Changes the attributes of a repository, or of what `reference` names in it, and returns what
    /// they are then. `None`: there is no such thing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn change_attributes(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: Option<&Reference>,
        change: AttributesChange,
    ) -> Result<Option<Attributes>, Error> {
        let (repository, reference) = (repository.clone(), reference.cloned());
        self.write(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            let Some(old) = locks(rows, id, reference.as_ref())? else { return Ok(None) };
            let old = Attributes::from_locks(old);
            let new = Attributes {
                delete_enabled: change.delete_enabled.unwrap_or(old.delete_enabled),
                write_enabled: change.write_enabled.unwrap_or(old.write_enabled),
                list_enabled: change.list_enabled.unwrap_or(old.list_enabled),
                read_enabled: change.read_enabled.unwrap_or(old.read_enabled),
            };
            let (table, key) = place(reference.as_ref());
            let name = reference.map(|reference| reference.to_string()).unwrap_or_default();
            rows.prepare_cached(&format!("UPDATE {table} SET locks = ?3 WHERE {key}"))?.execute(params![
                id,
                name,
                new.locks()
            ])?;
            Ok(Some(new))
        })
        .await
    }

    /// The attributes of a repository, or of what `reference` names in it. `None`: there is no such
    /// thing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn attributes(
        &self,
        registry: RegistryId,
        repository: &Repository,
        reference: Option<&Reference>,
    ) -> Result<Option<Attributes>, Error> {
        let (repository, reference) = (repository.clone(), reference.cloned());
        self.read(move |rows| {
            let Some(id) = repository_id(rows, registry, &repository)? else { return Ok(None) };
            Ok(locks(rows, id, reference.as_ref())?.map(Attributes::from_locks))
        })
        .await
    }
}

/// The table, and the condition on `?1` (the repository's id) and `?2` (the name in it).
fn place(reference: Option<&Reference>) -> (&'static str, &'static str) {
    match reference {
        None => ("repository", "id = ?1 AND ?2 = ''"),
        Some(Reference::Digest(_)) => ("manifest", "repository_id = ?1 AND digest = ?2"),
        Some(Reference::Tag(_)) => ("tag", "repository_id = ?1 AND name = ?2"),
    }
}

fn locks(rows: &Connection, id: i64, reference: Option<&Reference>) -> Result<Option<i64>, Error> {
    let (table, key) = place(reference);
    let name = reference.map(ToString::to_string).unwrap_or_default();
    let mut statement = rows.prepare_cached(&format!("SELECT locks FROM {table} WHERE {key}"))?;
    Ok(statement.query_row(params![id, name], |row| row.get(0)).optional()?)
}

/// What the repository itself forbids writing or deleting.
pub(crate) fn check_repository_writable(
    rows: &Connection,
    id: i64,
    repository: &Repository,
) -> Result<Result<(), Locked>, Error> {
    let attributes = locks(rows, id, None)?.map(Attributes::from_locks).unwrap_or_default();
    Ok(if attributes.write_enabled {
        Ok(())
    } else {
        Err(Locked::Attribute { what: format!("the repository {repository}"), flag: "writeEnabled" })
    })
}

/// `Err`: the tag exists, points elsewhere, and may not be moved. `Ok(true)`: it already points there and
/// is to stay as it is.
pub(crate) fn check_tag_movable(
    rows: &Connection,
    id: i64,
    (registry, repository, tag): (RegistryId, &Repository, &Tag),
    digest: &str,
) -> Result<Result<bool, Locked>, Error> {
    let mut statement =
        rows.prepare_cached("SELECT digest, locks FROM tag WHERE repository_id = ?1 AND name = ?2")?;
    let found = statement
        .query_row(params![id, tag.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    let Some((old, locks)) = found.optional()? else { return Ok(Ok(false)) };
    let is_locked = locks & NO_WRITE != 0;
    if old == digest {
        return Ok(Ok(is_locked));
    }
    let what = format!("the tag {repository}:{tag}");
    if is_locked {
        return Ok(Err(Locked::Attribute { what, flag: "writeEnabled" }));
    }
    Ok(match immutable_by(rows, registry, repository, tag)? {
        Some(rule) => Err(Locked::Immutable { what, rule }),
        None => Ok(false),
    })
}

/// The tag may go.
pub(crate) fn check_tag_deletable(
    rows: &Connection,
    id: i64,
    repository: &Repository,
    tag: &Tag,
) -> Result<(), DeleteError> {
    refuse(rows, id, &format!("the repository {repository}"), None)?;
    refuse(rows, id, &format!("the tag {repository}:{tag}"), Some(&Reference::Tag(tag.clone())))
}

/// The manifest may go, and with it every tag that points to it.
pub(crate) fn check_manifest_deletable(
    rows: &Connection,
    id: i64,
    repository: &Repository,
    digest: &Digest,
) -> Result<(), DeleteError> {
    refuse(rows, id, &format!("the repository {repository}"), None)?;
    let reference = Reference::Digest(digest.clone());
    refuse(rows, id, &format!("the manifest {repository}@{digest}"), Some(&reference))?;
    let mut tags = rows.prepare_cached(
        "SELECT name, locks FROM tag WHERE repository_id = ?1 AND digest = ?2 AND locks & 3 <> 0 LIMIT 1",
    )?;
    first_locked(&mut tags, params![id, digest.to_string()], |name| format!("the tag {repository}:{name}"))
}

/// The repository may go with all that it holds.
pub(crate) fn check_repository_deletable(
    rows: &Connection,
    id: i64,
    repository: &Repository,
) -> Result<(), DeleteError> {
    refuse(rows, id, &format!("the repository {repository}"), None)?;
    let mut tags = rows
        .prepare_cached("SELECT name, locks FROM tag WHERE repository_id = ?1 AND locks & 3 <> 0 LIMIT 1")?;
    first_locked(&mut tags, params![id], |name| format!("the tag {repository}:{name}"))?;
    let mut manifests = rows.prepare_cached(
        "SELECT digest, locks FROM manifest WHERE repository_id = ?1 AND locks & 3 <> 0 LIMIT 1",
    )?;
    first_locked(&mut manifests, params![id], |digest| format!("the manifest {repository}@{digest}"))
}

fn refuse(rows: &Connection, id: i64, what: &str, reference: Option<&Reference>) -> Result<(), DeleteError> {
    match locks(rows, id, reference)?.and_then(forbids_deletion) {
        Some(flag) => Err(Locked::Attribute { what: what.to_owned(), flag }.into()),
        None => Ok(()),
    }
}

fn first_locked(
    statement: &mut rusqlite::Statement<'_>,
    parameters: impl rusqlite::Params,
    what: impl Fn(String) -> String,
) -> Result<(), DeleteError> {
    let found = statement.query_row(parameters, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    if let Some((name, locks)) = found.optional()?
        && let Some(flag) = forbids_deletion(locks)
    {
        return Err(Locked::Attribute { what: what(name), flag }.into());
    }
    Ok(())
}

fn forbids_deletion(locks: i64) -> Option<&'static str> {
    match locks {
        locks if locks & NO_DELETE != 0 => Some("deleteEnabled"),
        locks if locks & NO_WRITE != 0 => Some("writeEnabled"),
        _ => None,
    }
}

const NO_DELETE: i64 = 1;
const NO_WRITE: i64 = 2;
const NO_LIST: i64 = 4;
const NO_READ: i64 = 8;
