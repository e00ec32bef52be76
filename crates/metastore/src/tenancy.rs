//! Subscriptions, resource groups, registries and settings.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::deleted::SoftDelete;
use crate::plan::put_plan;
use crate::{Error, Metastore, Plan, Tier};

/// A registry's row number: what the inner rooms call it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryId(pub i64);

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// A GUID, as in Azure.
    pub id: Uuid,
    /// For people.
    pub display_name: String,
    /// Whether nothing in it can be changed.
    pub is_disabled: bool,
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceGroup {
    /// The subscription it is in.
    pub subscription: Uuid,
    /// Its name, in the case it was made with.
    pub name: String,
    /// Where it says it is.
    pub location: String,
    /// A JSON object of text.
    pub tags: String,
}

impl ResourceGroup {
    /// One without tags.
    #[must_use]
    pub fn new(subscription: Uuid, name: String, location: String) -> Self {
        Self { subscription, name, location, tags: "{}".to_owned() }
    }
}

/// A registry resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its row number.
    pub id: RegistryId,
    /// The subscription it is in.
    pub subscription: Uuid,
    /// The resource group it is in.
    pub resource_group: String,
    /// Its name, in the case it was made with; unique in the house whatever the case.
    pub name: String,
    /// Where it says it is.
    pub location: String,
    /// When it was made.
    pub created_ms: i64,
    /// The SKU's name, for clients that want one; it changes nothing here.
    pub sku: String,
    /// Azure's resource tags: a JSON object of text.
    pub tags: String,
    /// When it was deleted, if it was: it can be restored until it is purged.
    pub deleted_ms: Option<i64>,
    /// Whether what is pushed is hidden until somebody lets it pass (Azure's quarantine).
    pub quarantine: bool,
    /// Whether its admin user may log in.
    pub is_admin_enabled: bool,
    /// How often each of the admin user's two passwords was renewed.
    pub admin_passwords: [i64; 2],
    /// Whether everybody may pull from it.
    pub is_public: bool,
    /// The id of whoever made it; empty if nobody knows.
    pub created_by: String,
    /// When it was last changed, or made.
    pub changed_ms: i64,
    /// The id of whoever changed it last.
    pub changed_by: String,
    /// After how many days manifests without a tag go by its policy, if they do.
    pub untagged_days: Option<u32>,
    /// When that policy was last changed, if it was.
    pub untagged_changed_ms: Option<i64>,
    /// Whether what is deleted can be restored.
    pub soft_delete: SoftDelete,
    /// When that was last changed, if it was.
    pub soft_delete_changed_ms: Option<i64>,
}

impl Registry {
    /// Its ARM resource id.
    #[must_use]
    pub fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerRegistry/registries/{}",
            self.subscription, self.resource_group, self.name
        )
    }
}

impl Metastore {
    /// The value of a setting.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn setting(&self, key: &'static str) -> Result<Option<String>, Error> {
        self.read(move |rows| setting(rows, key)).await
    }

    /// Keeps what the server was told: the settings that answers depend on, as a document that is the
    /// program's own. Commands beside the server read it.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put_server_settings(&self, document: String) -> Result<(), Error> {
        self.write(move |rows| {
            if setting(rows, SERVER_SETTINGS)?.as_deref() == Some(&document) {
                return Ok(());
            }
            set_setting(rows, SERVER_SETTINGS, &document)
        })
        .await
    }

    /// What [`Metastore::put_server_settings`] kept; `None` before a server has started.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn server_settings(&self) -> Result<Option<String>, Error> {
        self.setting(SERVER_SETTINGS).await
    }

    /// Makes a tenant's first things, all or none, unless they exist: the tenant's id, a
    /// subscription with its *container registries* plan on `tier`, a resource group and a registry.
    /// Returns whether it made them.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn create_tenancy(
        &self,
        tenant: Uuid,
        subscription: Subscription,
        tier: Tier,
        group: ResourceGroup,
        registry_name: &'static str,
        now_ms: i64,
    ) -> Result<bool, Error> {
        self.write(move |rows| {
            if setting(rows, TENANT)?.is_some() {
                return Ok(false);
            }
            rows.execute("INSERT INTO setting VALUES (?1, ?2)", params![TENANT, tenant.to_string()])?;
            rows.execute(
                "INSERT INTO subscription (id, display_name, created_ms) VALUES (?1, ?2, ?3)",
                params![subscription.id.to_string(), subscription.display_name, now_ms],
            )?;
            put_plan(rows, subscription.id, Plan::ContainerRegistry, tier, now_ms)?;
            rows.execute(
                "INSERT INTO resource_group (subscription_id, name, location) VALUES (?1, ?2, ?3)",
                params![group.subscription.to_string(), group.name, group.location],
            )?;
            rows.execute(
                "INSERT INTO registry (subscription_id, resource_group, name, location, created_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![group.subscription.to_string(), group.name, registry_name, group.location, now_ms],
            )?;
            Ok(true)
        })
        .await
    }

    /// The tenant's id; `None` before the first start.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn tenant(&self) -> Result<Option<Uuid>, Error> {
        let text = self.setting(TENANT).await?;
        text.map(|text| parse_uuid(&text)).transpose()
    }
}

pub(crate) fn setting(rows: &Connection, key: &str) -> Result<Option<String>, Error> {
    let mut statement = rows.prepare_cached("SELECT value FROM setting WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

pub(crate) fn set_setting(rows: &Connection, key: &str, value: &str) -> Result<(), Error> {
    rows.prepare_cached(
        "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute([key, value])?;
    Ok(())
}

pub(crate) fn parse_uuid(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Damaged { what: "GUID" })
}

const TENANT: &str = "tenant";
const SERVER_SETTINGS: &str = "server-settings";
