//! What there is: resource groups, registries, and lists of resources.

use auth::{Action, Caller};
use azure_documents::{REGISTRIES, resource_group as group};
use metastore::{Registry, ResourceGroup};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arm::Scope;
use crate::error::ArmError;
use crate::filter::{Filter, Filtered};
use crate::registries::{no_such_group, no_such_registry};
use crate::{Api, Call, Domain, paging};

impl Api {
    pub(crate) async fn resource_groups(
        &self,
        caller: &Caller,
        subscription: Uuid,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let filter = call.query.get("$filter").map(Filter::parse).transpose()?;
        let scope = Scope { subscription, group: None, registry: None };
        let mut groups = self.visible_groups(caller, &scope).await?;
        groups.retain(|found| filter.as_ref().is_none_or(|filter| filter.allows(&of_group(found))));
        let (page, next) = paging::page(groups, call, |found| found.name.to_lowercase())?;
        Ok(paging::listed(page.iter().map(group).collect(), next))
    }

    pub(crate) async fn resource_group(&self, caller: &Caller, scope: &Scope) -> Result<Value, ArmError> {
        let groups = self.visible_groups(caller, scope).await?;
        let is_it = |found: &&ResourceGroup| {
            scope.group.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&found.name))
        };
        groups.iter().find(is_it).map(group).ok_or_else(|| no_such_group(scope))
    }

    /// The subscription's groups that the caller may read, or in which they may read a registry.
    async fn visible_groups(&self, caller: &Caller, scope: &Scope) -> Result<Vec<ResourceGroup>, ArmError> {
        let all = Scope { group: None, registry: None, ..scope.clone() };
        let registries = self.visible(caller, &all).await?;
        let mut groups = self.metastore.resource_groups(scope.subscription).await?;
        groups.retain(|found| {
            let id = format!("/subscriptions/{}/resourceGroups/{}", found.subscription, found.name);
            let holds = |registry: &Registry| registry.resource_group.eq_ignore_ascii_case(&found.name);
            caller.may(Action::ReadGroup, &id) || registries.iter().any(holds)
        });
        Ok(groups)
    }

    /// What there is in a subscription or a group: registries and their webhooks.
    pub(crate) async fn resources(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let filter = call.query.get("$filter").map(Filter::parse).transpose()?;
        let expanded = expanded(call)?;
        if scope.group.is_some() {
            self.resource_group(caller, scope).await?;
        }
        let mut found = Vec::new();
        for registry in self.visible(caller, scope).await? {
            let own = azure_documents::registry_listed(&registry);
            let webhooks = if caller.may(Action::ReadWebhooks, &registry.resource_id()) {
                self.metastore.webhooks(registry.id).await?
            } else {
                Vec::new()
            };
            let webhooks = webhooks.iter().map(|webhook| azure_documents::webhook_listed(webhook, &registry));
            found.extend(std::iter::once(own).chain(webhooks).map(|document| (registry.clone(), document)));
        }
        found.retain(|(registry, document)| {
            filter.as_ref().is_none_or(|filter| filter.allows(&of_resource(registry, document)))
        });
        let key =
            |(_, document): &(Registry, Value)| document["id"].as_str().unwrap_or_default().to_lowercase();
        let (page, next) = paging::page(found, call, key)?;
        let rows = page.into_iter().map(|(registry, mut document)| {
            let is_registry = document["type"] == REGISTRIES;
            for name in &expanded {
                document[*name] = match *name {
                    "provisioningState" => "Succeeded".into(),
                    "changedTime" if is_registry => azure_documents::time(registry.changed_ms).into(),
                    "createdTime" if is_registry => azure_documents::time(registry.created_ms).into(),
                    // Of webhooks nobody writes down when.
                    _ => continue,
                };
            }
            document
        });
        Ok(paging::listed(rows.collect(), next))
    }

    pub(crate) async fn registries(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.visible(caller, scope).await?;
        let (page, next) = paging::page(registries, call, |registry| registry.name.to_ascii_lowercase())?;
        let rows: Vec<Value> = page.iter().map(|registry| resource(registry, call, &self.domain)).collect();
        Ok(paging::listed(rows, next))
    }

    pub(crate) async fn registry(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.visible(caller, scope).await?;
        registries
            .first()
            .map(|registry| resource(registry, call, &self.domain))
            .ok_or_else(|| no_such_registry(scope))
    }

    /// The registries of a scope that the caller may read; of others they are told nothing.
    pub(crate) async fn visible(&self, caller: &Caller, scope: &Scope) -> Result<Vec<Registry>, ArmError> {
        self.check_known(caller, scope.subscription, Action::ReadRegistry).await?;
        let mut registries = self.metastore.registries().await?;
        registries.retain(|registry| {
            scope.holds(registry) && caller.may(Action::ReadRegistry, &registry.resource_id())
        });
        Ok(registries)
    }
}

/// What of `$expand` can be told of each resource.
fn expanded(call: &Call) -> Result<Vec<&'static str>, ArmError> {
    let asked = call.query.get("$expand").unwrap_or_default();
    let known = ["createdTime", "changedTime", "provisioningState"];
    let named = |asked: &str| {
        known.into_iter().find(|name| name.eq_ignore_ascii_case(asked)).ok_or_else(|| {
            let message = format!("There is no '{asked}' to expand: {} can be.", known.join(", "));
            ArmError::bad("InvalidExpandInQueryString", message)
        })
    };
    asked.split(',').map(str::trim).filter(|name| !name.is_empty()).map(named).collect()
}

fn of_group(found: &ResourceGroup) -> Filtered {
    Filtered {
        kind: "Microsoft.Resources/resourceGroups".to_owned(),
        name: found.name.clone(),
        group: found.name.clone(),
        location: found.location.clone(),
        subscription: found.subscription.to_string(),
        tags: tags_of(&group(found)),
    }
}

fn of_resource(registry: &Registry, document: &Value) -> Filtered {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Filtered {
        kind: text(&document["type"]),
        name: text(&document["name"]),
        group: registry.resource_group.clone(),
        location: text(&document["location"]),
        subscription: registry.subscription.to_string(),
        tags: tags_of(document),
    }
}

fn tags_of(document: &Value) -> Vec<(String, String)> {
    let tags = document["tags"].as_object().into_iter().flatten();
    tags.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// What can be done with registries: the actions that roles name.
pub(crate) fn operations() -> Value {
    use Action::*;
    let known = [
        (ReadRegistry, "Read a registry"),
        (WriteRegistry, "Make or change a registry"),
        (DeleteRegistry, "Delete a registry"),
        (ListCredentials, "Read the admin user's passwords"),
        (RegenerateCredential, "Renew a password of the admin user"),
        (ReadScopeMaps, "Read scope maps"),
        (WriteScopeMaps, "Make or change a scope map"),
        (DeleteScopeMaps, "Delete a scope map"),
        (ReadTokens, "Read tokens"),
        (WriteTokens, "Make or change a token"),
        (DeleteTokens, "Delete a token"),
        (GenerateCredentials, "Give a token new passwords"),
        (Pull, "Pull from a registry"),
        (Push, "Push to a registry"),
        (Delete, "Delete what a registry holds"),
    ];
    let operation = |name: &str, what: &str, is_data: bool| {
        let display = json!({
            "provider": "Microsoft Container Registry", "resource": "registries", "operation": what, "description": what,
        });
        json!({ "name": name, "display": display, "isDataAction": is_data, "origin": "user,system" })
    };
    let on_data = known.iter().filter_map(|(action, what)| Some(operation(action.data_name()?, what, true)));
    let rows: Vec<Value> =
        known.iter().map(|(action, what)| operation(action.name(), what, false)).chain(on_data).collect();
    json!({ "value": rows })
}

/// Where clients find the registry, by the host that the operator tells, or by which they reached us.
pub(crate) fn login_server(registry: &Registry, call: &Call, domain: &Domain) -> String {
    let host = domain.login_server.as_ref().unwrap_or(&call.host);
    azure_documents::login_server(registry, registry.id == domain.default, host, &domain.name)
}

pub(crate) fn resource(registry: &Registry, call: &Call, domain: &Domain) -> Value {
    azure_documents::registry(registry, &login_server(registry, call, domain))
}
