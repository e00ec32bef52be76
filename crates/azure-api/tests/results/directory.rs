//! The directory (Microsoft Graph): who sees whom, and who may make programs and give them secrets.

use auth::roles;
use metastore::{AssignRole, Principal, PrincipalKind, RoleAssignment};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::*;

const ADMIN: Uuid = Uuid::from_u128(10);
const READER: Uuid = Uuid::from_u128(11);
const PULLER: Uuid = Uuid::from_u128(13);
const ELSEWHERE: &str = "/subscriptions/00000000-0000-0000-0000-00000000000f";

impl House {
    async fn graph(&self, name: &str, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token(name).await);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/v1.0{path}"), &[("authorization", &bearer)], &body).await
    }

    async fn names(&self, name: &str, path: &str) -> Vec<String> {
        let listed = self.graph(name, "GET", path, Value::Null).await.is(200).body;
        let rows = listed["value"].as_array().unwrap();
        rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect()
    }

    /// What the token endpoint says to an id with a secret.
    async fn logs_in(&self, id: &str, secret: &Value) -> u16 {
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={}\
             &scope=https%3A%2F%2Fregistry.example%3A5443%2F%2F.default",
            secret.as_str().unwrap()
        );
        self.send("POST", &format!("/{TENANT}/oauth2/v2.0/token"), &[FORM], &form).await.status
    }

    async fn give(&self, principal: &str, role: Uuid, scope: &str) {
        let principal = Uuid::parse_str(principal).unwrap();
        let role = RoleAssignment::new(Uuid::new_v4(), principal, role, scope.to_owned());
        assert!(matches!(self.metastore.assign_role(role, 1).await.unwrap(), AssignRole::Assigned(_)));
    }
}

#[tokio::test]
async fn everybody_sees_themself_and_who_may_read_roles_sees_all() {
    let house = house().await;
    house.metastore.set_principal_kind(READER, PrincipalKind::Person).await.unwrap();
    let programs = ["admin", "elsewhere", "puller", "security"];
    for caller in ["admin", "reader", "security", "elsewhere"] {
        assert_eq!(house.names(caller, "/servicePrincipals").await, programs, "{caller}");
        assert_eq!(house.names(caller, "/users").await, ["reader"], "{caller}");
    }
    assert_eq!(house.names("puller", "/servicePrincipals").await, ["puller"]);
    assert_eq!(house.names("puller", "/applications").await, ["puller"]);
    assert_eq!(house.names("puller", "/users").await, [""; 0]);
    assert_eq!(house.names("admin", "/groups").await, [""; 0]);
    let see = |caller, path: String| {
        let house = &house;
        async move { house.graph(caller, "GET", &path, Value::Null).await }
    };
    for (caller, id, status) in [("admin", ADMIN, 200), ("puller", PULLER, 200), ("puller", ADMIN, 404)] {
        for face in ["servicePrincipals", "applications", "directoryObjects"] {
            see(caller, format!("/{face}/{id}")).await.is(status);
        }
    }
    for path in [format!("/servicePrincipals/{READER}"), format!("/users/{ADMIN}"), "/users/admin".to_owned()]
    {
        assert_eq!(see("admin", path).await.is(404).code(), "Request_ResourceNotFound");
    }
    for id in [READER.to_string(), "reader".to_owned()] {
        let found = see("admin", format!("/users/{id}")).await.is(200).body;
        assert_eq!((&found["userPrincipalName"], &found["id"]), (&json!("reader"), &json!(READER)));
    }
    let me = see("reader", "/me".to_owned()).await.is(200).body;
    assert_eq!(me["@odata.context"], "http://registry.example:5443/v1.0/$metadata#users/$entity");
    assert_eq!(me["displayName"], "reader");
    let refused = see("puller", "/me".to_owned()).await.is(400).body;
    assert!(refused["error"]["message"].as_str().unwrap().contains("delegated"), "{refused}");

    let ids = json!({ "ids": [READER, ADMIN, Uuid::nil()], "types": ["user", "group", "servicePrincipal"] });
    let by_ids = async |caller: &str, body: &Value| {
        house.graph(caller, "POST", "/directoryObjects/getByIds", body.clone()).await
    };
    let found = by_ids("admin", &ids).await.is(200).body;
    let types: Vec<_> = found["value"].as_array().unwrap().iter().map(|row| &row["@odata.type"]).collect();
    assert_eq!(types, ["#microsoft.graph.servicePrincipal", "#microsoft.graph.user"]);
    assert_eq!(found["value"][0]["servicePrincipalNames"], json!(["admin", ADMIN]));
    assert_eq!(by_ids("puller", &ids).await.is(200).body["value"], json!([]));
    let only =
        by_ids("admin", &json!({ "ids": [READER, ADMIN], "types": ["application"] })).await.is(200).body;
    assert_eq!(only["value"].as_array().unwrap().len(), 1);
    assert_eq!(only["value"][0]["@odata.type"], "#microsoft.graph.application");
    for body in [json!({ "ids": ["x"] }), json!({}), json!({ "ids": vec![ADMIN; 1001] })] {
        assert_eq!(by_ids("admin", &body).await.is(400).code(), "Request_BadRequest");
    }
    let refused = house.send("GET", "/v1.0/me", &[], "").await.is(401);
    assert_eq!(refused.code(), "InvalidAuthenticationToken");
    assert!(refused.headers.contains_key("www-authenticate") && refused.headers.contains_key("request-id"));
    assert!(refused.body["error"]["innerError"]["request-id"].is_string());
}

#[tokio::test]
async fn lists_are_filtered_narrowed_and_paged() {
    let house = house().await;
    for (filter, wanted) in [
        ("servicePrincipalNames/any(c:c%20eq%20'puller')", vec!["puller"]),
        (&format!("servicePrincipalNames/any(c:c%20eq%20'{PULLER}')"), vec!["puller"]),
        ("displayName%20eq%20'ADMIN'", vec!["admin"]),
        ("startswith(displayName,'pu')%20or%20displayName%20eq%20'reader'", vec!["puller", "reader"]),
        ("displayName%20eq%20'nobody'", vec![]),
    ] {
        let path = format!("/servicePrincipals?$filter={filter}");
        assert_eq!(house.names("admin", &path).await, wanted, "{filter}");
    }
    let path = "/applications?$select=displayName&$top=2&$count=true&$filter=startswith(displayName,'')";
    let mut page = house.graph("admin", "GET", path, Value::Null).await.is(200).body;
    assert_eq!(page["@odata.count"], 5);
    let mut names = Vec::new();
    loop {
        for row in page["value"].as_array().unwrap() {
            assert_eq!(row.as_object().unwrap().len(), 2, "the id and what was asked for: {row}");
            names.push(row["displayName"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["@odata.nextLink"].as_str() else { break };
        let next = next.strip_prefix("http://registry.example:5443/v1.0").unwrap().to_owned();
        page = house.graph("admin", "GET", &next, Value::Null).await.is(200).body;
    }
    assert_eq!(names, ["admin", "elsewhere", "puller", "reader", "security"]);
    for query in [
        "$top=0",
        "$top=1000",
        "$search=x",
        "$orderby=id",
        "$skiptoken=%25",
        "$filter=x",
        "$filter=colour%20eq%20'red'",
    ] {
        let refused = house.graph("admin", "GET", &format!("/applications?{query}"), Value::Null).await;
        assert_eq!(refused.is(400).code(), "Request_BadRequest", "{query}");
    }
    house.graph("admin", "GET", "/messages", Value::Null).await.is(404);
    house.graph("admin", "DELETE", "/users", Value::Null).await.is(405);
}

#[tokio::test]
async fn a_program_that_is_made_logs_in_by_its_secrets_until_they_are_taken_away() {
    let house = house().await;
    let body = json!({ "displayName": "ci-Team", "keyCredentials": [], "signInAudience": "AzureADMyOrg", "web": { "redirectUris": [] } });
    assert_eq!(
        house.graph("puller", "POST", "/applications", body.clone()).await.is(403).code(),
        "Authorization_RequestDenied"
    );
    let made = house.graph("admin", "POST", "/applications", body.clone()).await.is(201).body;
    let id = made["appId"].as_str().unwrap().to_owned();
    assert_eq!(made["passwordCredentials"], json!([]));
    house.graph("admin", "POST", "/applications", body).await.is(409);
    let wanted = json!({ "appId": id, "accountEnabled": true });
    let principal = house.graph("admin", "POST", "/servicePrincipals", wanted.clone()).await.is(201).body;
    assert_eq!(principal["id"], id.as_str(), "it is one thing");
    house.graph("puller", "POST", "/servicePrincipals", wanted).await.is(403);
    let owners =
        house.graph("admin", "GET", &format!("/applications/{id}/owners"), Value::Null).await.is(200);
    assert_eq!(owners.body["value"][0]["id"], json!(ADMIN));
    let owned = house.graph("admin", "GET", "/me/ownedObjects", Value::Null).await.is(200).body;
    assert_eq!(owned["value"].as_array().unwrap().len(), 2, "as both");

    let at = |face: &str, verb: &str| format!("/{face}/{id}{verb}");
    let wanted = json!({ "passwordCredential": {
        "displayName": "rbac", "startDateTime": "2027-01-15T08:00:00Z", "endDateTime": "2028-01-15T08:00:00Z",
    } });
    let first = house.graph("admin", "POST", &at("applications", "/addPassword"), wanted).await.is(200).body;
    let other =
        house.graph("admin", "POST", &at("servicePrincipals", "/addPassword"), json!({})).await.is(200).body;
    assert_eq!(first["endDateTime"], "2028-01-15T08:00:00Z");
    assert_eq!(other["endDateTime"], "2029-01-14T08:00:00Z", "two years, unless somebody says");
    for secret in [&first, &other] {
        assert_eq!(house.logs_in(&id, &secret["secretText"]).await, 200);
    }
    let shown = house.graph("admin", "GET", &at("applications", ""), Value::Null).await.is(200).body;
    let listed = shown["passwordCredentials"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|one| one["secretText"].is_null()), "shown once: {shown}");
    let remove = json!({ "keyId": first["keyId"] });
    house.graph("admin", "POST", &at("servicePrincipals", "/removePassword"), remove.clone()).await.is(204);
    house.graph("admin", "POST", &at("servicePrincipals", "/removePassword"), remove).await.is(400);
    assert_eq!(house.logs_in(&id, &first["secretText"]).await, 401);
    assert_eq!(house.logs_in(&id, &other["secretText"]).await, 200);

    for (verb, body) in [
        ("/addPassword", json!({ "passwordCredential": { "endDateTime": "2020-01-01T00:00:00Z" } })),
        ("/addPassword", json!({ "passwordCredential": { "startDateTime": "2030-01-01T00:00:00Z" } })),
        ("/addPassword", json!({ "passwordCredential": { "endDateTime": "soon" } })),
        ("/addPassword", json!({ "passwordCredential": { "displayName": "x".repeat(101) } })),
        ("/addPassword", json!([])),
        ("/removePassword", json!({})),
    ] {
        house.graph("admin", "POST", &at("applications", verb), body).await.is(400);
    }
    for _ in 0..4 {
        house.graph("admin", "POST", &at("applications", "/addPassword"), json!({})).await.is(200);
    }
    let refused =
        house.graph("admin", "POST", &at("applications", "/addPassword"), json!({})).await.is(400).body;
    assert!(refused["error"]["message"].as_str().unwrap().contains("up to 5 secrets"), "{refused}");
    house.graph("admin", "PATCH", &at("applications", ""), json!({ "displayName": "ci-Team" })).await.is(204);
    for (method, path, body) in [
        ("PATCH", at("applications", ""), json!({ "displayName": "other" })),
        ("POST", "/applications".to_owned(), json!({ "displayName": "two words" })),
        ("POST", "/applications".to_owned(), json!({ "displayName": ADMIN })),
        ("POST", "/applications".to_owned(), json!({})),
        ("POST", "/applications".to_owned(), json!({ "displayName": "x", "isFallbackPublicClient": true })),
        (
            "POST",
            "/applications".to_owned(),
            json!({ "displayName": "x", "keyCredentials": [{ "key": "x" }] }),
        ),
        ("POST", "/servicePrincipals".to_owned(), json!({ "appId": Uuid::nil() })),
    ] {
        house.graph("admin", method, &path, body).await.is(400);
    }
    let long = json!({ "displayName": "x".repeat(70_000) });
    house.graph("admin", "POST", "/applications", long).await.is(413);
    house.graph("admin", "DELETE", &at("servicePrincipals", ""), Value::Null).await.is(204);
    house.graph("admin", "DELETE", &at("applications", ""), Value::Null).await.is(404);
    assert_eq!(house.logs_in(&id, &other["secretText"]).await, 401);
    assert_eq!(
        house.graph("admin", "DELETE", &format!("/applications/{ADMIN}"), Value::Null).await.is(409).code(),
        "Request_BadRequest",
        "somebody owns the house"
    );
}

#[tokio::test]
async fn nobody_becomes_a_principal_that_may_more_than_they_could_give() {
    let house = house().await;
    // Owner of another subscription, who may give roles there and make programs for it.
    let body = json!({ "displayName": "theirs" });
    let made = house.graph("elsewhere", "POST", "/applications", body).await.is(201).body;
    let theirs = made["id"].as_str().unwrap().to_owned();
    let add = |id: &str| format!("/applications/{id}/addPassword");
    house.graph("elsewhere", "POST", &add(&theirs), json!({})).await.is(200);
    house.give(&theirs, roles::OWNER, ELSEWHERE).await;
    house.graph("elsewhere", "POST", &add(&theirs), json!({})).await.is(200);

    // Not of what others made, whatever it may: not its secrets, not its end.
    for id in [ADMIN, PULLER] {
        let at = format!("/servicePrincipals/{id}");
        for (method, path, body) in [
            ("POST", format!("{at}/addPassword"), json!({})),
            ("POST", format!("{at}/removePassword"), json!({ "keyId": Uuid::nil() })),
            ("PATCH", at.clone(), json!({})),
            ("DELETE", at.clone(), Value::Null),
        ] {
            let refused = house.graph("elsewhere", method, &path, body).await.is(403);
            assert_eq!(refused.code(), "Authorization_RequestDenied", "{method} {path}");
        }
    }
    // Nor of their own once somebody gave it a role that they could not give.
    house.give(&theirs, roles::ACR_PULL, &house.resource).await;
    for (method, path) in [("POST", add(&theirs)), ("DELETE", format!("/applications/{theirs}"))] {
        let refused = house.graph("elsewhere", method, &path, json!({})).await.is(403).body;
        assert!(
            refused["error"]["message"].as_str().unwrap().contains("Insufficient privileges"),
            "{refused}"
        );
    }
    // Who gives roles everywhere may.
    house.graph("admin", "POST", &add(&theirs), json!({})).await.is(200);
    // Who owns a program and may give roles no longer changes it no longer.
    let mine =
        house.graph("elsewhere", "POST", "/applications", json!({ "displayName": "mine" })).await.is(201);
    let mine = mine.body["id"].as_str().unwrap().to_owned();
    house.metastore.remove_role(Uuid::from_u128(140), roles::OWNER).await.unwrap().unwrap();
    house.graph("elsewhere", "POST", &add(&mine), json!({})).await.is(403);
    house.graph("elsewhere", "GET", &format!("/applications/{mine}"), Value::Null).await.is(200);
    // Reading is not giving.
    house.graph("security", "POST", &add(&mine), json!({})).await.is(403);
    house.graph("puller", "POST", &add(&mine), json!({})).await.is(404);
}

#[tokio::test]
async fn who_gives_roles_somewhere_owns_so_many_programs_and_who_gives_them_everywhere_any() {
    let house = house().await;
    for (number, owner) in [(1_000, Uuid::from_u128(14)), (2_000, ADMIN)] {
        for number in number..number + 250 {
            let kind = PrincipalKind::Program;
            let program = Principal::new(Uuid::from_u128(number), format!("p{number}"), kind);
            let program = Principal { owner: Some(owner), ..program };
            house.metastore.add_program(program, vec![], usize::MAX, 1).await.unwrap();
        }
    }
    let make = async |caller, name: &str| {
        house.graph(caller, "POST", "/applications", json!({ "displayName": name })).await
    };
    assert_eq!(make("elsewhere", "one-more").await.is(403).code(), "Directory_QuotaExceeded");
    make("admin", "one-more").await.is(201);
    let gone = format!("/applications/{}", Uuid::from_u128(1_000));
    house.graph("elsewhere", "DELETE", &gone, Value::Null).await.is(204);
    make("elsewhere", "again").await.is(201);
    let owned = house.graph("elsewhere", "GET", "/me/ownedObjects?$top=999", Value::Null).await.is(200).body;
    assert_eq!(owned["value"].as_array().unwrap().len(), 500, "each in both its faces");
}
