//! Making, changing and deleting resource groups.

use auth::{Action, Caller};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::{GROUP_NAME_RULE, is_group_name, resource_group as group};
use metastore::{DeleteGroup, Registry, ResourceGroup};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Api;
use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::registries::{is_same_location, no_such_group, tags_of};

#[derive(Deserialize)]
struct GroupBody {
    location: String,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct GroupPatch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
}

impl Api {
    pub(crate) async fn put_resource_group(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Response, ArmError> {
        let name = scope.group.clone().ok_or_else(ArmError::no_such_path)?;
        self.check_may(caller, scope, Action::WriteGroup).await?;
        check_group_name(&name)?;
        let GroupBody { location, tags } = read(body, &GROUP).await?;
        let tags = tags_of(&tags.unwrap_or_default())?;
        let known = self.group_of(scope).await?;
        check_group_location(&name, Some(&location), known.as_ref())?;
        let wanted =
            ResourceGroup { tags: tags.clone(), ..ResourceGroup::new(scope.subscription, name, location) };
        let put = self.metastore.put_resource_group(wanted).await?;
        let (mut found, is_new) = put.ok_or_else(|| ArmError::no_such_subscription(scope.subscription))?;
        if !is_new {
            let tagged = self.metastore.tag_resource_group(scope.subscription, &found.name, tags).await?;
            found = tagged.ok_or_else(|| no_such_group(scope))?;
        }
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, crate::json(group(&found))).into_response())
    }

    /// `PATCH`: its tags are all of it that can change.
    pub(crate) async fn patch_resource_group(
        &self,
        caller: &Caller,
        scope: &Scope,
        body: Body,
    ) -> Result<Value, ArmError> {
        let name = scope.group.clone().ok_or_else(ArmError::no_such_path)?;
        self.check_may(caller, scope, Action::WriteGroup).await?;
        let patch: GroupPatch = read(body, &GROUP).await?;
        let known = self.group_of(scope).await?;
        check_group_location(&name, patch.location.as_deref(), known.as_ref())?;
        if let Some(other) = patch.name.filter(|other| !other.eq_ignore_ascii_case(&name)) {
            let message = format!(
                "The name of the resource group '{name}' cannot be changed to '{other}': make another."
            );
            return Err(ArmError::bad("UnsupportedProperty", message));
        }
        let found = match patch.tags {
            Some(tags) => {
                self.metastore.tag_resource_group(scope.subscription, &name, tags_of(&tags)?).await?
            }
            None => known,
        };
        found.map(|found| group(&found)).ok_or_else(|| no_such_group(scope))
    }

    pub(crate) async fn group_of(&self, scope: &Scope) -> Result<Option<ResourceGroup>, ArmError> {
        let all = self.metastore.resource_groups(scope.subscription).await?;
        let is_it = |found: &ResourceGroup| {
            scope.group.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&found.name))
        };
        Ok(all.into_iter().find(is_it))
    }

    pub(crate) async fn delete_resource_group(
        &self,
        caller: &Caller,
        scope: &Scope,
    ) -> Result<Response, ArmError> {
        let name = scope.group.clone().ok_or_else(ArmError::no_such_path)?;
        self.check_may(caller, scope, Action::DeleteGroup).await?;
        self.empty_group(caller, scope, &name).await?;
        match self.metastore.delete_resource_group(scope.subscription, &name).await? {
            DeleteGroup::Deleted => Ok(StatusCode::OK.into_response()),
            DeleteGroup::Missing => Err(no_such_group(scope)),
            DeleteGroup::NotEmpty => Err(ArmError::new(
                StatusCode::CONFLICT,
                "ResourceGroupNotEmpty",
                format!(
                    "A registry was made in the resource group '{name}' meanwhile: delete the group again."
                ),
            )),
        }
    }

    /// Removes the group's registries for good. Nothing goes unless the caller may delete all of them. Locked content
    /// stops the purge: its registry is deleted then, and can be restored.
    async fn empty_group(&self, caller: &Caller, scope: &Scope, name: &str) -> Result<(), ArmError> {
        let all = self.metastore.registries().await?;
        let default = all.first().map(|found| found.id);
        let (live, deleted): (Vec<_>, _) = (
            all.into_iter().filter(|found| scope.holds(found)).collect(),
            self.metastore.deleted_registries().await?.into_iter().filter(|found| scope.holds(found)),
        );
        if let Some(found) = live.iter().find(|found| Some(found.id) == default) {
            let message = format!(
                "The resource group '{name}' holds '{}', the default registry, which serves every host that names no \
                 other.",
                found.name
            );
            return Err(ArmError::new(StatusCode::CONFLICT, "DefaultRegistry", message));
        }
        let held: Vec<Registry> = live.into_iter().chain(deleted).collect();
        let denied =
            held.iter().map(Registry::resource_id).find(|id| !caller.may(Action::DeleteRegistry, id));
        if let Some(id) = denied {
            return Err(ArmError::forbidden(caller, Action::DeleteRegistry.name(), &id));
        }
        for found in held {
            if found.deleted_ms.is_none() {
                self.metastore.delete_registry(found.id, (self.clock)()).await?;
            }
            self.purge(caller, &found).await?;
        }
        Ok(())
    }
}

fn check_group_location(
    name: &str,
    wanted: Option<&str>,
    found: Option<&ResourceGroup>,
) -> Result<(), ArmError> {
    match wanted.zip(found) {
        Some((wanted, found)) if !is_same_location(wanted, &found.location) => {
            let message = format!(
                "The resource group '{name}' is in the location '{}' and cannot go to the location '{wanted}'.",
                found.location
            );
            Err(ArmError::new(StatusCode::CONFLICT, "InvalidResourceGroupLocation", message))
        }
        _ => Ok(()),
    }
}

/// Azure's rule: 1 to 90 letters, digits and `-_().`, and no full stop at the end.
fn check_group_name(name: &str) -> Result<(), ArmError> {
    if is_group_name(name) { Ok(()) } else { Err(ArmError::bad("InvalidResourceGroupName", GROUP_NAME_RULE)) }
}

const GROUP: Kind =
    Kind { what: "resource group", kept: &["location", "tags", "name"], shown: &[], fixed: &[] };
