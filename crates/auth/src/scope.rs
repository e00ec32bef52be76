//! Scopes at which roles can be held.

use metastore::{Error, Metastore};

use crate::covers;

/// True of the root, of a subscription, group or registry that is there, and of any repository, or beginning of one,
/// of such a registry: a role may be given before the first push.
///
/// # Errors
/// [`Error`] if the store fails.
pub async fn is_scope(metastore: &Metastore, scope: &str) -> Result<bool, Error> {
    if covers(scope, "/") {
        return Ok(true);
    }
    let is_of = |id: &str| covers(scope, id);
    for subscription in metastore.subscriptions().await? {
        let id = format!("/subscriptions/{}", subscription.id);
        if is_of(&id) {
            return Ok(true);
        }
        for group in metastore.resource_groups(subscription.id).await? {
            if scope.eq_ignore_ascii_case(&format!("{id}/resourceGroups/{}", group.name)) {
                return Ok(true);
            }
        }
    }
    for registry in metastore.registries().await? {
        let repositories = format!("{}/repositories", registry.resource_id());
        let named = scope.get(repositories.len()..).and_then(|rest| rest.strip_prefix('/'));
        let is_repository = covers(&repositories, scope)
            && named.is_some_and(|name| name.trim_end_matches('/').parse::<oci::Repository>().is_ok());
        if is_of(&registry.resource_id()) || is_repository {
            return Ok(true);
        }
    }
    Ok(false)
}
