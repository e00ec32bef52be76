//! Scope maps: what a registry's tokens may do in which of its repositories.

use auth::{Action, Caller, SYSTEM_SCOPE_MAPS, ScopeAction, SystemScopeMap};
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use azure_documents::{scope_map, system_scope_map};
use metastore::{DeleteScopeMap, Registry};
use serde::Deserialize;
use serde_json::Value;

use crate::arm::Scope;
use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::{Api, Call, paging};

#[derive(Deserialize)]
struct ScopeMapBody {
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    actions: Option<Vec<String>>,
}

impl Api {
    pub(crate) async fn scope_maps(
        &self,
        caller: &Caller,
        scope: &Scope,
        call: &Call,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadScopeMaps).await?;
        let system = SYSTEM_SCOPE_MAPS.iter().map(|map| system_scope_map(&registry, map));
        let own = self.metastore.scope_maps(registry.id).await?;
        let all = system.chain(own.iter().map(|map| scope_map(&registry, map))).collect();
        let (page, next) =
            paging::page(all, call, |map: &Value| map["name"].as_str().unwrap_or_default().to_owned())?;
        Ok(paging::listed(page, next))
    }

    pub(crate) async fn scope_map(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Value, ArmError> {
        let registry = self.registry_for(caller, scope, Action::ReadScopeMaps).await?;
        self.scope_map_of(&registry, name).await
    }

    async fn scope_map_of(&self, registry: &Registry, name: &str) -> Result<Value, ArmError> {
        if let Some(map) = SystemScopeMap::find(name) {
            return Ok(system_scope_map(registry, map));
        }
        let own = self.metastore.scope_maps(registry.id).await?;
        let found = own.iter().find(|map| map.name.eq_ignore_ascii_case(name));
        found.map(|map| scope_map(registry, map)).ok_or_else(|| no_such_scope_map(name))
    }

    /// `PUT` and `PATCH`. What a map allows, the tokens that hold it may from then on.
    pub(crate) async fn put_scope_map(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
        body: Body,
        may_create: bool,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::WriteScopeMaps).await?;
        check_name(name)?;
        if SystemScopeMap::find(name).is_some() || name.starts_with('_') {
            let message = format!(
                "The scope map '{name}' is the system's: make one under another name, without the _."
            );
            return Err(ArmError::bad("SystemScopeMap", message));
        }
        if !may_create {
            self.scope_map_of(&registry, name).await?;
        }
        let Properties { description, actions } = read::<ScopeMapBody>(body, &SCOPE_MAP).await?.properties;
        let too_many = actions.as_ref().is_some_and(|actions| actions.len() > ACTIONS_MAX);
        if too_many || (may_create && actions.as_ref().is_none_or(Vec::is_empty)) {
            let message = format!("A scope map has 1 to {ACTIONS_MAX} actions.");
            return Err(ArmError::bad("InvalidScopeMapActions", message));
        }
        for action in actions.iter().flatten() {
            let parsed: Result<ScopeAction, _> = action.parse();
            parsed.map_err(|error| ArmError::bad("InvalidScopeMapActions", format!("{error}.")))?;
        }
        let put =
            self.metastore.put_scope_map(registry.id, name.to_owned(), description, actions, (self.clock)());
        let (map, is_new) = put.await?;
        tracing::info!(registry = registry.name, scope_map = map.name, by = %caller.id, "a scope map was put");
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, crate::json(scope_map(&registry, &map))).into_response())
    }

    pub(crate) async fn delete_scope_map(
        &self,
        caller: &Caller,
        scope: &Scope,
        name: &str,
    ) -> Result<Response, ArmError> {
        let registry = self.registry_for(caller, scope, Action::DeleteScopeMaps).await?;
        if SystemScopeMap::find(name).is_some() {
            return Err(ArmError::bad(
                "SystemScopeMap",
                format!("The scope map '{name}' is the system's, and stays."),
            ));
        }
        match self.metastore.delete_scope_map(registry.id, name).await? {
            DeleteScopeMap::Deleted => Ok(StatusCode::OK.into_response()),
            DeleteScopeMap::Missing => Ok(StatusCode::NO_CONTENT.into_response()),
            DeleteScopeMap::InUse(token) => Err(ArmError::new(
                StatusCode::CONFLICT,
                "ScopeMapInUse",
                format!(
                    "The token '{token}' holds the scope map '{name}': give it another one, or delete it, first."
                ),
            )),
        }
    }
}

/// Azure's rule for scope maps and tokens.
pub(crate) fn check_name(name: &str) -> Result<(), ArmError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (5..=50).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(ArmError::bad(
        "InvalidResourceName",
        format!("'{name}' is not a valid name: write 5 to 50 letters, digits, - and _."),
    ))
}

pub(crate) fn no_such_scope_map(name: &str) -> ArmError {
    ArmError::not_found("ResourceNotFound", format!("There is no scope map '{name}' in this registry."))
}

/// Azure's limit.
const ACTIONS_MAX: usize = 500;

const SCOPE_MAP: Kind = Kind {
    what: "scope map",
    kept: &["properties.description", "properties.actions"],
    shown: &["properties.type", "properties.creationDate"],
    fixed: &[],
};
