//! What a registry may hold is exact, whoever pushes beside whom.

mod rows;

use metastore::{Error, Metastore, PutManifestError, RegistryId, Tier};
use oci::{Digest, Repository};

struct Rows {
    store: Metastore,
    registry: RegistryId,
    folder: tempfile::TempDir,
}

async fn rows() -> Rows {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (store, registry) = rows::open(folder.path(), Tier::Free).await;
    Rows { store, registry, folder }
}

fn repository(name: &str) -> Repository {
    name.parse().expect("a name")
}

impl Rows {
    async fn blob(&self, name: &str, text: &str, size: u64) -> Result<(), Error> {
        let digest = Digest::sha256(text.as_bytes());
        self.store.commit_blob(self.registry, &repository(name), &digest, size, None, 1).await
    }

    async fn manifest(&self, name: &str, text: &str) -> Result<(), PutManifestError> {
        self.store.put_manifest(rows::manifest(self.registry, name, text, &[])).await.map(drop)
    }

    /// What it is said to hold, which is what is found when all is added up.
    async fn used(&self) -> u64 {
        assert_eq!(self.store.miscounted().await.expect("counts"), [""; 0]);
        self.store.registry_room(self.registry).await.expect("reads").used_bytes
    }

    async fn quota(&self, bytes: Option<u64>) {
        assert!(self.store.set_quota(self.registry, bytes).await.expect("sets"));
    }
}

#[tokio::test]
async fn each_blob_counts_once_and_each_manifest_where_it_is() {
    let rows = rows().await;
    for name in ["a", "b"] {
        rows.blob(name, "layer", 100).await.expect("stores");
        rows.blob(name, "layer", 100).await.expect("stores");
        rows.manifest(name, "12345").await.expect("stores");
        rows.manifest(name, "12345").await.expect("stores");
    }
    assert_eq!(rows.used().await, 110);
    assert_eq!(rows.store.unlink_unneeded(2, 1).await.expect("unlinks"), 1);
    assert_eq!(rows.used().await, 110, "the other repository has it still");
    assert_eq!(rows.store.unlink_unneeded(2, 9).await.expect("unlinks"), 1);
    assert_eq!(rows.used().await, 10);
    let digest = Digest::sha256(b"12345");
    assert!(rows.store.delete_manifest(rows.registry, &repository("a"), &digest, 3).await.expect("deletes"));
    assert_eq!(rows.used().await, 5);
    assert!(
        rows.store.delete_repository(rows.registry, &repository("b"), 3).await.expect("deletes").is_some()
    );
    assert_eq!(rows.used().await, 0);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_what_is_there_stays() {
    let rows = rows().await;
    rows.quota(Some(100)).await;
    rows.blob("a", "one", 60).await.expect("fits");
    let refused = rows.blob("a", "two", 41).await;
    assert!(matches!(refused, Err(Error::OverQuota { .. })), "{refused:?}");
    let asked =
        rows.store.check_fits(rows.registry, &Digest::sha256(b"two"), 41, 0).await.expect_err("no room");
    assert!(asked.to_string().contains("100 bytes and holds 60 bytes, so 41 bytes more"), "{asked}");
    assert_eq!(rows.used().await, 60);
    rows.blob("b", "one", 60).await.expect("it is there: nothing more is held");
    rows.blob("a", "two", 40).await.expect("fits to the byte");
    let refused = rows.manifest("a", "x").await;
    assert!(matches!(refused, Err(PutManifestError::Store(Error::OverQuota { .. }))), "{refused:?}");
    rows.quota(Some(10)).await;
    assert_eq!(rows.store.unlink_unneeded(2, 1).await.expect("unlinks"), 1, "what is over may become less");
    rows.quota(None).await;
    rows.blob("a", "three", 1 << 40).await.expect("any number");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_as_many_get_in_as_fit() {
    let rows = rows().await;
    rows.quota(Some(1005)).await;
    let pushes = (0..100).map(|number| {
        let (store, registry) = (rows.store.clone(), rows.registry);
        tokio::spawn(async move {
            let digest = Digest::sha256(format!("{number}").as_bytes());
            let name = repository(&format!("r{}", number % 7));
            store.commit_blob(registry, &name, &digest, 30, None, 1).await
        })
    });
    let (mut fitted, mut refused) = (0, 0);
    for push in pushes.collect::<Vec<_>>() {
        match push.await.expect("ends") {
            Ok(()) => fitted += 1,
            Err(Error::OverQuota { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((fitted, refused, rows.used().await), (33, 67, 990));
}

#[tokio::test]
async fn a_wrong_count_is_found_and_mended_whatever_the_quota() {
    let rows = rows().await;
    rows.blob("a", "one", 60).await.expect("stores");
    let path = rows.folder.path().join("rows.db");
    let other = rusqlite::Connection::open(path).expect("opens");
    other.execute("UPDATE registry SET used_bytes = 5, quota_bytes = 7", []).expect("writes");
    assert_eq!(rows.store.miscounted().await.expect("counts"), ["r"]);
    rows.store.recount().await.expect("counts");
    assert_eq!(rows.used().await, 60);
    assert_eq!(rows.store.registry_room(rows.registry).await.expect("reads").quota_bytes, Some(7));
}
