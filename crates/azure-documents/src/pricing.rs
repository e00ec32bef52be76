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
            properties["extensions"] =
                json!([{ "name": "ContainerRegistriesVulnerabilityAssessments", "isEnabled": is_enabled }]);
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
