//! Hostile layers, pushed for real: right or reported, never a crash, and the push is unaffected.

use std::io::Write as _;

use serde_json::Value;
use testkit::{Image, Packing, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A Debian image with one package, to which something hostile is added.
fn base() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.2")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("writes to memory");
    encoder.finish().expect("finishes")
}

/// Zeroes that inflate to `gigabytes`, as many gzip members.
fn bomb(gigabytes: usize) -> Vec<u8> {
    gzip(&vec![0; 1 << 26]).repeat(gigabytes * 16)
}

/// One archive entry: name, type flag, claimed size, link target.
fn entry(name: &str, kind: u8, size: u64, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    if !link.is_empty() {
        header.set_link_name(link).expect("a short link");
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// What must come of a layer.
enum Wanted {
    /// The image is judged by what it holds.
    Judged,
    /// The image is not called healthy, for this cause.
    Doubted(&'static str),
}

fn hostile_layers() -> Vec<(&'static str, Vec<u8>, &'static str, Wanted)> {
    use Wanted::{Doubted, Judged};
    let end = [0; 1024];
    let tar = |entries: &[Vec<u8>]| [entries.concat(), end.to_vec()].concat();
    let many: Vec<u8> = (0..100_000).flat_map(|number| entry(&format!("d/{number}"), b'0', 0, "")).collect();
    let whole = gzip(&tar(&[entry("a", b'0', 0, "")]));
    vec![
        ("traversal", gzip(&tar(&[entry("../../etc/passwd", b'0', 0, "")])), GZIP, Judged),
        ("device", gzip(&tar(&[entry("dev/null", b'3', 0, ""), entry("p", b'6', 0, "")])), GZIP, Judged),
        ("many", gzip(&[many, end.to_vec()].concat()), GZIP, Judged),
        ("wrong-type", whole.clone(), TAR, Judged),
        (
            "loop",
            gzip(&tar(&[entry("var/lib/dpkg", b'2', 0, "../lib/dpkg")])),
            GZIP,
            Doubted("IncompleteInventory"),
        ),
        ("truncated", whole[..whole.len() / 2].to_vec(), GZIP, Doubted("IncompleteInventory")),
        (
            "claims-more",
            gzip(&entry("var/lib/dpkg/status", b'0', 1 << 40, "")),
            GZIP,
            Doubted("IncompleteInventory"),
        ),
        ("garbage", gzip(&[0xa5; 4096]), GZIP, Doubted("IncompleteInventory")),
        ("not-gzip", b"this is no archive".to_vec(), GZIP, Doubted("IncompleteInventory")),
        ("bomb", bomb(4), GZIP, Doubted("IncompleteInventory")),
    ]
}

fn wait(server: &Server, reference: &str) -> Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(300);
    loop {
        let output = server.command(&["image", "show", reference, "--format=json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).expect("a document");
        if shown["state"] != "Pending" {
            return shown;
        }
        assert!(std::time::Instant::now() < deadline, "{reference} has no verdict");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_layers_are_right_or_reported_and_the_push_is_unaffected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let feed = folder.path().join("debian.json");
    let text = r#"{"openssl":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    std::fs::write(&feed, text).expect("writes");
    assert!(server.command(&["feeds", "import", feed.to_str().expect("text")]).status.success());
    let client = server.client();
    for (name, layer, media_type, _) in hostile_layers() {
        let hostile = base().raw_layer(layer, media_type);
        client
            .push(&format!("hostile/{name}"), "1", &hostile)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    client.push("hostile/none", "1", &base()).await.expect("pushes");
    assert_eq!(wait(&server, "hostile/none:1")["state"], "Healthy");
    for (name, _, _, wanted) in hostile_layers() {
        let shown = wait(&server, &format!("hostile/{name}:1"));
        match wanted {
            Wanted::Judged => assert_eq!(shown["state"], "Healthy", "{name}: {}", shown["causes"]),
            Wanted::Doubted(code) => {
                assert_eq!(shown["state"], "Unverified", "{name}");
                assert_eq!(shown["causes"][0]["code"], code, "{name}: {}", shown["causes"]);
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_inventory_and_the_layer_can_come_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let pushed = base().packed_layer(&[("x", "y")], Packing::Gzip);
    let layer = pushed.layers().last().expect("two layers").to_vec();
    let opened = client.request(reqwest::Method::POST, "/v2/a/blobs/uploads/").send().await.expect("answers");
    let location = opened.headers()["location"].to_str().expect("text").to_owned();
    let sent =
        client.request(reqwest::Method::PATCH, &location).body(layer.clone()).send().await.expect("answers");
    let location = sent.headers()["location"].to_str().expect("text").to_owned();
    let wrong = oci::Digest::sha256(b"something else");
    let separator = if location.contains('?') { '&' } else { '?' };
    let closed =
        client.request(reqwest::Method::PUT, &format!("{location}{separator}digest={wrong}")).send().await;
    assert_eq!(closed.expect("answers").status(), 400);
    client.push("a", "1", &pushed).await.expect("pushes");
    let shown = wait(&server, "a:1");
    assert_eq!(shown["packages"].as_array().expect("a list").len(), 1, "{shown}");
}
