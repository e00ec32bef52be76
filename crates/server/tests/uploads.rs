//! Uploads that are not finished: what they hold, and what a stop makes of them.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use oci::Digest;
use reqwest::Method;
use testkit::{Client, Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

async fn opened(client: &Client) -> String {
    let opened = client.request(Method::POST, "/v2/full/app/blobs/uploads/").send().await.unwrap();
    assert_eq!(opened.status(), 202);
    opened.headers()["location"].to_str().unwrap().to_owned()
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_goes_on_with_hold_no_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let held = || files_in(Path::new(&format!("/proc/{}/fd", server.pid())));
    let before = held();
    for _ in 0..200 {
        let session = opened(&client).await;
        let sent = client.request(Method::PATCH, &session).body("begun").send().await.unwrap();
        assert_eq!(sent.status(), 202);
    }
    // Connections come and go; two hundred files would be seen.
    assert!(held() < before + 100, "{} files are open, {before} were", held());
    let listed = server.command(&["upload", "list", "--format=json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 200);
    assert!(listed.iter().all(|upload| upload["receivedBytes"] == 5 && upload["repository"] == "full/app"));
    let id = listed[0]["id"].as_str().unwrap();
    let ended = server.command(&["upload", "cancel", id]);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 upload is ended, 5 bytes given back"));
    assert!(!server.command(&["upload", "cancel", id]).status.success(), "it is gone");
    let ended = server.command(&["upload", "cancel", "--idle-minutes=60"]);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("0 uploads are ended"));
    let ended = server.command(&["upload", "cancel", "--all"]);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("199 uploads are ended"));
    assert_eq!(files_in(&folder.path().join("registry/uploads")), 0);
    let began = Instant::now();
    // The server forgets them within a second or so.
    let session = format!("/v2/full/app/blobs/uploads/{}", listed[7]["id"].as_str().unwrap());
    while client.request(Method::PATCH, &session).body("more").send().await.unwrap().status() != 404 {
        assert!(began.elapsed() < Duration::from_secs(20), "what was ended goes on");
    }
}

/// A body that is sent as somebody says.
fn body_by_hand() -> (tokio::sync::mpsc::UnboundedSender<&'static [u8]>, reqwest::Body) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece: &'static [u8] = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    (sender, reqwest::Body::wrap_stream(pieces))
}

/// Where a session stands: the bytes that it has.
async fn stands(client: &Client, location: &str) -> u64 {
    let status = client.get(location).await.unwrap();
    assert_eq!(status.status(), 204);
    let range = status.headers()["range"].to_str().unwrap().to_owned();
    range.split_once('-').unwrap().1.parse::<u64>().unwrap() + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_the_bytes_of_an_upload_under_way_even_if_it_is_killed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let session = opened(&client).await;
    let (pieces, body) = body_by_hand();
    let sending = tokio::spawn(client.request(Method::PATCH, &session).body(body).send());
    pieces.send(b"arrived").unwrap();
    let uploads = folder.path().join("registry/uploads");
    let began = Instant::now();
    let files = || std::fs::read_dir(&uploads).unwrap();
    while !files().any(|file| file.unwrap().metadata().unwrap().len() == 7) {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing arrives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = Command::new("kill").arg("-TERM").arg(server.pid().to_string()).status();
    assert!(told.unwrap().success());
    loop {
        let listed = server.command(&["upload", "list", "--format=json"]);
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
        if listed[0]["receivedBytes"] == 7 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it is not written down: {listed:?}");
    }
    let options = server.kill();
    drop(pieces);
    sending.abort();
    let server = Server::start(options);
    assert_eq!(stands(&server.client(), &session).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_breaks_off_an_upload_that_never_ends_and_keeps_what_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let session = opened(&client).await;
    let (pieces, body) = body_by_hand();
    let sending = tokio::spawn(client.request(Method::PATCH, &session).body(body).send());
    pieces.send(b"arrived").unwrap();
    let began = Instant::now();
    let uploads = folder.path().join("registry/uploads");
    while files_in(&uploads) == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing arrives");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let options = server.options().clone();
    let stopping = std::thread::spawn(move || server.terminate());
    // More comes after the word to stop, and is kept, too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    pieces.send(b", and more").unwrap();
    assert_eq!(sending.await.unwrap().unwrap().status(), 503);
    assert!(stopping.join().unwrap(), "it ends well");
    let server = Server::start(options);
    assert_eq!(stands(&server.client(), &session).await, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_uploads_under_way_end_and_the_others_go_on_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let opened = client.request(Method::POST, "/v2/app/blobs/uploads/").send().await.unwrap();
        let location = opened.headers()["location"].to_str().unwrap().to_owned();
        let sent = client.request(Method::PATCH, &location).body("acknowledged ").send().await.unwrap();
        assert_eq!(sent.status(), 202);
        let (pieces, body) = body_by_hand();
        let sending = tokio::spawn(client.request(Method::PATCH, &location).body(body).send());
        pieces.send(b"under ").unwrap();
        uploads.push((location, pieces, sending));
    }
    // Both are in the server's hands: their files have grown.
    let began = Instant::now();
    let files = || std::fs::read_dir(folder.path().join("registry/uploads")).unwrap();
    while !files().all(|file| file.unwrap().metadata().unwrap().len() == 19) {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing arrives");
        tokio::task::yield_now().await;
    }
    let address = server.address.clone();
    let stopping = std::thread::spawn(move || server.terminate());
    while std::net::TcpStream::connect(&address).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it still listens");
        tokio::task::yield_now().await;
    }
    // One goes on to its end, the other goes away.
    let (cut, _, sending) = uploads.pop().unwrap();
    sending.abort();
    let (ended, pieces, sending) = uploads.pop().unwrap();
    pieces.send(b"way").unwrap();
    drop(pieces);
    assert_eq!(sending.await.unwrap().unwrap().status(), 202);
    assert!(stopping.join().unwrap(), "it ends well");

    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    assert_eq!(stands(&client, &ended).await, 22);
    let at = stands(&client, &cut).await;
    assert!((13..=19).contains(&at), "what was acknowledged is there: {at}");
    let whole = b"acknowledged under way";
    for (location, at) in [(ended, 22), (cut, at)] {
        let rest = &whole[usize::try_from(at).unwrap()..];
        let close = format!("{location}?digest={}", Digest::sha256(whole));
        let closed = client.request(Method::PUT, &close).body(rest).send().await.unwrap();
        assert_eq!(closed.status(), 201);
    }
}
