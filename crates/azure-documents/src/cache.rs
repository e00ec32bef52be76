//! Cache rules and their credentials.

use metastore::{CacheRule, Registry, UpstreamCredential};
use serde_json::{Value, json};

use crate::{REGISTRIES, time};

/// A rule by which repositories are filled from a registry elsewhere.
#[must_use]
pub fn cache_rule(registry: &Registry, rule: &CacheRule) -> Value {
    let id = registry.resource_id();
    json!({
        "id": format!("{id}/cacheRules/{}", rule.name),
        "name": rule.name,
        "type": format!("{REGISTRIES}/cacheRules"),
        "properties": {
            "credentialSetResourceId": rule.credential.as_ref().map(|name| format!("{id}/credentialSets/{name}")),
            // Azure knows no registry without TLS.
            "sourceRepository": rule.source.strip_prefix("http://").unwrap_or(&rule.source),
            "targetRepository": rule.target,
            "creationDate": time(rule.created_ms),
            "provisioningState": "Succeeded",
        },
    })
}

/// A credential, without its name and secret: Azure keeps those in a vault and shows where, and here there is none.
#[must_use]
pub fn credential_set(registry: &Registry, credential: &UpstreamCredential) -> Value {
    json!({
        "id": format!("{}/credentialSets/{}", registry.resource_id(), credential.name),
        "name": credential.name,
        "type": format!("{REGISTRIES}/credentialSets"),
        "properties": {
            "loginServer": credential.host.strip_prefix("http://").unwrap_or(&credential.host),
            "authCredentials": [{ "name": "Credential1" }],
            "provisioningState": "Succeeded",
        },
    })
}
