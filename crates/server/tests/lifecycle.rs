//! What is set by the command line holds in the running server.

use std::time::{Duration, Instant};

use testkit::{Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_set_beside_the_server_holds_in_it_and_after_a_crash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let client = server.client();
    let (first, second) = (image().layer(&[("a", "1")]), image().layer(&[("a", "2")]));
    client.push("app", "1", &first).await.expect("pushes");
    // Now it is in the server's memory.
    assert_eq!(client.get("/v2/app/manifests/1").await.expect("answers").status(), 200);

    let set = |flag: &str| {
        let output = server.command(&["lock", "set", "app:1", flag]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    set("--read-enabled=false");
    let began = Instant::now();
    while client.get("/v2/app/manifests/1").await.expect("answers").status() != 403 {
        assert!(began.elapsed() < Duration::from_secs(20), "it still answers from memory");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    set("--read-enabled=true");
    set("--write-enabled=false");
    assert!(client.push("app", "1", &second).await.is_err(), "a locked tag does not move");

    let freeze = ["lock", "immutable", "set", "releases", "--repositories=app", "--tags=v*"];
    assert!(server.command(&freeze).status.success());
    client.push("app", "v1", &first).await.expect("pushes");
    client.push("app", "v1", &first).await.expect("pushes the same again");
    let refused = client.push("app", "v1", &second).await.expect_err("an immutable tag does not move");
    assert!(format!("{refused:?}").contains("403"), "{refused:?}");
    client.push("app", "next", &second).await.expect("another tag moves");

    let server = Server::start(server.kill());
    let client = server.client();
    assert!(client.push("app", "1", &second).await.is_err(), "a lock survives a crash");
    let held = client.get("/v2/app/manifests/1").await.expect("answers");
    assert_eq!(held.bytes().await.expect("a body"), first.manifest());
    assert!(!server.command(&["lock", "show", "app:absent"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_locks_are_of_the_registry_that_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let said = |arguments: &[&str]| {
        let output = server.command(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    said(&["registry", "create", "second"]);
    let layout = folder.path().join("layout");
    for tag in ["1", "2"] {
        image().layer(&[("a", tag)]).save_layout(&layout, tag);
    }
    for registry in ["lazaret", "second"] {
        said(&["import", layout.to_str().expect("text"), "--to=app", "--registry", registry]);
    }
    said(&["lock", "set", "app:1", "--delete-enabled=false", "--registry=second"]);
    let is_open = |registry: &str| {
        let shown = said(&["lock", "show", "app:1", "--registry", registry]);
        shown.lines().find(|line| line.contains("delete")).expect("a line").contains("true")
    };
    assert!(is_open("lazaret") && !is_open("second"));
    said(&["lock", "set", "app:1", "--delete-enabled=true", "--registry=second"]);

    said(&["retention", "set", "newest", "--keep-newest=1", "--registry=second"]);
    assert!(!said(&["retention", "list"]).contains("newest"));
    assert!(said(&["retention", "list", "--registry=second"]).contains("newest"));
    let removed = said(&["purge", "--format=json"]);
    let removed: serde_json::Value = serde_json::from_str(&removed).expect("a list");
    let registries: Vec<_> = removed.as_array().expect("a list").iter().map(|it| &it["registry"]).collect();
    assert_eq!(registries, ["second"], "{removed}");
    assert!(!server.command(&["retention", "remove", "newest"]).status.success());
    said(&["retention", "remove", "newest", "--registry=second"]);
}
