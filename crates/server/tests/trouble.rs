//! What machines, operators and networks do to a server: the real one, as its own process. Each test's name
//! is the trouble and its outcome.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci::Digest;
use reqwest::{Method, StatusCode};
use testkit::{Client, Image, Server, ServerOptions, image, left_out, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// A small disk of its own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "lazaret-test"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            other => {
                let why = other.map_or_else(
                    |error| error.to_string(),
                    |output| String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                );
                left_out(
                    "a full disk",
                    &format!("no file system can be mounted here (run the tests as root): {why}"),
                );
                None
            }
        }
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Leaves so many bytes.
    fn fill_up_to(&self, left: u64) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        let page = [0; 4096];
        while self.free() > left && filler.write_all(&page).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// Layers that do not compress away, another for each number.
fn noisy(number: u64, layers: u64, len: usize) -> Image {
    (0..layers).fold(image(), |image, layer| {
        let noise: String = (0..len as u64 / 64)
            .map(|at| Digest::sha256(format!("{number} {layer} {at}").as_bytes()).hex().to_owned())
            .collect();
        image.layer(&[("noise", &noise)])
    })
}

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
    let server = Server::start(ServerOptions::new(LAZARET, &disk.0.join("data")));
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
    let options = ServerOptions::new(LAZARET, &disk.0.join("data")).with("--min-free-bytes=20000000");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_program_holds_is_waited_for_and_then_said() {
    if !tool("python3", "a locked database", "apt-get install python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    client.push("app", "1", &noisy(1, 1, 1000)).await.unwrap();
    let script = "import sqlite3, sys\n\
                  rows = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  rows.execute('BEGIN IMMEDIATE')\n\
                  print('held', flush=True)\n\
                  sys.stdin.read()\n\
                  rows.execute('ROLLBACK')\n";
    let database = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .unwrap();
    let mut holder = Command::new("python3")
        .args(["-c", script])
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();

    // Pulls do not mind; pushes wait, all of them together, and are told when to come again.
    let open = || client.request(Method::POST, "/v2/app/blobs/uploads/").send();
    let pushes = futures_util::future::join_all((0..20).map(|_| open()));
    let pull = async {
        let answer = client.get("/v2/app/manifests/1").await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    let (answers, ()) = tokio::join!(pushes, pull);
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "5");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], "UNAVAILABLE");
    }
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    client.push("app", "2", &noisy(2, 1, 1000)).await.unwrap();
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

/// A certificate for this machine, and its key, in files of these names.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, reqwest::Certificate) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key, reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap())
}

/// Whether a client that trusts this certificate alone gets an answer over a new connection.
async fn is_shown(server: &Server, trusted: &reqwest::Certificate) -> bool {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted.clone()]).build().unwrap();
    client.get(format!("https://{}/v2/", server.tls_address)).send().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_is_shown_without_a_restart_and_a_wrong_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    // Installs the provider that reqwest uses.
    drop(Client::new("127.0.0.1:1", "", ""));
    let (chain, key, first) = certificate(folder.path());
    let options = ServerOptions::new(LAZARET, &folder.path().join("data"))
        .with(&format!("--tls-cert={}", chain.display()))
        .with(&format!("--tls-key={}", key.display()));
    let server = Server::start(options);
    assert!(is_shown(&server, &first).await);
    let hang_up = || {
        let told = Command::new("kill").arg("-HUP").arg(server.pid().to_string()).status();
        assert!(told.unwrap().success());
    };
    let (_, _, second) = certificate(folder.path());
    assert!(is_shown(&server, &first).await, "not before it is read");
    hang_up();
    let began = Instant::now();
    while !is_shown(&server, &second).await {
        assert!(began.elapsed() < Duration::from_secs(20), "the new one is never shown");
    }
    assert!(!is_shown(&server, &first).await, "the old one is gone");
    // A key that does not belong to it, and then none at all.
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for wrong in [other.as_str(), "no key"] {
        std::fs::write(&key, wrong).unwrap();
        hang_up();
        assert!(is_shown(&server, &second).await, "the old one stays");
    }
    let (_, _, third) = certificate(folder.path());
    hang_up();
    while !is_shown(&server, &third).await {
        assert!(began.elapsed() < Duration::from_secs(40), "a wrong one has ended the renewal");
    }
    std::fs::write(&key, "no key").unwrap();
    let refused = Command::new(LAZARET)
        .args(["serve", "--listen=127.0.0.1:0", "--listen-tls=127.0.0.1:0", "--data"])
        .arg(folder.path().join("other"))
        .arg(format!("--tls-cert={}", chain.display()))
        .arg(format!("--tls-key={}", key.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("key.pem"), "{said}");
}

/// A line of the process's memory, in bytes.
fn memory(server: &Server, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_take_nothing_hold_no_memory_and_nobody_up() {
    const READERS: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let layer: Vec<u8> = (0..32 << 18_u32).flat_map(u32::to_le_bytes).collect();
    let digest = client.push_blob("app", &layer).await.unwrap();
    let token = client.registry_token("app").await;
    let before = memory(&server, "RssAnon");
    let request = format!(
        "GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        server.address
    );
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = std::net::TcpStream::connect(&server.address).unwrap();
        reader.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 15];
        reader.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
        readers.push(reader);
    }
    let whole = client.get(&format!("/v2/app/blobs/{digest}")).await.unwrap();
    assert!(whole.bytes().await.unwrap() == layer, "others are served");
    let each = memory(&server, "RssAnon").saturating_sub(before) / READERS;
    assert!(each < 128 << 10, "{each} bytes of memory for each of {READERS} readers");
}

/// `LAZARET_PUSH_MIB` says how large each is (8 by default, so that it costs seconds): the bar of the design
/// is for 1024, and holds for any size.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_pushes_at_once_end_whole_in_bounded_memory() {
    const PIECE: usize = 1 << 20;
    let mebibytes: u64 = std::env::var("LAZARET_PUSH_MIB").map_or(8, |text| text.parse().unwrap());
    let base = std::env::var_os("LAZARET_PUSH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base).unwrap();
    let program = std::env::var("LAZARET_PUSH_PROGRAM").unwrap_or_else(|_| LAZARET.to_owned());
    let server = Server::start(ServerOptions::new(&program, folder.path()));
    let pushes = (0..64_u8).map(|number| {
        let client = server.client();
        tokio::spawn(async move {
            // Another content for each, hashed before it is sent and never held whole.
            let piece = move |at: u64| {
                let mut piece = vec![number; PIECE];
                piece[..8].copy_from_slice(&at.to_le_bytes());
                piece
            };
            let mut hasher = oci::Hasher::new(oci::Algorithm::Sha256);
            (0..mebibytes).for_each(|at| hasher.update(&piece(at)));
            let digest = hasher.finish();
            let opened = client.request(Method::POST, "/v2/app/blobs/uploads/").send().await.unwrap();
            let location = opened.headers()["location"].to_str().unwrap().to_owned();
            let pieces = (0..mebibytes).map(move |at| Ok::<_, std::io::Error>(piece(at)));
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
            let sent = client.request(Method::PATCH, &location).body(body);
            let sent = sent.timeout(Duration::from_secs(3600)).send().await.unwrap();
            assert_eq!(sent.status(), 202);
            let close = client.request(Method::PUT, &format!("{location}?digest={digest}"));
            assert_eq!(close.timeout(Duration::from_secs(600)).send().await.unwrap().status(), 201);
            let head = client.request(Method::HEAD, &format!("/v2/app/blobs/{digest}")).send().await.unwrap();
            assert_eq!(head.headers()["content-length"], (mebibytes << 20).to_string().as_str());
        })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.unwrap();
    }
    let peak = memory(&server, "VmHWM");
    println!("64 pushes of {mebibytes} MiB at once: {} MiB of memory at most", peak >> 20);
    assert!(peak <= 256 << 20, "{} MiB", peak >> 20);
}
