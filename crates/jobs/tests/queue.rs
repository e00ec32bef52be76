//! What the queue promises, over real rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jobs::{ATTEMPTS_MAX, Jobs, Work};
use metastore::{Durability, Job, ManifestKind, Metastore, PutManifest, ResourceGroup, Subscription, Tier};
use oci::{Digest, MediaType};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Fails a number of times, then succeeds; counts everything.
#[derive(Default)]
struct Flaky {
    failures: u32,
    runs: AtomicU32,
    given_up: AtomicU32,
    done: tokio::sync::Notify,
}

impl Work for Flaky {
    async fn run(&self, job: &Job) -> Result<(), String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.done.notify_one();
        if run <= self.failures { Err(format!("attempt {run} of {}", job.key)) } else { Ok(()) }
    }

    async fn give_up(&self, _job: &Job, error: &str) -> Result<(), String> {
        assert!(error.starts_with("attempt"));
        self.given_up.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn one_job() -> (tempfile::TempDir, Metastore, Jobs) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Metastore::open(&folder.path().join("rows.db"), Durability::Unflushed).expect("opens");
    let id = Uuid::from_u128(1);
    let subscription = Subscription { id, display_name: String::new(), is_disabled: false };
    let group = ResourceGroup::new(id, "g".to_owned(), String::new());
    store.create_tenancy(id, subscription, Tier::Standard, group, "registry", 0).await.expect("creates");
    let registry = store.registries().await.expect("lists")[0].id;
    let put = PutManifest {
        registry,
        repository: "a".parse().expect("a name"),
        digest: Digest::sha256(b"m"),
        kind: ManifestKind::Image,
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        artifact_type: None,
        subject: None,
        annotations: None,
        bytes: b"m".to_vec(),
        blobs: Vec::new(),
        children: Vec::new(),
        is_sparse: false,
        tags: Vec::new(),
        pushed_by: String::new(),
        now_ms: 0,
    };
    store.put_manifest(put).await.expect("stores");
    let jobs = Jobs::new(store.clone(), Arc::new(|| 1_000));
    (folder, store, jobs)
}

#[tokio::test]
async fn a_failing_job_is_tried_again_until_it_succeeds() {
    let (_folder, store, jobs) = one_job().await;
    let work = Flaky { failures: 2, ..Flaky::default() };
    jobs.settle(&work).await.expect("settles");
    assert_eq!((work.runs.into_inner(), work.given_up.into_inner()), (3, 0));
    assert_eq!(store.jobs_open().await.expect("counts").0, 0);
}

#[tokio::test]
async fn a_hopeless_job_is_given_up_in_the_open() {
    let (_folder, store, jobs) = one_job().await;
    let work = Flaky { failures: u32::MAX, ..Flaky::default() };
    jobs.settle(&work).await.expect("settles");
    assert_eq!((work.runs.into_inner(), work.given_up.into_inner()), (ATTEMPTS_MAX, 1));
    assert_eq!(store.jobs_open().await.expect("counts").0, 0);
}

#[tokio::test]
async fn workers_stop_when_told_and_finish_what_they_began() {
    let (_folder, store, jobs) = one_job().await;
    let work = Arc::new(Flaky::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (jobs, work, stop) = (jobs.clone(), Arc::clone(&work), stop.clone());
        async move { jobs.run(work, 3, stop).await }
    });
    work.done.notified().await;
    stop.cancel();
    running.await.expect("stops");
    assert_eq!(work.runs.load(Ordering::SeqCst), 1);
    assert_eq!(store.jobs_open().await.expect("counts").0, 0);
}

/// What a process was at when it died.
struct Deadly;

impl Work for Deadly {
    async fn run(&self, _job: &Job) -> Result<(), String> {
        panic!("on purpose")
    }

    async fn give_up(&self, job: &Job, error: &str) -> Result<(), String> {
        assert_eq!((job.attempts, error), (ATTEMPTS_MAX, "the server ended while it was at work on this"));
        Ok(())
    }
}

#[tokio::test]
async fn a_job_at_which_the_process_dies_is_given_up_after_its_last_attempt() {
    let (_folder, store, jobs) = one_job().await;
    let mut now_ms = 1_000;
    for attempt in 1..=ATTEMPTS_MAX {
        let job = store.claim_job(now_ms, now_ms + 60_000).await.expect("claims").expect("it is due");
        assert_eq!(job.attempts, attempt);
        // The process dies, and another starts.
        assert_eq!(jobs.recover().await.expect("recovers"), 1);
        assert_eq!(store.claim_job(1_000, 0).await.expect("asks"), None, "it waits a little");
        // One that dies at once has not touched it: its death does not count.
        assert_eq!(jobs.recover().await.expect("recovers"), 0);
        now_ms = 100_000;
    }
    // Given up without being run: the work panics.
    jobs.settle(&Deadly).await.expect("settles");
    assert_eq!(store.jobs_open().await.expect("counts").0, 0);
}

#[tokio::test]
async fn work_that_panics_is_a_failed_attempt_and_no_lost_worker() {
    struct Panicking(AtomicU32);
    impl Work for Panicking {
        async fn run(&self, _job: &Job) -> Result<(), String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose")
        }

        async fn give_up(&self, _job: &Job, error: &str) -> Result<(), String> {
            assert_eq!(error, "the work on it panicked");
            Ok(())
        }
    }
    let (_folder, store, jobs) = one_job().await;
    let work = Panicking(AtomicU32::new(0));
    jobs.settle(&work).await.expect("settles");
    assert_eq!((work.0.into_inner(), store.jobs_open().await.expect("counts").0), (ATTEMPTS_MAX, 0));
}
