//! What was deleted softly: kept for its days, then given back.

mod rows;

use metastore::{ManifestKind, Metastore, NewRegistry, RegistryId, Restore, SoftDelete, Tier};
use oci::{Digest, Repository};

const DAY_MS: i64 = 86_400_000;

struct Rows {
    store: Metastore,
    registry: RegistryId,
    _folder: tempfile::TempDir,
}

fn app() -> Repository {
    "app".parse().expect("a name")
}

/// A registry that keeps what is deleted for three days.
async fn rows() -> Rows {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, registry) = rows::open(folder.path(), Tier::Free).await;
    let mut wanted = NewRegistry::new(rows::SUBSCRIPTION, "g".to_owned(), "r".to_owned());
    wanted.soft_delete = Some(SoftDelete { is_on: true, days: 3 });
    store.put_registry(wanted, 1).await.expect("stores");
    Rows { store, registry, _folder: folder }
}

impl Rows {
    async fn push(&self, text: &str, blobs: &[&Digest], children: &[&Digest], tags: &[&str]) -> Digest {
        let mut put = rows::manifest(self.registry, "app", text, tags);
        put.kind = if children.is_empty() { ManifestKind::Image } else { ManifestKind::Index };
        put.blobs = blobs.iter().map(|blob| (*blob).clone()).collect();
        put.children = children.iter().map(|child| (*child).clone()).collect();
        let digest = put.digest.clone();
        self.store.put_manifest(put).await.expect("stores");
        digest
    }

    async fn blob(&self, text: &str) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        self.store.commit_blob(self.registry, &app(), &digest, 1, None, 1).await.expect("stores");
        digest
    }

    /// What a collection gives back on that day.
    async fn collected(&self, day: i64) -> Vec<Digest> {
        while self.store.forget_expired(day * DAY_MS, 1).await.expect("forgets") > 0 {}
        self.store.unlink_unneeded(day * DAY_MS, 100).await.expect("unlinks");
        let mut gone = Vec::new();
        for digest in self.store.unlinked_blobs(100).await.expect("lists") {
            assert!(self.store.forget_blob(&digest).await.expect("forgets"), "{digest}");
            gone.push(digest);
        }
        gone
    }

    async fn delete(&self, digest: &Digest, day: i64) {
        assert!(
            self.store.delete_manifest(self.registry, &app(), digest, day * DAY_MS).await.expect("deletes")
        );
    }

    async fn restore(&self, digest: &Digest) -> Vec<String> {
        let restore = Restore {
            registry: self.registry,
            repository: app(),
            digest: digest.clone(),
            tag: None,
            is_forced: false,
            now_ms: 2 * DAY_MS,
        };
        let tags = self.store.restore_manifest(restore).await.expect("restores");
        tags.iter().map(ToString::to_string).collect()
    }

    async fn deleted_tags(&self, limit: usize) -> Vec<String> {
        let tags = self.store.deleted_tags(self.registry, &app(), limit).await.expect("lists");
        tags.iter().map(|tag| tag.name.to_string()).collect()
    }
}

#[tokio::test]
async fn what_was_deleted_is_kept_for_its_days_and_then_given_back() {
    let rows = rows().await;
    let (layer, shared) = (rows.blob("layer").await, rows.blob("shared").await);
    let image = rows.push("image", &[&layer, &shared], &[], &["1"]).await;
    rows.push("other", &[&shared], &[], &["2"]).await;
    rows.delete(&image, 1).await;
    assert!(rows.collected(3).await.is_empty(), "it can be restored until the fourth day");
    assert!(!rows.store.forget_blob(&layer).await.expect("asks"), "not even by who missed the list");
    assert_eq!(rows.deleted_tags(10).await, ["1"]);
    assert_eq!(rows.collected(5).await, [layer], "the other image needs the shared layer");
    assert!(rows.deleted_tags(10).await.is_empty());
    assert!(rows.store.deleted_manifests(rows.registry, &app(), None, 10).await.expect("lists").is_empty());
}

#[tokio::test]
async fn what_is_pushed_again_takes_its_tags_off_the_deleted() {
    let rows = rows().await;
    let image = rows.push("image", &[], &[], &["1", "2"]).await;
    rows.delete(&image, 1).await;
    assert_eq!(rows.deleted_tags(10).await, ["1", "2"]);
    assert_eq!(rows.deleted_tags(1).await, ["2"], "of too many the newest");
    rows.push("image", &[], &[], &["2"]).await;
    assert_eq!(rows.deleted_tags(10).await, ["1"]);
}

#[tokio::test]
async fn an_index_brings_back_the_children_that_went_and_leaves_the_others_alone() {
    let rows = rows().await;
    let (gone, stays) =
        (rows.push("gone", &[], &[], &["a"]).await, rows.push("stays", &[], &[], &["b"]).await);
    let index = rows.push("index", &[], &[&gone, &stays], &["multi"]).await;
    let tag = "b".parse().expect("a tag");
    assert!(rows.store.delete_tag(rows.registry, &app(), &tag, DAY_MS).await.expect("deletes"));
    rows.delete(&index, 1).await;
    rows.delete(&gone, 1).await;
    assert_eq!(rows.restore(&index).await, ["multi"]);
    assert_eq!(rows.deleted_tags(10).await, ["b"], "that was somebody's wish");
}
