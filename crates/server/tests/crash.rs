//! Killed at any instant, the house loses nothing that it acknowledged.
//!
//! `LAZARET_CRASH_ROUNDS` says how often (8 by default, so that it costs seconds); the seed is
//! printed, and `LAZARET_SEED` repeats it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci::Digest;
use testkit::{Client, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// What the server has acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifests: BTreeMap<Digest, Vec<u8>>,
    /// Told of each blob.
    blob_came: Arc<tokio::sync::Notify>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_instant_nothing_acknowledged_is_lost() {
    let rounds: u32 =
        number("LAZARET_CRASH_ROUNDS").map_or(8, |rounds| u32::try_from(rounds).expect("small"));
    let mut seed = testkit::seed();
    println!("LAZARET_CRASH_ROUNDS={rounds}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let mut server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    // Of another package: every image is judged, and healthy.
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    let mut pushed = 0;
    let blob_came = Arc::clone(&acknowledged.lock().expect("whole").blob_came);
    for round in 0..rounds {
        let client = server.client();
        let came = blob_came.notified();
        let pushers: Vec<_> = (0..4)
            .map(|pusher| {
                let (client, acknowledged) = (client.clone(), Arc::clone(&acknowledged));
                tokio::spawn(async move { push_until_cut_off(&client, &acknowledged, round, pusher).await })
            })
            .collect();
        // One round in four may end before anything was pushed; the others end in the middle of pushes,
        // however slow the machine is.
        if round % 4 != 0 {
            tokio::time::timeout(Duration::from_secs(60), came).await.expect("a blob is acknowledged");
        }
        tokio::time::sleep(Duration::from_micros(random(&mut seed) % 600_000)).await;
        let options = server.kill();
        for pusher in pushers {
            pushed += pusher.await.expect("a pusher ends when the server does");
        }
        server = Server::start(options);
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("whole"));
    verify(&server, &acknowledged).await;
    println!("{rounds} kills, {pushed} pushes acknowledged");
    assert!(pushed > 0, "no push was ever acknowledged: nothing was tested");

    // No blob is half a file. Sessions that were cut off may go on for a day: each has one file.
    assert!(server.terminate());
    let folders = files(&folder.path().join("data/registry/blobs/sha256"));
    for blob in folders.iter().flat_map(|folder| files(folder)) {
        let digest = Digest::sha256(&std::fs::read(&blob).expect("reads"));
        assert!(blob.ends_with(digest.hex()), "{} is damaged", blob.display());
    }
    let uploads = files(&folder.path().join("data/registry/uploads"));
    assert!(uploads.len() <= 4 * rounds as usize, "half files stay: {uploads:?}");
}

/// Pushes images until the server is gone; returns how many manifests were acknowledged.
async fn push_until_cut_off(
    client: &Client,
    acknowledged: &Mutex<Acknowledged>,
    round: u32,
    pusher: u32,
) -> u32 {
    let mut done = 0;
    for number in 0.. {
        let name = format!("package-{round}-{pusher}-{number}");
        let (release, status) = (debian("12", "bookworm"), dpkg(&[(&name, "1.0-1")]));
        // A second layer big enough to be cut in the middle.
        let noise = noise(u64::from(round) * 1000 + u64::from(pusher) * 100 + number, 300_000);
        let pushed =
            image().layer(&[(release.0, &release.1), (status.0, &status.1)]).layer(&[("noise", &noise)]);
        for blob in pushed.layers().map(<[u8]>::to_vec).chain([pushed.config()]) {
            let Ok(digest) = client.push_blob("app/web", &blob).await else { return done };
            let mut acknowledged = acknowledged.lock().expect("whole");
            acknowledged.blobs.insert(digest, blob);
            acknowledged.blob_came.notify_waiters();
        }
        let manifest = pushed.manifest();
        if client.push_manifest("app/web", &format!("t{number}"), &manifest).await.is_err() {
            return done;
        }
        acknowledged.lock().expect("whole").manifests.insert(pushed.digest(), manifest);
        done += 1;
    }
    done
}

async fn verify(server: &Server, acknowledged: &Acknowledged) {
    let client = server.client();
    for (digest, bytes) in &acknowledged.blobs {
        let answer = client.get(&format!("/v2/app/web/blobs/{digest}")).await.expect("answers");
        assert_eq!(answer.status(), 200, "the blob {digest} was acknowledged");
        assert!(answer.bytes().await.expect("a body") == bytes, "the blob {digest} is damaged");
    }
    for (digest, bytes) in &acknowledged.manifests {
        let answer = client.get(&format!("/v2/app/web/manifests/{digest}")).await.expect("answers");
        assert_eq!(answer.status(), 200, "the manifest {digest} was acknowledged");
        assert!(answer.bytes().await.expect("a body") == bytes, "the manifest {digest} is damaged");
    }
    // Every visible manifest ends with a verdict, those that were committed unacknowledged too.
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        let listed = server.command(&["image", "list", "--format=json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).expect("a list");
        let pending = rows.iter().filter(|row| row["state"] == "Pending").count();
        assert!(rows.len() >= acknowledged.manifests.len(), "images are missing from the list");
        if pending == 0 {
            let wrong: Vec<_> = rows.iter().filter(|row| row["state"] != "Healthy").collect();
            assert!(wrong.is_empty(), "verdicts that should be healthy: {wrong:?}");
            // Charged for exactly what was judged, each digest once.
            let usage = server.command(&["usage", "--format=json"]);
            let usage: serde_json::Value = serde_json::from_slice(&usage.stdout).expect("a document");
            let judged: std::collections::BTreeSet<_> =
                rows.iter().map(|row| row["digest"].to_string()).collect();
            let metered: Vec<_> = usage[0]["images"].as_array().expect("a list").iter().collect();
            assert_eq!(metered.len(), judged.len(), "each image is charged for once");
            assert!(metered.iter().all(|metered| judged.contains(&metered["image"].to_string())));
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{pending} images never get a verdict");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
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
