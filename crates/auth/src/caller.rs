//! A caller and their rights (azure-wire: "Evaluation" of role assignments).

use metastore::RoleAssignment;
use uuid::Uuid;

use crate::{Access, Condition, ScopeAction, roles};

/// Somebody who is known, with what they may do: a principal, a registry's token, its admin user, or everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its object id; nil for everybody.
    pub id: Uuid,
    /// The name it logs in by.
    pub name: String,
    pub(crate) grants: Vec<Grant>,
    /// Which of its secrets it showed, of a principal by its key id; tells nothing of the secret.
    pub(crate) secret: String,
}

/// One thing that gives a caller rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A role, at its scope and beneath it, as far as the condition holds.
    Role { role: Uuid, scope: String, condition: Option<Condition> },
    /// What a registry (its ARM id) itself gives.
    Scoped { registry: String, actions: Vec<ScopeAction> },
}

impl Grant {
    /// `None` if its condition is none that we understand: then it gives nothing.
    pub(crate) fn of(held: RoleAssignment) -> Option<Self> {
        let condition = held.condition.as_deref().map(str::parse).transpose();
        match condition {
            Ok(condition) => Some(Self::Role { role: held.role, scope: held.scope, condition }),
            Err(_) => None,
        }
    }

    fn allows(&self, action: Action, scope: &str) -> bool {
        match self {
            Self::Role { role, scope: held, condition } => {
                covers(held, scope)
                    && roles::allows(*role, action)
                    && condition
                        .as_ref()
                        .is_none_or(|condition| condition.holds(action, repository_of(scope)))
            }
            Self::Scoped { registry, actions } => {
                let repository = repository_of(scope).filter(|_| covers(registry, scope));
                repository.is_some_and(|name| actions.iter().any(|given| given.allows(action, name)))
            }
        }
    }

    /// At the scope, or somewhere beneath it. A condition may hold there for some repository.
    fn reaches(&self, action: Action, scope: &str) -> bool {
        let is_beneath = match self {
            Self::Role { role, scope: held, condition } => {
                roles::allows(*role, action)
                    && (covers(scope, held)
                        || condition.is_some() && covers(held, scope) && repository_of(scope).is_none())
            }
            Self::Scoped { registry, actions } => {
                let is_given = actions.iter().any(|given| action.access() == Some(given.access()));
                is_given && covers(scope, registry)
            }
        };
        is_beneath || self.allows(action, scope)
    }
}

/// What somebody wants to do, by Azure's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read images and artifacts.
    Pull,
    /// Write images and artifacts, move tags.
    Push,
    /// Delete images and artifacts.
    Delete,
    /// Pull what is in quarantine, or what a gate blocks.
    ReadQuarantined,
    /// Say that what is in quarantine may be pulled, or may not.
    WriteQuarantined,
    /// See what was deleted from a registry and can be restored.
    ReadDeleted,
    /// Restore it.
    RestoreDeleted,
    /// Read what is said of repositories, manifests and tags.
    ReadArtifactMetadata,
    /// Lock and unlock repositories, manifests and tags.
    WriteArtifactMetadata,
    /// List all repositories' names, those that one may not pull from included.
    ListCatalog,
    /// Read a registry resource.
    ReadRegistry,
    /// Read a subscription.
    ReadSubscription,
    /// Delete a subscription.
    CancelSubscription,
    /// Read assessments.
    ReadAssessments,
    /// Read sub-assessments.
    ReadSubAssessments,
    /// Read what is said of assessments wherever they are.
    ReadMetadata,
    /// Read the rules that disable findings.
    ReadRules,
    /// Make and change them.
    WriteRules,
    /// Delete them.
    DeleteRules,
    /// Read the plans of a subscription.
    ReadPricings,
    /// Switch the plans of a subscription.
    WritePricings,
    /// Take away the plans that a resource has of its own.
    DeletePricings,
    /// Read what a subscription is charged for.
    ReadUsage,
    /// Read who changed what, and who was refused what.
    ReadActivityLog,
    /// Say for a cluster what it runs.
    ReportRunning,
    /// Read saved queries.
    ReadQueries,
    /// Write saved queries.
    WriteQueries,
    /// Delete saved queries.
    DeleteQueries,
    /// Read by which rules a registry fills repositories from elsewhere.
    ReadCacheRules,
    /// Make and change them.
    WriteCacheRules,
    /// Delete them.
    DeleteCacheRules,
    /// Read for which registries elsewhere a registry has credentials.
    ReadCredentialSets,
    /// Give it such a credential.
    WriteCredentialSets,
    /// Delete such a credential.
    DeleteCredentialSets,
    /// Bring images from elsewhere into a registry.
    ImportImage,
    /// Make or change a registry.
    WriteRegistry,
    /// Delete a registry.
    DeleteRegistry,
    /// Read the admin user's passwords.
    ListCredentials,
    /// Give the admin user a new password.
    RegenerateCredential,
    /// Read scope maps.
    ReadScopeMaps,
    /// Make or change a scope map.
    WriteScopeMaps,
    /// Delete a scope map.
    DeleteScopeMaps,
    /// Read a registry's tokens.
    ReadTokens,
    /// Make or change a registry's token.
    WriteTokens,
    /// Delete a registry's token.
    DeleteTokens,
    /// Give a registry's token a new password.
    GenerateCredentials,
    /// Read a resource group.
    ReadGroup,
    /// Make a resource group.
    WriteGroup,
    /// Delete a resource group.
    DeleteGroup,
    /// Read webhooks.
    ReadWebhooks,
    /// Make or change a webhook.
    WriteWebhooks,
    /// Delete a webhook.
    DeleteWebhooks,
    /// Have a webhook try its receiver.
    PingWebhooks,
    /// Read what webhooks were sent, and what came back.
    ListWebhookEvents,
    /// Read where a webhook sends to, and with what headers.
    ReadCallbackConfig,
    /// Read locks.
    ReadLocks,
    /// Lock subscriptions, groups and registries.
    WriteLocks,
    /// Unlock them.
    DeleteLocks,
    /// Read tags by themselves.
    ReadTags,
    /// Set them.
    WriteTags,
    /// Delete them.
    DeleteTags,
    /// Read who holds which role.
    ReadRoles,
    /// Give roles.
    WriteRoles,
    /// Take roles away.
    DeleteRoles,
}

impl Action {
    /// As role definitions write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            // Where no repository role is held, who pulls also reads what is said, and who pushes writes it.
            Self::Pull | Self::ReadArtifactMetadata => "Microsoft.ContainerRegistry/registries/pull/read",
            Self::Push | Self::WriteArtifactMetadata => "Microsoft.ContainerRegistry/registries/push/write",
            Self::ListCatalog => "Microsoft.ContainerRegistry/registries/catalog/read",
            Self::Delete => "Microsoft.ContainerRegistry/registries/artifacts/delete",
            Self::ReadQuarantined => "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read",
            Self::WriteQuarantined => "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/write",
            Self::ReadDeleted => "Microsoft.ContainerRegistry/registries/deleted/read",
            Self::RestoreDeleted => "Microsoft.ContainerRegistry/registries/deleted/restore/action",
            Self::ReadRegistry => "Microsoft.ContainerRegistry/registries/read",
            Self::ReadSubscription => "Microsoft.Resources/subscriptions/read",
            Self::CancelSubscription => "Microsoft.Subscription/cancel/action",
            Self::ReadAssessments => "Microsoft.Security/assessments/read",
            Self::ReadMetadata => "Microsoft.Security/assessmentMetadata/read",
            Self::ReadRules => "Microsoft.Security/findingRules/read",
            Self::WriteRules => "Microsoft.Security/findingRules/write",
            Self::DeleteRules => "Microsoft.Security/findingRules/delete",
            Self::ReadPricings => "Microsoft.Security/pricings/read",
            Self::WritePricings => "Microsoft.Security/pricings/write",
            Self::DeletePricings => "Microsoft.Security/pricings/delete",
            Self::ReadUsage => "Microsoft.Consumption/usageDetails/read",
            Self::ReadActivityLog => "Microsoft.Insights/eventtypes/values/read",
            Self::ReportRunning => "Microsoft.Security/clusters/running/write",
            Self::ReadQueries => "Microsoft.ResourceGraph/queries/read",
            Self::WriteQueries => "Microsoft.ResourceGraph/queries/write",
            Self::DeleteQueries => "Microsoft.ResourceGraph/queries/delete",
            Self::ReadLocks => "Microsoft.Authorization/locks/read",
            Self::WriteLocks => "Microsoft.Authorization/locks/write",
            Self::DeleteLocks => "Microsoft.Authorization/locks/delete",
            Self::ReadTags => "Microsoft.Resources/tags/read",
            Self::WriteTags => "Microsoft.Resources/tags/write",
            Self::DeleteTags => "Microsoft.Resources/tags/delete",
            Self::ReadRoles => "Microsoft.Authorization/roleAssignments/read",
            Self::WriteRoles => "Microsoft.Authorization/roleAssignments/write",
            Self::DeleteRoles => "Microsoft.Authorization/roleAssignments/delete",
            Self::ReadCacheRules => "Microsoft.ContainerRegistry/registries/cacheRules/read",
            Self::WriteCacheRules => "Microsoft.ContainerRegistry/registries/cacheRules/write",
            Self::DeleteCacheRules => "Microsoft.ContainerRegistry/registries/cacheRules/delete",
            Self::ReadCredentialSets => "Microsoft.ContainerRegistry/registries/credentialSets/read",
            Self::WriteCredentialSets => "Microsoft.ContainerRegistry/registries/credentialSets/write",
            Self::DeleteCredentialSets => "Microsoft.ContainerRegistry/registries/credentialSets/delete",
            Self::ImportImage => "Microsoft.ContainerRegistry/registries/importImage/action",
            Self::WriteRegistry => "Microsoft.ContainerRegistry/registries/write",
            Self::DeleteRegistry => "Microsoft.ContainerRegistry/registries/delete",
            Self::ListCredentials => "Microsoft.ContainerRegistry/registries/listCredentials/action",
            Self::RegenerateCredential => {
                "Microsoft.ContainerRegistry/registries/regenerateCredential/action"
            }
            Self::ReadScopeMaps => "Microsoft.ContainerRegistry/registries/scopeMaps/read",
            Self::WriteScopeMaps => "Microsoft.ContainerRegistry/registries/scopeMaps/write",
            Self::DeleteScopeMaps => "Microsoft.ContainerRegistry/registries/scopeMaps/delete",
            Self::ReadTokens => "Microsoft.ContainerRegistry/registries/tokens/read",
            Self::WriteTokens => "Microsoft.ContainerRegistry/registries/tokens/write",
            Self::DeleteTokens => "Microsoft.ContainerRegistry/registries/tokens/delete",
            Self::GenerateCredentials => "Microsoft.ContainerRegistry/registries/generateCredentials/action",
            Self::ReadGroup => "Microsoft.Resources/subscriptions/resourceGroups/read",
            Self::WriteGroup => "Microsoft.Resources/subscriptions/resourceGroups/write",
            Self::DeleteGroup => "Microsoft.Resources/subscriptions/resourceGroups/delete",
            Self::ReadWebhooks => "Microsoft.ContainerRegistry/registries/webhooks/read",
            Self::WriteWebhooks => "Microsoft.ContainerRegistry/registries/webhooks/write",
            Self::DeleteWebhooks => "Microsoft.ContainerRegistry/registries/webhooks/delete",
            Self::PingWebhooks => "Microsoft.ContainerRegistry/registries/webhooks/ping/action",
            Self::ListWebhookEvents => "Microsoft.ContainerRegistry/registries/webhooks/listEvents/action",
            Self::ReadCallbackConfig => {
                "Microsoft.ContainerRegistry/registries/webhooks/getCallbackConfig/action"
            }
            Self::ReadSubAssessments => "Microsoft.Security/assessments/subAssessments/read",
        }
    }
}

impl Action {
    /// One of Azure's data actions, which a role has to name.
    pub(crate) fn is_on_data(self) -> bool {
        matches!(self, Self::ReadQuarantined | Self::WriteQuarantined)
    }

    /// As the repository roles and their conditions write it.
    #[must_use]
    pub fn data_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Pull => "Microsoft.ContainerRegistry/registries/repositories/content/read",
            Self::Push => "Microsoft.ContainerRegistry/registries/repositories/content/write",
            Self::Delete => "Microsoft.ContainerRegistry/registries/repositories/content/delete",
            Self::ReadArtifactMetadata => "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            Self::WriteArtifactMetadata => {
                "Microsoft.ContainerRegistry/registries/repositories/metadata/write"
            }
            Self::ListCatalog | Self::ReadQuarantined | Self::WriteQuarantined => self.name(),
            _ => return None,
        })
    }

    /// As a registry's tokens write it.
    pub(crate) fn access(self) -> Option<Access> {
        Some(match self {
            Self::Pull => Access::Pull,
            Self::Push => Access::Push,
            Self::Delete => Access::Delete,
            Self::ReadArtifactMetadata => Access::MetadataRead,
            Self::WriteArtifactMetadata => Access::MetadataWrite,
            _ => return None,
        })
    }
}

impl Caller {
    /// True if one of the caller's roles allows the action at `scope`, an ARM id.
    ///
    /// Roles hold at their scope and beneath it. What one role excludes another may allow.
    #[must_use]
    pub fn may(&self, action: Action, scope: &str) -> bool {
        self.grants.iter().any(|grant| grant.allows(action, scope))
    }

    /// True if one of the caller's roles allows the action at `scope` or somewhere beneath it: what
    /// it takes to know that there is such a scope.
    #[must_use]
    pub fn may_within(&self, action: Action, scope: &str) -> bool {
        self.grants.iter().any(|grant| grant.reaches(action, scope))
    }
}

/// The scope of one repository.
#[must_use]
pub fn repository_scope(registry: &str, repository: &str) -> String {
    format!("{registry}/repositories/{repository}")
}

/// The repository that a scope names, or that it is beneath; see [`repository_scope`].
fn repository_of(scope: &str) -> Option<&str> {
    let mut rest = scope.splitn(11, '/').skip(9);
    let is_repository = rest.next().is_some_and(|segment| segment.eq_ignore_ascii_case("repositories"));
    rest.next().filter(|name| is_repository && !name.is_empty())
}

/// True if `inner` is `outer` or beneath it: whole segments, whatever their case.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    let mut inner = segments(inner);
    segments(outer).all(|wanted| inner.next().is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
}

fn segments(scope: &str) -> impl Iterator<Item = &str> {
    scope.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(role: Uuid, scope: &str) -> Caller {
        let grant = Grant::Role { role, scope: scope.to_owned(), condition: None };
        Caller { id: Uuid::nil(), name: "x".to_owned(), grants: vec![grant], secret: String::new() }
    }

    #[test]
    fn roles_allow_what_azure_says_they_do() {
        use Action::*;
        let all = [
            Pull,
            Push,
            Delete,
            ReadQuarantined,
            WriteQuarantined,
            ReadArtifactMetadata,
            WriteArtifactMetadata,
            ListCatalog,
            ReadRegistry,
            ReadSubscription,
            ReadAssessments,
            ReadSubAssessments,
            ReadMetadata,
            ReadRules,
            WriteRules,
            DeleteRules,
            ReadPricings,
            WritePricings,
            DeletePricings,
            ReadUsage,
            ReadActivityLog,
            ReportRunning,
            ReadQueries,
            WriteQueries,
            DeleteQueries,
            ReadCacheRules,
            WriteCacheRules,
            DeleteCacheRules,
            ReadCredentialSets,
            WriteCredentialSets,
            DeleteCredentialSets,
            ImportImage,
            WriteRegistry,
            DeleteRegistry,
            ListCredentials,
            RegenerateCredential,
            ReadScopeMaps,
            WriteScopeMaps,
            DeleteScopeMaps,
            ReadTokens,
            WriteTokens,
            DeleteTokens,
            GenerateCredentials,
            ReadGroup,
            WriteGroup,
            DeleteGroup,
            ReadWebhooks,
            WriteWebhooks,
            DeleteWebhooks,
            PingWebhooks,
            ListWebhookEvents,
            ReadCallbackConfig,
            ReadRoles,
            WriteRoles,
            DeleteRoles,
        ];
        for (role, allowed) in [
            (roles::OWNER, all.as_slice()),
            (roles::CONTRIBUTOR, &all[..all.len() - 2]),
            (
                roles::READER,
                &[
                    Pull,
                    ReadArtifactMetadata,
                    ListCatalog,
                    ReadRegistry,
                    ReadSubscription,
                    ReadAssessments,
                    ReadSubAssessments,
                    ReadMetadata,
                    ReadRules,
                    ReadPricings,
                    ReadUsage,
                    ReadActivityLog,
                    ReadQueries,
                    ReadCacheRules,
                    ReadCredentialSets,
                    ReadScopeMaps,
                    ReadTokens,
                    ReadGroup,
                    ReadWebhooks,
                    ReadRoles,
                ],
            ),
            (
                roles::SECURITY_READER,
                &[
                    ReadAssessments,
                    ReadSubAssessments,
                    ReadMetadata,
                    ReadRules,
                    ReadPricings,
                    ReadGroup,
                    ReadRoles,
                ],
            ),
            (
                roles::SECURITY_ADMIN,
                &[
                    ReadAssessments,
                    ReadSubAssessments,
                    ReadMetadata,
                    ReadRules,
                    WriteRules,
                    DeleteRules,
                    ReadPricings,
                    WritePricings,
                    DeletePricings,
                    ReportRunning,
                    ReadGroup,
                    ReadRoles,
                ],
            ),
            (roles::ACR_PULL, &[Pull, ReadArtifactMetadata]),
            (roles::ACR_PUSH, &[Pull, Push, ReadArtifactMetadata, WriteArtifactMetadata]),
            (roles::ACR_DELETE, &[Delete]),
            (roles::ACR_QUARANTINE_READER, &[ReadQuarantined]),
            (roles::ACR_QUARANTINE_WRITER, &[ReadQuarantined, WriteQuarantined]),
            (roles::ACR_IMAGE_SIGNER, &[]),
            (roles::REPOSITORY_READER, &[Pull, ReadArtifactMetadata]),
            (roles::REPOSITORY_WRITER, &[Pull, Push, ReadArtifactMetadata, WriteArtifactMetadata]),
            (
                roles::REPOSITORY_CONTRIBUTOR,
                &[Pull, Push, Delete, ReadArtifactMetadata, WriteArtifactMetadata],
            ),
            (roles::CATALOG_LISTER, &[ListCatalog]),
            (Uuid::nil(), &[]),
        ] {
            let caller = holding(role, "/");
            let may: Vec<_> =
                all.into_iter().filter(|action| caller.may(*action, "/subscriptions/a")).collect();
            assert_eq!(may, allowed, "{role}");
        }
    }

    #[test]
    fn a_role_holds_at_its_scope_and_beneath_whole_segments_only() {
        let caller = holding(roles::READER, "/subscriptions/A/resourceGroups/g");
        for (scope, wanted) in [
            ("/subscriptions/a/resourcegroups/G", true),
            ("/subscriptions/a/resourceGroups/g/providers/x", true),
            ("/subscriptions/a/resourceGroups/g2", false),
            ("/subscriptions/a", false),
            ("/subscriptions/ab/resourceGroups/g", false),
            ("/", false),
        ] {
            assert_eq!(caller.may(Action::ReadRegistry, scope), wanted, "{scope}");
        }
        assert!(caller.may_within(Action::ReadRegistry, "/subscriptions/a"));
        assert!(!caller.may_within(Action::ReadRegistry, "/subscriptions/b"));
        assert!(!caller.may_within(Action::Push, "/subscriptions/a"));
    }

    const REGISTRY: &str =
        "/subscriptions/a/resourceGroups/repositories/providers/Microsoft.ContainerRegistry/registries/r";

    fn may(caller: &Caller, action: Action, repository: &str) -> bool {
        caller.may(action, &repository_scope(REGISTRY, repository))
    }

    #[test]
    fn a_condition_narrows_the_actions_that_it_names() {
        let condition = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'})) OR \
             (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'))";
        let grant = Grant::Role {
            role: roles::REPOSITORY_READER,
            scope: REGISTRY.to_owned(),
            condition: Some(condition.parse().expect("a condition")),
        };
        let caller = Caller { grants: vec![grant], ..holding(Uuid::nil(), "/") };
        assert!(may(&caller, Action::Pull, "team/app"));
        assert!(!may(&caller, Action::Pull, "teams") && !may(&caller, Action::Push, "team/app"));
        assert!(may(&caller, Action::ReadArtifactMetadata, "other"), "an action that it does not name");
        assert!(!caller.may(Action::Pull, REGISTRY), "not for all of the registry");
        assert!(caller.may_within(Action::Pull, REGISTRY), "but for something in it");
        assert!(caller.may_within(Action::Pull, "/subscriptions/a"));
        assert!(!caller.may_within(Action::Pull, "/subscriptions/b"));
    }

    #[test]
    fn what_a_registry_gives_holds_in_its_repositories_alone() {
        let actions = ["repositories/team/*/content/read", "repositories/app/metadata/write"];
        let actions = actions.map(|action| action.parse().expect("an action")).to_vec();
        let grant = Grant::Scoped { registry: REGISTRY.to_owned(), actions };
        let caller = Caller { grants: vec![grant], ..holding(Uuid::nil(), "/") };
        assert!(
            may(&caller, Action::Pull, "team/app") && !may(&caller, Action::ReadArtifactMetadata, "team/app")
        );
        assert!(may(&caller, Action::WriteArtifactMetadata, "app") && !may(&caller, Action::Pull, "app"));
        assert!(
            !caller.may(Action::Pull, REGISTRY)
                && !caller.may(Action::Pull, &format!("{REGISTRY}2/repositories/team/app"))
        );
        assert!(caller.may_within(Action::Pull, REGISTRY) && !caller.may_within(Action::Push, REGISTRY));
    }
}
