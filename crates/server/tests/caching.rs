//! The pull-through cache: what is not here comes from elsewhere, once, while it is stored.

use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::{Digest, MediaType};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::{Client, Image, Packing, Reply, Server, ServerOptions, Source, debian, dpkg, image, tool};
use tokio::sync::watch;

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made(salt: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    let big: String = (0..50_000).map(|number| format!("{number:08x}{salt}")).collect();
    image()
        .layer(&[(release.0, &release.1), (status.0, &status.1)])
        .packed_layer(&[("opt/big", &big)], Packing::Plain)
        .salted(salt)
}

/// A server that asks again about each tag it is asked for.
fn house(folder: &tempfile::TempDir, name: &str) -> Server {
    let options = ServerOptions::new(LAZARET, &folder.path().join(name)).with("--cache-fresh-seconds=0");
    Server::start(options)
}

#[track_caller]
fn ok(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

/// A rule by which `hub/*` is filled from there; it is followed when this returns.
async fn fill(server: &Server, source: &str, more: &[&str]) {
    let source = format!("--upstream={source}");
    ok(&server.command(&[&["cache", "create", "hub", &source, "--repository=hub/*"], more].concat()));
    // Known to be followed as soon as a push is refused.
    let client = server.client();
    eventually("the rule is followed", || async {
        let begun =
            client.request(Method::POST, "/v2/hub/probe/blobs/uploads/").send().await.expect("answers");
        begun.status() == StatusCode::FORBIDDEN
    })
    .await;
}

async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not in a minute");
        tokio::task::yield_now().await;
    }
}

async fn get(client: &Client, path: &str) -> Response {
    client.get(path).await.expect("answers")
}

fn is_stale(answer: &Response) -> bool {
    answer.headers().get_all("warning").iter().any(|warning| warning == "110 - \"Response is Stale\"")
}

/// Pulls as a client does: the manifest, then everything that it names.
async fn pull(client: &Client, repository: &str, tag: &str, image: &Image) {
    let answer = get(client, &format!("/v2/{repository}/manifests/{tag}")).await;
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
    assert_eq!(answer.bytes().await.expect("a body"), image.manifest());
    for bytes in image.layers().map(<[u8]>::to_vec).chain([image.config()]) {
        let path = format!("/v2/{repository}/blobs/{}", Digest::sha256(&bytes));
        let answer = get(client, &path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-length"], bytes.len().to_string());
        assert!(answer.bytes().await.expect("a body") == bytes);
    }
}

/// Answers as a registry that holds one image under every name and tag, and says otherwise for some.
async fn holding(image: &Image, otherwise: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Source {
    let image = image.clone();
    Source::start(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if let Some(reply) = otherwise(path) {
            return reply;
        }
        let digest = image.digest();
        if path.contains("/manifests/") {
            let is_it = !path.contains("sha256:") || path.ends_with(&digest.to_string());
            return if is_it {
                Reply::ok(image.manifest())
                    .header(&format!("content-type: {}", MediaType::OCI_MANIFEST))
                    .header(&format!("docker-content-digest: {digest}"))
            } else {
                Reply::status(404)
            };
        }
        let mut contents = image.layers().map(<[u8]>::to_vec).chain([image.config()]);
        let found = contents.find(|bytes| path.ends_with(&Digest::sha256(bytes).to_string()));
        found.map_or_else(|| Reply::status(404), Reply::ok)
    })
    .await
}

fn asked(source: &Source, method_and_path: &str) -> usize {
    source.seen().iter().filter(|head| head.starts_with(method_and_path)).count()
}

fn big(image: &Image) -> (Vec<u8>, String) {
    let bytes = image.layers().nth(1).expect("a layer").to_vec();
    let digest = Digest::sha256(&bytes).to_string();
    (bytes, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_is_kept_scanned_and_served_when_the_source_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (there, here) = (house(&folder, "there"), house(&folder, "here"));
    let (one, two) = (made("one"), made("two"));
    there.client().push("library/app", "1", &one).await.expect("pushes");
    let host = format!("http://{}", there.address);
    let password = format!("--password={}", there.password());
    let set = ["cache", "credential", "set", "me", &format!("--host={host}"), "--username=admin", &password];
    ok(&here.command(&set));
    fill(&here, &format!("{host}/library"), &["--credential=me"]).await;
    let client = here.client();

    pull(&client, "hub/app", "1", &one).await;
    // An ordinary image from here on: listed, scanned, complete.
    assert_eq!(client.json("/v2/hub/app/tags/list").await["tags"], json!(["1"]));
    let judged: Value = serde_json::from_str(&ok(&here.command(&["scan", "hub/app:1", "--format=json"])))
        .expect("a document");
    assert_eq!(judged["packageCount"], 1);
    ok(&here.command(&["fsck"]));
    // The tag moves there, and so here.
    there.client().push("library/app", "1", &two).await.expect("pushes");
    pull(&client, "hub/app", "1", &two).await;
    // A new name and a missing one.
    assert_eq!(get(&client, "/v2/hub/app/manifests/missing").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&client, "/v2/hub/other/manifests/1").await.status(), StatusCode::NOT_FOUND);
    // What no manifest of the repository names is not for it to give, though both sides hold it.
    there.client().push("library/secret", "1", &made("secret")).await.expect("pushes");
    let secret = big(&made("secret")).1;
    let path = format!("/v2/hub/app/blobs/{secret}");
    assert_eq!(get(&client, &path).await.status(), StatusCode::NOT_FOUND);

    let put = client.request(Method::PUT, "/v2/hub/app/manifests/mine").body("{}");
    let refused = put.header("Content-Type", MediaType::OCI_MANIFEST).send().await.expect("answers");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let why: Value = refused.json().await.expect("a document");
    assert_eq!(why["errors"][0]["code"], "DENIED");
    assert!(why["errors"][0]["message"].as_str().expect("text").contains("cache rule hub"), "{why}");
    let layout = folder.path().join("layout");
    one.save_layout(&layout, "1");
    let import = here.command(&["import", layout.to_str().expect("text"), "--to=hub/app"]);
    assert!(String::from_utf8_lossy(&import.stderr).contains("cache rule hub"), "{import:?}");

    drop(there.kill());
    let stale = get(&client, "/v2/hub/app/manifests/1").await;
    assert!(stale.status() == StatusCode::OK && is_stale(&stale), "{stale:?}");
    pull(&client, "hub/app", "1", &two).await;
    let gone = get(&client, "/v2/hub/app/manifests/2").await;
    assert_eq!(gone.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(gone.headers().contains_key("retry-after"));
    ok(&here.command(&["cache", "delete", "hub"]));
    eventually("the rule is gone", || async { client.push_blob("hub/app", b"mine").await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_the_first_bytes_while_the_source_holds_back_the_rest_and_it_is_asked_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let image = made("held");
    let (bytes, digest) = big(&image);
    let (release, held) = watch::channel(false);
    let source = {
        let (bytes, digest) = (bytes.clone(), digest.clone());
        holding(&image, move |path| {
            path.ends_with(&digest).then(|| Reply::held(&bytes, bytes.len() / 2, held.clone()))
        })
        .await
    };
    fill(&server, &source.url("/library"), &[]).await;
    let client = Arc::new(server.client());
    assert_eq!(get(&client, "/v2/hub/app/manifests/1").await.status(), StatusCode::OK);
    let path = format!("/v2/hub/app/blobs/{digest}");
    let mut pulls = Vec::new();
    for _ in 0..8 {
        let (client, path) = (Arc::clone(&client), path.clone());
        pulls.push(tokio::spawn(async move {
            let mut answer = get(&client, &path).await;
            let first = answer.chunk().await.expect("bytes").expect("some");
            (answer, first)
        }));
    }
    let mut began = Vec::new();
    for pull in pulls {
        began.push(pull.await.expect("no panic"));
    }
    // Everybody has some of it; the source still holds back half.
    assert!(began.iter().all(|(_, first)| !first.is_empty() && bytes.starts_with(first)));
    // A part of what is there already comes too.
    let part =
        client.request(Method::GET, &path).header("Range", "bytes=100-199").send().await.expect("answers");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 100-199/{}", bytes.len()));
    assert_eq!(part.bytes().await.expect("a body"), bytes[100..200]);
    let head = client.request(Method::HEAD, &path).send().await.expect("answers");
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    release.send_replace(true);
    for (answer, first) in began {
        let rest = answer.bytes().await.expect("the rest");
        assert!([first.as_ref(), rest.as_ref()].concat() == bytes);
    }
    assert_eq!(asked(&source, &format!("GET /v2/library/app/blobs/{digest}")), 1);
    // Many at once for a tag that is not here: one of them asks.
    let before = asked(&source, "GET /v2/library/app/manifests/2");
    let many: Vec<_> = (0..8)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { get(&client, "/v2/hub/app/manifests/2").await.status() })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.expect("no panic"), StatusCode::OK);
    }
    assert_eq!((before, asked(&source, "GET /v2/library/app/manifests/2")), (0, 1));
    // Nobody asked for the other layer: it was brought all the same.
    eventually("the image is complete", || async {
        client.json("/v2/hub/app/tags/list").await["tags"] == json!(["1", "2"])
    })
    .await;
    pull(&client, "hub/app", "1", &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_hostile_source_sends_is_kept_or_served_as_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = made("hostile");
    let (bytes, digest) = big(&image);
    let mut wrong = bytes.clone();
    wrong[70_000] ^= 1;
    let replies = [
        ("wrong", Reply::ok(wrong)),
        ("short", Reply::raw("HTTP/1.1 200 OK\r\n").with_body(&bytes[..bytes.len() - 1])),
        ("cut", Reply::ok(bytes.clone()).with_body(&bytes[..1000])),
        ("endless", Reply::endless(bytes.clone())),
        ("long", Reply::ok([bytes.as_slice(), b"x"].concat())),
        ("metadata", Reply::status(307).header("location: http://169.254.169.254/latest/meta-data/")),
        (
            "elsewhere",
            Reply::status(401).header("www-authenticate: Bearer realm=\"http://169.254.169.254/t\""),
        ),
        ("again", Reply::status(401).header("www-authenticate: Basic realm=\"r\"")),
        ("missing", Reply::status(404)),
        // Last: a source that fails is asked for nothing for a while.
        ("broken", Reply::status(500)),
    ];
    let server = house(&folder, "data");
    let (hostile, hostiles) = (digest.clone(), replies.clone());
    let source = holding(&image, move |path| {
        let (_, reply) = hostiles.iter().find(|(what, _)| path.contains(&format!("/{what}/")))?;
        path.ends_with(&hostile).then(|| reply.clone())
    })
    .await;
    fill(&server, &source.url("/library"), &[]).await;
    let client = server.client();
    for (what, _) in replies {
        assert_eq!(
            get(&client, &format!("/v2/hub/{what}/manifests/1")).await.status(),
            StatusCode::OK,
            "{what}"
        );
        let answer = get(&client, &format!("/v2/hub/{what}/blobs/{digest}")).await;
        let is_whole = answer.status() == StatusCode::OK
            && answer.bytes().await.is_ok_and(|got| got.len() == bytes.len());
        assert!(!is_whole, "{what}");
        // The image is not here, and nothing of it is wrong.
        let tags = get(&client, &format!("/v2/hub/{what}/tags/list")).await.text().await.expect("text");
        assert!(!tags.contains("\"1\""), "{what}: {tags}");
    }
    ok(&server.command(&["fsck"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_wants_to_be_left_alone_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let image = made("limited");
    let source = holding(&image, |path| {
        if path.ends_with("/missing") {
            Some(Reply::status(404))
        } else if path.ends_with("/limited") {
            Some(Reply::status(429).header("retry-after: 600"))
        } else {
            None
        }
    })
    .await;
    fill(&server, &source.url("/library"), &[]).await;
    let client = server.client();
    for _ in 0..3 {
        assert_eq!(get(&client, "/v2/hub/app/manifests/missing").await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(asked(&source, "GET /v2/library/app/manifests/missing"), 1);
    pull(&client, "hub/app", "1", &image).await;
    let limited = get(&client, "/v2/hub/app/manifests/limited").await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = limited.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((500..=601).contains(&wait), "{wait}");
    let before = source.requests();
    // Nothing is asked there any more; what is here is served.
    assert_eq!(get(&client, "/v2/hub/other/manifests/1").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let stale = get(&client, "/v2/hub/app/manifests/1").await;
    assert!(is_stale(&stale), "{stale:?}");
    assert_eq!(source.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_asked_for_by_its_head_and_not_while_it_is_fresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = made("fresh");
    for (fresh, wanted) in [("--cache-fresh-seconds=0", 3), ("--cache-fresh-seconds=600", 0)] {
        let options = ServerOptions::new(LAZARET, &folder.path().join(fresh)).with(fresh);
        let server = Server::start(options);
        let source = holding(&image, |_| None).await;
        fill(&server, &source.url("/library"), &[]).await;
        let client = server.client();
        pull(&client, "hub/app", "1", &image).await;
        for _ in 0..3 {
            assert_eq!(get(&client, "/v2/hub/app/manifests/1").await.status(), StatusCode::OK);
        }
        assert_eq!(asked(&source, "HEAD /v2/library/app/manifests/1"), wanted);
        assert_eq!(asked(&source, "GET /v2/library/app/manifests/1"), 1);
        // A head of what is not here fetches nothing.
        let head = client.request(Method::HEAD, "/v2/hub/new/manifests/1").send().await.expect("answers");
        assert_eq!(head.headers()["docker-content-digest"], image.digest().to_string());
        assert_eq!(asked(&source, "GET /v2/library/new/"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_leaves_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let image = made("stop");
    let (bytes, digest) = big(&image);
    let (release, held) = watch::channel(false);
    let source = holding(&image, move |path| {
        path.ends_with(&digest).then(|| Reply::held(&bytes, bytes.len() / 2, held.clone()))
    })
    .await;
    fill(&server, &source.url("/library"), &[]).await;
    let client = server.client();
    assert_eq!(get(&client, "/v2/hub/app/manifests/1").await.status(), StatusCode::OK);
    let mut answer = get(&client, &format!("/v2/hub/app/blobs/{}", big(&image).1)).await;
    assert!(answer.chunk().await.expect("bytes").is_some());
    let server = Server::start(server.kill());
    assert!(answer.bytes().await.is_err());
    ok(&server.command(&["fsck"]));
    let client = server.client();
    assert_eq!(
        get(&client, &format!("/v2/hub/app/blobs/{}", big(&image).1)).await.status(),
        StatusCode::NOT_FOUND
    );
    release.send_replace(true);
    pull(&client, "hub/app", "1", &image).await;
    assert_eq!(client.json("/v2/hub/app/tags/list").await["tags"], json!(["1"]));
    ok(&server.command(&["fsck"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_name_the_registry_and_rights_are_those_of_the_repository_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let image = made("ns");
    let source = holding(&image, |_| None).await;
    fill(&server, &source.url("/library"), &[]).await;
    let client = server.client();
    let host = source.url("").trim_start_matches("http://").to_owned();
    let found = get(&client, &format!("/v2/library/app/manifests/1?ns={host}")).await;
    assert_eq!(
        (found.status(), found.headers()["oci-namespace"].to_str().expect("text")),
        (StatusCode::OK, &*host)
    );
    let (bytes, digest) = big(&image);
    let blob = get(&client, &format!("/v2/library/app/blobs/{digest}?ns={host}")).await;
    assert!(blob.bytes().await.expect("a body") == bytes);
    eventually("the image is complete", || async {
        get(&client, "/v2/hub/app/tags/list").await.text().await.is_ok_and(|text| text.contains("\"1\""))
    })
    .await;
    // Without a rule for that registry it means nothing.
    let before = source.requests();
    let other = get(&client, "/v2/library/app/manifests/1?ns=169.254.169.254").await;
    assert_eq!(
        (other.status(), other.headers().contains_key("oci-namespace")),
        (StatusCode::NOT_FOUND, false)
    );
    assert_eq!(source.requests(), before);
    // Who may pull elsewhere may not pull here.
    let shown = ok(&server.command(&["principal", "create", "other", "--role=AcrPull", "--repository=team"]));
    let secret = shown
        .lines()
        .find(|line| line.starts_with("secret"))
        .expect("a secret")
        .split_whitespace()
        .nth(1)
        .expect("a secret")
        .to_owned();
    let stranger = Client::new(&server.address, "other", &secret);
    for path in ["/v2/hub/app/manifests/1".to_owned(), format!("/v2/library/app/manifests/1?ns={host}")] {
        assert_eq!(get(&stranger, &path).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(source.requests(), before);
}

/// Whoever may change a registry may make a rule; into this machine's network it leads only where the operator said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_made_by_the_azure_api_reaches_what_the_operator_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = made("api");
    let (known, other) = (holding(&image, |_| None).await, holding(&image, |_| None).await);
    let hosts = [&known, &other]
        .map(|source| source.url("").trim_start_matches("http://").trim_end_matches('/').to_owned());
    let options = ServerOptions::new(LAZARET, &folder.path().join("data"))
        .with("--cache-fresh-seconds=0")
        .with(&format!("--import-from=http://{}", hosts[0]));
    let server = Server::start(options);
    let client = server.client();
    let token = client.arm_token().await;
    let registry = client.registry_id(&token).await;
    let http = reqwest::Client::new();
    let call = async |method: Method, path: &str, properties: Value| {
        let url = format!("http://{}{registry}/{path}?api-version=2025-11-01", server.address);
        let body = json!({ "properties": properties });
        let answer = http.request(method, url).bearer_auth(&token).json(&body).send().await.expect("answers");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let rule = |host: &str, target: &str| json!({ "sourceRepository": format!("{host}/library/*"), "targetRepository": format!("{target}/*") });
    let (status, made) = call(Method::PUT, "cacheRules/known", rule(&hosts[0], "hub")).await;
    assert_eq!(
        (status, &made["properties"]["sourceRepository"]),
        (201, &json!(format!("{}/library/*", hosts[0])))
    );
    eventually("it is filled", || async {
        get(&client, "/v2/hub/app/manifests/1").await.status() == StatusCode::OK
    })
    .await;
    pull(&client, "hub/app", "1", &image).await;

    // What the operator made stays as it is made, whatever else of it is changed.
    let own = holding(&image, |_| None).await;
    let made = format!("--upstream={}", own.url("/library"));
    ok(&server.command(&["cache", "create", "operators", &made, "--repository=own/*"]));
    let (_, shown) = call(Method::GET, "cacheRules/operators", json!({})).await;
    assert_eq!(call(Method::PUT, "cacheRules/operators", shown["properties"].clone()).await.0, 200);
    let unset = json!({ "credentialSetResourceId": null });
    assert_eq!(call(Method::PATCH, "cacheRules/operators", unset).await.0, 200);
    eventually("it is filled", || async {
        get(&client, "/v2/own/app/manifests/1").await.status() == StatusCode::OK
    })
    .await;

    // Anybody's host is taken over TLS alone, and never at this machine's own addresses.
    let (status, refused) =
        call(Method::PUT, "cacheRules/other", rule(&format!("http://{}", hosts[1]), "other")).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("InvalidCacheRule")), "{refused}");
    assert!(refused["error"]["message"].as_str().expect("a text").contains("--import-from"));
    assert_eq!(call(Method::PUT, "cacheRules/other", rule(&hosts[1], "other")).await.0, 201);
    eventually("it is followed", || async {
        let begun =
            client.request(Method::POST, "/v2/other/probe/blobs/uploads/").send().await.expect("answers");
        begun.status() == StatusCode::FORBIDDEN
    })
    .await;
    let answer = get(&client, "/v2/other/app/manifests/1").await;
    assert!(!answer.status().is_success(), "{}", answer.status());
    assert_eq!(other.requests(), 0, "it was never asked");

    // Credentials are the operator's to give; rules name them.
    let (status, refused) = call(Method::PUT, "credentialSets/robot", json!({})).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("UnsupportedResourceType")));
    let host = format!("http://{}", hosts[0]);
    ok(&server.command(&[
        "cache",
        "credential",
        "set",
        "robot",
        &format!("--host={host}"),
        "--username=me",
        "--password=secret",
    ]));
    let set = format!("{registry}/credentialSets/robot");
    let (status, changed) =
        call(Method::PATCH, "cacheRules/known", json!({ "credentialSetResourceId": set })).await;
    assert_eq!((status, &changed["properties"]["credentialSetResourceId"]), (200, &json!(set)), "{changed}");
    let elsewhere = call(Method::PATCH, "cacheRules/other", json!({ "credentialSetResourceId": set })).await;
    assert_eq!((elsewhere.0, &elsewhere.1["error"]["code"]), (400, &json!("InvalidCacheRule")));
    assert_eq!(call(Method::DELETE, "credentialSets/robot", json!({})).await.0, 409);
    let (status, shown) = call(Method::GET, "credentialSets/robot", json!({})).await;
    assert_eq!((status, &shown["properties"]["loginServer"]), (200, &json!(hosts[0])));
    assert!(!shown.to_string().contains("secret\""), "{shown}");
    let (status, changed) =
        call(Method::PATCH, "cacheRules/known", json!({ "credentialSetResourceId": null })).await;
    assert_eq!((status, &changed["properties"]["credentialSetResourceId"]), (200, &Value::Null));
    for gone in ["credentialSets/robot", "cacheRules/known", "cacheRules/known"] {
        assert_eq!(call(Method::DELETE, gone, json!({})).await.0, 204, "{gone}");
        assert_eq!(call(Method::GET, gone, json!({})).await.0, 404, "{gone}");
    }
    pull(&client, "hub/app", "1", &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gate_wants_judged_is_judged_before_it_is_pulled() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = house(&folder, "data");
    let tracker = folder.path().join("tracker.json");
    std::fs::write(&tracker, r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#)
        .expect("writes");
    ok(&server.command(&["feeds", "import", tracker.to_str().expect("text")]));
    ok(&server.command(&["gate", "set", "high", "--repositories=hub/*"]));
    let image = made("gate");
    let source = holding(&image, |_| None).await;
    fill(&server, &source.url("/library"), &[]).await;
    let client = server.client();
    let puller = ok(&server.command(&["principal", "create", "puller", "--role=AcrPull"]));
    let secret = puller.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let puller = Client::new(&server.address, "puller", secret.split_whitespace().nth(1).expect("a secret"));
    // Unjudged: refused, and brought all the same; then refused for what it has.
    let first = get(&puller, "/v2/hub/app/manifests/1").await;
    assert_eq!(first.status(), StatusCode::FORBIDDEN);
    assert!(first.text().await.expect("text").contains("not judged yet"));
    eventually("the image is here", || async {
        get(&client, "/v2/hub/app/tags/list").await.text().await.is_ok_and(|text| text.contains("\"1\""))
    })
    .await;
    ok(&server.command(&["scan", "hub/app:1"]));
    let judged = get(&puller, "/v2/hub/app/manifests/1").await;
    assert_eq!(judged.status(), StatusCode::FORBIDDEN);
    assert!(judged.text().await.expect("text").contains("the gate high blocks it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_and_podman_pull_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let (there, here) = (house(&folder, "there"), house(&folder, "here"));
    let image = made("clients");
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let child = image.clone().salted(architecture);
        there.client().push("library/app", architecture, &child).await.expect("pushes");
        children.push(json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": child.digest(), "size": child.manifest().len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children });
    let put = there.client().request(Method::PUT, "/v2/library/app/manifests/all");
    let put = put.header("Content-Type", MediaType::OCI_INDEX).body(index.to_string()).send().await;
    assert_eq!(put.expect("answers").status(), StatusCode::CREATED);
    let host = format!("http://{}", there.address);
    let password = format!("--password={}", there.password());
    ok(&here.command(&[
        "cache",
        "credential",
        "set",
        "me",
        &format!("--host={host}"),
        "--username=admin",
        &password,
    ]));
    fill(&here, &format!("{host}/library"), &["--credential=me"]).await;
    let credentials = format!("admin:{}", here.password());
    let name = format!("{}/hub/app:all", here.address);
    if tool("skopeo", "skopeo pulling through the cache", "apt-get install skopeo") {
        let layout = format!("oci:{}:all", folder.path().join("layout").display());
        let copied = std::process::Command::new("skopeo")
            .args([
                "copy",
                "--override-arch=amd64",
                "--override-os=linux",
                "--src-tls-verify=false",
                "--src-creds",
            ])
            .args([&credentials, &format!("docker://{name}"), &layout])
            .output()
            .expect("skopeo starts");
        ok(&copied);
        // One platform was pulled; the index is here, and the other platform is not.
        let judged = ok(&here.command(&["scan", "hub/app:all", "--format=json"]));
        let judged: Value = serde_json::from_str(&judged).expect("a document");
        assert_eq!(judged["digest"], json!(image.clone().salted("amd64").digest()));
    }
    if tool("podman", "podman pulling through the cache", "apt-get install podman") {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (root, run_root) = (path("podman-root"), path("podman-run"));
        let pulled = std::process::Command::new("podman")
            .args(["--root", &root, "--runroot", &run_root, "--storage-driver=vfs"])
            .args([
                "--storage-driver=vfs",
                "pull",
                "--quiet",
                "--arch=arm64",
                "--tls-verify=false",
                "--creds",
            ])
            .args([&credentials, &name])
            .env("HOME", folder.path())
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
            .expect("podman starts");
        ok(&pulled);
        let client = here.client();
        let path = format!("/v2/hub/app/manifests/{}", image.clone().salted("arm64").digest());
        drop(there.kill());
        assert_eq!(get(&client, &path).await.status(), StatusCode::OK);
    }
}
