//! What there is: resource groups, registries, and lists of resources. Read only.

use auth::{Action, Caller};
use azure_documents::{REGISTRIES, resource_group as group, sku};
use metastore::Registry;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arm::Scope;
use crate::error::ArmError;
use crate::{Api, Call};

impl Api {
    pub(crate) async fn resource_groups(
        &self,
        caller: &Caller,
        subscription: Uuid,
    ) -> Result<Value, ArmError> {
        let scope = Scope { subscription, group: None, registry: None };
        let registries = self.visible(caller, &scope).await?;
        let mut groups: Vec<Value> = registries.iter().map(group).collect();
        groups.dedup();
        Ok(json!({ "value": groups }))
    }

    pub(crate) async fn resource_group(&self, caller: &Caller, scope: &Scope) -> Result<Value, ArmError> {
        let registries = self.visible(caller, scope).await?;
        let unknown = || {
            let name = scope.group.as_deref().unwrap_or_default();
            ArmError::not_found(
                "ResourceGroupNotFound",
                format!("Resource group '{name}' could not be found."),
            )
        };
        registries.first().map(group).ok_or_else(unknown)
    }

    /// `az acr` looks for a registry's group here.
    pub(crate) async fn resources(
        &self,
        caller: &Caller,
        subscription: Uuid,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let scope = Scope { subscription, group: None, registry: None };
        let registries = self.visible(caller, &scope).await?;
        let filter = call.query.get("$filter").unwrap_or_default().to_ascii_lowercase();
        let is_of_type = !filter.contains("resourcetype eq")
            || filter.contains(&format!("'{}'", REGISTRIES.to_ascii_lowercase()));
        let is_named = |registry: &&Registry| {
            let name = format!("name eq '{}'", registry.name.to_ascii_lowercase());
            is_of_type && (!filter.contains("name eq '") || filter.contains(&name))
        };
        let rows: Vec<Value> = registries
            .iter()
            .filter(is_named)
            .map(|registry| {
                json!({
                    "id": registry.resource_id(),
                    "name": registry.name,
                    "type": REGISTRIES,
                    "location": registry.location,
                    "sku": sku(),
                    "tags": {},
                })
            })
            .collect();
        Ok(json!({ "value": rows }))
    }

    pub(crate) async fn provider(
        &self,
        caller: &Caller,
        subscription: Uuid,
        namespace: &str,
    ) -> Result<Value, ArmError> {
        self.visible(caller, &Scope { subscription, group: None, registry: None }).await?;
        let known = [
            ("Microsoft.ContainerRegistry", &["registries"] as &[&str]),
            ("Microsoft.Security", &["assessments", "subAssessments", "pricings"]),
            ("Microsoft.Authorization", &["roleAssignments", "roleDefinitions"]),
        ];
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(namespace));
        let (name, types) = found.ok_or_else(|| {
            let message = format!("The resource namespace '{namespace}' is invalid.");
            ArmError::not_found("InvalidResourceNamespace", message)
        })?;
        let types: Vec<Value> = types
            .iter()
            .map(|kind| json!({ "resourceType": kind, "locations": [], "apiVersions": [] }))
            .collect();
        Ok(json!({
            "id": format!("/subscriptions/{subscription}/providers/{name}"),
            "namespace": name,
            "registrationState": "Registered",
            "resourceTypes": types,
        }))
    }

    pub(crate) async fn registries(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.visible(caller, scope).await?;
        Ok(
            json!({ "value": registries.iter().map(|registry| azure_documents::registry(registry, &call.host)).collect::<Vec<_>>() }),
        )
    }

    pub(crate) async fn registry(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registries = self.visible(caller, scope).await?;
        let unknown = || {
            let (group, name) =
                (scope.group.as_deref().unwrap_or_default(), scope.registry.as_deref().unwrap_or_default());
            let message =
                format!("The Resource '{REGISTRIES}/{name}' under resource group '{group}' was not found.");
            ArmError::not_found("ResourceNotFound", message)
        };
        registries.first().map(|registry| azure_documents::registry(registry, &call.host)).ok_or_else(unknown)
    }

    /// The registries of a scope that the caller may read; of others they are told nothing.
    async fn visible(&self, caller: &Caller, scope: &Scope) -> Result<Vec<Registry>, ArmError> {
        self.check_known(caller, scope.subscription, Action::ReadRegistry).await?;
        let mut registries = self.metastore.registries().await?;
        registries.retain(|registry| {
            scope.holds(registry) && caller.may(Action::ReadRegistry, &registry.resource_id())
        });
        Ok(registries)
    }
}
