//! Every check of both official conformance suites, restated and run against the real server over
//! HTTP: the numbers are the suites' own categories (P pull, U push, D discovery, M management for the
//! one of 1.1; B for its successor). Prints one line a check, and fails on any miss.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod blobs;
mod first;
mod manifests;
mod suite;

use suite::Suite;
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn every_official_check_passes_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(LAZARET, &folder.path().join("data"));
    // The official suite asks for sparse indexes only where they are configured; none is skipped here.
    options.arguments.push("--sparse-indexes".to_owned());
    let server = Server::start(options);
    let mut suite = Suite::new(server.client());
    first::pull(&mut suite).await;
    first::push(&mut suite).await;
    first::discovery(&mut suite).await;
    first::management(&mut suite).await;
    blobs::nothing_yet(&mut suite).await;
    blobs::every_way(&mut suite).await;
    manifests::all(&mut suite).await;
    suite.report();
}
