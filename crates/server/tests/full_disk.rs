//! A disk without room: what is refused, what goes on, and what is there afterwards.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use oci::Digest;
use reqwest::{Method, StatusCode};
use testkit::{Client, Disk, Image, Server, ServerOptions, age_links, change_rows, noisy, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Everything that was acknowledged is there, byte for byte.
async fn all_there(client: &Client, images: &BTreeMap<String, Image>) {
    for (tag, image) in images {
        let manifest = client.get(&format!("/v2/full/app/manifests/{tag}")).await.unwrap();
        assert_eq!(manifest.bytes().await.unwrap(), image.manifest(), "{tag}");
        for layer in image.layers() {
            let path = format!("/v2/full/app/blobs/{}", Digest::sha256(layer));
            assert!(client.get(&path).await.unwrap().bytes().await.unwrap() == layer, "{tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_write_refuses_the_push_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("disk"), 96) else { return };
    // To the last byte: what is kept free would hide what happens there.
    let options = ServerOptions::new(LAZARET, &disk.folder.join("data")).with("--min-free-bytes=0");
    let server = Server::start(options);
    let (client, mut pushed) = (server.client(), BTreeMap::new());
    let (mut refused, mut number) = (0, 0);
    // What a push writes, the rows included, is some hundred kilobytes: the disk is full a little later
    // each time, until it is not.
    for left in (0..60).map(|step| step * 20 * 1024) {
        number += 1;
        let (tag, image) = (format!("t{number}"), noisy(number, 2, 100_000));
        disk.fill_up_to(left);
        match client.push("full/app", &tag, &image).await {
            Ok(_) => drop(pushed.insert(tag.clone(), image.clone())),
            Err(error) => {
                let status = error.status().unwrap_or_else(|| panic!("no answer, {left} left: {error:?}"));
                let is_clear = [StatusCode::INSUFFICIENT_STORAGE, StatusCode::SERVICE_UNAVAILABLE];
                assert!(is_clear.contains(&status), "{status} with {left} bytes left");
                refused += 1;
            }
        }
        disk.make_room();
        client.push("full/app", &tag, &image).await.unwrap_or_else(|error| panic!("{left}: {error}"));
        pushed.insert(tag, image);
    }
    assert!(refused > 5 && refused < 60, "{refused} of 60 pushes met a full disk");
    all_there(&client, &pushed).await;
    let server = Server::start(server.kill());
    all_there(&server.client(), &pushed).await;
    let checked = server.command(&["fsck"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    // The scans met the full disk, too.
    let began = Instant::now();
    loop {
        let listed = server.command(&["image", "list", "--format=json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(rows.len(), pushed.len());
        if rows.iter().all(|row| row["state"] != "Pending") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "scans are never done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_little_left_takes_no_push_and_serves_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("disk"), 96) else { return };
    let options = ServerOptions::new(LAZARET, &disk.folder.join("data")).with("--min-free-bytes=20MB");
    let server = Server::start(options);
    let (client, first) = (server.client(), noisy(1, 1, 100_000));
    client.push("full/app", "1", &first).await.unwrap();
    disk.fill_up_to(19_000_000);
    let refused = client.push("full/app", "2", &noisy(2, 1, 100_000)).await.unwrap_err();
    assert_eq!(refused.status(), Some(StatusCode::INSUFFICIENT_STORAGE), "{refused:?}");
    // Nor a manifest of blobs that are there.
    let again = client.push("full/app", "2", &first).await.unwrap_err();
    assert_eq!(again.status(), Some(StatusCode::INSUFFICIENT_STORAGE), "{again:?}");
    all_there(&client, &BTreeMap::from([("1".to_owned(), first.clone())])).await;
    let deleted = client.request(Method::DELETE, "/v2/full/app/manifests/1").send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    disk.make_room();
    client.push("full/app", "2", &first).await.unwrap();
}

/// Somebody who pulls all the time: every answer must be right, whatever the disk is like.
struct Puller {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    pulling: tokio::task::JoinHandle<u32>,
}

impl Puller {
    fn start(client: Client, image: Image) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let pulling = tokio::spawn({
            let stop = std::sync::Arc::clone(&stop);
            async move {
                let images = BTreeMap::from([("kept".to_owned(), image)]);
                let mut pulls = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    all_there(&client, &images).await;
                    pulls += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                pulls
            }
        });
        Self { stop, pulling }
    }

    async fn end(self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let pulls = self.pulling.await.expect("every pull was right");
        assert!(pulls > 0, "nothing was pulled: nothing was tested");
    }
}

/// A body of so many bytes whose length the client does not say.
fn endless(megabytes: usize) -> reqwest::Body {
    let piece = bytes::Bytes::from(vec![0x5a; 1 << 20]);
    let pieces =
        futures_util::stream::iter((0..megabytes).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    reqwest::Body::wrap_stream(pieces)
}

async fn opened(client: &Client) -> String {
    let opened = client.request(Method::POST, "/v2/full/app/blobs/uploads/").send().await.unwrap();
    assert_eq!(opened.status(), 202);
    opened.headers()["location"].to_str().unwrap().to_owned()
}

async fn deleted(client: &Client, tag: &str) -> StatusCode {
    client.request(Method::DELETE, &format!("/v2/full/app/manifests/{tag}")).send().await.unwrap().status()
}

async fn readiness(client: &Client, query: &str) -> (StatusCode, serde_json::Value) {
    // It keeps what it saw for a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = client.get(&format!("/readyz{query}")).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A scan that was under way when the machine stopped.
fn interrupt_a_scan(data: &Path, image: &Image) {
    let job = format!(
        "INSERT INTO job (kind, key, state, due_ms, lease_ms, attempts)
         VALUES ('scan', '{}', 'running', 1, 99999999999999, 1)",
        image.digest()
    );
    change_rows(data, &job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_trap() {
    if !tool("python3", "a full disk with a scan in the queue", "apt-get install python3") {
        return;
    }
    for keep_free in ["0", "4MB", ""] {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Disk::mount(&folder.path().join("disk"), 96) else { return };
        let data = disk.folder.join("data");
        let mut options = ServerOptions::new(LAZARET, &data);
        if !keep_free.is_empty() {
            options = options.with(&format!("--min-free-bytes={keep_free}"));
        }
        let server = Server::start(options);
        let client = server.client();
        let images: Vec<Image> = (0..8).map(|number| noisy(number, 1, 100_000)).collect();
        for (number, image) in images.iter().enumerate() {
            let tag = if number == 0 { "kept".to_owned() } else { format!("t{number}") };
            client.push("full/app", &tag, image).await.unwrap();
        }
        let puller = Puller::start(client.clone(), images[0].clone());
        let uploads = data.join("registry/uploads");

        // Filled by a PATCH whose length nobody knows, by one that says it, and by a blob in one request: all is
        // given back at once, so that everything else goes on.
        let free = disk.free();
        let answers = [
            client.request(Method::PATCH, &opened(&client).await).body(endless(200)).send().await,
            client.request(Method::PATCH, &opened(&client).await).body(vec![1; 100 << 20]).send().await,
            client
                .request(
                    Method::POST,
                    &format!("/v2/full/app/blobs/uploads/?digest={}", Digest::sha256(b"x")),
                )
                .body(endless(200))
                .send()
                .await,
        ];
        for answer in answers {
            assert_eq!(answer.unwrap().status(), 507, "{keep_free}");
            assert_eq!(files_in(&uploads), 0, "{keep_free}: the partial upload stays");
        }
        assert!(disk.free() + (2 << 20) > free, "{keep_free}: {free} bytes were free, {} are", disk.free());
        let listed = server.command(&["upload", "list", "--format=json"]);
        assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]", "{keep_free}");
        client.push("full/app", "after", &noisy(90, 1, 100_000)).await.unwrap();
        let session = opened(&client).await;
        let sent = client.request(Method::PATCH, &session).body(vec![7; 100_000]).send().await.unwrap();
        assert_eq!(sent.status(), 202);

        // Filled by something else, to the last byte.
        disk.fill_up_to(0);
        let refused = client.push("full/app", "no", &noisy(91, 1, 100_000)).await.unwrap_err();
        assert_eq!(refused.status(), Some(StatusCode::INSUFFICIENT_STORAGE), "{keep_free}");
        assert_eq!(deleted(&client, "t1").await, 202, "{keep_free}");
        let (status, body) = readiness(&client, "").await;
        assert_eq!((status.as_u16(), &body["status"]), (200, &serde_json::json!("degraded")), "{body}");
        assert_eq!(body["checks"]["writable"]["ok"], false, "{body}");
        assert_eq!(readiness(&client, "?require=writable").await.0, 503);
        let ended = client.request(Method::DELETE, &session).send().await.unwrap();
        assert_eq!(ended.status(), 204, "{keep_free}");
        for command in [&["purge"][..], &["upload", "cancel", "--all"], &["fsck"], &["audit"]] {
            let done = server.command(command);
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        puller.end().await;

        // Stopped in the middle, with a scan in the queue; it starts where nothing is free.
        let options = server.kill();
        disk.make_room();
        interrupt_a_scan(&data, &images[3]);
        disk.fill_up_to(0);
        let repaired =
            Command::new(LAZARET).args(["fsck", "--repair", "--data"]).arg(&data).output().unwrap();
        assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
        disk.fill_up_to(0);
        let server = Server::start(options);
        let client = server.client();
        let puller = Puller::start(client.clone(), images[0].clone());
        for tag in ["t2", "t4"] {
            assert_eq!(deleted(&client, tag).await, 202, "{keep_free}");
        }
        let blob = Digest::sha256(images[5].layers().next().unwrap());
        assert_eq!(deleted(&client, &images[5].digest().to_string()).await, 202, "{keep_free}");
        let gone =
            client.request(Method::DELETE, &format!("/v2/full/app/blobs/{blob}")).send().await.unwrap();
        assert_eq!(gone.status(), 202, "{keep_free}");
        // A good end, and another start, where nothing is free either.
        puller.end().await;
        let options = server.options().clone();
        assert!(server.terminate());
        disk.make_room();
        age_links(&data);
        disk.fill_up_to(0);
        let server = Server::start(options);
        let client = server.client();
        assert_eq!(deleted(&client, "t6").await, 202, "{keep_free}");
        // A day later, the bytes of what was deleted are given back by a collection that has no room.
        let purged = server.command(&["purge"]);
        let said = String::from_utf8_lossy(&purged.stdout).into_owned();
        assert!(purged.status.success() && said.contains(" removed that no manifest needs"), "{said}");
        assert!(disk.free() > 100_000, "{keep_free}: {} bytes are free", disk.free());
        all_there(&client, &BTreeMap::from([("kept".to_owned(), images[0].clone())])).await;

        disk.make_room();
        client.push("full/app", "now", &noisy(92, 1, 100_000)).await.unwrap();
        let (status, body) = readiness(&client, "?require=writable").await;
        assert_eq!(status, 200, "{body}");
        let began = Instant::now();
        loop {
            let listed = server.command(&["image", "list", "--format=json"]);
            let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
            if rows.iter().all(|row| row["state"] != "Pending") {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{keep_free}: scans are never done");
        }
        let checked = server.command(&["fsck"]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
