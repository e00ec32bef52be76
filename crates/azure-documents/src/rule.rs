//! Rules that disable findings, as a resource of our own beside Azure's.

use metastore::StoredRule;
use serde_json::{Value, json};

use crate::time;

/// A rule.
#[must_use]
pub fn finding_rule(stored: &StoredRule) -> Value {
    let rule = &stored.rule;
    json!({
        "id": rule.resource_id(),
        "name": rule.name,
        "type": "Microsoft.Security/findingRules",
        "properties": {
            "criteria": rule.criteria,
            "reason": rule.reason,
            "expiresOn": rule.expires_ms.map(time),
            "state": if stored.is_expired { "Expired" } else { "Enabled" },
            "scope": rule.scope.id(),
            "disabledFindings": stored.disabled,
        },
        "systemData": {
            "createdBy": stored.created_by,
            "createdAt": time(stored.created_ms),
            "lastModifiedBy": stored.changed_by,
            "lastModifiedAt": time(stored.changed_ms),
        },
    })
}
