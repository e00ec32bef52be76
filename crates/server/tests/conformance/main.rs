//! Every check of both official conformance suites, restated and run against the real server over
//! HTTP: the numbers are the suites' own categories (P pull, U push, D discovery, M management for the
//! one of 1.1; B for its successor). Each version of the specification is asked for all that it has, on a
//! server of its own. Prints one line a check, and fails on any miss.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod blobs;
mod first;
mod manifests;
mod suite;

use first::Order;
use suite::{NARROW, Suite, Version};
use testkit::{Client, Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn every_official_check_of_1_0_passes_over_http() {
    run(Version::V1_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_official_check_of_1_1_passes_over_http() {
    run(Version::V1_1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_official_check_of_what_comes_next_passes_over_http() {
    run(Version::Next).await;
}

async fn run(version: Version) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(LAZARET, &folder.path().join("data"));
    // The official suite asks for sparse indexes only where they are configured; none is skipped here.
    options.arguments.push("--sparse-indexes".to_owned());
    let server = Server::start(options);
    let made = server.command(&[
        "principal",
        "create",
        "narrow",
        "--role=AcrPush",
        &format!("--repository={NARROW}"),
    ]);
    let shown = String::from_utf8(made.stdout).unwrap();
    let secret = shown.lines().find(|line| line.starts_with("secret")).unwrap();
    let secret = secret.split_whitespace().nth(1).unwrap();
    let narrow = Client::new(&server.address, "narrow", secret);
    let mut suite = Suite::new(version, server.client(), narrow);
    for (name, order) in [("a", Order::ManifestsFirst), ("b", Order::BlobsFirst)] {
        first::pull(&mut suite, &format!("first/pull-{name}"), order).await;
        first::push(&mut suite, &format!("first/push-{name}"), order).await;
        first::discovery(&mut suite, &format!("first/discovery-{name}"), order).await;
    }
    first::management(&mut suite).await;
    blobs::nothing_yet(&mut suite).await;
    blobs::every_way(&mut suite).await;
    manifests::all(&mut suite).await;
    suite.report();
}
