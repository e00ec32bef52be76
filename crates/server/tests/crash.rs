//! Killed at any instant, the house loses nothing that it acknowledged: while images come in, while retention
//! and the collection remove what is not needed, and while the disk is full.
//!
//! `LAZARET_CRASH_ROUNDS` says how often it is killed (8 times by default, so that it costs seconds); the seed is
//! printed, and `LAZARET_SEED` repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci::Digest;
use reqwest::StatusCode;
use testkit::{Client, Disk, Image, Server, ServerOptions, age_links, debian, dpkg, image, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// What the server has acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    /// Of [`KEPT`], by the manifest that needs them.
    images: BTreeMap<Digest, Image>,
    /// Of [`KEPT`], without a manifest: these stay for a day.
    loose: BTreeMap<Digest, Vec<u8>>,
    /// Of [`PRUNED`], by tag.
    pruned: BTreeMap<String, Digest>,
    /// Told of each blob.
    blob_came: Arc<tokio::sync::Notify>,
    /// Every image whose push was begun.
    begun: BTreeSet<Digest>,
}

type Shared = Arc<Mutex<Acknowledged>>;

/// No retention rule touches it.
const KEPT: &str = "app/web";

/// Of it, retention leaves the newest [`NEWEST`] tags.
const PRUNED: &str = "app/old";
const NEWEST: usize = 3;

/// What goes on beside the pushes of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Beside {
    /// Two days have passed; retention and the collection run all the time.
    is_cleaned: bool,
    /// There comes a moment at which the disk has no room, or next to none.
    is_filled: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_instant_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    println!("{}", killed_again_and_again(&folder.path().join("tracker.json"), &data, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_instant_on_a_disk_that_is_full_at_times_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = Disk::mount(&folder.path().join("disk"), 8192) else { return };
    let data = disk.folder.join("data");
    println!("{}", killed_again_and_again(&folder.path().join("tracker.json"), &data, Some(&disk)).await);
}

/// Half of the rounds; returns what came of them.
async fn killed_again_and_again(tracker: &Path, data: &Path, disk: Option<&Disk>) -> String {
    let rounds = number("LAZARET_CRASH_ROUNDS").unwrap_or(8).div_ceil(2);
    let mut seed = testkit::seed();
    let can_age = tool("python3", "kills while the collection runs", "apt-get install python3");
    // To the last byte: what is kept free would hide what happens there.
    let options = ServerOptions::new(LAZARET, data).with("--min-free-bytes=0");
    let mut server = Server::start(options.logging_to(&tracker.with_extension("log")));
    prepare(&server, tracker);
    let shared = Shared::default();
    let (mut pushed, mut refused) = (0, 0);
    for round in 0..rounds {
        let beside =
            Beside { is_cleaned: can_age && round % 2 == 1, is_filled: disk.is_some() && round % 4 > 1 };
        let counts;
        (server, counts) =
            one_round(server, &shared, disk.filter(|_| beside.is_filled), beside, round, &mut seed).await;
        pushed += counts.0;
        refused += counts.1;
    }
    let acknowledged = std::mem::take(&mut *shared.lock().expect("whole"));
    verify(&server, &acknowledged).await;
    let gone = acknowledged.pruned.len().saturating_sub(tags(&server.client(), PRUNED).await.len());
    let figures = format!(
        "{rounds} kills, {pushed} pushes acknowledged, {refused} refused for want of room, {gone} tags retired"
    );
    assert!(pushed > 0, "no push was ever acknowledged: nothing was tested");

    // No blob is half a file. Sessions that were cut off may go on for a day: each has one file.
    let checked = server.command(&["fsck"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(server.terminate());
    let folders = files(&data.join("registry/blobs/sha256"));
    for blob in folders.iter().flat_map(|folder| files(folder)) {
        let digest = Digest::sha256(&std::fs::read(&blob).expect("reads"));
        assert!(blob.ends_with(digest.hex()), "{} is damaged", blob.display());
    }
    let uploads = files(&data.join("registry/uploads"));
    assert!(uploads.len() as u64 <= 4 * rounds, "half files stay: {uploads:?}");
    figures
}

fn prepare(server: &Server, tracker: &Path) {
    // Of another package: every image is judged, and healthy.
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    std::fs::write(tracker, text).expect("writes");
    let tracker = tracker.to_str().expect("text");
    let (newest, pruned) = (format!("--keep-newest={NEWEST}"), format!("--repositories={PRUNED}"));
    for command in [
        &["feeds", "import", tracker][..],
        &["retention", "set", "newest", &newest, &pruned],
        &["retention", "set", "untagged", "--untagged-days=0", &pruned],
    ] {
        let done = server.command(command);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Pushes until a random instant, at which the server is killed; returns the next one, and how many pushes were
/// acknowledged and refused.
async fn one_round(
    server: Server,
    shared: &Shared,
    disk: Option<&Disk>,
    beside: Beside,
    round: u64,
    seed: &mut u64,
) -> (Server, (u32, u32)) {
    let client = server.client();
    let blob_came = Arc::clone(&shared.lock().expect("whole").blob_came);
    let came = blob_came.notified();
    let pushers: Vec<_> = (0..4)
        .map(|pusher| {
            let (client, shared) = (client.clone(), Arc::clone(shared));
            tokio::spawn(async move { push_until_cut_off(&client, &shared, round, pusher, beside).await })
        })
        .collect();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let cleaner = beside.is_cleaned.then(|| tokio::spawn(clean_until(stopped, server.options().clone())));
    // One round in four may end before anything was pushed; the others end in the middle of pushes, however slow
    // the machine is.
    if !round.is_multiple_of(4) {
        tokio::time::timeout(Duration::from_secs(60), came).await.expect("a blob is acknowledged");
    }
    if let Some(disk) = disk {
        tokio::time::sleep(Duration::from_micros(random(seed) % 200_000)).await;
        disk.fill_up_to(random(seed) % 400_000);
    }
    tokio::time::sleep(Duration::from_micros(random(seed) % 600_000)).await;
    if let Some(disk) = disk
        && random(seed).is_multiple_of(2)
    {
        disk.make_room();
        tokio::time::sleep(Duration::from_micros(random(seed) % 200_000)).await;
    }
    let options = server.kill();
    let mut counts = (0, 0);
    for pusher in pushers {
        let (pushed, refused) = pusher.await.expect("a pusher ends when the server does");
        counts = (counts.0 + pushed, counts.1 + refused);
    }
    drop(stop);
    if let Some(cleaner) = cleaner {
        cleaner.await.expect("it ends");
    }
    // It starts, and is killed again, where there may be no room.
    let options = Server::start(options).kill();
    if let Some(disk) = disk {
        disk.make_room();
    }
    if !beside.is_cleaned && tool("python3", "kills while the collection runs", "apt-get install python3") {
        // The next round is one in which what is not needed goes.
        age_links(&options.data);
        shared.lock().expect("whole").loose.clear();
    }
    (Server::start(options), counts)
}

/// Carries the rules out and collects, as the server does every hour.
async fn clean_until(mut stopped: tokio::sync::oneshot::Receiver<()>, options: ServerOptions) {
    while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
        let mut purge = tokio::process::Command::new(&options.program);
        // What it says of a server that was killed meanwhile is not looked at.
        let ended = purge.arg("purge").arg("--data").arg(&options.data).output().await;
        ended.expect("the binary starts");
    }
}

/// Pushes images until the server is gone; returns how many were acknowledged and how many refused.
async fn push_until_cut_off(
    client: &Client,
    shared: &Mutex<Acknowledged>,
    round: u64,
    pusher: u64,
    beside: Beside,
) -> (u32, u32) {
    let (mut done, mut refused) = (0, 0);
    let repository = if pusher == 0 { PRUNED } else { KEPT };
    for number in 0.. {
        let image = small_image(round, pusher, number);
        let tag = format!("t{round:05}-{pusher}-{number:05}");
        match push(client, shared, repository, &tag, &image).await {
            Ok(()) => done += 1,
            Err(error) => {
                let Some(status) = error.status() else { return (done, refused) };
                let is_full =
                    [StatusCode::INSUFFICIENT_STORAGE, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
                assert!(beside.is_filled && is_full, "{repository}:{tag}: {error}");
                refused += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    (done, refused)
}

fn small_image(round: u64, pusher: u64, number: u64) -> Image {
    let name = format!("package-{round}-{pusher}-{number}");
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(&name, "1.0-1")]));
    // A second layer big enough to be cut in the middle.
    let noise = noise(round * 1000 + pusher * 100 + number, 300_000);
    image().layer(&[(release.0, &release.1), (status.0, &status.1)]).layer(&[("noise", &noise)])
}

async fn push(
    client: &Client,
    shared: &Mutex<Acknowledged>,
    repository: &str,
    tag: &str,
    image: &Image,
) -> reqwest::Result<()> {
    shared.lock().expect("whole").begun.insert(image.digest());
    for blob in blobs(image) {
        let digest = client.push_blob(repository, &blob).await?;
        let mut acknowledged = shared.lock().expect("whole");
        if repository == KEPT {
            acknowledged.loose.insert(digest, blob);
        }
        acknowledged.blob_came.notify_waiters();
    }
    client.push_manifest(repository, tag, &image.manifest()).await?;
    let mut acknowledged = shared.lock().expect("whole");
    if repository == KEPT {
        acknowledged.images.insert(image.digest(), image.clone());
    } else {
        acknowledged.pruned.insert(tag.to_owned(), image.digest());
    }
    Ok(())
}

fn blobs(image: &Image) -> impl Iterator<Item = Vec<u8>> {
    image.layers().map(<[u8]>::to_vec).chain([image.config()])
}

async fn verify(server: &Server, acknowledged: &Acknowledged) {
    let client = server.client();
    for (digest, bytes) in &acknowledged.loose {
        is_there(&client, &format!("{KEPT}/blobs/{digest}"), bytes).await;
    }
    for (digest, image) in &acknowledged.images {
        is_there(&client, &format!("{KEPT}/manifests/{digest}"), &image.manifest()).await;
        for blob in blobs(image) {
            is_there(&client, &format!("{KEPT}/blobs/{}", Digest::sha256(&blob)), &blob).await;
        }
    }
    // Only what newer tags replace is gone.
    let there = tags(&client, PRUNED).await;
    let newest: Vec<&String> = there.iter().rev().take(NEWEST).collect();
    for (tag, digest) in &acknowledged.pruned {
        if there.contains(tag) {
            let answer = client.get(&format!("/v2/{PRUNED}/manifests/{tag}")).await.expect("answers");
            let bytes = answer.bytes().await.expect("a body");
            assert_eq!(Digest::sha256(&bytes), *digest, "{PRUNED}:{tag}");
        } else {
            assert!(
                newest.len() == NEWEST && newest.iter().all(|newer| *newer > tag),
                "{PRUNED}:{tag} was acknowledged and is gone; there are {newest:?}"
            );
        }
    }
    everything_is_judged(server, acknowledged).await;
}

async fn is_there(client: &Client, path: &str, bytes: &[u8]) {
    let answer = client.get(&format!("/v2/{path}")).await.expect("answers");
    assert_eq!(answer.status(), 200, "{path} was acknowledged");
    assert!(answer.bytes().await.expect("a body") == bytes, "{path} is damaged");
}

async fn tags(client: &Client, repository: &str) -> BTreeSet<String> {
    let listed = client.json(&format!("/v2/{repository}/tags/list")).await;
    let tags = listed["tags"].as_array().expect("a list");
    tags.iter().map(|tag| tag.as_str().expect("text").to_owned()).collect()
}

/// Every visible manifest ends with a verdict, those that were committed unacknowledged too.
async fn everything_is_judged(server: &Server, acknowledged: &Acknowledged) {
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        let listed = server.command(&["image", "list", "--format=json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).expect("a list");
        let pending = rows.iter().filter(|row| row["state"] == "Pending").count();
        assert!(rows.len() >= acknowledged.images.len(), "images are missing from the list");
        if pending == 0 {
            let wrong: Vec<_> = rows.iter().filter(|row| row["state"] != "Healthy").collect();
            assert!(wrong.is_empty(), "verdicts that should be healthy: {wrong:?}");
            // Charged for what was judged, each digest once; what is gone by now was, too.
            let usage = server.command(&["usage", "--format=json"]);
            let usage: serde_json::Value = serde_json::from_slice(&usage.stdout).expect("a document");
            let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
            let judged: BTreeSet<_> = rows.iter().map(|row| text(&row["digest"])).collect();
            let charged: Vec<_> = usage[0]["images"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|row| text(&row["image"]))
                .collect();
            let once: BTreeSet<_> = charged.iter().cloned().collect();
            assert_eq!(charged.len(), once.len(), "an image is charged for twice");
            assert!(once.is_superset(&judged), "an image is not charged for");
            let begun: BTreeSet<_> = acknowledged.begun.iter().map(ToString::to_string).collect();
            assert!(begun.is_superset(&once), "something is charged for that was never pushed");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{pending} images never get a verdict");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map_or_else(|_| Vec::new(), |entries| entries.map(|entry| entry.expect("reads").path()).collect())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// splitmix64: enough to choose instants and to fill layers that do not compress.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn noise(mut seed: u64, len: usize) -> String {
    (0..len / 16).map(|_| format!("{:016x}", random(&mut seed))).collect()
}
