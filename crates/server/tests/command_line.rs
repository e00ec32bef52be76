//! What the command line answers beside a server and without one: the same, and as HTTP does.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Both forms of what an answer depends on: rows that name the login server, and display names.
const QUERY: &str = "securityresources | where type has 'assessments' or type has 'registries'
    | union (resources) | project id, name, text = tostring(properties) | order by id asc, name asc";

fn lazaret(data: &Path, arguments: &[&str]) -> Output {
    Command::new(LAZARET).args(arguments).arg("--data").arg(data).output().expect("starts")
}

/// The standard output of a command that succeeds.
fn said(data: &Path, arguments: &[&str]) -> String {
    let output = lazaret(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What a command that fails says.
fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = lazaret(data, arguments);
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn made(package: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[(package, "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

#[tokio::test]
async fn the_command_line_answers_as_http_does_with_the_server_and_without_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let options =
        ["--login-server=registry.example:8443", "--display-names=historic", "--price-per-image=0.29"];
    let options = options.iter().fold(ServerOptions::new(LAZARET, &data), |all, option| all.with(option));
    let server = Server::start(options.with("--currency=EUR").with("--stale-after-days=3"));
    server.hold_bad_and_good().await;
    let token = server.client().arm_token().await;
    let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01";
    let (status, by_http) = server.client().post_json(path, &token, &json!({ "query": QUERY })).await;
    assert_eq!(status, 200, "{by_http}");
    let by_http = &by_http["data"];
    assert!(by_http.to_string().contains("registry.example:8443"), "{by_http}");
    let command = ["query", QUERY, "--format=json"];
    let beside: Value = serde_json::from_str(&said(&data, &command)).expect("rows");
    assert_eq!(&beside, by_http);
    let wrong = refused(&data, &["query", "resources | wher name == 'x'"]);
    let csv = said(&data, &["query", QUERY, "--format=csv"]);

    assert!(server.terminate(), "SIGTERM is a good end");
    assert!(!data.join("local.sock").exists(), "a good end takes its socket along");
    let without: Value = serde_json::from_str(&said(&data, &command)).expect("rows");
    assert_eq!(without, beside);
    assert_eq!(said(&data, &["query", QUERY, "--format=csv"]), csv);
    assert_eq!(refused(&data, &["query", "resources | wher name == 'x'"]), wrong);
    let usage = said(&data, &["usage"]);
    assert!(usage.contains("0.58 EUR"), "{usage}");
    let other = said(&data, &["usage", "--price-per-image=1"]);
    assert!(other.contains("2.00 EUR"), "{other}");
}

#[test]
fn a_server_that_was_killed_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Longer than a socket's address may be.
    let data = folder.path().join("a-long-name-of-a-folder/".repeat(6)).join("data");
    let server = Server::start(ServerOptions::new(LAZARET, &data));
    let socket = data.join("local.sock");
    let metadata = std::fs::metadata(&socket).expect("is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let count = ["query", "resources | count", "--format=csv"];
    let answer = said(&data, &count);
    let options = server.kill();
    assert!(socket.exists(), "nothing removes it");
    assert_eq!(said(&data, &count), answer, "who is not there is not asked");
    let _server = Server::start(options);
    assert_eq!(said(&data, &count), answer);
}

#[test]
fn where_a_server_runs_it_is_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    assert!(Server::start(ServerOptions::new(LAZARET, &data)).terminate(), "SIGTERM is a good end");
    let socket = UnixListener::bind(data.join("local.sock")).expect("binds");
    let serving = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in [r#"{"Ok":{"text":"from the server\n"}}"#, r#"{"Err":"it is of another release"}"#, ""]
        {
            let (mut stream, _) = socket.accept().expect("a command");
            let (mut line, mut byte) = (Vec::new(), [0]);
            while byte != *b"\n" && stream.read(&mut byte).expect("reads") == 1 {
                line.push(byte[0]);
            }
            asked.push(String::from_utf8(line).expect("text"));
            stream.write_all(answer.as_bytes()).expect("answers");
        }
        asked
    });
    assert_eq!(said(&data, &["query", "print 1"]), "from the server\n");
    assert!(refused(&data, &["query", "print 1"]).contains("it is of another release"));
    assert!(refused(&data, &["query", "print 1"]).contains("the server stopped before it answered"));
    let asked = serving.join().expect("ends");
    let wanted = json!({ "query": { "text": "print 1", "format": "table" } });
    assert_eq!(serde_json::from_str::<Value>(&asked[0]).expect("JSON"), wanted);
}

#[tokio::test]
async fn images_are_listed_with_registry_platform_and_the_tags_that_lead_to_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let (data, client) = (server.data(), server.client());
    server.import_tracker(
        r#"{"zlib":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#,
    );
    let (amd64, arm64) = (made("bash"), made("zlib").architecture("arm64"));
    let mut manifests = Vec::new();
    for image in [&amd64, &arm64] {
        let bytes = image.manifest();
        client.push("app/web", &image.digest().to_string(), image).await.expect("pushes");
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest(), "size": bytes.len(),
        }));
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    for tag in ["2", "latest"] {
        let put = client
            .request(Method::PUT, &format!("/v2/app/web/manifests/{tag}"))
            .header("Content-Type", "application/vnd.oci.image.index.v1+json")
            .body(index.to_string());
        put.send().await.expect("answers").error_for_status().expect("takes it");
    }
    client.push("tools/old", "1", &made("bash").salted("old")).await.expect("pushes");
    said(data, &["subscription", "create", "Team blue"]);
    said(data, &["registry", "create", "teamblue", "--subscription", "Team blue", "--resource-group", "web"]);
    let layout = folder.path().join("layout");
    made("zlib").salted("blue").save_layout(&layout, "1");
    let layout = layout.to_str().expect("text");
    said(data, &["import", layout, "--to", "app/blue:1", "--registry", "teamblue"]);
    for (reference, registry) in
        [("app/web:2", "lazaret"), ("tools/old:1", "lazaret"), ("app/blue:1", "teamblue")]
    {
        said(data, &["scan", reference, "--registry", registry]);
    }

    let rows = |more: &[&str]| {
        let arguments = [&["image", "list", "--format=json"], more].concat();
        let rows: Vec<Value> = serde_json::from_str(&said(data, &arguments)).expect("JSON");
        let row = |row: &Value| {
            let tags = [&row["tags"], &row["indexTags"]].map(|tags| tags.as_array().expect("a list").clone());
            let tags: Vec<String> =
                tags.concat().iter().map(|tag| tag.as_str().expect("text").to_owned()).collect();
            let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {}:{} {} {} {}",
                text("registry"),
                text("repository"),
                tags.join(","),
                text("platform"),
                text("state"),
                row["findingCount"]
            )
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let [amd, arm] = [
        "lazaret app/web:2,latest linux/amd64 Healthy 0",
        "lazaret app/web:2,latest linux/arm64 Unhealthy 1",
    ];
    let [old, blue] =
        ["lazaret tools/old:1 linux/amd64 Healthy 0", "teamblue app/blue:1 linux/amd64 Unhealthy 1"];
    assert_eq!(rows(&[]), [amd, arm, old, blue]);
    assert_eq!(rows(&["--registry", "TeamBlue"]), [blue]);
    assert_eq!(rows(&["--repository", "app/*", "--state", "unhealthy"]), [arm, blue]);
    assert_eq!(rows(&["--sort", "findings"]), [arm, blue, amd, old]);
    assert_eq!(rows(&["--sort", "pushed"])[0], blue);
    assert!(refused(data, &["image", "list", "--state", "sick"]).contains("Pending, Healthy, Unhealthy"));
    assert!(refused(data, &["image", "list", "--registry", "red"]).contains("there is no registry red"));

    let shown = said(data, &["image", "show", "localhost:5000/app/web:2"]);
    for (image, platform) in [(&amd64, "linux/amd64"), (&arm64, "linux/arm64")] {
        let report = shown.split_once(&image.digest().to_string()).expect("a report").1;
        let line = report.lines().find(|line| line.starts_with("platform")).expect("a platform");
        assert_eq!(line.split_whitespace().nth(1), Some(platform));
    }
    let missing = refused(data, &["image", "show", "app/blue:1", "--registry", "lazaret"]);
    assert!(missing.contains("there is no image app/blue:1 in the registry lazaret"), "{missing}");

    // By name, spaces and all.
    said(data, &["plan", "off", "--subscription", "team BLUE"]);
    let plans = said(data, &["plan", "show"]);
    assert!(plans.contains("Team blue"), "{plans}");
    said(
        data,
        &["principal", "create", "ci", "--role", "AcrPush", "--registry", "teamblue", "--repository", "team"],
    );
    let principals = said(data, &["principal", "list", "--format=json"]);
    assert!(principals.contains("resourceGroups/web") && principals.contains("teamblue"), "{principals}");
    let rule =
        ["rule", "create", "r", "--advisory", "CVE-2024-1", "--reason", "test", "--registry", "teamblue"];
    let rule = said(data, &rule);
    assert!(rule.contains("registries/teamblue; it disables 1 finding\n"), "{rule}");
    said(data, &["purge", "--dry-run", "--registry", "teamblue"]);
    said(data, &["gate", "check", "localhost:5000/app/web:2"]);
}

#[test]
fn what_is_not_there_is_named_as_what_it_would_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let data = server.data();
    let registries = said(data, &["registry", "list", "--format=json"]);
    let registries: serde_json::Value = serde_json::from_str(&registries).expect("a list");
    let beneath = format!("{}/repositories/team/../x", registries[0]["id"].as_str().expect("an id"));
    for (arguments, wanted) in [
        (vec!["scan", "./missing.tar"], "there is no file or folder ./missing.tar"),
        (vec!["scan", "missing.tar"], "there is no file or folder missing.tar"),
        (vec!["scan", "app/web"], "there is no image app/web:latest: `lazaret image list` shows"),
        (vec!["scan", "App/Web"], "is not a reference: write REPOSITORY:TAG"),
        (vec!["feeds", "update", "--debian-url=notaurl"], "debian-url is an http or https URL"),
        (vec!["plan", "on", "--subscription", "Team red"], "there is no subscription Team red"),
        (
            vec!["import", "docker.io/nginx:1"],
            "docker.io/nginx:1: write docker://docker.io/nginx:1 for a registry",
        ),
        (
            vec!["role", "assign", "admin", "Reader", "--scope=/subscriptions/nope"],
            "there is nothing at the scope /subscriptions/nope",
        ),
        (
            vec![
                "principal",
                "create",
                "late",
                "--role=Owner",
                "--scope=/subscriptions/nope/resourceGroups/a",
            ],
            "there is nothing at the scope /subscriptions/nope/resourceGroups/a",
        ),
        (
            vec!["role", "assign", "admin", "Reader", "--scope", &beneath],
            "there is nothing at the scope /subscriptions/",
        ),
        (
            vec!["subscription", "delete", "Default subscription"],
            "holds the default registry lazaret, which serves every host that names no other: neither can be deleted",
        ),
    ] {
        let said = refused(data, &arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_pattern_that_no_repository_fits_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    for pattern in ["localhost:5000/team/*", "Team/*", ""] {
        let option = format!("--repositories={pattern}");
        for command in [
            &["gate", "set", "full"][..],
            &["gate", "exempt", "full", "--advisory=CVE-2024-1", "--reason=test"],
            &["retention", "set", "old", "--keep-newest=3"],
            &["lock", "immutable", "set", "releases"],
        ] {
            let said = refused(server.data(), &[command, &[option.as_str()]].concat());
            assert!(
                said.contains("no repository is called so: write lower-case letters"),
                "{command:?}: {said}"
            );
        }
    }
    let layout = folder.path().join("layout");
    std::fs::create_dir(&layout).expect("is made");
    let to = refused(server.data(), &["import", layout.to_str().expect("text"), "--to=localhost:5000/App:1"]);
    assert!(!to.contains("digest algorithm"), "{to}");
}

#[test]
fn sources_that_cannot_be_reached_are_one_line_each() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Nothing listens there: it was bound a moment ago, and let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let url = format!("http://{free}");
    let output = lazaret(
        folder.path(),
        &["feeds", "update", "--debian-url", &format!("{url}/d"), "--alpine-url", &url],
    );
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.starts_with("debian and 14 more from 127.0.0.1: the source cannot be reached: "), "{said}");
    assert!(said.contains("lazaret feeds import PATH..."), "{said}");
}

#[test]
fn a_registry_that_cannot_be_reached_is_said_in_one_breath() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let said = refused(server.data(), &["import", &format!("http://{free}/team/app:1")]);
    assert!(said.contains(&format!("{free} cannot be reached: Connection refused (os error")), "{said}");
    assert!(!said.contains("client error"), "{said}");
}
