//! Registries and resource groups: making, changing, deleting, restoring, purging.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::deleted::SoftDelete;
use crate::management_lock::{Intent, check_purgeable, check_unlocked};
use crate::plan::is_on;
use crate::tenancy::{parse_uuid, set_setting, setting};
use crate::{Error, Metastore, Registry, RegistryId, ResourceGroup};

/// A registry as somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRegistry {
    /// The subscription it is in.
    pub subscription: Uuid,
    /// The resource group it is in.
    pub resource_group: String,
    /// Its name; checked by whoever asks.
    pub name: String,
    /// Where it says it is; `None`: where its group is. That of a registry there is stays.
    pub location: Option<String>,
    /// `None`: as it is, or `Premium`.
    pub sku: Option<String>,
    /// `None`: as they are, or none. A JSON object of text.
    pub tags: Option<String>,
    /// Whether what is pushed is hidden until somebody lets it pass; `None`: as it is, or no.
    pub quarantine: Option<bool>,
    /// Whether its admin user may log in. `None`: as it is, or not.
    pub is_admin_enabled: Option<bool>,
    /// Whether everybody may pull from it. `None`: as it is, or not.
    pub is_public: Option<bool>,
    /// After how many days manifests without a tag go by themselves (`Some(None)`: never). `None`: as it is.
    pub untagged_days: Option<Option<u32>>,
    /// Whether what is deleted can be restored, and for how long. `None`: as it is, or no.
    pub soft_delete: Option<SoftDelete>,
    /// The id of whoever wants it; empty if nobody knows.
    pub by: String,
}

/// What a registry holds and may hold: each blob once, however many of its repositories link it, and each manifest in
/// each repository. What was deleted and can be restored does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryRoom {
    /// Bytes that it holds.
    pub used_bytes: u64,
    /// Bytes that it may hold; `None`: any number.
    pub quota_bytes: Option<u64>,
}

impl NewRegistry {
    /// As it is, or as a new one is made.
    #[must_use]
    pub fn new(subscription: Uuid, resource_group: String, name: String) -> Self {
        let (location, sku, tags, by) = (None, None, None, String::new());
        let (is_admin_enabled, is_public, untagged_days, quarantine) = (None, None, None, None);
        Self {
            subscription,
            resource_group,
            name,
            location,
            sku,
            tags,
            quarantine,
            is_admin_enabled,
            is_public,
            untagged_days,
            soft_delete: None,
            by,
        }
    }
}

/// What became of making or changing a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutRegistry {
    /// It is there now.
    Created(Registry),
    /// It was there, and is as wanted now.
    Updated(Registry),
    /// Another registry of the house has the name.
    NameTaken,
    /// A deleted registry has the name until it is restored or purged.
    Deleted,
    /// There is no such resource group.
    NoGroup,
}

/// What became of deleting a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRegistry {
    /// It is gone, and can be restored until it is purged.
    Deleted,
    /// It serves every host that names no registry, so it stays.
    Default,
    /// There is none.
    Missing,
}

/// What became of deleting a resource group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteGroup {
    /// It is gone.
    Deleted,
    /// Registries are in it, deleted ones that are not purged included.
    NotEmpty,
    /// There is none.
    Missing,
}

impl Metastore {
    /// Every registry that is not deleted, in the order they were made: the first is the default one.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn registries(&self) -> Result<Vec<Registry>, Error> {
        self.read(|rows| list(rows, "WHERE deleted_ms IS NULL ORDER BY id")).await
    }

    /// Every deleted registry that can be restored, in the order they were made.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn deleted_registries(&self) -> Result<Vec<Registry>, Error> {
        self.read(|rows| list(rows, "WHERE deleted_ms IS NOT NULL ORDER BY id")).await
    }

    /// Makes a registry, or changes the one there is.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_registry(&self, wanted: NewRegistry, now_ms: i64) -> Result<PutRegistry, Error> {
        self.write(move |rows| {
            let Some(group) = group(rows, wanted.subscription, &wanted.resource_group)? else {
                return Ok(PutRegistry::NoGroup);
            };
            let scope = group_scope(wanted.subscription, &group.name);
            let scope = format!("{scope}/providers/Microsoft.ContainerRegistry/registries/{}", wanted.name);
            check_unlocked(rows, &scope, Intent::Write)?;
            if let Some(found) = named(rows, &wanted.name)? {
                let is_it = found.subscription == wanted.subscription
                    && found.resource_group.eq_ignore_ascii_case(&wanted.resource_group);
                if !is_it {
                    return Ok(PutRegistry::NameTaken);
                }
                if found.deleted_ms.is_some() {
                    return Ok(PutRegistry::Deleted);
                }
                let (sku, tags) = (wanted.sku.unwrap_or(found.sku), wanted.tags.unwrap_or(found.tags));
                rows.execute(
                    "UPDATE registry SET sku = ?2, tags = ?3, admin_enabled = ?4, anonymous_pull = ?5, changed_ms = ?6,
                       changed_by = ?7, quarantine = ?8 WHERE id = ?1",
                    params![
                        found.id.0,
                        sku,
                        tags,
                        wanted.is_admin_enabled.unwrap_or(found.is_admin_enabled),
                        wanted.is_public.unwrap_or(found.is_public),
                        now_ms,
                        wanted.by,
                        wanted.quarantine.unwrap_or(found.quarantine),
                    ],
                )?;
                retain_untagged(rows, found.id, wanted.untagged_days, now_ms)?;
                delete_softly(rows, found.id, wanted.soft_delete, now_ms)?;
                let changed = named(rows, &wanted.name)?.ok_or(Error::Damaged { what: "registry" })?;
                return Ok(PutRegistry::Updated(changed));
            }
            rows.execute(
                "INSERT INTO registry (id, subscription_id, resource_group, name, location, created_ms, sku, tags,
                   admin_enabled, anonymous_pull, created_by, changed_ms, changed_by, quarantine)
                 VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?9, ?10, ?11, ?5, ?11, ?12)",
                params![
                    wanted.subscription.to_string(),
                    group.name,
                    wanted.name,
                    wanted.location.unwrap_or(group.location),
                    now_ms,
                    wanted.sku.unwrap_or_else(|| "Premium".to_owned()),
                    wanted.tags.unwrap_or_else(|| "{}".to_owned()),
                    next_id(rows)?,
                    wanted.is_admin_enabled.unwrap_or(false),
                    wanted.is_public.unwrap_or(false),
                    wanted.by,
                    wanted.quarantine.unwrap_or(false),
                ],
            )?;
            let made = named(rows, &wanted.name)?.ok_or(Error::Damaged { what: "registry" })?;
            retain_untagged(rows, made.id, wanted.untagged_days, now_ms)?;
            delete_softly(rows, made.id, wanted.soft_delete, now_ms)?;
            let made = named(rows, &wanted.name)?.ok_or(Error::Damaged { what: "registry" })?;
            Ok(PutRegistry::Created(made))
        })
        .await
    }

    /// Gives the admin user another password: the first or the second. `None`: there is no such registry.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn renew_admin_password(
        &self,
        id: RegistryId,
        is_second: bool,
    ) -> Result<Option<Registry>, Error> {
        self.write(move |rows| {
            let sql = if is_second {
                "UPDATE registry SET admin_password2 = admin_password2 + 1 WHERE id = ?1"
            } else {
                "UPDATE registry SET admin_password = admin_password + 1 WHERE id = ?1"
            };
            rows.execute(sql, [id.0])?;
            Ok(list(rows, "WHERE deleted_ms IS NULL")?.into_iter().find(|found| found.id == id))
        })
        .await
    }

    /// True if no registry of the house has the name, deleted ones included.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn is_registry_name_free(&self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.read(move |rows| Ok(named(rows, &name)?.is_none())).await
    }

    /// Deletes a registry with all that it holds, so that it can be restored until it is purged.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_registry(&self, id: RegistryId, now_ms: i64) -> Result<DeleteRegistry, Error> {
        self.write(move |rows| {
            let sql = "SELECT min(id) FROM registry WHERE deleted_ms IS NULL";
            if rows.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))? == Some(id.0) {
                return Ok(DeleteRegistry::Default);
            }
            let found = list(rows, "WHERE deleted_ms IS NULL")?.into_iter().find(|found| found.id == id);
            let Some(found) = found else { return Ok(DeleteRegistry::Missing) };
            check_unlocked(rows, &found.resource_id(), Intent::Delete)?;
            let sql = "UPDATE registry SET deleted_ms = ?2 WHERE id = ?1 AND deleted_ms IS NULL";
            let deleted = rows.execute(sql, params![id.0, now_ms])?;
            Ok(if deleted > 0 { DeleteRegistry::Deleted } else { DeleteRegistry::Missing })
        })
        .await
    }

    /// Brings a deleted registry back with all that it held. What was not judged again meanwhile is
    /// queued in the same transaction, if its subscription has a plan on. `false`: there is no deleted
    /// one of that name.
    ///
    /// # Errors
    /// [`Error::Locked`] if a lock keeps its scope as it is; others if the store fails.
    pub async fn restore_registry(&self, name: &str, now_ms: i64) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let Some(found) = named(rows, &name)?.filter(|found| found.deleted_ms.is_some()) else {
                return Ok(false);
            };
            check_unlocked(rows, &found.resource_id(), Intent::Write)?;
            rows.execute("UPDATE registry SET deleted_ms = NULL WHERE id = ?1", [found.id.0])?;
            if is_on(rows, &found.subscription.to_string())? {
                rows.execute(
                    "INSERT INTO job (kind, key, state, due_ms)
                     SELECT DISTINCT 'scan', manifest.digest, 'ready', ?2 FROM manifest
                     JOIN repository ON repository.id = manifest.repository_id
                     WHERE repository.registry_id = ?1 AND manifest.kind <> 'index'
                     ON CONFLICT (kind, key) DO UPDATE SET again = (state = 'running')",
                    params![found.id.0, now_ms],
                )?;
            }
            Ok(true)
        })
        .await
    }

    /// Forgets a deleted registry, and every role that was held at it or beneath it. `false`: there is
    /// no such deleted one, or it still holds repositories.
    ///
    /// # Errors
    /// [`Error::Locked`] or [`Error::Disabled`] if what it was in keeps it; others if the store fails.
    pub async fn forget_registry(&self, id: RegistryId) -> Result<bool, Error> {
        self.write(move |rows| {
            let found = list(rows, "WHERE deleted_ms IS NOT NULL ORDER BY id")?;
            let Some(found) = found.into_iter().find(|found| found.id == id) else { return Ok(false) };
            check_purgeable(rows, &found)?;
            let sql = "SELECT 1 FROM repository WHERE registry_id = ?1";
            if rows.prepare_cached(sql)?.exists([id.0])? {
                return Ok(false);
            }
            // A registry made later under the same name must not find them.
            let scope = found.resource_id();
            rows.execute(
                "DELETE FROM role_assignment
                 WHERE scope = ?1 OR substr(lower(scope), 1, length(?1) + 1) = lower(?1) || '/'",
                [scope],
            )?;
            for table in ["gate", "gate_exemption", "immutable_tags", "retention_rule"] {
                rows.execute(&format!("DELETE FROM {table} WHERE registry_id = ?1"), [id.0])?;
            }
            rows.execute("DELETE FROM registry WHERE id = ?1", [id.0])?;
            Ok(true)
        })
        .await
    }

    /// What the registry holds and may hold.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn registry_room(&self, id: RegistryId) -> Result<RegistryRoom, Error> {
        self.read(move |rows| {
            let sql = "SELECT used_bytes, quota_bytes FROM registry WHERE id = ?1";
            let (used, quota): (i64, Option<i64>) =
                rows.prepare_cached(sql)?.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let bytes =
                |bytes: i64| u64::try_from(bytes).map_err(|_| Error::Damaged { what: "number of bytes" });
            Ok(RegistryRoom { used_bytes: bytes(used)?, quota_bytes: quota.map(bytes).transpose()? })
        })
        .await
    }

    /// Sets how many bytes the registry may hold; `None`: any number. What it holds already stays, however much.
    /// False if there is no such registry.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn set_quota(&self, id: RegistryId, quota_bytes: Option<u64>) -> Result<bool, Error> {
        let quota = quota_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        self.write(move |rows| {
            let sql = "UPDATE registry SET quota_bytes = ?2 WHERE id = ?1 AND deleted_ms IS NULL";
            Ok(rows.execute(sql, params![id.0, quota])? > 0)
        })
        .await
    }

    /// Whether a blob of that size still fits, as things stand: what is committed is asked again.
    ///
    /// # Errors
    /// [`Error::OverQuota`] if it does not; others if the store fails.
    pub async fn check_fits(
        &self,
        id: RegistryId,
        digest: &oci::Digest,
        size: u64,
        unfinished: u64,
    ) -> Result<(), Error> {
        let room = self.registry_room(id).await?;
        let wanted = room.used_bytes.saturating_add(unfinished).saturating_add(size);
        let Some(quota) = room.quota_bytes.filter(|quota| wanted > *quota) else { return Ok(()) };
        let digest = digest.to_string();
        let is_held = self.read(move |rows| {
            let sql =
                "SELECT 1 FROM repository_blob AS link JOIN repository ON repository.id = link.repository_id
                       WHERE link.digest = ?1 AND repository.registry_id = ?2 LIMIT 1";
            Ok::<_, Error>(rows.prepare_cached(sql)?.exists(params![digest, id.0])?)
        });
        if is_held.await? {
            return Ok(());
        }
        let used = room.used_bytes;
        Err(Error::OverQuota {
            detail: format!(
                " than {quota} bytes and holds {used} bytes{}, so {size} bytes more do not fit",
                beside(unfinished)
            ),
        })
    }

    /// Whether a blob of which nobody knows the digest yet, but that it has at least `size` bytes, may still get in: it may be one
    /// that is held already, and takes no room. In a registry that is full nothing does, as its manifest would not.
    ///
    /// # Errors
    /// [`Error::OverQuota`] if it cannot; others if the store fails.
    pub async fn check_may_fit(&self, id: RegistryId, size: u64, unfinished: u64) -> Result<(), Error> {
        let RegistryRoom { used_bytes: used, quota_bytes } = self.registry_room(id).await?;
        let Some(quota) = quota_bytes else { return Ok(()) };
        if used >= quota {
            return Err(Error::OverQuota { detail: format!(" than {quota} bytes and holds {used} bytes") });
        }
        let wanted = size.saturating_add(unfinished);
        if used.saturating_add(wanted) <= quota {
            return Ok(());
        }
        // All that is unfinished together: what a registry holds excuses one upload, not one after the other.
        let least = i64::try_from(wanted).unwrap_or(i64::MAX);
        let may_be_held = self.read(move |rows| {
            let sql =
                "SELECT 1 FROM repository JOIN repository_blob AS link ON link.repository_id = repository.id
                       JOIN blob ON blob.digest = link.digest
                       WHERE repository.registry_id = ?1 AND blob.size >= ?2 LIMIT 1";
            Ok::<_, Error>(rows.prepare_cached(sql)?.exists(params![id.0, least])?)
        });
        if may_be_held.await? {
            return Ok(());
        }
        Err(Error::OverQuota {
            detail: format!(
                " than {quota} bytes and holds {used} bytes{}, so {size} bytes or more do not fit",
                beside(unfinished)
            ),
        })
    }

    /// The names of the registries that do not hold what they are said to hold.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn miscounted(&self) -> Result<Vec<String>, Error> {
        self.read(|rows| {
            let mut statement = rows.prepare(&format!(
                "SELECT name FROM registry WHERE used_bytes <> ({COUNTED}) ORDER BY name"
            ))?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Counts anew what every registry holds.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn recount(&self) -> Result<(), Error> {
        self.write(|rows| {
            // What is there is not refused: the quotas have no say meanwhile.
            rows.execute_batch(&format!(
                "CREATE TEMP TABLE quota AS SELECT id, quota_bytes FROM registry;
                 UPDATE registry SET quota_bytes = NULL;
                 UPDATE registry SET used_bytes = {COUNTED};
                 UPDATE registry SET quota_bytes = (SELECT quota_bytes FROM temp.quota WHERE quota.id = registry.id);
                 DROP TABLE temp.quota"
            ))?;
            Ok(())
        })
        .await
    }

    /// The resource groups of a subscription, by name.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn resource_groups(&self, subscription: Uuid) -> Result<Vec<ResourceGroup>, Error> {
        self.read(move |rows| {
            let sql =
                "SELECT name, location, tags FROM resource_group WHERE subscription_id = ?1 ORDER BY name";
            let mut statement = rows.prepare_cached(sql)?;
            let found = statement.query_map([subscription.to_string()], |row| {
                Ok(ResourceGroup {
                    subscription,
                    name: row.get(0)?,
                    location: row.get(1)?,
                    tags: row.get(2)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Makes a resource group; returns the one there is, and whether it was made now. `None`: there is
    /// no such subscription.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_resource_group(
        &self,
        wanted: ResourceGroup,
    ) -> Result<Option<(ResourceGroup, bool)>, Error> {
        self.write(move |rows| {
            let id = wanted.subscription.to_string();
            if !rows.prepare_cached("SELECT 1 FROM subscription WHERE id = ?1")?.exists([&id])? {
                return Ok(None);
            }
            check_unlocked(rows, &group_scope(wanted.subscription, &wanted.name), Intent::Write)?;
            if let Some(found) = group(rows, wanted.subscription, &wanted.name)? {
                return Ok(Some((found, false)));
            }
            rows.execute(
                "INSERT INTO resource_group (subscription_id, name, location, tags) VALUES (?1, ?2, ?3, ?4)",
                params![id, wanted.name, wanted.location, wanted.tags],
            )?;
            Ok(Some((wanted, true)))
        })
        .await
    }

    /// Gives a resource group these tags (a JSON object of text) in the place of those it has. `None`: there is none.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tag_resource_group(
        &self,
        subscription: Uuid,
        name: &str,
        tags: String,
    ) -> Result<Option<ResourceGroup>, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            check_unlocked(rows, &group_scope(subscription, &name), Intent::Write)?;
            let sql = "UPDATE resource_group SET tags = ?3 WHERE subscription_id = ?1 AND name = ?2";
            rows.execute(sql, params![subscription.to_string(), name, tags])?;
            group(rows, subscription, &name)
        })
        .await
    }

    /// Removes a resource group without registries, its saved queries, and every role that was held at it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn delete_resource_group(&self, subscription: Uuid, name: &str) -> Result<DeleteGroup, Error> {
        let name = name.to_owned();
        self.write(move |rows| {
            let Some(found) = group(rows, subscription, &name)? else { return Ok(DeleteGroup::Missing) };
            let key = params![subscription.to_string(), found.name];
            let sql = "SELECT 1 FROM registry WHERE subscription_id = ?1 AND resource_group = ?2";
            if rows.prepare_cached(sql)?.exists(key)? {
                return Ok(DeleteGroup::NotEmpty);
            }
            let scope = group_scope(subscription, &found.name);
            check_unlocked(rows, &scope, Intent::Delete)?;
            rows.execute(
                "DELETE FROM role_assignment
                 WHERE scope = ?1 OR substr(lower(scope), 1, length(?1) + 1) = lower(?1) || '/'",
                [scope],
            )?;
            let sql = "DELETE FROM saved_query WHERE subscription_id = ?1 AND resource_group = ?2";
            rows.execute(sql, key)?;
            rows.execute("DELETE FROM resource_group WHERE subscription_id = ?1 AND name = ?2", key)?;
            Ok(DeleteGroup::Deleted)
        })
        .await
    }
}

/// Lets the removal of something in a registry through: of a deleted one, only while it may be purged.
pub(crate) fn check_emptied(rows: &Connection, registry: RegistryId) -> Result<(), Error> {
    let sql = format!("{REGISTRIES} WHERE id = ?1 AND deleted_ms IS NOT NULL");
    let deleted = rows.prepare_cached(&sql)?.query_row([registry.0], raw).optional()?;
    deleted.map(parse).transpose()?.map_or(Ok(()), |deleted| check_purgeable(rows, &deleted))
}

fn group_scope(subscription: Uuid, name: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{name}")
}

fn group(rows: &Connection, subscription: Uuid, name: &str) -> Result<Option<ResourceGroup>, Error> {
    let sql = "SELECT name, location, tags FROM resource_group WHERE subscription_id = ?1 AND name = ?2";
    let found = rows.prepare_cached(sql)?.query_row(params![subscription.to_string(), name], |row| {
        Ok(ResourceGroup { subscription, name: row.get(0)?, location: row.get(1)?, tags: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// A row number that no registry ever had: caches and tokens know registries by it.
fn next_id(rows: &Connection) -> Result<i64, Error> {
    let newest: Option<i64> = rows.query_row("SELECT max(id) FROM registry", [], |row| row.get(0))?;
    let given = setting(rows, LAST_ID)?.and_then(|last| last.parse().ok());
    let next = newest.max(given).unwrap_or_default() + 1;
    set_setting(rows, LAST_ID, &next.to_string())?;
    Ok(next)
}

/// The registry of that name, deleted or not.
fn named(rows: &Connection, name: &str) -> Result<Option<Registry>, Error> {
    let sql = format!("{REGISTRIES} WHERE name = ?1");
    let found = rows.prepare_cached(&sql)?.query_row([name], raw).optional()?;
    found.map(parse).transpose()
}

fn list(rows: &Connection, filter: &str) -> Result<Vec<Registry>, Error> {
    let mut statement = rows.prepare_cached(&format!("{REGISTRIES} {filter}"))?;
    let found = statement.query_map([], raw)?;
    found.map(|row| parse(row?)).collect()
}

type Raw = (String, Registry);

/// The subscription as text, and the rest.
fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let registry = Registry {
        id: RegistryId(row.get(0)?),
        subscription: Uuid::nil(),
        resource_group: row.get(2)?,
        name: row.get(3)?,
        location: row.get(4)?,
        created_ms: row.get(5)?,
        sku: row.get(6)?,
        tags: row.get(7)?,
        deleted_ms: row.get(8)?,
        is_admin_enabled: row.get(9)?,
        admin_passwords: [row.get(10)?, row.get(11)?],
        is_public: row.get(12)?,
        created_by: row.get(13)?,
        changed_ms: row.get(14)?,
        changed_by: row.get(15)?,
        untagged_days: row.get(16)?,
        untagged_changed_ms: row.get(17)?,
        quarantine: row.get(18)?,
        soft_delete: SoftDelete { is_on: row.get(19)?, days: row.get(20)? },
        soft_delete_changed_ms: row.get(21)?,
    };
    Ok((row.get(1)?, registry))
}

fn parse((subscription, registry): Raw) -> Result<Registry, Error> {
    Ok(Registry { subscription: parse_uuid(&subscription)?, ..registry })
}

/// The policy is a rule of its own among the registry's.
fn retain_untagged(
    rows: &Connection,
    registry: RegistryId,
    wanted: Option<Option<u32>>,
    now_ms: i64,
) -> Result<(), Error> {
    let Some(days) = wanted else { return Ok(()) };
    rows.execute(
        "DELETE FROM retention_rule WHERE registry_id = ?1 AND name = ?2",
        params![registry.0, UNTAGGED_RULE],
    )?;
    if let Some(days) = days {
        rows.execute(
            "INSERT INTO retention_rule (registry_id, name, repositories, tags, untagged_days)
             VALUES (?1, ?2, '*', '*', ?3)",
            params![registry.0, UNTAGGED_RULE, days],
        )?;
    }
    rows.execute("UPDATE registry SET retention_changed_ms = ?2 WHERE id = ?1", params![registry.0, now_ms])?;
    Ok(())
}

fn delete_softly(
    rows: &Connection,
    registry: RegistryId,
    wanted: Option<SoftDelete>,
    now_ms: i64,
) -> Result<(), Error> {
    if let Some(SoftDelete { is_on, days }) = wanted {
        rows.execute(
            "UPDATE registry SET soft_delete = ?2, soft_delete_days = ?3, soft_delete_changed_ms = ?4 WHERE id = ?1",
            params![registry.0, is_on, days, now_ms],
        )?;
    }
    Ok(())
}

const REGISTRIES: &str = "SELECT id, subscription_id, resource_group, name, location, created_ms, sku, tags,
        deleted_ms, admin_enabled, admin_password, admin_password2, anonymous_pull, created_by,
        coalesce(changed_ms, created_ms), changed_by,
        (SELECT untagged_days FROM retention_rule WHERE registry_id = registry.id AND name = 'retentionPolicy'),
        retention_changed_ms, quarantine, soft_delete, soft_delete_days, soft_delete_changed_ms FROM registry";

/// The retention rule that a registry's `retentionPolicy` is.
const UNTAGGED_RULE: &str = "retentionPolicy";

/// The setting that remembers the last row number given.
const LAST_ID: &str = "last registry";

/// What a registry is found to hold when all is added up.
const COUNTED: &str = "(SELECT coalesce(sum(size), 0) FROM blob WHERE digest IN (
       SELECT link.digest FROM repository_blob AS link
       JOIN repository ON repository.id = link.repository_id WHERE repository.registry_id = registry.id))
  + (SELECT coalesce(sum(length(manifest.bytes)), 0) FROM manifest
     JOIN repository ON repository.id = manifest.repository_id WHERE repository.registry_id = registry.id)";

fn beside(unfinished: u64) -> String {
    if unfinished == 0 { String::new() } else { format!(" and {unfinished} bytes in unfinished uploads") }
}
