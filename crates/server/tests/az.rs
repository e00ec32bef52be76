//! Azure's own CLI, unmodified, over TLS: `az.sh` beside this file, which anybody can run.

use std::path::Path;
use std::process::Command;

use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test]
async fn the_az_cli_works_unmodified() {
    let Some(python) = testkit::python("az", "the az CLI") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    server.hold_bad_and_good().await;
    let endpoints = server.client().json("/metadata/endpoints?api-version=2022-09-01").await;
    let principals = server.command(&["principal", "list", "--format=json"]);
    let principals: serde_json::Value = serde_json::from_slice(&principals.stdout).expect("a list");
    let made = server.command(&["principal", "create", "mara", "--kind", "person", "--role", "Reader"]);
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    let password = made.split_whitespace().find(|word| word.len() == 32).expect("a password");
    let certificate = folder.path().join("certificate.pem");
    let key =
        rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).expect("a key");
    let made = rcgen::CertificateParams::new(Vec::new()).expect("parameters").self_signed(&key);
    let both = format!("{}{}", key.serialize_pem(), made.expect("a certificate").pem());
    std::fs::write(&certificate, both).expect("writes");
    let path = certificate.to_str().expect("text");
    assert!(server.command(&["principal", "secret", "add", "admin", "--certificate", path]).status.success());
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/az.sh"))
        .arg(python.with_file_name("az"))
        .arg(format!("https://{}", server.tls_address))
        .arg(endpoints["authentication"]["tenant"].as_str().expect("text"))
        .arg(principals[0]["id"].as_str().expect("text"))
        .arg(server.password())
        .arg(server.data().join("ca.pem"))
        .arg("app/bad")
        .args(["mara", password, path])
        .env("AZURE_CONFIG_DIR", folder.path().join("az"))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
