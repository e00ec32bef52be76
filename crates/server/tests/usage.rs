//! Usage details, read with Azure's own SDK.

use std::path::Path;
use std::process::Command;

use testkit::{Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test]
async fn azures_sdk_reads_what_is_charged_for() {
    let Some(python) = testkit::python("azure", "azure-mgmt-consumption") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut options = ServerOptions::new(LAZARET, &folder.path().join("data"));
    options.arguments.extend(["--price-per-image=0.29".to_owned(), "--currency=EUR".to_owned()]);
    let server = Server::start(options);
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    let client = server.client();
    for package in ["zlib", "bash", "tar"] {
        let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
        let made = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
        client.push("app", package, &made).await.expect("pushes");
        assert!(server.command(&["scan", &format!("app:{package}")]).status.success());
    }
    let endpoints = client.json("/metadata/endpoints?api-version=2022-09-01").await;
    let registry = client.registry_id(&client.arm_token().await).await;
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/usage.py"))
        .arg(format!("https://{}", server.tls_address))
        .arg(endpoints["authentication"]["tenant"].as_str().expect("text"))
        .args(["admin", &server.password(), registry.split('/').nth(2).expect("a subscription"), "3"])
        .env("REQUESTS_CA_BUNDLE", server.data().join("ca.pem"))
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
