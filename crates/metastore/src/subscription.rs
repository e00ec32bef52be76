//! Subscriptions: made, renamed, disabled and enabled by whoever runs the server.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::management_lock::{Intent, check_unlocked};
use crate::plan::put_plan;
use crate::tenancy::parse_uuid;
use crate::{Error, Metastore, Plan, Subscription, Tier};

/// What became of a subscription that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteSubscription {
    /// It is gone, with its plans, its rules, and every role that was held at it. What it had used is kept.
    Deleted,
    /// Something is in it.
    Holds(Held),
    /// There is none of that id.
    Missing,
}

/// What a subscription holds, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A registry.
    Registry(String),
    /// A deleted registry that is not purged.
    DeletedRegistry(String),
    /// A resource group.
    Group(String),
    /// A cluster.
    Cluster(String),
}

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
    /// name, or there was one of that id.
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
            // What the one that ended had used is no business of a new one.
            let is_ended = "SELECT 1 FROM ended_subscription WHERE id = ?1";
            if rows.prepare_cached(is_ended)?.exists([&id])? {
                return Ok(false);
            }
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
            check_unlocked(rows, &format!("/subscriptions/{id}"), Intent::Write)?;
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

impl Metastore {
    /// Deletes a subscription that holds nothing.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_subscription(&self, id: Uuid, now_ms: i64) -> Result<DeleteSubscription, Error> {
        self.write(move |rows| {
            let id = id.to_string();
            if !rows.prepare_cached("SELECT 1 FROM subscription WHERE id = ?1")?.exists([&id])? {
                return Ok(DeleteSubscription::Missing);
            }
            if let Some(held) = held(rows, &id)? {
                return Ok(DeleteSubscription::Holds(held));
            }
            rows.execute(
                "INSERT INTO ended_subscription (id, display_name, created_ms, ended_ms)
                 SELECT id, display_name, created_ms, ?2 FROM subscription WHERE id = ?1",
                params![id, now_ms],
            )?;
            let scope = format!("/subscriptions/{id}");
            check_unlocked(rows, &scope, Intent::Delete)?;
            rows.execute(
                "DELETE FROM role_assignment
                 WHERE lower(scope) = ?1 OR substr(lower(scope), 1, length(?1) + 1) = ?1 || '/'",
                [scope],
            )?;
            rows.execute("DELETE FROM plan WHERE subscription_id = ?1", [&id])?;
            rows.execute("DELETE FROM subscription WHERE id = ?1", [&id])?;
            Ok(DeleteSubscription::Deleted)
        })
        .await
    }

    /// The tags of every subscription: a JSON object of text for each id.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn subscription_tags(&self) -> Result<HashMap<Uuid, String>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare_cached("SELECT id, tags FROM subscription")?;
            let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            found
                .map(|row| {
                    let (id, tags) = row?;
                    Ok((parse_uuid(&id)?, tags))
                })
                .collect()
        })
        .await
    }

    /// Gives a subscription these tags in the place of those it has. `false`: there is none of that id.
    ///
    /// # Errors
    /// [`Error::Locked`] if it may not be changed; others if the store fails.
    pub async fn tag_subscription(&self, id: Uuid, tags: String) -> Result<bool, Error> {
        self.write(move |rows| {
            check_unlocked(rows, &format!("/subscriptions/{id}"), Intent::Write)?;
            let sql = "UPDATE subscription SET tags = ?2 WHERE id = ?1";
            Ok(rows.execute(sql, params![id.to_string(), tags])? == 1)
        })
        .await
    }

    /// The subscriptions that were deleted, by id: their usage is kept.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn ended_subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        self.read(|rows| {
            let sql = "SELECT id, display_name FROM ended_subscription ORDER BY id";
            let mut statement = rows.prepare_cached(sql)?;
            let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            found
                .map(|row| {
                    let (id, display_name) = row?;
                    Ok(Subscription { id: parse_uuid(&id)?, display_name, is_disabled: true })
                })
                .collect()
        })
        .await
    }
}

/// The first thing in a subscription that has to go before it can.
fn held(rows: &Connection, id: &str) -> Result<Option<Held>, Error> {
    let first =
        |sql: &str| rows.prepare_cached(sql)?.query_row([id], |row| row.get::<_, String>(0)).optional();
    let live =
        "SELECT name FROM registry WHERE subscription_id = ?1 AND deleted_ms IS NULL ORDER BY name LIMIT 1";
    let deleted = "SELECT name FROM registry WHERE subscription_id = ?1 ORDER BY name LIMIT 1";
    let group = "SELECT name FROM resource_group WHERE subscription_id = ?1 ORDER BY name LIMIT 1";
    let cluster = "SELECT name FROM cluster WHERE subscription_id = ?1 ORDER BY name LIMIT 1";
    if let Some(name) = first(live)? {
        return Ok(Some(Held::Registry(name)));
    }
    if let Some(name) = first(deleted)? {
        return Ok(Some(Held::DeletedRegistry(name)));
    }
    if let Some(name) = first(group)? {
        return Ok(Some(Held::Group(name)));
    }
    Ok(first(cluster)?.map(Held::Cluster))
}

/// True if another subscription than `id` has the name.
fn is_named(rows: &Connection, display_name: &str, id: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM subscription WHERE display_name = ?1 COLLATE NOCASE AND id <> ?2";
    Ok(rows.prepare_cached(sql)?.exists(params![display_name, id])?)
}
