//! Real clients: they log in, push, pull, list and delete, and get back what they gave.

use std::path::Path;
use std::process::{Command, Output};

use testkit::{Client, Image, Packing, Server, ServerOptions, debian, dpkg, image, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

struct Station {
    server: Server,
    folder: tempfile::TempDir,
}

impl Station {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        Self { server, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a client with storage, credentials and configuration of its own.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("STORAGE_DRIVER", "vfs")
            .env("BUILDAH_ISOLATION", "chroot")
            .output()
            .expect("the client starts")
    }

    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn login(&self, program: &str) {
        let password = self.server.password();
        let arguments = ["login", "--tls-verify=false", "-u", "admin", "-p", &password, &self.server.address];
        self.ok(program, &arguments);
    }

    fn client(&self) -> Client {
        self.server.client()
    }
}

/// Three layers, one of them over a megabyte, so that chunked bodies and resumption are real.
fn three_layers() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib1g", "1:1.2.13.dfsg-1")]));
    let big: String = (0..200_000).map(|number| format!("{number:08x}")).collect();
    image()
        .layer(&[(release.0, &release.1)])
        .packed_layer(&[(status.0, &status.1)], Packing::Zstd)
        .layer(&[("opt/big", &big)])
}

#[tokio::test]
async fn skopeo_logs_in_pushes_pulls_lists_and_deletes() {
    if !tool("skopeo", "the skopeo client", "apt-get install skopeo") {
        return;
    }
    let station = Station::start();
    station.client().push("made/here", "1", &three_layers()).await.expect("pushes");
    let gzip_only = image().layer(&[("a", "b")]).layer(&[("c", "d")]);
    station.client().push("made/gzip", "1", &gzip_only).await.expect("pushes");
    station.login("skopeo");
    let address = &station.server.address;
    let (made, copied) =
        (format!("docker://{address}/made/here:1"), format!("docker://{address}/copied/there:2"));
    let layout = format!("oci:{}:kept", station.path("layout"));
    station.ok("skopeo", &["copy", "--src-tls-verify=false", &made, &layout]);
    station.ok("skopeo", &["copy", "--dest-tls-verify=false", &layout, &copied]);
    let tags = station
        .ok("skopeo", &["list-tags", "--tls-verify=false", &format!("docker://{address}/copied/there")]);
    assert!(tags.contains("\"2\""), "{tags}");
    let inspected = station.ok("skopeo", &["inspect", "--tls-verify=false", &copied]);
    assert!(inspected.contains(&three_layers().digest().to_string()), "{inspected}");
    // In Docker's own format, which has no zstd: another manifest of the same layers.
    let (gzip, docker) =
        (format!("docker://{address}/made/gzip:1"), format!("docker://{address}/copied/docker:1"));
    station.ok(
        "skopeo",
        &["copy", "--format=v2s2", "--src-tls-verify=false", "--dest-tls-verify=false", &gzip, &docker],
    );
    station.ok("skopeo", &["delete", "--tls-verify=false", &copied]);
    assert!(!station.run("skopeo", &["inspect", "--tls-verify=false", &copied]).status.success());
    let stranger = station.run("skopeo", &["inspect", "--tls-verify=false", "--creds=admin:wrong", &made]);
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("unauthorized"), "{stranger:?}");
}

#[tokio::test]
async fn skopeo_copies_an_index_of_two_platforms_over_tls() {
    if !tool("skopeo", "the skopeo client over TLS", "apt-get install skopeo") {
        return;
    }
    let station = Station::start();
    let client = station.client();
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let child = three_layers().salted(architecture);
        client.push("multi/app", architecture, &child).await.expect("pushes");
        children.push(serde_json::json!({
            "mediaType": oci::MediaType::OCI_MANIFEST, "digest": child.digest(), "size": child.manifest().len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
    }
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": oci::MediaType::OCI_INDEX, "manifests": children });
    let put = client
        .request(reqwest::Method::PUT, "/v2/multi/app/manifests/all")
        .header("Content-Type", oci::MediaType::OCI_INDEX)
        .body(index.to_string());
    assert_eq!(put.send().await.expect("answers").status(), 201);

    let certificates = station.path("certificates");
    std::fs::create_dir(&certificates).expect("makes");
    std::fs::copy(station.server.data().join("ca.pem"), Path::new(&certificates).join("ca.crt"))
        .expect("copies");
    let address = &station.server.tls_address;
    let credentials = format!("admin:{}", station.server.password());
    station.ok(
        "skopeo",
        &[
            "copy",
            "--all",
            "--src-cert-dir",
            &certificates,
            "--dest-cert-dir",
            &certificates,
            "--src-creds",
            &credentials,
            "--dest-creds",
            &credentials,
            &format!("docker://{address}/multi/app:all"),
            &format!("docker://{address}/multi/copy:all"),
        ],
    );
    let copied = client.get("/v2/multi/copy/manifests/all").await.expect("answers");
    assert_eq!(copied.text().await.expect("a body"), index.to_string());
    let shown = station.server.command(&["image", "show", "multi/copy:all", "--format=json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("a document");
    assert_eq!(shown.as_array().expect("one a platform").len(), 2);
}

#[tokio::test]
async fn podman_and_buildah_build_push_and_pull() {
    let what = "the podman and buildah clients";
    if !tool("buildah", what, "apt-get install buildah") || !tool("podman", what, "apt-get install podman") {
        return;
    }
    let station = Station::start();
    let address = &station.server.address;
    std::fs::write(station.folder.path().join("hello"), "hello\n").expect("writes");
    station.login("buildah");
    let container = station.ok("buildah", &["from", "scratch"]);
    station.ok("buildah", &["copy", &container, &station.path("hello"), "/hello"]);
    station.ok("buildah", &["commit", "--quiet", "--rm", &container, "localhost/hello"]);
    let target = format!("{address}/built/hello:1");
    station.ok("buildah", &["push", "--quiet", "--tls-verify=false", "localhost/hello", &target]);
    station.login("podman");
    station.ok("podman", &["pull", "--quiet", "--tls-verify=false", &target]);
    let again = format!("{address}/built/again:2");
    station.ok("podman", &["tag", &target, &again]);
    station.ok("podman", &["push", "--quiet", "--tls-verify=false", &again]);
    let tags = station.client().json("/v2/built/again/tags/list").await;
    assert_eq!(tags["tags"], serde_json::json!(["2"]));
}

/// A daemon of our own: no bridge, no firewall rules, everything in a temporary folder.
struct Dockerd {
    child: std::process::Child,
    socket: String,
}

impl Dockerd {
    fn start(station: &Station) -> Option<Self> {
        let socket = format!("unix://{}", station.path("docker.sock"));
        let log = std::fs::File::create(station.path("dockerd.log")).expect("makes");
        let mut child = Command::new("dockerd")
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--bridge=none",
                "--storage-driver=vfs",
                "--host",
                &socket,
            ])
            .args(["--data-root", &station.path("docker-data"), "--exec-root", &station.path("docker-exec")])
            .args(["--pidfile", &station.path("docker.pid")])
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("dockerd starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while std::time::Instant::now() < deadline && child.try_wait().expect("a child").is_none() {
            if station.run("docker", &["--host", &socket, "info"]).status.success() {
                return Some(Self { child, socket });
            }
        }
        drop(child.kill());
        drop(child.wait());
        let log = std::fs::read_to_string(station.path("dockerd.log")).unwrap_or_default();
        testkit::left_out(
            "the docker client",
            &format!("dockerd does not run here: {}", log.lines().last().unwrap_or_default()),
        );
        None
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // By SIGTERM, so that it ends its own children too.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn docker_logs_in_pulls_and_pushes() {
    let what = "the docker client";
    if !tool("dockerd", what, "apt-get install docker.io, and run the tests as root")
        || !tool("docker", what, "apt-get install docker.io")
    {
        return;
    }
    let station = Station::start();
    // Older dockers know no zstd.
    let gzip_only = image().layer(&[("a", "b")]).layer(&[("c", &"d".repeat(3_000_000))]);
    station.client().push("made/here", "1", &gzip_only).await.expect("pushes");
    let Some(daemon) = Dockerd::start(&station) else { return };
    let address = &station.server.address;
    let docker =
        |arguments: &[&str]| station.ok("docker", &[&["--host", &daemon.socket], arguments].concat());
    docker(&["login", "-u", "admin", "-p", &station.server.password(), address]);
    let (made, pushed) = (format!("{address}/made/here:1"), format!("{address}/docker/pushed:2"));
    docker(&["pull", "--quiet", &made]);
    docker(&["tag", &made, &pushed]);
    docker(&["push", "--quiet", &pushed]);
    docker(&["rmi", &made, &pushed]);
    docker(&["pull", "--quiet", &pushed]);
    let tags = station.client().json("/v2/docker/pushed/tags/list").await;
    assert_eq!(tags["tags"], serde_json::json!(["2"]));
}

#[tokio::test]
async fn docker_shows_why_the_gate_refuses_and_pushes_through_it() {
    let what = "the docker client at the gate";
    if !tool("dockerd", what, "apt-get install docker.io, and run the tests as root")
        || !tool("docker", what, "apt-get install docker.io")
    {
        return;
    }
    let station = Station::start();
    let lazaret = |arguments: &[&str]| {
        let output = station.server.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let gzip_only = image().layer(&[("etc/os-release", "ID=debian\nVERSION_ID=12\n")]);
    station.client().push("app", "1", &gzip_only).await.expect("pushes");
    let Some(daemon) = Dockerd::start(&station) else { return };
    let address = &station.server.address;
    let run = |arguments: &[&str]| station.run("docker", &[&["--host", &daemon.socket], arguments].concat());
    let login = |name: &str, role: &str| {
        let made = lazaret(&["principal", "create", name, &format!("--role={role}")]);
        let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
        let secret = secret.split_whitespace().nth(1).expect("a secret");
        assert!(run(&["login", "-u", name, "-p", secret, address]).status.success());
    };
    let app = format!("{address}/app:1");
    login("builder", "AcrPush");
    assert!(run(&["pull", "--quiet", &app]).status.success());
    // Without advisory data nothing can be judged.
    lazaret(&["gate", "set", "judged", "--unverified=deny"]);
    login("puller", "AcrPull");
    let began = std::time::Instant::now();
    let said = loop {
        let pulled = run(&["pull", "--quiet", &app]);
        if !pulled.status.success() {
            break String::from_utf8_lossy(&pulled.stderr).into_owned();
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "the gate does not hold");
    };
    assert!(said.contains("the gate judged blocks it: it is not judged (Unverified)"), "{said}");
    login("pusher", "AcrPush");
    let pushed = run(&["push", "--quiet", &app]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}
