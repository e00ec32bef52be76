//! Pricings: the plans of a subscription, read and switched, and as a registry inherits them.

use auth::{Action, Caller};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::{pricing, pricing_of_version};
use metastore::{Plan, PlanSetting, Tier};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::reach::Reach;
use crate::{Api, Call};

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    pricing_tier: String,
    #[serde(default)]
    extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extension {
    name: String,
    is_enabled: String,
}

impl Api {
    /// Those that the filter asks for, in Azure's order; never in pages.
    pub(crate) async fn pricings(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        self.check_pricings(caller, scope, Action::ReadPricings).await?;
        let wanted = call.query.get("$filter").map(names_in).transpose()?;
        let is_wanted = |setting: &&PlanSetting| {
            let name = setting.plan.name();
            wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|it| it.eq_ignore_ascii_case(name)))
        };
        let settings = self.metastore.plans(scope.subscription).await?;
        let rows: Vec<Value> =
            settings.iter().filter(is_wanted).map(|setting| shown(scope, setting, call)).collect();
        Ok(json!({ "value": rows }))
    }

    pub(crate) async fn pricing(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        self.check_pricings(caller, scope, Action::ReadPricings).await?;
        let plan = plan_named(name)?;
        self.setting(scope, plan, call).await
    }

    /// Switches a plan; on queues the scan of what is stored, off keeps its results.
    pub(crate) async fn put_pricing(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        call: &Call,
        body: Body,
    ) -> Result<Value, ArmError> {
        self.check_pricings(caller, scope, Action::WritePricings).await?;
        let plan = plan_named(name)?;
        if scope.registry.is_some() {
            let message = "A registry has the plans of its subscription: switch them there.";
            return Err(ArmError::bad("ResourceLevelPricingNotSupported", message));
        }
        let put: Put = read(body, &PRICING).await?;
        let tier = Tier::from_name(&put.properties.pricing_tier).ok_or_else(|| {
            let message =
                format!("The pricing tier '{}' is neither Free nor Standard.", put.properties.pricing_tier);
            ArmError::bad("InvalidPricingTier", message)
        })?;
        for extension in put.properties.extensions.iter().flatten() {
            extension.check(plan, tier)?;
        }
        let subscription = scope.subscription;
        if !self.metastore.set_plan(subscription, plan, tier, (self.clock)()).await? {
            return Err(ArmError::no_such_subscription(subscription));
        }
        let (plan_name, tier) = (plan.name(), tier.name());
        tracing::info!(%subscription, plan = plan_name, tier, principal = %caller.id, "a plan was set");
        (self.wake)();
        self.setting(scope, plan, call).await
    }

    /// Takes a resource's own setting away: a registry has none, a subscription's cannot be taken.
    pub(crate) async fn delete_pricing(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        self.check_pricings(caller, scope, Action::DeletePricings).await?;
        plan_named(name)?;
        if scope.registry.is_some() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let message = "The plan of a subscription cannot be deleted: set its pricingTier to Free.";
        Err(ArmError::bad("DeletePricingNotSupported", message))
    }

    async fn check_pricings(&self, caller: &Caller, scope: &Scope, action: Action) -> Result<(), ArmError> {
        if scope.registry.is_none() {
            return self.check_subscription(caller, scope.subscription, action).await;
        }
        self.check_reach(caller, &Reach::Within(scope.clone()), action).await?;
        if !self.metastore.registries().await?.iter().any(|registry| scope.holds(registry)) {
            return Err(crate::registries::no_such_registry(scope));
        }
        let id = scope.id();
        if caller.may(action, &id) { Ok(()) } else { Err(ArmError::forbidden(caller, action.name(), &id)) }
    }

    async fn setting(&self, scope: &Scope, plan: Plan, call: &Call) -> Result<Value, ArmError> {
        let settings = self.metastore.plans(scope.subscription).await?;
        let setting = settings.iter().find(|setting| setting.plan == plan);
        setting.map(|setting| shown(scope, setting, call)).ok_or_else(|| no_such_plan(plan.name()))
    }
}

impl Extension {
    /// Refuses one that is to be other than the plan has it: none is switched by itself.
    fn check(&self, plan: Plan, tier: Tier) -> Result<(), ArmError> {
        let is_ours = plan == Plan::Containers && self.name.eq_ignore_ascii_case(azure_documents::SCANNING);
        let has = is_ours && tier == Tier::Standard;
        if self.is_enabled.eq_ignore_ascii_case(if has { "True" } else { "False" }) {
            return Ok(());
        }
        let name: String = self.name.chars().take(NAME_CHARS_MAX).collect();
        let message = format!(
            "The extension '{name}' (properties.extensions) is {} with {} at the tier {}: leave it out.",
            if has { "always on" } else { "never on" },
            plan.name(),
            tier.name()
        );
        Err(ArmError::bad("UnsupportedProperty", message))
    }
}

/// As the client's version has it.
fn shown(scope: &Scope, setting: &PlanSetting, call: &Call) -> Value {
    let mut document = pricing(scope.subscription, setting);
    if scope.registry.is_some() {
        let id = format!("{}/providers/Microsoft.Security/pricings/{}", scope.id(), setting.plan.name());
        document["id"] = id.into();
        document["properties"]["inherited"] = "True".into();
        document["properties"]["inheritedFrom"] = format!("/subscriptions/{}", scope.subscription).into();
    }
    pricing_of_version(document, call.query.get("api-version").unwrap_or_default())
}

/// `name in (ContainerRegistry, Containers)`, or `name eq 'Containers'`.
fn names_in(filter: &str) -> Result<Vec<String>, ArmError> {
    let parse = || {
        let rest = filter.trim().strip_prefix("name")?.trim_start();
        let names = match rest.strip_prefix("in") {
            Some(list) => list.trim().strip_prefix('(')?.strip_suffix(')')?,
            None => rest.strip_prefix("eq")?,
        };
        let name = |name: &str| name.trim().trim_matches('\'').to_owned();
        Some(names.split(',').map(name).collect())
    };
    parse().ok_or_else(|| {
        let message = "The $filter must be one of: name in (PLAN, PLAN), name eq 'PLAN'.";
        ArmError::bad("InvalidFilter", message)
    })
}

fn plan_named(name: &str) -> Result<Plan, ArmError> {
    Plan::from_name(name).ok_or_else(|| no_such_plan(name))
}

fn no_such_plan(name: &str) -> ArmError {
    let message = format!("There is no plan '{name}' here, only ContainerRegistry and Containers.");
    ArmError::not_found("ResourceNotFound", message)
}

const NAME_CHARS_MAX: usize = 100;

const PRICING: Kind = Kind {
    what: "plan",
    kept: &["properties.pricingTier", "properties.extensions[].name", "properties.extensions[].isEnabled"],
    shown: &[
        "properties.freeTrialRemainingTime",
        "properties.deprecated",
        "properties.replacedBy",
        "properties.enablementTime",
        "properties.inherited",
        "properties.inheritedFrom",
        "properties.resourcesCoverageStatus",
        "properties.extensions[].operationStatus",
    ],
    fixed: &[("properties.enforce", "False", "every registry has the plan of its subscription")],
};

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn a_filter_names_plans() {
        let names = |filter: &str| names_in(filter).ok();
        assert_eq!(names("name eq 'Containers'"), Some(vec!["Containers".to_owned()]));
        assert_eq!(names("name in (A,'B')"), Some(vec!["A".to_owned(), "B".to_owned()]));
        assert_eq!(names("name in(A)"), Some(vec!["A".to_owned()]));
        for wrong in ["", "name", "name ne 'A'", "name in A", "tier eq 'Free'"] {
            assert_eq!(names(wrong), None, "{wrong}");
        }
    }
}
