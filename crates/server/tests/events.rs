//! Events over crashes, and the audit log: through the real server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, debian, dpkg, image};
use tokio::sync::mpsc;

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

type Receiver = (Arc<AtomicBool>, mpsc::UnboundedSender<Value>);

/// Takes messages, and says so only once it is willing.
async fn receive(State((is_willing, got)): State<Receiver>, body: Bytes) -> StatusCode {
    if !is_willing.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    drop(got.send(serde_json::from_slice(&body).expect("JSON")));
    StatusCode::OK
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_deliveries_the_server_sends_every_event() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("--url=http://{}/hook", listener.local_addr().expect("an address"));
    let is_willing = Arc::new(AtomicBool::new(false));
    let (sender, mut got) = mpsc::unbounded_channel();
    let router = Router::new().fallback(receive).with_state((Arc::clone(&is_willing), sender));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = ServerOptions::new(LAZARET, &folder.path().join("data")).with("--webhook-loopback");
    let server = Server::start(options);
    ok(&server, &["webhook", "create", "receiver", &url, "--actions=push,delete"]);
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    let made = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
    let client = server.client();
    for number in 0..20 {
        client.push("app", &format!("v{number}"), &made).await.expect("pushes");
    }
    let deleted = client.request(reqwest::Method::DELETE, &format!("/v2/app/manifests/{}", made.digest()));
    assert_eq!(deleted.send().await.expect("answers").status(), 202);
    // Some are under way to a receiver that does not answer; the others wait.
    let server = Server::start(server.kill());
    is_willing.store(true, Ordering::SeqCst);
    let (mut tags, mut deletes) = (BTreeSet::new(), 0);
    while tags.len() < 20 || deletes == 0 {
        let next = tokio::time::timeout(Duration::from_secs(60), got.recv()).await;
        let event = next.expect("every event comes").expect("the receiver is there");
        match event["action"].as_str() {
            Some("push") => drop(tags.insert(event["target"]["tag"].to_string())),
            Some("delete") => {
                deletes += 1;
                assert_eq!(event["target"]["digest"], made.digest().to_string());
                assert_eq!(event["request"]["method"], "DELETE");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(ok(&server, &["webhook", "ping", "receiver"]).contains("answered 200"));
}

/// A tracker of Debian's form in which zlib has these flaws, with filler enough that one more is no shrinking.
fn tracker(ids: &[&str]) -> String {
    let record = |fixed: &str| json!({ "releases": { "bookworm": { "status": "resolved", "fixed_version": fixed, "urgency": "high" } } });
    let filler: serde_json::Map<String, Value> =
        (0..40).map(|number| (format!("CVE-2000-{number:04}"), record("0"))).collect();
    let flaws: serde_json::Map<String, Value> =
        ids.iter().map(|id| ((*id).to_owned(), record("2.0"))).collect();
    json!({ "filler": filler, "zlib": flaws }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_advisory_is_one_message_however_many_images_it_affects() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("--url=http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, mut got) = mpsc::unbounded_channel();
    let router = Router::new().fallback(receive).with_state((Arc::new(AtomicBool::new(true)), sender));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = ServerOptions::new(LAZARET, &folder.path().join("data"))
        .with("--webhook-loopback")
        .with("--login-server=registry.example");
    let server = Server::start(options);
    let import = |ids: &[&str]| {
        let path = folder.path().join("tracker.json");
        std::fs::write(&path, tracker(ids)).expect("writes");
        ok(&server, &["feeds", "import", path.to_str().expect("text")]);
    };
    import(&["CVE-2099-1"]);
    let client = server.client();
    for number in 0..12 {
        let version = format!("1.0-{number}");
        let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", version.as_str())]));
        let made = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
        client
            .push(if number < 4 { "app" } else { "team/web" }, &format!("v{number}"), &made)
            .await
            .expect("pushes");
        ok(&server, &["scan", &format!("{}:v{number}", if number < 4 { "app" } else { "team/web" })]);
    }
    ok(&server, &["webhook", "create", "programs", &url, "--actions=advisory", "--form=cloudevents"]);
    ok(
        &server,
        &["webhook", "create", "people", &url, "--actions=advisory", "--form=slack", "--scope=app:*"],
    );
    import(&["CVE-2099-1", "CVE-2099-2"]);
    let mut messages = Vec::new();
    for _ in 0..2 {
        let next = tokio::time::timeout(Duration::from_secs(60), got.recv()).await;
        messages.push(next.expect("a message in time").expect("the receiver is there"));
    }
    let program = messages.iter().find(|message| message["type"] == "lazaret.advisory.found");
    let advisory = &program.expect("a message for programs")["data"]["advisory"];
    assert_eq!((&advisory["id"], &advisory["severity"]), (&"CVE-2099-2".into(), &"High".into()));
    assert_eq!((&advisory["images"], &advisory["repositories"]), (&12.into(), &2.into()));
    assert_eq!(advisory["examples"].as_array().map(Vec::len), Some(12));
    let link = advisory["link"].as_str().expect("text");
    let path = link.strip_prefix("https://registry.example").expect("by the login server");
    let token = client.arm_token().await;
    let listed = reqwest::Client::new().get(format!("http://{}{path}", server.address)).bearer_auth(&token);
    let listed: Value = listed.send().await.expect("answers").json().await.expect("JSON");
    let rows = listed["value"].as_array().expect("a list");
    assert_eq!(
        rows.iter().filter(|row| row["properties"]["id"] == "CVE-2099-2").count(),
        12,
        "the link leads there"
    );
    let people = messages.iter().find_map(|message| message["text"].as_str()).expect("a message for people");
    assert!(people.starts_with("*CVE-2099-2 affects 4 images*\n"), "{people}");
    assert!(people.contains("Affected: `4 images in 1 repository`"), "{people}");
    // Nothing else comes: what was told is told once, though the same data is imported again.
    import(&["CVE-2099-1", "CVE-2099-2"]);
    import(&["CVE-2099-1"]);
    assert!(ok(&server, &["webhook", "ping", "programs"]).contains("answered 200"));
    let last = got.recv().await.expect("the receiver is there");
    assert_eq!(last["type"], "lazaret.webhook.ping");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_says_who_did_and_who_was_refused_what() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let made = ok(&server, &["principal", "create", "puller", "--role=AcrPull"]);
    let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let secret = secret.split_whitespace().nth(1).expect("a secret");
    let puller = Client::new(&server.address, "puller", secret);
    for _ in 0..5 {
        let refused = puller.request(reqwest::Method::POST, "/v2/app/blobs/uploads/").send().await;
        assert_eq!(refused.expect("answers").status(), 403);
    }
    let stranger = Client::new(&server.address, "stranger", "wrong").get("/v2/").await;
    assert_eq!(stranger.expect("answers").status(), 401);
    let admin = server.client();
    let token = admin.arm_token().await;
    let group = format!("{}?api-version=2022-12-01", admin.registry_id(&token).await).replace(
        "/resourceGroups/default/providers/Microsoft.ContainerRegistry/registries/lazaret",
        "/resourcegroups/second",
    );
    let put = reqwest::Client::new()
        .put(format!("http://{}{group}", server.address))
        .bearer_auth(&token)
        .json(&serde_json::json!({ "location": "local" }));
    assert_eq!(put.send().await.expect("answers").status(), 201);

    let deadline = Instant::now() + Duration::from_secs(60);
    let log = loop {
        let log: Vec<Value> =
            serde_json::from_str(&ok(&server, &["audit", "--format=json"])).expect("a list");
        // Refusals are written every few seconds.
        if log.iter().filter(|entry| entry["outcome"] == "refused").count() >= 2 {
            break log;
        }
        assert!(Instant::now() < deadline, "refusals are written: {log:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let of = |name: &str| {
        let found = log.iter().find(|entry| entry["principalName"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {log:?}"))
    };
    let refused = of("puller");
    assert_eq!((&refused["count"], &refused["status"]), (&5.into(), &403.into()));
    assert_eq!(refused["action"], "Microsoft.ContainerRegistry/registries/push/write");
    assert!(refused["scope"].as_str().expect("text").ends_with("/registries/lazaret/repositories/app"));
    assert_eq!(
        (&of("stranger")["action"], &of("stranger")["outcome"], &of("stranger")["address"]),
        (&"sign in".into(), &"refused".into(), &"127.0.0.1".into())
    );
    let done = of("admin");
    assert_eq!(done["action"], "Microsoft.Resources/subscriptions/resourceGroups/write");
    assert!(done["scope"].as_str().expect("text").ends_with("/resourceGroups/second"));
    assert_eq!((&done["outcome"], &done["address"]), (&"done".into(), &"127.0.0.1".into()));
    let command = log.iter().find(|entry| entry["action"] == "lazaret principal create");
    assert_eq!(command.expect("the command")["scope"], "puller");
    assert!(!serde_json::to_string(&log).expect("text").contains(secret), "no secrets");
}
