//! Immutable tags: by rule, a tag that exists cannot be moved to another manifest.

use oci::{Repository, Tag, matches};
use rusqlite::{Connection, params};

use crate::{Error, Metastore, RegistryId};

/// A rule of a registry. Tags that it covers can be made and deleted, and never moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImmutableTags {
    /// Its name, unique in the registry.
    pub name: String,
    /// The repositories it is for; `*` stands for any characters.
    pub repositories: String,
    /// The tags it is for; `*` stands for any characters.
    pub tags: String,
}

impl Metastore {
    /// The rules of a registry, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn immutable_tags(&self, registry: RegistryId) -> Result<Vec<ImmutableTags>, Error> {
        self.read(move |rows| rules(rows, registry)).await
    }

    /// Makes or replaces a rule.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_immutable_tags(&self, registry: RegistryId, rule: ImmutableTags) -> Result<(), Error> {
        self.write(move |rows| {
            rows.prepare_cached(
                "INSERT INTO immutable_tags (registry_id, name, repositories, tags)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (registry_id, name)
                 DO UPDATE SET repositories = excluded.repositories, tags = excluded.tags",
            )?
            .execute(params![registry.0, rule.name, rule.repositories, rule.tags])?;
            Ok(())
        })
        .await
    }

    /// Removes a rule. `false`: there was none of that name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_immutable_tags(&self, registry: RegistryId, name: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM immutable_tags WHERE registry_id = ?1 AND name = ?2";
        self.delete_named(sql, registry, name).await
    }
}

/// The rule by which a tag cannot be moved, if there is one.
pub(crate) fn immutable_by(
    rows: &Connection,
    registry: RegistryId,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<String>, Error> {
    let covers = |rule: &ImmutableTags| {
        matches(&rule.repositories, repository.as_str()) && matches(&rule.tags, tag.as_str())
    };
    Ok(rules(rows, registry)?.into_iter().find(covers).map(|rule| rule.name))
}

fn rules(rows: &Connection, registry: RegistryId) -> Result<Vec<ImmutableTags>, Error> {
    let mut statement = rows.prepare_cached(
        "SELECT name, repositories, tags FROM immutable_tags WHERE registry_id = ?1 ORDER BY name",
    )?;
    let found = statement.query_map([registry.0], |row| {
        Ok(ImmutableTags { name: row.get(0)?, repositories: row.get(1)?, tags: row.get(2)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}
