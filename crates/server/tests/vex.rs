//! VEX documents that are attached to an image: they count with the authority of whoever attaches them.

use base64::Engine as _;
use oci::Digest;
use serde_json::{Value, json};
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn made() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn open_vex(package: &str) -> Value {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://vex.example/1", "author": "The Team", "version": 1,
        "timestamp": "2026-01-02T00:00:00Z",
        "statements": [{
            "vulnerability": { "name": "CVE-1" }, "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
            "products": [{ "@id": "pkg:oci/app", "subcomponents": [{ "@id": package }] }]
        }]
    })
}

/// Attaches a document as `oras attach` does, and says what the answer warns of.
async fn attach(client: &Client, subject: &Digest, document: &Value) -> (Digest, String) {
    let bytes = document.to_string().into_bytes();
    let (layer, empty) = (
        client.push_blob("app", &bytes).await.expect("pushes"),
        client.push_blob("app", b"{}").await.expect("pushes"),
    );
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.openvex+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.openvex+json", "digest": layer, "size": bytes.len() }],
        "subject": { "mediaType": MANIFEST, "digest": subject, "size": 7 }
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = Digest::sha256(&bytes);
    let path = format!("/v2/app/manifests/{digest}");
    let put = client.request(reqwest::Method::PUT, &path).header("Content-Type", MANIFEST).body(bytes);
    let answer = put.send().await.expect("answers");
    assert_eq!(answer.status(), 201, "what a document says is no reason to refuse it");
    let warning = answer.headers().get("Warning").map(|it| it.to_str().expect("ASCII").to_owned());
    (digest, warning.unwrap_or_default())
}

/// State and findings, and the reason and the author of the rule that disables the first.
fn seen(server: &Server) -> String {
    let shown: Value =
        serde_json::from_str(&ok(server, &["image", "show", "app:1", "--format=json"])).expect("JSON");
    let query = "securityresources | where type =~ 'microsoft.security/assessments/subassessments' and id contains 'dbd0cb49' \
                 | where tostring(properties) contains 'CVE-1' \
                 | project code = tostring(properties.status.code)";
    let rows: Value = serde_json::from_str(&ok(server, &["query", query, "--format=json"])).expect("JSON");
    let rules: Value = serde_json::from_str(&ok(server, &["rule", "list", "--format=json"])).expect("JSON");
    let reasons = rules.as_array().into_iter().flatten();
    let reasons = reasons
        .map(|rule| format!("; {} {}", rule["properties"]["reason"], rule["properties"]["disabledFindings"]));
    format!("{} {} {}{}", shown["state"], shown["findingCount"], rows[0]["code"], reasons.collect::<String>())
        .replace('"', "")
}

#[tokio::test]
async fn a_vex_document_counts_as_long_as_it_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    ok(&server, &["feeds", "import", tracker.to_str().expect("text")]);
    let client = server.client();
    let image = client.push("app", "1", &made()).await.expect("pushes");
    ok(&server, &["scan", "app:1"]);
    let unhealthy = "Unhealthy 1 Unhealthy";
    assert_eq!(seen(&server), unhealthy);

    // Who pushes images may not judge them.
    let made = ok(&server, &["principal", "create", "ci", "--role=AcrPush"]);
    let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let ci = Client::new(&server.address, "ci", secret.split_whitespace().nth(1).expect("a secret"));
    let document = open_vex("pkg:deb/debian/zlib@1.0-1?arch=amd64");
    let (digest, warning) = attach(&ci, &image, &document).await;
    assert!(warning.contains("disables no finding") && warning.contains("findingRules/write"), "{warning}");
    assert_eq!(seen(&server), unhealthy);

    // Another version is another package.
    assert_eq!(attach(&client, &image, &open_vex("pkg:deb/debian/zlib@1.1-1")).await.1, "");
    let of_other = "; OpenVEX: not affected (vulnerable_code_not_in_execute_path) (says The Team) 0";
    assert_eq!(seen(&server), format!("{unhealthy}{of_other}"));

    // The same document, by somebody who may make rules.
    assert_eq!(attach(&client, &image, &document).await, (digest.clone(), String::new()));
    let seen_now = seen(&server);
    assert!(
        seen_now.starts_with("Healthy 0 NotApplicable; ") && seen_now.contains("(says The Team) 1"),
        "{seen_now}"
    );
    let token = client.arm_token().await;
    let rest = client.sub_assessments(&token).await;
    let row = rest
        .iter()
        .find(|row| row["properties"]["displayName"].as_str().is_some_and(|name| name.contains("CVE-1")));
    let row = row.expect("a row").to_string();
    assert!(row.contains("Exempt") && row.contains("vulnerable_code_not_in_execute_path"), "{row}");

    let digest_path = format!("/v2/app/manifests/{digest}");
    let gone = client.request(reqwest::Method::DELETE, &digest_path).send().await.expect("answers");
    assert_eq!(gone.status(), 202);
    assert_eq!(seen(&server), format!("{unhealthy}{of_other}"), "the document is gone, and what it said");

    let too_many: Vec<Value> = (0..100_000).map(|_| json!({ "status": "fixed" })).collect();
    let huge = json!({ "@context": "https://openvex.dev/ns/v0.2.0", "statements": too_many });
    let (_, warning) = attach(&client, &image, &huge).await;
    assert!(warning.contains("says more than"), "{warning}");
    let (_, warning) = attach(&client, &image, &json!({ "no": "VEX" })).await;
    assert_eq!(warning, "");

    // As cosign attests without referrers: a signed envelope in what looks like an image, found by its tag.
    let payload = json!({ "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://openvex.dev/ns", "predicate": document });
    let payload = base64::engine::general_purpose::STANDARD.encode(payload.to_string());
    let envelope = json!({ "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [{ "sig": "" }] });
    let envelope = envelope.to_string().into_bytes();
    let config = client.push_blob("app", b"{}").await.expect("pushes");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.dsse.envelope.v1+json", "size": envelope.len(),
                     "digest": client.push_blob("app", &envelope).await.expect("pushes") }]
    });
    let tag = format!("sha256-{}.att", image.hex());
    client.push_manifest("app", &tag, manifest.to_string().as_bytes()).await.expect("pushes");
    let seen_now = seen(&server);
    assert!(
        seen_now.starts_with("Healthy 0 NotApplicable; ") && seen_now.contains("(says The Team) 1"),
        "{seen_now}"
    );
}
