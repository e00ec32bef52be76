//! Azure Container Registry's data plane: exchange, lists, properties, deletes.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use house::{basic, digest_of, house, image};
use oci::Digest;
use serde_json::json;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_token_for_azure_is_exchanged_for_one_of_the_registrys() {
    let house = house().await;
    house.push_blob("team/app", b"x").await;
    let caller = house.auth.password("pusher", "secret").await.unwrap();
    for audience in ["https://containerregistry.azure.net", "https://management.azure.com/"] {
        let theirs = house.auth.issue_management_token(&caller, audience).unwrap().token;
        let form = format!("grant_type=access_token&service=localhost:5000&tenant=x&access_token={theirs}");
        let answer =
            house.send("POST", "/oauth2/exchange?api-version=2021-07-01", &[FORM], form).await.is(200);
        let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
        let scope = "repository:team/app:metadata_read";
        let form = format!("grant_type=refresh_token&service=lazaret&scope={scope}&refresh_token={refresh}");
        let ours = house.send("POST", "/oauth2/token", &[FORM], form).await.is(200).json();
        let bearer = format!("Bearer {}", ours["access_token"].as_str().unwrap());
        house.send("GET", "/acr/v1/team%2Fapp", &[("authorization", &bearer)], "").await.is(200);
        house.send("DELETE", "/acr/v1/team%2Fapp", &[("authorization", &bearer)], "").await.is(403);
        // `docker login` with what `az acr login --expose-token` prints.
        let nobody = basic("00000000-0000-0000-0000-000000000000", &refresh);
        house.send("GET", "/v2/team/app/tags/list", &[("authorization", &nobody)], "").await.is(200);
        house.send("GET", "/token?service=lazaret", &[("authorization", &nobody)], "").await.is(200);
    }
    let wrong = basic("00000000-0000-0000-0000-000000000000", "secret");
    house.send("GET", "/v2/", &[("authorization", &wrong)], "").await.is(401);
    for form in
        ["grant_type=access_token&access_token=x", "grant_type=access_token&service=other&access_token=x"]
    {
        let refused = house.send("POST", "/oauth2/exchange", &[FORM], form).await;
        assert!([400, 401].contains(&refused.status), "{form}");
    }
}

#[tokio::test]
async fn what_is_there_is_listed_with_its_properties() {
    let house = house().await;
    let config =
        json!({ "os": "linux", "architecture": "arm64", "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = config.to_string();
    house.push_blob("a/b", config.as_bytes()).await;
    house.push_blob("a/b", b"layer").await;
    let mut digests = Vec::new();
    for number in 0..3 {
        let mut manifest = image(config.as_bytes(), &[b"layer"]);
        manifest["annotations"] = json!({ "number": number.to_string() });
        house.push_manifest("a/b", &format!("v1{number}"), &manifest).await.is(201);
        digests.push(digest_of(&manifest).to_string());
    }
    let repository = house.get("/acr/v1/a/b").await.is(200).json();
    assert_eq!((&repository["manifestCount"], &repository["tagCount"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&repository["registry"], &repository["imageName"]),
        (&json!("localhost:5000"), &json!("a/b"))
    );
    assert_eq!(repository["createdTime"], "2027-01-15T08:00:00.0000000Z");
    assert_eq!(repository["changeableAttributes"]["deleteEnabled"], true);
    assert_eq!(house.get("/acr/v1/absent").await.is(404).code(), "NAME_UNKNOWN");

    let manifest = house.get(&format!("/acr/v1/a/b/_manifests/{}", digests[1])).await.is(200).json();
    let shown = &manifest["manifest"];
    assert_eq!((&shown["digest"], &shown["tags"]), (&json!(digests[1]), &json!(["v11"])));
    assert_eq!((&shown["os"], &shown["architecture"]), (&json!("linux"), &json!("arm64")));
    assert_eq!(shown["imageSize"], config.len() + 5);
    house.get("/acr/v1/a/b/_manifests/nonsense").await.is(404);

    let tag = house.get("/acr/v1/a/b/_tags/v11").await.is(200).json();
    assert_eq!((&tag["tag"]["name"], &tag["tag"]["digest"]), (&json!("v11"), &json!(digests[1])));
    house.get("/acr/v1/a/b/_tags/v1").await.is(404);

    for (list, key, name) in [("_manifests", "manifests", "digest"), ("_tags", "tags", "name")] {
        for order in ["", "timeasc", "timedesc"] {
            let mut seen = Vec::new();
            let mut next = Some(format!("/acr/v1/a/b/{list}?n=2&orderby={order}"));
            while let Some(path) = next {
                let page = house.get(&path).await.is(200);
                let rows = page.json()[key].as_array().unwrap().clone();
                seen.extend(rows.iter().map(|row| row[name].as_str().unwrap().to_owned()));
                let link = page.header("link").to_owned();
                next = link
                    .strip_prefix('<')
                    .and_then(|link| link.split_once('>'))
                    .map(|(path, _)| path.to_owned());
            }
            let mut wanted = if list == "_tags" {
                vec!["v10".into(), "v11".into(), "v12".into()]
            } else {
                digests.clone()
            };
            wanted.sort();
            if order == "timedesc" {
                wanted.reverse();
            }
            assert_eq!(seen, wanted, "{list} {order}");
        }
    }
    let by_digest = house.get(&format!("/acr/v1/a/b/_tags?digest={}", digests[2])).await.is(200).json();
    assert_eq!(by_digest["tags"].as_array().unwrap().len(), 1);
    assert_eq!(house.get("/acr/v1/_catalog?n=1").await.is(200).json()["repositories"], json!(["a/b"]));
}

#[tokio::test]
async fn tags_manifests_and_repositories_are_deleted_with_what_is_theirs() {
    let house = house().await;
    let shared = Digest::sha256(b"config");
    for repository in ["a", "b"] {
        house.push_blob(repository, b"config").await;
        for tag in ["1", "2"] {
            house.push_manifest(repository, tag, &image(b"config", &[])).await.is(201);
        }
    }
    house.ask("DELETE", "/acr/v1/a/_tags/1", &[], b"").await.is(202);
    assert_eq!(house.get("/v2/a/tags/list").await.json()["tags"], json!(["2"]));
    let deleted = house.ask("DELETE", "/acr/v1/a", &[], b"").await.is(202).json();
    assert_eq!(deleted["tagsDeleted"], json!(["2"]));
    assert_eq!(deleted["manifestsDeleted"].as_array().unwrap().len(), 1);
    for gone in ["/acr/v1/a", "/v2/a/tags/list", "/v2/a/manifests/2", &format!("/v2/a/blobs/{shared}")] {
        house.get(gone).await.is(404);
    }
    house.ask("DELETE", "/acr/v1/a", &[], b"").await.is(404);
    house.get(&format!("/v2/b/blobs/{shared}")).await.is(200);
    let manifest = digest_of(&image(b"config", &[]));
    house.ask("DELETE", &format!("/acr/v1/b/_manifests/{manifest}"), &[], b"").await.is(202);
    house.get("/v2/b/manifests/1").await.is(404);
    house.ask("POST", "/acr/v1/b", &[], b"{}").await.is(405);
}

/// Azure's clients send each body once without credentials.
#[tokio::test]
async fn a_refused_body_is_read_to_its_end() {
    let house = house().await;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let pieces = (0..64).map(move |_| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(axum::body::Bytes::from_static(&[0; 64 << 10]))
    });
    let body = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
    house.send("PATCH", "/v2/a/blobs/uploads/x", &[], body).await.is(401);
    assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), 64);
}

#[tokio::test]
async fn a_lock_refuses_what_it_forbids_until_it_is_lifted() {
    let house = house().await;
    house.push_blob("a", b"config").await;
    let (first, second) = (image(b"config", &[]), {
        let mut other = image(b"config", &[]);
        other["annotations"] = json!({ "number": "2" });
        other
    });
    house.push_manifest("a", "1", &first).await.is(201);
    let digest = digest_of(&first).to_string();
    let (tag, manifest, repository) =
        ("/acr/v1/a/_tags/1".to_owned(), format!("/acr/v1/a/_manifests/{digest}"), "/acr/v1/a".to_owned());
    let patch = async |path: &str, body: &str| house.ask("PATCH", path, &[], body.as_bytes()).await;

    // A tag that may not be written is neither moved nor deleted, by whichever way.
    let shown = patch(&tag, r#"{"writeEnabled":false}"#).await.is(200).json();
    assert_eq!(shown["tag"]["changeableAttributes"]["writeEnabled"], false);
    assert_eq!(shown["tag"]["changeableAttributes"]["deleteEnabled"], true);
    let refused = house.push_manifest("a", "1", &second).await.is(403);
    assert_eq!(refused.code(), "DENIED");
    let message = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("tag a:1") && message.contains("writeEnabled"), "{message}");
    house.get(&format!("/v2/a/manifests/{}", digest_of(&second))).await.is(404);
    house.push_manifest("a", "1", &first).await.is(201);
    house.ask("DELETE", "/v2/a/manifests/1", &[], b"").await.is(403);
    house.ask("DELETE", &format!("/v2/a/manifests/{digest}"), &[], b"").await.is(403);
    for path in [&tag, &manifest, &repository] {
        assert_eq!(house.ask("DELETE", path, &[], b"").await.is(405).code(), "UNSUPPORTED");
    }
    patch(&tag, r#"{"writeEnabled":true}"#).await.is(200);

    // What may not be listed or read.
    patch(&tag, r#"{"listEnabled":false}"#).await.is(200);
    assert_eq!(house.get("/v2/a/tags/list").await.is(200).json()["tags"], json!([]));
    house.get("/v2/a/manifests/1").await.is(200);
    patch(&tag, r#"{"listEnabled":true,"readEnabled":false}"#).await.is(200);
    house.get("/v2/a/manifests/1").await.is(403);
    house.get(&format!("/v2/a/manifests/{digest}")).await.is(200);
    patch(&manifest, r#"{"readEnabled":false,"deleteEnabled":false}"#).await.is(200);
    assert_eq!(house.get(&format!("/v2/a/manifests/{digest}")).await.is(403).code(), "DENIED");
    house.ask("DELETE", &manifest, &[], b"").await.is(405);
    patch(&manifest, r#"{"readEnabled":true,"deleteEnabled":true}"#).await.is(200);
    patch(&tag, r#"{"readEnabled":true}"#).await.is(200);

    // The repository's own.
    let shown = patch(&repository, r#"{"writeEnabled":false,"listEnabled":false,"readEnabled":false}"#).await;
    assert_eq!(shown.is(200).json()["changeableAttributes"]["writeEnabled"], false);
    house.push_manifest("a", "new", &second).await.is(403);
    house.get("/v2/a/manifests/1").await.is(403);
    house.get(&format!("/v2/a/blobs/{}", Digest::sha256(b"config"))).await.is(403);
    assert_eq!(house.get("/v2/_catalog").await.json()["repositories"], json!([]));
    house.ask("DELETE", &tag, &[], b"").await.is(405);
    patch(&repository, r#"{"writeEnabled":true,"listEnabled":true,"readEnabled":true}"#).await.is(200);
    house.ask("DELETE", &repository, &[], b"").await.is(202);

    for (path, body, status) in [
        (&tag, "{}", 404),
        (&repository, "{}", 404),
        (&tag, "[]", 400),
        (&tag, "nonsense", 400),
        (&tag, r#"{"writeEnabled":1}"#, 400),
    ] {
        patch(path, body).await.is(status);
    }
}
