//! A backup taken while pushes go on is sound, and serves what was there before it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_sound_and_serves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let server = Server::start(ServerOptions::new(LAZARET, &data));
    let password = server.password();
    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    std::fs::write(&tracker, text).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0")]));
    let before = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
    server.client().push("app", "before", &before).await.expect("pushes");

    let stop = Arc::new(AtomicBool::new(false));
    let pusher = {
        let (client, stop) = (server.client(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut pushed = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let another = image().layer(&[("number", &pushed.to_string())]);
                client.push("load", &format!("t{pushed}"), &another).await.expect("pushes");
                pushed += 1;
            }
            pushed
        })
    };
    let backup = |target: &std::path::Path| server.command(&["backup", target.to_str().expect("text")]);
    let output = backup(&copy);
    stop.store(true, Ordering::Relaxed);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(pusher.await.expect("pushes") > 0);
    assert!(!backup(&copy).status.success(), "a folder with something in it is left alone");
    let inside = backup(&data.join("copy"));
    let said = String::from_utf8_lossy(&inside.stderr);
    assert!(!inside.status.success() && said.contains("lies in the data folder"), "{said}");
    assert!(!data.join("copy").exists());

    let copied = Server::start(ServerOptions::new(LAZARET, &copy));
    let checked = copied.command(&["fsck"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    // The same names and secrets hold, and the verdict is there.
    let client = testkit::Client::new(&copied.address, "admin", &password);
    let manifest = client.get("/v2/app/manifests/before").await.expect("answers");
    assert_eq!(manifest.bytes().await.expect("a body"), before.manifest());
    let shown = copied.command(&["scan", "app:before", "--format=json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("a document");
    assert_eq!(shown["findings"][0]["id"], "CVE-1");
}
