//! Where the server may write: into its data folder, and what is there is its user's alone.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Reply, Server, ServerOptions, Source, debian, dpkg, image, left_out};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// A program that starts this one as a stranger in a world where nothing but the data folder is writable.
fn confining(folder: &Path, data: &Path) -> PathBuf {
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$LAZARET_CONFINED\" != yes ]; then\n\
         export LAZARET_CONFINED=yes\n\
         exec unshare --mount --propagation private \"$0\" \"$@\"\n\
         fi\n\
         mount --bind '{data}' '{data}' || exit 1\n\
         while read -r _ place rest; do\n\
         [ \"$place\" = '{data}' ] && continue\n\
         mount -o remount,bind,ro \"$place\" 2>/dev/null || true\n\
         done < /proc/self/mounts\n\
         for place in / /tmp /var/tmp /dev/shm; do\n\
         if touch \"$place/lazaret-writable\" 2>/dev/null; then echo \"$place is writable\" >&2; exit 1; fi\n\
         done\n\
         cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs '{LAZARET}' \"$@\"\n",
        data = data.display()
    );
    let program = folder.join("confined");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Why nothing can be confined here.
fn cannot_confine() -> Option<String> {
    let tried = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            LAZARET,
            "--version",
        ])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_data_folder_needs_to_be_writable() {
    if let Some(why) = cannot_confine() {
        left_out(
            "a read-only root",
            &format!("no mount namespace for another user (run the tests as root): {why}"),
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The stranger has to get there.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
    let program = confining(folder.path(), &data);
    let source = Source::start(|path| match path {
        "/tracker" => Reply::ok(TRACKER),
        _ => Reply::status(404),
    })
    .await;
    let arguments = vec![
        "--feeds-every-hours=1".to_owned(),
        format!("--debian-url={}", source.url("/tracker")),
        format!("--alpine-url={}", source.url("/alpine")),
    ];
    let options = ServerOptions { arguments, ..ServerOptions::new(program.to_str().unwrap(), &data) };
    let server = Server::start(options);
    assert_eq!(std::fs::metadata(data.join("lazaret.db")).unwrap().uid(), 65534);
    let client = server.client();
    // A large one: what SQLite sorts and might undo does not fit into its first pages.
    let names: Vec<String> = (0..3000).map(|number| format!("package-{number}")).collect();
    let mut packages: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.0-1")).collect();
    packages.push(("zlib", "1.0-1"));
    let (release, status) = (debian("12", "bookworm"), dpkg(&packages));
    let pushed = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
    let digest = client.push("app/web", "1", &pushed).await.unwrap();
    for number in 2..12 {
        let (status, layer) = (dpkg(&packages), number.to_string());
        let other = image().layer(&[(release.0, &release.1), (status.0, &status.1), ("number", &layer)]);
        client.push("app/web", &layer, &other).await.unwrap();
    }
    let token = client.arm_token().await;
    client.wait_for_verdict(&token, &digest).await;
    let question =
        serde_json::json!({ "query": "securityresources | summarize count() by type | order by type" });
    let url = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01";
    let (status, rows) = client.post_json(url, &token, &question).await;
    assert_eq!(status, 200, "{rows}");
    let gone = client.request(reqwest::Method::DELETE, "/v2/app/web/manifests/1").send().await.unwrap();
    assert_eq!(gone.status(), 202);
    // The commands, too, which find the advisory data and copy it.
    for command in
        [&["fsck"][..], &["image", "list"], &["purge"], &["query", "resources | count"], &["usage"]]
    {
        let done = server.command(command);
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(server.terminate());
    everything_is_closed(&data);
}

const TRACKER: &str = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;

/// Files 0600, folders 0700.
fn everything_is_closed(folder: &Path) {
    let found = std::fs::metadata(folder).unwrap();
    assert_eq!(found.mode() & 0o777, 0o700, "{}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = std::fs::metadata(&path).unwrap();
        if found.is_dir() {
            everything_is_closed(&path);
        } else {
            assert_eq!(found.mode() & 0o777, 0o600, "{}", path.display());
        }
    }
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            open_to_all(&path);
        } else {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_others_could_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // As `mkdir` makes it, for a user whose files others may read.
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(data.join("notes.txt"), "not Lazaret's").unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &data));
    let client = server.client();
    client.push("app/web", "1", &image().layer(&[("a", "b")])).await.unwrap();
    let open = client.request(reqwest::Method::POST, "/v2/app/web/blobs/uploads/").send().await.unwrap();
    let session = open.headers()["location"].to_str().unwrap().to_owned();
    let sent = client.request(reqwest::Method::PATCH, &session).body("begun").send().await.unwrap();
    assert_eq!(sent.status(), 202);
    std::fs::remove_file(data.join("notes.txt")).unwrap();
    assert!(data.join("lazaret.db-wal").exists() && data.join("lazaret.db-shm").exists());
    everything_is_closed(&data);
    let backup = folder.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    std::fs::set_permissions(&backup, std::fs::Permissions::from_mode(0o755)).unwrap();
    let copied = server.command(&["backup", backup.to_str().unwrap()]);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    everything_is_closed(&backup);

    // One of an older version, killed: with its log.
    let options = server.kill();
    open_to_all(&data);
    let foreign = data.join("notes.txt");
    std::fs::write(&foreign, "not Lazaret's").unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start(options);
    assert_eq!(std::fs::metadata(&foreign).unwrap().mode() & 0o777, 0o644, "it is not ours");
    std::fs::remove_file(&foreign).unwrap();
    everything_is_closed(&data);
    drop(server);
}

#[test]
fn the_first_password_is_not_in_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(LAZARET)
        .args([
            "serve",
            "--listen=127.0.0.1:0",
            "--listen-tls=127.0.0.1:0",
            "--feeds-every-hours=0",
            "--data",
        ])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    while !said.contains("lazaret image show") {
        said += &lines.next().unwrap().unwrap();
        said.push('\n');
    }
    child.kill().unwrap();
    said += &String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let password = std::fs::read_to_string(folder.path().join("admin-password")).unwrap();
    assert!(!said.contains(password.trim()), "{said}");
    assert!(said.contains("admin-password"), "it is said where to find it: {said}");
}
