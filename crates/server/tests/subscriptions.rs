//! Subscriptions by command, beside a running server: there at once, and read only when disabled.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
const ID: &str = "5f2f4f8e-4d5c-4f0e-9a43-0a8d6a6b7c11";

struct Station {
    server: Server,
    client: Client,
    token: String,
    _folder: tempfile::TempDir,
}

impl Station {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        let client = server.client();
        let token = client.arm_token().await;
        Self { server, client, token, _folder: folder }
    }

    /// What a command says; its failure is what it says of it.
    fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.server.command(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.command(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    }

    async fn azure(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = format!("http://{}{path}?api-version=2022-12-01", self.server.address);
        let request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        let answer = request.send().await.expect("answers");
        let status = answer.status();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
    }
}

#[tokio::test]
async fn a_subscription_is_made_named_and_found_while_the_server_runs() {
    let station = Station::start().await;
    station.ok(&["subscription", "create", "Team blue", "--id", ID]);
    assert!(
        station.command(&["subscription", "create", "team BLUE"]).expect_err("taken").contains("already")
    );
    assert!(
        station
            .command(&["subscription", "rename", "nobody", "x"])
            .expect_err("unknown")
            .contains("`lazaret subscription list`")
    );
    station.ok(&["subscription", "rename", "team blue", "Team red"]);
    let (_, found) = station.azure(Method::GET, &format!("/subscriptions/{ID}"), None).await;
    assert_eq!((&found["displayName"], &found["state"]), (&json!("Team red"), &json!("Enabled")));
    let (_, plan) = station
        .azure(
            Method::GET,
            &format!("/subscriptions/{ID}/providers/Microsoft.Security/pricings/ContainerRegistry"),
            None,
        )
        .await;
    assert_eq!(plan["properties"]["pricingTier"], "Standard");
    station.ok(&["group", "create", "web", "--subscription", "Team red", "--location", "north"]);
    let (_, groups) = station.azure(Method::GET, &format!("/subscriptions/{ID}/resourceGroups"), None).await;
    assert_eq!(groups["value"][0]["name"], "web");
    assert!(station.command(&["group", "delete", "web"]).expect_err("of which?").contains("--subscription"));
    station.ok(&["group", "delete", "web", "--subscription", ID]);
    let listed: Value =
        serde_json::from_str(&station.ok(&["subscription", "list", "--format=json"])).expect("a list");
    let names: Vec<_> = listed.as_array().expect("a list").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let log: Value = serde_json::from_str(&station.ok(&["audit", "--format=json"])).expect("a list");
    let actions: Vec<_> =
        log.as_array().expect("a list").iter().map(|entry| entry["action"].clone()).collect();
    assert!(actions.contains(&json!("lazaret subscription create")), "{actions:?}");
}

#[tokio::test]
async fn in_a_disabled_subscription_reads_go_on_and_nothing_changes() {
    let station = Station::start().await;
    let registry = station.client.registry_id(&station.token).await;
    let subscription = registry.split('/').nth(2).expect("an id").to_owned();
    let group = format!("/subscriptions/{subscription}/resourceGroups/made");
    station.client.push("app", "1", &image().layer(&[("a", "b")])).await.expect("pushes");
    station.ok(&["subscription", "disable", &subscription]);

    let (status, refused) = station.azure(Method::PUT, &group, Some(json!({ "location": "local" }))).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (StatusCode::CONFLICT, &json!("ReadOnlyDisabledSubscription"))
    );
    assert_eq!(
        refused["error"]["message"],
        format!(
            "The subscription '{subscription}' is disabled and therefore marked as read only. You cannot perform any \
             write actions on this subscription until it is re-enabled."
        )
    );
    for (method, path) in [
        (Method::DELETE, registry.clone()),
        (Method::PUT, format!("{registry}/providers/Microsoft.Authorization/roleAssignments/{ID}")),
        (Method::POST, format!("{registry}/regenerateCredential")),
        (
            Method::PUT,
            format!(
                "/subscriptions/{subscription}/resourceGroups/default/providers/Microsoft.ResourceGraph/queries/q"
            ),
        ),
    ] {
        let (status, refused) = station.azure(method.clone(), &path, Some(json!({}))).await;
        assert_eq!(status, StatusCode::CONFLICT, "{method} {path}: {refused}");
    }
    let (status, found) = station.azure(Method::GET, &registry, None).await;
    assert_eq!((status, &found["name"]), (StatusCode::OK, &json!("lazaret")));
    let (_, found) = station.azure(Method::GET, &format!("/subscriptions/{subscription}"), None).await;
    assert_eq!(found["state"], "Disabled");

    // The registry learns of it within a second.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let upload = || station.client.request(Method::POST, "/v2/app/blobs/uploads/").send();
    while upload().await.expect("answers").status() != StatusCode::FORBIDDEN {
        assert!(std::time::Instant::now() < deadline, "pushes go on");
    }
    let refused = upload().await.expect("answers").text().await.expect("text");
    assert!(refused.contains("DENIED") && refused.contains("disabled"), "{refused}");
    assert_eq!(station.client.get("/v2/app/manifests/1").await.expect("answers").status(), 200);

    station.ok(&["subscription", "enable", &subscription]);
    let (status, _) = station.azure(Method::PUT, &group, Some(json!({ "location": "local" }))).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_subscription_goes_when_it_holds_nothing_and_its_usage_stays() {
    let station = Station::start().await;
    let path = format!("/subscriptions/{ID}");
    let cancel = format!("{path}/providers/Microsoft.Subscription/cancel");
    station.ok(&["subscription", "create", "Passing", "--id", ID]);
    station.ok(&["group", "create", "web", "--subscription", ID]);
    station.ok(&["registry", "create", "passing", "--subscription", ID, "--resource-group", "web"]);
    station.ok(&["cluster", "create", "prod", "--subscription", ID, "--url=https://reg.example"]);
    let principal =
        station.ok(&["principal", "create", "helper", "--role=Contributor", &format!("--scope={path}")]);
    let secret = principal.split_whitespace().find(|word| word.len() == 32).expect("a secret");
    let helper = Client::new(&station.server.address, "helper", secret).arm_token().await;
    let rule = format!("{path}/providers/Microsoft.Security/findingRules/accepted");
    let body = json!({ "properties": { "criteria": { "notPatchable": true }, "reason": "because" } });
    assert_eq!(station.azure(Method::PUT, &rule, Some(body)).await.0, StatusCode::CREATED);
    station.server.client().push("app", "1", &image()).await.expect("pushes");
    // What is in it is named one after the other, with what takes it away.
    let refused = |wanted: &str| {
        let error = station.command(&["subscription", "delete", "passing"]).expect_err("it holds something");
        assert!(error.contains(wanted), "{error}");
    };
    refused("holds the registry passing: `lazaret registry delete passing` first");
    let (status, error) = station.azure(Method::POST, &cancel, None).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::CONFLICT, &json!("SubscriptionNotEmpty")));
    assert!(error["error"]["message"].as_str().expect("text").contains("the registry 'passing'"), "{error}");
    station.ok(&["registry", "delete", "passing"]);
    refused("the deleted registry passing: `lazaret registry purge passing`");
    station.ok(&["registry", "purge", "passing"]);
    refused(&format!("the resource group web: `lazaret group delete web --subscription {ID}`"));
    station.ok(&["group", "delete", "web", "--subscription", ID]);
    refused("the cluster prod: `lazaret cluster delete prod`");
    station.ok(&["cluster", "delete", "prod"]);
    // Who may not take roles away may not take a scope away at which roles are held.
    let url = format!("http://{}{cancel}?api-version=2021-10-01", station.server.address);
    let answer = reqwest::Client::new().post(url).bearer_auth(&helper).send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let (status, answer) = station.azure(Method::POST, &cancel, None).await;
    assert_eq!((status, &answer), (StatusCode::OK, &json!({ "subscriptionId": ID })));
    assert_eq!(station.azure(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(station.azure(Method::POST, &cancel, None).await.0, StatusCode::NOT_FOUND);
    let roles = station.ok(&["principal", "list", "--format=json"]);
    assert!(!roles.contains(ID), "{roles}");
    assert!(!station.ok(&["rule", "list"]).contains(ID));
    station.ok(&["fsck"]);
    let log = station.ok(&["audit", "--format=json"]);
    assert!(log.contains("Passing"), "{log}");
    // Its id is not given again, and its name is.
    assert!(station.command(&["subscription", "create", "Again", "--id", ID]).is_err());
    station.ok(&["subscription", "create", "Passing"]);
    station.ok(&["subscription", "delete", "Passing"]);
}

#[tokio::test]
async fn what_is_locked_stays_whichever_door_it_is_asked_by() {
    let station = Station::start().await;
    let path = format!("/subscriptions/{ID}");
    station.ok(&["subscription", "create", "Kept", "--id", ID]);
    station.ok(&["group", "create", "web", "--subscription", ID]);
    station.ok(&["registry", "create", "keeper", "--subscription", ID, "--resource-group", "web"]);
    let group = format!("{path}/resourceGroups/web");
    let registry = format!("{group}/providers/Microsoft.ContainerRegistry/registries/keeper");
    let lock = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/locks/keep");
    let level = |level: &str| Some(json!({ "properties": { "level": level, "notes": "because" } }));
    let hook = format!("{registry}/webhooks/hooked");
    let body = json!({ "location": "local",
        "properties": { "serviceUri": "https://hooks.example/x", "actions": ["push"] } });
    assert_eq!(station.azure(Method::PUT, &hook, Some(body.clone())).await.0, StatusCode::CREATED);
    let (status, made) = station.azure(Method::PUT, &lock(&registry), level("cannotdelete")).await;
    assert_eq!(
        (status, &made["properties"]["level"]),
        (StatusCode::CREATED, &json!("CanNotDelete")),
        "{made}"
    );
    assert_eq!(station.azure(Method::GET, &lock(&registry), None).await.1, made);
    for (wrong, code) in
        [(level("Strict"), "InvalidLock"), (Some(json!({ "level": "ReadOnly" })), "UnsupportedProperty")]
    {
        let (status, error) = station.azure(Method::PUT, &lock(&registry), wrong).await;
        assert_eq!((status, &error["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(code)));
    }
    // What holds it cannot go, nor what is in it.
    let locked = |status, error: Value| {
        assert_eq!(
            (status, &error["error"]["code"]),
            (StatusCode::CONFLICT, &json!("ScopeLocked")),
            "{error}"
        );
        assert!(error["error"]["message"].as_str().expect("text").contains(&lock(&registry)), "{error}");
    };
    for (method, path) in [
        (Method::DELETE, &registry),
        (Method::DELETE, &group),
        (Method::DELETE, &hook),
        (Method::POST, &format!("{path}/providers/Microsoft.Subscription/cancel")),
    ] {
        let (status, error) = station.azure(method, path, None).await;
        locked(status, error);
    }
    let error = station.command(&["registry", "delete", "keeper"]).expect_err("it is locked");
    assert!(
        error.contains("locks/keep is locked: remove that lock first (`az lock delete --ids`)"),
        "{error}"
    );
    // It can be changed, until it is read only.
    let admin = json!({ "properties": { "adminUserEnabled": true } });
    assert_eq!(station.azure(Method::PATCH, &registry, Some(admin.clone())).await.0, StatusCode::OK);
    assert_eq!(station.azure(Method::PUT, &lock(&group), level("ReadOnly")).await.0, StatusCode::CREATED);
    for (method, path, body) in [
        (Method::PATCH, &registry, admin),
        (Method::PUT, &hook, body),
        (Method::PUT, &group, json!({ "location": "local", "tags": { "a": "b" } })),
        (Method::PUT, &format!("{group}/providers/Microsoft.ContainerRegistry/registries/other"), json!({})),
        (Method::PUT, &format!("{group}/providers/Microsoft.ResourceGraph/queries/q"), json!({})),
        (Method::PUT, &format!("{group}/providers/Microsoft.Security/findingRules/r"), json!({})),
        (
            Method::PUT,
            &format!("{group}/providers/Microsoft.Resources/tags/default"),
            json!({ "properties": { "tags": {} } }),
        ),
    ] {
        let (status, error) = station.azure(method, path, Some(body)).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (StatusCode::CONFLICT, &json!("ScopeLocked")),
            "{path}: {error}"
        );
    }
    for command in [
        vec!["registry", "set", "keeper", "--admin-user=false"],
        vec!["registry", "create", "other", "--subscription", ID, "--resource-group", "web"],
    ] {
        assert!(station.command(&command).expect_err("it is locked").contains("locks/keep"), "{command:?}");
    }
    let listed = |path: String| {
        let station = &station;
        async move { station.azure(Method::GET, &path, None).await.1["value"].as_array().expect("a list").len() }
    };
    for (scope, count) in [(&path, 2), (&group, 2), (&registry, 2)] {
        assert_eq!(
            listed(format!("{scope}/providers/Microsoft.Authorization/locks")).await,
            count,
            "{scope}"
        );
    }
    // A lock itself can be taken away, and then the rest.
    for scope in [&group, &registry] {
        assert_eq!(station.azure(Method::DELETE, &lock(scope), None).await.0, StatusCode::OK);
        assert_eq!(station.azure(Method::DELETE, &lock(scope), None).await.0, StatusCode::NO_CONTENT);
    }
    deleted_stays_while_kept(&station, &registry, &group).await;
    assert_eq!(station.azure(Method::DELETE, &group, None).await.0, StatusCode::OK);
    station.ok(&["subscription", "delete", "Kept"]);
    assert!(station.ok(&["audit", "--format=json"]).contains("CanNotDelete"));
}

/// A deleted registry is purged by no door while its own group is locked or its subscription disabled: not even by who
/// makes one of its name elsewhere.
async fn deleted_stays_while_kept(station: &Station, registry: &str, group: &str) {
    let name = registry.rsplit('/').next().expect("a name");
    assert_eq!(station.azure(Method::DELETE, registry, None).await.0, StatusCode::OK);
    // They are listed in the order of their ids, which are random.
    let (_, all) = station.azure(Method::GET, "/subscriptions", None).await;
    let all = all["value"].as_array().expect("a list").clone();
    let mut others = all.iter().filter_map(|one| one["subscriptionId"].as_str()).filter(|id| *id != ID);
    let other = others.next().expect("another subscription");
    let elsewhere = format!("/subscriptions/{other}");
    station.ok(&["group", "create", "elsewhere", "--subscription", other]);
    let elsewhere = format!(
        "{elsewhere}/resourceGroups/elsewhere/providers/Microsoft.ContainerRegistry/registries/{name}"
    );
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/keep");
    let make = |path: String| async move {
        let body = json!({ "location": "local", "sku": { "name": "Premium" } });
        let (status, error) = station.azure(Method::PUT, &path, Some(body)).await;
        (status, error["error"]["code"].clone())
    };
    for level in ["CanNotDelete", "ReadOnly"] {
        let body = json!({ "properties": { "level": level } });
        assert!(station.azure(Method::PUT, &lock, Some(body)).await.0.is_success());
        for path in [&elsewhere, registry] {
            assert_eq!(
                make(path.to_owned()).await,
                (StatusCode::CONFLICT, json!("ScopeLocked")),
                "{level} {path}"
            );
        }
        assert!(
            station.command(&["registry", "purge", name]).expect_err("it is locked").contains("locks/keep")
        );
    }
    assert!(
        station.command(&["registry", "restore", name]).expect_err("it is locked").contains("locks/keep")
    );
    assert_eq!(station.azure(Method::DELETE, &lock, None).await.0, StatusCode::OK);
    station.ok(&["subscription", "disable", ID]);
    let wanted = (StatusCode::CONFLICT, json!("ReadOnlyDisabledSubscription"));
    assert_eq!(make(elsewhere).await, wanted);
    assert!(station.command(&["registry", "purge", name]).expect_err("it is disabled").contains("disabled"));
    station.ok(&["subscription", "enable", ID]);
    station.ok(&["registry", "restore", name]);
}

#[tokio::test]
async fn tags_are_set_by_themselves() {
    let station = Station::start().await;
    let path = format!("/subscriptions/{ID}");
    station.ok(&["subscription", "create", "Tagged", "--id", ID]);
    station.ok(&["group", "create", "web", "--subscription", ID]);
    station.ok(&["registry", "create", "tagged", "--subscription", ID, "--resource-group", "web"]);
    let group = format!("{path}/resourceGroups/web");
    let registry = format!("{group}/providers/Microsoft.ContainerRegistry/registries/tagged");
    for scope in [&path, &group, &registry] {
        let own = format!("{scope}/providers/Microsoft.Resources/tags/default");
        for (method, operation, sent, wanted) in [
            (Method::PUT, None, json!({ "Team": "web", "env": "x" }), json!({ "Team": "web", "env": "x" })),
            (
                Method::PATCH,
                Some("Merge"),
                json!({ "team": "db", "n": "1" }),
                json!({ "team": "db", "env": "x", "n": "1" }),
            ),
            (
                Method::PATCH,
                Some("Delete"),
                json!({ "N": "", "env": "y" }),
                json!({ "team": "db", "env": "x" }),
            ),
            (Method::PATCH, Some("Replace"), json!({ "last": "1" }), json!({ "last": "1" })),
        ] {
            let mut body = json!({ "properties": { "tags": sent } });
            if let Some(operation) = operation {
                body["operation"] = operation.into();
            }
            let (status, answer) = station.azure(method, &own, Some(body)).await;
            assert_eq!((status, &answer["properties"]["tags"]), (StatusCode::OK, &wanted), "{answer}");
            assert_eq!(station.azure(Method::GET, &own, None).await.1["properties"]["tags"], wanted);
            assert_eq!(station.azure(Method::GET, scope, None).await.1["tags"], wanted, "{scope}");
        }
        let wrong = json!({ "operation": "Add", "properties": { "tags": {} } });
        assert_eq!(station.azure(Method::PATCH, &own, Some(wrong)).await.0, StatusCode::BAD_REQUEST);
    }
    let query =
        json!({ "query": "resources | union resourcecontainers | where tags.last == '1' | project id" });
    let graph = "/providers/Microsoft.ResourceGraph/resources";
    let (_, found) = station.azure(Method::POST, graph, Some(query)).await;
    assert_eq!(found["count"], 3, "Resource Graph shows them: {found}");
    // Clients that merge at the same time lose nothing of each other's.
    let own = format!("{group}/providers/Microsoft.Resources/tags/default");
    let merge = |number: u32| {
        let body = json!({ "operation": "Merge", "properties": { "tags": { format!("n{number}"): "1" } } });
        station.azure(Method::PATCH, &own, Some(body))
    };
    let merged = futures_util::future::join_all((0..20).map(merge)).await;
    assert!(merged.iter().all(|(status, _)| *status == StatusCode::OK));
    let (_, kept) = station.azure(Method::GET, &own, None).await;
    assert_eq!(kept["properties"]["tags"].as_object().expect("tags").len(), 21, "{kept}");
    let body = json!({ "operation": "Replace", "properties": { "tags": { "last": "1" } } });
    assert_eq!(station.azure(Method::PATCH, &own, Some(body)).await.0, StatusCode::OK);
    let (_, names) = station.azure(Method::GET, &format!("{path}/tagNames"), None).await;
    assert_eq!(
        (&names["value"][0]["tagName"], &names["value"][0]["count"]["value"]),
        (&json!("last"), &json!(3))
    );
    for scope in [&path, &group, &registry] {
        let own = format!("{scope}/providers/Microsoft.Resources/tags/default");
        assert_eq!(station.azure(Method::DELETE, &own, None).await.0, StatusCode::OK);
        assert_eq!(station.azure(Method::GET, scope, None).await.1["tags"], json!({}));
    }
}
