//! New advisories judge again exactly the images that they speak of, and broken ones change nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Server, ServerOptions, alpine, apk, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// A tracker document: source package, CVE, fixed version.
fn tracker(records: &[(&str, &str, &str)]) -> String {
    let mut document = json!({});
    // Enough besides for a feed to lose little by losing one.
    for number in 0..40 {
        document["filler"][format!("CVE-2000-{number:04}")] = json!({ "releases": { "bookworm": { "status": "resolved", "fixed_version": "0", "urgency": "low" } } });
    }
    for (package, id, fixed) in records {
        document[*package][*id] = json!({
            "description": format!("a flaw in {package}"),
            "releases": { "bookworm": { "status": "resolved", "fixed_version": fixed, "urgency": "high" } },
        });
    }
    document.to_string()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path
}

struct Watched {
    server: Server,
    folder: tempfile::TempDir,
}

impl Watched {
    fn import(&self, name: &str, text: &str) -> (bool, String) {
        let path = write(self.folder.path(), name, text);
        let output = self.server.command(&["feeds", "import", path.to_str().expect("text")]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn show(&self, reference: &str) -> Value {
        let output = self.server.command(&["image", "show", reference, "--format=json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a document")
    }

    /// Waits until the image is in that state.
    fn wait(&self, reference: &str, state: &str) -> Value {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let shown = self.show(reference);
            if shown["state"] == state {
                return shown;
            }
            assert!(std::time::Instant::now() < deadline, "{reference} is {}, not {state}", shown["state"]);
        }
    }

    fn snapshot(&self) -> String {
        let output = self.server.command(&["feeds", "list", "--format=json"]);
        let listed: Value = serde_json::from_slice(&output.stdout).expect("a document");
        listed["snapshot"].as_str().expect("one is loaded").to_owned()
    }
}

async fn three_images() -> Watched {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    let release = debian("12", "bookworm");
    for (name, packages) in [("zlib", [("zlib", "1.2")]), ("bash", [("bash", "5.2")])] {
        let status = dpkg(&packages);
        let pushed = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
        client.push(name, "1", &pushed).await.expect("pushes");
    }
    let (release, installed) = (alpine("3.22.1"), apk(&[("musl", "1.2.5-r10")]));
    let pushed = image().layer(&[(release.0, &release.1), (installed.0, &installed.1)]);
    client.push("alpine", "1", &pushed).await.expect("pushes");
    Watched { server, folder }
}

#[tokio::test]
async fn only_what_a_new_snapshot_speaks_of_is_judged_again() {
    let house = three_images().await;
    for name in ["zlib:1", "bash:1", "alpine:1"] {
        assert_eq!(house.wait(name, "Unverified")["causes"][0]["code"], "NoAdvisoryData");
    }

    let (is_taken, said) = house.import("debian.json", &tracker(&[("openssl", "CVE-2024-0001", "9")]));
    assert!(is_taken, "{said}");
    let bash = house.wait("bash:1", "Healthy");
    house.wait("zlib:1", "Healthy");
    let first = house.snapshot();
    house.wait("alpine:1", "Unverified");

    let (is_taken, said) = house.import(
        "debian.json",
        &tracker(&[("openssl", "CVE-2024-0001", "9"), ("zlib", "CVE-2024-0002", "1.3")]),
    );
    assert!(is_taken, "{said}");
    let zlib = house.wait("zlib:1", "Unhealthy");
    assert_ne!(house.snapshot(), first);
    assert_eq!(zlib["snapshot"], house.snapshot(), "a verdict names the snapshot it rests on");
    let finding = &zlib["findings"][0];
    assert_eq!(
        json!([finding["id"], finding["source"], finding["fixedVersion"], finding["severity"]]),
        json!(["CVE-2024-0002", "zlib", "1.3", "High"])
    );
    assert!(finding["remediation"].as_str().expect("text").contains("1.3"));
    assert_eq!(house.show("bash:1"), bash, "an image that the change does not concern is left alone");

    let secdb = json!({
        "distroversion": "v3.22", "reponame": "main", "urlprefix": "https://dl-cdn.alpinelinux.org/alpine",
        "apkurl": "{{urlprefix}}/{{distroversion}}/{{reponame}}/{{arch}}/{{pkg.name}}-{{pkg.ver}}.apk",
        "archs": ["x86_64"],
        "packages": [{ "pkg": { "name": "musl", "secfixes": { "1.2.5-r11": ["CVE-2025-26519"] } } }],
    });
    let community = {
        let mut community = secdb.clone();
        community["reponame"] = json!("community");
        community["packages"][0]["pkg"]["name"] = json!("nothing-here");
        community
    };
    assert!(house.import("community.json", &community.to_string()).0);
    let (is_taken, said) = house.import("main.json", &secdb.to_string());
    assert!(is_taken, "{said}");
    assert_eq!(house.wait("alpine:1", "Unhealthy")["findings"][0]["id"], "CVE-2025-26519");
    house.wait("zlib:1", "Unhealthy");
}

#[tokio::test]
async fn a_feed_that_cannot_be_true_is_refused_and_the_old_one_stays() {
    let house = three_images().await;
    let good = tracker(&[("zlib", "CVE-2024-0002", "1.3")]);
    assert!(house.import("debian.json", &good).0);
    house.wait("zlib:1", "Unhealthy");
    let snapshot = house.snapshot();
    let half = &good[..good.len() / 2];
    let shrunk =
        json!({ "zlib": { "CVE-1": { "releases": { "bookworm": { "status": "open" } } } } }).to_string();
    for (name, text) in [
        ("cut.json", half),
        ("empty.json", "{}"),
        ("nothing.json", ""),
        ("shrunk.json", shrunk.as_str()),
        ("other.json", "[1]"),
    ] {
        let (is_taken, said) = house.import(name, text);
        assert!(!is_taken, "{name} was taken in: {said}");
        assert!(said.contains(name), "{said}");
        assert_eq!(house.snapshot(), snapshot, "{name}");
    }
    assert_eq!(house.show("zlib:1")["state"], "Unhealthy");
}
