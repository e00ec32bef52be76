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

/// What must come of a command.
enum Wanted {
    Works,
    /// It works, and shows this.
    Shows(&'static str),
    /// It fails, and says that it is not allowed to.
    Refused,
    /// It fails: what it asks for is not there.
    Absent,
}
use Wanted::{Absent, Refused, Shows, Works};

/// What a client does, by one command of its own. `{address}`, `{password}`, `{folder}` and the like stand for
/// what the run has of them.
type Action = (&'static str, Wanted, &'static str);

const SKOPEO: &[Action] = &[
    ("private", Refused, "skopeo inspect --tls-verify=false --no-creds docker://{address}/seed/app:1"),
    ("login", Works, "skopeo login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "skopeo copy --src-tls-verify=false docker://{address}/seed/app:1 oci:{folder}/layout:1"),
    (
        "push",
        Works,
        "skopeo copy --dest-tls-verify=false oci:{folder}/layout:1 docker://{address}/skopeo/app:1",
    ),
    ("list", Shows("\"1\""), "skopeo list-tags --tls-verify=false docker://{address}/skopeo/app"),
    (
        "copy",
        Works,
        "skopeo copy --src-tls-verify=false --dest-tls-verify=false docker://{address}/skopeo/app:1 docker://{address}/skopeo/copy:2",
    ),
    ("delete", Works, "skopeo delete --tls-verify=false docker://{address}/skopeo/copy:2"),
    ("pull", Absent, "skopeo inspect --tls-verify=false docker://{address}/skopeo/copy:2"),
    ("logout", Works, "skopeo logout {address}"),
    ("private", Refused, "skopeo inspect --tls-verify=false docker://{address}/skopeo/app:1"),
];

const PODMAN: &[Action] = &[
    ("private", Refused, "podman pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("login", Works, "podman login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "podman pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("tag", Works, "podman tag {address}/seed/app:1 {address}/podman/app:1"),
    ("push", Works, "podman push --quiet --tls-verify=false {address}/podman/app:1"),
    ("list", Shows("podman/app"), "podman search --tls-verify=false --list-tags {address}/podman/app"),
    ("remove", Works, "podman rmi {address}/podman/app:1 {address}/seed/app:1"),
    ("pull", Works, "podman pull --quiet --tls-verify=false {address}/podman/app:1"),
    ("pull", Absent, "podman pull --quiet --tls-verify=false {address}/podman/app:absent"),
    ("logout", Works, "podman logout {address}"),
    ("private", Refused, "podman pull --quiet --tls-verify=false {address}/podman/app:1"),
];

const BUILDAH: &[Action] = &[
    ("private", Refused, "buildah pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("login", Works, "buildah login --tls-verify=false -u admin -p {password} {address}"),
    ("pull", Works, "buildah pull --quiet --tls-verify=false {address}/seed/app:1"),
    ("push", Works, "buildah push --quiet --tls-verify=false {address}/seed/app:1 {address}/buildah/app:1"),
    ("index", Works, "buildah manifest create {address}/both {address}/seed/app:1"),
    (
        "push",
        Works,
        "buildah manifest push --all --tls-verify=false {address}/both docker://{address}/buildah/app:both",
    ),
    ("pull", Absent, "buildah pull --quiet --tls-verify=false {address}/buildah/app:absent"),
];

const DOCKER: &[Action] = &[
    ("private", Refused, "docker --host {docker} pull --quiet {address}/seed/app:1"),
    ("login", Works, "docker --host {docker} login -u admin -p {password} {address}"),
    ("pull", Works, "docker --host {docker} pull --quiet {address}/seed/app:1"),
    ("tag", Works, "docker --host {docker} tag {address}/seed/app:1 {address}/docker/app:1"),
    ("push", Works, "docker --host {docker} push --quiet {address}/docker/app:1"),
    ("remove", Works, "docker --host {docker} rmi {address}/docker/app:1 {address}/seed/app:1"),
    ("pull", Works, "docker --host {docker} pull --quiet {address}/docker/app:1"),
    ("list", Shows("schemaVersion"), "docker manifest inspect --insecure {address}/docker/app:1"),
    ("pull", Absent, "docker --host {docker} pull --quiet {address}/docker/app:absent"),
    ("logout", Works, "docker --host {docker} logout {address}"),
    ("private", Refused, "docker --host {docker} pull --quiet {address}/docker/app:1"),
];

const CTR: &[Action] = &[
    (
        "private",
        Refused,
        "ctr -a {containerd} images pull --plain-http --snapshotter native {address}/seed/app:1",
    ),
    (
        "pull",
        Works,
        "ctr -a {containerd} images pull --plain-http --snapshotter native --user admin:{password} {address}/seed/app:1",
    ),
    ("tag", Works, "ctr -a {containerd} images tag {address}/seed/app:1 {address}/ctr/app:1"),
    (
        "push",
        Works,
        "ctr -a {containerd} images push --plain-http --user admin:{password} {address}/ctr/app:1",
    ),
    ("list", Shows("ctr/app:1"), "ctr -a {containerd} images ls -q"),
    (
        "pull",
        Absent,
        "ctr -a {containerd} images pull --plain-http --snapshotter native --user admin:{password} {address}/ctr/app:absent",
    ),
];

const ORAS: &[Action] = &[
    ("push", Works, "{oras} {folder}/artifacts.py {address} {password} push oras/app:1"),
    ("pull", Shows("hello"), "{oras} {folder}/artifacts.py {address} {password} pull oras/app:1"),
    ("chunks", Works, "{oras} {folder}/artifacts.py {address} {password} chunks oras/app:2"),
    ("list", Shows("['1', '2']"), "{oras} {folder}/artifacts.py {address} {password} list oras/app"),
    ("delete", Works, "{oras} {folder}/artifacts.py {address} {password} delete oras/app:2"),
    ("list", Shows("['1']"), "{oras} {folder}/artifacts.py {address} {password} list oras/app"),
];

const ORAS_SCRIPT: &str = r"
import pathlib, sys
import oras.client
address, password, action, target = sys.argv[1:]
# With the other backend it never asks for a second token: what it got to look is not enough to push.
client = oras.client.OrasClient(hostname=address, insecure=True, auth_backend='basic')
if password != '-':
    client.login('admin', password, hostname=address, tls_verify=False)
folder = pathlib.Path(__file__).parent
hello = folder / 'hello.txt'
container = f'{address}/{target}'
if action in ('push', 'chunks'):
    hello.write_text('hello\n' * (100_000 + len(action)))
    client.push(target=container, files=[str(hello)], disable_path_validation=True, do_chunked=action == 'chunks', chunk_size=65536)
elif action == 'pull':
    for path in client.pull(target=container, outdir=str(folder / 'pulled')):
        print(pathlib.Path(path).read_text()[:5])
elif action == 'list':
    print(client.get_tags(container))
elif action == 'delete':
    name, tag = container.rsplit(':', 1)
    client.delete_tags(name, [tag])
";

/// A download that breaks off and is gone on with.
const CURL: &[Action] = &[
    ("private", Refused, "curl -sS --fail-with-body http://{address}/v2/seed/app/blobs/{layer}"),
    (
        "begin",
        Works,
        "curl -sS --fail -u admin:{password} -r 0-99999 -o {folder}/part http://{address}/v2/seed/app/blobs/{layer}",
    ),
    (
        "resume",
        Works,
        "curl -sS --fail -u admin:{password} -C - -o {folder}/part http://{address}/v2/seed/app/blobs/{layer}",
    ),
    ("compare", Shows("{hex}"), "sha256sum {folder}/part"),
];

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
    for client in ["helm", "cosign"] {
        testkit::left_out(&format!("the {client} client"), "neither Debian nor PyPI has it");
    }
    let (password, folder) = (station.server.password(), station.folder.path().display().to_string());
    let values = [
        ("address", station.server.address.as_str()),
        ("password", &password),
        ("folder", &folder),
        ("layer", &layer),
        ("hex", &hex),
        ("docker", docker.as_ref().map_or("", |docker| &docker.socket)),
        ("containerd", containerd.as_ref().map_or("", |containerd| &containerd.socket)),
        ("oras", oras.as_deref().unwrap_or_default()),
    ];
    let mut wrong = Vec::new();
    for (client, is_here, actions, pushes) in [
        ("skopeo", debian("skopeo"), SKOPEO, true),
        ("podman", debian("podman"), PODMAN, true),
        ("buildah", debian("buildah"), BUILDAH, true),
        ("docker", docker.is_some(), DOCKER, true),
        ("ctr", containerd.is_some(), CTR, true),
        ("oras", oras.is_some(), ORAS, true),
        ("curl", debian("curl"), CURL, false),
    ] {
        if !is_here {
            continue;
        }
        for (action, wanted, command) in actions {
            let outcome = act(&station, &values, wanted, command);
            let shown = match wanted {
                Refused => ", refused",
                Absent => ", absent",
                Works | Shows(_) => "",
            };
            println!("{client:<8} {}  {action}{shown}", if outcome.is_ok() { "pass" } else { "MISS" });
            wrong.extend(outcome.err().map(|why| format!("{client} {action}: {command}: {why}")));
        }
        if pushes {
            let pushed =
                station.client().get(&format!("/v2/{client}/app/manifests/1")).await.expect("answers");
            if pushed.status() != 200 {
                wrong.push(format!("{client} has pushed nothing: {}", pushed.status()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
