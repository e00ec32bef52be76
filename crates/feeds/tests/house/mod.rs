//! Feeds over stores in a folder of their own.

#![allow(clippy::allow_attributes, dead_code, reason = "no test file uses all of it")]

use std::path::PathBuf;

use advisory::Snapshot;
use blobstore::{BlobStore, Bytes};
use feeds::{Feeds, Report};
use metastore::{Durability, Metastore};
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) feeds: Feeds,
    pub(crate) metastore: Metastore,
    pub(crate) blobs: BlobStore,
    pub(crate) folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let metastore = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("rows");
        let blobs =
            BlobStore::open(&folder.path().join("blobs"), blobstore::Durability::Unflushed).expect("blobs");
        Self { feeds: Feeds::new(metastore.clone(), blobs.clone(), 20), metastore, blobs, folder }
    }

    /// Writes a file to import.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join("files").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    pub(crate) async fn import(&self, paths: &[PathBuf], now_ms: i64) -> Report {
        self.feeds.import(paths, now_ms).await.expect("the stores work")
    }

    pub(crate) async fn snapshot(&self) -> Snapshot<Bytes> {
        let id = self.metastore.current_snapshot().await.expect("rows").expect("a snapshot");
        let mapped = self.blobs.read(&id).await.expect("blobs").expect("the snapshot's bytes");
        Snapshot::open(mapped, id).expect("our own snapshot")
    }

    /// How many records a package has in a namespace.
    pub(crate) async fn records(&self, namespace: &str, package: &str) -> usize {
        let snapshot = self.snapshot().await;
        let namespace = namespace.parse().expect("valid");
        snapshot
            .lookup(&namespace, package)
            .expect("sound")
            .filter(|record| record.as_ref().expect("sound").id.starts_with("CVE-"))
            .count()
    }

    /// `name records checked-at`, a line a feed.
    pub(crate) async fn rows(&self) -> Vec<String> {
        let feeds = self.metastore.feeds().await.expect("rows");
        feeds
            .iter()
            .map(|feed| format!("{} {} {}", feed.name, feed.payload.records, feed.checked_ms))
            .collect()
    }
}

/// A tracker document with this many flaws in `zlib` of bookworm.
pub(crate) fn debian(flaws: usize) -> String {
    let release = r#"{"releases": {"bookworm": {"status": "open", "urgency": "low"}}}"#;
    let flaws: Vec<_> = (0..flaws).map(|number| format!("\"CVE-2026-{number}\": {release}")).collect();
    format!("{{\"zlib\": {{{}}}}}", flaws.join(", "))
}

/// A secdb document with one fix in `musl`.
pub(crate) fn alpine(branch: &str, repository: &str, version: &str) -> String {
    format!(
        r#"{{"distroversion": "{branch}", "reponame": "{repository}",
            "packages": [{{"pkg": {{"name": "musl", "secfixes": {{"{version}": ["CVE-2026-1"]}}}}}}]}}"#
    )
}
