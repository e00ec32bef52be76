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
    assert!(is_sound && report.contains("4 blobs") && report.contains("1 manifests are right"), "{report}");

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
