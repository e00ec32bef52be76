//! Which addresses the server connects to when others name them: in a network of the test's own, which has no route
//! out, with names of its own.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Server, ServerOptions, left_out, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Names, and where they lead: 10.9.0.1, 9.0.0.1 and what is on `lo` are this machine; 10.9.0.2 and 9.0.0.2 are another
/// one. Clouds' metadata services are played by both.
const HOSTS: &str = "\
127.0.0.1 localhost
10.9.0.1 own-private.example
9.0.0.1 own-public.example
8.8.4.4 own-extra.example
10.9.0.2 private.example
9.0.0.2 public.example
169.254.169.254 metadata.example
168.63.129.16 agent.example
169.254.169.254 mixed.example
10.9.0.2 mixed.example
192.0.2.7 documentation.example
";

/// What runs at each machine: it writes down at which of its addresses it was connected to, and answers.
const RECEIVER: &str = r#"
import socketserver, sys, threading
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with open(sys.argv[1], 'a') as log:
            log.write('%s %s\n' % self.request.getsockname())
        self.request.settimeout(5)
        try:
            self.request.recv(65536)
            self.request.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
servers = [Server(('0.0.0.0', port), Handler) for port in (80, 443)]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print('ready', flush=True)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_have_the_server_connect_to_itself_or_to_metadata() {
    let what = "connections in a network of its own";
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    if !tool("python3", what, "apt-get install python3") || !tool("ip", what, "apt-get install iproute2") {
        return;
    }
    let tried = Command::new("unshare").args(["--net", "--mount", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|tried| tried.success()) {
        return left_out(what, "no network namespace can be made here (run the tests as root)");
    }
    let again = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "strangers_cannot_have_the_server_connect_to_itself_or_to_metadata", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

const INSIDE: &str = "LAZARET_TEST_INSIDE_A_NAMESPACE";

async fn inside() {
    let folder = tempfile::tempdir().unwrap();
    let (own_log, other_log) = (folder.path().join("own"), folder.path().join("other"));
    // A process whose network the other machine is.
    let mut other = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
    connect_to(other.id());
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, HOSTS).unwrap();
    run("mount", &["--bind", hosts.to_str().unwrap(), "/etc/hosts"]);
    let mut receivers = [receiver(&own_log, None), receiver(&other_log, Some(other.id()))];

    let data = folder.path().join("data");
    let server = Server::start(ServerOptions::new(LAZARET, &data));
    webhooks(&server, false, &own_log, &other_log).await;
    imports(&server, &own_log, &other_log).await;
    let options = server.options().clone().with("--webhook-loopback");
    assert!(server.terminate());
    webhooks(&Server::start(options), true, &own_log, &other_log).await;

    for child in receivers.iter_mut().chain([&mut other]) {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Two machines with a wire between them. What is not theirs has no route.
fn connect_to(other: u32) {
    let pid = other.to_string();
    // Its network is there when it has left ours.
    let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let began = Instant::now();
    while network("self") == network(&pid) {
        assert!(began.elapsed() < Duration::from_secs(10), "no second network comes to be");
        std::thread::sleep(Duration::from_millis(5));
    }
    let ip = |arguments: &str| run("ip", &arguments.split(' ').collect::<Vec<_>>());
    let there = |arguments: &str| {
        let mut all = vec!["-t", &pid, "-n", "ip"];
        all.extend(arguments.split(' '));
        run("nsenter", &all);
    };
    ip("link set lo up");
    ip("addr add 8.8.4.4/32 dev lo");
    ip(&format!("link add here type veth peer name there netns {pid}"));
    for address in ["10.9.0.1/24", "9.0.0.1/24"] {
        ip(&format!("addr add {address} dev here"));
    }
    ip("link set here up");
    there("link set lo up");
    for address in ["10.9.0.2/24", "9.0.0.2/24", "169.254.169.254/32", "168.63.129.16/32", "192.0.2.7/32"] {
        there(&format!("addr add {address} dev there"));
    }
    there("link set there up");
    for address in ["169.254.169.254", "168.63.129.16", "192.0.2.7"] {
        ip(&format!("route add {address}/32 via 10.9.0.2"));
    }
}

fn run(program: &str, arguments: &[&str]) {
    let run = Command::new(program).args(arguments).output().unwrap();
    assert!(run.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
}

fn receiver(log: &Path, within: Option<u32>) -> Child {
    let mut command = match within {
        None => Command::new("python3"),
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.args(["-t", &pid.to_string(), "-n", "python3"]);
            command
        }
    };
    let mut child = command.args(["-c", RECEIVER]).arg(log).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    std::fs::write(log, "").unwrap();
    child
}

/// At which addresses a machine was connected to since the last look.
fn taken(log: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(log).unwrap();
    std::fs::write(log, "").unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// Each name once: the machine itself is reached only if `loopback`, a metadata service never.
async fn webhooks(server: &Server, loopback: bool, own_log: &Path, other_log: &Path) {
    let own: &[&str] =
        &["own-private.example", "own-public.example", "own-extra.example", "10.9.0.1", "8.8.4.4"];
    let other = ["private.example", "public.example", "mixed.example", "9.0.0.2"];
    let never = [
        "metadata.example",
        "agent.example",
        "documentation.example",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
    ];
    for (hosts, is_reached) in [(own, loopback), (&other, true), (&never, false)] {
        for host in hosts {
            let answer = pinged(server, host).await;
            assert_eq!(answer["state"] == "delivered", is_reached, "{host}: {answer}");
            let reached = &taken(own_log) | &taken(other_log);
            assert_eq!(!reached.is_empty(), is_reached, "{host} led to {reached:?}");
            assert!(reached.is_disjoint(&NEVER.map(str::to_owned).into()), "{host} led to {reached:?}");
            let reason = answer["reason"].as_str().unwrap_or_default();
            assert!(is_reached || reason.starts_with("nothing is sent there: "), "{host}: {answer}");
        }
    }
}

const NEVER: [&str; 3] = ["169.254.169.254", "168.63.129.16", "192.0.2.7"];

/// What came of a ping to `http://HOST/`.
async fn pinged(server: &Server, host: &str) -> Value {
    let url = format!("http://{host}/");
    for command in [&["webhook", "create", "hook1", "--url", &url][..], &["webhook", "ping", "hook1"]] {
        let done = server.command(command);
        // The exit code of a ping says whether it arrived.
        assert!(done.status.success() || command[1] == "ping", "{}", String::from_utf8_lossy(&done.stderr));
    }
    let began = Instant::now();
    loop {
        let listed = server.command(&["webhook", "events", "hook1", "--format=json"]);
        let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        if let Some(row) = rows.into_iter().find(|row| row["state"] != "waiting") {
            assert!(server.command(&["webhook", "delete", "hook1"]).status.success());
            return row;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "a ping to {host} is never sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A caller of the API names the registry: only a public address that is another machine's is asked.
async fn imports(server: &Server, own_log: &Path, other_log: &Path) {
    let client = server.client();
    let token = client.arm_token().await;
    let registry = client.registry_id(&token).await;
    let path = format!("{registry}/importImage?api-version=2023-07-01");
    let refused = [
        "own-private.example",
        "own-public.example",
        "own-extra.example",
        "private.example",
        "mixed.example",
        "metadata.example",
        "agent.example",
        "documentation.example",
        "8.8.4.4",
        "169.254.169.254",
    ];
    for host in refused {
        let source = json!({ "registryUri": host, "sourceImage": "app/web:1" });
        let body = json!({ "source": source, "targetTags": ["app/web:1"], "mode": "Force" });
        let (status, answer) = client.post_json(&path, &token, &body).await;
        assert!((400..500).contains(&status), "{host}: {status} {answer}");
        let reached = &taken(own_log) | &taken(other_log);
        assert!(reached.is_empty(), "{host} led to {reached:?}: {answer}");
    }
    let source = json!({ "registryUri": "public.example", "sourceImage": "app/web:1" });
    let body = json!({ "source": source, "targetTags": ["app/web:1"], "mode": "Force" });
    let (status, answer) = client.post_json(&path, &token, &body).await;
    // It is asked, and speaks no TLS.
    assert!(status >= 400, "{answer}");
    assert_eq!(taken(other_log), BTreeSet::from(["9.0.0.2".to_owned()]), "{answer}");
}
