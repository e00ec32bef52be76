//! What the log says of requests.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::directory;
use crate::house::{House, made};

const GROUP: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}";
const REGISTRY: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ContainerRegistry/registries/{registryName}";
const ASSIGNMENT: &str = "11111111-2222-4333-8444-555555555555";

/// Changing routes that change nothing of their own, and why.
const UNTOLD: [(&str, &str); 12] = [
    ("POST /v1.0/servicePrincipals", "changes nothing: it came with its application"),
    ("/getByIds", "changes nothing"),
    ("/connectedRegistries/", "there are none"),
    ("/privateEndpointConnections/", "there are none"),
    ("/privateLinkResources/", "there are none"),
    ("/replications/", "there are none"),
    ("/credentialSets/{credentialSetName}", "made by the command line alone"),
    ("{registryName}/providers/Microsoft.Security/pricings/", "refused: a plan is a subscription's"),
    ("DELETE /subscriptions/{subscriptionId}/providers/Microsoft.Security/pricings/", "refused"),
    ("/register", "changes nothing"),
    ("/checkNameAvailability", "changes nothing"),
    ("/listEvents", "changes nothing"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_changing_request_is_told_with_its_target_and_its_values() {
    let mut house = House::new().await;
    let helper =
        house.does(&["principal", "create", "helper", "--role=AcrPull"], &["made principal helper ("]);
    let id =
        helper.lines().find(|line| line.starts_with("id")).and_then(|line| line.split_whitespace().nth(1));
    let id = id.expect("an id").to_owned();
    let mut told = BTreeSet::new();
    let registry = |more: &str| format!("{REGISTRY}{more}");
    let assignment = |role: &str| {
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        json!({ "properties": { "roleDefinitionId": role, "principalId": id } })
    };
    let rule =
        |reason: &str| json!({ "properties": { "criteria": { "advisories": ["CVE-9"] }, "reason": reason } });
    let hook = |actions: &str, header: &str| {
        json!({ "properties": {
            "serviceUri": format!("https://who:hush-user@192.0.2.1/hush-path?key=hush-query"),
            "customHeaders": { "X-Key": header }, "actions": [actions],
        } })
    };
    house
        .secrets
        .extend(["hush-user", "hush-path", "hush-query", "hush-header", "hush-other"].map(str::to_owned));
    let digest = made("first").digest().to_string();
    let named = format!("app@{digest}");
    for level in [
        "/subscriptions/{subscriptionId}".to_owned(),
        GROUP.to_owned(),
        REGISTRY.to_owned(),
        registry("/repositories/{repository}"),
    ] {
        let path =
            format!("{level}/providers/Microsoft.Authorization/roleAssignments/{{roleAssignmentName}}");
        let name = ASSIGNMENT.replace("11111111", &format!("{:08x}", level.len()));
        let path_filled = path.replace("{repository}", "app");
        let person = format!("role assignment helper ({id})");
        for (method, body, wanted) in [
            (
                "PUT",
                assignment(READER),
                [
                    format!("made {person}"),
                    format!("role: nothing -> Reader ({READER})"),
                    "scope: nothing -> /subscriptions/".to_owned(),
                ],
            ),
            (
                "DELETE",
                Value::Null,
                [
                    format!("removed {person}"),
                    format!("role: Reader ({READER}) -> nothing"),
                    "scope: /subscriptions/".to_owned(),
                ],
            ),
        ] {
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            house.asks(method, &path_filled, &name, body, &wanted).await;
            told.insert(format!("{method} {path}"));
        }
    }
    for level in [
        "/providers/Microsoft.Management/managementGroups/{managementGroupId}".to_owned(),
        "/subscriptions/{subscriptionId}".to_owned(),
        GROUP.to_owned(),
        REGISTRY.to_owned(),
    ] {
        let path = format!("{level}/providers/Microsoft.Security/findingRules/{{findingRuleName}}");
        house
            .asks(
                "PUT",
                &path,
                "accepted",
                rule("old"),
                &["made rule accepted", "reason: nothing -> old", "CVE-9"],
            )
            .await;
        house
            .asks("PUT", &path, "accepted", rule("new"), &["changed rule accepted", "reason: old -> new"])
            .await;
        house
            .asks(
                "DELETE",
                &path,
                "accepted",
                Value::Null,
                &["removed rule accepted", "reason: new -> nothing"],
            )
            .await;
        told.extend([format!("PUT {path}"), format!("DELETE {path}")]);
    }
    told.extend(locks_and_tags(&mut house).await);
    let sub = "/subscriptions/{subscriptionId}";
    let steps: Vec<(&str, String, &str, Value, Vec<&str>)> = vec![
        (
            "PUT",
            format!("{sub}/providers/Microsoft.Security/pricings/{{pricingName}}"),
            "ContainerRegistry",
            json!({ "properties": { "pricingTier": "Free" } }),
            vec!["changed plan ContainerRegistry {subscription}", "tier: Standard -> Free"],
        ),
        (
            "PUT",
            GROUP.to_owned(),
            "red",
            json!({ "location": "here", "tags": { "a": "b" } }),
            vec![
                "made resource group red {subscription}",
                "location: nothing -> here",
                r#"tags: nothing -> {"a":"b"}"#,
            ],
        ),
        (
            "PATCH",
            GROUP.to_owned(),
            "red",
            json!({ "tags": { "a": "c" } }),
            vec!["changed resource group red", r#"tags: {"a":"b"} -> {"a":"c"}"#],
        ),
        ("DELETE", GROUP.to_owned(), "red", Value::Null, vec!["removed resource group red"]),
        (
            "PUT",
            REGISTRY.to_owned(),
            "another",
            json!({ "location": "local", "sku": { "name": "Basic" } }),
            vec!["made registry another {subscription}/default", "sku: nothing -> Basic"],
        ),
        (
            "PATCH",
            REGISTRY.to_owned(),
            "another",
            json!({ "tags": { "x": "y" } }),
            vec!["changed registry another", r#"tags: {} -> {"x":"y"}"#],
        ),
        (
            "DELETE",
            REGISTRY.to_owned(),
            "another",
            Value::Null,
            vec!["changed registry another", "isDeleted: false -> true"],
        ),
        (
            "PATCH",
            REGISTRY.to_owned(),
            "lazaret",
            json!({ "properties": { "adminUserEnabled": true } }),
            vec!["changed registry lazaret", "adminUser: false -> true"],
        ),
        (
            "POST",
            registry("/listCredentials"),
            "",
            json!({}),
            vec!["listCredentials/action", "/registries/lazaret"],
        ),
        (
            "POST",
            registry("/regenerateCredential"),
            "",
            json!({ "name": "password" }),
            vec!["changed registry lazaret", "adminPassword: (hidden) -> (hidden)"],
        ),
        (
            "PUT",
            registry("/scopeMaps/{scopeMapName}"),
            "team-map",
            json!({ "properties": { "actions": ["repositories/app/content/read"] } }),
            vec![
                "made scope map team-map lazaret",
                "actions: nothing -> [\"repositories/app/content/read\"]",
            ],
        ),
        (
            "PATCH",
            registry("/scopeMaps/{scopeMapName}"),
            "team-map",
            json!({ "properties": { "description": "theirs" } }),
            vec!["changed scope map team-map lazaret", "description: nothing -> theirs"],
        ),
        (
            "PUT",
            registry("/tokens/{tokenName}"),
            "robot",
            json!({ "properties": { "scopeMapId": "scopeMaps/team-map" } }),
            vec!["made token robot lazaret", "scopeMap: nothing -> team-map", "isEnabled: nothing -> true"],
        ),
        (
            "PATCH",
            registry("/tokens/{tokenName}"),
            "robot",
            json!({ "properties": { "status": "disabled" } }),
            vec!["changed token robot lazaret", "isEnabled: true -> false"],
        ),
        (
            "POST",
            registry("/generateCredentials"),
            "",
            json!({ "tokenId": "tokens/robot", "name": "password1" }),
            vec!["made password of a token password1 robot", "password: nothing -> (hidden)"],
        ),
        (
            "DELETE",
            registry("/tokens/{tokenName}"),
            "robot",
            Value::Null,
            vec!["removed token robot lazaret", "scopeMap: team-map -> nothing"],
        ),
        (
            "DELETE",
            registry("/scopeMaps/{scopeMapName}"),
            "team-map",
            Value::Null,
            vec!["removed scope map team-map lazaret"],
        ),
        (
            "PUT",
            registry("/webhooks/{webhookName}"),
            "hooked",
            hook("push", "hush-header"),
            vec![
                "made webhook hooked lazaret",
                "serviceUri: nothing -> https://192.0.2.1/…",
                "customHeaders: nothing -> (hidden)",
                "actions: nothing -> push",
            ],
        ),
        (
            "PUT",
            registry("/webhooks/{webhookName}"),
            "hooked",
            hook("delete", "hush-other"),
            vec![
                "changed webhook hooked lazaret",
                "customHeaders: (hidden) -> (hidden)",
                "actions: push -> delete",
            ],
        ),
        (
            "PATCH",
            registry("/webhooks/{webhookName}"),
            "hooked",
            json!({ "properties": { "status": "disabled" } }),
            vec!["changed webhook hooked lazaret", "isEnabled: true -> false"],
        ),
        (
            "POST",
            registry("/webhooks/{webhookName}/getCallbackConfig"),
            "hooked",
            json!({}),
            vec!["/getCallbackConfig/action", "/webhooks/hooked"],
        ),
        (
            "POST",
            registry("/webhooks/{webhookName}/ping"),
            "hooked",
            json!({}),
            vec!["/ping/action", "/webhooks/hooked"],
        ),
        (
            "DELETE",
            registry("/webhooks/{webhookName}"),
            "hooked",
            Value::Null,
            vec!["removed webhook hooked lazaret", "actions: delete -> nothing"],
        ),
        (
            "PUT",
            registry("/cacheRules/{cacheRuleName}"),
            "hub-rule",
            json!({ "properties": { "sourceRepository": "docker.io/library/*", "targetRepository": "hub/*" } }),
            vec!["made cache rule hub-rule lazaret", "source: nothing -> ", "target: nothing -> hub/*"],
        ),
        (
            "PATCH",
            registry("/cacheRules/{cacheRuleName}"),
            "hub-rule",
            json!({ "properties": { "credentialSetResourceId": null } }),
            vec!["registries/cacheRules/write", "/cacheRules/hub-rule"],
        ),
        (
            "DELETE",
            registry("/cacheRules/{cacheRuleName}"),
            "hub-rule",
            Value::Null,
            vec!["removed cache rule hub-rule lazaret"],
        ),
        (
            "PUT",
            format!("{GROUP}/providers/Microsoft.ResourceGraph/queries/{{queryName}}"),
            "saved",
            json!({ "location": "local", "properties": { "query": "resources" } }),
            vec!["made saved query saved {subscription}/default", "query: nothing -> resources"],
        ),
        (
            "DELETE",
            format!("{GROUP}/providers/Microsoft.ResourceGraph/queries/{{queryName}}"),
            "saved",
            Value::Null,
            vec!["removed saved query saved"],
        ),
        (
            "POST",
            registry("/importImage"),
            "",
            json!({ "source": { "resourceId": REGISTRY.replace("{subscriptionId}", &house.subscription).replace("{resourceGroupName}", "default").replace("{registryName}", "lazaret"), "sourceImage": "app:1" }, "targetTags": ["copied:2"] }),
            vec!["made import app:1 lazaret", "targets: nothing -> copied:2", "made tag copied:2 lazaret"],
        ),
        (
            "PATCH",
            "/acr/v1/{name}".to_owned(),
            "app",
            json!({ "deleteEnabled": false }),
            vec!["changed repository app lazaret", "locks: nothing -> delete"],
        ),
        (
            "PATCH",
            "/acr/v1/{name}".to_owned(),
            "app",
            json!({ "deleteEnabled": true }),
            vec!["changed repository app lazaret", "locks: delete -> nothing"],
        ),
        (
            "PATCH",
            "/acr/v1/{name}/_tags/{tag}".to_owned(),
            "app/_tags/1",
            json!({ "writeEnabled": false }),
            vec!["changed tag app:1 lazaret", "locks: nothing -> write"],
        ),
        (
            "PATCH",
            "/acr/v1/{name}/_tags/{tag}".to_owned(),
            "app/_tags/1",
            json!({ "writeEnabled": true }),
            vec!["changed tag app:1 lazaret"],
        ),
        (
            "PATCH",
            "/acr/v1/{name}/_manifests/{digest}".to_owned(),
            "manifest",
            json!({ "listEnabled": false }),
            vec!["changed manifest app@sha256:", "locks: nothing -> list"],
        ),
        (
            "DELETE",
            "/acr/v1/{name}/_tags/{tag}".to_owned(),
            "app/_tags/1",
            Value::Null,
            vec!["removed tag app:1 lazaret", "digest: sha256:"],
        ),
        (
            "DELETE",
            "/acr/v1/{name}/_manifests/{digest}".to_owned(),
            "manifest",
            Value::Null,
            vec!["removed manifest app@sha256:"],
        ),
        (
            "POST",
            "/acr/v1/_deleted/{name}/_manifests/{digest}".to_owned(),
            "deleted",
            json!({}),
            vec!["made manifest app@sha256:", "removed deleted manifest app@sha256:"],
        ),
        (
            "DELETE",
            "/v2/{name}/manifests/{reference}".to_owned(),
            "manifest",
            Value::Null,
            vec!["removed manifest app@sha256:"],
        ),
        (
            "DELETE",
            "/acr/v1/{name}".to_owned(),
            "copied",
            Value::Null,
            vec!["removed tag copied:2 lazaret", "removed manifest copied@sha256:"],
        ),
    ];
    house.does(
        &["registry", "set", "lazaret", "--soft-delete=true"],
        &["changed registry lazaret", "softDelete: false -> true"],
    );
    for (method, template, name, body, wanted) in steps {
        told.insert(format!("{method} {template}"));
        let manifest =
            format!("app/{}/{digest}", if template.starts_with("/v2") { "manifests" } else { "_manifests" });
        // Templates of several parameters are filled from the front.
        let filled = match name {
            "manifest" => template.split("{name}").next().unwrap_or_default().to_owned() + &manifest,
            "deleted" => format!("/acr/v1/_deleted/app/_manifests/{digest}"),
            name if name.contains('/') => format!("/acr/v1/{name}"),
            _ => template,
        };
        house.asks(method, &filled, name, body, &wanted).await;
    }
    let third = "5f2f4f8e-4d5c-4f0e-9a43-0a8d6a6b7c11";
    house
        .does(&["subscription", "create", "third", &format!("--id={third}")], &["made subscription third ("]);
    let own = std::mem::replace(&mut house.subscription, third.to_owned());
    let cancel = format!("{sub}/providers/Microsoft.Subscription/cancel");
    house.asks("POST", &cancel, "", Value::Null, &["removed subscription third ({subscription})"]).await;
    house.subscription = own;
    told.insert(format!("POST {cancel}"));
    let blob = house.admin.push_blob("app", b"a blob that nothing names").await.expect("pushes").to_string();
    let path = format!("/v2/app/blobs/{blob}");
    house.asks("DELETE", &path, "", Value::Null, &[&format!("removed blob app@{blob} lazaret")]).await;
    told.insert("DELETE /v2/{name}/blobs/{digest}".to_owned());
    drop(named);
    told.extend(directory::changes(&mut house).await);

    let untold = |route: &String| UNTOLD.iter().any(|(part, _)| route.contains(part));
    let is_change = |method: &Method| ![Method::GET, Method::HEAD].contains(method);
    let azure = azure_api::routes().into_iter().filter(|(_, path)| {
        ["/providers/", "/resourceGroups/", "/v1.0/"].iter().any(|part| path.contains(part))
    });
    let acr = registry_api::routes().into_iter().filter(|(method, path)| {
        path.starts_with("/acr") || *method == Method::DELETE && !path.contains("/uploads/")
    });
    let all = azure.chain(query_api::ROUTES).chain(acr).filter(|(method, _)| is_change(method));
    let missing: Vec<String> = all
        .map(|(method, path)| format!("{method} {path}"))
        .filter(|route| {
            !told.contains(route) && !untold(route) && !route.ends_with("ResourceGraph/resources")
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "changes that nothing tries here");
    house.keeps_quiet();
}

/// Those of a subscription, a group and a registry; the routes that were tried.
async fn locks_and_tags(house: &mut House) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let lock = |level: &str| json!({ "properties": { "level": level, "notes": "because" } });
    let tags = |value: &str| json!({ "operation": "Merge", "properties": { "tags": { "team": value } } });
    for (level, kind) in [
        ("/subscriptions/{subscriptionId}", "changed subscription "),
        (GROUP, "changed resource group default"),
        (REGISTRY, "changed registry lazaret"),
    ] {
        let path = format!("{level}/providers/Microsoft.Authorization/locks/{{lockName}}");
        let default = format!("{level}/providers/Microsoft.Resources/tags/default");
        let mut put = tags("web");
        put.as_object_mut().expect("an object").remove("operation");
        for (method, path, body, wanted) in [
            ("PUT", &path, lock("CanNotDelete"), vec!["made lock keep", "level: nothing -> CanNotDelete"]),
            ("PUT", &path, lock("ReadOnly"), vec!["changed lock keep", "level: CanNotDelete -> ReadOnly"]),
            ("DELETE", &path, Value::Null, vec!["removed lock keep", "level: ReadOnly -> nothing"]),
            ("PUT", &default, put, vec![kind, r#"-> {"team":"web"}"#]),
            ("PATCH", &default, tags("db"), vec![kind, r#"tags: {"team":"web"} -> {"team":"db"}"#]),
            ("DELETE", &default, Value::Null, vec![kind, r#"tags: {"team":"db"} -> {}"#]),
        ] {
            house.asks(method, path, "keep", body, &wanted).await;
            told.insert(format!("{method} {path}"));
        }
    }
    told
}

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
