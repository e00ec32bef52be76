//! Subscriptions: made, renamed, disabled and enabled by whoever runs the server.

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::plan::put_plan;
use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, Plan, Subscription, Tier};

impl Metastore {
    /// Every subscription, by id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        self.read(|rows| {
            let sql = "SELECT id, display_name, is_disabled FROM subscription ORDER BY id";
            let mut statement = rows.prepare_cached(sql)?;
            let found =
                statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
            found
                .map(|row| {
                    let (id, display_name, is_disabled) = row?;
                    Ok(Subscription { id: parse_uuid(&id)?, display_name, is_disabled })
                })
                .collect()
        })
        .await
    }

    /// Makes a subscription, with its *container registries* plan on `tier`. `false`: there is one of that id or
    /// name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_subscription(
        &self,
        wanted: Subscription,
        tier: Tier,
        now_ms: i64,
    ) -> Result<bool, Error> {
        self.write(move |rows| {
            let id = wanted.id.to_string();
            let is_taken = "SELECT 1 FROM subscription WHERE id = ?1";
            if rows.prepare_cached(is_taken)?.exists([&id])? || is_named(rows, &wanted.display_name, &id)? {
                return Ok(false);
            }
            rows.execute(
                "INSERT INTO subscription (id, display_name, created_ms, is_disabled) VALUES (?1, ?2, ?3, ?4)",
                params![id, wanted.display_name, now_ms, wanted.is_disabled],
            )?;
            put_plan(rows, wanted.id, Plan::ContainerRegistry, tier, now_ms)?;
            Ok(true)
        })
        .await
    }

    /// Gives a subscription another name. `false`: there is none of that id, or another one has the name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn rename_subscription(&self, id: Uuid, display_name: String) -> Result<bool, Error> {
        self.write(move |rows| {
            let id = id.to_string();
            if is_named(rows, &display_name, &id)? {
                return Ok(false);
            }
            let sql = "UPDATE subscription SET display_name = ?2 WHERE id = ?1";
            Ok(rows.execute(sql, params![id, display_name])? == 1)
        })
        .await
    }

    /// Disables a subscription, in which nothing can be changed then, or enables it. `false`: there is none of that
    /// id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn disable_subscription(&self, id: Uuid, is_disabled: bool) -> Result<bool, Error> {
        self.write(move |rows| {
            let sql = "UPDATE subscription SET is_disabled = ?2 WHERE id = ?1";
            Ok(rows.execute(sql, params![id.to_string(), is_disabled])? == 1)
        })
        .await
    }
}

/// True if another subscription than `id` has the name.
fn is_named(rows: &Connection, display_name: &str, id: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM subscription WHERE display_name = ?1 COLLATE NOCASE AND id <> ?2";
    Ok(rows.prepare_cached(sql)?.exists(params![display_name, id])?)
}
