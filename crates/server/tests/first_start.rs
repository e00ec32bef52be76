//! A stranger starts the program: what it makes, what it finds again, what it refuses.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use testkit::{Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn options(data: &Path) -> ServerOptions {
    ServerOptions::new(LAZARET, data)
}

/// Runs `serve` where it must refuse, and returns what it says.
fn refused(arguments: &[&str]) -> String {
    let output = Command::new(LAZARET).arg("serve").args(arguments).output().expect("starts");
    assert!(!output.status.success(), "it was not refused");
    said(&output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_second_start_finds_everything_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Server::start(options(&data));
    let password = server.password();
    let mode =
        |name: &str| std::fs::metadata(data.join(name)).expect("is there").permissions().mode() & 0o777;
    assert_eq!((mode("admin-password"), mode("token.key"), mode("ca.key")), (0o600, 0o600, 0o600));
    let authority = std::fs::read(data.join("ca.pem")).expect("is there");

    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib1g", "1:1.2.13")]));
    let pushed = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
    let digest = server.client().push("app/web", "1", &pushed).await.expect("pushes");
    let token = server.client().arm_token().await;
    let rows = server.client().wait_for_verdict(&token, &digest).await;
    assert!(server.terminate(), "SIGTERM is a good end");

    let server = Server::start(options(&data));
    assert_eq!(server.password(), password);
    assert_eq!(std::fs::read(data.join("ca.pem")).expect("is there"), authority);
    let manifest = server.client().get("/v2/app/web/manifests/1").await.expect("answers");
    assert_eq!(manifest.bytes().await.expect("a body"), pushed.manifest());
    let token = server.client().arm_token().await;
    let again = server.client().wait_for_verdict(&token, &digest).await;
    // All but the host, whose port is another one.
    assert_eq!(again.len(), rows.len());
    for (again, before) in again.iter().zip(&rows) {
        for part in ["id", "status", "timeGenerated", "resourceDetails"] {
            assert_eq!(again["properties"][part], before["properties"][part], "{part}");
        }
    }
}

#[test]
fn the_certificate_is_signed_by_our_own_authority() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(options(folder.path()));
    let authority = std::fs::read(folder.path().join("ca.pem")).expect("is there");
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let status = |trusted: bool| {
        let url = format!("https://{}/v2/", server.tls_address);
        let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async move {
            let trusted = if trusted { vec![authority] } else { Vec::new() };
            let client =
                reqwest::Client::builder().no_proxy().tls_certs_only(trusted).build().expect("builds");
            client.get(url).send().await.map(|answer| answer.status().as_u16())
        })
    };
    assert_eq!(status(true).expect("the authority is trusted"), 401);
    assert!(status(false).is_err(), "nobody else is");
}

#[test]
fn what_cannot_be_served_is_refused_in_one_clear_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(options(folder.path()));
    let data = folder.path().display().to_string();
    let other = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = other.path().join("new").display().to_string();
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = busy.local_addr().expect("bound").to_string();
    let file = other.path().join("file");
    std::fs::write(&file, "not a folder").expect("writes");
    let file = file.display().to_string();
    for (arguments, wanted) in [
        (
            vec!["--data", &data, "--listen=127.0.0.1:0", "--listen-tls=127.0.0.1:0"],
            "another lazaret already serves",
        ),
        (vec!["--data", &elsewhere, "--listen", &busy], "is already in use"),
        (
            vec!["--data", &elsewhere, "--listen=127.0.0.1:0", "--listen-tls", &busy],
            "choose another address with --listen-tls",
        ),
        (vec!["--data", &elsewhere, "--debian-url=notaurl"], "debian-url is an http or https URL"),
        (vec!["--data", &file], "cannot be used"),
        (vec!["--data", "/proc/nowhere"], "choose another with --data"),
    ] {
        let said = refused(&arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let twice = refused(&[
        "--data",
        &elsewhere,
        &format!("--listen=127.0.0.1:{free}"),
        &format!("--listen-tls=localhost:{free}"),
    ]);
    assert!(twice.contains(&format!("--listen and --listen-tls both name port {free}")), "{twice}");
    let nowhere = refused(&["--data", &elsewhere, "--listen-tls=nowhere"]);
    assert!(nowhere.contains("write a host and a port: 127.0.0.1:5000, localhost:5000"), "{nowhere}");
    assert!(refused(&["--lisen=x"]).contains("--listen"), "a wrong option suggests the right one");
    assert!(!Path::new(&elsewhere).join("lazaret.db").exists(), "a busy port leaves no database");
    drop(server);
}

#[test]
fn a_command_without_data_says_where_to_begin() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output =
        Command::new(LAZARET).args(["image", "list", "--data"]).arg(folder.path()).output().expect("starts");
    assert!(said(&output).contains("start `lazaret serve` there once"), "{}", said(&output));
}

#[test]
fn a_folder_from_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(Server::start(options(folder.path())));
    let database = folder.path().join("lazaret.db");
    let bump = Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('pragma user_version=99'); c.commit()"])
        .arg(&database)
        .status();
    if !bump.is_ok_and(|status| status.success()) {
        testkit::left_out(
            "a database of a newer program is refused",
            "python3 is not installed (apt-get install python3)",
        );
        return;
    }
    let data = folder.path().display().to_string();
    let said = refused(&["--data", &data, "--listen=127.0.0.1:0", "--listen-tls=127.0.0.1:0"]);
    assert!(said.contains("use a newer lazaret"), "{said}");
}

/// What the server says when it starts with these arguments, and what it logs.
async fn hello(folder: &Path, arguments: &[&str]) -> (String, String) {
    let mut child = Command::new(LAZARET)
        .args(["serve", "--feeds-every-hours=0", "--data"])
        .arg(folder.join("data"))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut said = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
    for line in lines.by_ref() {
        let line = line.expect("text") + "\n";
        said.push_str(&line);
        if line.contains("image show") {
            break;
        }
    }
    let told = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    assert!(told.expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
    (said, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_first_start_says_what_a_person_can_use() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (said, log) = hello(folder.path(), &["--listen=localhost:0", "--listen-tls=127.0.0.1:0"]).await;
    let port =
        said.split_once("http://127.0.0.1:").expect(&said).1.split(' ').next().expect("a port").to_owned();
    assert!(said.contains(&format!("docker login localhost:{port} -u admin")), "{said}");
    assert!(!log.contains("recovered") && !log.contains('{'), "{log}");

    // On every address: what is printed is where clients get in, by a name that the certificate has.
    let every = ["--listen=0.0.0.0:0", "--listen-tls=0.0.0.0:0", "--tls-name=registry.example.com"];
    let (said, _) = hello(folder.path(), &every).await;
    let port = said
        .split_once("https://0.0.0.0:")
        .expect(&said)
        .1
        .split_whitespace()
        .next()
        .expect("a port")
        .to_owned();
    assert!(said.contains(&format!("docker login registry.example.com:{port} -u admin")), "{said}");
    let said = Command::new(LAZARET)
        .args([
            "query",
            "resources | where type has 'registries' | project tostring(properties.loginServer)",
            "--format=csv",
        ])
        .arg("--data")
        .arg(folder.path().join("data"))
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("registry.example.com:{port}")), "{said}");
}
