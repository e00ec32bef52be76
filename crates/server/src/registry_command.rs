//! `lazaret registry`: the registries of the house.

use metastore::{
    DeleteError, DeleteRegistry, Error, Metastore, NewRegistry, PutRegistry, Registry, ResourceGroup,
    SoftDelete,
};
use serde_json::json;

use crate::cli::{Format, Quota, RegistryCommand};
use crate::data::DataFolder;
use crate::output::say;
use crate::subscription_command::named;
use crate::table::{bytes, short_bytes, table, time};
use crate::target::registry_of;
use crate::{Failure, now_ms};

pub(crate) async fn run(command: RegistryCommand) -> Result<(), Failure> {
    match command {
        RegistryCommand::Create { name, resource_group, subscription, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            create(&metastore, name, resource_group, subscription).await
        }
        RegistryCommand::Set {
            name,
            admin_user,
            anonymous_pull,
            soft_delete,
            soft_delete_days,
            quota_bytes,
            data,
        } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let soft_delete = (soft_delete, soft_delete_days);
            set(&metastore, &name, (admin_user, anonymous_pull), soft_delete, quota_bytes).await
        }
        RegistryCommand::Credentials { name, renew, data } => {
            credentials(&DataFolder::existing(&data.path)?, &name, renew.as_deref()).await
        }
        RegistryCommand::List { data, format } => {
            list(&DataFolder::existing(&data.path)?.metastore()?, format).await
        }
        RegistryCommand::Delete { name, data } => {
            delete(&DataFolder::existing(&data.path)?.metastore()?, &name).await
        }
        RegistryCommand::Restore { name, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            if !metastore.restore_registry(&name, now_ms()).await? {
                return Err(no_deleted(&name));
            }
            say!("{name} is back");
            Ok(())
        }
        RegistryCommand::Purge { name, data } => {
            let metastore = DataFolder::existing(&data.path)?.metastore()?;
            let deleted = metastore.deleted_registries().await?;
            let found = deleted.iter().find(|found| found.name.eq_ignore_ascii_case(&name));
            purge(&metastore, found.ok_or_else(|| no_deleted(&name))?, now_ms()).await?;
            say!("{name} is gone for good");
            Ok(())
        }
    }
}

/// Removes for good what was deleted too long ago to be restored, unless a lock or a disabled subscription keeps it.
pub(crate) async fn purge_expired(metastore: &Metastore, now_ms: i64) -> Result<(), Failure> {
    for registry in metastore.deleted_registries().await? {
        if registry.deleted_ms.is_some_and(|deleted_ms| deleted_ms + RESTORABLE_MS < now_ms) {
            match registry::purge_registry(metastore, &registry, now_ms).await {
                Ok(true) => tracing::info!(registry = registry.name, "a deleted registry was purged"),
                Ok(false) => {}
                // Until the lock goes; the others go meanwhile.
                Err(DeleteError::Locked(_))
                | Err(DeleteError::Store(Error::Locked { .. } | Error::Disabled { .. })) => {
                    tracing::debug!(registry = registry.name, "a deleted registry is locked, and stays");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

async fn purge(metastore: &Metastore, registry: &Registry, now_ms: i64) -> Result<(), Failure> {
    if registry::purge_registry(metastore, registry, now_ms).await? {
        Ok(())
    } else {
        Err(format!("{} was restored meanwhile: look at it with `lazaret registry list`", registry.name)
            .into())
    }
}

async fn create(
    metastore: &Metastore,
    name: String,
    resource_group: String,
    subscription: Option<String>,
) -> Result<(), Failure> {
    if !(5..=50).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("a registry's name has 5 to 50 letters and digits, not {name:?}").into());
    }
    let subscription = named(metastore, subscription.as_deref()).await?.id;
    let groups = metastore.resource_groups(subscription).await?;
    let is_new_group = !groups.iter().any(|known| known.name.eq_ignore_ascii_case(&resource_group));
    let group = ResourceGroup::new(subscription, resource_group.clone(), "local".to_owned());
    if metastore.put_resource_group(group).await?.is_none() {
        return Err(format!(
            "there is no subscription {subscription}: `lazaret subscription list` shows them"
        )
        .into());
    }
    let wanted = NewRegistry::new(subscription, resource_group, name.clone());
    match metastore.put_registry(wanted, now_ms()).await? {
        PutRegistry::Created(made) => {
            if is_new_group {
                say!("the resource group {} is made, too: there was none of that name", made.resource_group);
            }
            say!("{name} is made\nid      {}", made.resource_id());
            Ok(())
        }
        PutRegistry::Updated(_) | PutRegistry::NameTaken => {
            Err(format!("there is a registry {name} already: `lazaret registry list` shows it").into())
        }
        PutRegistry::Deleted => {
            Err(format!("{name} was deleted: `lazaret registry restore {name}`, or purge it first").into())
        }
        PutRegistry::NoGroup => Err("the resource group went a moment ago: try again".into()),
    }
}

async fn set(
    metastore: &Metastore,
    name: &str,
    (admin_user, anonymous_pull): (Option<bool>, Option<bool>),
    (soft_delete, soft_delete_days): (Option<bool>, Option<u32>),
    quota: Option<Quota>,
) -> Result<(), Failure> {
    let found = registry_of(metastore, Some(name)).await?;
    let wanted = NewRegistry {
        is_admin_enabled: admin_user,
        is_public: anonymous_pull,
        soft_delete: (soft_delete.is_some() || soft_delete_days.is_some()).then(|| SoftDelete {
            is_on: soft_delete.unwrap_or(found.soft_delete.is_on),
            days: soft_delete_days.unwrap_or(found.soft_delete.days),
        }),
        ..NewRegistry::new(found.subscription, found.resource_group, found.name)
    };
    let PutRegistry::Updated(changed) = metastore.put_registry(wanted, now_ms()).await? else {
        return Err(format!("{name} was deleted a moment ago").into());
    };
    if let Some(Quota(bytes)) = quota {
        metastore.set_quota(changed.id, bytes).await?;
    }
    let room = metastore.registry_room(changed.id).await?;
    let said = |is_on: bool, yes: &'static str, no: &'static str| if is_on { yes } else { no };
    say!(
        "{}: the admin user {}, {} may pull, what is deleted {}; it holds {} {}",
        changed.name,
        said(changed.is_admin_enabled, "may log in", "may not log in"),
        said(changed.is_public, "everybody", "only who is allowed to"),
        if changed.soft_delete.is_on {
            format!("can be restored for {} days", changed.soft_delete.days)
        } else {
            "is gone".to_owned()
        },
        bytes(room.used_bytes),
        room.quota_bytes.map_or("and may hold any number".to_owned(), |quota| format!("of {}", bytes(quota)))
    );
    Ok(())
}

async fn credentials(data: &DataFolder, name: &str, renew: Option<&str>) -> Result<(), Failure> {
    let metastore = data.metastore()?;
    let mut found = registry_of(&metastore, Some(name)).await?;
    if !found.is_admin_enabled {
        let message =
            format!("the admin user is disabled: `lazaret registry set {name} --admin-user true` first");
        return Err(message.into());
    }
    if let Some(password) = renew {
        let renewed = metastore.renew_admin_password(found.id, password == "password2").await?;
        found = renewed.ok_or_else(|| format!("{name} was deleted a moment ago"))?;
    }
    let key = auth::SigningKey::new(&data.secret("token.key", auth::SigningKey::random_bytes)?)?;
    let tenant = metastore.tenant().await?.ok_or("the database has no tenant")?;
    let auth = auth::Auth::new(metastore, key, tenant, std::sync::Arc::new(now_ms));
    let [first, second] = auth.admin_passwords(&found);
    say!("username   {}\npassword   {first}\npassword2  {second}", found.name);
    Ok(())
}

async fn list(metastore: &Metastore, format: Format) -> Result<(), Failure> {
    let mut rows = table(&["REGISTRY", "GROUP", "CREATED", "DELETED", "HOLDS", "QUOTA", "ID"]);
    let mut documents = Vec::new();
    let all = [metastore.registries().await?, metastore.deleted_registries().await?].concat();
    for registry in all {
        let (created, deleted) = (time(registry.created_ms), registry.deleted_ms.map(time));
        let room = metastore.registry_room(registry.id).await?;
        documents.push(json!({
            "name": registry.name,
            "id": registry.resource_id(),
            "created": created,
            "deleted": deleted,
            "adminUser": registry.is_admin_enabled,
            "anonymousPull": registry.is_public,
            "usedBytes": room.used_bytes,
            "quotaBytes": room.quota_bytes,
        }));
        let id = registry.resource_id();
        let deleted = deleted.unwrap_or_else(|| "-".to_owned());
        let quota = room.quota_bytes.map_or_else(|| "-".to_owned(), short_bytes);
        let used = short_bytes(room.used_bytes);
        rows.add_row([registry.name, registry.resource_group, created, deleted, used, quota, id]);
    }
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&documents)?),
        Format::Table => say!("{rows}"),
    }
    Ok(())
}

async fn delete(metastore: &Metastore, name: &str) -> Result<(), Failure> {
    let all = metastore.registries().await?;
    let found = all.iter().find(|found| found.name.eq_ignore_ascii_case(name));
    let unknown = || format!("there is no registry {name}: `lazaret registry list` shows those there are");
    let found = found.ok_or_else(unknown)?;
    match metastore.delete_registry(found.id, now_ms()).await? {
        DeleteRegistry::Deleted => {
            say!("{name} is deleted; `lazaret registry restore {name}` brings it back for 7 days");
            Ok(())
        }
        DeleteRegistry::Missing => Err(unknown().into()),
        DeleteRegistry::Default => {
            Err(format!("{name} is the default registry, which serves every host that names no other").into())
        }
    }
}

fn no_deleted(name: &str) -> Failure {
    format!("there is no deleted registry {name}: `lazaret registry list` shows those there are").into()
}

/// Seven days, as long as Azure keeps what was deleted softly.
const RESTORABLE_MS: i64 = 7 * 86_400_000;
