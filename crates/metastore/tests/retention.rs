//! What retention rules remove, and what they leave.

mod rows;

use std::collections::BTreeMap;

use metastore::{
    AttributesChange, ManifestKind, Metastore, Pull, PutManifest, RegistryId, RetentionRule, Tier,
};
use oci::{Digest, Reference, Repository};

const DAY_MS: i64 = 86_400_000;

struct Rows {
    store: Metastore,
    registry: RegistryId,
    _folder: tempfile::TempDir,
    names: std::cell::RefCell<BTreeMap<String, &'static str>>,
}

async fn rows() -> Rows {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, registry) = rows::open(folder.path(), Tier::Free).await;
    Rows { store, registry, _folder: folder, names: std::cell::RefCell::default() }
}

fn app() -> Repository {
    "app".parse().expect("a name")
}

impl Rows {
    async fn push(&self, text: &'static str, day: i64, tags: &[&str], more: impl FnOnce(&mut PutManifest)) {
        let mut put = rows::manifest(self.registry, "app", text, tags);
        put.now_ms = day * DAY_MS;
        self.names.borrow_mut().insert(put.digest.to_string(), text);
        more(&mut put);
        self.store.put_manifest(put).await.expect("stores");
    }

    async fn rule(&self, name: &str, set: impl FnOnce(&mut RetentionRule)) {
        let mut rule = RetentionRule {
            name: name.to_owned(),
            repositories: "*".to_owned(),
            tags: "*".to_owned(),
            ..RetentionRule::default()
        };
        set(&mut rule);
        self.store.put_retention_rule(self.registry, rule).await.expect("stores");
    }

    /// The names of what goes; the dry run says the same.
    async fn purged(&self, day: i64) -> Vec<String> {
        let planned = self.store.planned_removals(self.registry, &app(), day * DAY_MS).await.expect("plans");
        let purged = self.store.purge(self.registry, &app(), day * DAY_MS).await.expect("purges");
        assert_eq!(planned, purged);
        assert!(purged.iter().all(|removal| !removal.reason.is_empty()));
        let again = self.store.purge(self.registry, &app(), day * DAY_MS).await.expect("purges");
        assert!(again.is_empty(), "{again:?}");
        let name = |reference: &Reference| {
            let text = reference.to_string();
            self.names.borrow().get(&text).map_or(text, |name| (*name).to_owned())
        };
        purged.iter().map(|removal| name(&removal.reference)).collect()
    }

    async fn lock(&self, reference: &str, is_deletable: bool) {
        let change = AttributesChange { delete_enabled: Some(is_deletable), ..AttributesChange::default() };
        let reference = reference.parse().expect("a reference");
        let changed = self
            .store
            .change_attributes(self.registry, &app(), Some(&reference), change)
            .await
            .expect("changes");
        assert!(changed.is_some());
    }
}

#[tokio::test]
async fn the_newest_tags_and_locked_ones_stay() {
    let rows = rows().await;
    for (day, tag) in [(1, "n-1"), (2, "n-2"), (3, "n-3"), (4, "n-4"), (1, "release")] {
        rows.push("image", day, &[tag], |_| ()).await;
    }
    rows.lock("n-1", false).await;
    rows.rule("nightly", |rule| {
        rule.tags = "n-*".to_owned();
        rule.keep_newest = Some(1);
        rule.older_than_days = Some(2);
    })
    .await;
    assert_eq!(rows.purged(5).await, ["n-3", "n-2"], "n-4 is the newest, n-1 locked, release no n-*");
    rows.lock("n-1", true).await;
    assert_eq!(rows.purged(5).await, ["n-1"]);
}

#[tokio::test]
async fn what_is_pulled_stays() {
    let rows = rows().await;
    rows.push("used", 1, &["used"], |_| ()).await;
    rows.push("unused", 1, &["unused"], |_| ()).await;
    let digest = Digest::sha256(b"used");
    let pull = Pull { registry: rows.registry, repository: app(), digest, at_ms: 8 * DAY_MS };
    rows.store.record_pulls(vec![pull]).await.expect("records");
    rows.rule("unused", |rule| rule.not_pulled_days = Some(5)).await;
    assert_eq!(rows.purged(5).await, [""; 0]);
    assert_eq!(rows.purged(10).await, ["unused"]);
    assert_eq!(rows.purged(13).await, ["used"]);
}

#[tokio::test]
async fn untagged_manifests_go_with_what_only_they_hold() {
    let rows = rows().await;
    rows.push("child", 1, &[], |_| ()).await;
    rows.push("index", 1, &["multi"], |put| {
        put.kind = ManifestKind::Index;
        put.children = vec![Digest::sha256(b"child")];
    })
    .await;
    rows.push("signature", 1, &[], |put| put.subject = Some(Digest::sha256(b"index"))).await;
    rows.push("orphan", 1, &[], |_| ()).await;
    rows.push("locked", 1, &[], |_| ()).await;
    rows.lock(&Digest::sha256(b"locked").to_string(), false).await;
    rows.rule("untagged", |rule| rule.untagged_days = Some(7)).await;
    assert_eq!(rows.purged(7).await, [""; 0], "younger than the rule says");
    assert_eq!(rows.purged(8).await, ["orphan"]);
    // The clock of what loses its tag starts then.
    rows.push("other", 20, &["multi"], |_| ()).await;
    assert_eq!(rows.purged(26).await, [""; 0]);
    let mut gone = rows.purged(27).await;
    assert_eq!(gone.remove(0), "index", "holders go first");
    gone.sort();
    assert_eq!(gone, ["child", "signature"]);
}

#[tokio::test]
async fn rules_are_for_the_repositories_they_name() {
    let rows = rows().await;
    rows.push("image", 1, &["1"], |_| ()).await;
    rows.rule("all", |rule| {
        rule.repositories = "team/*".to_owned();
        rule.keep_newest = Some(0);
    })
    .await;
    assert_eq!(rows.purged(5).await, [""; 0]);
    rows.rule("all", |rule| {
        rule.repositories = "a*p".to_owned();
        rule.keep_newest = Some(0);
    })
    .await;
    assert_eq!(rows.purged(5).await, ["1"]);
    assert!(rows.store.delete_retention_rule(rows.registry, "all").await.expect("deletes"));
    assert!(!rows.store.delete_retention_rule(rows.registry, "all").await.expect("asks"));
}

#[tokio::test]
async fn what_a_tags_name_attaches_to_an_image_stays_and_goes_with_it() {
    let rows = rows().await;
    let tag = |end: &str| Digest::sha256(b"image").to_string().replace(':', "-") + end;
    rows.push("image", 1, &["v-1"], |_| ()).await;
    rows.push("signature", 1, &[&tag(".sig")], |_| ()).await;
    rows.push("attestation", 1, &[&tag(".att")], |_| ()).await;
    rows.push("sbom", 1, &[&tag(".sbom")], |_| ()).await;
    rows.push("referrers", 1, &[&tag("")], |_| ()).await;
    rows.push("orphan", 1, &[&(Digest::sha256(b"gone").to_string().replace(':', "-") + ".sig")], |_| ())
        .await;
    rows.push("newer", 9, &["v-2"], |_| ()).await;
    rows.rule("all", |rule| {
        rule.keep_newest = Some(2);
        rule.untagged_days = Some(5);
    })
    .await;
    assert_eq!(rows.purged(10).await.len(), 1, "the orphan's tag alone: the image's are not counted");
    rows.rule("all", |rule| {
        rule.keep_newest = Some(1);
        rule.untagged_days = Some(5);
    })
    .await;
    assert_eq!(rows.purged(10).await, ["v-1"], "what is about it waits with the image");
    let mut gone = rows.purged(15).await;
    gone.sort();
    let mut wanted: Vec<String> = ["", ".att", ".sbom", ".sig"].map(tag).to_vec();
    wanted.extend(["attestation", "image", "orphan", "referrers", "sbom", "signature"].map(str::to_owned));
    wanted.sort();
    assert_eq!(gone, wanted);
}
