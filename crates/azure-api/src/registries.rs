//! Making, changing and deleting registries. What a registry here does not have
//! is refused, never accepted and forgotten.

use auth::{Action, Caller};
use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use azure_documents::{REGISTRIES, UNTAGGED_DAYS};
use metastore::{
    DeleteError, DeleteRegistry, Error, NewRegistry, PutRegistry, Registry, SoftDelete, WEBHOOKS_MAX,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::arm::Scope;
use crate::body::{Kind, REGISTRY, read, read_within};
use crate::discovery::subscription_disabled;
use crate::error::ArmError;
use crate::resources::resource;
use crate::{Api, Call};

/// What clients send of a registry; they may send back all that they were shown.
#[derive(Deserialize)]
struct RegistryBody {
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    sku: Option<Sku>,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
    #[serde(default)]
    properties: Option<Value>,
}

#[derive(Deserialize)]
struct Sku {
    name: String,
    #[serde(default)]
    tier: Option<String>,
}

#[derive(Deserialize)]
struct NameBody {
    name: String,
}

impl Api {
    /// `PUT` and `PATCH`: makes the registry, or changes its SKU's name, its tags, and who gets in besides those
    /// who hold roles.
    pub(crate) async fn put_registry(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
        body: Body,
        may_create: bool,
    ) -> Result<Response, ArmError> {
        let (group, name) =
            scope.group.clone().zip(scope.registry.clone()).ok_or_else(ArmError::no_such_path)?;
        self.check_may(caller, scope, Action::WriteRegistry).await?;
        let body: RegistryBody = read(body, &REGISTRY).await?;
        if let Some(properties) = &body.properties {
            check_flags(properties)?;
        }
        let found = self.metastore.registries().await?.into_iter().find(|found| scope.holds(found));
        check_unchanged(&body, found.as_ref())?;
        let sku = body.sku.map(|sku| sku_named(&sku.name)).transpose()?;
        let tags = body.tags.map(|tags| tags_of(&tags)).transpose()?;
        if may_create {
            check_registry_name(&name)?;
        } else {
            self.registry(caller, scope, call).await?;
        }
        let properties = body.properties.unwrap_or_default();
        let flag = |name: &str| properties.get(name).and_then(Value::as_bool);
        let wanted = NewRegistry {
            location: body.location,
            sku,
            tags,
            is_admin_enabled: flag("adminUserEnabled"),
            is_public: flag("anonymousPullEnabled"),
            quarantine: quarantine_of(&properties)?,
            untagged_days: untagged_days(&properties, found.as_ref().and_then(|found| found.untagged_days))?,
            soft_delete: soft_delete_of(&properties, found.map(|found| found.soft_delete))?,
            by: caller.id.to_string(),
            ..NewRegistry::new(scope.subscription, group, name)
        };
        let name = wanted.name.clone();
        let mut put = self.metastore.put_registry(wanted.clone(), (self.clock)()).await?;
        if may_create
            && matches!(put, PutRegistry::Deleted | PutRegistry::NameTaken)
            && self.purge_deleted(caller, &name).await?
        {
            put = self.metastore.put_registry(wanted, (self.clock)()).await?;
        }
        match put {
            PutRegistry::Created(made) => {
                tracing::info!(registry = made.name, principal = %caller.id, "a registry was made");
                Ok((StatusCode::CREATED, crate::json(resource(&made, call, &self.domain))).into_response())
            }
            PutRegistry::Updated(changed) => Ok(crate::json(resource(&changed, call, &self.domain))),
            PutRegistry::NoGroup => Err(no_such_group(scope)),
            PutRegistry::NameTaken => Err(ArmError::new(
                StatusCode::CONFLICT,
                "AlreadyInUse",
                format!("The registry name '{name}' is already in use."),
            )),
            PutRegistry::Deleted => Err(ArmError::new(
                StatusCode::CONFLICT,
                "RegistryDeleted",
                format!(
                    "The registry '{name}' was deleted and can be restored: an operator runs `lazaret registry \
                     restore {name}`. A caller who may delete registries there frees the name by making it again."
                ),
            )),
        }
    }

    /// With all that it holds. It can be restored for some days.
    pub(crate) async fn delete_registry(&self, caller: &Caller, scope: &Scope) -> Result<Response, ArmError> {
        self.check_may(caller, scope, Action::DeleteRegistry).await?;
        let found = self.metastore.registries().await?.into_iter().find(|found| scope.holds(found));
        let Some(found) = found else { return Ok(StatusCode::NO_CONTENT.into_response()) };
        match self.metastore.delete_registry(found.id, (self.clock)()).await? {
            DeleteRegistry::Deleted => {
                tracing::info!(registry = found.name, principal = %caller.id, "a registry was deleted");
                Ok(StatusCode::OK.into_response())
            }
            DeleteRegistry::Missing => Ok(StatusCode::NO_CONTENT.into_response()),
            DeleteRegistry::Default => Err(ArmError::new(
                StatusCode::CONFLICT,
                "DefaultRegistry",
                format!(
                    "'{}' is the default registry, which serves every host that names no other.",
                    found.name
                ),
            )),
        }
    }

    /// Removes for good the deleted registry of that name, if the caller may delete it: true if the name is free now.
    async fn purge_deleted(&self, caller: &Caller, name: &str) -> Result<bool, ArmError> {
        match self.deleted_for(caller, name).await? {
            Some(found) => self.purge(caller, &found).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The deleted registry of that name, if the caller may delete it.
    async fn deleted_for(&self, caller: &Caller, name: &str) -> Result<Option<Registry>, ArmError> {
        let deleted = self.metastore.deleted_registries().await?;
        let found = deleted.into_iter().find(|found| found.name.eq_ignore_ascii_case(name));
        Ok(found.filter(|found| caller.may(Action::DeleteRegistry, &found.resource_id())))
    }

    pub(crate) async fn purge(&self, caller: &Caller, registry: &Registry) -> Result<(), ArmError> {
        let conflict = |message: String| ArmError::new(StatusCode::CONFLICT, "RegistryDeleted", message);
        match registry::purge_registry(&self.metastore, registry, (self.clock)()).await {
            Ok(true) => {
                tracing::info!(registry = registry.name, principal = %caller.id, "a deleted registry was purged");
                Ok(())
            }
            Ok(false) => Err(conflict(format!("The registry '{}' was restored meanwhile.", registry.name))),
            Err(DeleteError::Store(Error::Disabled { subscription })) => {
                Err(subscription_disabled(subscription))
            }
            Err(DeleteError::Store(error)) => Err(error.into()),
            Err(error) => {
                Err(conflict(format!("The deleted registry '{}' cannot be purged: {error}.", registry.name)))
            }
        }
    }

    pub(crate) async fn check_registry_name(
        &self,
        caller: &Caller,
        subscription: Uuid,
        body: Body,
    ) -> Result<Value, ArmError> {
        self.check_known(caller, subscription, Action::ReadRegistry).await?;
        let NameBody { name } = read_within(NAME_CHECK_BYTES_MAX, body, &NAME_CHECK).await?;
        let refused =
            |reason, message: String| json!({ "nameAvailable": false, "reason": reason, "message": message });
        if !is_registry_name(&name) {
            return Ok(refused("Invalid", NAME_RULE.to_owned()));
        }
        let is_free = self.metastore.is_registry_name_free(&name).await?
            || self.deleted_for(caller, &name).await?.is_some();
        if !is_free {
            return Ok(refused("AlreadyExists", format!("The registry {name} is already in use.")));
        }
        Ok(json!({ "nameAvailable": true }))
    }

    pub(crate) async fn registry_usages(&self, caller: &Caller, scope: &Scope) -> Result<Value, ArmError> {
        let registry = self.visible_registry(caller, scope).await?;
        let room = self.metastore.registry_room(registry.id).await?;
        let quota = room.quota_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let maps = self.metastore.scope_maps(registry.id).await?.len();
        let tokens = self.metastore.registry_tokens(registry.id).await?.len();
        let webhooks = self.metastore.webhooks(registry.id).await?.len();
        let usage = |name: &str, limit: i64, value: Value, unit: &str| json!({ "name": name, "limit": limit, "currentValue": value, "unit": unit });
        // Azure writes -1 for what has no limit.
        Ok(json!({ "value": [
            usage("Size", quota, room.used_bytes.into(), "Bytes"),
            usage("Webhooks", i64::try_from(WEBHOOKS_MAX).unwrap_or(-1), webhooks.into(), "Count"),
            usage("ScopeMaps", -1, maps.into(), "Count"),
            usage("Tokens", -1, tokens.into(), "Count"),
        ] }))
    }

    pub(crate) async fn registry_credentials(
        &self,
        caller: &Caller,
        scope: &Scope,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ListCredentials).await?;
        self.credentials(&registry)
    }

    /// Gives the admin user another password in the place of one of its two.
    pub(crate) async fn regenerate_credential(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::RegenerateCredential).await?;
        let NameBody { name } = read(body, &PASSWORD_NAME).await?;
        let place = ADMIN_PASSWORDS.iter().position(|known| known.eq_ignore_ascii_case(&name));
        let place = place.ok_or_else(|| {
            ArmError::bad(
                "InvalidPasswordName",
                format!("The admin user has password and password2, and no '{name}'."),
            )
        })?;
        self.credentials(&registry)?;
        let renewed = self.metastore.renew_admin_password(registry.id, place == 1).await?;
        tracing::info!(registry = registry.name, name, by = %caller.id, "the admin user got another password");
        self.credentials(&renewed.ok_or_else(|| no_such_registry(scope))?)
    }

    fn credentials(&self, registry: &Registry) -> Result<Value, ArmError> {
        if !registry.is_admin_enabled {
            let message = format!(
                "The admin user of '{}' is disabled: set adminUserEnabled to true, or log in as a service principal.",
                registry.name
            );
            return Err(ArmError::bad("UnAuthorizedForCredentialOperations", message));
        }
        let values = self.auth.admin_passwords(registry);
        let passwords =
            ADMIN_PASSWORDS.iter().zip(values).map(|(name, value)| json!({ "name": name, "value": value }));
        Ok(json!({ "username": registry.name, "passwords": passwords.collect::<Vec<_>>() }))
    }

    /// The registry that the scope names, if the caller may do `action` with it.
    pub(crate) async fn registry_for(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
    ) -> Result<Registry, ArmError> {
        self.check_may(caller, scope, action).await?;
        let found = self.metastore.registries().await?.into_iter().find(|found| scope.holds(found));
        found.ok_or_else(|| no_such_registry(scope))
    }

    /// What registries have elsewhere and not here: nothing to list, and nothing to make.
    pub(crate) async fn registry_child(
        &self,
        caller: &Caller,
        scope: &Scope,
        kind: &str,
        name: &str,
        method: &Method,
    ) -> Result<Response, ArmError> {
        if [Method::PUT, Method::PATCH].contains(method) {
            self.registry_for(caller, scope, Action::WriteRegistry).await?;
            let message = format!(
                "A registry here has no {kind}: it is served by this server alone, at its login server."
            );
            return Err(ArmError::bad("UnsupportedResourceType", message));
        }
        if *method == Method::DELETE {
            self.registry_for(caller, scope, Action::WriteRegistry).await?;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        self.visible_registry(caller, scope).await?;
        if name.is_empty() {
            return Ok(crate::json(json!({ "value": [] })));
        }
        Err(ArmError::not_found(
            "ResourceNotFound",
            format!("There is no '{name}' among the {kind} of this registry."),
        ))
    }

    /// The one registry that the scope names, if the caller may read it.
    async fn visible_registry(&self, caller: &Caller, scope: &Scope) -> Result<Registry, ArmError> {
        let found = self.visible(caller, scope).await?.into_iter().next();
        found.ok_or_else(|| no_such_registry(scope))
    }

    /// Lets a caller through who may do `action` at the scope: 404 for who has no business in the
    /// subscription, 403 for who has.
    pub(crate) async fn check_may(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
    ) -> Result<(), ArmError> {
        self.check_known(caller, scope.subscription, action).await?;
        let id = scope.id();
        if caller.may(action, &id) { Ok(()) } else { Err(ArmError::forbidden(caller, action.name(), &id)) }
    }
}

pub(crate) fn no_such_group(scope: &Scope) -> ArmError {
    let name = scope.group.as_deref().unwrap_or_default();
    ArmError::not_found("ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
}

pub(crate) fn no_such_registry(scope: &Scope) -> ArmError {
    let (group, name) =
        (scope.group.as_deref().unwrap_or_default(), scope.registry.as_deref().unwrap_or_default());
    let message = format!("The Resource '{REGISTRIES}/{name}' under resource group '{group}' was not found.");
    ArmError::not_found("ResourceNotFound", message)
}

/// Refuses to move a registry, and a tier that is another than that of its SKU.
fn check_unchanged(body: &RegistryBody, found: Option<&Registry>) -> Result<(), ArmError> {
    if let Some(found) = found {
        check_location(body.location.as_deref(), &found.name, &found.location)?;
    }
    let Some(sku) = &body.sku else { return Ok(()) };
    let Some(tier) = sku.tier.as_deref().filter(|tier| !tier.is_empty()) else { return Ok(()) };
    // Who sends back what was shown beside another name means the name.
    let is_known = tier.eq_ignore_ascii_case(&sku.name)
        || found.is_some_and(|found| found.sku.eq_ignore_ascii_case(tier));
    if is_known {
        return Ok(());
    }
    let message = format!("sku.tier can only be that of sku.name, '{}': leave it out.", sku.name);
    Err(ArmError::bad("UnsupportedProperty", message))
}

/// Refuses to move what is somewhere.
pub(crate) fn check_location(wanted: Option<&str>, name: &str, found: &str) -> Result<(), ArmError> {
    match wanted {
        Some(wanted) if !is_same_location(wanted, found) => {
            let message = format!(
                "The resource '{name}' is in the location '{found}' and cannot go to the location '{wanted}'."
            );
            Err(ArmError::new(StatusCode::CONFLICT, "InvalidResourceLocation", message))
        }
        _ => Ok(()),
    }
}

/// Azure takes `West Europe` for `westeurope`.
pub(crate) fn is_same_location(one: &str, other: &str) -> bool {
    let folded = |text: &str| text.replace(' ', "").to_lowercase();
    folded(one) == folded(other)
}

fn check_flags(properties: &Value) -> Result<(), ArmError> {
    for name in ["adminUserEnabled", "anonymousPullEnabled"] {
        if properties.get(name).is_some_and(|value| !value.is_null() && !value.is_boolean()) {
            let message = format!("properties.{name} must be true or false.");
            return Err(ArmError::bad("InvalidRequestContent", message));
        }
    }
    Ok(())
}

/// What `policies.retentionPolicy` asks for; `now` is how it is.
fn untagged_days(properties: &Value, now: Option<u32>) -> Result<Option<Option<u32>>, ArmError> {
    let Some(policy) = properties.pointer("/policies/retentionPolicy").filter(|policy| policy.is_object())
    else {
        return Ok(None);
    };
    let days = policy.get("days").filter(|days| !days.is_null()).map(|days| {
        let days =
            days.as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| *days <= UNTAGGED_DAYS_MAX);
        let message =
            || format!("properties.policies.retentionPolicy.days is a number from 0 to {UNTAGGED_DAYS_MAX}.");
        days.ok_or_else(|| ArmError::bad("InvalidRetentionPolicy", message()))
    });
    let days = days.transpose()?;
    let is_on = match policy.get("status").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("enabled") => true,
        Some("disabled") => false,
        None => now.is_some(),
        Some(other) => {
            let message = format!("The status '{other}' is neither enabled nor disabled.");
            return Err(ArmError::bad("InvalidRetentionPolicy", message));
        }
    };
    if let Some(days) = days.filter(|days| !is_on && now != Some(*days) && *days != UNTAGGED_DAYS) {
        let message = format!(
            "properties.policies.retentionPolicy.days cannot be {days} while the status is disabled: enable it with them."
        );
        return Err(ArmError::bad("InvalidRetentionPolicy", message));
    }
    let wanted = is_on.then(|| days.or(now).unwrap_or(UNTAGGED_DAYS));
    Ok(Some(wanted).filter(|wanted| *wanted != now))
}

/// Whether what is pushed is to be hidden until a scanner lets it pass, if the properties say.
fn quarantine_of(properties: &Value) -> Result<Option<bool>, ArmError> {
    match properties.pointer("/policies/quarantinePolicy/status") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(status)) if status.eq_ignore_ascii_case("enabled") => Ok(Some(true)),
        Some(Value::String(status)) if status.eq_ignore_ascii_case("disabled") => Ok(Some(false)),
        Some(_) => {
            let message = "properties.policies.quarantinePolicy.status is enabled or disabled.";
            Err(ArmError::bad("InvalidPolicyStatus", message))
        }
    }
}

/// Whether what is deleted can be restored, if the properties say. What they leave out stays.
fn soft_delete_of(properties: &Value, now: Option<SoftDelete>) -> Result<Option<SoftDelete>, ArmError> {
    let bad = |message: &str| Err(ArmError::bad("InvalidSoftDeletePolicy", message));
    let Some(policy) = properties.pointer("/policies/softDeletePolicy").filter(|policy| !policy.is_null())
    else {
        return Ok(None);
    };
    let now = now.unwrap_or(SoftDelete { is_on: false, days: SOFT_DELETE_DAYS });
    let is_on = match policy.get("status") {
        None | Some(Value::Null) => now.is_on,
        Some(Value::String(status)) if status.eq_ignore_ascii_case("enabled") => true,
        Some(Value::String(status)) if status.eq_ignore_ascii_case("disabled") => false,
        Some(_) => return bad("properties.policies.softDeletePolicy.status is enabled or disabled."),
    };
    let days = match policy.get("retentionDays") {
        None | Some(Value::Null) => now.days,
        Some(days) => match days.as_u64().and_then(|days| u32::try_from(days).ok()) {
            Some(days) if (1..=SOFT_DELETE_DAYS_MAX).contains(&days) => days,
            _ => {
                return bad(
                    "properties.policies.softDeletePolicy.retentionDays is a whole number from 1 to 90.",
                );
            }
        },
    };
    Ok(Some(SoftDelete { is_on, days }).filter(|wanted| *wanted != now))
}

fn sku_named(name: &str) -> Result<String, ArmError> {
    let known = ["Basic", "Standard", "Premium"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map(str::to_owned).ok_or_else(|| {
        ArmError::bad("InvalidSku", format!("sku.name must be Basic, Standard or Premium, not '{name}'."))
    })
}

/// Azure's limits: 50 tags, names of 512 characters, values of 256.
pub(crate) fn tags_of(tags: &Map<String, Value>) -> Result<String, ArmError> {
    let is_short = |(name, value): (&String, &Value)| {
        name.chars().count() <= 512 && value.as_str().is_some_and(|value| value.chars().count() <= 256)
    };
    if tags.len() > 50 || !tags.iter().all(is_short) {
        let message = "A resource has up to 50 tags: text of up to 256 characters under names of up to 512.";
        return Err(ArmError::bad("InvalidTags", message));
    }
    Ok(Value::Object(tags.clone()).to_string())
}

/// Azure's rule.
pub(crate) fn is_registry_name(name: &str) -> bool {
    (5..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn check_registry_name(name: &str) -> Result<(), ArmError> {
    if is_registry_name(name) { Ok(()) } else { Err(ArmError::bad("InvalidRegistryName", NAME_RULE)) }
}

const ADMIN_PASSWORDS: [&str; 2] = ["password", "password2"];

/// Azure's, before anybody has said otherwise, and at most.
const SOFT_DELETE_DAYS: u32 = 7;
const SOFT_DELETE_DAYS_MAX: u32 = 90;

/// Azure's limit.
const UNTAGGED_DAYS_MAX: u32 = 365;

const NAME_RULE: &str = "A registry's name has 5 to 50 letters and digits.";

/// Callers of a name check need hold hardly anything: a name and a type is all that they may send.
const NAME_CHECK_BYTES_MAX: usize = 4096;

const NAME_CHECK: Kind = Kind {
    what: "check of a name",
    kept: &["name"],
    shown: &["resourceGroupName"],
    fixed: &[
        ("type", REGISTRIES, "other names are free wherever they are not listed"),
        ("autoGeneratedDomainNameLabelScope", "Unsecure", "a registry is at its own name"),
    ],
};

const PASSWORD_NAME: Kind = Kind { what: "password's renewal", kept: &["name"], shown: &[], fixed: &[] };
