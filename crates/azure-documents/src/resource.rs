//! Registries, and the groups that hold them.

use metastore::{Registry, ResourceGroup};
use serde_json::{Value, json};

use crate::time;

/// A resource group.
#[must_use]
pub fn resource_group(group: &ResourceGroup) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", group.subscription, group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": tags_of(&group.tags),
        "properties": { "provisioningState": "Succeeded" },
    })
}

/// True for what a resource group can be called.
#[must_use]
pub fn is_group_name(name: &str) -> bool {
    let is_allowed = |character: char| character.is_alphanumeric() || "-_().".contains(character);
    (1..=90).contains(&name.chars().count()) && name.chars().all(is_allowed) && !name.ends_with('.')
}

/// What to say of another.
pub const GROUP_NAME_RULE: &str =
    "A resource group's name has up to 90 letters, digits and -_(). and ends with none of the dots.";

/// The SKU that its owner gave it; it changes nothing here.
#[must_use]
pub fn sku(registry: &Registry) -> Value {
    json!({ "name": registry.sku, "tier": registry.sku })
}

/// What its owner calls it by.
#[must_use]
pub fn tags(registry: &Registry) -> Value {
    tags_of(&registry.tags)
}

fn tags_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}

/// A registry, as lists of all resources have it.
#[must_use]
pub fn registry_listed(registry: &Registry) -> Value {
    json!({
        "id": registry.resource_id(),
        "name": registry.name,
        "type": REGISTRIES,
        "location": registry.location,
        "sku": sku(registry),
        "tags": tags(registry),
    })
}

/// Where clients find a registry: at `NAME.DOMAIN` and the port of `host`, by which they reach the server. The default
/// registry is at `host` itself, unless that is beneath the domain: it answers to each host that names no other.
#[must_use]
pub fn login_server(registry: &Registry, is_default: bool, host: &str, domain: &str) -> String {
    let colon = host.rfind(':').filter(|at| !host[*at..].contains(']'));
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    let is_beneath = name.to_ascii_lowercase().ends_with(&format!(".{}", domain.to_ascii_lowercase()));
    if is_default && !is_beneath {
        return host.to_owned();
    }
    format!("{}.{domain}{port}", registry.name.to_ascii_lowercase())
}

/// A registry, at this login server.
#[must_use]
pub fn registry(registry: &Registry, login_server: &str) -> Value {
    let off = json!({ "status": "disabled" });
    json!({
        "id": registry.resource_id(),
        "name": registry.name,
        "type": REGISTRIES,
        "location": registry.location,
        "tags": tags(registry),
        "sku": sku(registry),
        "systemData": {
            "createdBy": registry.created_by,
            "createdByType": "Application",
            "createdAt": time(registry.created_ms),
            "lastModifiedBy": registry.changed_by,
            "lastModifiedByType": "Application",
            "lastModifiedAt": time(registry.changed_ms),
        },
        "properties": {
            "loginServer": login_server,
            "creationDate": time(registry.created_ms),
            "provisioningState": "Succeeded",
            "adminUserEnabled": registry.is_admin_enabled,
            "networkRuleSet": { "defaultAction": "Allow", "virtualNetworkRules": [], "ipRules": [] },
            "policies": {
                "quarantinePolicy": { "status": if registry.quarantine { "enabled" } else { "disabled" } },
                "trustPolicy": { "type": "Notary", "status": "disabled" },
                "retentionPolicy": {
                    "days": registry.untagged_days.unwrap_or(UNTAGGED_DAYS),
                    "lastUpdatedTime": time(registry.untagged_changed_ms.unwrap_or(registry.created_ms)),
                    "status": if registry.untagged_days.is_some() { "enabled" } else { "disabled" },
                },
                "exportPolicy": { "status": "enabled" },
                "azureADAuthenticationAsArmPolicy": { "status": "enabled" },
                "softDeletePolicy": {
                    "retentionDays": registry.soft_delete.days,
                    "lastUpdatedTime": time(registry.soft_delete_changed_ms.unwrap_or(registry.created_ms)),
                    "status": if registry.soft_delete.is_on { "enabled" } else { "disabled" },
                },
            },
            "encryption": off,
            "dataEndpointEnabled": false,
            "dataEndpointHostNames": [],
            "privateEndpointConnections": [],
            "publicNetworkAccess": "Enabled",
            "networkRuleBypassOptions": "AzureServices",
            "zoneRedundancy": "Disabled",
            "anonymousPullEnabled": registry.is_public,
            "roleAssignmentMode": "LegacyRegistryPermissions",
        },
    })
}

/// The type of registries.
pub const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";

/// What Azure shows of a retention policy before anybody has set it.
pub const UNTAGGED_DAYS: u32 = 7;
