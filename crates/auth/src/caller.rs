//! A caller and their rights (azure-wire: "Evaluation" of role assignments).

use metastore::RoleAssignment;
use uuid::Uuid;

use crate::roles;

/// An authenticated principal with the roles that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its object id.
    pub id: Uuid,
    /// The name it logs in by.
    pub name: String,
    /// Every role it holds, wherever.
    pub roles: Vec<RoleAssignment>,
    /// Which of its secrets it has now; tells nothing of the secret.
    pub(crate) secret: String,
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
    /// Read a registry resource.
    ReadRegistry,
    /// Read a subscription.
    ReadSubscription,
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
    /// Say for a cluster what it runs.
    ReportRunning,
    /// Read saved queries.
    ReadQueries,
    /// Write saved queries.
    WriteQueries,
    /// Delete saved queries.
    DeleteQueries,
    /// Make or change a registry.
    WriteRegistry,
    /// Delete a registry.
    DeleteRegistry,
    /// Read the admin user's passwords, or make new ones.
    ListCredentials,
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
            Self::Pull => "Microsoft.ContainerRegistry/registries/pull/read",
            Self::Push => "Microsoft.ContainerRegistry/registries/push/write",
            Self::Delete => "Microsoft.ContainerRegistry/registries/artifacts/delete",
            Self::ReadQuarantined => "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/read",
            Self::WriteQuarantined => "Microsoft.ContainerRegistry/registries/quarantinedArtifacts/write",
            Self::ReadRegistry => "Microsoft.ContainerRegistry/registries/read",
            Self::ReadSubscription => "Microsoft.Resources/subscriptions/read",
            Self::ReadAssessments => "Microsoft.Security/assessments/read",
            Self::ReadMetadata => "Microsoft.Security/assessmentMetadata/read",
            Self::ReadRules => "Microsoft.Security/findingRules/read",
            Self::WriteRules => "Microsoft.Security/findingRules/write",
            Self::DeleteRules => "Microsoft.Security/findingRules/delete",
            Self::ReadPricings => "Microsoft.Security/pricings/read",
            Self::WritePricings => "Microsoft.Security/pricings/write",
            Self::DeletePricings => "Microsoft.Security/pricings/delete",
            Self::ReadUsage => "Microsoft.Consumption/usageDetails/read",
            Self::ReportRunning => "Microsoft.Security/clusters/running/write",
            Self::ReadQueries => "Microsoft.ResourceGraph/queries/read",
            Self::WriteQueries => "Microsoft.ResourceGraph/queries/write",
            Self::DeleteQueries => "Microsoft.ResourceGraph/queries/delete",
            Self::ReadRoles => "Microsoft.Authorization/roleAssignments/read",
            Self::WriteRoles => "Microsoft.Authorization/roleAssignments/write",
            Self::DeleteRoles => "Microsoft.Authorization/roleAssignments/delete",
            Self::WriteRegistry => "Microsoft.ContainerRegistry/registries/write",
            Self::DeleteRegistry => "Microsoft.ContainerRegistry/registries/delete",
            Self::ListCredentials => "Microsoft.ContainerRegistry/registries/listCredentials/action",
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
}

impl Caller {
    /// True if one of the caller's roles allows the action at `scope`, an ARM id.
    ///
    /// Roles hold at their scope and beneath it. What one role excludes another may allow.
    #[must_use]
    pub fn may(&self, action: Action, scope: &str) -> bool {
        self.roles.iter().any(|held| covers(&held.scope, scope) && roles::allows(held.role, action))
    }

    /// True if one of the caller's roles allows the action at `scope` or somewhere beneath it: what
    /// it takes to know that there is such a scope.
    #[must_use]
    pub fn may_within(&self, action: Action, scope: &str) -> bool {
        let reaches = |held: &str| covers(held, scope) || covers(scope, held);
        self.roles.iter().any(|held| reaches(&held.scope) && roles::allows(held.role, action))
    }
}

/// The scope of one repository.
#[must_use]
pub fn repository_scope(registry: &str, repository: &str) -> String {
    format!("{registry}/repositories/{repository}")
}

/// True if `inner` is `outer` or beneath it: whole segments, whatever their case.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    let segments = |scope: &str| -> Vec<String> {
        scope.split('/').filter(|segment| !segment.is_empty()).map(str::to_ascii_lowercase).collect()
    };
    segments(inner).starts_with(&segments(outer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(role: Uuid, scope: &str) -> Caller {
        let held = RoleAssignment { id: Uuid::nil(), principal: Uuid::nil(), role, scope: scope.to_owned() };
        Caller { id: Uuid::nil(), name: "x".to_owned(), roles: vec![held], secret: String::new() }
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
            ReportRunning,
            ReadQueries,
            WriteQueries,
            DeleteQueries,
            WriteRegistry,
            DeleteRegistry,
            ListCredentials,
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
                    ReadRegistry,
                    ReadSubscription,
                    ReadAssessments,
                    ReadSubAssessments,
                    ReadMetadata,
                    ReadRules,
                    ReadPricings,
                    ReadUsage,
                    ReadQueries,
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
            (roles::ACR_PULL, &[Pull]),
            (roles::ACR_PUSH, &[Pull, Push]),
            (roles::ACR_DELETE, &[Delete]),
            (roles::ACR_QUARANTINE_READER, &[ReadQuarantined]),
            (roles::ACR_QUARANTINE_WRITER, &[ReadQuarantined, WriteQuarantined]),
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
}
