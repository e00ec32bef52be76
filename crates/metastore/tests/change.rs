//! The log of changes: nothing that a reader shows changes without it.

use std::collections::BTreeSet;

use assessment::{ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{
    Durability, ManifestKind, Metastore, Plan, PutManifest, RegistryId, ResourceGroup, Subscription, Tier,
    VerdictWrite,
};
use oci::{Digest, MediaType, Repository};
use uuid::Uuid;

const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

struct Rows {
    store: Metastore,
    registry: RegistryId,
    _folder: tempfile::TempDir,
}

async fn rows() -> Rows {
    let folder = tempfile::tempdir().expect("works");
    let store = Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).expect("works");
    let subscription =
        Subscription { id: SUBSCRIPTION, display_name: "default".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUBSCRIPTION, "default".to_owned(), "local".to_owned());
    store
        .create_tenancy(Uuid::nil(), subscription, Tier::Standard, group, "lazaret", 1)
        .await
        .expect("works");
    let registry = store.registries().await.expect("works")[0].id;
    Rows { store, registry, _folder: folder }
}

impl Rows {
    async fn push(&self, repository: &str, text: &str, tags: &[&str]) -> Digest {
        let bytes = text.as_bytes().to_vec();
        let digest = Digest::sha256(&bytes);
        let put = PutManifest {
            registry: self.registry,
            repository: repository.parse::<Repository>().expect("works"),
            digest: digest.clone(),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            bytes,
            tags: tags.iter().map(|tag| tag.parse().expect("works")).collect(),
            blobs: vec![],
            children: vec![],
            is_sparse: false,
            pushed_by: "x".to_owned(),
            now_ms: 1,
        };
        self.store.put_manifest(put).await.expect("works");
        digest
    }

    async fn judge(&self, image: &Digest, state: ImageState) {
        let write = VerdictWrite {
            image: image.clone(),
            inventory: ImageInventory::default(),
            snapshot: None,
            engine: "test".to_owned(),
            verdict: Verdict { state, causes: vec![], findings: vec![] },
            keys: vec![],
            now_ms: 2,
        };
        assert!(self.store.put_verdict(write).await.expect("works"));
    }

    /// What changed after a place, and the new place.
    async fn after(&self, place: i64) -> (BTreeSet<String>, i64) {
        let changes = self.store.changes(place, 1000).await.expect("works");
        assert!(!changes.is_partial);
        (changes.images.iter().map(|(_, digest)| digest.to_string()).collect(), changes.upto)
    }
}

fn set(images: &[&Digest]) -> BTreeSet<String> {
    images.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn each_change_of_an_image_is_told_once() {
    let rows = rows().await;
    let (_, place) = rows.after(0).await;
    let one = rows.push("a", "one", &["1"]).await;
    let two = rows.push("a", "two", &[]).await;
    let (changed, place) = rows.after(place).await;
    assert_eq!(changed, set(&[&one, &two]));
    assert_eq!(rows.after(place).await, (BTreeSet::new(), place), "nothing new");
    rows.judge(&one, ImageState::Healthy).await;
    let (changed, place) = rows.after(place).await;
    assert_eq!(changed, set(&[&one]), "a verdict");
    rows.push("a", "two", &["1"]).await;
    let (changed, place) = rows.after(place).await;
    assert_eq!(changed, set(&[&one, &two]), "the tag left one and went to two");
    rows.store.delete_manifest(rows.registry, &"a".parse().expect("works"), &two, 1).await.expect("works");
    let (changed, place) = rows.after(place).await;
    assert_eq!(changed, set(&[&two]), "a delete");
    let keys = rows.store.changes(0, 1000).await.expect("works").images;
    let now = rows.store.images_now(keys.clone()).await.expect("works");
    let there: Vec<_> =
        keys.iter().zip(&now).map(|((_, digest), now)| (digest.clone(), now.is_some())).collect();
    assert!(there.contains(&(one.clone(), true)) && there.contains(&(two, false)));
    rows.store.set_plan(SUBSCRIPTION, Plan::ContainerRegistry, Tier::Free, 3).await.expect("works");
    let (changed, _) = rows.after(place).await;
    assert_eq!(changed, set(&[&one]), "a plan that is switched changes what is said of all");
}

#[tokio::test]
async fn one_image_in_two_repositories_changes_in_both_and_pages_have_no_gaps() {
    let rows = rows().await;
    for repository in ["a", "b"] {
        for number in 0..5 {
            rows.push(repository, &format!("image {number}"), &[]).await;
        }
    }
    let (_, place) = rows.after(0).await;
    rows.judge(&Digest::sha256(b"image 3"), ImageState::Healthy).await;
    assert_eq!(rows.store.changes(place, 10).await.expect("works").images.len(), 2);
    let mut seen = Vec::new();
    let mut at = 0;
    loop {
        let changes = rows.store.changes(at, 3).await.expect("works");
        seen.extend(changes.images);
        at = changes.upto;
        if !changes.is_partial {
            break;
        }
    }
    assert_eq!(seen.len(), 10);
    assert_eq!(at, rows.store.newest_change().await.expect("works"));
    let mut keys = Vec::new();
    while let Some(last) = Some(keys.last().cloned()) {
        let page = rows.store.image_keys(rows.registry, None, last, 4).await.expect("works");
        if page.is_empty() {
            break;
        }
        keys.extend(page);
    }
    assert_eq!(keys.iter().collect::<BTreeSet<_>>(), seen.iter().collect());
}
