//! What machines, operators and networks do to a server: the real one, as its own process. Each test's name
//! is the trouble and its outcome.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use testkit::{Client, Server, ServerOptions, noisy, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

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
