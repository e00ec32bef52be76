//! Azure's own Python SDKs, unmodified, over TLS.

use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test]
async fn azures_sdks_work_unmodified() {
    let Some(python) = testkit::python("azure", "Azure's SDKs for Python") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    server.hold_bad_and_good().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_sdk.py");
    let output = server.run_python(&python, script, &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn azures_identity_library_signs_in_without_secrets() {
    let Some(python) = testkit::python("azure", "azure-identity") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_certificates.py");
    let data = server.data().to_str().expect("text").to_owned();
    let output = server.run_python(&python, script, &[LAZARET, &data]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn azures_credential_chains_sign_in_and_its_sdks_work_without_tls() {
    let Some(python) = testkit::python("azure", "azure-identity") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    server.hold_bad_and_good().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_identity.py");
    let plain = format!("http://{}", server.address);
    let output = server.run_python(&python, script, &[&plain]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// 15.0.0 and the newest preview, each on a server of its own.
#[tokio::test]
async fn azures_registry_sdks_work_unmodified() {
    for environment in ["azure", "acr-preview"] {
        let what = format!("azure-mgmt-containerregistry of target/clients/{environment}");
        let Some(python) = testkit::python(environment, &what) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        server.hold_bad_and_good().await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_registries.py");
        let output = server.run_python(&python, script, &[]).await;
        assert!(output.status.success(), "{environment}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn azures_registry_sdk_for_javascript_works_unmodified() {
    let what = "@azure/arm-containerregistry";
    let Some(packages) = testkit::clients("azure-js", what) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let mut node = std::process::Command::new("node");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_registries.mjs");
    let output = server.run_azure(node.current_dir(packages).arg(script), &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Of the models of each environment, which hold several versions.
#[tokio::test]
async fn every_setting_of_azures_models_is_kept_or_refused() {
    for environment in ["azure", "acr-preview", "security-8"] {
        let what = format!("the models of target/clients/{environment}");
        let Some(python) = testkit::python(environment, &what) else { continue };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        server.hold_bad_and_good().await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_settings.py");
        let output = server.run_python(&python, script, &[]).await;
        assert!(output.status.success(), "{environment}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
