//! What every backend of the metastore promises.

use assessment::{Cause, ImageState, Verdict};
use inventory::ImageInventory;
use metastore::{
    Durability, FeedPayload, JobKind, ManifestKind, Metastore, PutManifest, PutManifestError, RegistryId,
    ResourceGroup, Subscription, Tier, UnlinkBlob, Upload, VerdictWrite,
};
use oci::{Algorithm, Digest, Hasher, MediaType, Reference, Repository};
use uuid::Uuid;

const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

struct Rows {
    store: Metastore,
    registry: RegistryId,
    folder: tempfile::TempDir,
}

async fn rows(tier: Tier) -> Rows {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let subscription = Subscription { id: SUBSCRIPTION, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUBSCRIPTION, "Group".to_owned(), "here".to_owned());
    let made = store.create_tenancy(Uuid::from_u128(1), subscription, tier, group, "registry", 1).await;
    assert!(made.expect("creates"));
    let registry = store.registries().await.expect("lists")[0].id;
    Rows { store, registry, folder }
}

impl Rows {
    async fn blob(&self, repository: &str, text: &str) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        let size = text.len() as u64;
        self.store
            .commit_blob(self.registry, &name(repository), &digest, size, None, 5)
            .await
            .expect("commits");
        digest
    }

    fn image(&self, repository: &str, text: &str, blobs: Vec<Digest>, tags: &[&str]) -> PutManifest {
        PutManifest {
            registry: self.registry,
            repository: name(repository),
            digest: Digest::sha256(text.as_bytes()),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            bytes: text.into(),
            blobs,
            children: Vec::new(),
            is_sparse: false,
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
            pushed_by: "someone".to_owned(),
            now_ms: 10,
        }
    }

    async fn judged(&self, image: &Digest, snapshot: Option<Digest>, state: ImageState) -> bool {
        let verdict = Verdict {
            state,
            causes: vec![Cause { code: "C".to_owned(), description: "why".to_owned() }],
            findings: Vec::new(),
        };
        let write = VerdictWrite {
            image: image.clone(),
            inventory: ImageInventory::default(),
            snapshot,
            engine: "test".to_owned(),
            verdict,
            keys: vec![("debian:sid".to_owned(), "zlib".to_owned())],
            now_ms: 20,
        };
        self.store.put_verdict(write).await.expect("stores")
    }
}

fn name(text: &str) -> Repository {
    text.parse().expect("a repository name")
}

fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

#[tokio::test]
async fn the_first_start_happens_once() {
    let rows = rows(Tier::Standard).await;
    let again = Subscription { id: Uuid::from_u128(9), display_name: "x".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(again.id, "x".to_owned(), "x".to_owned());
    assert!(
        !rows
            .store
            .create_tenancy(Uuid::from_u128(2), again, Tier::Free, group, "other", 2)
            .await
            .expect("asks")
    );
    assert_eq!(rows.store.tenant().await.expect("reads"), Some(Uuid::from_u128(1)));
    assert_eq!(rows.store.subscriptions().await.expect("lists").len(), 1);
    let registry = &rows.store.registries().await.expect("lists")[0];
    assert_eq!(
        registry.resource_id(),
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/Group/providers/Microsoft.ContainerRegistry/registries/registry"
        )
    );
    drop(rows.folder);
}

#[tokio::test]
async fn a_blob_is_visible_only_where_it_is_linked() {
    let rows = rows(Tier::Standard).await;
    let digest = rows.blob("a", "layer").await;
    let size = |repository: &'static str| {
        let (store, registry, digest) = (rows.store.clone(), rows.registry, digest.clone());
        async move {
            let linked = store.linked_blob(registry, &name(repository), &digest).await.expect("reads");
            linked.map(|linked| linked.size)
        }
    };
    assert_eq!(size("a").await, Some(5));
    assert_eq!(size("bb").await, None);
    let mount = |sources: Vec<Repository>| {
        rows.store.mount_blob(rows.registry, sources, (rows.registry, &NAMES[1]), &digest, 6)
    };
    assert_eq!(mount(vec![name("nowhere")]).await.expect("asks"), None);
    assert_eq!(mount(vec![name("nowhere"), name("a")]).await.expect("mounts"), Some(5));
    assert_eq!(size("bb").await, Some(5));
}

static NAMES: std::sync::LazyLock<[Repository; 2]> = std::sync::LazyLock::new(|| [name("a"), name("bb")]);

#[tokio::test]
async fn a_manifest_needs_its_content_and_keeps_it() {
    let rows = rows(Tier::Standard).await;
    let absent = Digest::sha256(b"absent");
    let refused = rows.store.put_manifest(rows.image("a", "m", vec![absent.clone()], &["v1"])).await;
    assert!(matches!(refused, Err(PutManifestError::ContentUnknown { missing }) if missing == [absent]));
    assert!(rows.store.manifest(rows.registry, &name("a"), &reference("v1")).await.expect("reads").is_none());
    assert_eq!(rows.store.jobs_open().await.expect("counts").0, 0, "a refused push queues nothing");

    let layer = rows.blob("a", "layer").await;
    rows.store.put_manifest(rows.image("a", "m", vec![layer.clone()], &["v1", "v2"])).await.expect("stores");
    let stored = rows.store.manifest(rows.registry, &name("a"), &reference("v2")).await.expect("reads");
    assert_eq!(stored.expect("there").bytes, b"m");
    let unlink = || rows.store.unlink_blob(rows.registry, &NAMES[0], &layer);
    assert_eq!(unlink().await.expect("asks"), UnlinkBlob::Referenced);

    let digest = Digest::sha256(b"m");
    assert!(rows.store.delete_manifest(rows.registry, &name("a"), &digest, 1).await.expect("deletes"));
    assert!(!rows.store.delete_manifest(rows.registry, &name("a"), &digest, 1).await.expect("asks"));
    assert_eq!(rows.store.tags(rows.registry, &name("a"), None, 9).await.expect("lists"), Some(Vec::new()));
    assert_eq!(unlink().await.expect("unlinks"), UnlinkBlob::Unlinked);
    assert_eq!(unlink().await.expect("asks"), UnlinkBlob::Unknown);
    assert!(rows.store.forget_blob(&layer).await.expect("forgets"));
}

#[tokio::test]
async fn a_push_queues_its_scan_if_the_plan_is_on() {
    for (plan, jobs) in [(Tier::Standard, 1), (Tier::Free, 0)] {
        let rows = rows(plan).await;
        rows.store.put_manifest(rows.image("a", "m", Vec::new(), &["v1"])).await.expect("stores");
        rows.store.put_manifest(rows.image("a", "m", Vec::new(), &["v1"])).await.expect("stores");
        assert_eq!(rows.store.jobs_open().await.expect("counts").0, jobs, "{plan:?}");
    }
}

#[tokio::test]
async fn tags_are_listed_in_byte_order_and_paged() {
    let rows = rows(Tier::Free).await;
    rows.store.put_manifest(rows.image("a", "m", Vec::new(), &["b", "a", "B", "a.1"])).await.expect("stores");
    let page = |after: Option<&str>, limit| {
        rows.store.tags(rows.registry, &NAMES[0], after.map(str::to_owned), limit)
    };
    let text = |tags: Option<Vec<oci::Tag>>| {
        tags.expect("known").iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text(page(None, 9).await.expect("lists")), "B a a.1 b");
    assert_eq!(text(page(Some("a"), 1).await.expect("lists")), "a.1");
    assert_eq!(text(page(Some("zz"), 9).await.expect("lists")), "");
    let unknown = rows.store.tags(rows.registry, &name("nowhere"), None, 9).await.expect("asks");
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository_and_principal() {
    let rows = rows(Tier::Free).await;
    let id = Uuid::from_u128(77);
    let upload = |received: u64, bytes: &[u8]| {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        Upload { id, received, hasher }
    };
    rows.store.create_upload(rows.registry, &name("a"), "me", upload(0, b""), 1).await.expect("opens");
    assert!(rows.store.advance_upload(upload(3, b"abc"), 2).await.expect("advances"));
    let find =
        |repository: &'static str, principal: &'static str| async move { (name(repository), principal) };
    for (repository, principal, is_found) in [("a", "me", true), ("a", "you", false), ("b", "me", false)] {
        let (repository, principal) = find(repository, principal).await;
        let found = rows.store.upload(rows.registry, &repository, principal, id).await.expect("reads");
        assert_eq!(found.is_some(), is_found, "{repository} {principal}");
        if let Some(found) = found {
            assert_eq!((found.received, found.hasher.finish()), (3, Digest::sha256(b"abc")));
        }
    }
    let open = rows.store.uploads().await.expect("lists");
    assert_eq!(open.iter().map(|upload| (upload.id, upload.touched_ms)).collect::<Vec<_>>(), [(id, 2)]);
    rows.store.delete_uploads(vec![id]).await.expect("ends");
    assert!(!rows.store.advance_upload(upload(4, b"abcd"), 3).await.expect("asks"));
}

#[tokio::test]
async fn a_job_is_claimed_once_and_again_when_its_lease_ends() {
    let rows = rows(Tier::Standard).await;
    rows.store.put_manifest(rows.image("a", "m", Vec::new(), &[])).await.expect("stores");
    let claim = |now: i64| rows.store.claim_job(now, now + 100);
    let job = claim(10).await.expect("claims").expect("one waits");
    assert_eq!((job.kind, job.attempts), (JobKind::Scan, 1));
    assert_eq!(claim(50).await.expect("asks"), None);
    let again = claim(110).await.expect("claims").expect("the lease ran out");
    assert_eq!((again.id, again.attempts), (job.id, 2));

    // Pushed once more while it runs: it must run once more.
    rows.store.put_manifest(rows.image("a", "m", Vec::new(), &[])).await.expect("stores");
    rows.store.complete_job(again.id, 111).await.expect("completes");
    let once_more = claim(112).await.expect("claims").expect("asked for meanwhile");
    rows.store.retry_job(once_more.id, "broken".to_owned(), 500, 400).await.expect("puts back");
    assert_eq!(claim(499).await.expect("asks"), None);
    let image = rows.store.images(rows.registry, None, 9).await.expect("lists");
    assert_eq!(image[0].failure.as_ref().expect("shown").error, "broken");
    let retried = claim(500).await.expect("claims").expect("due");
    rows.store.complete_job(retried.id, 501).await.expect("completes");
    assert_eq!(rows.store.jobs_open().await.expect("counts"), (0, None));
}

#[tokio::test]
async fn a_verdict_rests_on_the_current_snapshot_or_is_refused() {
    let rows = rows(Tier::Standard).await;
    rows.store.put_manifest(rows.image("a", "m", Vec::new(), &["v1"])).await.expect("stores");
    let image = Digest::sha256(b"m");
    assert!(rows.judged(&image, None, ImageState::Unverified).await);
    let payload = FeedPayload {
        kind: "debian".to_owned(),
        origin: "file".to_owned(),
        etag: None,
        last_modified: None,
        digest: Digest::sha256(b"payload"),
        records: 3,
    };
    let snapshot = Digest::sha256(b"snapshot");
    rows.store.install_snapshot(vec![("debian".to_owned(), payload)], &snapshot, 15).await.expect("installs");
    assert!(!rows.judged(&image, None, ImageState::Healthy).await, "the snapshot has moved");
    assert!(rows.judged(&image, Some(snapshot.clone()), ImageState::Healthy).await);
    let verdict = rows.store.verdict(&image).await.expect("reads").expect("judged");
    assert_eq!((verdict.state, verdict.snapshot.as_ref()), (ImageState::Healthy, Some(&snapshot)));
    let keys =
        vec![("debian:sid".to_owned(), "zlib".to_owned()), ("debian:sid".to_owned(), "bash".to_owned())];
    assert_eq!(rows.store.images_holding(keys).await.expect("finds"), std::slice::from_ref(&image));
    assert_eq!(rows.store.snapshots_needed().await.expect("lists"), [snapshot.clone(), snapshot]);

    rows.store.delete_manifest(rows.registry, &name("a"), &image, 1).await.expect("deletes");
    assert_eq!(rows.store.verdict(&image).await.expect("reads"), None, "findings go with the image");
}

#[tokio::test]
async fn images_are_paged_without_gaps() {
    let rows = rows(Tier::Standard).await;
    for text in ["1", "2", "3", "4", "5"] {
        rows.store.put_manifest(rows.image("a", text, Vec::new(), &[])).await.expect("stores");
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = rows.store.images(rows.registry, after, 2).await.expect("lists");
        let Some(last) = page.last() else { break };
        after = Some((last.repository_id, last.digest.to_string()));
        seen.extend(page.into_iter().map(|row| row.digest));
    }
    let mut wanted: Vec<_> = ["1", "2", "3", "4", "5"].map(|text| Digest::sha256(text.as_bytes())).into();
    wanted.sort();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn what_was_answered_is_found_by_the_next_start() {
    let rows = rows(Tier::Standard).await;
    let store = rows.store.clone();
    let pushes: Vec<_> = (0..50)
        .map(|index| {
            let (store, put) = (store.clone(), rows.image("a", &index.to_string(), Vec::new(), &["latest"]));
            tokio::spawn(async move { store.put_manifest(put).await })
        })
        .collect();
    for push in pushes {
        push.await.expect("runs").expect("stores");
    }
    drop((rows.store, store));
    let store = Metastore::open(&rows.folder.path().join("rows.db"), Durability::Flushed).expect("opens");
    assert_eq!(store.images(rows.registry, None, 99).await.expect("lists").len(), 50);
    assert_eq!(store.jobs_open().await.expect("counts").0, 50);
}
