//! What one push may cost the server: memory while it is scanned, and its life when something outside goes
//! wrong at the worst moment.
//!
//! `cargo test -p server --test burden -- --nocapture` prints the figures that `docs/operating.md` names.

use std::time::{Duration, Instant};

use oci::Digest;
use serde_json::{Value, json};
use testkit::{Image, Server, ServerOptions, debian, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// What the parent may take for the worst image that the limits admit.
const PEAK_MIB_MAX: u64 = 256;

fn status(packages: usize, name: impl Fn(usize) -> (String, String)) -> String {
    let mut text = String::new();
    for number in 0..packages {
        let (package, version) = name(number);
        text += &format!(
            "Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nSource: linux\nVersion: {version}\n\n"
        );
    }
    text
}

/// The manifest of an image with each of these layers as often as that.
fn manifest(made: &Image, layers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(&made.manifest()).expect("a document");
    let listed: Vec<Value> = layers.into_iter().map(|layer| manifest["layers"][layer].clone()).collect();
    manifest["layers"] = json!(listed);
    manifest.to_string().into_bytes()
}

async fn push(server: &Server, tag: &str, made: &Image, manifest: &[u8]) {
    let client = server.client();
    for layer in made.layers() {
        client.push_blob("app", layer).await.expect("pushes");
    }
    client.push_blob("app", &made.config()).await.expect("pushes");
    client.push_manifest("app", tag, manifest).await.expect("pushes");
}

/// The image's row once it is judged.
fn judged(server: &Server, tag: &str) -> Value {
    let began = Instant::now();
    loop {
        let shown = server.command(&["image", "show", &format!("app:{tag}"), "--format=json"]);
        let document: Value = serde_json::from_slice(&shown.stdout).expect("a document");
        let row = if document.is_array() { document[0].clone() } else { document };
        if row["state"] != "Pending" {
            return row;
        }
        assert!(began.elapsed() < Duration::from_secs(240), "no verdict: {row}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A line of the process's `status`, in MiB.
fn memory_mib(server: &Server, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find(|found| found.starts_with(line)).expect("Linux says so");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn one_layer_that_is_listed_hundreds_of_times_is_one_layer() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let release = debian("12", "bookworm");
    let text = status(99_000, |number| (format!("package-{number}"), "1.0-1".to_owned()));
    let made = image().layer(&[(release.0, &release.1)]).layer(&[("var/lib/dpkg/status", &text)]);
    let stored = made.layers().last().map_or(0, <[u8]>::len);
    let layers = std::iter::once(0).chain(std::iter::repeat_n(1, 299));
    push(&server, "many", &made, &manifest(&made, layers)).await;
    let row = judged(&server, "many");
    let peak = memory_mib(&server, "VmHWM");
    println!("a layer of {stored} bytes with 99,000 packages, listed 299 times: peak {peak} MiB");
    assert!(peak <= PEAK_MIB_MAX, "{peak} MiB");
    // No advisories are loaded: that is the only doubt, and nothing was left out.
    let causes = row["causes"].to_string();
    assert!(causes.contains("NoAdvisoryData") && !causes.contains("limit"), "{causes}");
    // One more than there may be is said.
    push(&server, "more", &made, &manifest(&made, std::iter::repeat_n(0, 1_001))).await;
    let row = judged(&server, "more");
    assert_eq!(row["state"], "Unverified");
    assert!(row["causes"].to_string().contains("layers_max"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_image_that_the_limits_admit_fits_into_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    // Each of its packages has two thousand findings.
    let description = "x".repeat(300);
    let flaws = (0..2_000).map(|number| {
        let flaw = json!({ "description": description, "releases": { "bookworm": { "status": "open", "urgency": "high" } } });
        (format!("CVE-2024-{number}"), flaw)
    });
    let tracker = folder.path().join("tracker.json");
    let document = json!({ "linux": flaws.collect::<serde_json::Map<_, _>>() });
    std::fs::write(&tracker, document.to_string()).expect("writes");
    let imported = server.command(&["feeds", "import", tracker.to_str().expect("text")]);
    assert!(imported.status.success(), "{imported:?}");
    // Texts to the limit of bytes, packages to theirs; and each layer puts its own in the place of the last.
    let release = debian("12", "bookworm");
    let mut made = image().layer(&[(release.0, &release.1)]);
    for layer in 0..3 {
        let long = "y".repeat(7);
        let text = status(99_999, |number| {
            (format!("package-{long}-{number}"), format!("1.{layer}.{number}-{long}"))
        });
        made = made.layer(&[("var/lib/dpkg/status", &text)]);
    }
    push(&server, "worst", &made, &manifest(&made, [0, 1, 2, 3, 1, 2, 3])).await;
    let row = judged(&server, "worst");
    let peak = memory_mib(&server, "VmHWM");
    println!("the worst image that the limits admit: peak {peak} MiB, state {}", row["state"]);
    assert_eq!(row["state"], "Unhealthy", "{}", row["causes"]);
    assert!(row["causes"].to_string().contains("as many as one image may have"), "{}", row["causes"]);
    assert!(peak <= PEAK_MIB_MAX, "{peak} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_cut_short_while_it_is_sent_breaks_off_and_the_server_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    // Another test of this program may have been first.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let authority = std::fs::read(server.data().join("ca.pem")).expect("an authority");
    let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
    let client = |only_http1: bool| {
        let builder = reqwest::Client::builder().tls_certs_merge([authority.clone()]);
        let builder = if only_http1 { builder.http1_only() } else { builder };
        builder.build().expect("a client")
    };
    let plain_frames = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let (plain, secure) = (format!("http://{}", server.address), format!("https://{}", server.tls_address));
    for (round, (http, base)) in
        [(client(true), &secure), (client(false), &secure), (client(true), &plain), (plain_frames, &plain)]
            .into_iter()
            .enumerate()
    {
        let content: Vec<u8> = (0..48_u32 << 20).map(|at| (at >> 8) as u8 ^ round as u8).collect();
        let digest = server.client().push_blob("app", &content).await.expect("pushes");
        let url = format!("{base}/v2/app/blobs/{digest}");
        let asked = http.get(url).basic_auth("admin", Some(server.password()));
        let mut answer = asked.send().await.expect("answers").error_for_status().expect("there");
        assert!(answer.chunk().await.expect("reads").is_some());
        let path = server.data().join("registry/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
        std::fs::File::options().write(true).open(path).expect("opens").set_len(1 << 20).expect("cuts");
        let mut received = 0;
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(piece)) => received += piece.len(),
                ended => break ended,
            }
        };
        assert!(ended.is_err(), "round {round}: {received} bytes and no error");
        let alive = server.client().get("/v2/").await.expect("the server lives");
        assert_eq!(alive.status(), 200, "round {round}");
        // What is cut short is not read as if it were whole, either.
        let checked = server.command(&["fsck"]);
        assert!(!checked.status.success(), "{checked:?}");
        assert!(String::from_utf8_lossy(&checked.stdout).contains(digest.hex()), "{checked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_extractor_costs_the_layer_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let (release, text) =
        (debian("12", "bookworm"), status(5_000, |number| (format!("p{number}"), "1".into())));
    let made = image().layer(&[(release.0, &release.1), ("var/lib/dpkg/status", &text)]);
    let (client, layer) = (server.client(), made.layers().next().expect("a layer").to_vec());
    // An upload that has begun is read by a child beside it.
    let begun = client.request(reqwest::Method::POST, "/v2/app/blobs/uploads/").send().await.expect("begins");
    let location = begun.headers()["location"].to_str().expect("text").to_owned();
    let (first, rest) = layer.split_at(layer.len() / 2);
    let sent = client.request(reqwest::Method::PATCH, &location).body(first.to_vec()).send().await;
    let location = sent.expect("takes it").headers()["location"].to_str().expect("text").to_owned();
    let began = Instant::now();
    let child = loop {
        // Whichever thread started it.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
        let found = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
        match found.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).next() {
            Some(child) => break child,
            None => assert!(began.elapsed() < Duration::from_secs(20), "no child"),
        }
    };
    assert!(std::process::Command::new("kill").args(["-9", &child]).status().expect("runs").success());
    let digest = Digest::sha256(&layer);
    let separator = if location.contains('?') { '&' } else { '?' };
    let closing = client.request(reqwest::Method::PUT, &format!("{location}{separator}digest={digest}"));
    closing.body(rest.to_vec()).send().await.expect("closes").error_for_status().expect("is taken");
    push(&server, "1", &made, &made.manifest()).await;
    let row = judged(&server, "1");
    let causes = row["causes"].to_string();
    assert!(causes.contains("NoAdvisoryData") && !causes.contains("Incomplete"), "{causes}");
}
