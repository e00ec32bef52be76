//! A cluster asks what it may run and says what it runs, in the words of Kubernetes' API server.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made(package: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

struct House {
    server: Server,
    client: Client,
    /// Where its webhook configuration sends reviews to.
    path: String,
    _folder: tempfile::TempDir,
}

/// A server with a bad image, a good one and one that nobody could judge, and a cluster.
async fn house(options: &[&str]) -> House {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    for (repository, package) in [("app/bad", "zlib"), ("app/good", "bash")] {
        client.push(repository, "1", &made(package)).await.expect("pushes");
        assert!(server.command(&["scan", &format!("{repository}:1")]).status.success());
    }
    let create = ["cluster", "create", "prod", "--url=https://reg.example:5443"];
    let made = server.command(&[&create, options].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let configuration: Value = serde_json::from_slice(&made.stdout).expect("a document");
    let url = configuration["webhooks"][0]["clientConfig"]["url"].as_str().expect("text");
    let path = url.strip_prefix("https://reg.example:5443").expect("the URL that was given").to_owned();
    House { server, client, path, _folder: folder }
}

impl House {
    fn fixture(name: &str) -> String {
        let path = format!("{}/tests/admission/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a fixture")
    }

    async fn review(&self, name: &str, image: &str) -> Value {
        let body =
            Self::fixture(name).replace("IMAGE", image).replace("KNOWN", "reg.example:5443/app/good:1");
        let sent = self.client.request(reqwest::Method::POST, &self.path).body(body);
        let answer = sent.send().await.expect("answers").error_for_status().expect("a review");
        let answer: Value = answer.json().await.expect("a document");
        assert_eq!(
            (&answer["apiVersion"], &answer["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        answer["response"].clone()
    }

    async fn refused(&self, name: &str, image: &str) -> String {
        let response = self.review(name, image).await;
        assert_eq!(response["allowed"], false, "{name} {image}: {response}");
        assert_eq!(response["status"]["code"], 403);
        response["status"]["message"].as_str().expect("a sentence").to_owned()
    }

    async fn admitted(&self, name: &str, image: &str) -> Vec<Value> {
        let response = self.review(name, image).await;
        assert_eq!(response["allowed"], true, "{name} {image}: {response}");
        response["warnings"].as_array().cloned().unwrap_or_default()
    }

    fn set(&self, options: &[&str]) {
        let set = self.server.command(&[&["cluster", "set", "prod"], options].concat());
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }
}

#[tokio::test]
async fn images_are_admitted_by_verdict_and_policy() {
    let house = house(&[]).await;
    let (good, bad) = ("reg.example:5443/app/good:1", "reg.example:5443/app/bad:1");
    assert!(house.admitted("create_pod", good).await.is_empty());
    let sentence = house.refused("create_pod", bad).await;
    let wanted = format!(
        "Lazaret refuses {bad}: it has 1 finding of severity High or worse, first CVE-2024-1 in zlib 1.0-1: "
    );
    assert!(sentence.starts_with(&wanted), "{sentence}");
    // By digest, by the host without its port, in every kind of workload.
    let digest = format!("reg.example/app/bad@{}", made("zlib").digest());
    for name in ["create_pod", "debug_pod", "change_deployment", "create_cron_job"] {
        assert!(house.refused(name, &digest).await.contains("CVE-2024-1"));
    }
    // What it ran before may be scaled.
    house.admitted("scale_deployment", bad).await;
    // Not judged, or not even an image of ours.
    let missing = house.refused("create_pod", "reg.example:5443/app/none:1").await;
    assert!(missing.ends_with("it is not judged (Unverified): the registry has no such image"), "{missing}");
    assert!(
        house.refused("create_pod", "reg.example:5443/App").await.ends_with("it is not the name of an image")
    );
    house.admitted("create_pod", "docker.io/library/nginx:1").await;

    house.set(&["--severity=critical", "--unverified=allow", "--others=deny"]);
    let wanted = json!([format!("{bad}: it has 1 finding, the worst CVE-2024-1 (High)")]);
    assert_eq!(json!(house.admitted("debug_pod", bad).await), wanted);
    let warned = house.admitted("debug_pod", "reg.example:5443/app/none:1").await;
    assert_eq!(
        warned,
        ["reg.example:5443/app/none:1: it is not judged (Unverified): the registry has no such image"]
    );
    let other = house.refused("create_pod", good).await;
    assert!(other.contains("docker.io/library/busybox:1.36: it is not of this registry"), "{other}");
    house.set(&["--exempt=shop", "--others=deny"]);
    assert!(house.admitted("create_pod", bad).await.is_empty());
}

#[tokio::test]
async fn only_a_clusters_own_token_asks_and_hostile_reviews_are_refused() {
    let house = house(&["--fail-open"]).await;
    let send = |path: String, token: Option<String>, body: String| {
        let request =
            reqwest::Client::new().post(format!("http://{}{path}", house.server.address)).body(body);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        async move { request.send().await.expect("answers").status() }
    };
    let review = House::fixture("create_pod");
    let token = house.path.rsplit('/').next().expect("a token").to_owned();
    for (path, token, wanted) in [
        (house.path.clone(), None, StatusCode::OK),
        ("/admission/v1/prod".to_owned(), Some(token.clone()), StatusCode::OK),
        ("/admission/v1/prod".to_owned(), None, StatusCode::UNAUTHORIZED),
        ("/admission/v1/prod/wrong".to_owned(), None, StatusCode::UNAUTHORIZED),
        (format!("/admission/v1/other/{token}"), None, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(send(path.clone(), token, review.clone()).await, wanted, "{path}");
    }
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE"}}"#,
    ] {
        assert_eq!(send(house.path.clone(), None, body.to_owned()).await, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(send(house.path.clone(), None, "[".repeat(1 << 20)).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(house.path.clone(), None, " ".repeat(9 << 20)).await, StatusCode::PAYLOAD_TOO_LARGE);
    let rotated = house.server.command(&["cluster", "rotate", "prod", "--url=https://reg.example"]);
    let rotated: Value = serde_json::from_slice(&rotated.stdout).expect("a document");
    assert_eq!(rotated["webhooks"][0]["failurePolicy"], "Ignore");
    assert_eq!(send(house.path.clone(), None, review.clone()).await, StatusCode::UNAUTHORIZED);
    assert!(house.server.command(&["cluster", "delete", "prod"]).status.success());
}

#[tokio::test]
async fn who_may_not_speak_for_a_cluster_is_written_down() {
    let house = house(&[]).await;
    let made = house.server.command(&["principal", "create", "curious", "--role=Reader", "--scope=/"]);
    let made = String::from_utf8(made.stdout).expect("text");
    let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let secret = secret.split_whitespace().nth(1).expect("a secret");
    let token = Client::new(&house.server.address, "curious", secret).arm_token().await;
    let url = format!("http://{}/clusters/v1/prod/running", house.server.address);
    let request = reqwest::Client::new().put(url).bearer_auth(token).body(r#"{"kind":"PodList","items":[]}"#);
    assert_eq!(request.send().await.expect("answers").status(), StatusCode::FORBIDDEN);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // Refusals are written every few seconds.
    let entry = loop {
        let log = house.server.command(&["audit", "--format=json"]);
        let log: Vec<Value> = serde_json::from_slice(&log.stdout).expect("a list");
        if let Some(entry) =
            log.into_iter().find(|entry| entry["action"] == "Microsoft.Security/clusters/running/write")
        {
            break entry;
        }
        assert!(std::time::Instant::now() < deadline, "nobody wrote it down");
    };
    assert_eq!((&entry["status"], &entry["principalName"]), (&json!(403), &json!("curious")), "{entry}");
}

#[tokio::test]
async fn findings_say_where_their_image_runs() {
    let house = house(&[]).await;
    let token = house.path.rsplit('/').next().expect("a token").to_owned();
    let digest = made("zlib").digest().to_string();
    let http = reqwest::Client::new();
    let report = |token: String, body: String| {
        let request = http.put(format!("http://{}/clusters/v1/prod/running", house.server.address));
        async move { request.bearer_auth(token).body(body).send().await.expect("answers") }
    };
    let pods = House::fixture("pods").replace("REPO", "reg.example:5443/app/bad").replace("DIGEST", &digest);
    let answer = report(token.clone(), pods.clone()).await.error_for_status().expect("takes it");
    let wanted = json!({ "cluster": "prod", "images": 2, "unresolved": 1 });
    assert_eq!(answer.json::<Value>().await.expect("a document"), wanted);

    let shown = |reference: &str| {
        let output = house.server.command(&["image", "show", reference, "--format=json"]);
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        document["running"].clone()
    };
    let place = &shown("app/bad:1")[0];
    assert_eq!((&place["cluster"], &place["namespace"]), (&json!("prod"), &json!("shop")));
    assert_eq!((&place["workload"], &place["containers"]), (&json!("Deployment/web"), &json!(2)));
    assert_eq!(shown("app/good:1"), json!([]));
    let listed = house.server.command(&["cluster", "list", "--format=json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("a list");
    assert_eq!(listed[0]["running"], 2);
    // The same on every finding, by Azure's API.
    let arm = house.client.arm_token().await;
    let rows = house.client.sub_assessments(&arm).await;
    let running = |repository: &str| {
        let row = rows.iter().find(|row| row["properties"]["additionalData"]["repositoryName"] == repository);
        row.expect("a row")["properties"]["additionalData"]["running"].clone()
    };
    assert_eq!(running("app/bad")[0]["workload"], "Deployment/web");
    assert_eq!(running("app/good"), json!([]));

    // The administrator may speak for it; a report replaces the one before; a bad one changes nothing.
    for (token, body, wanted) in [
        ("wrong".to_owned(), pods.clone(), 401),
        (token.clone(), r#"{"kind":"Pod"}"#.to_owned(), 400),
        (token.clone(), "{".to_owned(), 400),
    ] {
        assert_eq!(report(token, body).await.status(), wanted);
    }
    assert_eq!(shown("app/bad:1")[0]["workload"], "Deployment/web");
    assert_eq!(report(arm, r#"{"kind":"List","items":[]}"#.to_owned()).await.status(), 200);
    assert_eq!(shown("app/bad:1"), json!([]));
}
