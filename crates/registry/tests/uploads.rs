//! Uploads over real stores: what stays, what ends, what an observer sees, and what a restart finds.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use blobstore::BlobStore;
use bytes::Bytes;
use futures_util::stream;
use metastore::{Durability, Metastore, RegistryId, ResourceGroup, Subscription, Tier};
use oci::{Algorithm, Digest, Repository};
use registry::{Chunk, Owner, Registry, UploadError, UploadObserver, UploadWatch};
use uuid::Uuid;

struct House {
    registry: Registry,
    id: RegistryId,
    now_ms: Arc<AtomicI64>,
    seen: Seen,
    folder: tempfile::TempDir,
}

/// What an observer was told: `begin 512`, `grew 700`, `complete sha256:…`, `failed`.
type Seen = Arc<Mutex<Vec<String>>>;

struct Observer(Seen);

struct Watch {
    seen: Seen,
    is_complete: bool,
}

impl UploadObserver for Observer {
    fn begin(&self, path: &Path, first: &[u8]) -> Option<Box<dyn UploadWatch>> {
        let held = std::fs::metadata(path).unwrap().len();
        assert!(held >= first.len() as u64, "what is shown is in the file");
        self.0.lock().unwrap().push(format!("begin {}", first.len()));
        Some(Box::new(Watch { seen: Arc::clone(&self.0), is_complete: false }))
    }
}

impl UploadWatch for Watch {
    fn grew(&mut self, received: u64) {
        self.seen.lock().unwrap().push(format!("grew {received}"));
    }

    fn complete(mut self: Box<Self>, digest: &Digest, size: u64) {
        self.is_complete = true;
        self.seen.lock().unwrap().push(format!("complete {digest} {size}"));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_complete {
            self.seen.lock().unwrap().push("failed".to_owned());
        }
    }
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicI64::new(1_000_000));
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    let subscription = Subscription { id: Uuid::nil(), display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(Uuid::nil(), "g".to_owned(), "l".to_owned());
    metastore.create_tenancy(Uuid::nil(), subscription, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let id = metastore.registries().await.unwrap()[0].id;
    let seen = Seen::default();
    let registry = open(folder.path(), metastore, &now_ms, &seen);
    House { registry, id, now_ms, seen, folder }
}

fn open(folder: &Path, metastore: Metastore, now_ms: &Arc<AtomicI64>, seen: &Seen) -> Registry {
    let blobs = BlobStore::open(&folder.join("registry"), blobstore::Durability::Unflushed).unwrap();
    let now_ms = Arc::clone(now_ms);
    let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
    Registry::new(metastore, blobs, Arc::new(Observer(Arc::clone(seen))), Arc::new(|| ()), clock)
}

impl House {
    fn owner(&self) -> Owner {
        Owner { registry: self.id, repository: repository(), principal: "ann".to_owned() }
    }

    async fn begin(&self) -> Uuid {
        let begun = self.registry.begin_upload(self.id, &repository(), "ann", Algorithm::Sha256).await;
        begun.unwrap().id
    }

    async fn append(&self, id: Uuid, bytes: &[u8]) -> Result<u64, UploadError> {
        let appended = self.registry.append(self.owner(), id, whole(bytes)).await;
        appended.map(|status| status.received)
    }

    async fn finish(&self, id: Uuid, digest: &Digest) -> Result<(), UploadError> {
        self.registry.finish(self.owner(), id, whole(b""), digest).await
    }

    async fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let blob = self.registry.blob(self.id, &repository(), digest).await.unwrap()?;
        Some(blob.whole().expect("reads").to_vec())
    }

    /// The same folder, as after a crash: nothing that was in memory is left.
    fn restart(&mut self) {
        let metastore =
            Metastore::open(&self.folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
        self.registry = open(self.folder.path(), metastore, &self.now_ms, &self.seen);
    }

    fn files(&self, below: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("registry").join(below));
        entries.map_or_else(|_| vec![], |entries| entries.map(|entry| entry.unwrap().path()).collect())
    }

    fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn repository() -> Repository {
    "app/web".parse().unwrap()
}

type Body = stream::Iter<std::vec::IntoIter<Result<Bytes, std::io::Error>>>;

fn whole(bytes: &[u8]) -> Chunk<Body> {
    pieces(vec![Ok(Bytes::copy_from_slice(bytes))])
}

fn pieces(pieces: Vec<Result<Bytes, std::io::Error>>) -> Chunk<Body> {
    Chunk { range: None, length: None, body: stream::iter(pieces) }
}

#[tokio::test]
async fn an_upload_survives_a_restart_and_hashes_nothing_twice() {
    let mut house = house().await;
    let id = house.begin().await;
    assert_eq!(house.append(id, b"first ").await.unwrap(), 6);
    // What a crash kept from being recorded does not count.
    let file = house.files("uploads").remove(0);
    std::fs::write(&file, b"first and torn").unwrap();
    house.restart();
    let status = house.registry.upload_status(house.owner(), id).await.unwrap();
    assert_eq!(status.received, 6);
    assert_eq!(house.append(id, b"second").await.unwrap(), 12);
    let digest = Digest::sha256(b"first second");
    house.finish(id, &digest).await.unwrap();
    assert_eq!(house.blob(&digest).await.unwrap(), b"first second");
    assert!(house.files("uploads").is_empty());
    assert!(matches!(house.finish(id, &digest).await, Err(UploadError::Unknown)));
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_what_arrived() {
    let house = house().await;
    let id = house.begin().await;
    let broken =
        pieces(vec![Ok(Bytes::from_static(b"arrived")), Err(std::io::ErrorKind::ConnectionReset.into())]);
    let cut = house.registry.append(house.owner(), id, broken).await;
    assert!(matches!(cut, Err(UploadError::Body(_))));
    let status = house.registry.upload_status(house.owner(), id).await.unwrap();
    assert_eq!(status.received, 7);
    assert_eq!(house.append(id, b" and the rest").await.unwrap(), 20);
    house.finish(id, &Digest::sha256(b"arrived and the rest")).await.unwrap();
}

#[tokio::test]
async fn a_chunk_that_does_not_fit_changes_nothing() {
    let house = house().await;
    let id = house.begin().await;
    house.append(id, b"0123").await.unwrap();
    for (range, length, bytes) in [
        (Some((3, 5)), None, "456"),
        (Some((5, 7)), None, "456"),
        (Some((4, 9)), None, "456"),
        (Some((4, 5)), None, "456"),
        (Some((4, 6)), Some(4), "456"),
        (None, Some(2), "456"),
        (None, Some(4), "456"),
    ] {
        let chunk = Chunk { range, length, ..whole(bytes.as_bytes()) };
        let refused = house.registry.append(house.owner(), id, chunk).await;
        let is_refused =
            matches!(refused, Err(UploadError::OutOfOrder { .. } | UploadError::WrongLength { .. }));
        assert!(is_refused, "{range:?} {length:?}");
        let status = house.registry.upload_status(house.owner(), id).await.unwrap();
        assert_eq!(status.received, 4, "{range:?} {length:?}");
    }
    let fits = Chunk { range: Some((4, 6)), length: Some(3), ..whole(b"456") };
    house.registry.append(house.owner(), id, fits).await.unwrap();
    house.finish(id, &Digest::sha256(b"0123456")).await.unwrap();
}

#[tokio::test]
async fn a_wrong_digest_ends_the_session_and_leaves_nothing() {
    let house = house().await;
    let id = house.begin().await;
    house.append(id, b"content").await.unwrap();
    let wrong = Digest::sha256(b"something else");
    assert!(matches!(house.finish(id, &wrong).await, Err(UploadError::DigestMismatch { .. })));
    assert!(matches!(house.append(id, b"more").await, Err(UploadError::Unknown)));
    let posted = house.registry.put_blob(house.owner(), whole(b"content"), &wrong).await;
    assert!(matches!(posted, Err(UploadError::DigestMismatch { .. })));
    assert!(house.files("uploads").is_empty());
    assert_eq!(house.blob(&wrong).await, None);
    assert_eq!(house.blob(&Digest::sha256(b"content")).await, None);
}

#[tokio::test]
async fn an_observer_sees_an_upload_from_its_first_byte_to_its_end() {
    let mut house = house().await;
    let (small, large) = (vec![1; 100], vec![2; 1000]);
    let id = house.begin().await;
    house.append(id, &small).await.unwrap();
    assert!(house.take_seen().is_empty(), "too little to decide by");
    house.append(id, &large).await.unwrap();
    assert_eq!(house.take_seen(), ["begin 512", "grew 1100"]);
    let digest = Digest::sha256(&[small.clone(), large.clone()].concat());
    house.finish(id, &digest).await.unwrap();
    assert_eq!(house.take_seen(), ["grew 1100".to_owned(), format!("complete {digest} 1100")]);

    let tiny = Digest::sha256(b"tiny");
    house.registry.put_blob(house.owner(), whole(b"tiny"), &tiny).await.unwrap();
    assert_eq!(house.take_seen(), ["begin 4".to_owned(), format!("complete {tiny} 4")]);

    let id = house.begin().await;
    house.append(id, &large).await.unwrap();
    house.finish(id, &tiny).await.unwrap_err();
    assert_eq!(house.take_seen().last().unwrap(), "failed");
    let id = house.begin().await;
    house.append(id, &large).await.unwrap();
    house.registry.cancel_upload(house.owner(), id).await.unwrap();
    assert_eq!(house.take_seen().last().unwrap(), "failed");

    // Taken up again after a restart, its beginning is not shown: the store is read later.
    let id = house.begin().await;
    house.append(id, &large).await.unwrap();
    house.take_seen();
    house.restart();
    house.append(id, &large).await.unwrap();
    house.finish(id, &Digest::sha256(&[large.clone(), large].concat())).await.unwrap();
    assert!(house.take_seen().iter().all(|seen| seen == "failed"), "only the old process's watch ends");
}

#[tokio::test]
async fn idle_sessions_end_after_a_day_and_not_before() {
    let house = house().await;
    let (old, young) = (house.begin().await, house.begin().await);
    house.append(old, b"x").await.unwrap();
    house.now_ms.fetch_add(86_000_000, Ordering::Relaxed);
    house.append(young, b"x").await.unwrap();
    assert_eq!(house.registry.expire_uploads().await.unwrap(), 0);
    house.now_ms.fetch_add(1_000_000, Ordering::Relaxed);
    assert_eq!(house.registry.expire_uploads().await.unwrap(), 1);
    assert!(matches!(house.append(old, b"y").await, Err(UploadError::Unknown)));
    assert_eq!(house.append(young, b"y").await.unwrap(), 2);
    assert_eq!(house.files("uploads").len(), 1);
}

#[tokio::test]
async fn a_sweep_removes_what_nothing_names_and_nothing_else() {
    let mut house = house().await;
    let kept = Digest::sha256(b"kept");
    house.registry.put_blob(house.owner(), whole(b"kept"), &kept).await.unwrap();
    let open = house.begin().await;
    house.append(open, b"half").await.unwrap();
    let root = house.folder.path().join("registry");
    std::fs::write(root.join("uploads").join(Uuid::new_v4().to_string()), b"torn").unwrap();
    let orphan = Digest::sha256(b"orphan");
    let folder = root.join("blobs/sha256").join(&orphan.hex()[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(orphan.hex()), b"orphan").unwrap();
    let unlinked = Digest::sha256(b"unlinked");
    house.registry.put_blob(house.owner(), whole(b"unlinked"), &unlinked).await.unwrap();
    house.registry.delete_blob(house.id, &repository(), &unlinked).await.unwrap();
    let lost = Digest::sha256(b"lost");
    house.registry.put_blob(house.owner(), whole(b"lost"), &lost).await.unwrap();
    std::fs::remove_file(root.join("blobs/sha256").join(&lost.hex()[..2]).join(lost.hex())).unwrap();

    house.restart();
    let swept = house.registry.sweep().await.unwrap();
    assert_eq!((swept.uploads, swept.blobs, swept.expired), (1, 2, 0));
    assert_eq!(swept.lost, std::slice::from_ref(&lost));
    assert_eq!(house.blob(&kept).await.unwrap(), b"kept");
    assert!(house.registry.blob(house.id, &repository(), &lost).await.is_err(), "lost is not unknown");
    assert_eq!(house.append(open, b" whole").await.unwrap(), 10);
    let again = house.registry.sweep().await.unwrap();
    assert_eq!((again.uploads, again.blobs), (0, 0));
}

fn bytes_of(house: &House, digest: &Digest) -> bool {
    house.folder.path().join("registry/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex()).exists()
}

#[tokio::test]
async fn what_nothing_needs_is_given_back_after_a_day_and_nothing_else() {
    let house = house().await;
    let put = |bytes: &'static [u8]| async {
        let digest = Digest::sha256(bytes);
        house.registry.put_blob(house.owner(), whole(bytes), &digest).await.unwrap();
        digest
    };
    let (needed, config) = (put(b"needed").await, put(b"config").await);
    let (wanted, unneeded, deleted) = (put(b"wanted").await, put(b"unneeded").await, put(b"deleted").await);
    let descriptor = |digest: &Digest, media_type: &str, size: usize| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor(&config, oci::MediaType::OCI_CONFIG, 6),
        descriptor(&needed, "application/vnd.oci.image.layer.v1.tar", 6),
    );
    let media_type = oci::MediaType::new(oci::MediaType::OCI_MANIFEST);
    let tag = "1".parse().unwrap();
    let push = (&media_type, manifest.into_bytes());
    house.registry.put_manifest(house.id, &repository(), &tag, vec![], push, "ann").await.unwrap();
    house.registry.delete_blob(house.id, &repository(), &deleted).await.unwrap();
    let collect = || async {
        let collected = house.registry.collect().await.unwrap();
        (collected.unlinked, collected.removed)
    };
    assert_eq!(collect().await, (0, 1), "what was deleted goes at once, the rest has a day");
    assert!(!bytes_of(&house, &deleted) && bytes_of(&house, &unneeded));

    house.now_ms.fetch_add(80_000_000, Ordering::Relaxed);
    // A push that looks whether it must upload gets another day.
    assert_eq!(house.registry.blob_size(house.id, &repository(), &wanted).await.unwrap(), Some(6));
    house.now_ms.fetch_add(10_000_000, Ordering::Relaxed);
    assert_eq!(collect().await, (1, 1));
    assert_eq!(house.blob(&unneeded).await, None);
    assert!(!bytes_of(&house, &unneeded));
    for kept in [&needed, &config, &wanted] {
        assert!(house.blob(kept).await.is_some());
    }
    let digest = house
        .registry
        .manifest(house.id, &repository(), &tag)
        .await
        .unwrap()
        .unwrap()
        .manifest
        .digest
        .clone();
    let reference = oci::Reference::Digest(digest);
    assert!(house.registry.delete_manifest(house.id, &repository(), &reference).await.unwrap());
    house.now_ms.fetch_add(100_000_000, Ordering::Relaxed);
    assert_eq!(collect().await, (3, 3), "with the manifest goes what only it needed");
    assert_eq!(put(b"needed").await, needed);
    assert_eq!(house.blob(&needed).await.unwrap(), b"needed", "what is gone can come again");
}

/// The same few blobs, pushed and deleted by some while others collect: what was acknowledged and
/// not deleted since is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn collecting_never_takes_what_a_push_has_just_placed() {
    let house = Arc::new(house().await);
    let collector = {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            let mut removed = 0;
            loop {
                removed += house.registry.collect().await.unwrap().removed;
                house.seen.lock().unwrap().clear();
                tokio::task::yield_now().await;
                if house.now_ms.load(Ordering::Relaxed) == 0 {
                    return removed;
                }
            }
        })
    };
    let pushers: Vec<_> = (0..4)
        .map(|number: u8| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                // Each has a repository of its own; the bytes are everybody's.
                let name: Repository = format!("app/{number}").parse().unwrap();
                let owner =
                    Owner { registry: house.id, repository: name.clone(), principal: "ann".to_owned() };
                for round in 0..150_u8 {
                    let bytes = [b'x', round % 3];
                    let digest = Digest::sha256(&bytes);
                    house.registry.put_blob(owner.clone(), whole(&bytes), &digest).await.unwrap();
                    let blob = house.registry.blob(house.id, &name, &digest).await.unwrap();
                    assert_eq!(&*blob.expect("acknowledged").whole().expect("reads"), &bytes);
                    house.registry.delete_blob(house.id, &name, &digest).await.unwrap();
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.unwrap();
    }
    house.now_ms.store(0, Ordering::Relaxed);
    assert!(collector.await.unwrap() > 0, "nothing was ever collected: nothing was tested");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_loses_its_request_and_keeps_its_session() {
    let house = house().await;
    let id = house.begin().await;
    let said = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"said"))]);
    let body = futures_util::StreamExt::chain(said, stream::pending());
    let chunk = Chunk { range: None, length: None, body };
    let cut = house.registry.append(house.owner(), id, chunk).await;
    assert!(matches!(cut, Err(UploadError::Body(_))));
    assert_eq!(house.append(id, b" more").await.unwrap(), 9);
}

#[tokio::test]
async fn one_who_has_too_many_uploads_loses_the_oldest_idle_one_and_none_that_is_at_work() {
    let house = house().await;
    let first = house.begin().await;
    house.append(first, b"begun").await.unwrap();
    house.now_ms.fetch_add(1, Ordering::Relaxed);
    let second = house.begin().await;
    for _ in 2..1024 {
        house.begin().await;
    }
    let name = repository();
    let begin = || house.registry.begin_upload(house.id, &name, "ann", Algorithm::Sha256);
    assert!(matches!(begin().await, Err(UploadError::TooMany { count: 1024 })), "nobody is idle yet");
    house.now_ms.fetch_add(61_000, Ordering::Relaxed);
    house.append(second, b"goes on").await.unwrap();
    begin().await.unwrap();
    assert!(matches!(house.append(first, b"more").await, Err(UploadError::Unknown)), "it gave way");
    assert_eq!(house.append(second, b" still").await.unwrap(), 13);
    assert_eq!(house.files("uploads").len(), 1, "its file is gone");
    assert_eq!(house.registry.open_uploads().await.unwrap().len(), 1024);
}

#[tokio::test]
async fn a_request_that_goes_away_in_its_body_keeps_what_arrived() {
    let mut house = house().await;
    let id = house.begin().await;
    let said = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"arrived"))]);
    let body = futures_util::StreamExt::chain(said, stream::pending());
    let chunk = Chunk { range: None, length: None, body };
    let patience = std::time::Duration::from_millis(200);
    let cut = tokio::time::timeout(patience, house.registry.append(house.owner(), id, chunk)).await;
    assert!(cut.is_err(), "its future is dropped");
    // What comes next waits until that is written down.
    assert_eq!(house.registry.upload_status(house.owner(), id).await.unwrap().received, 7);
    house.restart();
    assert_eq!(house.append(id, b" and more").await.unwrap(), 16);
}
