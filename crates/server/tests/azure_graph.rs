//! Resource Graph by Azure's own Python SDKs, unmodified, with and without asyncio, over TLS.

use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// 8.0.1, 7.0.0, and the newest preview.
const ENVIRONMENTS: [&str; 3] = ["azure", "graph-7", "graph-8b"];

#[tokio::test]
async fn azures_resource_graph_sdks_work_unmodified() {
    let what = "Azure's SDKs for Resource Graph";
    let pythons = ENVIRONMENTS.map(|environment| testkit::python(environment, what));
    if pythons.iter().all(Option::is_none) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    server.hold_bad_and_good().await;
    for python in pythons.into_iter().flatten() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_graph.py");
        let output = server.run_python(&python, script, &[]).await;
        assert!(output.status.success(), "{}: {}", python.display(), String::from_utf8_lossy(&output.stderr));
    }
}
