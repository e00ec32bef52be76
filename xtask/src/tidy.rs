//! The house rules that a program can check.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The rooms, from the ground up: a room may use those above it in this list, as [`may_use`] says.
const ROOMS: [(&str, Floor); 28] = [
    ("oci", Floor::Nouns),
    ("inventory", Floor::Nouns),
    ("advisory", Floor::Nouns),
    ("assessment", Floor::Nouns),
    ("extract", Floor::Rules),
    ("matching", Floor::Rules),
    ("kql", Floor::Rules),
    ("blobstore", Floor::Stores),
    ("metastore", Floor::Stores),
    ("jobs", Floor::Engines),
    ("registry", Floor::Engines),
    ("sandbox", Floor::Engines),
    ("layout", Floor::Engines),
    ("scanner", Floor::Engines),
    ("feeds", Floor::Engines),
    ("auth", Floor::Engines),
    ("upstream", Floor::Engines),
    ("mirror", Floor::Engines),
    ("azure-documents", Floor::Engines),
    ("events", Floor::Engines),
    ("registry-api", Floor::Doors),
    ("azure-api", Floor::Doors),
    ("cluster-api", Floor::Doors),
    ("query-api", Floor::Doors),
    ("server", Floor::Roof),
    ("testkit", Floor::Beside),
    ("bench", Floor::Beside),
    ("fuzz", Floor::Beside),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    Nouns,
    Rules,
    Stores,
    Engines,
    Doors,
    Roof,
    Beside,
}

/// Checks every rule and lists all that is broken.
pub(crate) fn tidy() -> Result<(), String> {
    let mut broken = Vec::new();
    let crates = crates()?;
    for (name, dependencies) in &crates {
        dependencies_point_down(name, dependencies, &mut broken);
    }
    let mut files = Vec::new();
    for root in ["crates", "xtask", "bench", "fuzz"] {
        rust_files(Path::new(root), &mut files)?;
    }
    for (path, text) in &files {
        file_is_tidy(path, text, &mut broken);
    }
    let tracked = Command::new("git").args(["ls-files", "*.proptest-regressions"]).output();
    let tracked = tracked.map_err(|error| format!("git ls-files: {error}"))?;
    for file in String::from_utf8_lossy(&tracked.stdout).lines() {
        broken.push(format!("{file}: make a test with a name of each case that was found"));
    }
    for file in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "deny.toml", "docs/decisions"] {
        if !Path::new(file).exists() {
            broken.push(format!("{file} is missing"));
        }
    }
    if broken.is_empty() {
        println!("tidy: {} rooms, {} files", crates.len(), files.len());
        return Ok(());
    }
    broken.push(format!("tidy: {} rules are broken", broken.len()));
    Err(broken.join("\n"))
}

/// Each workspace crate with its normal dependencies.
fn crates() -> Result<BTreeMap<String, Vec<String>>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let crates = list(&metadata["packages"]).into_iter().map(|package| {
        let normal =
            list(&package["dependencies"]).into_iter().filter(|dependency| dependency["kind"].is_null());
        (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
    });
    Ok(crates.collect())
}

fn dependencies_point_down(name: &str, dependencies: &[String], broken: &mut Vec<String>) {
    let position = |wanted: &str| ROOMS.iter().position(|(room, _)| *room == wanted);
    let Some(here) = position(name) else {
        if name != "xtask" {
            broken.push(format!(
                "the crate {name} is no room of the house: give it a floor in xtask/src/tidy.rs"
            ));
        }
        return;
    };
    for dependency in dependencies {
        if let Some(there) = position(dependency) {
            if !may_use(ROOMS[here].1, ROOMS[there].1) || there >= here {
                broken.push(format!("{name} may not depend on {dependency}: dependencies point down"));
            }
        } else if ROOMS[here].1 <= Floor::Rules && IMPURE.contains(&dependency.as_str()) {
            broken.push(format!("{name} may not depend on {dependency}: nouns and rules are pure"));
        } else if dependency == "rusqlite" && name != "metastore" {
            broken.push(format!("{name} may not depend on rusqlite: only metastore knows SQL"));
        }
    }
}

/// Rules and stores never meet, and doors never import doors.
fn may_use(user: Floor, used: Floor) -> bool {
    match (user, used) {
        (Floor::Stores, Floor::Rules) | (Floor::Doors, Floor::Doors) => false,
        (user, used) => used <= user,
    }
}

fn file_is_tidy(path: &str, text: &str, broken: &mut Vec<String>) {
    let is_entry = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_entry && !text.starts_with("//!") {
        broken.push(format!("{path} does not open with what it is"));
    }
    let owns_unsafe = UNSAFE_ROOMS.iter().any(|room| path.starts_with(&format!("crates/{room}/")));
    let is_this = path == "xtask/src/tidy.rs";
    for (number, line) in (1..).zip(text.lines()) {
        let at = format!("{path}:{number}");
        if !owns_unsafe
            && !is_this
            && (line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl"))
        {
            broken.push(format!("{at}: unsafe outside the rooms that own it"));
        }
        if !is_this && let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            broken.push(format!("{at}: {word}"));
        }
    }
    if !is_this && !path.starts_with("crates/testkit/") {
        // Chance comes from the seed of the run, and nothing is written.
        let count = |what: &str| text.matches(what).count();
        let own = ["ProptestConfig::", "TestRunner::deterministic", "TestRunner::default", "rand::rng()"];
        let own = if path.contains("/tests/") || path.ends_with("tests.rs") { &own[..] } else { &own[..3] };
        if count("proptest! {") != count("#![proptest_config(testkit::cases(")
            || count("TestRunner::new(") != count("TestRunner::new(testkit::cases(")
            || own.iter().any(|it| text.contains(it))
        {
            broken.push(format!("{path}: a random test draws from testkit's seed"));
        }
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        broken.push(format!("{path} has {lines} lines: split it by its nouns"));
    }
}

pub(crate) fn rust_files(folder: &Path, files: &mut Vec<(String, String)>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(failed)?;
            files.push((path.display().to_string(), text));
        }
    }
    Ok(())
}

const IMPURE: [&str; 8] = ["tokio", "reqwest", "rusqlite", "hyper", "axum", "rand", "memmap2", "tokio-util"];
const UNSAFE_ROOMS: [&str; 2] = ["sandbox", "blobstore"];
const UNFINISHED: [&str; 6] = ["TODO", "FIXME", "todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
const FILE_LINES_MAX: usize = 700;
