//! Which registries' results a caller may read.
//!
//! Results take a right to read security results **and** one to read the registry. What a caller
//! may not know of is not found; what they may know but not read is forbidden.

use auth::{Action, Caller};
use metastore::Registry;
use uuid::Uuid;

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
        self.check_known(caller, scope.subscription, action).await?;
        let is_known = is_known(caller, &id, action);
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

    /// Lets a caller through who may do `action` with the subscription.
    ///
    /// # Errors
    /// 404 or 403; see above.
    pub(crate) async fn check_subscription(
        &self,
        caller: &Caller,
        subscription: Uuid,
        action: Action,
    ) -> Result<(), ArmError> {
        self.check_known(caller, subscription, action).await?;
        let scope = format!("/subscriptions/{subscription}");
        if caller.may(action, &scope) {
            Ok(())
        } else {
            Err(ArmError::forbidden(caller, action.name(), &scope))
        }
    }

    /// That there is such a subscription, and that the caller has some business in it.
    pub(crate) async fn check_known(
        &self,
        caller: &Caller,
        subscription: Uuid,
        action: Action,
    ) -> Result<(), ArmError> {
        let exists = self.metastore.subscriptions().await?.iter().any(|known| known.id == subscription);
        if exists && is_known(caller, &format!("/subscriptions/{subscription}"), action) {
            Ok(())
        } else {
            Err(ArmError::no_such_subscription(subscription))
        }
    }
}

/// True if a caller who wants to do `action` may know of the scope.
pub(crate) fn is_known(caller: &Caller, scope: &str, action: Action) -> bool {
    let telling =
        [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, Action::ReadAssessments, action];
    telling.iter().any(|action| caller.may_within(*action, scope))
}
