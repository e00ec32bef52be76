//! Whatever `docs/openapi.json` allows, asked of a real server: `schemathesis.sh` beside this file, briefly.

use std::path::Path;
use std::process::Command;

use testkit::{python, tool};

#[test]
fn whatever_the_document_allows_is_answered_as_it_says() {
    let Some(python) = python("schemathesis", "schemathesis") else { return };
    if !tool("curl", "schemathesis", "apt-get install curl") {
        return;
    }
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.sh"))
        .arg(env!("CARGO_BIN_EXE_lazaret"))
        .arg(python.with_file_name("schemathesis").canonicalize().expect("a program"))
        // More of both by hand: it tries thousands of requests even so.
        .args(["--phases", "coverage,fuzzing"])
        .env("EXAMPLES", "2")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Test cases:"), "nothing was tried: {said}");
}
