//! Rules from the command line, over a pushed image: every door sees the same.

use serde_json::Value;
use testkit::{Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(server, arguments)).expect("a document")
}

/// What each reader says of the image, in one line.
async fn seen(server: &Server) -> String {
    let shown = json(server, &["image", "show", "app:1", "--format=json"]);
    let gate = server.command(&["scan", "app:1", "--fail-on=low"]).status.code();
    let query = "securityresources | where type =~ 'microsoft.security/assessments/subassessments' \
                 | where id contains 'dbd0cb49' | project code=tostring(properties.status.code), cause=tostring(properties.status.cause)";
    let rows = json(server, &["query", query, "--format=json"]);
    let client = server.client();
    let token = client.arm_token().await;
    let rest = client.sub_assessments(&token).await;
    let status = &rest[0]["properties"]["status"];
    let (state, code, cause) = (&shown["state"], &rows[0]["code"], &rows[0]["cause"]);
    assert_eq!(code, &status["code"], "the tables and REST say the same");
    assert_eq!(cause.as_str().unwrap_or_default(), status["cause"].as_str().unwrap_or_default());
    assert_eq!(status["severity"], "High", "it keeps its severity");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {} {}{} gate {gate:?}", text(state), shown["findingCount"], text(code), text(cause))
}

#[tokio::test]
async fn a_rule_hides_and_gives_back_at_every_door() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    ok(&server, &["feeds", "import", tracker.to_str().expect("text")]);
    server.client().push("app", "1", &made()).await.expect("pushes");
    ok(&server, &["scan", "app:1"]);
    let unhealthy = "Unhealthy 1 Unhealthy gate Some(3)";
    assert_eq!(seen(&server).await, unhealthy);

    let told = ok(&server, &["rule", "create", "accepted", "--advisory=cve-1", "--reason=not reachable"]);
    assert!(told.contains("disables 1 finding"), "{told}");
    assert_eq!(seen(&server).await, "Healthy 0 NotApplicableExempt gate Some(0)");
    let table = ok(&server, &["image", "show", "app:1"]);
    assert!(table.contains("1 finding is disabled by rules") && table.contains("not reachable"), "{table}");
    let listed = json(&server, &["rule", "list", "--format=json"]);
    assert_eq!(listed[0]["properties"]["criteria"], serde_json::json!({ "advisories": ["CVE-1"] }));
    ok(&server, &["rule", "delete", "accepted"]);
    assert_eq!(seen(&server).await, unhealthy);
    assert!(!server.command(&["rule", "delete", "accepted"]).status.success());

    for wrong in [
        &["rule", "create", "x", "--reason=because"][..],
        &["rule", "create", "x y", "--not-patchable", "--reason=because"],
        &["rule", "create", "x", "--not-patchable", "--reason="],
        &["rule", "create", "x", "--not-patchable", "--reason=because", "--expires=2020-01-01"],
        &["rule", "create", "x", "--not-patchable", "--reason=because", "--expires=soon"],
        &["rule", "create", "x", "--not-patchable", "--reason=because", "--scope=/subscriptions"],
    ] {
        assert!(!server.command(wrong).status.success(), "{wrong:?}");
    }

    // It ends by itself while the server runs.
    let expires = format!("--expires={}", jiff::Timestamp::now() + std::time::Duration::from_secs(2));
    ok(
        &server,
        &["rule", "create", "short", "--severity-below=critical", "--reason=a while", "--scope=/", &expires],
    );
    let token = server.client().arm_token().await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // No command that would end it.
    while server.client().sub_assessments(&token).await[0]["properties"]["status"]["code"] != "Unhealthy" {
        assert!(std::time::Instant::now() < deadline, "the rule does not end");
    }
    assert_eq!(seen(&server).await, unhealthy);
    let listed = json(&server, &["rule", "list", "--format=json"]);
    assert_eq!(listed[0]["properties"]["state"], "Expired");
}
