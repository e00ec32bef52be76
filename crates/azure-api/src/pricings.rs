//! Pricings: the plans of a subscription, read and switched.

use auth::{Action, Caller};
use axum::body::{Body, to_bytes};
use azure_documents::pricing;
use metastore::{Plan, Tier};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Api;
use crate::error::ArmError;

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

/// Further properties (sub-plan, extensions, enforcement) choose nothing here and are let by.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    pricing_tier: String,
}

impl Api {
    pub(crate) async fn pricings(&self, caller: &Caller, subscription: Uuid) -> Result<Value, ArmError> {
        self.check_subscription(caller, subscription, Action::ReadPricings).await?;
        let settings = self.metastore.plans(subscription).await?;
        Ok(
            json!({ "value": settings.iter().map(|setting| pricing(subscription, setting)).collect::<Vec<_>>() }),
        )
    }

    pub(crate) async fn pricing(
        &self,
        caller: &Caller,
        subscription: Uuid,
        name: &str,
    ) -> Result<Value, ArmError> {
        self.check_subscription(caller, subscription, Action::ReadPricings).await?;
        let plan = plan_named(name)?;
        self.shown(subscription, plan).await
    }

    /// Switches a plan; on queues the scan of what is stored, off keeps its results.
    pub(crate) async fn put_pricing(
        &self,
        caller: &Caller,
        subscription: Uuid,
        name: &str,
        body: Body,
    ) -> Result<Value, ArmError> {
        self.check_subscription(caller, subscription, Action::WritePricings).await?;
        let plan = plan_named(name)?;
        let bytes = to_bytes(body, BODY_BYTES_MAX).await;
        let bytes = bytes
            .map_err(|_| ArmError::bad("InvalidRequestContent", "The body is too large or broke off."))?;
        let put: Put = serde_json::from_slice(&bytes).map_err(|error| {
            ArmError::bad("InvalidRequestContent", format!("The body does not parse: {error}."))
        })?;
        let tier = Tier::from_name(&put.properties.pricing_tier).ok_or_else(|| {
            let message =
                format!("The pricing tier '{}' is neither Free nor Standard.", put.properties.pricing_tier);
            ArmError::bad("InvalidPricingTier", message)
        })?;
        let now_ms = (self.clock)();
        if !self.metastore.set_plan(subscription, plan, tier, now_ms).await? {
            return Err(ArmError::no_such_subscription(subscription));
        }
        tracing::info!(%subscription, plan = plan.name(), tier = tier.name(), principal = %caller.id, "a plan was set");
        (self.wake)();
        self.shown(subscription, plan).await
    }

    async fn shown(&self, subscription: Uuid, plan: Plan) -> Result<Value, ArmError> {
        let settings = self.metastore.plans(subscription).await?;
        let setting = settings.iter().find(|setting| setting.plan == plan);
        setting.map(|setting| pricing(subscription, setting)).ok_or_else(|| no_such_plan(plan.name()))
    }
}

fn plan_named(name: &str) -> Result<Plan, ArmError> {
    Plan::from_name(name).ok_or_else(|| no_such_plan(name))
}

fn no_such_plan(name: &str) -> ArmError {
    let message = format!("There is no plan '{name}' here, only ContainerRegistry and Containers.");
    ArmError::not_found("ResourceNotFound", message)
}

const BODY_BYTES_MAX: usize = 1 << 20;
