//! What a test may use where it exists, and must name where it does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A path beneath `../shared` of the project's root, if it is there; says so if not.
#[must_use]
pub fn shared(path: &str, what: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = root.join(path);
    if found.exists() {
        return Some(found.canonicalize().expect("a path that exists"));
    }
    left_out(what, &format!("there is no ../shared/{path} beside the project"));
    None
}

/// True if the program can be started; says what is left out if not.
#[must_use]
pub fn tool(program: &str, what: &str, how_to_get: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if tried.is_ok() {
        return true;
    }
    left_out(what, &format!("{program} is not installed ({how_to_get})"));
    false
}

/// The Python of an environment that `cargo xtask setup` makes, if it is there; says so if not.
#[must_use]
pub fn python(environment: &str, what: &str) -> Option<PathBuf> {
    clients(environment, what).map(|folder| folder.join("bin/python"))
}

/// The folder of an environment that `cargo xtask setup` makes, if it is there; says so if not.
#[must_use]
pub fn clients(environment: &str, what: &str) -> Option<PathBuf> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients");
    // Written last: without it the environment is half made.
    if clients.join(environment).join("packages.txt").exists() {
        return Some(clients.join(environment));
    }
    left_out(what, &format!("there is no target/clients/{environment} (cargo xtask setup)"));
    None
}

/// Says plainly that a check was left out, and why; `cargo xtask test` gathers these lines.
#[expect(clippy::print_stdout, reason = "the line is what the test is for when it cannot run")]
pub fn left_out(what: &str, why: &str) {
    println!("left out: {what}: {why}");
}
