//! Which registries' results a caller may read.
//!
//! Results take a right to read security results **and** one to read the registry. What a caller
//! may not know of is not found; what they may know but not read is forbidden.

use auth::{Action, Caller};
use metastore::Registry;

use crate::Api;
use crate::arm::Scope;
use crate::error::ArmError;

impl Api {
    /// The registries in the scope whose results the caller may read, in the order of their ids.
    ///
    /// # Errors
    /// 404 or 403; see above.
    pub(crate) async fn readable(
        &self,
        caller: &Caller,
        scope: &Scope,
        action: Action,
    ) -> Result<Vec<Registry>, ArmError> {
        let id = scope.id();
        let known = [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, action];
        let is_known = known.iter().any(|action| caller.may_within(*action, &id));
        let subscriptions = self.metastore.subscriptions().await?;
        let has_subscription = subscriptions.iter().any(|known| known.id == scope.subscription);
        if !has_subscription
            || !known
                .iter()
                .any(|action| caller.may_within(*action, &format!("/subscriptions/{}", scope.subscription)))
        {
            let message = format!("The subscription '{}' could not be found.", scope.subscription);
            return Err(ArmError::not_found("SubscriptionNotFound", message));
        }
        let mut registries = self.metastore.registries().await?;
        registries.retain(|registry| scope.holds(registry));
        registries.sort_by_key(|registry| registry.id);
        // An empty subscription is one; an empty group or registry does not exist.
        if !is_known || (registries.is_empty() && scope.group.is_some()) {
            return Err(match (&scope.group, &scope.registry) {
                (Some(group), Some(name)) => ArmError::not_found(
                    "ResourceNotFound",
                    format!(
                        "The Resource 'Microsoft.ContainerRegistry/registries/{name}' under resource group '{group}' \
                         was not found."
                    ),
                ),
                (group, _) => ArmError::not_found(
                    "ResourceGroupNotFound",
                    format!("Resource group '{}' could not be found.", group.as_deref().unwrap_or_default()),
                ),
            });
        }
        let is_empty = registries.is_empty();
        let may_security = registries.iter().any(|registry| caller.may(action, &registry.resource_id()));
        registries.retain(|registry| {
            let id = registry.resource_id();
            let may_registry = caller.may(Action::ReadRegistry, &id) || caller.may(Action::Pull, &id);
            caller.may(action, &id) && may_registry
        });
        if registries.is_empty() && !is_empty {
            let lacking = if may_security { Action::ReadRegistry } else { action };
            return Err(ArmError::forbidden(caller, lacking.name(), &id));
        }
        Ok(registries)
    }
}
