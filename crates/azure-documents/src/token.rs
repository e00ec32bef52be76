//! Scope maps and tokens of a registry.

use auth::SystemScopeMap;
use metastore::{Registry, RegistryToken, ScopeMap, TokenPassword};
use serde_json::{Value, json};

use crate::{REGISTRIES, time};

/// A scope map that somebody made.
#[must_use]
pub fn scope_map(registry: &Registry, map: &ScopeMap) -> Value {
    map_of(registry, &map.name, "UserDefined", &map.description, map.created_ms, &json!(map.actions))
}

/// A scope map that every registry has.
#[must_use]
pub fn system_scope_map(registry: &Registry, map: &SystemScopeMap) -> Value {
    map_of(registry, map.name, "SystemDefined", map.description, registry.created_ms, &json!(map.actions))
}

fn map_of(
    registry: &Registry,
    name: &str,
    kind: &str,
    description: &str,
    created_ms: i64,
    actions: &Value,
) -> Value {
    json!({
        "id": format!("{}/scopeMaps/{name}", registry.resource_id()),
        "name": name,
        "type": format!("{REGISTRIES}/scopeMaps"),
        "properties": {
            "description": description,
            "type": kind,
            "creationDate": time(created_ms),
            "provisioningState": "Succeeded",
            "actions": actions,
        },
    })
}

/// A token, without its secrets.
#[must_use]
pub fn registry_token(registry: &Registry, token: &RegistryToken) -> Value {
    let passwords: Vec<Value> = token.passwords.iter().map(password).collect();
    json!({
        "id": format!("{}/tokens/{}", registry.resource_id(), token.name),
        "name": token.name,
        "type": format!("{REGISTRIES}/tokens"),
        "properties": {
            "creationDate": time(token.created_ms),
            "provisioningState": "Succeeded",
            "scopeMapId": format!("{}/scopeMaps/{}", registry.resource_id(), token.scope_map),
            "credentials": { "passwords": passwords },
            "status": if token.is_enabled { "enabled" } else { "disabled" },
        },
    })
}

/// A token's new passwords, as they are shown once: by name, with the secret.
#[must_use]
pub fn new_passwords(token: &RegistryToken, secrets: &[(&str, String)]) -> Value {
    let named = |name: &str| token.passwords.iter().find(|password| password.name == name);
    let passwords = secrets.iter().filter_map(|(name, secret)| {
        let mut shown = password(named(name)?);
        shown["value"] = secret.as_str().into();
        Some(shown)
    });
    json!({ "username": token.name, "passwords": passwords.collect::<Vec<_>>() })
}

fn password(password: &TokenPassword) -> Value {
    json!({
        "name": password.name,
        "creationTime": time(password.created_ms),
        "expiry": password.expires_ms.map(time),
    })
}
