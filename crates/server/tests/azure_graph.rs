//! Resource Graph by Azure's own Python SDKs, unmodified, with and without asyncio, over TLS.

use std::path::Path;
use std::process::Command;

use testkit::{Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made(package: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

/// 8.0.1, 7.0.0, and the newest preview.
const ENVIRONMENTS: [&str; 3] = ["azure", "graph-7", "graph-8b"];

#[tokio::test]
async fn azures_resource_graph_sdks_work_unmodified() {
    let what = "Azure's SDKs for Resource Graph";
    let pythons = ENVIRONMENTS.map(|environment| testkit::python(environment, what));
    if pythons.iter().all(Option::is_none) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    for (repository, package) in [("app/bad", "zlib"), ("app/good", "bash")] {
        server.client().push(repository, "1", &made(package)).await.expect("pushes");
        assert!(server.command(&["scan", &format!("{repository}:1")]).status.success());
    }
    let endpoints = server.client().json("/metadata/endpoints?api-version=2022-09-01").await;
    let principals = server.command(&["principal", "list", "--format=json"]);
    let principals: serde_json::Value = serde_json::from_slice(&principals.stdout).expect("a list");
    for python in pythons.into_iter().flatten() {
        let output = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure_graph.py"))
            .arg(format!("https://{}", server.tls_address))
            .arg(endpoints["authentication"]["tenant"].as_str().expect("text"))
            .arg(principals[0]["id"].as_str().expect("text"))
            .arg(server.password())
            .env("REQUESTS_CA_BUNDLE", server.data().join("ca.pem"))
            .env("SSL_CERT_FILE", server.data().join("ca.pem"))
            .output()
            .expect("python starts");
        assert!(output.status.success(), "{}: {}", python.display(), String::from_utf8_lossy(&output.stderr));
    }
}
