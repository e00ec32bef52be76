//! The random tests, with many seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::tidy::rust_files;

/// Runs every test that draws from a seed (`testkit/src/chance.rs`) with one seed after another, and names those
/// that failed with the command that shows it again.
pub(crate) fn nightly(arguments: &[&str]) -> Result<(), String> {
    let wanted = Wanted::of(arguments)?;
    let tests = random_tests()?;
    let begun = Instant::now();
    let mut failed = Vec::new();
    let mut done = 0;
    for seed in (wanted.first..).take(wanted.seeds) {
        if done > 0 && wanted.minutes.is_some_and(|minutes| begun.elapsed() >= minutes) {
            break;
        }
        for (package, targets) in &tests {
            let mut command = Command::new("cargo");
            command.args(["test", "--quiet", "--package", package]).args(targets);
            command.env("LAZARET_SEED", seed.to_string()).env("LAZARET_CASES", wanted.cases.to_string());
            let output = command.output().map_err(|error| format!("cargo test: {error}"))?;
            if !output.status.success() {
                let shown = format!(
                    "LAZARET_SEED={seed} LAZARET_CASES={} cargo test --package {package} {}",
                    wanted.cases,
                    targets.join(" ")
                );
                println!("{}", String::from_utf8_lossy(&output.stdout));
                println!("{}", String::from_utf8_lossy(&output.stderr));
                println!("failed: {shown}");
                failed.push(shown);
            }
        }
        done += 1;
        println!(
            "seed {seed}: {done} of {} done, {} failures, {} s",
            wanted.seeds,
            failed.len(),
            begun.elapsed().as_secs()
        );
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("these failed:\n{}", failed.join("\n"))) }
}

struct Wanted {
    first: u64,
    seeds: usize,
    /// No seed is begun after that long.
    minutes: Option<Duration>,
    cases: u32,
}

impl Wanted {
    fn of(arguments: &[&str]) -> Result<Self, String> {
        #[expect(clippy::disallowed_methods, reason = "each night has seeds of its own")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let mut wanted = Self { first: now.as_secs(), seeds: 100, minutes: None, cases: 4 };
        for pair in arguments.chunks(2) {
            let &[name, value] = pair else { return Err(format!("{} lacks its value", pair.join(" "))) };
            let number: u64 = value.parse().map_err(|error| format!("{name} {value}: {error}"))?;
            let small = u32::try_from(number).map_err(|error| format!("{name} {value}: {error}"))?;
            match name {
                "--first" => wanted.first = number,
                "--seeds" => wanted.seeds = small as usize,
                "--minutes" => wanted.minutes = Some(Duration::from_secs(u64::from(small) * 60)),
                "--cases" => wanted.cases = small.max(1),
                _ => return Err(format!("{name} is no argument of nightly")),
            }
        }
        Ok(wanted)
    }
}

/// The packages that have random tests, and the arguments of `cargo test` that choose the programs which hold them.
fn random_tests() -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut files = Vec::new();
    rust_files(Path::new("crates"), &mut files)?;
    let mut found: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (path, text) in &files {
        let draws =
            ["cases(", "runner()", "seed()"].iter().any(|it| text.contains(&format!("testkit::{it}")));
        let parts: Vec<&str> = path.split('/').collect();
        let (["crates", package, kind, rest @ ..], true) = (parts.as_slice(), draws) else { continue };
        let target = match (*kind, rest) {
            ("tests", [name, ..]) => vec!["--test".to_owned(), name.trim_end_matches(".rs").to_owned()],
            _ => vec!["--lib".to_owned()],
        };
        found.entry((*package).to_owned()).or_default().insert(target);
    }
    if found.is_empty() {
        return Err("there are no random tests here: is this the project's folder?".to_owned());
    }
    Ok(found
        .into_iter()
        .map(|(package, targets)| (package, targets.into_iter().flatten().collect()))
        .collect())
}
