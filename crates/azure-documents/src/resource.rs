//! Registries, and the groups that hold them.

use metastore::Registry;
use serde_json::{Value, json};

use crate::time;

/// The group that a registry is in.
#[must_use]
pub fn resource_group(registry: &Registry) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", registry.subscription, registry.resource_group),
        "name": registry.resource_group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": registry.location,
        "properties": { "provisioningState": "Succeeded" },
    })
}

/// What a registry may do: everything.
#[must_use]
pub fn sku() -> Value {
    json!({ "name": "Premium", "tier": "Premium" })
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
        "tags": {},
        "sku": sku(),
        "properties": {
            "loginServer": login_server,
            "creationDate": time(registry.created_ms),
            "provisioningState": "Succeeded",
            "adminUserEnabled": false,
            "networkRuleSet": { "defaultAction": "Allow", "virtualNetworkRules": [], "ipRules": [] },
            "policies": {
                "quarantinePolicy": off,
                "trustPolicy": { "type": "Notary", "status": "disabled" },
                "retentionPolicy": { "days": 7, "status": "disabled" },
                "exportPolicy": { "status": "enabled" },
                "azureADAuthenticationAsArmPolicy": { "status": "enabled" },
                "softDeletePolicy": { "retentionDays": 7, "status": "disabled" },
            },
            "encryption": off,
            "dataEndpointEnabled": false,
            "dataEndpointHostNames": [],
            "privateEndpointConnections": [],
            "publicNetworkAccess": "Enabled",
            "networkRuleBypassOptions": "AzureServices",
            "zoneRedundancy": "Disabled",
            "anonymousPullEnabled": false,
            "roleAssignmentMode": "LegacyRegistryPermissions",
        },
    })
}

/// The type of registries.
pub const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";
