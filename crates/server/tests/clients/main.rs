//! Real clients: they log in, push, pull, list and delete, and get back what they gave.

mod actions;

use std::path::Path;
use std::process::{Command, Output};

use actions::Wanted::{self, Absent, Refused, Shows, Works};
use actions::{
    ANONYMOUS, AZURE, AZURE_SCRIPT, Action, BUILDAH, CTR, CURL, DOCKER, ORAS, ORAS_SCRIPT, PODMAN, SKOPEO,
};
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
        let station = Self { server, folder };
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n",
            station.path("images"),
            station.path("run")
        );
        std::fs::write(station.path("storage.conf"), storage).expect("writes");
        station
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
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
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

    /// Takes every client's credentials away.
    fn forget(&self) {
        for file in ["auth.json", "docker/config.json", ".oras/config.json"] {
            let file = self.folder.path().join(file);
            // Podman wants the file that it is told of to be there.
            if file.exists() {
                std::fs::write(file, "{}").expect("writes");
            }
        }
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

/// A containerd of our own.
struct Containerd {
    child: std::process::Child,
    socket: String,
}

impl Containerd {
    fn start(station: &Station) -> Option<Self> {
        if !tool("containerd", "containerd's ctr", "apt-get install containerd, and run the tests as root") {
            return None;
        }
        let (socket, config) = (station.path("containerd.sock"), station.path("containerd.toml"));
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {socket:?}\n",
            station.path("containerd-root"),
            station.path("containerd-state")
        );
        std::fs::write(&config, text).expect("writes");
        let log = std::fs::File::create(station.path("containerd.log")).expect("makes");
        let mut child = Command::new("containerd")
            .args(["--config", &config])
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("containerd starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while std::time::Instant::now() < deadline && child.try_wait().expect("a child").is_none() {
            if station.run("ctr", &["-a", &socket, "version"]).status.success() {
                return Some(Self { child, socket });
            }
        }
        drop(child.kill());
        drop(child.wait());
        let log = std::fs::read_to_string(station.path("containerd.log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        testkit::left_out("containerd's ctr", &format!("containerd does not run here: {last}"));
        None
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

/// Does what the action says, and says what is wrong with what came of it.
fn act(station: &Station, values: &[(&str, &str)], wanted: &Wanted, command: &str) -> Result<(), String> {
    let fill = |text: &str| {
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let words: Vec<String> = command.split_whitespace().map(fill).collect();
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let output = station.run(&words[0], &arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_refusal =
        ["unauthorized", "401", "authorization failed", "authentication required", "no basic auth"]
            .iter()
            .any(|word| said.to_lowercase().contains(word));
    let is_right = match wanted {
        Works => output.status.success(),
        Shows(text) => output.status.success() && said.contains(&fill(text)),
        Refused => !output.status.success() && is_refusal,
        Absent => !output.status.success() && !is_refusal,
    };
    if is_right { Ok(()) } else { Err(format!("{}: {said}", output.status)) }
}

/// Prints a line for each client and action.
#[tokio::test]
async fn every_client_does_what_it_can() {
    let station = Station::start();
    // Older clients know no zstd.
    let big: String = (0..60_000).map(|number| format!("{number:08x}")).collect();
    let seed = image().layer(&[("etc/motd", "hello\n")]).layer(&[("opt/big", &big)]);
    station.client().push("seed/app", "1", &seed).await.expect("pushes");
    let layer = oci::Digest::sha256(seed.layers().last().expect("two"));
    let (layer, hex) = (layer.to_string(), layer.hex().to_owned());
    std::fs::write(station.folder.path().join("artifacts.py"), ORAS_SCRIPT).expect("writes");
    let debian = |program: &str| {
        let how = format!("apt-get install {program}");
        tool(program, &format!("the {program} client in the matrix"), &how)
    };
    let docker = if debian("dockerd") && debian("docker") { Dockerd::start(&station) } else { None };
    let containerd = Containerd::start(&station);
    let oras = testkit::python("oras", "the oras client").map(|path| path.display().to_string());
    let azure =
        testkit::python("azure", "the azure-containerregistry client").map(|path| path.display().to_string());
    std::fs::write(station.folder.path().join("acr.py"), AZURE_SCRIPT).expect("writes");
    for client in ["helm", "cosign"] {
        testkit::left_out(&format!("the {client} client"), "neither Debian nor PyPI has it");
    }
    let (password, folder) = (station.server.password(), station.folder.path().display().to_string());
    let arm = station.client().arm_token().await;
    let values = [
        ("azure", azure.as_deref().unwrap_or_default()),
        ("arm", &arm),
        ("address", station.server.address.as_str()),
        ("password", &password),
        ("folder", &folder),
        ("layer", &layer),
        ("hex", &hex),
        ("docker", docker.as_ref().map_or("", |docker| &docker.socket)),
        ("containerd", containerd.as_ref().map_or("", |containerd| &containerd.socket)),
        ("oras", oras.as_deref().unwrap_or_default()),
    ];
    let (mut wrong, mut here) = (Vec::new(), Vec::new());
    for (client, is_here, actions, pushes) in [
        ("skopeo", debian("skopeo"), SKOPEO, true),
        ("podman", debian("podman"), PODMAN, true),
        ("buildah", debian("buildah"), BUILDAH, true),
        ("docker", docker.is_some(), DOCKER, true),
        ("ctr", containerd.is_some(), CTR, true),
        ("oras", oras.is_some(), ORAS, true),
        ("azure", azure.is_some(), AZURE, true),
        ("curl", debian("curl"), CURL, false),
    ] {
        if !is_here {
            continue;
        }
        here.push(client);
        wrong.extend(act_all(&station, &values, client, actions));
        if pushes {
            let pushed =
                station.client().get(&format!("/v2/{client}/app/manifests/1")).await.expect("answers");
            if pushed.status() != 200 {
                wrong.push(format!("{client} has pushed nothing: {}", pushed.status()));
            }
        }
    }
    let opened = station.server.command(&["registry", "set", "lazaret", "--anonymous-pull", "true"]);
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    // The running server follows within a second. Asked so, it gives no token before it does.
    let token = format!("http://{}/oauth2/token", station.server.address);
    let form = [("grant_type", "password"), ("scope", "repository:seed/app:pull")];
    let began = std::time::Instant::now();
    while reqwest::Client::new().post(&token).form(&form).send().await.expect("answers").status() != 200 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "nobody may pull without a name");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (client, actions) in ANONYMOUS.iter().filter(|(client, _)| here.contains(client)) {
        // Whoever was logged in is no more.
        station.forget();
        wrong.extend(act_all(&station, &values, client, actions));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Does one after the other, prints a line for each, and returns what went wrong.
#[expect(clippy::print_stdout, reason = "the lines are for whoever runs it")]
fn act_all(station: &Station, values: &[(&str, &str)], client: &str, actions: &[Action]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (action, wanted, command) in actions {
        let outcome = act(station, values, wanted, command);
        let shown = match wanted {
            Refused => ", refused",
            Absent => ", absent",
            Works | Shows(_) => "",
        };
        println!("{client:<8} {}  {action}{shown}", if outcome.is_ok() { "pass" } else { "MISS" });
        wrong.extend(outcome.err().map(|why| format!("{client} {action}: {command}: {why}")));
    }
    wrong
}
