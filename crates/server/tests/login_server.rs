//! Where clients are told to find a registry: every door tells one client the same.

use serde_json::{Value, json};
use testkit::{Server, ServerOptions};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

#[tokio::test(flavor = "multi_thread")]
async fn resource_graph_shows_the_login_servers_that_arm_shows() {
    let cases = [
        ("known.example:8443", "known.example:8443", "teamone.reg.example:8443"),
        ("known.example", "known.example", "teamone.reg.example"),
        ("teamone.reg.example:9", "lazaret.reg.example:9", "teamone.reg.example:9"),
        ("[::1]:77", "[::1]:77", "teamone.reg.example:77"),
    ];
    shows(&[], &cases).await;
    // What the operator tells holds, whatever a client calls the server.
    let told = [
        ("known.example:8443", "told.example:444", "teamone.reg.example:444"),
        ("teamone.reg.example", "told.example:444", "teamone.reg.example:444"),
    ];
    shows(&["--login-server=told.example:444"], &told).await;
}

/// Each case: the host by which a client reaches the server, and the login servers of the default registry and of
/// another.
async fn shows(options: &[&str], cases: &[(&str, &str, &str)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = ServerOptions::new(LAZARET, &folder.path().join("data")).with("--domain=reg.example");
    let server = Server::start(options.iter().fold(first, |all, option| all.with(option)));
    assert!(server.command(&["registry", "create", "teamone"]).status.success());
    let token = server.client().arm_token().await;
    let port = server.address.rsplit_once(':').expect("a port").1;
    // The client reaches the server by each of these names; the address is the same.
    for &(host, default, other) in cases {
        let http = reqwest::Client::new();
        let address = format!("http://127.0.0.1:{port}");
        let asked = |request: reqwest::RequestBuilder| {
            let sent = request.bearer_auth(&token).header("host", host).send();
            async {
                sent.await
                    .expect("answers")
                    .error_for_status()
                    .expect("an answer")
                    .json::<Value>()
                    .await
                    .expect("JSON")
            }
        };
        let subscriptions = asked(http.get(format!("{address}/subscriptions?api-version=2022-12-01"))).await;
        let subscription = subscriptions["value"][0]["subscriptionId"].as_str().expect("an id").to_owned();
        let listed = asked(http.get(format!(
            "{address}/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries?api-version=2023-07-01"
        )))
        .await;
        let of_arm = |name: &str| {
            let rows = listed["value"].as_array().expect("a list");
            let row = rows.iter().find(|row| row["name"] == name).expect("the registry");
            row["properties"]["loginServer"].clone()
        };
        let query = "resources | where type =~ 'microsoft.containerregistry/registries' | project name, host = properties.loginServer";
        let graph = asked(
            http.post(format!(
                "{address}/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
            ))
            .json(&json!({ "query": query })),
        )
        .await;
        let of_graph = |name: &str| {
            let rows = graph["data"].as_array().expect("rows");
            rows.iter().find(|row| row["name"] == name).expect("the registry")["host"].clone()
        };
        for (name, wanted) in [("lazaret", default), ("teamone", other)] {
            assert_eq!((of_arm(name), of_graph(name)), (json!(wanted), json!(wanted)), "{name} by {host}");
        }
    }
}
