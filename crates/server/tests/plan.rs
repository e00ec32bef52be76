//! The plan, switched while the server runs: off stops scanning and keeps results, on scans the stock.

use serde_json::Value;
use testkit::{Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made(package: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn show(server: &Server, reference: &str) -> Value {
    let output = server.command(&["image", "show", reference, "--format=json"]);
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// Waits for a verdict, as a gate does.
fn scan(server: &Server, reference: &str) -> Value {
    let output = server.command(&["scan", reference, "--format=json"]);
    serde_json::from_slice(&output.stdout).expect("a document")
}

#[tokio::test]
async fn off_keeps_what_is_known_and_on_scans_what_is_stored() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    client.push("app", "before", &made("zlib")).await.expect("pushes");
    assert_eq!(scan(&server, "app:before")["state"], "Unverified");
    assert!(server.command(&["plan", "off"]).status.success());

    client.push("app", "while", &made("bash")).await.expect("pushes");
    let skipped = show(&server, "app:while");
    assert_eq!(
        (&skipped["state"], &skipped["causes"][0]["code"]),
        (&"NotApplicable".into(), &"PlanOff".into())
    );
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());

    assert!(server.command(&["plan", "on"]).status.success());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (before, meanwhile) = (show(&server, "app:before"), show(&server, "app:while"));
        if before["state"] == "Unhealthy" && meanwhile["state"] == "Healthy" {
            assert_eq!(before["findings"][0]["id"], "CVE-1");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{before} {meanwhile}");
    }
    let usage = |arguments: &[&str]| {
        let output = server.command(&[&["usage", "--format=json"], arguments].concat());
        let usage: Value = serde_json::from_slice(&output.stdout).expect("a document");
        usage[0]["count"].clone()
    };
    assert_eq!((usage(&[]), usage(&["--month=2020-01"])), (2.into(), 0.into()));
    assert!(!server.command(&["usage", "--month=May"]).status.success());
    let priced = server.command(&["usage", "--format=csv", "--price-per-image=0.29", "--currency=EUR"]);
    let priced = String::from_utf8_lossy(&priced.stdout);
    assert_eq!(priced.lines().filter(|line| line.ends_with("Z,0.29,EUR")).count(), 2, "{priced}");
    // The same image again, under another name, costs nothing.
    client.push("other", "again", &made("zlib")).await.expect("pushes");
    assert_eq!(scan(&server, "other:again")["state"], "Unhealthy");
    assert_eq!(usage(&[]), 2);
    let plans = server.command(&["plan", "show", "--format=json"]);
    let plans: Value = serde_json::from_slice(&plans.stdout).expect("a document");
    assert_eq!((&plans[0]["plan"], &plans[0]["tier"]), (&"ContainerRegistry".into(), &"Standard".into()));
    let wrong = server.command(&["plan", "off", "--subscription=00000000-0000-0000-0000-000000000000"]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there is no subscription"));
}
