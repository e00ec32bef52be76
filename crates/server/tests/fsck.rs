//! Bit rot and lost files: found, said, and mended by the next push.

use testkit::{Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test]
async fn what_is_damaged_is_found_and_comes_back_with_the_next_push() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let pushed = image().layer(&[("a", "one")]).layer(&[("b", "two")]).layer(&[("c", "three")]);
    server.client().push("app", "1", &pushed).await.expect("pushes");
    let said = |server: &Server, arguments: &[&str]| {
        let output = server.command(arguments);
        (output.status.success(), String::from_utf8(output.stdout).expect("text"))
    };
    let (is_sound, report) = said(&server, &["fsck"]);
    assert!(is_sound && report.contains("4 blobs") && report.contains("1 manifest\n"), "{report}");

    let digests: Vec<_> = pushed.layers().map(oci::Digest::sha256).collect();
    let file = |digest: &oci::Digest| {
        folder.path().join("registry/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    };
    let mut rotten = std::fs::read(file(&digests[0])).expect("reads");
    rotten[20] ^= 1;
    std::fs::remove_file(file(&digests[0])).expect("removes");
    std::fs::write(file(&digests[0]), rotten).expect("writes");
    std::fs::remove_file(file(&digests[1])).expect("removes");
    let (is_sound, report) = said(&server, &["fsck"]);
    assert!(!is_sound && report.contains("2 blobs"), "{report}");
    assert!(report.contains(&format!("damaged     blob {}", digests[0])), "{report}");
    assert!(report.contains(&format!("missing     blob {}", digests[1])), "{report}");

    // Beside a running server nothing is changed.
    assert!(!server.command(&["fsck", "--repair"]).status.success());
    assert!(server.terminate());
    let options = ServerOptions::new(LAZARET, folder.path());
    let repaired =
        std::process::Command::new(LAZARET).args(["fsck", "--repair", "--data"]).arg(folder.path()).output();
    assert!(
        String::from_utf8_lossy(&repaired.expect("runs").stdout)
            .contains("2 lost or damaged blobs are forgotten")
    );
    let server = Server::start(options);
    let (is_sound, report) = said(&server, &["fsck"]);
    assert!(!is_sound && report.contains("incomplete  app@") && report.contains("needs"), "{report}");
    assert!(!report.contains("--repair"), "there is nothing to forget any more: {report}");
    server.client().push("app", "1", &pushed).await.expect("pushes what is missing");
    let (is_sound, report) = said(&server, &["fsck"]);
    assert!(is_sound && report.contains("4 blobs"), "{report}");
}

#[tokio::test]
async fn a_torn_or_lost_file_is_pushed_again_as_if_it_were_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let client = server.client();
    let pushed = image().layer(&[("a", "one")]).layer(&[("b", "two")]);
    client.push("app", "1", &pushed).await.expect("pushes");
    let digests: Vec<_> = pushed.layers().map(oci::Digest::sha256).collect();
    let file = |digest: &oci::Digest| {
        folder.path().join("registry/blobs/sha256").join(&digest.hex()[..2]).join(digest.hex())
    };
    let torn = std::fs::read(file(&digests[0])).expect("reads");
    std::fs::remove_file(file(&digests[0])).expect("removes");
    std::fs::write(file(&digests[0]), &torn[..torn.len() / 2]).expect("writes");
    std::fs::remove_file(file(&digests[1])).expect("removes");
    for digest in &digests {
        let at = format!("/v2/app/blobs/{digest}");
        let head = client.request(reqwest::Method::HEAD, &at).send().await.expect("answers");
        assert_eq!(head.status(), 404);
        assert_eq!(
            client.get(&at).await.expect("answers").status(),
            500,
            "who pulls is told that it is lost"
        );
        let mount = format!("/v2/other/blobs/uploads/?mount={digest}&from=app");
        let mounted = client.request(reqwest::Method::POST, &mount).send().await.expect("answers");
        assert_eq!(mounted.status(), 202, "an upload instead");
    }
    client.push("app", "1", &pushed).await.expect("pushes what is missing");
    for (digest, layer) in digests.iter().zip(pushed.layers()) {
        let got = client.get(&format!("/v2/app/blobs/{digest}")).await.expect("answers");
        assert_eq!(got.bytes().await.expect("reads"), layer);
    }
    assert!(server.command(&["fsck"]).status.success());
}
