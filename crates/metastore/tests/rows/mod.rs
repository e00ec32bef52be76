//! A database with one registry in it, and manifests to put there.

use std::path::Path;

use metastore::{
    Durability, ManifestKind, Metastore, PutManifest, RegistryId, ResourceGroup, Subscription, Tier,
};
use oci::{Digest, MediaType};
use uuid::Uuid;

/// The subscription that holds the registry.
pub(crate) const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

/// The database `rows.db` in the folder, with the registry `r` of the group `g`.
pub(crate) async fn open(folder: &Path, tier: Tier) -> (Metastore, RegistryId) {
    let store = Metastore::open(&folder.join("rows.db"), Durability::Unflushed).expect("opens");
    let subscription = Subscription { id: SUBSCRIPTION, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUBSCRIPTION, "g".to_owned(), "here".to_owned());
    let made = store.create_tenancy(Uuid::from_u128(1), subscription, tier, group, "r", 1).await;
    assert!(made.expect("creates"));
    let registry = store.registries().await.expect("lists")[0].id;
    (store, registry)
}

/// An image of those bytes, that needs nothing.
pub(crate) fn manifest(registry: RegistryId, repository: &str, text: &str, tags: &[&str]) -> PutManifest {
    PutManifest {
        is_sparse: false,
        registry,
        repository: repository.parse().expect("a name"),
        digest: Digest::sha256(text.as_bytes()),
        kind: ManifestKind::Image,
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        artifact_type: None,
        subject: None,
        annotations: None,
        bytes: text.into(),
        blobs: Vec::new(),
        children: Vec::new(),
        tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
        pushed_by: String::new(),
        now_ms: 1,
    }
}
