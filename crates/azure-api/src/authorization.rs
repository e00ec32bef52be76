//! Role definitions and assignments (`Microsoft.Authorization`).

use auth::roles::{self, OWNER, ROLES, Role};
use auth::{Action, Caller, Condition, covers};
use axum::body::Body;
use axum::http::StatusCode;
use azure_documents::{assignment, definition, principal_type};
use metastore::{AssignRole, KeepRole, RoleAssignment};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body::{Kind, read};
use crate::error::ArmError;
use crate::scopes::is_known;
use crate::{Api, Call, paging};

#[derive(Deserialize)]
struct Put {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_definition_id: String,
    principal_id: Uuid,
    #[serde(default)]
    principal_type: Option<String>,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default)]
    condition_version: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Api {
    pub(crate) fn role_definitions(
        &self,
        caller: &Caller,
        scope: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        check_within(caller, Action::ReadRoles, scope)?;
        let filter = call.query.get("$filter").unwrap_or_default();
        let is = |word: &str, found: &str| {
            quoted(filter, word).is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
        };
        let is_wanted = |role: &&Role| is("rolename eq ", role.name) && is("type eq ", "BuiltInRole");
        let rows: Vec<Value> = ROLES.iter().filter(is_wanted).map(|role| definition(scope, role)).collect();
        Ok(json!({ "value": rows }))
    }

    pub(crate) fn role_definition(&self, caller: &Caller, scope: &str, id: &str) -> Result<Value, ArmError> {
        check_within(caller, Action::ReadRoles, scope)?;
        let role = Uuid::parse_str(id).ok().and_then(|id| roles::find(&id.to_string()));
        let unknown = || {
            ArmError::not_found("RoleDefinitionDoesNotExist", format!("There is no role definition '{id}'."))
        };
        role.map(|role| definition(scope, role)).ok_or_else(unknown)
    }

    /// Those at the scope, above and beneath it; with `atScope()` not those beneath.
    pub(crate) async fn role_assignments(
        &self,
        caller: &Caller,
        scope: &str,
        call: &Call,
    ) -> Result<Value, ArmError> {
        check(caller, Action::ReadRoles, scope)?;
        let filter = call.query.get("$filter").unwrap_or_default();
        let principal = quoted(filter, "principalid eq ").or_else(|| quoted(filter, "assignedto("));
        let is_at_scope = filter.to_ascii_lowercase().contains("atscope()");
        let is_wanted = |held: &&RoleAssignment| {
            let is_near = covers(&held.scope, scope) || (!is_at_scope && covers(scope, &held.scope));
            let is_theirs = |wanted: &String| held.principal.to_string().eq_ignore_ascii_case(wanted);
            is_near && principal.as_ref().is_none_or(is_theirs)
        };
        let all = self.metastore.all_role_assignments().await?;
        let wanted = all.into_iter().filter(|held| is_wanted(&held)).collect();
        let (page, next) = paging::page(wanted, call, |held| format!("{} {}", held.scope, held.id))?;
        let rows: Vec<Value> = page.iter().map(assignment).collect();
        Ok(paging::listed(rows, next))
    }

    pub(crate) async fn role_assignment(
        &self,
        caller: &Caller,
        scope: &str,
        id: &str,
    ) -> Result<Value, ArmError> {
        check(caller, Action::ReadRoles, scope)?;
        let held = self.held(scope, id).await?.ok_or_else(|| no_such_assignment(id))?;
        Ok(assignment(&held))
    }

    /// Gives a role at the scope.
    pub(crate) async fn put_role_assignment(
        &self,
        caller: &Caller,
        scope: &str,
        id: &str,
        body: Body,
    ) -> Result<Value, ArmError> {
        check(caller, Action::WriteRoles, scope)?;
        self.check_scope(scope).await?;
        let invalid = |message: String| ArmError::bad("InvalidRequestContent", message);
        let id = Uuid::parse_str(id)
            .map_err(|_| invalid(format!("The assignment's name '{id}' is not a GUID.")))?;
        let put: Put = read(body, &ASSIGNMENT).await?;
        self.check_principal_type(&put.properties).await?;
        let name = put.properties.role_definition_id.rsplit('/').next().unwrap_or_default();
        let role = Uuid::parse_str(name).ok().and_then(|id| roles::find(&id.to_string()));
        let role = role.ok_or_else(|| {
            ArmError::bad("RoleDefinitionDoesNotExist", format!("There is no role definition '{name}'."))
        })?;
        let condition = checked_condition(role, &put.properties)?;
        let by = caller.id.to_string();
        let wanted = RoleAssignment {
            condition,
            description: put.properties.description.filter(|text| !text.is_empty()),
            created_by: by.clone(),
            updated_by: by,
            ..RoleAssignment::new(id, put.properties.principal_id, role.id, scope.to_owned())
        };
        let principal = wanted.principal;
        match self.metastore.assign_role(wanted, (self.clock)()).await? {
            AssignRole::Assigned(held) => {
                tracing::info!(role = role.name, %principal, scope, by = %caller.id, "a role was given");
                Ok(assignment(&held))
            }
            // The same again is no error; the same under another name, or another under this name, is.
            AssignRole::Kept(held) => Ok(assignment(&held)),
            AssignRole::Held { id: held } => {
                let message = format!("The role assignment already exists. Its id is {}.", held.simple());
                Err(ArmError::new(StatusCode::CONFLICT, "RoleAssignmentExists", message))
            }
            AssignRole::NoPrincipal => {
                let message = format!("Principal {} does not exist in the directory.", principal.simple());
                Err(ArmError::bad("PrincipalNotFound", message))
            }
        }
    }

    /// Takes a role away; what is not there is gone already.
    pub(crate) async fn delete_role_assignment(
        &self,
        caller: &Caller,
        scope: &str,
        id: &str,
    ) -> Result<Option<Value>, ArmError> {
        check(caller, Action::DeleteRoles, scope)?;
        let Some(held) = self.held(scope, id).await? else { return Ok(None) };
        let removed = self.metastore.remove_role(held.id, OWNER).await.map_err(|error| match error {
            KeepRole::LastHolder => ArmError::new(StatusCode::CONFLICT, "LastOwner", error.to_string()),
            KeepRole::Store(error) => error.into(),
        })?;
        tracing::info!(assignment = %held.id, scope, by = %caller.id, "a role was taken away");
        Ok(removed.as_ref().map(assignment))
    }

    async fn held(&self, scope: &str, id: &str) -> Result<Option<RoleAssignment>, ArmError> {
        let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
        let all = self.metastore.all_role_assignments().await?;
        let is_it =
            |held: &RoleAssignment| held.id == id && covers(scope, &held.scope) && covers(&held.scope, scope);
        Ok(all.into_iter().find(is_it))
    }

    /// Refuses a kind that the principal is not of, as Azure does.
    async fn check_principal_type(&self, properties: &Properties) -> Result<(), ArmError> {
        let wanted = properties.principal_type.as_deref().filter(|kind| !kind.is_empty());
        let id = properties.principal_id;
        let found = self.metastore.principal(&id.to_string()).await?;
        match wanted.zip(found) {
            Some((wanted, found)) if !wanted.eq_ignore_ascii_case(principal_type(found.kind)) => {
                let message = format!(
                    "The principal '{}' has the principalType {}, and not '{wanted}'.",
                    id.simple(),
                    principal_type(found.kind)
                );
                Err(ArmError::bad("UnmatchedPrincipalType", message))
            }
            _ => Ok(()),
        }
    }

    /// That the scope is one: the root, or something that is there, or a repository of a registry.
    async fn check_scope(&self, scope: &str) -> Result<(), ArmError> {
        if auth::is_scope(&self.metastore, scope).await? {
            return Ok(());
        }
        Err(no_such_scope(scope))
    }
}

/// The condition as it was sent, if it is one that we carry out on a role that it can narrow.
fn checked_condition(role: &Role, properties: &Properties) -> Result<Option<String>, ArmError> {
    let invalid = |message: String| ArmError::bad("InvalidRoleAssignmentCondition", message);
    let version = properties.condition_version.as_deref().filter(|version| !version.is_empty());
    if version.is_some_and(|version| version != "2.0") {
        return Err(invalid("The conditionVersion is 2.0.".to_owned()));
    }
    let Some(text) = properties.condition.as_ref().filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    if !role.is_conditional() {
        return Err(invalid(format!(
            "A condition cannot narrow the role '{}': give Container Registry Repository Reader, Writer or Contributor, \
             or assign at …/repositories/NAME.",
            role.name
        )));
    }
    let parsed: Result<Condition, _> = text.parse();
    parsed.map_err(|error| invalid(format!("The condition is not understood: {error}.")))?;
    Ok(Some(text.clone()))
}

fn check(caller: &Caller, action: Action, scope: &str) -> Result<(), ArmError> {
    if caller.may(action, scope) { Ok(()) } else { Err(refusal(caller, action, scope)) }
}

fn check_within(caller: &Caller, action: Action, scope: &str) -> Result<(), ArmError> {
    if caller.may_within(action, scope) { Ok(()) } else { Err(refusal(caller, action, scope)) }
}

/// What a caller may not know of is not there.
fn refusal(caller: &Caller, action: Action, scope: &str) -> ArmError {
    if is_known(caller, scope, action) {
        ArmError::forbidden(caller, action.name(), scope)
    } else {
        no_such_scope(scope)
    }
}

fn no_such_scope(scope: &str) -> ArmError {
    ArmError::not_found("ResourceNotFound", format!("There is nothing at the scope '{scope}'."))
}

fn no_such_assignment(id: &str) -> ArmError {
    ArmError::not_found("RoleAssignmentNotFound", format!("The role assignment '{id}' is not found."))
}

/// The text in quotes after `word`, whose case does not matter: all that clients filter by.
fn quoted(filter: &str, word: &str) -> Option<String> {
    let at = filter.to_ascii_lowercase().find(word)? + word.len();
    let rest = filter.get(at..)?.trim_start().strip_prefix('\'')?;
    rest.split_once('\'').map(|(text, _)| text.to_owned())
}

const ASSIGNMENT: Kind = Kind {
    what: "role assignment",
    kept: &[
        "properties.roleDefinitionId",
        "properties.principalId",
        "properties.principalType",
        "properties.condition",
        "properties.conditionVersion",
        "properties.description",
    ],
    shown: &[
        "properties.scope",
        "properties.createdOn",
        "properties.createdBy",
        "properties.updatedOn",
        "properties.updatedBy",
    ],
    fixed: &[],
};
