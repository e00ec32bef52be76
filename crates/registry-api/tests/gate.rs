//! The gate: who may pull what, and what everybody is told of it.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod house;

use advisory::Severity;
use assessment::{
    Finding, FindingPackage, FixState, Gate, GateExemption, Handling, ImageState, Policy, Verdict,
};
use auth::{hash_secret, roles};
use house::{Answer, House, basic, digest_of, house, image};
use inventory::ImageInventory;
use metastore::{
    NewRegistry, Principal, PrincipalKind, PrincipalSecret, PutRegistry, RegistryId, RoleAssignment,
    VerdictWrite,
};
use oci::{Digest, MediaType};
use serde_json::{Value, json};
use uuid::Uuid;

fn finding(severity: Severity) -> Finding {
    Finding {
        id: "CVE-2024-1".to_owned(),
        aliases: Vec::new(),
        title: String::new(),
        description: String::new(),
        severity,
        severity_source: String::new(),
        package: FindingPackage {
            name: "libssl3".to_owned(),
            version: "3.0.1".to_owned(),
            ecosystem: "deb".to_owned(),
            architecture: String::new(),
            path: String::new(),
            layer: Digest::sha256(b"layer"),
            layer_command: None,
        },
        source: "openssl".to_owned(),
        source_version: "3.0.1".to_owned(),
        fixed_version: Some("3.0.2".to_owned()),
        fix_state: FixState::Fixed,
        remediation: "Upgrade libssl3 to 3.0.2.".to_owned(),
        reason: String::new(),
        feed: "debian".to_owned(),
        references: Vec::new(),
    }
}

struct Gated {
    house: House,
    registry: RegistryId,
}

/// `app` with the tags `bad` (one High finding), `good` and `new` (not judged yet).
async fn gated() -> Gated {
    let house = house().await;
    let registry = house.metastore.registries().await.unwrap()[0].id;
    let gated = Gated { house, registry };
    for tag in ["bad", "good", "new"] {
        gated.push("app", tag).await;
    }
    gated.judge(&made("bad"), vec![finding(Severity::High)]).await;
    gated.judge(&made("good"), Vec::new()).await;
    gated
}

fn made(tag: &str) -> Value {
    image(tag.as_bytes(), &[])
}

impl Gated {
    async fn push(&self, repository: &str, tag: &str) {
        self.house.push_blob(repository, tag.as_bytes()).await;
        self.house.push_manifest(repository, tag, &made(tag)).await.is(201);
    }

    async fn judge(&self, image: &Value, findings: Vec<Finding>) {
        let state = if findings.is_empty() { ImageState::Healthy } else { ImageState::Unhealthy };
        let write = VerdictWrite {
            image: digest_of(image),
            inventory: ImageInventory::default(),
            snapshot: None,
            engine: "test".to_owned(),
            verdict: Verdict { state, causes: Vec::new(), findings },
            keys: Vec::new(),
            now_ms: 1,
        };
        assert!(self.house.metastore.put_verdict(write).await.unwrap());
    }

    /// As the command line does: from beside the server, which then looks.
    async fn gate(&self, policy: Policy) {
        let gate = Gate { name: "prod".to_owned(), repositories: "app*".to_owned(), policy };
        self.house.metastore.put_gate(self.registry, gate).await.unwrap();
        self.beside().await;
    }

    async fn beside(&self) {
        let path = self.house.folder().join("lazaret.db");
        let other = metastore::Metastore::open(&path, metastore::Durability::Unflushed).unwrap();
        let name = "nothing";
        assert!(!other.delete_gate(self.registry, name).await.unwrap());
        let exemption = exemption("of another repository", |it| {
            it.repositories = "-".to_owned();
            // Another one each time: SQLite writes nothing where a row stays as it is.
            it.reason = Uuid::new_v4().to_string();
        });
        other.put_exemption(self.registry, exemption).await.unwrap();
        self.house.registry.notice_changes().await.unwrap();
    }

    async fn exempt(&self, change: impl FnOnce(&mut GateExemption)) {
        self.house.metastore.put_exemption(self.registry, exemption("test", change)).await.unwrap();
        self.beside().await;
    }

    async fn principal(&self, name: &str, held: &[Uuid]) {
        let id = Uuid::new_v4();
        let role = |role| RoleAssignment::new(Uuid::new_v4(), id, role, "/".to_owned());
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret("secret"));
        assert!(self.house.metastore.create_principal(principal, secret, role(held[0]), 0).await.unwrap());
        for more in &held[1..] {
            self.house.metastore.assign_role(role(*more), 0).await.unwrap();
        }
    }

    /// Pulls as a client does: with a token for pulling.
    async fn pull(&self, name: &str, reference: &str) -> Answer {
        self.ask(name, "GET", "pull", reference).await
    }

    async fn ask(&self, name: &str, method: &str, actions: &str, reference: &str) -> Answer {
        let token = self.house.token(name, &[&format!("repository:app:{actions}")]).await;
        let path = format!("/v2/app/manifests/{reference}");
        self.house.send(method, &path, &[("authorization", &format!("Bearer {token}"))], "").await
    }
}

fn exemption(name: &str, change: impl FnOnce(&mut GateExemption)) -> GateExemption {
    let mut exemption = GateExemption {
        name: name.to_owned(),
        repositories: "*".to_owned(),
        tags: None,
        digest: None,
        advisory: None,
        reason: "because".to_owned(),
        expires_ms: None,
    };
    change(&mut exemption);
    exemption
}

fn high() -> Policy {
    Policy { severity: Some(Severity::High), pending: Some(Handling::Deny), ..Policy::OPEN }
}

#[tokio::test]
async fn without_a_gate_a_warning_says_what_an_image_has() {
    let gated = gated().await;
    for (tag, wanted) in [
        ("bad", r#"299 - "app: it has 1 finding, the worst CVE-2024-1 (High)""#),
        ("good", ""),
        ("new", r#"299 - "app: it is not judged (Pending): its scan is queued or running""#),
    ] {
        assert_eq!(gated.pull("puller", tag).await.is(200).header("warning"), wanted);
        assert_eq!(gated.ask("puller", "HEAD", "pull", tag).await.is(200).header("warning"), wanted);
    }
}

#[tokio::test]
async fn a_blocked_pull_says_which_finding_in_which_package_and_what_to_do() {
    let gated = gated().await;
    gated.gate(high()).await;
    for reference in ["bad".to_owned(), digest_of(&made("bad")).to_string()] {
        let answer = gated.pull("puller", &reference).await.is(403);
        assert_eq!(answer.code(), "DENIED");
        let wanted = format!(
            "app at {reference} may not be pulled: the gate prod blocks it: it has 1 finding of severity High or \
             worse, first CVE-2024-1 in libssl3 3.0.1: Upgrade libssl3 to 3.0.2. Push an image that passes, or ask \
             an operator for an exemption (`lazaret gate exempt`)"
        );
        assert_eq!(answer.json()["errors"][0]["message"], wanted);
        gated.ask("puller", "HEAD", "pull", &reference).await.is(403);
    }
    gated.pull("puller", "good").await.is(200);
    let fresh = format!("\"{}\"", digest_of(&made("bad")));
    let authorization = basic("puller", "secret");
    let headers = [("authorization", authorization.as_str()), ("if-none-match", &fresh)];
    gated.house.send("GET", "/v2/app/manifests/bad", &headers, "").await.is(403);
}

#[tokio::test]
async fn an_image_is_held_until_it_is_judged_and_a_verdict_counts_from_its_commit_on() {
    let gated = gated().await;
    gated.gate(high()).await;
    gated.pull("puller", "new").await.is(403);
    gated.judge(&made("new"), Vec::new()).await;
    gated.pull("puller", "new").await.is(200);
    gated.judge(&made("new"), vec![finding(Severity::Critical)]).await;
    gated.pull("puller", "new").await.is(403);
    gated.judge(&made("new"), vec![finding(Severity::Low)]).await;
    gated.pull("puller", "new").await.is(200);
}

#[tokio::test]
async fn an_index_is_judged_by_its_children() {
    let gated = gated().await;
    let index = |tags: &[&str]| {
        let child = |tag: &&str| {
            json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": digest_of(&made(tag)),
                    "size": made(tag).to_string().len() })
        };
        let manifests: Vec<Value> = tags.iter().map(child).collect();
        json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests })
    };
    gated.house.push_manifest("app", "mixed", &index(&["good", "bad"])).await.is(201);
    gated.house.push_manifest("app", "clean", &index(&["good"])).await.is(201);
    let warned = gated.pull("puller", "mixed").await.is(200);
    assert!(warned.header("warning").contains("1 finding"), "{warned:?}");
    gated.gate(high()).await;
    gated.pull("puller", "mixed").await.is(403);
    gated.pull("puller", "clean").await.is(200);
    gated.judge(&made("good"), vec![finding(Severity::Critical)]).await;
    gated.pull("puller", "clean").await.is(403);
    gated.exempt(|it| it.digest = Some(digest_of(&index(&["good"])))).await;
    gated.pull("puller", "clean").await.is(200);
    gated.pull("puller", "good").await.is(403);
}

#[tokio::test]
async fn an_exemption_ends_by_the_clock() {
    let gated = gated().await;
    gated.gate(high()).await;
    gated
        .exempt(|it| {
            it.advisory = Some("CVE-2024-1".to_owned());
            it.expires_ms = Some(1_800_000_000_000 + 60_000);
        })
        .await;
    let answer = gated.pull("puller", "bad").await.is(200);
    assert!(answer.header("warning").contains("CVE-2024-1"), "it is exempt, and still said");
    gated.house.turn_clock(60_000);
    gated.pull("puller", "bad").await.is(403);
}

#[tokio::test]
async fn a_gate_guards_the_repositories_of_its_pattern_alone() {
    let gated = gated().await;
    gated.gate(high()).await;
    gated.push("other", "bad").await;
    let authorization = basic("puller", "secret");
    let headers = [("authorization", authorization.as_str())];
    gated.house.send("GET", "/v2/other/manifests/bad", &headers, "").await.is(200);
    gated.house.metastore.delete_gate(gated.registry, "prod").await.unwrap();
    gated.beside().await;
    gated.pull("puller", "bad").await.is(200);
}

/// docker, buildx and cosign look at what is there before they push, and at what they pushed.
#[tokio::test]
async fn a_push_goes_through_the_gate_and_who_may_look_behind_it_is_told() {
    let gated = gated().await;
    gated.gate(high()).await;
    gated.principal("builder", &[roles::ACR_PUSH]).await;
    gated.principal("watcher", &[roles::ACR_PULL, roles::ACR_QUARANTINE_READER]).await;
    gated.principal("reader", &[roles::READER]).await;
    for (name, actions, tag, wanted) in [
        ("builder", "pull", "bad", 403),
        ("builder", "pull,push", "bad", 200),
        ("builder", "pull,push", "new", 200),
        ("watcher", "pull", "bad", 200),
        ("admin", "pull", "bad", 200),
        ("reader", "pull", "bad", 403),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = gated.ask(name, method, actions, tag).await.is(wanted);
            let is_told = answer.header("warning").contains("refused to others");
            assert_eq!(is_told, wanted == 200, "{name} {method} {tag}: {answer:?}");
        }
    }
    // What one has pushed a moment ago one may look at, by whatever token.
    let token = gated.house.token("builder", &["repository:app:pull,push"]).await;
    let authorization = format!("Bearer {token}");
    let body = made("new").to_string();
    let headers = [("authorization", authorization.as_str()), ("content-type", MediaType::OCI_MANIFEST)];
    gated.house.send("PUT", "/v2/app/manifests/mine", &headers, body).await.is(201);
    gated.pull("builder", "mine").await.is(200);
    gated.pull("puller", "mine").await.is(403);
    gated.house.turn_clock(600_000);
    gated.pull("builder", "mine").await.is(403);
}

#[tokio::test]
async fn what_is_pushed_into_quarantine_is_hidden_until_a_scanner_lets_it_pass() {
    let gated = gated().await;
    gated.principal("scanner", &[roles::ACR_PULL, roles::ACR_QUARANTINE_WRITER]).await;
    let served = gated.house.metastore.registries().await.unwrap().remove(0);
    let wanted = NewRegistry {
        quarantine: Some(true),
        ..NewRegistry::new(served.subscription, served.resource_group, served.name)
    };
    let put = gated.house.metastore.put_registry(wanted, 0).await.unwrap();
    assert!(matches!(put, PutRegistry::Updated(_)), "{put:?}");
    gated.push("app", "later").await;
    gated.judge(&made("later"), Vec::new()).await;
    let digest = digest_of(&made("later")).to_string();
    assert_eq!(gated.pull("puller", "later").await.is(404).code(), "MANIFEST_UNKNOWN");
    let refused = gated.pull("puller", &digest).await.is(403);
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("operation is disallowed"));
    gated.pull("scanner", &digest).await.is(200);
    gated.pull("puller", "good").await.is(200);

    let path = format!("/acr/v1/app/_manifests/{digest}");
    let judge = async |name: &str, body: Value| {
        let authorization = basic(name, "secret");
        gated.house.send("PATCH", &path, &[("authorization", &authorization)], body.to_string()).await
    };
    let passed = json!({ "quarantineState": "Passed", "quarantineDetails": "{\"state\":\"ok\"}" });
    judge("puller", passed.clone()).await.is(403);
    judge("scanner", json!({ "quarantineState": "Perhaps" })).await.is(400);
    judge("scanner", json!({ "quarantineState": "Passed", "writeEnabled": false })).await.is(403);
    judge("scanner", json!({ "deleteEnabled": false })).await.is(403);
    judge("scanner", json!({ "quarantineState": "Failed" })).await.is(200);
    gated.pull("puller", "later").await.is(404);
    let shown = judge("scanner", passed).await.is(200).json();
    let attributes = &shown["manifest"]["changeableAttributes"];
    assert_eq!(attributes["quarantineState"], "Passed", "{shown}");
    assert_eq!(attributes["quarantineDetails"], "{\"state\":\"ok\"}");
    gated.pull("puller", "later").await.is(200);
    let absent = format!("/acr/v1/app/_manifests/{}", Digest::sha256(b"absent"));
    let authorization = basic("scanner", "secret");
    let body = json!({ "quarantineState": "Passed" }).to_string();
    gated.house.send("PATCH", &absent, &[("authorization", &authorization)], body).await.is(404);
}
