//! Every route of this door, as others may list them: for the matrix of routes and roles, and for the
//! document that describes them.

use axum::http::Method;

use crate::{arm, graph};

/// Every route: a method, and a path with its parameters in braces. What is served at several levels
/// (subscription, group, registry) is listed at each.
#[must_use]
pub fn routes() -> Vec<(Method, &'static str)> {
    let methods = |path: &'static str| {
        let target = arm::parse(&sample(path));
        let methods = target.map_or(&[][..], |target| target.methods());
        methods.iter().map(move |method| (method.clone(), path))
    };
    let of_directory = graph::PATHS.into_iter().flat_map(|path| {
        let methods = graph::methods_at(path);
        methods.into_iter().map(move |method| (method, path))
    });
    PATHS.into_iter().flat_map(methods).chain(of_directory).collect()
}

/// A path that its template stands for.
fn sample(template: &str) -> String {
    let segments = template.split('/').map(|segment| match segment {
        "{tenantId}" | "{subscriptionId}" => "00000000-0000-0000-0000-000000000002",
        "{imageName}" => "repositories-a-images-b",
        other => other,
    });
    segments.collect::<Vec<_>>().join("/")
}

macro_rules! subscription {
    ($rest:literal) => {
        concat!("/subscriptions/{subscriptionId}", $rest)
    };
}
macro_rules! group {
    ($rest:literal) => {
        concat!(subscription!("/resourceGroups/{resourceGroupName}"), $rest)
    };
}
macro_rules! registry {
    ($rest:literal) => {
        concat!(group!("/providers/Microsoft.ContainerRegistry/registries/{registryName}"), $rest)
    };
}
macro_rules! management_group {
    ($rest:literal) => {
        concat!("/providers/Microsoft.Management/managementGroups/{managementGroupId}", $rest)
    };
}
macro_rules! image {
    ($rest:literal) => {
        concat!(registry!("/{imageName}"), $rest)
    };
}

pub(crate) const PATHS: [&str; 123] = [
    "/metadata/endpoints",
    "/{tenantId}/v2.0/.well-known/openid-configuration",
    "/{tenantId}/.well-known/openid-configuration",
    "/{tenantId}/oauth2/v2.0/token",
    "/{tenantId}/oauth2/token",
    "/{tenantId}/oauth2/v2.0/authorize",
    "/{tenantId}/oauth2/v2.0/devicecode",
    "/{tenantId}/discovery/v2.0/keys",
    "/msi/token",
    "/devicelogin",
    "/common/userrealm/{userName}",
    "/tenants",
    "/subscriptions",
    subscription!(""),
    subscription!("/providers/Microsoft.Subscription/cancel"),
    subscription!("/tagNames"),
    subscription!("/providers/Microsoft.Resources/tags/default"),
    group!("/providers/Microsoft.Resources/tags/default"),
    registry!("/providers/Microsoft.Resources/tags/default"),
    subscription!("/providers/Microsoft.Authorization/locks"),
    group!("/providers/Microsoft.Authorization/locks"),
    registry!("/providers/Microsoft.Authorization/locks"),
    subscription!("/providers/Microsoft.Authorization/locks/{lockName}"),
    group!("/providers/Microsoft.Authorization/locks/{lockName}"),
    registry!("/providers/Microsoft.Authorization/locks/{lockName}"),
    subscription!("/resourceGroups"),
    group!(""),
    subscription!("/resources"),
    group!("/resources"),
    "/providers",
    "/providers/{namespace}",
    subscription!("/locations"),
    subscription!("/providers"),
    subscription!("/providers/{namespace}"),
    subscription!("/providers/{namespace}/register"),
    subscription!("/providers/Microsoft.ContainerRegistry/registries"),
    group!("/providers/Microsoft.ContainerRegistry/registries"),
    registry!(""),
    registry!("/listUsages"),
    registry!("/listCredentials"),
    registry!("/importImage"),
    subscription!(
        "/providers/Microsoft.ContainerRegistry/locations/{location}/operationResults/{operationId}"
    ),
    registry!("/regenerateCredential"),
    registry!("/webhooks"),
    registry!("/webhooks/{webhookName}"),
    registry!("/webhooks/{webhookName}/ping"),
    registry!("/webhooks/{webhookName}/listEvents"),
    registry!("/webhooks/{webhookName}/getCallbackConfig"),
    registry!("/generateCredentials"),
    registry!("/scopeMaps"),
    registry!("/scopeMaps/{scopeMapName}"),
    registry!("/tokens"),
    registry!("/tokens/{tokenName}"),
    registry!("/cacheRules"),
    registry!("/cacheRules/{cacheRuleName}"),
    registry!("/credentialSets"),
    registry!("/credentialSets/{credentialSetName}"),
    registry!("/replications"),
    registry!("/replications/{replicationName}"),
    registry!("/privateEndpointConnections"),
    registry!("/privateEndpointConnections/{privateEndpointConnectionName}"),
    registry!("/privateLinkResources"),
    registry!("/privateLinkResources/{groupName}"),
    registry!("/connectedRegistries"),
    registry!("/connectedRegistries/{connectedRegistryName}"),
    "/providers/Microsoft.ContainerRegistry/operations",
    subscription!("/providers/Microsoft.ContainerRegistry/checkNameAvailability"),
    subscription!("/providers/Microsoft.Security/pricings"),
    subscription!("/providers/Microsoft.Security/pricings/{pricingName}"),
    registry!("/providers/Microsoft.Security/pricings"),
    registry!("/providers/Microsoft.Security/pricings/{pricingName}"),
    subscription!("/providers/Microsoft.Consumption/usageDetails"),
    subscription!("/providers/Microsoft.Insights/eventtypes/management/values"),
    "/providers/Microsoft.Security/assessmentMetadata",
    "/providers/Microsoft.Security/assessmentMetadata/{assessmentMetadataName}",
    subscription!("/providers/Microsoft.Security/assessmentMetadata"),
    subscription!("/providers/Microsoft.Security/assessmentMetadata/{assessmentMetadataName}"),
    management_group!("/providers/Microsoft.Security/findingRules"),
    subscription!("/providers/Microsoft.Security/findingRules"),
    group!("/providers/Microsoft.Security/findingRules"),
    registry!("/providers/Microsoft.Security/findingRules"),
    management_group!("/providers/Microsoft.Security/findingRules/{findingRuleName}"),
    subscription!("/providers/Microsoft.Security/findingRules/{findingRuleName}"),
    group!("/providers/Microsoft.Security/findingRules/{findingRuleName}"),
    registry!("/providers/Microsoft.Security/findingRules/{findingRuleName}"),
    management_group!("/providers/Microsoft.Security/assessments"),
    image!("/providers/Microsoft.Security/assessments"),
    image!("/providers/Microsoft.Security/assessments/{assessmentName}"),
    management_group!("/providers/Microsoft.Security/subAssessments"),
    image!("/providers/Microsoft.Security/subAssessments"),
    management_group!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments"),
    image!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments"),
    management_group!(
        "/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments/{subAssessmentName}"
    ),
    image!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments/{subAssessmentName}"),
    subscription!("/providers/Microsoft.Security/assessments"),
    group!("/providers/Microsoft.Security/assessments"),
    registry!("/providers/Microsoft.Security/assessments"),
    subscription!("/providers/Microsoft.Security/assessments/{assessmentName}"),
    group!("/providers/Microsoft.Security/assessments/{assessmentName}"),
    registry!("/providers/Microsoft.Security/assessments/{assessmentName}"),
    subscription!("/providers/Microsoft.Security/subAssessments"),
    group!("/providers/Microsoft.Security/subAssessments"),
    registry!("/providers/Microsoft.Security/subAssessments"),
    subscription!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments"),
    group!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments"),
    registry!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments"),
    subscription!(
        "/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments/{subAssessmentName}"
    ),
    group!("/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments/{subAssessmentName}"),
    registry!(
        "/providers/Microsoft.Security/assessments/{assessmentName}/subAssessments/{subAssessmentName}"
    ),
    subscription!("/providers/Microsoft.Authorization/roleDefinitions"),
    subscription!("/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}"),
    subscription!("/providers/Microsoft.Authorization/roleAssignments"),
    subscription!("/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"),
    group!("/providers/Microsoft.Authorization/roleDefinitions"),
    group!("/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}"),
    group!("/providers/Microsoft.Authorization/roleAssignments"),
    group!("/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"),
    registry!("/providers/Microsoft.Authorization/roleDefinitions"),
    registry!("/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}"),
    registry!("/providers/Microsoft.Authorization/roleAssignments"),
    registry!("/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"),
    registry!("/repositories/{repository}/providers/Microsoft.Authorization/roleAssignments"),
    registry!(
        "/repositories/{repository}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::arm::Target;

    macro_rules! kinds {
        ($($kind:pat => $name:literal,)*) => {
            fn kind(target: &Target) -> &'static str {
                let kinds = [$((matches!(target, $kind), $name)),*];
                kinds.into_iter().find(|(is_it, _)| *is_it).map_or("unlisted", |(_, name)| name)
            }
            const KINDS: &[&str] = &[$($name),*];
        };
    }
    // A new kind of target is named here, and its paths go into `PATHS`; `openapi.rs` of the server finds what is
    // forgotten.
    kinds! {
        Target::Metadata => "metadata",
        Target::OpenId(..) => "openid",
        Target::Token(..) => "token",
        Target::Authorize(..) => "sign-in for a program",
        Target::DeviceCode(..) => "device code",
        Target::DeviceLogin => "sign-in for a device",
        Target::ManagedIdentity => "managed identity",
        Target::IdKeys(..) => "keys of id tokens",
        Target::UserRealm(..) => "user realm",
        Target::Tenants => "tenants",
        Target::Subscriptions => "subscriptions",
        Target::Subscription(..) => "subscription",
        Target::CancelSubscription(..) => "cancel subscription",
        Target::ResourceGroups(..) => "groups",
        Target::ResourceGroup(..) => "group",
        Target::Resources(..) => "resources",
        Target::Locations(..) => "locations",
        Target::Providers(..) => "providers",
        Target::Provider(..) => "provider",
        Target::RegisterProvider(..) => "register provider",
        Target::Registries(..) => "registries",
        Target::Registry(..) => "registry",
        Target::RegistryName(..) => "registry name",
        Target::RegistryUsages(..) => "registry usages",
        Target::RegistryCredentials(..) => "registry credentials",
        Target::Webhooks(..) => "webhooks",
        Target::Webhook(..) => "webhook",
        Target::WebhookVerb(..) => "webhook verb",
        Target::ImportImage(..) => "import image",
        Target::OperationResult(..) => "operation result",
        Target::RegenerateCredential(..) => "regenerate credential",
        Target::ScopeMaps(..) => "scope maps",
        Target::ScopeMap(..) => "scope map",
        Target::Tokens(..) => "tokens",
        Target::RegistryToken(..) => "registry token",
        Target::GenerateCredentials(..) => "generate credentials",
        Target::CacheRules(..) => "cache rules",
        Target::CacheRule(..) => "cache rule",
        Target::CredentialSets(..) => "credential sets",
        Target::CredentialSet(..) => "credential set",
        Target::RegistryChildren(..) => "registry children",
        Target::RegistryChild(..) => "registry child",
        Target::Operations => "operations",
        Target::Pricings(..) => "pricings",
        Target::Pricing(..) => "pricing",
        Target::UsageDetails(..) => "usage details",
        Target::ActivityLog(..) => "activity log",
        Target::Locks(..) => "locks",
        Target::Lock(..) => "lock",
        Target::Tags(..) => "tags",
        Target::TagNames(..) => "tag names",
        Target::RoleDefinitions(..) => "role definitions",
        Target::RoleDefinition(..) => "role definition",
        Target::RoleAssignments(..) => "role assignments",
        Target::RoleAssignment(..) => "role assignment",
        Target::Assessments(..) => "assessments",
        Target::Assessment(..) => "assessment",
        Target::AssessmentsMetadata(..) => "assessments' metadata",
        Target::AssessmentMetadata(..) => "an assessment's metadata",
        Target::FindingRules(..) => "rules",
        Target::FindingRule(..) => "rule",
        Target::SubAssessments(..) => "sub-assessments",
        Target::SubAssessment(..) => "sub-assessment",
    }

    #[test]
    fn every_kind_of_target_is_listed_with_its_paths() {
        let kind_of = |path: &&'static str| {
            let target = arm::parse(&sample(path)).unwrap_or_else(|_| panic!("{path} is no path"));
            kind(&target)
        };
        let listed: BTreeSet<_> = PATHS.iter().map(kind_of).collect();
        assert_eq!(listed, KINDS.iter().copied().collect());
    }
}
