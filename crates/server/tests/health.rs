//! What machines ask to know how the server does, and what people see at its address.

use serde_json::json;
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_told_how_the_server_does_without_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    // Installs the provider that reqwest uses.
    drop(server.client());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let answer = http.get(format!("http://{}{path}", server.address)).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().await.unwrap())
    };
    for path in ["/livez", "/startupz"] {
        assert_eq!(get(path).await, (200, json!({ "status": "ok" })), "{path}");
    }
    // Pulls are served; what else is wrong is said.
    let (status, body) = get("/readyz").await;
    assert_eq!((status, &body["status"]), (200, &json!("degraded")), "{body}");
    assert_eq!(body["checks"]["advisories"]["ok"], false, "{body}");
    for check in ["database", "blobs", "writable"] {
        assert_eq!(body["checks"][check], json!({ "ok": true }), "{body}");
    }
    assert_eq!(get("/readyz?require=writable").await.0, 200);
    let (status, body) = get("/readyz?require=writable,advisories").await;
    assert_eq!((status, &body["status"]), (503, &json!("unready")));
    assert_eq!(get("/readyz?require=everything").await.0, 400);

    let tracker = folder.path().join("tracker.json");
    let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#;
    std::fs::write(&tracker, text).unwrap();
    assert!(server.command(&["feeds", "import", tracker.to_str().unwrap()]).status.success());
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let (status, body) = get("/readyz?require=advisories").await;
    assert_eq!((status, &body["status"]), (200, &json!("ready")), "{body}");

    // Without its blobs it serves no pulls.
    let blobs = folder.path().join("data/registry/blobs");
    std::fs::rename(&blobs, folder.path().join("away")).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let (status, body) = get("/readyz").await;
    assert_eq!((status, &body["checks"]["blobs"]["ok"]), (503, &json!(false)), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_open_the_address_are_told_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    // Installs the provider that reqwest uses.
    drop(server.client());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/", server.address);
    let text = http.get(&url).send().await.unwrap();
    assert_eq!(
        (text.status().as_u16(), &text.headers()["content-type"]),
        (200, &"text/plain; charset=utf-8".parse().unwrap())
    );
    let text = text.text().await.unwrap();
    assert!(text.contains(&format!("docker login {}", server.address)), "{text}");
    let page = http.get(&url).header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert!(page.text().await.unwrap().contains(&format!("docker login {}", server.address)));
    // A host that is none is not repeated.
    let odd =
        http.get(&url).header("accept", "text/html").header("host", "x\"><script>").send().await.unwrap();
    assert!(!odd.text().await.unwrap().contains("<script>"));
}
