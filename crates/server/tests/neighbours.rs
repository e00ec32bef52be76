//! Two subscriptions of one server share a digest: each sees, pays and is told what its own plan and its own
//! clusters give it, by every door.

use reqwest::header::HOST;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};
use tokio::sync::mpsc;

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn tracker(ids: &[&str]) -> String {
    let flaw = json!({ "releases": { "bookworm": { "status": "resolved", "fixed_version": "2.0", "urgency": "high" } } });
    let flaws: serde_json::Map<String, Value> =
        ids.iter().map(|id| ((*id).to_owned(), flaw.clone())).collect();
    json!({ "zlib": flaws }).to_string()
}

/// Subscription A with the plan on, and its registry `lazaret`; B with the plan off, and `theirs`; both hold `app:1`.
struct House {
    server: Server,
    admin: Client,
    home: String,
    other: String,
    /// Readers of A and of B.
    ann: Reader,
    bob: Reader,
    folder: tempfile::TempDir,
}

struct Reader {
    client: Client,
    token: String,
    registry: String,
    http: reqwest::Client,
    base: String,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = ServerOptions::new(LAZARET, &folder.path().join("data")).with("--webhook-loopback");
        let server = Server::start(options);
        let admin = server.client();
        let registry = admin.registry_id(&admin.arm_token().await).await;
        let home = registry.split('/').nth(2).expect("a subscription").to_owned();
        let other = "5f2f4f8e-4d5c-4f0e-9a43-0a8d6a6b7c11".to_owned();
        let theirs = registry.replace(&home, &other).replace("registries/lazaret", "registries/theirs");
        let ok = |arguments: &[&str]| ok(&server, arguments);
        ok(&["subscription", "create", "other", "--unscanned", &format!("--id={other}")]);
        ok(&["registry", "create", "theirs", "--subscription=other"]);
        let mut readers = Vec::new();
        for (name, subscription) in [("ann", &home), ("bob", &other)] {
            let scope = format!("--scope=/subscriptions/{subscription}");
            let made = ok(&["principal", "create", name, "--role=Reader", &scope]);
            let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
            let secret = secret.split_whitespace().nth(1).expect("a secret");
            let client = Client::new(&server.address, name, secret);
            readers.push((client.arm_token().await, client));
        }
        let reader = |(token, client): &(String, Client), registry: String| {
            let base = format!("http://{}", server.address);
            let (token, client) = (token.clone(), client.clone());
            Reader { client, token, registry, http: reqwest::Client::new(), base }
        };
        let (ann, bob) = (reader(&readers[0], registry), reader(&readers[1], theirs));
        let house = Self { admin, home, other, ann, bob, folder, server };
        house.feed(&["CVE-2001-1"]);
        house.admin.push("app", "1", &made()).await.expect("pushes");
        house.ok(&["scan", "app:1"]);
        let layout = house.folder.path().join("layout");
        made().save_layout(&layout, "1");
        house.ok(&["import", layout.to_str().expect("text"), "--to=app:1", "--registry=theirs"]);
        house
    }

    fn ok(&self, arguments: &[&str]) -> String {
        ok(&self.server, arguments)
    }

    fn feed(&self, ids: &[&str]) {
        let file = self.folder.path().join("tracker.json");
        std::fs::write(&file, tracker(ids)).expect("writes");
        self.ok(&["feeds", "import", file.to_str().expect("text")]);
    }

    /// What B sees of its image by each door, as texts.
    async fn seen_by_bob(&self) -> Vec<(&'static str, String)> {
        let on = ["--registry=theirs", "--format=json"];
        let with = |words: &[&'static str]| self.ok(&[words, &on].concat());
        let gate = self.server.command(&["gate", "check", "app:1", "--registry=theirs"]);
        let scanned = self.server.command(&["scan", "app:1", "--registry=theirs", "--format=json"]);
        let rows = format!(
            "{}/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments",
            self.bob.registry
        );
        let query = "securityresources | where type == 'microsoft.security/assessments/subassessments'";
        vec![
            ("REST rows", self.bob.rest(&rows).await),
            ("KQL", self.bob.query(query, "application/json").await),
            ("CSV", self.bob.query(query, "text/csv").await),
            ("image show", with(&["image", "show", "app:1"])),
            ("image list", with(&["image", "list"])),
            ("scan", String::from_utf8_lossy(&scanned.stdout).into_owned()),
            ("gate check", String::from_utf8_lossy(&gate.stdout).into_owned()),
            ("pull", self.pulled().await),
        ]
    }

    /// B's image, or why its gate refuses it.
    async fn pulled(&self) -> String {
        let asked = self.bob.client.request(Method::GET, "/v2/app/manifests/1");
        let asked = asked.header(HOST, "theirs.lazaret.localhost");
        asked.send().await.expect("answers").text().await.expect("text")
    }

    fn usage(&self) -> Value {
        let usage: Value = serde_json::from_str(&self.ok(&["usage", "--format=json"])).expect("a document");
        let rows = usage.as_array().expect("a list").clone();
        rows.into_iter()
            .find(|row| row.to_string().contains(&self.other))
            .map_or(json!(0), |row| row["count"].clone())
    }
}

impl Reader {
    async fn rest(&self, path: &str) -> String {
        let url = format!("{}{path}?api-version=2019-01-01-preview", self.base);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.expect("answers");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("text")
    }

    async fn query(&self, text: &str, accept: &str) -> String {
        let url = format!("{}/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).header("accept", accept);
        let answer = request.json(&json!({ "query": text })).send().await.expect("answers");
        assert_eq!(answer.status(), StatusCode::OK, "{text}");
        answer.text().await.expect("text")
    }
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A receiver of webhooks.
async fn receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("--url=http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, got) = mpsc::unbounded_channel();
    let take = move |body: axum::body::Bytes| {
        drop(sender.send(serde_json::from_slice(&body).expect("JSON")));
        std::future::ready(StatusCode::OK.as_u16().to_string())
    };
    let router = axum::Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

const ROWS: &str =
    "/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments";

/// Asks again until the answer is right.
async fn until<T: std::fmt::Display>(
    what: &str,
    ask: impl AsyncFn() -> T,
    is_right: impl Fn(&T) -> bool,
) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let answer = ask().await;
        if is_right(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: {answer:.2000}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_gives_is_seen_where_it_is_on_alone() {
    let house = House::new().await;
    house.ok(&["gate", "set", "strict", "--severity=high", "--registry=theirs"]);
    let (url, mut got) = receiver().await;
    house.ok(&[
        "webhook",
        "create",
        "told1",
        &url,
        "--actions=verdict,advisory",
        "--form=cloudevents",
        "--registry=theirs",
    ]);
    let rows = format!("{}{ROWS}", house.ann.registry);
    let ann = async || house.ann.rest(&rows).await;
    let sees_nothing = async |when: &str| {
        for (door, text) in house.seen_by_bob().await {
            assert!(!text.contains("CVE-") && !text.contains("zlib"), "{when}, {door}: {text}");
            let is_said = text.contains("PlanOff") || text.contains("plan of the subscription is off");
            assert!(is_said && text.contains("NotApplicable"), "{when}, {door}: {text}");
        }
    };
    // A running server follows a command within a second.
    let pulled = async || house.pulled().await;
    until("the gate is set", pulled, |text| text.contains("strict")).await;
    // A judged it first; then A's advisories change.
    sees_nothing("never judged").await;
    house.feed(&["CVE-2001-1", "CVE-2002-2"]);
    until("A is judged", ann, |text| text.contains("CVE-2002-2")).await;
    sees_nothing("judged anew for A").await;
    assert_eq!(house.usage(), 0);
    house.ok(&["webhook", "ping", "told1", "--registry=theirs"]);
    assert_eq!(got.recv().await.expect("a message")["type"], "lazaret.webhook.ping", "and nothing before");

    house.ok(&["plan", "on", "--subscription=other"]);
    let theirs = format!("{}{ROWS}", house.bob.registry);
    let listed = async || house.bob.rest(&theirs).await;
    until("B is judged", listed, |text| text.contains("CVE-2002-2")).await;
    until("the gate knows", pulled, |text| text.contains("CVE-")).await;
    for (door, text) in house.seen_by_bob().await {
        assert!(
            !text.contains("PlanOff") && (text.contains("CVE-") || text.contains("Unhealthy")),
            "{door}: {text}"
        );
    }
    until("B pays", async || house.usage(), |count| *count == json!(1)).await;
    let event = got.recv().await.expect("a message");
    assert!(event.to_string().contains("Unhealthy"), "{event}");

    // Kept, and each row says what it is.
    house.ok(&["plan", "off", "--subscription=other"]);
    let kept: Value = serde_json::from_str(&house.bob.rest(&format!("{}{ROWS}", house.bob.registry)).await)
        .expect("a page");
    let kept = kept["value"].as_array().expect("rows").clone();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for row in kept {
        assert!(row["properties"]["status"].to_string().contains("PlanOff"), "{row}");
    }
    // A gate's sentence names what it found.
    for (door, text) in house.seen_by_bob().await {
        assert!(text.contains("PlanOff") || text.contains("strict"), "{door}: {text}");
    }

    // What A is told later is A's.
    house.feed(&["CVE-2001-1", "CVE-2002-2", "CVE-2003-3"]);
    until("A is judged again", ann, |text| text.contains("CVE-2003-3")).await;
    until("the gate knows that", pulled, |text| !text.contains("CVE-")).await;
    sees_nothing("kept until judged anew").await;
    assert_eq!(house.usage(), 1);
    let event = got.recv().await.expect("a message").to_string();
    assert!(event.contains("NotApplicable") && !event.contains("CVE-2003-3"), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_learns_and_tells_of_its_own_subscription_alone() {
    let house = House::new().await;
    let layout = house.folder.path().join("layout");
    house.ok(&["import", layout.to_str().expect("text"), "--to=app:secret"]);
    let cluster = |name: &str, subscription: &str| {
        let text = house.ok(&[
            "cluster",
            "create",
            name,
            "--url=https://reg.example",
            "--severity=high",
            &format!("--subscription={subscription}"),
        ]);
        let made: Value = serde_json::from_str(&text).expect("a document");
        let url = made["webhooks"][0]["clientConfig"]["url"].as_str().expect("text");
        url.rsplit('/').next().expect("a token").to_owned()
    };
    let (west, east) = (cluster("west", &house.home), cluster("east", "other"));
    let fixture = |name: &str| {
        let path = format!("{}/tests/admission/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a fixture")
    };
    let review = async |name: &str, token: &str, image: &str| {
        let path = format!("/admission/v1/{name}/{token}");
        let sent =
            house.admin.request(Method::POST, &path).body(fixture("create_pod").replace("IMAGE", image));
        let answer: Value = sent.send().await.expect("answers").json().await.expect("a review");
        answer["response"].to_string().replace(image, "IMAGE")
    };
    // By any name of A's image, east is told what it is told of an image that is not there.
    let digest = made().digest();
    for (secret, missing) in [
        ("reg.example/app:secret".to_owned(), "reg.example/app:none".to_owned()),
        ("lazaret.lazaret.localhost/app:secret".to_owned(), "lazaret.lazaret.localhost/app:none".to_owned()),
        (format!("reg.example/app@{digest}"), format!("reg.example/app@{}", oci::Digest::sha256(b"none"))),
    ] {
        let (told, of_none) = (review("east", &east, &secret).await, review("east", &east, &missing).await);
        assert_eq!(told, of_none, "{secret}");
        assert!(!told.contains("CVE-"), "{told}");
    }
    assert!(review("west", &west, "reg.example/app:secret").await.contains("CVE-2001-1"));
    let own = review("east", &east, "theirs.lazaret.localhost/app:1").await;
    assert!(!own.contains("CVE-"), "the plan is off: {own}");

    let report = async |name: &str, token: &str, workload: &str| {
        let pods = fixture("pods").replace("REPO", "reg.example/app").replace("DIGEST", &digest.to_string());
        let pods = pods
            .replace("\"web-5d4f8c7b9d\"", &format!("\"{workload}-5d4f8c7b9d\""))
            .replace("\"shop\"", &format!("\"{workload}\""));
        let url = format!("http://{}/clusters/v1/{name}/running", house.server.address);
        let sent =
            reqwest::Client::new().put(url).bearer_auth(token).body(pods).send().await.expect("answers");
        assert_eq!(sent.status(), StatusCode::OK);
        sent.text().await.expect("text")
    };
    // Both run the digest that they share; each is told the same, and shows beside its own.
    let (a, b) = (report("west", &west, "wlana").await, report("east", &east, "wlbob").await);
    assert_eq!(a.replace("west", "east"), b);
    house.ok(&["plan", "on", "--subscription=other"]);
    let query = "securityresources | where type == 'microsoft.security/assessments/subassessments'";
    for (reader, registry, own, foreign) in
        [(&house.ann, "lazaret", "wlana", "wlbob"), (&house.bob, "theirs", "wlbob", "wlana")]
    {
        let rows = format!("{}{ROWS}", reader.registry);
        let shown =
            until("the report shows", async || reader.rest(&rows).await, |text| text.contains(own)).await;
        let listed = reader.query(query, "application/json").await;
        let csv = reader.query(query, "text/csv").await;
        let command =
            house.ok(&["image", "show", "app:1", "--format=json", &format!("--registry={registry}")]);
        for text in [&shown, &listed, &csv, &command] {
            assert!(!text.contains(foreign), "{registry}: {text}");
        }
        assert!(command.contains(own), "{command}");
    }
    // A token speaks for its own cluster.
    let url = format!("http://{}/clusters/v1/west/running", house.server.address);
    let sent = reqwest::Client::new()
        .put(url)
        .bearer_auth(&east)
        .body(fixture("pods"))
        .send()
        .await
        .expect("answers");
    assert!(
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&sent.status()),
        "{}",
        sent.status()
    );
}
