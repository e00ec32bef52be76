//! Every command on every page is run, page after page, on one fresh server.
//!
//! The commands are those of the pages themselves: each block that is marked `sh`. What stands for somebody's place in
//! them (a host, a folder of the machine) is put at a place of this test's; [`Scene::places`] says which. A
//! command of a program that is not here, or that has nothing to talk to here, is named as left out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Image, Reply, Server, ServerOptions, Source, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// In the order in which somebody reads them who begins at the first. A page that is not named here fails the test.
const PAGES: [&str; 13] = [
    "README.md",
    "docs/reaching.md",
    "docs/operating.md",
    "docs/access.md",
    "docs/registries.md",
    "docs/reading-results.md",
    "docs/querying.md",
    "docs/gate.md",
    "docs/cluster.md",
    "docs/events.md",
    "docs/import.md",
    "docs/caching.md",
    "docs/openapi.json",
];

/// Programs that no test can run everywhere, and what each needs.
const LEFT_OUT: [(&str, &str); 10] = [
    ("cargo", "it builds this program from its sources"),
    ("docker", "it needs a Docker daemon"),
    ("podman", "it needs a machine that runs containers"),
    ("nerdctl", "it needs containerd"),
    ("crictl", "it needs containerd"),
    ("kubectl", "it needs a Kubernetes cluster"),
    ("az", "it needs the Azure CLI (cargo xtask setup; tests/az.rs runs it)"),
    ("oras", "it needs oras"),
    ("update-ca-certificates", "it changes what this machine trusts"),
    ("systemctl", "it needs systemd"),
];

/// One command of a page, with its continuation lines.
struct Step {
    line: usize,
    text: String,
}

/// What the commands need around them.
struct Scene {
    folder: tempfile::TempDir,
    server: Server,
    elsewhere: Server,
    receiver: Source,
    mirror: Source,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_every_page_does_what_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known: BTreeSet<String> = BTreeSet::from(["README.md".to_owned()]);
    for entry in std::fs::read_dir(root.join("docs")).expect("is there") {
        let entry = entry.expect("reads");
        if entry.path().is_file() {
            known.insert(format!("docs/{}", entry.file_name().to_string_lossy()));
        }
    }
    assert_eq!(known, PAGES.iter().map(|page| (*page).to_owned()).collect(), "name new pages in PAGES");

    let (mut failures, mut count, mut pages) = (String::new(), 0, Vec::new());
    for page in PAGES.into_iter().filter(|page| page.ends_with(".md")) {
        let text = std::fs::read_to_string(root.join(page)).expect("is there");
        inline_commands_are_known(page, &text, &mut failures);
        pages.push((page, steps(page, &text)));
    }
    for program in ["curl", "jq", "openssl"] {
        if !testkit::tool(program, "the commands of the pages", &format!("apt-get install {program}")) {
            return;
        }
    }
    let scene = Scene::new().await;
    for (page, steps) in pages {
        let steps: Vec<Step> = steps
            .into_iter()
            .filter(|step| match left_out(&step.text) {
                Some((program, why)) => {
                    testkit::left_out(&format!("{page}:{}: {program}", step.line), why);
                    false
                }
                None => true,
            })
            .collect();
        count += steps.len();
        scene.run(page, &steps, &mut failures);
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(count > 80, "{count} commands were found: the pages are not read as they are written");
}

/// The commands of the blocks marked `sh`. Blocks of other kinds hold none.
fn steps(page: &str, text: &str) -> Vec<Step> {
    let (mut steps, mut block): (Vec<Step>, Option<String>) = (Vec::new(), None);
    let mut open: Option<Step> = None;
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let inner = line.trim_start();
        if let Some(kind) = inner.strip_prefix("```") {
            assert!(open.is_none(), "{page}:{at}: the block ends within a command");
            block = match block {
                None => Some(kind.to_owned()),
                Some(_) => None,
            };
            if let Some(kind) = &block {
                let kinds = ["sh", "text", "json", "yaml", "toml", "nginx", "http", "ini"];
                assert!(
                    kinds.contains(&kind.as_str()),
                    "{page}:{at}: say what the block holds, one of {kinds:?}"
                );
            }
            continue;
        }
        match &block {
            Some(kind) if kind == "sh" => {
                let step = open.get_or_insert_with(|| Step { line: at, text: String::new() });
                step.text.push_str(line);
                step.text.push('\n');
                if is_whole(&step.text) {
                    steps.extend(open.take());
                }
            }
            // What a cluster runs by itself.
            Some(kind) if kind == "yaml" => {}
            Some(_) => {
                let is_command =
                    LEFT_OUT.iter().any(|(program, _)| inner.starts_with(&format!("{program} ")))
                        || ["lazaret ", "curl ", "skopeo ", "$ "].iter().any(|word| inner.starts_with(word));
                assert!(!is_command, "{page}:{at}: a command stands in a block that is marked `sh`");
            }
            None => {}
        }
    }
    steps.retain(|step| {
        step.text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    });
    steps
}

/// Whether a shell would wait for more.
fn is_whole(text: &str) -> bool {
    if text.trim_end().ends_with('\\') {
        return false;
    }
    // A document that does not end is but a warning.
    let checked = Command::new("bash").args(["-n", "-c", text]).output().expect("bash starts");
    checked.status.success() && checked.stderr.is_empty()
}

/// The program for which a command cannot be run here.
fn left_out(text: &str) -> Option<(&'static str, &'static str)> {
    let text: String =
        text.lines().map(|line| line.split(" #").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut begins = true;
    for word in text.split_whitespace() {
        if begins && let Some(found) = LEFT_OUT.iter().find(|(program, _)| *program == word) {
            return Some(*found);
        }
        begins = ["|", "&&", "||", ";", "sudo"].contains(&word) || word.ends_with(';') || word == "$(";
    }
    None
}

/// Commands in running text are known to the program, subcommand by subcommand.
fn inline_commands_are_known(page: &str, text: &str, failures: &mut String) {
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let prose: String = text.split("```").step_by(2).collect();
    for code in prose.replace('\n', " ").split('`').skip(1).step_by(2) {
        let Some(rest) = code.strip_prefix("lazaret ") else { continue };
        // `create|list|ping` are three commands.
        let rest = rest.split_whitespace().map(|word| word.split('|').next().unwrap_or(word));
        let words: Vec<&str> = rest.take_while(is_word).take_while(|word| !word.starts_with("--")).collect();
        let output = Command::new(LAZARET).args(&words).arg("--help").output().expect("starts");
        if !output.status.success() {
            let _ = writeln!(failures, "{page}: `{code}`: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("work");
        for made in ["work", "bin", "home", "backup", "etc/tls", "registry", "work/target/release"] {
            std::fs::create_dir_all(folder.path().join(made)).expect("is made");
        }
        let options = ServerOptions::new(LAZARET, &work.join("lazaret-data"));
        let server = Server::start(options.with("--webhook-loopback"));
        let elsewhere = Server::start(ServerOptions::new(LAZARET, &folder.path().join("elsewhere")));
        let open = elsewhere.command(&["registry", "set", "lazaret", "--anonymous-pull", "true"]);
        assert!(open.status.success());
        for (repository, tag) in [("library/nginx", "1"), ("team/app", "1"), ("team/app", "2")] {
            elsewhere.client().push(repository, tag, &made(repository)).await.expect("pushes");
        }
        // What the pages' reader has pushed by then.
        server.import_tracker(TRACKER);
        for (repository, tag) in [("app/web", "1"), ("app", "1")] {
            server.client().push(repository, tag, &made(repository)).await.expect("pushes");
            assert!(server.command(&["scan", &format!("{repository}:{tag}")]).status.success());
        }
        let mirror = Source::start(feeds).await;
        let receiver = Source::start(|_| Reply::ok("")).await;
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.path().join("etc/tls/fullchain.pem"), own.cert.pem()).expect("writes");
        std::fs::write(folder.path().join("etc/tls/privkey.pem"), own.signing_key.serialize_pem())
            .expect("writes");
        made("saved").save_layout(&work.join("layout"), "1");
        made("saved").save_docker_archive(&work.join("saved.tar"), "saved:1");
        made("moved").save_distribution(&folder.path().join("registry"), "team/app", "1");
        std::fs::create_dir_all(work.join("alpine-secdb/v3.22")).expect("is made");
        std::fs::write(work.join("alpine-secdb/v3.22/main.json"), secdb("v3.22", "main")).expect("writes");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, TRACKER.as_bytes()).expect("packs");
        std::fs::write(work.join("debian.json.gz"), packed.finish().expect("packs")).expect("writes");
        // What a cluster answers to the commands of `kubectl` that are left out.
        std::fs::write(work.join("pods.json"), PODS).expect("writes");
        std::fs::write(work.join("jwks.json"), JWKS).expect("writes");
        let scene = Self { folder, server, elsewhere, receiver, mirror };
        scene.write_programs();
        scene
    }

    /// `lazaret`, but for `serve`, which ends when it has said that it serves, on ports of its own.
    fn write_programs(&self) {
        let folder = self.folder.path().display();
        let script = format!(
            r#"#!/bin/bash
[ "$1" = serve ] || exec "{LAZARET}" "$@"
arguments=() data=no
for argument in "$@"; do
  case "$argument" in --data|--data=*) data=yes ;; esac
  case "$before" in --listen|--listen-tls) argument="${{argument%:*}}:0" ;; esac
  before="$argument" arguments+=("$argument")
done
[ $data = yes ] || arguments+=(--data "$(mktemp -d -p "{folder}")")
said=$(mktemp -p "{folder}")
LAZARET_LISTEN=127.0.0.1:0 LAZARET_LISTEN_TLS=127.0.0.1:0 LAZARET_FEEDS_EVERY_HOURS=0 LAZARET_LOG=error \
  "{LAZARET}" "${{arguments[@]}}" >"$said" &
for _ in $(seq 200); do
  grep -q '^Next:' "$said" && break
  kill -0 $! 2>/dev/null || break
  sleep 0.1
done
kill -TERM $! 2>/dev/null
wait $! && grep -q '^Next:' "$said"
"#
        );
        for program in ["bin/lazaret", "work/target/release/lazaret"] {
            let path = self.folder.path().join(program);
            std::fs::write(&path, &script).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("is set");
        }
    }

    /// What stands in the pages, and where it is here.
    fn places(&self) -> Vec<(&'static str, String)> {
        let tls_port = self.server.tls_address.rsplit_once(':').expect("a port").1;
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        let elsewhere = format!("http://{}/", self.elsewhere.address);
        vec![
            ("localhost:5000", self.server.address.clone()),
            ("localhost:5443", format!("localhost:{tls_port}")),
            ("registry.example.com:5443", format!("localhost:{tls_port}")),
            ("127.0.0.1:8000", self.mirror.url("").trim_start_matches("http://").to_owned()),
            ("https://hooks.example.com", self.receiver.url("")),
            ("https://hooks.slack.example", self.receiver.url("")),
            ("docker://docker.io/nginx", format!("{elsewhere}library/nginx")),
            ("docker://ghcr.io/", elsewhere.clone()),
            ("http://10.0.0.5:5000/", elsewhere),
            ("/backup/", folder("backup") + "/"),
            ("/var/lib/registry", folder("registry")),
            ("/etc/", folder("etc") + "/"),
        ]
    }

    /// Runs a page's commands in one shell, and notes those that fail.
    fn run(&self, page: &str, steps: &[Step], failures: &mut String) {
        let folder = self.folder.path();
        let mut script = "set -o pipefail\n".to_owned();
        for Step { line, text } in steps {
            let mut text = text.clone();
            for (written, meant) in self.places() {
                text = text.replace(written, &meant);
            }
            let log = folder.join("said").display().to_string();
            let _ = write!(
                script,
                "{{ {text}\n}} >{log} 2>&1\nstatus=$?; [ $status = 0 ] || {{ echo '{page}:{line}: exit code' $status; cat {log}; }}\n"
            );
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(folder.join("work"))
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("HOME", folder.join("home"))
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        failures.push_str(&String::from_utf8_lossy(&output.stdout));
        failures.push_str(&String::from_utf8_lossy(&output.stderr));
    }
}

fn made(salt: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1"), ("bash", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)]).salted(salt)
}

/// Debian's tracker and Alpine's secdb, as a mirror has them.
fn feeds(head: &str) -> Reply {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let names: Vec<&str> = path.trim_start_matches("/secdb/").trim_end_matches(".json").split('/').collect();
    match names.as_slice() {
        [branch, repository] if path.starts_with("/secdb/") => Reply::ok(secdb(branch, repository)),
        _ if path == "/debian.json" => Reply::ok(TRACKER),
        _ => Reply::status(404),
    }
}

fn secdb(branch: &str, repository: &str) -> String {
    format!(
        r#"{{"distroversion":"{branch}","reponame":"{repository}","packages":[{{"pkg":{{"name":"zlib","secfixes":{{"1.3-r0":["CVE-2024-1"]}}}}}}]}}"#
    )
}

const TRACKER: &str = r#"{"zlib":{"CVE-2024-5535":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"medium"}}}}}"#;

const PODS: &str = r#"{"kind":"PodList","items":[{"metadata":{"name":"web-1","namespace":"team","labels":{}},"status":{
    "containerStatuses":[{"name":"web","image":"registry.example.com:5443/app/web:1","imageID":""}]}}]}"#;

/// The key of RFC 7517, appendix A.1.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","use":"sig","kid":"1","alg":"ES256",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let text = "```sh\n# a heading\nlazaret a \\\n  --b\necho 'one\ntwo' | kubectl apply -f -\nX=1   # kubectl is only talked of\n```\n";
    let found = steps("page", text);
    let texts: Vec<&str> = found.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "lazaret a \\\n  --b\n",
            "echo 'one\ntwo' | kubectl apply -f -\n",
            "X=1   # kubectl is only talked of\n"
        ]
    );
    assert_eq!(
        found.iter().map(|step| left_out(&step.text).is_some()).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
#[should_panic(expected = "page:2: a command stands in a block that is marked `sh`")]
fn a_command_cannot_hide_in_a_block_of_another_kind() {
    let _ = steps("page", "```text\nlazaret registry create blue\n```\n");
}
