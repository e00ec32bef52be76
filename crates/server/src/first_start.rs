//! What a first start makes, and what every start reads back.

use auth::{hash_secret, random_secret};
use metastore::{
    Metastore, Principal, PrincipalKind, PrincipalSecret, ResourceGroup, RoleAssignment, Subscription, Tier,
};
use uuid::Uuid;

use crate::data::{DataError, DataFolder};

/// The tenant and its administrator.
pub(crate) struct Tenancy {
    /// The tenant's id.
    pub(crate) tenant: Uuid,
    /// The administrator's id.
    pub(crate) administrator: Option<Uuid>,
    /// The administrator's password, at the start that made it and never again.
    pub(crate) password: Option<String>,
}

/// Why the first things could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstStartError {
    /// The rows.
    #[error("the first start failed in the database: {0}")]
    Metastore(#[from] metastore::Error),
    /// The files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Somebody removed rows by hand.
    #[error("the database has no tenant")]
    NoTenant,
}

/// Makes what is not there yet. A start that was cut short is completed by the next.
pub(crate) async fn first_start(
    data: &DataFolder,
    metastore: &Metastore,
    now_ms: i64,
) -> Result<Tenancy, FirstStartError> {
    let subscription = Subscription {
        id: Uuid::new_v4(),
        display_name: "Default subscription".to_owned(),
        is_disabled: false,
    };
    let group = ResourceGroup::new(subscription.id, "default".to_owned(), "local".to_owned());
    metastore
        .create_tenancy(Uuid::new_v4(), subscription, Tier::Standard, group, DEFAULT_REGISTRY, now_ms)
        .await?;
    let tenant = metastore.tenant().await?.ok_or(FirstStartError::NoTenant)?;
    // One who was removed stays so: others own the house then.
    if !metastore.principals().await?.is_empty() {
        let administrator = metastore.principal(ADMINISTRATOR).await?.map(|found| found.id);
        return Ok(Tenancy { tenant, administrator, password: None });
    }
    let password = random_secret();
    // The file first: a password that only a lost terminal has seen would be lost for good.
    data.write(PASSWORD_FILE, format!("{password}\n").as_bytes(), 0o600)?;
    let administrator = Principal::new(Uuid::new_v4(), ADMINISTRATOR.to_owned(), PrincipalKind::Person);
    let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret(&password));
    let owner = RoleAssignment::new(Uuid::new_v4(), administrator.id, auth::roles::OWNER, "/".to_owned());
    let id = administrator.id;
    metastore.create_principal(administrator, secret, owner, now_ms).await?;
    Ok(Tenancy { tenant, administrator: Some(id), password: Some(password) })
}

/// The name the administrator logs in by.
pub(crate) const ADMINISTRATOR: &str = "admin";

/// Holds the administrator's first password, mode 0600.
pub(crate) const PASSWORD_FILE: &str = "admin-password";

/// The registry that serves every host name that no other registry has.
const DEFAULT_REGISTRY: &str = "lazaret";
