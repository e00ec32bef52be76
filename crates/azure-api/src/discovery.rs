//! What clients ask before they ask for anything: endpoints, tenants, subscriptions.

use auth::{Action, Caller};
use metastore::Subscription;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ArmError;
use crate::{Api, Call};

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
        json!({ "value": [{ "id": id, "tenantId": self.tenant, "displayName": "Lazaret" }] })
    }

    /// Those that the caller has any business in.
    pub(crate) async fn subscriptions(&self, caller: &Caller) -> Result<Value, ArmError> {
        let all = self.metastore.subscriptions().await?;
        let known = all.iter().filter(|subscription| is_known(caller, subscription.id));
        let rows: Vec<Value> = known.map(|subscription| self.row(subscription)).collect();
        Ok(json!({ "value": rows, "count": { "type": "Total", "value": rows.len() } }))
    }

    pub(crate) async fn subscription(&self, caller: &Caller, id: Uuid) -> Result<Value, ArmError> {
        let all = self.metastore.subscriptions().await?;
        let found = all.iter().find(|subscription| subscription.id == id).filter(|_| is_known(caller, id));
        found.map(|subscription| self.row(subscription)).ok_or_else(|| ArmError::no_such_subscription(id))
    }

    fn row(&self, subscription: &Subscription) -> Value {
        json!({
            "id": format!("/subscriptions/{}", subscription.id),
            "subscriptionId": subscription.id,
            "tenantId": self.tenant,
            "displayName": subscription.display_name,
            "state": "Enabled",
            "subscriptionPolicies": { "locationPlacementId": "Public_2014-09-01", "quotaId": "Lazaret", "spendingLimit": "Off" },
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
        })
    }
}

fn is_known(caller: &Caller, subscription: Uuid) -> bool {
    let id = format!("/subscriptions/{subscription}");
    let actions = [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, Action::ReadAssessments];
    actions.iter().any(|action| caller.may_within(*action, &id))
}
