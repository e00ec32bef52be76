//! Pricings: the plans of a subscription.

use metastore::{Plan, PlanSetting, Tier};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::time;

/// How a plan of a subscription is set.
#[must_use]
pub fn pricing(subscription: Uuid, setting: &PlanSetting) -> Value {
    let name = setting.plan.name();
    let mut properties = json!({
        "pricingTier": setting.tier.name(),
        "freeTrialRemainingTime": "PT0S",
        "enforce": "False",
        "inherited": "False",
        "resourcesCoverageStatus": if setting.tier == Tier::Standard { "FullyCovered" } else { "NotCovered" },
    });
    match setting.plan {
        Plan::ContainerRegistry => {
            properties["deprecated"] = true.into();
            properties["replacedBy"] = json!([Plan::Containers.name()]);
        }
        Plan::Containers => {
            let is_enabled = if setting.tier == Tier::Standard { "True" } else { "False" };
            properties["extensions"] = json!([{ "name": SCANNING, "isEnabled": is_enabled }]);
        }
    }
    if let (Tier::Standard, Some(changed_ms)) = (setting.tier, setting.changed_ms) {
        properties["enablementTime"] = time(changed_ms).into();
    }
    json!({
        "id": format!("/subscriptions/{subscription}/providers/Microsoft.Security/pricings/{name}"),
        "name": name,
        "type": "Microsoft.Security/pricings",
        "properties": properties,
    })
}

/// The same as a client of an older version knows it: what came later is left out.
#[must_use]
pub fn pricing_of_version(mut document: Value, version: &str) -> Value {
    if let Some(properties) = document["properties"].as_object_mut() {
        for (since, names) in SINCE {
            if version < since {
                properties.retain(|name, _| !names.contains(&name.as_str()));
            }
        }
    }
    document
}

/// The extension of the plan for containers that scans registries: it is on as the plan is.
pub const SCANNING: &str = "ContainerRegistriesVulnerabilityAssessments";

/// From which version on Azure's model has which properties (azure-wire, section 2.1).
const SINCE: [(&str, &[&str]); 3] = [
    ("2022-03-01", &["subPlan", "deprecated", "replacedBy"]),
    ("2023-01-01", &["enablementTime", "extensions"]),
    ("2024-01-01", &["enforce", "inherited", "inheritedFrom", "resourcesCoverageStatus"]),
];
