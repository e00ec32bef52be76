//! The tables as whoever asks may see them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use auth::{Action, Caller, ResultAccess, roles};
use kql::{Batch, Column, Source, Table, TableColumn, Type, Value};
use metastore::{Registry, RegistryId, ResourceGroup, RoleAssignment, SavedQuery, Subscription, Webhook};
use oci::Repository;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::store::{Images, Of, Version};
use crate::tables::Hosts;

/// Who asks.
#[derive(Clone, Debug)]
pub enum Viewer {
    /// The administrator at the machine: sees all.
    Administrator,
    /// Whoever this is, by the roles held.
    Caller(Caller),
}

impl Viewer {
    /// How much of a registry's results the viewer may read.
    pub(crate) fn result_access(&self, registry: &Registry, action: Action) -> ResultAccess {
        match self {
            Self::Administrator => ResultAccess::Registry,
            Self::Caller(caller) => caller.result_access(action, &registry.resource_id()),
        }
    }
}

/// What there is at the time of a query, besides the rows.
pub(crate) struct House {
    pub(crate) tenant: Uuid,
    pub(crate) hosts: Hosts,
    pub(crate) registries: Vec<Registry>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Their tags: a JSON object of text for each id.
    pub(crate) subscription_tags: HashMap<Uuid, String>,
    pub(crate) groups: Vec<ResourceGroup>,
    pub(crate) assignments: Vec<RoleAssignment>,
    pub(crate) saved: Vec<SavedQuery>,
    pub(crate) webhooks: Vec<Webhook>,
    /// The repositories (row numbers and names) of registries of which the viewer may read some repositories' results.
    pub(crate) repositories: HashMap<RegistryId, Vec<(i64, Repository)>>,
}

/// The tables as one viewer sees them, within some subscriptions.
pub struct View {
    pub(crate) version: Arc<Version>,
    pub(crate) house: Arc<House>,
    pub(crate) viewer: Viewer,
    /// `None`: all that there are.
    pub(crate) subscriptions: Option<Vec<Uuid>>,
}

impl View {
    /// Up to which change this goes.
    #[must_use]
    pub fn upto(&self) -> i64 {
        self.version.upto
    }

    fn may(&self, action: Action, scope: &str) -> bool {
        match &self.viewer {
            Viewer::Administrator => true,
            Viewer::Caller(caller) => caller.may(action, scope),
        }
    }

    fn may_within(&self, action: Action, scope: &str) -> bool {
        match &self.viewer {
            Viewer::Administrator => true,
            Viewer::Caller(caller) => caller.may_within(action, scope),
        }
    }

    fn is_in(&self, subscription: Uuid) -> bool {
        self.subscriptions.as_ref().is_none_or(|wanted| wanted.contains(&subscription))
    }

    /// Of a registry's results what the REST API would show: it takes a right to read them and one to read the registry
    /// or the repository.
    fn result_access(&self, registry: &Registry, action: Action) -> ResultAccess {
        if !self.is_in(registry.subscription) {
            return ResultAccess::Nothing;
        }
        self.viewer.result_access(registry, action)
    }

    fn images(&self, registry: &Registry) -> Images {
        let action = Action::ReadSubAssessments;
        match (self.result_access(registry, action), &self.viewer) {
            (ResultAccess::Registry, _) => Images::All,
            (ResultAccess::Repositories, Viewer::Caller(caller)) => {
                let id = registry.resource_id();
                let all = self.house.repositories.get(&registry.id).map(Vec::as_slice).unwrap_or_default();
                let seen =
                    all.iter().filter(|(_, name)| caller.may_read_results_of(action, &id, name.as_str()));
                Images::In(seen.map(|(number, _)| *number).collect())
            }
            _ => Images::Nothing,
        }
    }

    /// A sentence on results that are not shown for want of rights, if the viewer knows of their registries.
    #[must_use]
    pub fn hidden(&self) -> Option<String> {
        let known = |registry: &&Registry| {
            let id = registry.resource_id();
            self.is_in(registry.subscription)
                && [Action::ReadRegistry, Action::Pull, Action::ReadSubAssessments]
                    .iter()
                    .any(|action| self.may_within(*action, &id))
        };
        let known: Vec<&Registry> = self.house.registries.iter().filter(known).collect();
        let is_whole = |registry: &&&Registry| {
            self.result_access(registry, Action::ReadSubAssessments) == ResultAccess::Registry
        };
        let whole = known.iter().filter(is_whole).count();
        (whole < known.len()).then(|| {
            format!(
                "this answer leaves results out: the caller may read all results of {whole} of {} registries, and of the \
                 others those of some repositories or none (both Security Reader and AcrPull are needed)",
                known.len()
            )
        })
    }

    /// Whether the subscription exists and the viewer has some business in it.
    #[must_use]
    pub fn knows(&self, subscription: Uuid) -> bool {
        let scope = format!("/subscriptions/{subscription}");
        let telling = [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, Action::ReadAssessments];
        self.house.subscriptions.iter().any(|known| known.id == subscription)
            && telling.iter().any(|action| self.may_within(*action, &scope))
    }

    fn security(&self) -> Security {
        let mut seen = HashSet::new();
        let mut images = HashMap::new();
        for registry in &self.house.registries {
            images.insert(registry.id.0, self.images(registry));
            if self.result_access(registry, Action::ReadAssessments) == ResultAccess::Registry {
                seen.insert(Of::Registry(registry.id.0));
            }
        }
        for subscription in &self.house.subscriptions {
            let scope = format!("/subscriptions/{}", subscription.id);
            if self.is_in(subscription.id) && self.may(Action::ReadPricings, &scope) {
                seen.insert(Of::Subscription(subscription.id));
            }
        }
        Security { version: Arc::clone(&self.version), seen, images }
    }

    /// Registries, their webhooks, and saved queries.
    fn resources(&self) -> Rows {
        let default = self.house.registries.first().map(|registry| registry.id);
        let registries = self.house.registries.iter().filter(|registry| self.sees_registry(registry));
        let registries = registries.map(|registry| {
            let host = self.house.hosts.of(registry, default);
            let within = Some((registry.subscription, registry.resource_group.as_str()));
            self.row(&azure_documents::registry(registry, &host), within)
        });
        let webhooks = self.house.webhooks.iter().filter_map(|webhook| {
            let registry = self.house.registries.iter().find(|registry| registry.id == webhook.registry)?;
            let document = azure_documents::webhook(webhook, registry);
            let id = document["id"].as_str().unwrap_or_default();
            let is_seen = self.is_in(registry.subscription) && self.may(Action::ReadWebhooks, id);
            let within = Some((registry.subscription, registry.resource_group.as_str()));
            is_seen.then(|| self.row(&document, within))
        });
        let sees = |saved: &&SavedQuery| {
            self.is_in(saved.subscription) && self.may(Action::ReadQueries, &saved.resource_id())
        };
        let saved = self.house.saved.iter().filter(sees).map(|saved| {
            let within = Some((saved.subscription, saved.resource_group.as_str()));
            self.row(&crate::saved::document(saved), within)
        });
        Rows(registries.chain(webhooks).chain(saved).collect())
    }

    fn sees_registry(&self, registry: &Registry) -> bool {
        self.is_in(registry.subscription) && self.may(Action::ReadRegistry, &registry.resource_id())
    }

    /// The tenant's root, subscriptions, and the groups that the viewer may read or in which they may read
    /// a registry.
    fn containers(&self) -> Rows {
        let mut rows = Vec::new();
        let tenant = self.house.tenant;
        let root = json!({ "name": tenant, "displayName": "Tenant Root Group" });
        let is_seen =
            |subscription: &&Subscription| self.is_in(subscription.id) && self.knows(subscription.id);
        for subscription in self.house.subscriptions.iter().filter(is_seen) {
            let id = format!("/subscriptions/{}", subscription.id);
            rows.push(self.row(
                &json!({
                    "id": id, "name": subscription.display_name, "type": "microsoft.resources/subscriptions",
                    "properties": {
                        "state": if subscription.is_disabled { "Disabled" } else { "Enabled" },
                        "subscriptionPolicies": { "spendingLimit": "Off" },
                        "managementGroupAncestorsChain": [root],
                    },
                    "location": "",
                    "tags": self.tags(subscription.id),
                }),
                Some((subscription.id, "")),
            ));
        }
        if self.subscriptions.is_none() && !rows.is_empty() {
            rows.push(self.row(
                &json!({
                    "id": format!("/providers/Microsoft.Management/managementGroups/{tenant}"),
                    "name": tenant, "type": "microsoft.management/managementgroups",
                    "properties": { "displayName": "Tenant Root Group", "tenantId": tenant, "details": { "managementGroupAncestorsChain": [] } },
                    "location": "",
                }),
                None,
            ));
        }
        for group in &self.house.groups {
            let id = format!("/subscriptions/{}/resourceGroups/{}", group.subscription, group.name);
            let holds = |registry: &Registry| {
                registry.subscription == group.subscription
                    && registry.resource_group.eq_ignore_ascii_case(&group.name)
                    && self.sees_registry(registry)
            };
            let is_seen = self.is_in(group.subscription)
                && (self.may(Action::ReadGroup, &id) || self.house.registries.iter().any(holds));
            if is_seen {
                let mut document = azure_documents::resource_group(group);
                document["type"] = "microsoft.resources/subscriptions/resourcegroups".into();
                rows.push(self.row(&document, Some((group.subscription, &group.name))));
            }
        }
        Rows(rows)
    }

    fn tags(&self, subscription: Uuid) -> Json {
        let text = self.house.subscription_tags.get(&subscription);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}))
    }

    fn authorization(&self) -> Rows {
        let mut rows = Vec::new();
        for held in &self.house.assignments {
            let subscription = held.scope.split('/').nth(2).and_then(|id| Uuid::parse_str(id).ok());
            let is_in = self.subscriptions.is_none() || subscription.is_none_or(|id| self.is_in(id));
            if is_in && self.may(Action::ReadRoles, &held.scope) {
                rows.push(self.row(&azure_documents::assignment(held), subscription.map(|id| (id, ""))));
            }
        }
        if self.may_within(Action::ReadRoles, "/") {
            rows.extend(
                roles::ROLES.iter().map(|role| self.row(&azure_documents::definition("/", role), None)),
            );
        }
        Rows(rows)
    }

    fn row(&self, document: &Json, within: Option<(Uuid, &str)>) -> Vec<Value> {
        let text = |name: &str| Value::text(document[name].as_str().unwrap_or_default());
        let json = |name: &str| Value::from_json(&document[name]);
        vec![
            text("id"),
            text("name"),
            Value::text(document["type"].as_str().unwrap_or_default().to_ascii_lowercase()),
            Value::text(self.house.tenant.to_string()),
            text("kind"),
            text("location"),
            Value::text(within.map_or("", |(_, group)| group)),
            Value::text(within.map(|(subscription, _)| subscription.to_string()).unwrap_or_default()),
            text("managedBy"),
            json("sku"),
            json("plan"),
            json("properties"),
            json("tags"),
            json("identity"),
            json("zones"),
            json("extendedLocation"),
            text("apiVersion"),
        ]
    }
}

impl Source for View {
    fn table(&self, name: &str) -> Option<Arc<dyn Table>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "securityresources" => Arc::new(self.security()),
            "resources" => Arc::new(self.resources()),
            "resourcecontainers" => Arc::new(self.containers()),
            "authorizationresources" => Arc::new(self.authorization()),
            name if ELSEWHERE.binary_search(&name).is_ok() => Arc::new(Rows(Vec::new())),
            _ => return None,
        })
    }

    fn saved_query(&self, id: &str) -> Option<String> {
        let found = self.house.saved.iter().find(|saved| saved.resource_id().eq_ignore_ascii_case(id))?;
        self.may(Action::ReadQueries, &found.resource_id()).then(|| found.query.clone())
    }
}

struct Security {
    version: Arc<Version>,
    seen: HashSet<Of>,
    images: HashMap<i64, Images>,
}

impl Table for Security {
    fn columns(&self) -> &[TableColumn] {
        &COLUMNS
    }

    fn batches<'a>(&'a self, needed: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let images = |registry: i64| self.images.get(&registry).unwrap_or(&Images::Nothing);
        self.version.batches(images, |of| self.seen.contains(of), needed)
    }
}

/// A table of few rows.
struct Rows(Vec<Vec<Value>>);

impl Table for Rows {
    fn columns(&self) -> &[TableColumn] {
        &COLUMNS
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        let column = |at: usize| Column::plain(self.0.iter().map(|row| row[at].clone()).collect());
        let batch = Batch { rows: self.0.len(), columns: (0..COLUMNS.len()).map(column).collect() };
        Box::new(std::iter::once(batch))
    }
}

/// The columns of every table, in the order in which they are published.
static COLUMNS: LazyLock<Vec<TableColumn>> = LazyLock::new(|| {
    let text = [
        "id",
        "name",
        "type",
        "tenantId",
        "kind",
        "location",
        "resourceGroup",
        "subscriptionId",
        "managedBy",
    ];
    let dynamic = ["sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation"];
    let column = |name: &str, kind: Type| TableColumn {
        name: Arc::from(name),
        kind,
        // Old queries compare types as people write them.
        ignores_case: name == "type",
    };
    let mut columns: Vec<TableColumn> = text.iter().map(|name| column(name, Type::String)).collect();
    columns.extend(dynamic.iter().map(|name| column(name, Type::Dynamic)));
    columns.push(column("apiVersion", Type::String));
    columns
});

/// Azure's other tables, of which there is nothing here: Resource Graph's table reference, and one name as it is
/// misspelt there. Sorted.
const ELSEWHERE: [&str; 50] = [
    "advisorresources",
    "aksresources",
    "alertsmanagementresources",
    "appserviceresources",
    "awsresources",
    "azurebusinesscontinuityresources",
    "azuredevopsplatformresources",
    "batchresources",
    "capabilityresources",
    "chaosresources",
    "communitygalleryresources",
    "computeresources",
    "deploymentresources",
    "desktopvirtualizationresources",
    "dnsresources",
    "edgeorderresources",
    "elasticsanresources",
    "extendedlocationresources",
    "extensibilityresourcechanges",
    "featureresources",
    "guestconfigurationresources",
    "healthresourcechanges",
    "healthresources",
    "impactreportresources",
    "insightresources",
    "iotsecurityresources",
    "kubernetesconfigurationresources",
    "kustoresources",
    "maintenanceresourcechanges",
    "maintenanceresources",
    "managedserviceresources",
    "migrateresources",
    "mirgateresources",
    "networkresourcechanges",
    "networkresources",
    "orbitalresources",
    "patchassessmentresources",
    "patchinstallationresources",
    "policyresources",
    "quotaresourcechanges",
    "quotaresources",
    "recoveryservicesresources",
    "resourcechanges",
    "resourcecontainerchanges",
    "servicefabricresources",
    "servicehealthresources",
    "spotresources",
    "sqlresources",
    "supportresources",
    "tagsresources",
];
