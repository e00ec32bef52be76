//! Three generations of Azure's security client for Python, unmodified, over TLS, after real pushes: every
//! call that reads images' results, sync and async, over thousands of rows.

use testkit::{Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Several pages in each form.
const FINDINGS: usize = 1200;

fn made(package: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

#[tokio::test]
async fn three_generations_of_the_security_client_read_the_same() {
    let generations = ["security-1", "azure", "security-8"]
        .map(|name| testkit::python(name, &format!("azure-mgmt-security of target/clients/{name}")));
    if generations.iter().all(Option::is_none) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let flaws = (0..FINDINGS).map(|number| {
        let urgency = if number == 0 { "high" } else { "low" };
        let release = serde_json::json!({ "status": "resolved", "fixed_version": "2.0", "urgency": urgency });
        (format!("CVE-2024-{number}"), serde_json::json!({ "releases": { "bookworm": release } }))
    });
    let text = serde_json::json!({ "zlib": flaws.collect::<serde_json::Map<String, serde_json::Value>>() });
    server.import_tracker(&text.to_string());
    for (repository, package) in [("app/bad", "zlib"), ("app/good", "bash")] {
        server.client().push(repository, "1", &made(package)).await.expect("pushes");
        assert!(server.command(&["scan", &format!("{repository}:1")]).status.success());
    }
    for python in generations.into_iter().flatten() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_security.py");
        let output = server.run_python(&python, script, &[&FINDINGS.to_string()]).await;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = errors.lines().rev().take(12).collect();
        assert!(output.status.success() && said.ends_with("ok\n"), "{}: {last:#?}", python.display());
        for line in said.lines().filter(|line| line.starts_with("left out:")) {
            testkit::left_out("part of a suite", line.trim_start_matches("left out: "));
        }
    }
}
