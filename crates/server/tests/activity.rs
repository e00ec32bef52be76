//! The Activity Log: each reads what was done where they may read, and no more.

use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test]
async fn each_reads_what_was_done_where_they_may_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    let admin = server.client();
    let token = admin.arm_token().await;
    let registry = admin.registry_id(&token).await;
    let subscription = registry.split("/resourceGroups").next().expect("a part");
    for group in ["red", "blue"] {
        let url =
            format!("http://{}{subscription}/resourceGroups/{group}?api-version=2022-12-01", server.address);
        let made = reqwest::Client::new().put(url).bearer_auth(&token).json(&json!({ "location": "local" }));
        assert_eq!(made.send().await.expect("answers").status(), 201);
    }
    let scope = format!("--scope={subscription}/resourceGroups/red");
    let made = server.command(&["principal", "create", "ruby", "--role=Reader", &scope]);
    let made = String::from_utf8(made.stdout).expect("text");
    let secret = made.lines().find(|line| line.starts_with("secret")).expect("a secret");
    let secret = secret.split_whitespace().nth(1).expect("a secret");
    let ruby = Client::new(&server.address, "ruby", secret).arm_token().await;
    let read = async |token: &str, more: &str| {
        let filter = format!("$filter=eventTimestamp%20ge%202020-01-01T00:00:00{more}");
        let path = format!(
            "{subscription}/providers/microsoft.insights/eventtypes/management/values?api-version=2015-04-01&{filter}"
        );
        let log: Value =
            admin.with_token(token, &path).await.expect("answers").json().await.expect("a document");
        let rows = log["value"].as_array().unwrap_or_else(|| panic!("{log}")).clone();
        let named = |row: &Value| {
            row["properties"]["changes"].as_str().map(|changes| changes.contains("resource group"))
        };
        assert!(rows.iter().all(|row| named(row) == Some(true)), "{rows:?}");
        rows.into_iter().map(|row| row["resourceGroupName"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(read(&token, "").await, ["blue", "red"], "from the newest");
    assert_eq!(read(&ruby, "").await, ["red"]);
    assert_eq!(
        read(&token, "%20and%20resourceGroupName%20eq%20'BLUE'%20and%20caller%20eq%20'admin'").await,
        ["blue"]
    );
    assert_eq!(read(&token, "%20and%20status%20eq%20'Failed'").await, [""; 0]);
}
