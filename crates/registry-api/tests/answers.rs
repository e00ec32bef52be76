//! What the registry answers to requests at the edges: odd types, empty parameters, other methods, wrong forms.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use serde_json::{Value, json};

use house::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CACHE: &str = "application/vnd.buildkit.cacheconfig.v0";

async fn put(house: &House, tag: &str, media_type: Option<&str>, document: &Value) -> Answer {
    let headers: Vec<(&str, &str)> =
        media_type.map(|media_type| ("content-type", media_type)).into_iter().collect();
    house.ask("PUT", &format!("/v2/a/manifests/{tag}"), &headers, document.to_string().as_bytes()).await
}

#[tokio::test]
async fn an_index_of_blobs_is_taken_and_keeps_them() {
    let house = house().await;
    let (layer, cache) = (house.push_blob("a", b"layer").await, house.push_blob("a", b"cache").await);
    house.push_blob("a", b"config").await;
    let child = image(b"config", &[]);
    house.push_manifest("a", "child", &child).await.is(201);
    let children = json!([
        descriptor(b"layer", LAYER),
        descriptor(b"cache", CACHE),
        descriptor(child.to_string().as_bytes(), MANIFEST),
    ]);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    put(&house, "cache", Some(INDEX), &index).await.is(201);
    assert_eq!(house.get("/v2/a/manifests/cache").await.is(200).json(), index);
    for digest in [&layer, &cache] {
        let refused = house.ask("DELETE", &format!("/v2/a/blobs/{digest}"), &[], b"").await;
        assert_eq!(refused.is(405).code(), "UNSUPPORTED");
    }
    // A manifest that is called something else by the index is found all the same.
    let odd = json!([descriptor(child.to_string().as_bytes(), "application/vnd.example")]);
    put(&house, "odd", Some(INDEX), &json!({ "schemaVersion": 2, "manifests": odd })).await.is(201);
    // What is not here stays refused: of another repository, absent, or a blob that is called a manifest.
    house.push_blob("elsewhere", b"elsewhere").await;
    for missing in
        [descriptor(b"elsewhere", LAYER), descriptor(b"absent", CACHE), descriptor(b"layer", MANIFEST)]
    {
        let index = json!({ "schemaVersion": 2, "manifests": [missing] });
        assert_eq!(put(&house, "x", Some(INDEX), &index).await.is(404).code(), "MANIFEST_BLOB_UNKNOWN");
    }
    house.ask("DELETE", "/v2/a/manifests/cache", &[], b"").await.is(202);
}

#[tokio::test]
async fn what_is_no_manifests_type_is_refused_and_never_served() {
    let house = house().await;
    house.push_blob("a", b"config").await;
    let typed = image(b"config", &[]);
    let mut untyped = typed.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    for wrong in [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "image/svg+xml",
        "application/octet-stream",
        "application/json",
        "application/vnd.oci.image.manifest.v1+json, text/html",
        "foo bar",
        "*/*",
        ";",
        ";charset=utf-8",
    ] {
        for document in [&untyped, &typed] {
            assert_eq!(
                put(&house, "x", Some(wrong), document).await.is(400).code(),
                "MANIFEST_INVALID",
                "{wrong}"
            );
        }
    }
    // Two fields are one too many, in either order.
    for types in [
        ["application/vnd.oci.image.manifest.v1+json", "text/html"],
        ["text/html", "application/vnd.oci.image.manifest.v1+json"],
    ] {
        let headers = types.map(|media_type| ("content-type", media_type));
        house.ask("PUT", "/v2/a/manifests/x", &headers, typed.to_string().as_bytes()).await.is(400);
    }
    let mut page = untyped.clone();
    page["mediaType"] = "text/html".into();
    assert_eq!(put(&house, "x", None, &page).await.is(400).code(), "MANIFEST_INVALID");
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    for (tag, media_type, document, served) in [
        ("none", None, &untyped, MANIFEST),
        ("empty", Some(""), &untyped, MANIFEST),
        ("own", None, &typed, MANIFEST),
        ("index", None, &index, INDEX),
        ("charset", Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), &untyped, MANIFEST),
        ("capitals", Some("Application/vnd.OCI.image.manifest.v1+JSON"), &untyped, MANIFEST),
    ] {
        put(&house, tag, media_type, document).await.is(201);
        let got = house.get(&format!("/v2/a/manifests/{tag}")).await.is(200);
        assert_eq!(got.header("content-type"), served, "{tag}");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn a_parameter_without_a_value_is_absent() {
    let house = house().await;
    house.push_blob("a", b"config").await;
    for tag in ["1", "2"] {
        house.push_manifest("a", tag, &image(b"config", &[])).await.is(201);
    }
    let digest = digest_of(&image(b"config", &[]));
    for (path, parameters) in [
        ("/v2/a/tags/list".to_owned(), "n last"),
        ("/v2/_catalog".to_owned(), "n last"),
        (format!("/v2/a/referrers/{digest}"), "n last artifactType"),
        ("/acr/v1/_catalog".to_owned(), "n last orderby"),
        ("/acr/v1/a/_tags".to_owned(), "n last orderby digest lasttime"),
        ("/acr/v1/a/_manifests".to_owned(), "n last orderby lasttime"),
        ("/acr/v1/_deleted/_catalog".to_owned(), "n last"),
        ("/acr/v1/_deleted/a/_manifests".to_owned(), "n last"),
        ("/v2/a/manifests/1".to_owned(), "ns"),
    ] {
        let plain = house.get(&path).await.is(200);
        for parameter in parameters.split(' ') {
            let got = house.get(&format!("{path}?{parameter}=")).await.is(200);
            assert_eq!(got.body, plain.body, "{path}?{parameter}=");
        }
    }
    for query in ["service=", "scope=", "account=&client_id=&service=&scope=&offline_token="] {
        house.get(&format!("/token?{query}")).await.is(200);
    }
    let begun = house
        .ask("POST", "/v2/a/blobs/uploads/?mount=&from=&digest=&digest-algorithm=", &[], b"")
        .await
        .is(202);
    assert!(begun.header("location").starts_with("/v2/a/blobs/uploads/"));
    let bytes = image(b"config", &[]).to_string();
    let typed = [("content-type", MANIFEST)];
    house.ask("PUT", "/v2/a/manifests/3?tag=", &typed, bytes.as_bytes()).await.is(201);
    assert_eq!(house.get("/v2/a/tags/list?n=x").await.is(400).code(), "PAGINATION_NUMBER_INVALID");
}

#[tokio::test]
async fn options_says_what_can_be_done_and_so_does_a_refusal() {
    let house = house().await;
    for (path, wanted) in [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/a/tags/list", "GET, HEAD"),
        ("/v2/a/manifests/none", "GET, HEAD, PUT, DELETE"),
        ("/v2/a/blobs/uploads/", "POST"),
        ("/v2/a/blobs/uploads/x", "GET, PATCH, PUT, DELETE"),
        ("/acr/v1/a/_tags/x", "GET, HEAD, PATCH, DELETE"),
        ("/token", "GET, HEAD, POST"),
        ("/oauth2/token", "GET, HEAD, POST"),
        ("/oauth2/exchange", "POST"),
    ] {
        // Browsers and tools ask without credentials.
        let asked = house.send("OPTIONS", path, &[], "").await.is(204);
        assert_eq!((asked.header("allow"), asked.body.len()), (wanted, 0), "{path}");
        let refused = house.ask("TRACE", path, &[], b"").await.is(405);
        assert_eq!((refused.header("allow"), refused.code().as_str()), (wanted, "UNSUPPORTED"), "{path}");
    }
}

#[tokio::test]
async fn what_the_framework_refuses_is_refused_in_the_registrys_words() {
    let house = house().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for path in ["/oauth2/token", "/token", "/oauth2/exchange"] {
        for (headers, body, status) in [
            (form.as_slice(), "grant_type=password&grant_type=password", 400),
            (form.as_slice(), "%ff=%", 400),
            (&[("content-type", "application/json")], "{}", 415),
            (&[], "grant_type=password", 415),
        ] {
            let refused = house.send("POST", path, headers, body).await.is(status);
            assert_eq!(refused.code(), "UNSUPPORTED", "{path} {body}");
        }
    }
}

#[tokio::test]
async fn an_empty_blob_is_given_whole_whatever_range_is_asked_for() {
    let house = house().await;
    let digest = house.push_blob("a", b"").await;
    for range in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=0-1023"] {
        let got = house.ask("GET", &format!("/v2/a/blobs/{digest}"), &[("range", range)], b"").await.is(200);
        assert_eq!((got.header("content-length"), got.header("content-range")), ("0", ""), "{range}");
    }
}

#[tokio::test]
async fn the_challenge_of_a_mount_names_its_source() {
    let house = house().await;
    let digest = house.push_blob("from", b"layer").await;
    let path = format!("/v2/to/blobs/uploads/?mount={digest}&from=from");
    let challenge = house.send("POST", &path, &[], "").await.is(401).header("www-authenticate").to_owned();
    assert!(challenge.contains(r#"scope="repository:to:pull,push repository:from:pull""#), "{challenge}");
    // A token for the target alone: its holder is told to get one for both, for it may have one.
    let narrow = house.token("admin", &["repository:to:pull,push"]).await;
    let bearer = format!("Bearer {narrow}");
    let refused = house.send("POST", &path, &[("authorization", bearer.as_str())], "").await.is(401);
    assert!(refused.header("www-authenticate").contains("repository:from:pull"));
    let wide = house.token("admin", &["repository:to:pull,push", "repository:from:pull"]).await;
    let bearer = format!("Bearer {wide}");
    house.send("POST", &path, &[("authorization", bearer.as_str())], "").await.is(201);
    // Without a source, and to begin an upload, nothing else is asked for.
    let plain = house.send("POST", "/v2/to/blobs/uploads/?from=from", &[], "").await.is(401);
    assert!(plain.header("www-authenticate").contains(r#"scope="repository:to:pull,push""#));
}
