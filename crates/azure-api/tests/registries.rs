//! Registries and resource groups over Azure's API: who may change them, and what is refused.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use assessment::RateCard;
use auth::{Auth, SigningKey, hash_secret, roles};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use azure_documents::Names;
use blobstore::BlobStore;
use http_body_util::BodyExt as _;
use metastore::{
    Durability, Metastore, Principal, PrincipalKind, PrincipalSecret, ResourceGroup, RoleAssignment,
    SavedQuery, Subscription, Tier,
};
use registry::{NobodyWatches, Registry};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

const SUB: Uuid = Uuid::from_u128(2);

struct House {
    router: Router,
    auth: Auth,
    metastore: Metastore,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    let first = Subscription { id: SUB, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUB, "default".to_owned(), "local".to_owned());
    metastore.create_tenancy(Uuid::from_u128(1), first, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let default = metastore.registries().await.unwrap()[0].id;
    let elsewhere = "/subscriptions/00000000-0000-0000-0000-00000000000f";
    for (number, name, role, scope) in [
        (10, "admin", roles::OWNER, "/"),
        (11, "reader", roles::READER, "/"),
        (12, "stranger", roles::OWNER, elsewhere),
        (13, "neighbour", roles::CONTRIBUTOR, &format!("/subscriptions/{SUB}/resourceGroups/default")),
    ] {
        let id = Uuid::from_u128(number);
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret("secret"));
        let role = RoleAssignment::new(id, id, role, scope.to_owned());
        assert!(metastore.create_principal(principal, secret, role, 0).await.unwrap());
    }
    let clock: azure_api::Clock = Arc::new(|| 1_800_000_000_000);
    let key = SigningKey::new(&[1; 32]).unwrap();
    let auth = Auth::new(metastore.clone(), key, Uuid::from_u128(1), clock.clone());
    let (tenant, rates) = (Uuid::from_u128(1), RateCard::default());
    let domain = azure_api::Domain { name: "registry.test".to_owned(), default, login_server: None };
    let registry = Registry::new(
        metastore.clone(),
        BlobStore::open(&folder.path().join("blobs"), blobstore::Durability::Unflushed).unwrap(),
        Arc::new(NobodyWatches),
        Arc::new(|| ()),
        clock.clone(),
    );
    let router = azure_api::router(azure_api::Parts {
        metastore: metastore.clone(),
        auth: auth.clone(),
        tenant,
        clock,
        rates,
        names: Names::Own,
        domain,
        imports: azure_api::Imports::new(registry, Vec::new()),
        wake: Arc::new(|| ()),
    });
    House { router, auth, metastore, _folder: folder }
}

impl House {
    /// The status, and the error's code if it is one.
    async fn ask(&self, name: &str, method: &str, path: &str, body: Value) -> (u16, String, Value) {
        self.send(name, method, &format!("{path}?api-version=2025-11-01"), body).await
    }

    /// What the administrator reads with more in the query.
    async fn with_query(&self, path: &str, query: &str) -> Value {
        self.send("admin", "GET", &format!("{path}?api-version=2025-11-01{query}"), Value::Null).await.2
    }

    async fn send(&self, name: &str, method: &str, path: &str, body: Value) -> (u16, String, Value) {
        let path = format!("/subscriptions/{SUB}{path}");
        let mut request = Request::builder().method(method).uri(path).header("host", "arm.example:5443");
        if !name.is_empty() {
            let caller = self.auth.password(name, "secret").await.unwrap();
            let issued = self.auth.issue_management_token(&caller, "https://management.azure.com").unwrap();
            request = request.header("authorization", format!("Bearer {}", issued.token));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        (status, document["error"]["code"].as_str().unwrap_or_default().to_owned(), document)
    }

    #[track_caller]
    fn is((status, code, document): (u16, String, Value), wanted: (u16, &str)) -> Value {
        assert_eq!((status, code.as_str()), wanted, "{document:#}");
        document
    }
}

fn registry(group: &str, name: &str) -> String {
    format!("/resourceGroups/{group}/providers/Microsoft.ContainerRegistry/registries/{name}")
}

#[tokio::test]
async fn changing_takes_a_role() {
    let house = house().await;
    let one = registry("default", "second");
    for (method, path) in [
        ("PUT", one.as_str()),
        ("PATCH", &one),
        ("DELETE", &one),
        ("PUT", "/resourceGroups/new"),
        ("DELETE", "/resourceGroups/default"),
    ] {
        let body = json!({ "location": "here" });
        House::is(house.ask("", method, path, body.clone()).await, (401, "AuthenticationFailed"));
        House::is(house.ask("stranger", method, path, body.clone()).await, (404, "SubscriptionNotFound"));
        House::is(house.ask("reader", method, path, body).await, (403, "AuthorizationFailed"));
    }
    let credentials = format!("{}/listCredentials", registry("default", "lazaret"));
    House::is(house.ask("reader", "POST", &credentials, Value::Null).await, (403, "AuthorizationFailed"));
    let refused = house.ask("admin", "POST", &credentials, Value::Null).await;
    House::is(refused, (400, "UnAuthorizedForCredentialOperations"));
}

#[tokio::test]
async fn a_registry_comes_and_goes() {
    let house = house().await;
    let one = registry("GROUP", "Second");
    let wanted = json!({ "sku": { "name": "basic" }, "location": "here", "tags": { "a": "b" } });
    House::is(house.ask("admin", "PUT", &one, wanted.clone()).await, (404, "ResourceGroupNotFound"));
    House::is(
        house.ask("admin", "PUT", "/resourceGroups/group", json!({ "location": "x" })).await,
        (201, ""),
    );
    House::is(
        house.ask("admin", "PUT", "/resourceGroups/Group", json!({ "location": "x" })).await,
        (200, ""),
    );
    let made = House::is(house.ask("admin", "PUT", &one, wanted).await, (201, ""));
    assert_eq!(made["properties"]["loginServer"], "second.registry.test:5443");
    assert_eq!((&made["name"], &made["sku"]["name"]), (&json!("Second"), &json!("Basic")));
    let shown = House::is(house.ask("reader", "GET", &one, Value::Null).await, (200, ""));
    // What is shown may be sent back.
    assert_eq!(House::is(house.ask("admin", "PUT", &one, shown.clone()).await, (200, "")), shown);
    assert_eq!(shown["systemData"]["createdBy"], Uuid::from_u128(10).to_string());
    let same = registry("default", "sECOND");
    House::is(house.ask("admin", "PUT", &same, json!({})).await, (409, "AlreadyInUse"));
    House::is(house.ask("admin", "DELETE", &one, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", &one, Value::Null).await, (204, ""));
    House::is(house.ask("admin", "GET", &one, Value::Null).await, (404, "ResourceNotFound"));
    // A patch makes none, and who may delete it may have its name.
    House::is(house.ask("admin", "PATCH", &one, json!({})).await, (404, "ResourceNotFound"));
    House::is(house.ask("neighbour", "PUT", &same, json!({})).await, (409, "AlreadyInUse"));
    let check = "/providers/Microsoft.ContainerRegistry/checkNameAvailability";
    for (name, wanted) in [("admin", true), ("neighbour", false)] {
        let answer = house.ask(name, "POST", check, json!({ "name": "Second" })).await;
        assert_eq!(House::is(answer, (200, ""))["nameAvailable"], wanted, "{name}");
    }
    let long = house.ask("admin", "POST", check, json!({ "name": "x".repeat(5000) })).await;
    House::is(long, (400, "RequestContentTooLarge"));
    let again = House::is(house.ask("admin", "PUT", &one, json!({})).await, (201, ""));
    assert_eq!((&again["tags"], &again["sku"]["name"]), (&json!({}), &json!("Premium")));
    House::is(house.ask("admin", "DELETE", &one, Value::Null).await, (200, ""));
    // In another group, too.
    House::is(house.ask("admin", "PUT", &same, json!({})).await, (201, ""));
    House::is(house.ask("admin", "DELETE", &same, Value::Null).await, (200, ""));
    let default = house.ask("admin", "DELETE", &registry("default", "lazaret"), Value::Null).await;
    House::is(default, (409, "DefaultRegistry"));
}

#[tokio::test]
async fn a_resource_group_goes_with_its_registries() {
    let house = house().await;
    let (group, body) = ("/resourceGroups/group", json!({ "location": "x" }));
    House::is(house.ask("admin", "PUT", group, body.clone()).await, (201, ""));
    let saved = SavedQuery {
        subscription: SUB,
        resource_group: "group".to_owned(),
        name: "query".to_owned(),
        description: String::new(),
        query: "resources".to_owned(),
        changed_ms: 0,
    };
    assert!(house.metastore.put_saved_query(saved).await.unwrap());
    for name in ["second", "third"] {
        House::is(house.ask("admin", "PUT", &registry("group", name), json!({})).await, (201, ""));
    }
    House::is(house.ask("admin", "DELETE", &registry("group", "third"), Value::Null).await, (200, ""));
    House::is(house.ask("neighbour", "DELETE", group, Value::Null).await, (403, "AuthorizationFailed"));
    House::is(house.ask("admin", "GET", &registry("group", "second"), Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", group, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "GET", group, Value::Null).await, (404, "ResourceGroupNotFound"));
    // The names are free, for others as well.
    House::is(house.ask("neighbour", "PUT", &registry("default", "second"), json!({})).await, (201, ""));
    House::is(house.ask("neighbour", "PUT", &registry("default", "third"), json!({})).await, (201, ""));
    let default = house.ask("admin", "DELETE", "/resourceGroups/default", Value::Null).await;
    House::is(default, (409, "DefaultRegistry"));
    House::is(house.ask("admin", "GET", &registry("default", "second"), Value::Null).await, (200, ""));
}

#[tokio::test]
async fn groups_are_found_by_their_tags() {
    let house = house().await;
    for (name, team) in [("blue", "Blue"), ("red", "Red")] {
        let body = json!({ "location": "x", "tags": { "team": team } });
        House::is(house.ask("admin", "PUT", &format!("/resourceGroups/{name}"), body).await, (201, ""));
    }
    for (filter, wanted) in [
        ("tagName%20eq%20'team'%20and%20tagValue%20eq%20'Blue'", vec!["blue"]),
        ("tagName%20eq%20'TEAM'", vec!["blue", "red"]),
        ("tagName%20eq%20'owner'", vec![]),
    ] {
        let listed = house.with_query("/resourceGroups", &format!("&$filter={filter}")).await;
        let names: Vec<&str> =
            listed["value"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, wanted, "{filter}");
    }
}

#[tokio::test]
async fn what_is_not_had_is_named() {
    let house = house().await;
    for (path, wanted) in [
        (
            "/resourceGroups/default/providers/Microsoft.KeyVault/vaults/one/providers/Microsoft.Authorization/locks",
            "management locks of anything but subscriptions",
        ),
        ("/providers/Microsoft.Authorization/policyAssignments", "`az policy assignment`"),
        ("/providers/Microsoft.Resources/tags/other", "the tags API for anything but subscriptions"),
        ("/resourceGroups/default/providers/Microsoft.KeyVault/vaults/one", "`az keyvault`"),
        ("/providers/Microsoft.Unknown/things/one", "no resource type at this path"),
    ] {
        let answer = house.ask("admin", "GET", path, Value::Null).await;
        let document = House::is(answer, (404, "InvalidResourceType"));
        assert!(document["error"]["message"].as_str().unwrap().contains(wanted), "{path}: {document}");
    }
}

#[tokio::test]
async fn the_token_endpoint_takes_its_own_addresses_for_an_audience() {
    let house = house().await;
    let tenant = Uuid::from_u128(1);
    for (version, field, audience, status) in [
        ("/oauth2/v2.0/token", "scope", "https://arm.example:5443/.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://arm.example:5443//.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://ARM.example/.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://registry.test:5443/.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://second.registry.test/.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://127.0.0.1:5443/.default", 200),
        ("/oauth2/v2.0/token", "scope", "https://arm.example:5443/user_impersonation", 200),
        ("/oauth2/token", "resource", "https://arm.example:5443", 200),
        ("/oauth2/token", "resource", "https://arm.example:5443/", 200),
        ("/oauth2/v2.0/token", "scope", "https://other.example/.default", 400),
        ("/oauth2/v2.0/token", "scope", "https://evilregistry.test/.default", 400),
        ("/oauth2/v2.0/token", "scope", "https://arm.example.evil:5443/.default", 400),
        ("/oauth2/v2.0/token", "scope", "https://arm.example@evil.example/.default", 400),
        ("/oauth2/v2.0/token", "scope", "https://evil.example@arm.example/.default", 400),
        ("/oauth2/v2.0/token", "scope", "https://arm.example:5443/other/.default", 400),
        ("/oauth2/v2.0/token", "scope", "ftp://arm.example:5443/.default", 400),
        ("/oauth2/token", "resource", "", 400),
    ] {
        let form =
            format!("grant_type=client_credentials&client_id=admin&client_secret=secret&{field}={audience}");
        let request = Request::post(format!("/{tenant}{version}"))
            .header("host", "arm.example:5443")
            .header("content-type", "application/x-www-form-urlencoded");
        let response = house.router.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{audience}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        if status == 200 {
            let token = document["access_token"].as_str().unwrap();
            let caller = house.auth.verify_management_token(token).await.unwrap();
            assert_eq!(caller.name, "admin", "{audience}");
        }
    }
}

#[tokio::test]
async fn quarantine_is_switched_by_the_policy_and_stays_as_it_is_otherwise() {
    let house = house().await;
    let one = registry("default", "lazaret");
    let policy =
        |status: Value| json!({ "properties": { "policies": { "quarantinePolicy": { "status": status } } } });
    for (body, wanted) in [
        (json!({}), "disabled"),
        (policy(json!("Enabled")), "enabled"),
        (json!({ "tags": { "a": "b" } }), "enabled"),
        (policy(json!("disabled")), "disabled"),
    ] {
        House::is(house.ask("admin", "PATCH", &one, body).await, (200, ""));
        let shown = House::is(house.ask("reader", "GET", &one, Value::Null).await, (200, ""));
        assert_eq!(shown["properties"]["policies"]["quarantinePolicy"]["status"], wanted);
    }
    let refused = house.ask("admin", "PATCH", &one, policy(json!(true))).await;
    House::is(refused, (400, "InvalidPolicyStatus"));
}

#[tokio::test]
async fn what_a_registry_does_not_have_is_refused() {
    let house = house().await;
    for (properties, name) in [
        (json!({ "publicNetworkAccess": "Disabled" }), "publicNetworkAccess"),
        (json!({ "encryption": { "status": 1 } }), "encryption.status"),
        (
            json!({ "encryption": { "keyVaultProperties": { "identity": "i" } } }),
            "encryption.keyVaultProperties",
        ),
        (json!({ "networkRuleSet": { "ipRules": [{ "value": "1.2.3.4" }] } }), "networkRuleSet.ipRules"),
        (json!({ "networkRuleSet": { "virtualNetworkRules": [{}] } }), "networkRuleSet.virtualNetworkRules"),
        (json!({ "networkRuleBypassOptions": "None" }), "networkRuleBypassOptions"),
        (json!({ "networkRuleBypassAllowedForTasks": true }), "networkRuleBypassAllowedForTasks"),
        (json!({ "policies": { "trustPolicy": { "type": "Other" } } }), "policies.trustPolicy.type"),
        (json!({ "policies": { "newPolicy": { "status": "enabled" } } }), "policies.newPolicy.status"),
        (json!({ "policies": "all" }), "policies"),
        (json!({ "metadataSearch": "Enabled" }), "metadataSearch"),
        (json!({ "regionalEndpoints": "Enabled" }), "regionalEndpoints"),
        (json!({ "endpointProtocol": "IPv4AndIPv6" }), "endpointProtocol"),
        (json!({ "autoGeneratedDomainNameLabelScope": "TenantReuse" }), "autoGeneratedDomainNameLabelScope"),
        (json!({ "writableCacheRepos": "Enabled" }), "writableCacheRepos"),
    ] {
        let body = json!({ "properties": properties });
        let answer = house.ask("admin", "PUT", &registry("default", "second"), body).await;
        let document = House::is(answer, (400, "UnsupportedProperty"));
        assert!(document["error"]["message"].as_str().unwrap().contains(name), "{document}");
    }
    let identity = json!({ "identity": { "type": "SystemAssigned" } });
    let refused = house.ask("admin", "PATCH", &registry("default", "lazaret"), identity).await;
    let document = House::is(refused, (400, "UnsupportedProperty"));
    assert!(document["error"]["message"].as_str().unwrap().contains("identity.type"), "{document}");
    // What says that there is none is no change.
    let off = json!({ "identity": { "type": "None" }, "properties": {
        "networkRuleSet": { "ipRules": [], "defaultAction": "Allow" }, "networkRuleBypassOptions": "AzureServices",
        "networkRuleBypassAllowedForTasks": false, "metadataSearch": "Disabled", "encryption": null,
        "autoGeneratedDomainNameLabelScope": "Unsecure",
    } });
    House::is(house.ask("admin", "PATCH", &registry("default", "lazaret"), off).await, (200, ""));
    for (name, code) in [("four", "InvalidRegistryName"), ("has-dash", "InvalidRegistryName")] {
        House::is(house.ask("admin", "PUT", &registry("default", name), json!({})).await, (400, code));
    }
    for body in [json!({ "sku": { "name": "Free" } }), json!({ "tags": { "a": 1 } }), json!([])] {
        let (status, code, _) = house.ask("admin", "PUT", &registry("default", "second"), body).await;
        assert_eq!(status, 400, "{code}");
    }
    let check = "/providers/Microsoft.ContainerRegistry/checkNameAvailability";
    for (name, wanted) in
        [("lazaRET", json!("AlreadyExists")), ("a-b-c", json!("Invalid")), ("second", json!(null))]
    {
        let answer = House::is(house.ask("reader", "POST", check, json!({ "name": name })).await, (200, ""));
        assert_eq!(answer["reason"], wanted, "{name}");
    }
}

#[tokio::test]
async fn the_admin_user_and_the_policy_are_as_they_were_set() {
    let house = house().await;
    let one = registry("default", "lazaret");
    let credentials = format!("{one}/listCredentials");
    let set = |properties: Value| json!({ "properties": properties });
    let body = set(json!({ "adminUserEnabled": true, "anonymousPullEnabled": true }));
    let changed = House::is(house.ask("admin", "PATCH", &one, body).await, (200, ""));
    assert_eq!(
        (&changed["properties"]["adminUserEnabled"], &changed["properties"]["anonymousPullEnabled"]),
        (&json!(true), &json!(true))
    );
    let first = House::is(house.ask("admin", "POST", &credentials, Value::Null).await, (200, ""));
    assert_eq!(
        (&first["username"], &first["passwords"][1]["name"]),
        (&json!("lazaret"), &json!("password2"))
    );
    assert_eq!(House::is(house.ask("admin", "POST", &credentials, Value::Null).await, (200, "")), first);
    let renew = format!("{one}/regenerateCredential");
    let second =
        House::is(house.ask("admin", "POST", &renew, json!({ "name": "password2" })).await, (200, ""));
    assert_eq!(second["passwords"][0], first["passwords"][0]);
    assert_ne!(second["passwords"][1], first["passwords"][1]);
    House::is(
        house.ask("admin", "POST", &renew, json!({ "name": "password3" })).await,
        (400, "InvalidPasswordName"),
    );
    House::is(
        house.ask("reader", "POST", &renew, json!({ "name": "password" })).await,
        (403, "AuthorizationFailed"),
    );

    let policy = |policy: Value| set(json!({ "policies": { "retentionPolicy": policy } }));
    for (wanted, status, days) in [
        (json!({ "status": "enabled", "days": 30 }), "enabled", 30),
        (json!({ "days": 3 }), "enabled", 3),
        (json!({ "status": "disabled" }), "disabled", 7),
        (json!({ "status": "Enabled" }), "enabled", 7),
    ] {
        let changed = House::is(house.ask("admin", "PATCH", &one, policy(wanted.clone())).await, (200, ""));
        let found = &changed["properties"]["policies"]["retentionPolicy"];
        assert_eq!((&found["status"], &found["days"]), (&json!(status), &json!(days)), "{wanted}");
    }
    for bad in [json!({ "status": "on" }), json!({ "days": 366 }), json!({ "days": "x" })] {
        House::is(house.ask("admin", "PATCH", &one, policy(bad)).await, (400, "InvalidRetentionPolicy"));
    }
    House::is(
        house.ask("admin", "PATCH", &one, set(json!({ "adminUserEnabled": 1 }))).await,
        (400, "InvalidRequestContent"),
    );
    let usages =
        House::is(house.ask("reader", "GET", &format!("{one}/listUsages"), Value::Null).await, (200, ""));
    assert_eq!(usages["value"][0]["name"], "Size");
}

#[tokio::test]
async fn scope_maps_and_tokens_come_and_go() {
    let house = house().await;
    let one = registry("default", "lazaret");
    let (map, token) = (format!("{one}/scopeMaps/team-map"), format!("{one}/tokens/robot"));
    let actions =
        json!({ "properties": { "actions": ["repositories/team/*/content/read"], "description": "x" } });
    for path in [&map, &token] {
        House::is(house.ask("stranger", "PUT", path, actions.clone()).await, (404, "SubscriptionNotFound"));
        House::is(house.ask("reader", "PUT", path, actions.clone()).await, (403, "AuthorizationFailed"));
        House::is(house.ask("admin", "PATCH", path, actions.clone()).await, (404, "ResourceNotFound"));
    }
    let made = House::is(house.ask("admin", "PUT", &map, actions.clone()).await, (201, ""));
    assert_eq!(
        (&made["properties"]["type"], &made["properties"]["description"]),
        (&json!("UserDefined"), &json!("x"))
    );
    assert_eq!(House::is(house.ask("admin", "PUT", &map, actions).await, (200, "")), made);
    let listed =
        House::is(house.ask("reader", "GET", &format!("{one}/scopeMaps"), Value::Null).await, (200, ""));
    assert_eq!(listed["value"].as_array().unwrap().len(), 6);
    let system = House::is(
        house.ask("reader", "GET", &format!("{one}/scopeMaps/_REPOSITORIES_pull"), Value::Null).await,
        (200, ""),
    );
    assert_eq!(system["properties"]["type"], "SystemDefined");
    for (name, actions, code) in [
        ("_repositories_pull", json!(["repositories/a/content/read"]), "SystemScopeMap"),
        ("_other", json!(["repositories/a/content/read"]), "SystemScopeMap"),
        ("x", json!(["repositories/a/content/read"]), "InvalidResourceName"),
        ("other-map", json!(["repositories/a/fly"]), "InvalidScopeMapActions"),
        ("other-map", json!([]), "InvalidScopeMapActions"),
    ] {
        let body = json!({ "properties": { "actions": actions } });
        House::is(house.ask("admin", "PUT", &format!("{one}/scopeMaps/{name}"), body).await, (400, code));
    }

    let holds = |map: &str| json!({ "properties": { "scopeMapId": format!("{one}/scopeMaps/{map}") } });
    House::is(house.ask("admin", "PUT", &token, json!({})).await, (400, "InvalidRequestContent"));
    House::is(house.ask("admin", "PUT", &token, holds("absent")).await, (404, "ResourceNotFound"));
    House::is(house.ask("admin", "PUT", &token, holds("_absent")).await, (404, "ResourceNotFound"));
    let made = House::is(house.ask("admin", "PUT", &token, holds("team-map")).await, (201, ""));
    assert_eq!(
        (&made["properties"]["status"], &made["properties"]["credentials"]["passwords"]),
        (&json!("enabled"), &json!([]))
    );
    House::is(house.ask("admin", "DELETE", &map, Value::Null).await, (409, "ScopeMapInUse"));
    let generate = format!("{one}/generateCredentials");
    let body = json!({ "tokenId": made["id"], "name": "password1", "expiry": "2100-01-01T00:00:00Z" });
    let shown = House::is(house.ask("admin", "POST", &generate, body).await, (200, ""));
    assert_eq!((&shown["username"], shown["passwords"].as_array().unwrap().len()), (&json!("robot"), 1));
    assert_eq!(shown["passwords"][0]["value"].as_str().unwrap().len(), 32);
    assert_eq!(shown["passwords"][0]["expiry"], "2100-01-01T00:00:00.0000000Z");
    let both =
        House::is(house.ask("admin", "POST", &generate, json!({ "tokenId": made["id"] })).await, (200, ""));
    assert_eq!(both["passwords"].as_array().unwrap().len(), 2);
    let read = House::is(house.ask("reader", "GET", &token, Value::Null).await, (200, ""));
    assert_eq!(read["properties"]["credentials"]["passwords"][1]["name"], "password2");
    assert!(!read.to_string().contains("value"));
    for (body, status, code) in [
        (json!({ "tokenId": "x/absent" }), 404, "ResourceNotFound"),
        (json!({ "tokenId": made["id"], "name": "password3" }), 400, "InvalidPasswordName"),
        (json!({ "tokenId": made["id"], "expiry": "2001-01-01T00:00:00Z" }), 400, "InvalidExpiry"),
    ] {
        House::is(house.ask("admin", "POST", &generate, body).await, (status, code));
    }
    House::is(
        house.ask("reader", "POST", &generate, json!({ "tokenId": made["id"] })).await,
        (403, "AuthorizationFailed"),
    );
    // What a PATCH lists of the passwords stays, the rest goes.
    let kept = json!({ "properties": { "status": "disabled", "credentials": { "passwords": [{ "name": "password2" }] } } });
    let changed = House::is(house.ask("admin", "PATCH", &token, kept).await, (200, ""));
    assert_eq!(changed["properties"]["status"], "disabled");
    assert_eq!(changed["properties"]["credentials"]["passwords"].as_array().unwrap().len(), 1);
    House::is(house.ask("admin", "DELETE", &token, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", &token, Value::Null).await, (204, ""));
    House::is(house.ask("admin", "DELETE", &map, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", &map, Value::Null).await, (204, ""));
    let none =
        House::is(house.ask("reader", "GET", &format!("{one}/replications"), Value::Null).await, (200, ""));
    assert_eq!(none["value"], json!([]));
    House::is(
        house.ask("admin", "PUT", &format!("{one}/replications/west"), json!({})).await,
        (400, "UnsupportedResourceType"),
    );
}

#[tokio::test]
async fn a_list_goes_on_where_its_link_says() {
    let house = house().await;
    let one = registry("default", "lazaret");
    for number in 0..120 {
        let path = format!("{one}/scopeMaps/map-{number:03}");
        let body = json!({ "properties": { "actions": ["repositories/a/content/read"] } });
        House::is(house.ask("admin", "PUT", &path, body).await, (201, ""));
    }
    let first =
        House::is(house.ask("reader", "GET", &format!("{one}/scopeMaps"), Value::Null).await, (200, ""));
    let link = first["nextLink"].as_str().unwrap();
    assert!(link.starts_with("http://arm.example:5443/subscriptions/"), "{link}");
    let token = link.split("$skipToken=").nth(1).unwrap();
    let second = house.with_query(&format!("{one}/scopeMaps"), &format!("&$skipToken={token}")).await;
    let rows = |page: &Value| page["value"].as_array().unwrap().len();
    assert_eq!((rows(&first), rows(&second), &second["nextLink"]), (100, 25, &Value::Null));
    assert_eq!(
        house.with_query(&format!("{one}/scopeMaps"), "&$skipToken=%25%25").await["error"]["code"],
        "InvalidSkipToken"
    );
}

#[tokio::test]
async fn a_condition_is_kept_shown_and_carried_out_or_refused() {
    let house = house().await;
    let one = registry("default", "lazaret");
    let name = format!("{one}/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::from_u128(77));
    let condition = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'})) OR \
                     (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWith 'team/'))";
    let wanted = |role: Uuid, condition: &str, version: &str| {
        json!({ "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "principalId": Uuid::from_u128(12),
            "condition": condition,
            "conditionVersion": version,
            "description": "for the team",
        } })
    };
    let code = "InvalidRoleAssignmentCondition";
    for (role, text, version) in [
        (roles::ACR_PULL, condition, "2.0"),
        (roles::OWNER, condition, "2.0"),
        (roles::CATALOG_LISTER, condition, "2.0"),
        (roles::REPOSITORY_READER, condition, "1.0"),
        (roles::REPOSITORY_READER, "@Resource[x:name] StringEquals 'a'", "2.0"),
    ] {
        House::is(house.ask("admin", "PUT", &name, wanted(role, text, version)).await, (400, code));
    }
    let body = wanted(roles::REPOSITORY_READER, condition, "2.0");
    let made = House::is(house.ask("admin", "PUT", &name, body.clone()).await, (201, ""));
    let properties = &made["properties"];
    assert_eq!(
        (&properties["condition"], &properties["conditionVersion"]),
        (&json!(condition), &json!("2.0"))
    );
    assert_eq!(
        (&properties["description"], &properties["createdBy"]),
        (&json!("for the team"), &json!(Uuid::from_u128(10)))
    );
    House::is(house.ask("admin", "PUT", &name, body).await, (201, ""));
    let second = name.replace(&Uuid::from_u128(77).to_string(), &Uuid::from_u128(78).to_string());
    let again = wanted(roles::REPOSITORY_READER, "", "2.0");
    House::is(house.ask("admin", "PUT", &second, again).await, (409, "RoleAssignmentExists"));
    let caller = house.auth.caller(Uuid::from_u128(12)).await.unwrap().unwrap();
    let may = |repository: &str| {
        let registry = format!("/subscriptions/{SUB}{one}");
        caller.may(auth::Action::Pull, &auth::repository_scope(&registry, repository))
    };
    assert!(may("team/app") && !may("other"));
    House::is(house.ask("admin", "DELETE", &name, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", &name, Value::Null).await, (204, ""));
    let definitions = format!("{one}/providers/Microsoft.Authorization/roleDefinitions");
    for (filter, count) in [
        ("type%20eq%20'BuiltInRole'", roles::ROLES.len()),
        ("type%20eq%20'CustomRole'", 0),
        ("roleName%20eq%20'container%20registry%20repository%20reader'", 1),
    ] {
        let found = house.with_query(&definitions, &format!("&$filter={filter}")).await;
        assert_eq!(found["value"].as_array().unwrap().len(), count, "{filter}");
    }
}
