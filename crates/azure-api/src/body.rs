//! What clients send of a resource. It is read whole, and refused where it asks for what there is not: no setting
//! is dropped in silence.

use axum::body::Body;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ArmError;

/// What can be said of one kind of resource. Paths are written `properties.actions`; those of the elements of a list
/// have `[]` behind its name.
pub(crate) struct Kind {
    /// What it is called in refusals: `registry`.
    pub(crate) what: &'static str,
    /// What is kept as it is sent, with all that is beneath.
    pub(crate) kept: &'static [&'static str],
    /// What clients are shown, may send back, and do not decide; beside what every resource has of that.
    pub(crate) shown: &'static [&'static str],
    /// Where, the one value that is possible, and what to do instead.
    pub(crate) fixed: &'static [(&'static str, &'static str, &'static str)],
}

/// Reads a body as an object, if its kind has all that it sets.
pub(crate) async fn read<T: DeserializeOwned>(body: Body, kind: &Kind) -> Result<T, ArmError> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| ArmError::bad("RequestContentTooLarge", error.to_string()))?;
    let invalid =
        |error| ArmError::bad("InvalidRequestContent", format!("The request body cannot be read: {error}."));
    // By way of an object: serde would take a list for one, too.
    let object: Map<String, Value> = serde_json::from_slice(&bytes).map_err(invalid)?;
    for (name, value) in &object {
        kind.check(value, name)?;
    }
    serde_json::from_value(Value::Object(object)).map_err(invalid)
}

impl Kind {
    /// Refuses what is neither kept nor shown nor at its one value, unless it is off.
    fn check(&self, value: &Value, path: &str) -> Result<(), ArmError> {
        if value.is_null() {
            return Ok(());
        }
        if let Some((_, only, instead)) = self.fixed.iter().find(|(known, ..)| *known == path) {
            return self.check_fixed(value, path, only, instead);
        }
        if SHOWN.iter().chain(self.shown).chain(self.kept).any(|known| *known == path) {
            return Ok(());
        }
        match value {
            Value::Object(fields) => {
                fields.iter().try_for_each(|(name, value)| self.check(value, &format!("{path}.{name}")))
            }
            Value::Array(values) if self.has_elements(path) => {
                values.iter().try_for_each(|value| self.check(value, &format!("{path}[]")))
            }
            _ if is_off(value) => Ok(()),
            _ => Err(self.refusal(path)),
        }
    }

    fn check_fixed(&self, value: &Value, path: &str, only: &str, instead: &str) -> Result<(), ArmError> {
        let is_only = match value {
            Value::Bool(value) => only.parse() == Ok(*value),
            Value::String(value) => value.eq_ignore_ascii_case(only),
            _ => false,
        };
        if is_only {
            return Ok(());
        }
        let message = format!("{path} of a {} can only be {only} here: {instead}.", self.what);
        Err(ArmError::bad("UnsupportedProperty", message))
    }

    fn has_elements(&self, path: &str) -> bool {
        let beneath = format!("{path}[]");
        self.kept.iter().chain(self.shown).any(|known| known.starts_with(&beneath))
    }

    fn refusal(&self, path: &str) -> ArmError {
        let shown: String = path.chars().take(PATH_CHARS_MAX).collect();
        let message = format!("A {} here has no {shown}: leave it out.", self.what);
        ArmError::bad("UnsupportedProperty", message)
    }
}

/// What asks for nothing, whatever its name means.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => ["", "disabled", "none"].iter().any(|off| text.eq_ignore_ascii_case(off)),
        Value::Array(values) => values.is_empty(),
        Value::Number(_) | Value::Object(_) => false,
    }
}

/// What every resource has, and nobody decides by sending it. Names are in the path.
const SHOWN: [&str; 5] = ["id", "name", "type", "systemData", "properties.provisioningState"];

/// What of a registry is kept, shown and fixed.
pub(crate) const REGISTRY: Kind = Kind {
    what: "registry",
    kept: &[
        "location",
        "tags",
        "sku.name",
        "sku.tier",
        "properties.adminUserEnabled",
        "properties.anonymousPullEnabled",
        "properties.policies.quarantinePolicy.status",
        "properties.policies.retentionPolicy.days",
        "properties.policies.retentionPolicy.status",
        "properties.policies.softDeletePolicy.retentionDays",
        "properties.policies.softDeletePolicy.status",
    ],
    shown: &[
        "properties.loginServer",
        "properties.creationDate",
        "properties.status",
        "properties.dataEndpointHostNames",
        "properties.regionalEndpointHostNames",
        "properties.privateEndpointConnections",
        "properties.policies.retentionPolicy.lastUpdatedTime",
        "properties.policies.softDeletePolicy.lastUpdatedTime",
    ],
    fixed: &[
        ("properties.policies.trustPolicy.status", "disabled", "there is no Notary; sign with referrers"),
        ("properties.policies.trustPolicy.type", "Notary", "there is no Notary; sign with referrers"),
        ("properties.policies.exportPolicy.status", "enabled", "whoever may pull may export"),
        (
            "properties.policies.azureADAuthenticationAsArmPolicy.status",
            "enabled",
            "the registry takes tokens of both audiences",
        ),
        ("properties.encryption.status", "disabled", "encrypt the disk"),
        ("properties.networkRuleBypassOptions", "AzureServices", "use a firewall"),
        ("properties.autoGeneratedDomainNameLabelScope", "Unsecure", "a registry is at its own name"),
        ("properties.endpointProtocol", "IPv4", "the server listens where --listen says"),
        ("properties.networkRuleSet.defaultAction", "Allow", "use a firewall"),
        ("properties.publicNetworkAccess", "Enabled", "use a firewall"),
        ("properties.zoneRedundancy", "Disabled", "there are no zones"),
        ("properties.dataEndpointEnabled", "false", "bytes come from the login server"),
        (
            "properties.roleAssignmentMode",
            "LegacyRegistryPermissions",
            "roles hold at registries and repositories alike",
        ),
    ],
};

const BODY_BYTES_MAX: usize = 1 << 20;
const PATH_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_asks_for_nothing_goes_by_unknown() {
        const KIND: Kind = Kind {
            what: "thing",
            kept: &["properties.kept", "properties.list[].kept"],
            shown: &["properties.shown"],
            fixed: &[("properties.fixed", "Only", "there is no other")],
        };
        let check =
            |properties: Value| KIND.check(&properties, "properties").map_err(|error| format!("{error:?}"));
        for taken in [
            json!({ "kept": { "anything": 1 }, "shown": 1, "fixed": "only", "provisioningState": "Failed" }),
            json!({ "list": [{ "kept": 1 }, { "other": null }], "fixed": null }),
            json!({ "a": null, "b": false, "c": "", "d": "Disabled", "e": [], "f": {}, "g": { "type": "None" } }),
        ] {
            assert_eq!(check(taken.clone()), Ok(()), "{taken}");
        }
        for (refused, why) in [
            (json!({ "other": 0 }), "A thing here has no properties.other: leave it out."),
            (json!({ "a": { "b": "on" } }), "no properties.a.b:"),
            (json!({ "a": [{}] }), "no properties.a:"),
            (json!({ "list": [{ "kept": 1, "other": true }] }), "no properties.list[].other:"),
            (json!({ "list": "all" }), "no properties.list:"),
            (
                json!({ "fixed": "Other" }),
                "properties.fixed of a thing can only be Only here: there is no other.",
            ),
            (json!({ "fixed": {} }), "properties.fixed"),
        ] {
            let error = check(refused.clone()).expect_err("refused");
            assert!(error.contains("UnsupportedProperty") && error.contains(why), "{refused}: {error}");
        }
    }
}
