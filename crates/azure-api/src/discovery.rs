//! What clients ask before they ask for anything: endpoints, tenants, subscriptions.

use auth::{Action, Caller};
use axum::http::StatusCode;
use metastore::{DeleteSubscription, Held, Subscription};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::{Api, Call, arm};

impl Api {
    /// `az cloud register` reads this; older versions of it a list of one.
    pub(crate) fn metadata(&self, call: &Call) -> Value {
        let base = &call.base;
        let endpoint = format!("{base}/");
        let document = json!({
            "name": "Lazaret",
            "portal": endpoint,
            "gallery": endpoint,
            "batch": endpoint,
            "sqlManagement": endpoint,
            "resourceManager": endpoint,
            "graph": endpoint,
            "graphAudience": endpoint,
            "microsoftGraphResourceId": endpoint,
            "authentication": {
                "loginEndpoint": endpoint,
                "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
                "tenant": self.tenant,
                "identityProvider": "AAD",
            },
            "suffixes": {
                "acrLoginServer": format!("{}{}", self.domain.name, call.port()),
                "storage": call.host,
                "keyVaultDns": call.host,
                "sqlServerHostname": call.host,
            },
        });
        match call.query.get("api-version") {
            Some(version) if version < "2022" => json!([document]),
            _ => document,
        }
    }

    pub(crate) fn tenants(&self) -> Value {
        let id = format!("/tenants/{}", self.tenant);
        let domain = &self.domain.name;
        json!({ "value": [{
            "id": id,
            "tenantId": self.tenant,
            "displayName": "Lazaret",
            "defaultDomain": domain,
            "domains": [domain],
            "tenantCategory": "Home",
            "tenantType": "AAD",
        }] })
    }

    /// Those that the caller has any business in.
    pub(crate) async fn subscriptions(&self, caller: &Caller) -> Result<Value, ArmError> {
        let all = self.metastore.subscriptions().await?;
        let known = all.iter().filter(|subscription| is_known(caller, subscription.id));
        let tags = self.metastore.subscription_tags().await?;
        let rows: Vec<Value> =
            known.map(|subscription| self.row(subscription, tags.get(&subscription.id))).collect();
        Ok(json!({ "value": rows, "count": { "type": "Total", "value": rows.len() } }))
    }

    pub(crate) async fn subscription(&self, caller: &Caller, id: Uuid) -> Result<Value, ArmError> {
        let all = self.metastore.subscriptions().await?;
        let found = all.iter().find(|subscription| subscription.id == id).filter(|_| is_known(caller, id));
        let tags = self.metastore.subscription_tags().await?;
        found
            .map(|subscription| self.row(subscription, tags.get(&id)))
            .ok_or_else(|| ArmError::no_such_subscription(id))
    }

    /// Deletes a subscription that holds nothing, as `az account subscription cancel` asks. The roles that are held at
    /// it go with it, and so the right to delete it includes the right to take roles away.
    pub(crate) async fn cancel_subscription(&self, caller: &Caller, id: Uuid) -> Result<Value, ArmError> {
        for action in [Action::CancelSubscription, Action::DeleteRoles] {
            self.check_subscription(caller, id, action).await?;
        }
        let held = match self.metastore.delete_subscription(id, (self.clock)()).await? {
            DeleteSubscription::Deleted => {
                tracing::info!(subscription = %id, principal = %caller.id, "a subscription was deleted");
                return Ok(json!({ "subscriptionId": id }));
            }
            DeleteSubscription::Missing => return Err(ArmError::no_such_subscription(id)),
            DeleteSubscription::Holds(held) => match held {
                Held::Registry(name) => format!("the registry '{name}': delete it"),
                Held::DeletedRegistry(name) => {
                    format!("the deleted registry '{name}': delete its resource group")
                }
                Held::Group(name) => format!("the resource group '{name}': delete it"),
                Held::Cluster(name) => {
                    format!("the cluster '{name}': an operator runs `lazaret cluster delete {name}`")
                }
            },
        };
        let message = format!("The subscription '{id}' cannot be cancelled, for it holds {held} first.");
        Err(ArmError::new(StatusCode::CONFLICT, "SubscriptionNotEmpty", message))
    }

    /// Lets a change through unless the subscription that the path begins with is disabled. Who does not know of
    /// it learns nothing of it here.
    pub(crate) async fn check_enabled(&self, caller: &Caller, path: &str) -> Result<(), ArmError> {
        let Some(id) = arm::subscription_of(path) else { return Ok(()) };
        let all = self.metastore.subscriptions().await?;
        let is_disabled = all.iter().any(|found| found.id == id && found.is_disabled);
        if !is_disabled || !is_known(caller, id) {
            return Ok(());
        }
        Err(subscription_disabled(id))
    }

    fn row(&self, subscription: &Subscription, tags: Option<&String>) -> Value {
        let tags: Value = tags.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
        json!({
            "id": format!("/subscriptions/{}", subscription.id),
            "subscriptionId": subscription.id,
            "tenantId": self.tenant,
            "displayName": subscription.display_name,
            "state": if subscription.is_disabled { "Disabled" } else { "Enabled" },
            "subscriptionPolicies": { "locationPlacementId": "Public_2014-09-01", "quotaId": "Lazaret", "spendingLimit": "Off" },
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "tags": tags,
        })
    }
}

fn is_known(caller: &Caller, subscription: Uuid) -> bool {
    let id = format!("/subscriptions/{subscription}");
    let actions = [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, Action::ReadAssessments];
    actions.iter().any(|action| caller.may_within(*action, &id))
}

/// What Azure says of a write to a disabled subscription.
pub(crate) fn subscription_disabled(id: Uuid) -> ArmError {
    let message = format!(
        "The subscription '{id}' is disabled and therefore marked as read only. You cannot perform any write actions \
         on this subscription until it is re-enabled."
    );
    ArmError::new(StatusCode::CONFLICT, "ReadOnlyDisabledSubscription", message)
}
