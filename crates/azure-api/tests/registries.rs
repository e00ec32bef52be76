//! Registries and resource groups over Azure's API: who may change them, and what is refused.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Arc;

use assessment::RateCard;
use auth::{Auth, SigningKey, hash_secret, roles};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use azure_documents::Names;
use http_body_util::BodyExt as _;
use metastore::{Durability, Metastore, Principal, ResourceGroup, RoleAssignment, Subscription, Tier};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

const SUB: Uuid = Uuid::from_u128(2);

struct House {
    router: Router,
    auth: Auth,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    let first = Subscription { id: SUB, display_name: "s".to_owned() };
    let group = ResourceGroup { subscription: SUB, name: "default".to_owned(), location: "local".to_owned() };
    metastore.create_tenancy(Uuid::from_u128(1), first, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let default = metastore.registries().await.unwrap()[0].id;
    let elsewhere = "/subscriptions/00000000-0000-0000-0000-00000000000f";
    for (number, name, role, scope) in [
        (10, "admin", roles::OWNER, "/"),
        (11, "reader", roles::READER, "/"),
        (12, "stranger", roles::OWNER, elsewhere),
    ] {
        let id = Uuid::from_u128(number);
        let principal = Principal { id, name: name.to_owned(), secret_hash: hash_secret("secret") };
        let role = RoleAssignment { id, principal: id, role, scope: scope.to_owned() };
        assert!(metastore.create_principal(principal, role, 0).await.unwrap());
    }
    let clock: azure_api::Clock = Arc::new(|| 1_800_000_000_000);
    let key = SigningKey::new(&[1; 32]).unwrap();
    let auth = Auth::new(metastore.clone(), key, Uuid::from_u128(1), clock.clone());
    let (tenant, rates) = (Uuid::from_u128(1), RateCard::default());
    let domain = azure_api::Domain { name: "registry.test".to_owned(), default };
    let wake = Arc::new(|| ());
    let router = azure_api::router(metastore, auth.clone(), tenant, clock, rates, Names::Own, domain, wake);
    House { router, auth, _folder: folder }
}

impl House {
    /// The status, and the error's code if it is one.
    async fn ask(&self, name: &str, method: &str, path: &str, body: Value) -> (u16, String, Value) {
        let path = format!("/subscriptions/{SUB}{path}?api-version=2025-11-01");
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
    let same = registry("default", "sECOND");
    House::is(house.ask("admin", "PUT", &same, json!({})).await, (409, "AlreadyInUse"));
    let busy = house.ask("admin", "DELETE", "/resourceGroups/group", Value::Null).await;
    House::is(busy, (409, "ResourceGroupNotEmpty"));
    House::is(house.ask("admin", "DELETE", &one, Value::Null).await, (200, ""));
    House::is(house.ask("admin", "DELETE", &one, Value::Null).await, (204, ""));
    House::is(house.ask("admin", "GET", &one, Value::Null).await, (404, "ResourceNotFound"));
    House::is(house.ask("admin", "PUT", &one, json!({})).await, (409, "RegistryDeleted"));
    let default = house.ask("admin", "DELETE", &registry("default", "lazaret"), Value::Null).await;
    House::is(default, (409, "DefaultRegistry"));
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
        (json!({ "adminUserEnabled": true }), "adminUserEnabled"),
        (json!({ "anonymousPullEnabled": true }), "anonymousPullEnabled"),
        (json!({ "policies": { "retentionPolicy": { "status": "enabled" } } }), "policies.retentionPolicy"),
        (json!({ "publicNetworkAccess": "Disabled" }), "publicNetworkAccess"),
        (json!({ "encryption": { "status": 1 } }), "encryption.status"),
    ] {
        let body = json!({ "properties": properties });
        let answer = house.ask("admin", "PUT", &registry("default", "second"), body).await;
        let document = House::is(answer, (400, "UnsupportedProperty"));
        assert!(document["error"]["message"].as_str().unwrap().contains(name), "{document}");
    }
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
