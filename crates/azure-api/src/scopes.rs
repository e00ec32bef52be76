//! Which registries' results a caller may read.
//!
//! Results take a right to read security results **and** one to read the registry, each there or at a repository of
//! it. What a caller may not know of is not found; what they may know but not read is forbidden.

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Action, Caller, ResultAccess};
use metastore::Registry;
use oci::Repository;
use uuid::Uuid;

use crate::Api;
use crate::error::ArmError;
use crate::reach::Reach;
use crate::registries::{no_such_group, no_such_registry};

/// A registry whose results a caller may read, or those of some of its repositories.
pub(crate) struct Readable {
    pub(crate) registry: Registry,
    /// Their row numbers and names; `None`: the caller may read the whole registry's.
    repositories: Option<(Arc<[i64]>, BTreeSet<Repository>)>,
}

impl Readable {
    /// True if the caller may read what is said of the registry as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.repositories.is_none()
    }

    /// The row numbers of the repositories, if not all are meant.
    pub(crate) fn ids(&self) -> Option<Arc<[i64]>> {
        self.repositories.as_ref().map(|(ids, _)| Arc::clone(ids))
    }

    /// True if the caller may read the results of the repository.
    pub(crate) fn shows(&self, repository: &Repository) -> bool {
        self.repositories.as_ref().is_none_or(|(_, names)| names.contains(repository))
    }
}

impl Api {
    /// The registries in the scope whose results the caller may read, all or some, in the order of their ids.
    ///
    /// # Errors
    /// 404 or 403; see above.
    pub(crate) async fn readable(
        &self,
        caller: &Caller,
        reach: &Reach,
        action: Action,
    ) -> Result<Vec<Readable>, ArmError> {
        let id = reach.id();
        self.check_reach(caller, reach, action).await?;
        let mut registries = self.metastore.registries().await?;
        registries.retain(|registry| reach.holds(registry));
        registries.sort_by_key(|registry| registry.id);
        // An empty subscription is one; an empty group or registry does not exist.
        if let Reach::Within(scope) | Reach::Image(scope, _) = reach
            && registries.is_empty()
            && scope.group.is_some()
        {
            return Err(if scope.registry.is_some() {
                no_such_registry(scope)
            } else {
                no_such_group(scope)
            });
        }
        let mut readable = Vec::new();
        let mut lacking = action;
        let is_empty = registries.is_empty();
        for registry in registries {
            let id = registry.resource_id();
            let repositories = match caller.result_access(action, &id) {
                ResultAccess::Registry => None,
                ResultAccess::Repositories => Some(self.repositories_of(caller, &registry, action).await?),
                ResultAccess::Nothing => {
                    if caller.may_within(action, &id) {
                        lacking = Action::ReadRegistry;
                    }
                    continue;
                }
            };
            readable.push(Readable { registry, repositories });
        }
        if readable.is_empty() && !is_empty {
            return Err(ArmError::forbidden(caller, lacking.name(), &id));
        }
        Ok(readable)
    }

    /// The repositories of a registry whose results the caller may read.
    async fn repositories_of(
        &self,
        caller: &Caller,
        registry: &Registry,
        action: Action,
    ) -> Result<(Arc<[i64]>, BTreeSet<Repository>), ArmError> {
        let id = registry.resource_id();
        let mut all = self.metastore.repository_ids(registry.id).await?;
        all.retain(|(_, name)| caller.may_read_results_of(action, &id, name.as_str()));
        Ok((all.iter().map(|(id, _)| *id).collect(), all.into_iter().map(|(_, name)| name).collect()))
    }

    /// That there is such a management group or subscription, and that the caller has some business where
    /// they ask.
    ///
    /// # Errors
    /// 404; see above.
    pub(crate) async fn check_reach(
        &self,
        caller: &Caller,
        reach: &Reach,
        action: Action,
    ) -> Result<(), ArmError> {
        match reach {
            Reach::Everywhere(name) => {
                let is_root = Uuid::parse_str(name).is_ok_and(|id| id == self.tenant);
                let known = self.metastore.subscriptions().await?;
                let mut known = known.iter().map(|known| format!("/subscriptions/{}", known.id));
                if is_root && (caller.may(action, "/") || known.any(|id| is_known(caller, &id, action))) {
                    return Ok(());
                }
                let message = format!("The management group '{name}' could not be found.");
                Err(ArmError::not_found("ManagementGroupNotFound", message))
            }
            Reach::Within(scope) | Reach::Image(scope, _) => {
                self.check_known(caller, scope.subscription, action).await?;
                if is_known(caller, &scope.id(), action) {
                    return Ok(());
                }
                Err(if scope.registry.is_some() { no_such_registry(scope) } else { no_such_group(scope) })
            }
        }
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
