//! Paths and queries (Azure Resource Manager's grammar): case does not matter in what is ours,
//! duplicate slashes are one, percent-encoding is undone once.

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::error::ArmError;
use crate::providers::{self, LOCAL};
use crate::reach::{Reach, security};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Metadata,
    /// The tenant, unless the client leaves it open.
    OpenId(Option<Uuid>),
    Token(Option<Uuid>, TokenVersion),
    Authorize(Option<Uuid>),
    DeviceCode(Option<Uuid>),
    ManagedIdentity,
    DeviceLogin,
    IdKeys(Option<Uuid>),
    UserRealm(String),
    Tenants,
    Subscriptions,
    Subscription(Uuid),
    CancelSubscription(Uuid),
    ResourceGroups(Uuid),
    ResourceGroup(Scope),
    /// In a subscription, or in a group.
    Resources(Scope),
    Locations(Uuid),
    /// At the tenant, or at a subscription.
    Providers(Option<Uuid>),
    Provider(Option<Uuid>, String),
    RegisterProvider(Uuid, String),
    Registries(Scope),
    Registry(Scope),
    /// Whether a registry's name is free.
    RegistryName(Uuid),
    RegistryUsages(Scope),
    /// The admin user's.
    RegistryCredentials(Scope),
    Webhooks(Scope),
    Webhook(Scope, String),
    WebhookVerb(Scope, String, WebhookVerb),
    /// To bring an image from elsewhere.
    ImportImage(Scope),
    /// Of something that took longer.
    OperationResult(Uuid, String),
    /// To renew one of the admin user's.
    RegenerateCredential(Scope),
    ScopeMaps(Scope),
    ScopeMap(Scope, String),
    Tokens(Scope),
    RegistryToken(Scope, String),
    GenerateCredentials(Scope),
    CacheRules(Scope),
    CacheRule(Scope, String),
    CredentialSets(Scope),
    CredentialSet(Scope, String),
    /// Of a kind that registries here do not have: all of them, or one.
    RegistryChildren(Scope, &'static str),
    RegistryChild(Scope, &'static str, String),
    /// What can be done with registries.
    Operations,
    /// Of a subscription, or as a registry inherits them.
    Pricings(Scope),
    Pricing(Scope, String),
    UsageDetails(Uuid),
    ActivityLog(Uuid),
    /// Of a subscription, a group or a registry.
    Locks(Scope),
    Lock(Scope, String),
    /// All that a subscription, a group or a registry has.
    Tags(Scope),
    /// Those that are in use in a subscription.
    TagNames(Uuid),
    RoleDefinitions(String),
    RoleDefinition(String, String),
    RoleAssignments(String),
    RoleAssignment(String, String),
    Assessments(Reach),
    Assessment(Reach, String),
    /// At the tenant, or at a subscription.
    AssessmentsMetadata(Option<Uuid>),
    AssessmentMetadata(Option<Uuid>, String),
    /// Of one assessment, or of all.
    SubAssessments(Reach, Option<String>),
    SubAssessment(Reach, String, String),
    FindingRules(Reach),
    FindingRule(Reach, String),
}

/// What can be asked of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookVerb {
    Ping,
    ListEvents,
    GetCallbackConfig,
}

/// The two generations of the token endpoint: with `scope`, and with `resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenVersion {
    V1,
    V2,
}

/// Where results are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) subscription: Uuid,
    pub(crate) group: Option<String>,
    pub(crate) registry: Option<String>,
}

impl Target {
    /// What can be done with it.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Token(..)
            | Self::DeviceCode(_)
            | Self::CancelSubscription(_)
            | Self::RegisterProvider(..)
            | Self::RegistryName(_)
            | Self::RegistryCredentials(_)
            | Self::WebhookVerb(..)
            | Self::ImportImage(_)
            | Self::RegenerateCredential(_)
            | Self::GenerateCredentials(_) => &[Method::POST],
            Self::Authorize(_) | Self::DeviceLogin => &[Method::GET, Method::POST],
            Self::ResourceGroup(_) => {
                &[Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE]
            }
            Self::Registry(_)
            | Self::Webhook(..)
            | Self::ScopeMap(..)
            | Self::RegistryToken(..)
            | Self::CacheRule(..)
            | Self::CredentialSet(..)
            | Self::Tags(_)
            | Self::RegistryChild(..) => {
                &[Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE]
            }
            Self::Pricing(..) | Self::FindingRule(..) | Self::RoleAssignment(..) | Self::Lock(..) => {
                &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE]
            }
            _ => &[Method::GET, Method::HEAD],
        }
    }
}

impl Target {
    /// True if the method changes something of it, or shows a secret.
    pub(crate) fn is_change(&self, method: &Method) -> bool {
        match self {
            Self::Token(..)
            | Self::Authorize(_)
            | Self::DeviceCode(_)
            | Self::DeviceLogin
            | Self::RegistryName(_)
            | Self::RegisterProvider(..)
            | Self::WebhookVerb(_, _, WebhookVerb::ListEvents) => false,
            _ => ![Method::GET, Method::HEAD].contains(method),
        }
    }

    /// True if the method changes something: a secret that is shown stays what it is.
    pub(crate) fn is_write(&self, method: &Method) -> bool {
        let only_shows = matches!(
            self,
            Self::RegistryCredentials(_) | Self::WebhookVerb(_, _, WebhookVerb::GetCallbackConfig)
        );
        self.is_change(method) && !only_shows
    }
}

/// The subscription that a path is beneath.
pub(crate) fn subscription_of(path: &str) -> Option<Uuid> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let is_it = segments.next()?.eq_ignore_ascii_case("subscriptions");
    let id = percent_decode_str(segments.next()?).decode_utf8().ok()?;
    Uuid::parse_str(&id).ok().filter(|_| is_it)
}

/// Reads a raw path.
pub(crate) fn parse(path: &str) -> Result<Target, ArmError> {
    target(path).ok_or_else(|| {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next()) {
            (Some(first), Some(id))
                if first.eq_ignore_ascii_case("subscriptions") && Uuid::parse_str(id).is_err() =>
            {
                let id = percent_decode_str(id).decode_utf8_lossy();
                let message = format!("The provided subscription identifier '{id}' is malformed or invalid.");
                ArmError::bad("InvalidSubscriptionId", message)
            }
            _ => missing(path),
        }
    })
}

/// Says which kind of resource is not had, and by which commands clients ask for it.
fn missing(path: &str) -> ArmError {
    let folded = path.to_ascii_lowercase();
    let segments: Vec<&str> = folded.split('/').filter(|segment| !segment.is_empty()).collect();
    let after =
        |name: &str| segments.iter().rposition(|segment| *segment == name).map(|at| &segments[at + 1..]);
    let Some([provider, kind, ..]) = after("providers") else { return ArmError::no_such_path() };
    let known = ABSENT.iter().find(|(of, wanted, _)| of == provider && (wanted == kind || wanted.is_empty()));
    match known {
        Some((_, _, what)) => {
            let message = format!("There is no resource type at this path: Lazaret does not have {what}.");
            ArmError::not_found("InvalidResourceType", message)
        }
        None => ArmError::no_such_path(),
    }
}

/// What Azure's clients ask for and Lazaret does not have: provider, type (any if empty), and what to call it.
const ABSENT: [(&str, &str, &str); 9] = [
    (
        "microsoft.authorization",
        "locks",
        "management locks of anything but subscriptions, resource groups and registries",
    ),
    ("microsoft.authorization", "policyassignments", "policy assignments (`az policy assignment`)"),
    ("microsoft.authorization", "policydefinitions", "policy definitions (`az policy definition`)"),
    ("microsoft.authorization", "denyassignments", "deny assignments"),
    (
        "microsoft.resources",
        "tags",
        "the tags API for anything but subscriptions, resource groups and registries, nor tags without a resource",
    ),
    ("microsoft.resources", "deployments", "deployments (`az deployment`)"),
    ("microsoft.managedidentity", "", "managed identities (`az identity`): make a service principal"),
    ("microsoft.keyvault", "", "key vaults (`az keyvault`)"),
    ("microsoft.network", "", "networks and private endpoints (`az network`)"),
];

/// The tenant that a segment names; `Some(None)` where it leaves it open.
fn tenant_of(segment: &str) -> Option<Option<Uuid>> {
    match segment {
        "common" | "organizations" => Some(None),
        id => Uuid::parse_str(id).ok().map(Some),
    }
}

fn target(path: &str) -> Option<Target> {
    let path = percent_decode_str(path).decode_utf8().ok().filter(|path| !path.contains('\0'))?;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let folded: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
    let guid = |text: &str| Uuid::parse_str(text).ok();
    match folded.as_slice() {
        ["metadata", "endpoints"] => return Some(Target::Metadata),
        ["tenants"] => return Some(Target::Tenants),
        ["providers", "microsoft.containerregistry", "operations"] => return Some(Target::Operations),
        ["providers"] => return Some(Target::Providers(None)),
        ["providers", _] => return Some(Target::Provider(None, (*segments.get(1)?).to_owned())),
        ["subscriptions"] => return Some(Target::Subscriptions),
        ["subscriptions", id] => return Some(Target::Subscription(guid(id)?)),
        [tenant, "v2.0", ".well-known", "openid-configuration"]
        | [tenant, ".well-known", "openid-configuration"] => {
            return Some(Target::OpenId(tenant_of(tenant)?));
        }
        [tenant, "oauth2", "v2.0", "token"] => {
            return Some(Target::Token(tenant_of(tenant)?, TokenVersion::V2));
        }
        [tenant, "oauth2", "token"] => return Some(Target::Token(tenant_of(tenant)?, TokenVersion::V1)),
        [tenant, "oauth2", "v2.0", "authorize"] => return Some(Target::Authorize(tenant_of(tenant)?)),
        [tenant, "oauth2", "v2.0", "devicecode"] => return Some(Target::DeviceCode(tenant_of(tenant)?)),
        [tenant, "discovery", "v2.0", "keys"] => return Some(Target::IdKeys(tenant_of(tenant)?)),
        ["msi", "token"] => return Some(Target::ManagedIdentity),
        ["devicelogin"] => return Some(Target::DeviceLogin),
        ["common", "userrealm", _] => return Some(Target::UserRealm((*segments.get(2)?).to_owned())),
        _ => {}
    }
    if let Some(target) = authorization(&segments, &folded) {
        return Some(target);
    }
    if let Some(target) = security(&segments, &folded) {
        return Some(target);
    }
    let (scope, length) = scope(&segments, &folded)?;
    let (rest, named) = (&folded[length..], &segments[length..]);
    match (rest, &scope.group, &scope.registry) {
        (["resourcegroups"], None, None) => return Some(Target::ResourceGroups(scope.subscription)),
        (["resources"], _, None) => return Some(Target::Resources(scope)),
        (["providers", "microsoft.insights", "eventtypes", "management", "values"], None, None) => {
            return Some(Target::ActivityLog(scope.subscription));
        }
        (["providers", "microsoft.consumption", "usagedetails"], None, None) => {
            return Some(Target::UsageDetails(scope.subscription));
        }
        (["providers", "microsoft.subscription", "cancel"], None, None) => {
            return Some(Target::CancelSubscription(scope.subscription));
        }
        (["providers", "microsoft.resources", "tags", "default"], _, _) => return Some(Target::Tags(scope)),
        (["tagnames"], None, None) => return Some(Target::TagNames(scope.subscription)),
        (["locations"], None, None) => return Some(Target::Locations(scope.subscription)),
        (["providers"], None, None) => return Some(Target::Providers(Some(scope.subscription))),
        (["providers", _], None, None) => {
            return Some(Target::Provider(Some(scope.subscription), (*named.get(1)?).to_owned()));
        }
        (["providers", _, "register"], None, None) => {
            return Some(Target::RegisterProvider(scope.subscription, (*named.get(1)?).to_owned()));
        }
        (["providers", "microsoft.containerregistry", "registries"], _, None) => {
            return Some(Target::Registries(scope));
        }
        (["providers", "microsoft.containerregistry", "checknameavailability"], None, None) => {
            return Some(Target::RegistryName(scope.subscription));
        }
        (["webhooks"], _, Some(_)) => return Some(Target::Webhooks(scope)),
        (["webhooks", _], _, Some(_)) => return Some(Target::Webhook(scope, named[1].to_owned())),
        (["webhooks", _, verb], _, Some(_)) => {
            let verb = match *verb {
                "ping" => WebhookVerb::Ping,
                "listevents" => WebhookVerb::ListEvents,
                "getcallbackconfig" => WebhookVerb::GetCallbackConfig,
                _ => return None,
            };
            return Some(Target::WebhookVerb(scope, named[1].to_owned(), verb));
        }
        (["importimage"], _, Some(_)) => return Some(Target::ImportImage(scope)),
        (["providers", "microsoft.containerregistry", "locations", _, "operationresults", _], None, None) => {
            return Some(Target::OperationResult(scope.subscription, (*named.last()?).to_owned()));
        }
        (["listusages"], _, Some(_)) => return Some(Target::RegistryUsages(scope)),
        (["listcredentials"], _, Some(_)) => return Some(Target::RegistryCredentials(scope)),
        (["regeneratecredential"], _, Some(_)) => return Some(Target::RegenerateCredential(scope)),
        (["generatecredentials"], _, Some(_)) => return Some(Target::GenerateCredentials(scope)),
        (["scopemaps"], _, Some(_)) => return Some(Target::ScopeMaps(scope)),
        (["scopemaps", _], _, Some(_)) => return Some(Target::ScopeMap(scope, (*named.get(1)?).to_owned())),
        (["tokens"], _, Some(_)) => return Some(Target::Tokens(scope)),
        (["tokens", _], _, Some(_)) => {
            return Some(Target::RegistryToken(scope, (*named.get(1)?).to_owned()));
        }
        (["cacherules"], _, Some(_)) => return Some(Target::CacheRules(scope)),
        (["cacherules", _], _, Some(_)) => return Some(Target::CacheRule(scope, named[1].to_owned())),
        (["credentialsets"], _, Some(_)) => return Some(Target::CredentialSets(scope)),
        (["credentialsets", _], _, Some(_)) => {
            return Some(Target::CredentialSet(scope, named[1].to_owned()));
        }
        ([kind], _, Some(_)) => {
            if let Some(kind) = child(kind) {
                return Some(Target::RegistryChildren(scope, kind));
            }
        }
        ([kind, _], _, Some(_)) => {
            if let Some(kind) = child(kind) {
                return Some(Target::RegistryChild(scope, kind, (*named.get(1)?).to_owned()));
            }
        }
        ([], Some(_), None) => return Some(Target::ResourceGroup(scope)),
        ([], Some(_), Some(_)) => return Some(Target::Registry(scope)),
        _ => {}
    }
    None
}

/// What registries have elsewhere and not here.
fn child(kind: &str) -> Option<&'static str> {
    let kinds = ["replications", "privateEndpointConnections", "privateLinkResources", "connectedRegistries"];
    kinds.into_iter().find(|known| known.eq_ignore_ascii_case(kind))
}

/// Roles may be held anywhere: whatever stands before the provider is the scope.
fn authorization(segments: &[&str], folded: &[&str]) -> Option<Target> {
    let at = folded.windows(2).rposition(|pair| pair == ["providers", "microsoft.authorization"])?;
    let scope = format!("/{}", segments[..at].join("/"));
    let named = |index: usize| segments.get(at + index).map(|name| (*name).to_owned());
    // Whatever else there is to lock has no lock of its own.
    let lockable = || crate::arm::scope(&segments[..at], &folded[..at]).filter(|(_, length)| *length == at);
    Some(match &folded[at + 2..] {
        ["locks"] => Target::Locks(lockable()?.0),
        ["locks", _] => Target::Lock(lockable()?.0, named(3)?),
        ["roledefinitions"] => Target::RoleDefinitions(scope),
        ["roledefinitions", _] => Target::RoleDefinition(scope, named(3)?),
        ["roleassignments"] => Target::RoleAssignments(scope),
        ["roleassignments", _] => Target::RoleAssignment(scope, named(3)?),
        _ => return None,
    })
}

/// The scope that a path begins with, and of how many segments it is.
pub(crate) fn scope(segments: &[&str], folded: &[&str]) -> Option<(Scope, usize)> {
    let ["subscriptions", id, ..] = folded else { return None };
    let mut scope = Scope { subscription: Uuid::parse_str(id).ok()?, group: None, registry: None };
    let ["resourcegroups", _, rest @ ..] = &folded[2..] else { return Some((scope, 2)) };
    scope.group = Some((*segments.get(3)?).to_owned());
    let ["providers", "microsoft.containerregistry", "registries", _, ..] = rest else {
        return Some((scope, 4));
    };
    scope.registry = Some((*segments.get(7)?).to_owned());
    Some((scope, 8))
}

impl Scope {
    /// As an ARM id, in the case it was asked for.
    pub(crate) fn id(&self) -> String {
        let mut id = format!("/subscriptions/{}", self.subscription);
        if let Some(group) = &self.group {
            id.push_str(&format!("/resourceGroups/{group}"));
        }
        if let Some(registry) = &self.registry {
            id.push_str(&format!("/providers/Microsoft.ContainerRegistry/registries/{registry}"));
        }
        id
    }

    /// True if the registry is in it.
    pub(crate) fn holds(&self, registry: &metastore::Registry) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        self.subscription == registry.subscription
            && is(&self.group, &registry.resource_group)
            && is(&self.registry, &registry.name)
    }
}

/// The query; its keys' case does not matter.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ArmError> {
        let parsed = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let bad = |_| ArmError::bad("InvalidQueryParameter", "The query string cannot be read.");
        parsed.map(|axum::extract::Query(pairs)| Self(pairs)).map_err(bad)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The parameters' names, as they were sent.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Clients of many years send many versions; what they read of our answers is the same. What never was one of
    /// the path's provider, or is older than its first, is refused as Azure does.
    pub(crate) fn check_api_version(&self, path: &str) -> Result<(), ArmError> {
        let Some(version) = self.get("api-version") else {
            let message = "The api-version query parameter (?api-version=) is required for all requests.";
            return Err(ArmError::bad("MissingApiVersionParameter", message));
        };
        let (date, stage) = version.split_at_checked(10).unwrap_or((version, ""));
        let is_version = date.parse::<jiff::civil::Date>().is_ok()
            && (stage.is_empty() || stage.eq_ignore_ascii_case("-preview"));
        let (provider, kind) = providers::of_path(path);
        let first = provider.versions.last().map_or("", |first| first.split_at(10).0);
        if is_version && date >= first {
            return Ok(());
        }
        let known = provider.versions.join(", ");
        Err(match kind {
            // What is no version at all is refused as the manager does, before any provider is asked.
            Some(kind) if is_version => ArmError::bad(
                "NoRegisteredProviderFound",
                format!(
                    "No registered resource provider found for location '{LOCAL}' and API version '{version}' for type \
                     '{kind}'. The supported api-versions are '{known}'. The supported locations are '{LOCAL}'."
                ),
            ),
            _ => ArmError::bad(
                "InvalidApiVersionParameter",
                format!("The api-version '{version}' is invalid. The supported versions are '{known}'."),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "00000000-0000-0000-0000-000000000002";

    #[test]
    fn an_api_version_that_never_was_is_refused_with_those_there_are() {
        let refusal = |path: &str, version: &str| {
            let uri: Uri = format!("{path}?api-version={version}").parse().expect("a URI");
            let checked = Query::of(&uri).expect("a query").check_api_version(path);
            checked.err().map(|error| format!("{error:?}"))
        };
        let registries = format!("/subscriptions/{SUB}/providers/Microsoft.ContainerRegistry/registries");
        for (path, version) in [
            (registries.as_str(), "2017-03-01"),
            (&registries, "2031-01-01-preview"),
            ("/subscriptions", "2016-06-01"),
            ("/subscriptions/x/resourceGroups/g/providers/Microsoft.Unknown/y", "2016-06-01"),
        ] {
            assert_eq!(refusal(path, version), None, "{path} {version}");
        }
        let error = refusal(&registries, "2015-01-01").expect("older than the first");
        assert!(error.contains("NoRegisteredProviderFound"), "{error}");
        assert!(error.contains(
            "'2015-01-01' for type 'registries'. The supported api-versions are '2026-09-01-preview, "
        ));
        for version in ["x", "2021-13-01", "2021-01-01-beta", "2013-01-01"] {
            let error = refusal("/subscriptions", version).expect("none");
            assert!(error.contains("InvalidApiVersionParameter"), "{error}");
            assert!(error.contains(&format!(
                "The api-version '{version}' is invalid. The supported versions are '2025"
            )));
        }
        let none = refusal("/subscriptions", "").expect("none");
        assert!(none.contains("MissingApiVersionParameter"), "{none}");
    }

    #[test]
    fn a_subscription_is_named_by_a_guid() {
        let error = format!("{:?}", parse("/subscriptions/mine/resourceGroups").expect_err("no GUID"));
        assert!(
            error.contains("The provided subscription identifier 'mine' is malformed or invalid."),
            "{error}"
        );
    }

    #[test]
    fn case_and_duplicate_slashes_do_not_matter() {
        let registry = |group: &str, name: &str| Scope {
            subscription: Uuid::from_u128(2),
            group: Some(group.to_owned()),
            registry: Some(name.to_owned()),
        };
        let all = Scope { subscription: Uuid::from_u128(2), group: None, registry: None };
        for (path, wanted) in [
            ("//metadata/endpoints".to_owned(), Some(Target::Metadata)),
            (format!("/subscriptions/{SUB}/"), Some(Target::Subscription(Uuid::from_u128(2)))),
            (
                format!("/Subscriptions/{SUB}/providers/microsoft.SECURITY/Assessments"),
                Some(Target::Assessments(Reach::Within(all.clone()))),
            ),
            (
                format!("/subscriptions/{SUB}/providers/Microsoft.Security/subAssessments"),
                Some(Target::SubAssessments(Reach::Within(all), None)),
            ),
            (
                format!(
                    "/subscriptions/{SUB}/resourcegroups/My%20Group/providers/microsoft.containerregistry/registries/\
                     Reg/providers/Microsoft.Security/assessments/ABC/SubAssessments/X"
                ),
                Some(Target::SubAssessment(
                    Reach::Within(registry("My Group", "Reg")),
                    "abc".to_owned(),
                    "X".to_owned(),
                )),
            ),
            (
                format!(
                    "/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r\
                     /Repositories-App-images-sha256%3Aab/providers/Microsoft.Security/assessments"
                ),
                Some(Target::Assessments(Reach::Image(
                    registry("g", "r"),
                    "Repositories-App-images-sha256:ab".to_owned(),
                ))),
            ),
            (
                "/providers/Microsoft.Management/managementGroups/Root/providers/Microsoft.Security/findingRules/R"
                    .to_owned(),
                Some(Target::FindingRule(Reach::Everywhere("Root".to_owned()), "R".to_owned())),
            ),
            (
                "/providers/Microsoft.Security/assessmentMetadata/X".to_owned(),
                Some(Target::AssessmentMetadata(None, "x".to_owned())),
            ),
            (format!("/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Security/pricings"), None),
            (format!("/{SUB}/oauth2/v2.0/token"), Some(Target::Token(Some(Uuid::from_u128(2)), TokenVersion::V2))),
            ("/subscriptions/x".to_owned(), None),
            (
                format!("/subscriptions/{SUB}/resourceGroups"),
                Some(Target::ResourceGroups(Uuid::from_u128(2))),
            ),
            (
                format!(
                    "/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
                ),
                Some(Target::Registry(registry("g", "r"))),
            ),
            (format!("/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Security"), None),
            ("/subscriptions/%zz".to_owned(), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(target(&path), wanted, "{path}");
        }
    }

    #[test]
    fn an_api_version_is_a_date() {
        let check = |query: &str| {
            Query::of(&format!("/x?{query}").parse().expect("a path"))
                .expect("parses")
                .check_api_version("/subscriptions")
                .is_ok()
        };
        assert!(check("api-version=2019-01-01-preview"));
        assert!(check("Api-Version=2022-12-01"));
        assert!(!check("api-version=2022-13-01"));
        assert!(!check("api-version=2022-12-01-beta"));
        assert!(!check("api-version=é2-12-01-01"));
        assert!(!check("api-version="));
        assert!(!check(""));
    }
}
