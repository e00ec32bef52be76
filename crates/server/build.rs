//! Tells the program what it was built from: the commit and its date, where a release is built in a checkout.
//!
//! A development build says that it is one, so that a commit does not rebuild it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-env-changed=LAZARET_COMMIT");
    let built = if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        release()
    } else {
        "development build".to_owned()
    };
    println!("cargo::rustc-env=LAZARET_BUILT={built}");
}

/// `commit 0123456789ab of 2026-11-30`. Packagers who build from a tarball say the commit in `LAZARET_COMMIT` and the
/// date in `SOURCE_DATE_EPOCH` (reproducible-builds.org).
fn release() -> String {
    // What changes with each commit; the file's place differs between checkouts and worktrees.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = std::env::var("LAZARET_COMMIT").ok().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let epoch =
        epoch.or_else(|| git(&["log", "-1", "--format=%ct"]).and_then(|seconds| seconds.parse().ok()));
    let commit = commit.filter(|commit| !commit.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    format!("commit {commit} of {}", epoch.map_or_else(|| "an unknown day".to_owned(), day))
}

/// What git says of this checkout: sources that lie unpacked within another one's are none of it.
fn git(arguments: &[&str]) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let top = run_git(&["rev-parse", "--show-toplevel"])?;
    let is_ours = root.canonicalize().ok()? == Path::new(&top).canonicalize().ok()?;
    if is_ours { run_git(arguments) } else { None }
}

fn run_git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The day in UTC of a time in seconds since 1970.
fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}
