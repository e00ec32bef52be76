//! Role definitions and assignments.

use auth::roles::Role;
use metastore::{PrincipalKind, RoleAssignment};
use serde_json::{Value, json};

use crate::time;

/// A role, as seen from a scope.
#[must_use]
pub fn definition(scope: &str, role: &Role) -> Value {
    let at = subscription_of(scope);
    json!({
        "id": format!("{at}/providers/Microsoft.Authorization/roleDefinitions/{}", role.id),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
            "createdOn": MADE,
            "updatedOn": MADE,
            "createdBy": null,
            "updatedBy": null,
        },
    })
}

/// Who holds a role where.
#[must_use]
pub fn assignment(held: &RoleAssignment) -> Value {
    let scope = held.scope.trim_end_matches('/');
    json!({
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", held.id),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": held.id,
        "properties": {
            "roleDefinitionId":
                format!("{}/providers/Microsoft.Authorization/roleDefinitions/{}", subscription_of(scope), held.role),
            "principalId": held.principal,
            "principalType": principal_type(held.principal_kind),
            "scope": held.scope,
            "condition": held.condition,
            "conditionVersion": held.condition.as_ref().map(|_| "2.0"),
            "description": held.description,
            "createdOn": time(held.created_ms),
            "createdBy": held.created_by,
            "updatedOn": time(held.updated_ms),
            "updatedBy": held.updated_by,
            "delegatedManagedIdentityResourceId": null,
        },
    })
}

/// What Azure calls this kind of principal.
#[must_use]
pub fn principal_type(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Person => "User",
        PrincipalKind::Program => "ServicePrincipal",
    }
}

fn subscription_of(scope: &str) -> String {
    let segments: Vec<&str> = scope.split('/').filter(|segment| !segment.is_empty()).take(2).collect();
    if segments.len() == 2 { format!("/{}", segments.join("/")) } else { String::new() }
}

/// The built-in roles came with the house; clients want a time.
const MADE: &str = "2015-02-02T21:55:09.8806423Z";
