//! Queries that were given a name (`Microsoft.ResourceGraph/queries`).

use rusqlite::params;
use uuid::Uuid;

use crate::tenancy::parse_uuid;
use crate::{Error, Metastore};

/// A query with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedQuery {
    /// The subscription it is in.
    pub subscription: Uuid,
    /// The resource group it is in.
    pub resource_group: String,
    /// Its name, unique in the group whatever the case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its text.
    pub query: String,
    /// When it was last written.
    pub changed_ms: i64,
}

impl SavedQuery {
    /// Its ARM resource id.
    #[must_use]
    pub fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ResourceGraph/queries/{}",
            self.subscription, self.resource_group, self.name
        )
    }
}

impl Metastore {
    /// Every saved query, or those of a subscription, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn saved_queries(&self, subscription: Option<Uuid>) -> Result<Vec<SavedQuery>, Error> {
        self.read(move |rows| {
            let mut statement = rows.prepare_cached(
                "SELECT subscription_id, resource_group, name, description, query, changed_ms FROM saved_query
                 WHERE ?1 IS NULL OR subscription_id = ?1 ORDER BY name, resource_group",
            )?;
            let found = statement.query_map([subscription.map(|id| id.to_string())], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            })?;
            found
                .map(|row| {
                    let (subscription, resource_group, name, description, query, changed_ms) = row?;
                    let subscription = parse_uuid(&subscription)?;
                    Ok(SavedQuery { subscription, resource_group, name, description, query, changed_ms })
                })
                .collect()
        })
        .await
    }

    /// Writes a saved query, new or anew. `false`: there is no such resource group.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_saved_query(&self, saved: SavedQuery) -> Result<bool, Error> {
        self.write(move |rows| {
            let written = rows
                .prepare_cached(
                    "INSERT INTO saved_query (subscription_id, resource_group, name, description, query, changed_ms)
                     SELECT subscription_id, name, ?3, ?4, ?5, ?6 FROM resource_group
                     WHERE subscription_id = ?1 AND name = ?2
                     ON CONFLICT DO UPDATE SET description = excluded.description, query = excluded.query,
                       changed_ms = excluded.changed_ms",
                )?
                .execute(params![
                    saved.subscription.to_string(),
                    saved.resource_group,
                    saved.name,
                    saved.description,
                    saved.query,
                    saved.changed_ms
                ])?;
            Ok(written > 0)
        })
        .await
    }

    /// Removes a saved query. `false`: there was none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_saved_query(
        &self,
        subscription: Uuid,
        group: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let (group, name) = (group.to_owned(), name.to_owned());
        self.write(move |rows| {
            let sql =
                "DELETE FROM saved_query WHERE subscription_id = ?1 AND resource_group = ?2 AND name = ?3";
            Ok(rows.prepare_cached(sql)?.execute(params![subscription.to_string(), group, name])? > 0)
        })
        .await
    }
}
