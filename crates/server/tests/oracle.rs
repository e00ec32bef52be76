//! The findings equal those that an independent script computes, on real images, pushed by a real client.
#![expect(clippy::print_stdout, reason = "the figures belong in the test's output")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Server, ServerOptions, shared, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Source package, advisory, fixed version.
type Rows = BTreeSet<(String, String, String)>;

fn oracle(arguments: &[&Path]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let output = Command::new("python3").arg(script).args(arguments).output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn wanted(text: &str) -> Rows {
    let row = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().expect("three fields");
        (next(), next(), next())
    };
    text.lines().map(row).collect()
}

fn found(document: &Value) -> Rows {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row =
        |finding: &Value| (text(&finding["source"]), text(&finding["id"]), text(&finding["fixedVersion"]));
    document["findings"].as_array().expect("a list").iter().map(row).collect()
}

fn push(server: &Server, layout: &Path, name: &str) {
    let output = Command::new("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false", "--dest-creds"])
        .arg(format!("admin:{}", server.password()))
        .arg(format!("oci:{}:latest", layout.display()))
        .arg(format!("docker://{}/{name}:1", server.address))
        .output()
        .expect("skopeo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = server.command(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// Pushes the layout, and compares what the pushed image and the layout itself are said to have.
async fn compare(server: &Server, layout: &Path, name: &str, wanted: &Rows) {
    push(server, layout, name);
    let reference = format!("{name}:1");
    let judged = json(server, &["scan", &reference, "--format=json"]);
    assert_eq!(&found(&judged), wanted, "{name}, pushed");
    let local = json(server, &["scan", layout.to_str().expect("text"), "--format=json"]);
    assert_eq!(&found(&local), wanted, "{name}, as a layout");
    println!(
        "{name}: {} findings, on {} of source package, advisory and fixed version, as the script says",
        judged["findings"].as_array().expect("a list").len(),
        wanted.len()
    );
}

#[tokio::test]
async fn debian_findings_equal_those_computed_with_dpkg() {
    let what = "Debian findings against dpkg --compare-versions";
    let (Some(feed), true, true, true) = (
        shared("feeds/debian/changelog-derived-tracker.json.gz", what),
        tool("skopeo", what, "apt-get install skopeo"),
        tool("python3", what, "apt-get install python3"),
        tool("dpkg", what, "apt-get install dpkg"),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let imported = server.command(&["feeds", "import", feed.to_str().expect("text")]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stdout));
    for (name, at_least) in [("debian-bullseye-ga", 70), ("distroless", 0)] {
        let Some(layout) = shared(&format!("images/{name}"), what) else { continue };
        let wanted = wanted(&oracle(&[Path::new("debian"), &layout, &feed]));
        assert!(wanted.len() >= at_least, "the script finds only {} in {name}", wanted.len());
        compare(&server, &layout, name, &wanted).await;
    }
}

#[tokio::test]
async fn debian_versions_around_the_installed_ones_are_ordered_as_dpkg_orders_them() {
    let what = "Debian versions around those of real images";
    if !tool("skopeo", what, "apt-get install skopeo")
        || !tool("python3", what, "apt-get install python3")
        || !tool("dpkg", what, "apt-get install dpkg")
    {
        return;
    }
    for name in ["distroless", "debian-bullseye-ga"] {
        let Some(layout) = shared(&format!("images/{name}"), what) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        let tracker = folder.path().join("tracker.json");
        std::fs::write(&tracker, oracle(&[Path::new("tracker"), &layout])).expect("writes");
        let imported = server.command(&["feeds", "import", tracker.to_str().expect("text")]);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stdout));
        let wanted = wanted(&oracle(&[Path::new("debian"), &layout, &tracker]));
        assert!(wanted.len() > 50, "the script finds only {}", wanted.len());
        compare(&server, &layout, name, &wanted).await;
    }
}

#[tokio::test]
async fn alpine_findings_equal_those_computed_with_its_own_apk() {
    let what = "Alpine findings against the image's own apk";
    let (Some(layout), true, true) = (
        shared("images/python-alpine", what),
        tool("skopeo", what, "apt-get install skopeo"),
        tool("python3", what, "apt-get install python3"),
    ) else {
        return;
    };
    if !cfg!(target_arch = "x86_64") {
        testkit::left_out(what, "the image's apk is an x86-64 program");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let main = folder.path().join("main.json");
    std::fs::write(&main, oracle(&[Path::new("secdb"), &layout])).expect("writes");
    let imported = server.command(&["feeds", "import", main.to_str().expect("text")]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stdout));
    let wanted = wanted(&oracle(&[Path::new("alpine"), &layout, &main]));
    assert!(wanted.len() > 50, "the script finds only {}", wanted.len());
    compare(&server, &layout, "python-alpine", &wanted).await;
}
