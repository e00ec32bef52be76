//! What was deleted softly is out of everybody's way, is not given back, and comes back whole.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
const VERSION: &str = "api-version=2023-11-01-preview";

async fn policy(server: &Server, token: &str, id: &str, policy: Value) -> (u16, Value) {
    let body = json!({ "properties": { "policies": { "softDeletePolicy": policy } } });
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request =
        http.patch(format!("http://{}{id}?{VERSION}", server.address)).bearer_auth(token).json(&body);
    answered(request.send().await.expect("answers")).await
}

async fn answered(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn delete(client: &Client, path: &str) -> u16 {
    client.request(Method::DELETE, path).send().await.expect("answers").status().as_u16()
}

async fn restore(client: &Client, path: &str, body: Value) -> (u16, Value) {
    let path = format!("/acr/v1/_deleted/{path}");
    answered(client.request(Method::POST, &path).json(&body).send().await.expect("answers")).await
}

async fn status(client: &Client, path: &str) -> u16 {
    client.get(path).await.expect("answers").status().as_u16()
}

async fn deleted(client: &Client, path: &str) -> Value {
    let answer = client.get(&format!("/acr/v1/_deleted/{path}")).await.expect("answers");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_comes_back_with_its_tags_and_its_verdict() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    let token = client.arm_token().await;
    let id = client.registry_id(&token).await;

    let (release, packages) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    let first = image().layer(&[(release.0, &release.1), (packages.0, &packages.1)]);
    let second = image().layer(&[("b", "2")]);
    client.push("gone/for/good", "1", &second).await.expect("pushes");
    assert_eq!(delete(&client, "/acr/v1/gone/for/good").await, 202);
    assert_eq!(deleted(&client, "_catalog").await["repositories"], json!([]), "the policy is off");

    assert_eq!(policy(&server, &token, &id, json!({ "status": "on" })).await.0, 400);
    assert_eq!(policy(&server, &token, &id, json!({ "retentionDays": 91 })).await.0, 400);
    let (code, shown) =
        policy(&server, &token, &id, json!({ "status": "enabled", "retentionDays": 3 })).await;
    let shown = &shown["properties"]["policies"]["softDeletePolicy"];
    assert_eq!((code, &shown["status"], &shown["retentionDays"]), (200, &json!("enabled"), &json!(3)));

    client.push("team/app", "1", &first).await.expect("pushes");
    let digest = client.push("team/app", "stable", &first).await.expect("pushes");
    client.push("team/app", "2", &second).await.expect("pushes");
    assert_eq!(delete(&client, "/acr/v1/team/app").await, 202);
    assert_eq!(status(&client, "/v2/team/app/tags/list").await, 404);
    let catalog: Value = client.get("/v2/_catalog").await.expect("answers").json().await.expect("JSON");
    assert_eq!(catalog["repositories"], json!([]));
    assert_eq!(deleted(&client, "_catalog").await["repositories"], json!(["team/app"]));

    // A start removes files that no row names, and a collection what nothing needs.
    let server = Server::start(server.kill());
    let client = server.client();
    let manifests = deleted(&client, "team/app/_manifests").await;
    assert_eq!(manifests["manifests"].as_array().map(Vec::len), Some(2));
    let tags = deleted(&client, "team/app/_tags").await;
    let named: Vec<&str> =
        tags["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["tag"].as_str()).collect();
    assert_eq!(named, ["1", "2", "stable"]);
    let output = server.command(&["fsck"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    // Another image has one of the tags meanwhile.
    client.push("team/app", "1", &second).await.expect("pushes");
    let path = format!("team/app/_manifests/{digest}");
    let taken = restore(&client, &path, json!({ "tag": "1" })).await;
    assert_eq!(taken.0, 409, "{}", taken.1);
    assert!(taken.1.to_string().contains("by force"), "{}", taken.1);
    let restored = restore(&client, &path, json!({ "tag": null })).await;
    assert_eq!((restored.0, &restored.1["tags"]), (200, &json!(["stable"])), "{}", restored.1);
    let pulled = client.get("/v2/team/app/manifests/stable").await.expect("answers");
    assert_eq!(pulled.bytes().await.expect("a body"), first.manifest());
    for bytes in first.layers() {
        let blob = oci::Digest::sha256(bytes);
        assert_eq!(status(&client, &format!("/v2/team/app/blobs/{blob}")).await, 200);
    }
    let forced = restore(&client, &format!("{path}?force=True"), json!({ "tag": "1" })).await;
    assert_eq!((forced.0, &forced.1["tags"]), (200, &json!(["1"])), "{}", forced.1);
    let nothing = format!("team/app/_manifests/sha256:{}", "0".repeat(64));
    assert_eq!(restore(&client, &nothing, json!({})).await.0, 404);

    // It is judged again from what was read of it then: there are no advisories here.
    let began = Instant::now();
    loop {
        let shown = server.command(&["image", "show", "team/app:stable"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        if shown.contains("Unverified") && shown.contains("1 package") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no verdict: {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What is there again is deleted no more. The command line brings back as well.
    let list = || String::from_utf8_lossy(&server.command(&["deleted", "list"]).stdout).into_owned();
    assert!(!list().contains(&digest.to_string()), "{}", list());
    assert_eq!(delete(&client, &format!("/v2/team/app/manifests/{digest}")).await, 202);
    assert_eq!(status(&client, "/v2/team/app/manifests/stable").await, 404);
    assert!(list().contains(&digest.to_string()), "{}", list());
    let restored = server.command(&["deleted", "restore", &format!("team/app@{digest}")]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let pulled = client.get("/v2/team/app/manifests/stable").await.expect("answers");
    assert_eq!(pulled.bytes().await.expect("a body"), first.manifest());
    assert!(!list().contains(&digest.to_string()), "{}", list());
}
