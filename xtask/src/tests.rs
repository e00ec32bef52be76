//! Everything that must hold, in one command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::{clients, run, tidy};

/// Runs the house rules, the formatter, the linter, a look at the fuzz targets and every test, then says what was left out.
pub(crate) fn test() -> Result<(), String> {
    tidy::tidy()?;
    run(Command::new("cargo").args(["fmt", "--all", "--check"]))?;
    run(Command::new("cargo").args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    run(Command::new("cargo").args(["check", "--package", "fuzz", "--features", "targets", "--bins"]))?;
    let mut tests = Command::new("cargo");
    tests.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]).stdout(Stdio::piped());
    let mut child = tests.spawn().map_err(|error| format!("cargo test: {error}"))?;
    let lines = child.stdout.take().ok_or("cargo test has no output")?;
    let log_path = "target/tests.log";
    let mut log = std::fs::File::create(log_path).map_err(|error| format!("{log_path}: {error}"))?;
    let mut tally = Tally::default();
    for line in BufReader::new(lines).lines() {
        let line = line.map_err(|error| format!("cargo test: {error}"))?;
        writeln!(log, "{line}").map_err(|error| format!("{log_path}: {error}"))?;
        tally.take(&line);
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    tally.left_out.sort();
    tally.left_out.dedup();
    for line in &tally.left_out {
        println!("{line}");
    }
    println!("the whole output is in {log_path}");
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if status.success() && tally.passed > 0 { Ok(()) } else { Err("the tests failed".to_owned()) }
}

/// Installs the clients and servers that the tests use where they find them.
pub(crate) fn set_up() -> Result<(), String> {
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(DEBIAN_PACKAGES)
        .stdout(Stdio::null()))?;
    clients::set_up()
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    left_out: Vec<String>,
}

impl Tally {
    /// Prints what a person wants to see pass by, and counts.
    fn take(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let mut words = rest.split_whitespace();
            let before = |unit: &str| {
                let position = rest.split_whitespace().position(|word| word.trim_end_matches(';') == unit)?;
                rest.split_whitespace().nth(position.checked_sub(1)?)?.parse::<u64>().ok()
            };
            self.passed += before("passed").unwrap_or(0);
            self.failed += before("failed").unwrap_or(0);
            if words.next() != Some("ok.") {
                println!("{line}");
            }
        } else if line.starts_with("left out:") {
            self.left_out.push(line.to_owned());
        } else if line.contains("FAILED")
            || line.contains("panicked at")
            || line.starts_with("---- ") && line.ends_with("stdout ----")
        {
            println!("{line}");
        }
    }
}

/// Each serves a test that says "left out" without it.
const DEBIAN_PACKAGES: [&str; 12] = [
    "buildah",
    "ca-certificates",
    "curl",
    "docker-registry",
    "docker.io",
    "dpkg-dev",
    "iproute2",
    "nginx-light",
    "podman",
    "python3",
    "python3-venv",
    "skopeo",
];
