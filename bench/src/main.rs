//! Figures as ratios to a peer or to a limit of this machine, measured in the same run.
//!
//! `cargo xtask bench [verdict] [scan] [registry] [query]`: all sections if none is named. Start it on a
//! quiet machine. Peers that are not installed are left out, and named.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures or stops")]

mod figures;
mod query;
mod registry;
mod scan;
mod verdict;

use std::path::Path;

#[tokio::main]
async fn main() {
    let sections: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| sections.is_empty() || sections.iter().any(|section| section == name);
    let lazaret = std::env::current_exe().unwrap().with_file_name("lazaret");
    assert!(lazaret.exists(), "{} is not built: run `cargo xtask bench`", lazaret.display());
    println!("# load {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    if wants("verdict") {
        verdict::run(&lazaret).await;
    }
    if wants("scan") {
        scan::run(&lazaret);
    }
    if wants("registry") {
        registry::run(&lazaret).await;
    }
    if wants("query") {
        query::run(&lazaret).await;
    }
}

/// A server of the release build on a folder of its own.
fn start(lazaret: &Path, folder: &Path) -> testkit::Server {
    testkit::Server::start(testkit::ServerOptions::new(lazaret.to_str().unwrap(), folder))
}
