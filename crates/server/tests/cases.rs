//! The registry's handed cases, where they are: each script asks a running server and exits with 0 when all is right.

use std::process::Command;

use testkit::{Server, ServerOptions, shared};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[test]
fn the_handed_cases_of_the_registry_are_answered_rightly() {
    let Some(folder) = shared("cases/registry", "the handed cases of the registry") else { return };
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &data.path().join("data")));
    let mut scripts: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|it| it == "py") && !path.ends_with("lz.py"));
    scripts.sort();
    assert!(!scripts.is_empty());
    let mut wrong = Vec::new();
    for script in scripts {
        for url in [format!("http://{}", server.address), format!("https://{}", server.tls_address)] {
            let output = Command::new("python3")
                .arg("-B")
                .arg(&script)
                .env("LZ_URL", &url)
                .env("LZ_USER", "admin")
                .env("LZ_PASS", server.password())
                .output()
                .expect("python3 starts");
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                wrong.push(format!("{} at {url}:\n{}", script.display(), String::from_utf8_lossy(&said)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
