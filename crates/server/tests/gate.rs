//! The gate as people and clients meet it: a real server, a real scan, real clients.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use testkit::{Client, Server, ServerOptions, debian, dpkg, image, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

struct Station {
    server: Server,
    folder: tempfile::TempDir,
}

impl Station {
    /// With `app:bad` (one High finding, and a fix for it) and `app:good`, both judged.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        let tracker = folder.path().join("tracker.json");
        let text = r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
        std::fs::write(&tracker, text).expect("writes");
        let station = Self { server, folder };
        station.lazaret(&["feeds", "import", tracker.to_str().expect("text")]);
        for (tag, version) in [("bad", "1.0-1"), ("good", "2.0-1")] {
            station.server.client().push("app", tag, &made(version)).await.expect("pushes");
            station.lazaret(&["scan", &format!("app:{tag}")]);
        }
        station
    }

    fn lazaret(&self, arguments: &[&str]) -> String {
        let output = self.server.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes a principal and returns its credentials.
    fn principal(&self, name: &str, role: &str) -> (Client, String) {
        let made = self.lazaret(&["principal", "create", name, &format!("--role={role}")]);
        let line = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
        let secret = line.split_whitespace().nth(1).expect("a secret");
        (Client::new(&self.server.address, name, secret), format!("{name}:{secret}"))
    }

    /// Waits until the server has heard of what the command line changed.
    async fn until(&self, client: &Client, tag: &str, status: u16) {
        let began = Instant::now();
        let path = format!("/v2/app/manifests/{tag}");
        while client.get(&path).await.expect("answers").status() != status {
            assert!(began.elapsed() < Duration::from_secs(20), "{tag} is not answered with {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("STORAGE_DRIVER", "vfs")
            .output()
            .expect("the client starts")
    }

    fn layout(&self) -> String {
        format!("oci:{}:kept", self.folder.path().join("layout").display())
    }
}

fn made(version: &str) -> testkit::Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", version)]));
    image().layer(&[(release.0, &release.1)]).layer(&[(status.0, &status.1)])
}

const SENTENCE: &str = "it has 1 finding of severity High or worse, first CVE-2024-1 in zlib 1.0-1";

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_set_beside_the_server_holds_in_it_and_its_exemptions_do() {
    let station = Station::start().await;
    let (puller, _) = station.principal("puller", "AcrPull");
    let warned = puller.get("/v2/app/manifests/bad").await.expect("answers");
    assert_eq!(warned.status(), 200);
    let warning = warned.headers()["warning"].to_str().expect("text").to_owned();
    assert_eq!(warning, r#"299 - "app: it has 1 finding, the worst CVE-2024-1 (High)""#);
    station.lazaret(&["gate", "set", "default", "--severity=high", "--fixable-only"]);
    station.until(&puller, "bad", 403).await;
    station.until(&puller, "good", 200).await;
    let refused = puller.get("/v2/app/manifests/bad").await.expect("answers");
    let body: serde_json::Value = refused.json().await.expect("a document");
    assert_eq!(body["errors"][0]["code"], "DENIED");
    let message = body["errors"][0]["message"].as_str().expect("text").to_owned();
    assert!(message.contains("it has 1 fixable finding of severity High or worse"), "{message}");
    let checked = station.server.command(&["gate", "check", "app:bad"]);
    assert_eq!(checked.status.code(), Some(3), "{checked:?}");

    let everything = station.server.command(&["gate", "exempt", "all", "--reason=none"]);
    assert!(!everything.status.success(), "an exemption from everything is a mistake");
    station.lazaret(&[
        "gate",
        "exempt",
        "zlib",
        "--advisory=CVE-2024-1",
        "--reason=not reachable",
        "--days=30",
    ]);
    station.until(&puller, "bad", 200).await;
    assert!(station.lazaret(&["gate", "check", "app:bad"]).starts_with("passes: it has 1 finding"));
    let shown = station.lazaret(&["gate", "show"]);
    assert!(shown.contains("High, fixable") && shown.contains("not reachable"), "{shown}");
    station.lazaret(&["gate", "unexempt", "zlib"]);
    station.until(&puller, "bad", 403).await;
    station.lazaret(&["gate", "remove", "default"]);
    station.until(&puller, "bad", 200).await;
    assert!(!station.server.command(&["gate", "remove", "default"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_and_podman_show_why_a_pull_is_refused_and_their_pushes_go_through() {
    if !tool("skopeo", "skopeo at the gate", "apt-get install skopeo") {
        return;
    }
    let station = Station::start().await;
    let (puller, pulling) = station.principal("puller", "AcrPull");
    let (_, pushing) = station.principal("builder", "AcrPush");
    station.lazaret(&["gate", "set", "default", "--severity=high"]);
    station.until(&puller, "bad", 403).await;
    let address = &station.server.address;
    let bad = format!("docker://{address}/app:bad");
    let pull = |image: &str| {
        let arguments =
            ["copy", "--src-tls-verify=false", &format!("--src-creds={pulling}"), image, &station.layout()];
        station.run("skopeo", &arguments)
    };
    let refused = pull(&bad);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(SENTENCE), "{said}");
    let good = format!("docker://{address}/app:good");
    assert!(pull(&good).status.success());

    // A push over a blocked tag, and of a new one that is not judged when the client looks at it.
    let kept = station.layout();
    for tag in ["bad", "new"] {
        let target = format!("docker://{address}/app:{tag}");
        let arguments =
            ["copy", "--dest-tls-verify=false", &format!("--dest-creds={pushing}"), &kept, &target];
        let pushed = station.run("skopeo", &arguments);
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    }
    // What is pushed over it passes as soon as it is what the tag names.
    assert!(pull(&bad).status.success());

    if !tool("podman", "podman at the gate", "apt-get install podman") {
        return;
    }
    station.server.client().push("app", "bad", &made("1.0-1")).await.expect("pushes");
    let image = format!("{address}/app:bad");
    let refused =
        station.run("podman", &["pull", "--tls-verify=false", &format!("--creds={pulling}"), &image]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(SENTENCE), "{said}");
}
