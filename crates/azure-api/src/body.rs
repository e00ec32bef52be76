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
    read_within(BODY_BYTES_MAX, body, kind).await
}

/// [`read`], of a body of up to so many bytes.
pub(crate) async fn read_within<T: DeserializeOwned>(
    bytes_max: usize,
    body: Body,
    kind: &Kind,
) -> Result<T, ArmError> {
    let bytes = axum::body::to_bytes(body, bytes_max).await;
    let bytes = bytes.map_err(|error| ArmError::bad("RequestContentTooLarge", error.to_string()))?;
    let invalid =
        |error| ArmError::bad("InvalidRequestContent", format!("The request body cannot be read: {error}."));
    // By way of an object: serde would take a list for one, too.
    let object: Map<String, Value> = serde_json::from_slice(&bytes).map_err(invalid)?;
    Check::of(kind).members(&object)?;
    serde_json::from_value(Value::Object(object)).map_err(invalid)
}

/// One step of a path. Steps are compared, never joined: a name may have dots in it, and may be long.
#[derive(Clone, Copy, PartialEq)]
enum Step<'a> {
    Member(&'a str),
    Element,
}

/// The steps of a path as [`Kind`] writes it.
fn steps(known: &str) -> impl Iterator<Item = Step<'_>> {
    known.split('.').flat_map(|part| {
        let name = part.strip_suffix("[]");
        let element = name.map(|_| Step::Element);
        std::iter::once(Step::Member(name.unwrap_or(part))).chain(element)
    })
}

/// The walk through one body.
struct Check<'a> {
    kind: &'a Kind,
    path: Vec<Step<'a>>,
    /// Values seen so far.
    seen: usize,
}

impl<'a> Check<'a> {
    fn of(kind: &'a Kind) -> Self {
        Self { kind, path: Vec::new(), seen: 0 }
    }

    fn members(&mut self, fields: &'a Map<String, Value>) -> Result<(), ArmError> {
        fields.iter().try_for_each(|(name, value)| {
            if name.len() > NAME_BYTES_MAX {
                let message = format!("The request body has a name of more than {NAME_BYTES_MAX} bytes.");
                return Err(ArmError::bad("InvalidRequestContent", message));
            }
            self.beneath(Step::Member(name), value)
        })
    }

    fn beneath(&mut self, step: Step<'a>, value: &'a Value) -> Result<(), ArmError> {
        self.seen += 1;
        if self.seen > VALUES_MAX {
            let message = format!("The request body has more than {VALUES_MAX} values.");
            return Err(ArmError::bad("InvalidRequestContent", message));
        }
        self.path.push(step);
        self.value(value)?;
        self.path.pop();
        Ok(())
    }

    /// Refuses what is neither kept nor shown nor at its one value, unless it is off.
    fn value(&mut self, value: &'a Value) -> Result<(), ArmError> {
        if value.is_null() {
            return Ok(());
        }
        let kind = self.kind;
        if let Some((known, only, instead)) = kind.fixed.iter().find(|(known, ..)| self.is_at(known)) {
            return kind.check_fixed(value, known, only, instead);
        }
        if kind.taken().any(|known| self.is_at(known)) {
            return Ok(());
        }
        match value {
            Value::Object(fields) => self.members(fields),
            _ if self.has_members() => Err(self.refusal("takes only an object as")),
            Value::Array(values) if self.has_elements() => {
                values.iter().try_for_each(|value| self.beneath(Step::Element, value))
            }
            _ if is_off(value) => Ok(()),
            _ => Err(self.refusal("has no")),
        }
    }

    fn is_at(&self, known: &str) -> bool {
        steps(known).eq(self.path.iter().copied())
    }

    /// The step of a known path that comes after this one.
    fn after<'k>(&self, known: &'k str) -> Option<Step<'k>> {
        let mut steps = steps(known);
        self.path.iter().all(|step| steps.next() == Some(*step)).then(|| steps.next())?
    }

    fn has_members(&self) -> bool {
        let fixed = self.kind.fixed.iter().map(|(known, ..)| *known);
        self.kind.taken().chain(fixed).any(|known| matches!(self.after(known), Some(Step::Member(_))))
    }

    fn has_elements(&self) -> bool {
        self.kind.taken().any(|known| self.after(known) == Some(Step::Element))
    }

    fn refusal(&self, how: &str) -> ArmError {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                Step::Member(name) => path.extend([".", *name]),
                Step::Element => path.push_str("[]"),
            }
        }
        let shown: String = path.chars().take(PATH_CHARS_MAX).collect();
        let instead = if how == "has no" { ": leave it out" } else { "" };
        let message = format!("A {} here {how} {shown}{instead}.", self.kind.what);
        ArmError::bad("UnsupportedProperty", message)
    }
}

impl Kind {
    /// The paths of what is taken as it comes.
    fn taken(&self) -> impl Iterator<Item = &'static str> {
        SHOWN.iter().chain(self.shown).chain(self.kept).copied()
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

/// What every resource has and clients send back without setting it. Names are in the path.
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
        ("properties.policies.exportPolicy.status", "enabled", "each role that may pull may export"),
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
const NAME_BYTES_MAX: usize = 1024;
/// Values of one body that are looked at; what is kept whole counts as one.
const VALUES_MAX: usize = 10_000;

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
        let check = |properties: Value| {
            let checked = Check::of(&KIND).beneath(Step::Member("properties"), &properties);
            checked.map_err(|error| format!("{error:?}"))
        };
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

    fn refused(body: &Value) -> String {
        let object = body.as_object().expect("an object");
        format!("{:?}", Check::of(&REGISTRY).members(object).expect_err("refused"))
    }

    #[test]
    fn names_with_dots_and_what_is_no_object_are_refused() {
        for body in [
            json!({ "properties.anonymousPullEnabled": true }),
            json!({ "properties": { "policies.quarantinePolicy.status": "enabled" } }),
            json!({ "properties": [] }),
            json!({ "properties": "" }),
            json!({ "properties": { "policies": false } }),
        ] {
            assert!(refused(&body).contains("UnsupportedProperty"), "{body}");
        }
    }

    /// Each child of a long name once cost as much as the name is long.
    #[test]
    fn long_names_of_many_children_cost_little() {
        let children = |count: u32| -> Map<String, Value> {
            (0..count).map(|name| (name.to_string(), json!([]))).collect()
        };
        let body = json!({ "k".repeat(520_000): children(50_000) });
        assert!(refused(&body).contains("a name of more than 1024 bytes"));
        assert!(refused(&json!({ "k": children(50_000) })).contains("more than 10000 values"));
    }
}
