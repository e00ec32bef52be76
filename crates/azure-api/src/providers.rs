//! Which kinds of resources there are, and by which api-versions clients ask for them.

use auth::{Action, Caller};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Api;
use crate::error::ArmError;

/// A provider of resources.
pub(crate) struct Provider {
    namespace: &'static str,
    types: &'static [&'static str],
    /// Those that Azure's clients send, from the newest; what is older than the last never was.
    pub(crate) versions: &'static [&'static str],
}

/// The provider that a path is of, and the kind of resource it names there, if it names a provider.
pub(crate) fn of_path(path: &str) -> (&'static Provider, Option<String>) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let at = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers"));
    let named = at.and_then(|at| Some((Provider::named(segments.get(at + 1)?)?, segments.get(at + 2..)?)));
    match named {
        Some((provider, rest)) if !rest.is_empty() => {
            (provider, Some(rest.iter().step_by(2).copied().collect::<Vec<_>>().join("/")))
        }
        // Of the manager itself.
        _ => (&PROVIDERS[PROVIDERS.len() - 1], None),
    }
}

impl Provider {
    pub(crate) fn named(namespace: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.namespace.eq_ignore_ascii_case(namespace))
    }

    /// As it is at a subscription, or at the tenant, where nothing is registered.
    fn document(&self, subscription: Option<Uuid>, locations: &[String]) -> Value {
        let kinds = self.types.iter().map(|kind| {
            json!({
                "resourceType": kind, "locations": locations, "apiVersions": self.versions,
                "defaultApiVersion": self.versions[0], "capabilities": "None",
            })
        });
        let mut document = json!({ "namespace": self.namespace, "resourceTypes": kinds.collect::<Vec<_>>() });
        let at = subscription.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
        document["id"] = format!("{at}/providers/{}", self.namespace).into();
        if subscription.is_some() {
            document["registrationState"] = "Registered".into();
            document["registrationPolicy"] = "RegistrationFree".into();
        }
        document
    }
}

impl Api {
    /// All of them; everybody who signs in may know at the tenant what there is to be had.
    pub(crate) async fn providers(&self, caller: &Caller, at: Option<Uuid>) -> Result<Value, ArmError> {
        let locations = self.provided_in(caller, at).await?;
        let rows: Vec<Value> = PROVIDERS.iter().map(|provider| provider.document(at, &locations)).collect();
        Ok(json!({ "value": rows }))
    }

    /// One of them. To register it at a subscription is the same: it always is.
    pub(crate) async fn provider(
        &self,
        caller: &Caller,
        at: Option<Uuid>,
        namespace: &str,
    ) -> Result<Value, ArmError> {
        let locations = self.provided_in(caller, at).await?;
        let found = Provider::named(namespace).ok_or_else(|| {
            let message = format!("The resource namespace '{namespace}' is invalid.");
            ArmError::not_found("InvalidResourceNamespace", message)
        })?;
        Ok(found.document(at, &locations))
    }

    async fn provided_in(&self, caller: &Caller, at: Option<Uuid>) -> Result<Vec<String>, ArmError> {
        match at {
            Some(subscription) => {
                self.check_known(caller, subscription, Action::ReadSubscription).await?;
                self.location_names(subscription).await
            }
            None => Ok(vec![LOCAL.to_owned()]),
        }
    }

    /// Where the subscription's groups and registries say they are, and where they are if nobody says anything.
    pub(crate) async fn locations(&self, caller: &Caller, subscription: Uuid) -> Result<Value, ArmError> {
        self.check_known(caller, subscription, Action::ReadSubscription).await?;
        let names = self.location_names(subscription).await?;
        let row = |name: &String| {
            json!({
                "id": format!("/subscriptions/{subscription}/locations/{name}"),
                "subscriptionId": subscription,
                "name": name,
                "type": "Region",
                "displayName": name,
                "regionalDisplayName": name,
                "metadata": { "regionType": "Physical", "regionCategory": "Recommended", "pairedRegion": [] },
            })
        };
        Ok(json!({ "value": names.iter().map(row).collect::<Vec<_>>() }))
    }

    async fn location_names(&self, subscription: Uuid) -> Result<Vec<String>, ArmError> {
        let groups = self.metastore.resource_groups(subscription).await?;
        let mut registries = self.metastore.registries().await?;
        registries.retain(|registry| registry.subscription == subscription);
        let named = groups.into_iter().map(|group| group.location);
        let named = named.chain(registries.into_iter().map(|registry| registry.location));
        let mut names: Vec<String> =
            named.chain([LOCAL.to_owned()]).map(|name| name.to_ascii_lowercase()).collect();
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Where things are of which nobody says where they are.
pub(crate) const LOCAL: &str = "local";

/// The last is the manager itself.
const PROVIDERS: [Provider; 8] = [
    Provider {
        namespace: "Microsoft.ContainerRegistry",
        types: &[
            "registries",
            "registries/scopeMaps",
            "registries/tokens",
            "registries/webhooks",
            "registries/listUsages",
            "registries/listCredentials",
            "registries/regenerateCredential",
            "registries/generateCredentials",
            "checkNameAvailability",
            "operations",
        ],
        versions: &[
            "2026-09-01-preview",
            "2025-11-01",
            "2025-04-01",
            "2023-07-01",
            "2022-12-01",
            "2021-09-01",
            "2019-05-01",
            "2017-10-01",
            "2017-03-01",
            "2016-06-27-preview",
        ],
    },
    Provider {
        namespace: "Microsoft.Security",
        types: &[
            "assessments",
            "assessments/subAssessments",
            "subAssessments",
            "assessmentMetadata",
            "pricings",
            "findingRules",
        ],
        versions: &[
            "2025-05-04",
            "2024-01-01",
            "2023-01-01",
            "2022-03-01",
            "2021-06-01",
            "2020-01-01",
            "2019-01-01-preview",
            "2018-06-01",
            "2017-08-01-preview",
            "2015-06-01-preview",
        ],
    },
    Provider {
        namespace: "Microsoft.Authorization",
        types: &["roleAssignments", "roleDefinitions", "locks"],
        versions: &[
            "2022-05-01-preview",
            "2022-04-01",
            "2020-04-01-preview",
            "2018-01-01-preview",
            "2015-07-01",
            "2014-04-01-preview",
        ],
    },
    Provider {
        namespace: "Microsoft.ResourceGraph",
        types: &["resources", "queries"],
        versions: &[
            "2024-04-01",
            "2022-10-01",
            "2021-03-01",
            "2020-04-01-preview",
            "2019-04-01",
            "2018-09-01-preview",
        ],
    },
    Provider {
        namespace: "Microsoft.Consumption",
        types: &["usageDetails"],
        versions: &[
            "2024-08-01",
            "2023-05-01",
            "2021-10-01",
            "2019-10-01",
            "2018-03-31",
            "2017-04-24-preview",
        ],
    },
    Provider {
        namespace: "Microsoft.Insights",
        types: &["eventtypes"],
        versions: &["2015-04-01", "2014-04-01"],
    },
    Provider {
        namespace: "Microsoft.Subscription",
        types: &["cancel"],
        versions: &["2021-10-01", "2020-09-01", "2019-10-01-preview"],
    },
    Provider {
        namespace: "Microsoft.Resources",
        types: &[
            "subscriptions",
            "subscriptions/resourceGroups",
            "subscriptions/locations",
            "subscriptions/providers",
            "resources",
            "tags",
            "tenants",
        ],
        versions: &[
            "2025-04-01",
            "2024-11-01",
            "2022-12-01",
            "2021-04-01",
            "2019-05-01",
            "2016-09-01",
            "2016-02-01",
            "2014-04-01-preview",
        ],
    },
];
