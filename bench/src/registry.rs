//! Requests and bytes per second of the server's processor time, beside docker-registry and nginx.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Client, Image, image, tool};

use crate::figures::{cpu_seconds, median};
use crate::start;

const ROUNDS: usize = 5;
const BLOB_MEGABYTES: usize = 64;
/// Processor time is counted in hundredths of a second: nginx takes five for 8 of them.
const BLOB_GETS: usize = 64;

/// One server under load.
struct Peer {
    name: &'static str,
    base: String,
    pids: Vec<u32>,
    manifest: String,
    blob: String,
    header: Option<String>,
    uploads: Option<Client>,
    _child: Option<Killed>,
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

pub(crate) async fn run(lazaret: &Path) {
    println!("\n## Registry, per processor second of the server, medians of {ROUNDS} rounds in turn");
    if !tool("wrk", "load on the registry", "apt-get install wrk")
        || !tool("curl", "load on the registry", "apt-get install curl")
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes: String = (0..BLOB_MEGABYTES * 16_384)
        .map(|number| oci::Digest::sha256(&usize::to_le_bytes(number)).hex().to_owned())
        .collect();
    let pushed = image()
        .layer(&[("blob", "small")])
        .raw_layer(bytes.into_bytes(), "application/vnd.oci.image.layer.v1.tar");
    let server = start(lazaret, &folder.path().join("lazaret"));
    let client = server.client();
    client.push("bench/app", "1", &pushed).await.unwrap();
    let token = client.registry_token("bench/app").await;
    let mut peers = vec![peer("lazaret", &server.address, vec![server.pid()], &pushed, Some(client))];
    peers[0].header = Some(format!("Authorization: Bearer {token}"));
    peers.extend(docker_registry(folder.path(), &pushed).await);
    peers.extend(nginx(folder.path(), &pushed).await);

    for (what, unit, measure) in [
        ("manifest GET, 32 connections", "requests", manifest_get as fn(&Peer) -> Option<f64>),
        ("blob GET, 64 MB", "MB", blob_get),
    ] {
        table(what, unit, &peers, measure);
    }
    upload_table(&peers).await;
    let peak = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("lazaret's peak memory over all of this: {}", peak.trim_start_matches("VmHWM:").trim());
}

fn peer(name: &'static str, address: &str, pids: Vec<u32>, pushed: &Image, uploads: Option<Client>) -> Peer {
    let layer = oci::Digest::sha256(pushed.layers().last().unwrap());
    Peer {
        name,
        base: format!("http://{address}"),
        pids,
        manifest: format!("/v2/bench/app/manifests/{}", pushed.digest()),
        blob: format!("/v2/bench/app/blobs/{layer}"),
        header: None,
        uploads,
        _child: None,
    }
}

fn cpu(peer: &Peer) -> f64 {
    peer.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
}

fn table(what: &str, unit: &str, peers: &[Peer], measure: fn(&Peer) -> Option<f64>) {
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for _ in 0..ROUNDS {
        for (peer, figures) in peers.iter().zip(&mut rounds) {
            figures.extend(measure(peer));
        }
    }
    print(what, unit, peers, rounds);
}

fn print(what: &str, unit: &str, peers: &[Peer], rounds: Vec<Vec<f64>>) {
    let medians: Vec<Option<f64>> =
        rounds.into_iter().map(|figures| (!figures.is_empty()).then(|| median(figures))).collect();
    let ours = medians[0].unwrap();
    for (peer, figure) in peers.iter().zip(medians) {
        if let Some(figure) = figure {
            println!(
                "{what}: {} {figure:.0} {unit} (lazaret / {}: {:.2})",
                peer.name,
                peer.name,
                ours / figure
            );
        }
    }
}

fn manifest_get(peer: &Peer) -> Option<f64> {
    let before = cpu(peer);
    let mut command = Command::new("wrk");
    // docker-registry hides what is not asked for by its type.
    command.args(["-t1", "-c32", "-d2s", "-H", "Accept: application/vnd.oci.image.manifest.v1+json"]);
    if let Some(header) = &peer.header {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("{}{}", peer.base, peer.manifest)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx"), "{}: {text}", peer.name);
    let requests: f64 =
        text.lines().find(|line| line.contains("requests in"))?.split_whitespace().next()?.parse().ok()?;
    Some(requests / (cpu(peer) - before))
}

fn blob_get(peer: &Peer) -> Option<f64> {
    let before = cpu(peer);
    let url = format!("{}{}", peer.base, peer.blob);
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail"]).stdout(Stdio::null());
    if let Some(header) = &peer.header {
        command.args(["-H", header]);
    }
    for _ in 0..BLOB_GETS {
        command.args(["-o", "/dev/null", &url]);
    }
    assert!(command.status().unwrap().success(), "{}", peer.name);
    #[expect(clippy::cast_precision_loss, reason = "some thousand megabytes")]
    Some((BLOB_GETS * BLOB_MEGABYTES) as f64 / (cpu(peer) - before).max(0.01))
}

async fn upload_table(peers: &[Peer]) {
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for round in 0..ROUNDS {
        for (peer, figures) in peers.iter().zip(&mut rounds) {
            let Some(client) = &peer.uploads else { continue };
            let mut bytes = vec![0; BLOB_MEGABYTES << 20];
            bytes[..8].copy_from_slice(&round.to_le_bytes());
            let before = cpu(peer);
            client.push_blob("bench/uploads", &bytes).await.unwrap();
            #[expect(clippy::cast_precision_loss, reason = "some hundred megabytes")]
            figures.push(BLOB_MEGABYTES as f64 / (cpu(peer) - before).max(0.01));
        }
    }
    print("blob upload, 64 MB", "MB", peers, rounds);
    let limit = hash_and_write();
    println!("limit of this machine: sha256 and write, {limit:.0} MB per processor second");
}

/// What hashing and writing alone cost, in this process.
fn hash_and_write() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![7; 1 << 20];
    let figures = (0..ROUNDS).map(|round| {
        let before = cpu_seconds(std::process::id());
        let mut file = std::fs::File::create(folder.path().join(round.to_string())).unwrap();
        let mut hasher = oci::Hasher::new(oci::Algorithm::Sha256);
        for _ in 0..4 * BLOB_MEGABYTES {
            hasher.update(&bytes);
            std::io::Write::write_all(&mut file, &bytes).unwrap();
        }
        file.sync_all().unwrap();
        assert!(!hasher.finish().hex().is_empty());
        #[expect(clippy::cast_precision_loss, reason = "some hundred megabytes")]
        let megabytes = (4 * BLOB_MEGABYTES) as f64;
        megabytes / (cpu_seconds(std::process::id()) - before).max(0.01)
    });
    median(figures.collect())
}

async fn docker_registry(folder: &Path, pushed: &Image) -> Option<Peer> {
    if !tool("docker-registry", "docker-registry as a peer", "apt-get install docker-registry") {
        return None;
    }
    let address = free_address();
    let config = folder.join("docker-registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: {address} }}\n",
        folder.join("docker-registry").display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = Client::new(&address, "nobody", "");
    wait(&client).await;
    client.push("bench/app", "1", pushed).await.unwrap();
    let mut found = peer("docker-registry", &address, vec![child.id()], pushed, Some(client));
    found._child = Some(Killed(child));
    Some(found)
}

async fn nginx(folder: &Path, pushed: &Image) -> Option<Peer> {
    if !tool("nginx", "nginx as a peer", "apt-get install nginx-light") {
        return None;
    }
    let address = free_address();
    let www = folder.join("www");
    let mut found = peer("nginx", &address, Vec::new(), pushed, None);
    for (path, bytes) in
        [(&found.manifest, pushed.manifest()), (&found.blob, pushed.layers().last().unwrap().to_vec())]
    {
        let file = www.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off; worker_processes 1; user root; pid {0}/pid; error_log /dev/null; events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; keepalive_requests 1000000; open_file_cache max=100; server {{ listen {address}; root {0}/www; }} }}",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("nginx").arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
    wait(&Client::new(&address, "", "")).await;
    let workers = Command::new("pgrep").arg("-P").arg(child.id().to_string()).output().unwrap();
    found.pids =
        String::from_utf8_lossy(&workers.stdout).split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    found._child = Some(Killed(child));
    Some(found)
}

/// Until somebody answers, whatever the answer.
async fn wait(client: &Client) {
    let began = Instant::now();
    while client.get("/v2/").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "a peer does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
