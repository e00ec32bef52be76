//! Principals and roles, given by the command line while the server runs.

use serde_json::Value;
use testkit::{Client, Image, Server, ServerOptions, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8(output.stderr).expect("text")
}

/// What a command showed on the line that begins with `secret`.
fn secret(shown: &str) -> String {
    let line = shown.lines().find(|line| line.starts_with("secret")).expect("a secret is shown");
    line.split_whitespace().nth(1).expect("a secret").to_owned()
}

fn made() -> Image {
    image().layer(&[("a", "b")])
}

#[tokio::test]
async fn a_principal_pushes_where_its_role_says_and_until_it_is_gone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let shown = ok(&server, &["principal", "create", "ci", "--role=AcrPush", "--repository=team"]);
    let client = Client::new(&server.address, "ci", &secret(&shown));
    client.push("team/app", "1", &made()).await.expect("its own repository");
    let elsewhere = client.push("other/app", "1", &made()).await.expect_err("not its own");
    assert_eq!(elsewhere.status(), Some(reqwest::StatusCode::FORBIDDEN));

    let registry = server.client().registry_id(&server.client().arm_token().await).await;
    let results =
        format!("{registry}/providers/Microsoft.Security/subAssessments?api-version=2019-01-01-preview");
    let token = client.arm_token().await;
    let status = |token: String| {
        let (client, results) = (client.clone(), results.clone());
        async move { client.with_token(&token, &results).await.expect("answers").status().as_u16() }
    };
    // It may know of the registry only through its repository.
    assert_eq!(status(token.clone()).await, 403);
    ok(&server, &["role", "assign", "ci", "Security Reader", "--scope=/"]);
    assert_eq!(status(token.clone()).await, 200, "of its own repository: roles are read with each request");
    ok(&server, &["role", "remove", "ci", "Security Reader", "--scope=/"]);
    assert_eq!(status(token.clone()).await, 403);

    let rotated = secret(&ok(&server, &["principal", "rotate", "ci"]));
    assert_eq!(status(token).await, 401, "the old secret's token is good no longer");
    assert!(client.push("team/app", "2", &made()).await.is_err());
    let client = Client::new(&server.address, "ci", &rotated);
    client.push("team/app", "2", &made()).await.expect("the new secret");
    ok(&server, &["principal", "delete", "ci"]);
    assert!(client.push("team/app", "3", &made()).await.is_err());
}

#[tokio::test]
async fn a_secret_is_rotated_while_the_old_one_is_good_and_an_expired_one_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    let shown = ok(&server, &["principal", "create", "ci", "--role=Owner", "--scope=/"]);
    let old = Client::new(&server.address, "ci", &secret(&shown));
    let shown = ok(&server, &["principal", "secret", "add", "ci", "--name=next", "--expires-days=90"]);
    let new = Client::new(&server.address, "ci", &secret(&shown));
    old.push("app", "1", &made()).await.expect("the old secret");
    new.push("app", "2", &made()).await.expect("the new secret");
    let (old_token, new_token) = (old.arm_token().await, new.arm_token().await);
    let listed = ok(&server, &["principal", "secret", "list", "ci", "--format=json"]);
    assert!(!listed.contains("argon2"), "no hash is shown");
    let listed: Value = serde_json::from_str(&listed).expect("a list");
    let key = |name: &str| {
        let found = listed.as_array().expect("a list").iter().find(|secret| secret["name"] == name);
        found.expect("listed")["id"].as_str().expect("an id").to_owned()
    };
    ok(&server, &["principal", "secret", "remove", "ci", &key("")]);
    let subscriptions = "/subscriptions?api-version=2022-12-01";
    let status = async |token: &str| old.with_token(token, subscriptions).await.expect("answers").status();
    assert_eq!(status(&old_token).await, reqwest::StatusCode::UNAUTHORIZED, "it ended with its secret");
    assert_eq!(status(&new_token).await, reqwest::StatusCode::OK);
    assert!(old.push("app", "3", &made()).await.is_err());
    assert!(refused(&server, &["principal", "secret", "remove", "ci", &key("next")]).contains("only secret"));
    assert!(refused(&server, &["principal", "secret", "remove", "ci", &key("")]).contains("secret list ci"));

    let shown = ok(&server, &["principal", "secret", "add", "ci", "--expires-days=0"]);
    let expired = Client::new(&server.address, "ci", &secret(&shown));
    let refused = expired.push("app", "4", &made()).await.expect_err("it has expired");
    assert_eq!(refused.status(), Some(reqwest::StatusCode::UNAUTHORIZED));
    let endpoints = server.client().json("/metadata/endpoints?api-version=2022-09-01").await;
    let tenant = endpoints["authentication"]["tenant"].as_str().expect("text").to_owned();
    let url = format!("http://{}/{tenant}/oauth2/v2.0/token", server.address);
    for (shown, code) in [(secret(&shown), 7_000_222), ("wrong".to_owned(), 7_000_215)] {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "ci"),
            ("client_secret", shown.as_str()),
            ("scope", "https://management.azure.com/.default"),
        ];
        let answer = reqwest::Client::new().post(&url).form(&form).send().await.expect("answers");
        assert_eq!(answer.status(), reqwest::StatusCode::UNAUTHORIZED);
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!((&answer["error"], &answer["error_codes"][0]), (&"invalid_client".into(), &code.into()));
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_somebody_always_owns_the_house() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    for (arguments, wanted) in [
        (["principal", "create", "a b", "--role=AcrPush"].as_slice(), "letters"),
        (&["principal", "create", "00000000-0000-0000-0000-000000000001", "--role=AcrPush"], "not a GUID"),
        (&["principal", "create", "admin", "--role=AcrPush"], "already"),
        (&["principal", "create", "x", "--role=Captain"], "lazaret role list"),
        (&["principal", "create", "x", "--role=AcrPush", "--scope=somewhere"], "not a scope"),
        (&["principal", "rotate", "nobody"], "lazaret principal list"),
        (&["principal", "delete", "admin"], "give it to another one first"),
        (&["role", "remove", "admin", "Owner", "--scope=/"], "give it to another one first"),
        (&["role", "remove", "admin", "AcrPull"], "is not AcrPull"),
    ] {
        let said = refused(&server, arguments);
        assert!(said.contains(wanted) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    ok(&server, &["principal", "create", "second", "--role=Owner", "--scope=/"]);
    ok(&server, &["principal", "delete", "admin"]);
    let listed: Value =
        serde_json::from_str(&ok(&server, &["principal", "list", "--format=json"])).expect("a list");
    assert_eq!(listed.as_array().expect("a list").len(), 1);
    assert_eq!((&listed[0]["name"], &listed[0]["roles"][0]["role"]), (&"second".into(), &"Owner".into()));
    assert!(refused(&server, &["principal", "delete", "second"]).contains("give it to another one first"));
    assert!(server.terminate());
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    assert!(!ok(&server, &["principal", "list"]).contains("admin"), "one who was removed stays so");
}

#[tokio::test]
async fn who_is_a_person_is_said_and_what_the_directory_changes_is_in_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(ServerOptions::new(LAZARET, folder.path()));
    for (name, kind) in [("ann@example.org", None), ("mara", Some("--kind=person")), ("ci", None)] {
        let create = ["principal", "create", name, "--role=AcrPull"];
        ok(&server, &create.into_iter().chain(kind).collect::<Vec<_>>());
    }
    assert_eq!(
        ok(&server, &["principal", "set", "ann@example.org", "--kind=program"]),
        "ann@example.org is a program\n"
    );
    let client = server.client();
    let token = client.arm_token().await;
    let url = |path: &str| format!("http://{}/v1.0{path}", server.address);
    let http = reqwest::Client::new();
    let post = async |path: &str, body: Value| -> Value {
        let sent = http.post(url(path)).bearer_auth(&token).json(&body).send().await.expect("answers");
        assert!(sent.status().is_success(), "{path}: {}", sent.status());
        sent.json().await.expect("a document")
    };
    let made = post("/applications", serde_json::json!({ "displayName": "made" })).await;
    let id = made["id"].as_str().expect("an id");
    let listed: Value =
        serde_json::from_str(&ok(&server, &["principal", "list", "--format=json"])).expect("a list");
    let owner = |name: &str| {
        let found = listed.as_array().expect("a list").iter().find(|row| row["name"] == name);
        found.expect("listed")["owner"].clone()
    };
    assert_eq!((owner("made"), owner("ci")), ("admin".into(), Value::Null));
    let added = post(&format!("/applications/{id}/addPassword"), serde_json::json!({})).await;
    let secret = added["secretText"].as_str().expect("a secret");
    // A certificate's key in the place of a secret: the list is sent as it is to be.
    let pair = rcgen::KeyPair::generate().expect("a key");
    let mut wanted = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    wanted.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let certificate = wanted.self_signed(&pair).expect("a certificate").pem();
    let key: String = certificate.lines().filter(|line| !line.starts_with("---")).collect();
    let patch = async |list: Value| {
        let sent = http.patch(url(&format!("/applications/{id}"))).bearer_auth(&token);
        sent.json(&serde_json::json!({ "keyCredentials": list }))
            .send()
            .await
            .expect("answers")
            .status()
            .as_u16()
    };
    let list = async || {
        let sent = http.get(url(&format!("/applications/{id}"))).bearer_auth(&token).send().await;
        let document: Value = sent.expect("answers").json().await.expect("a document");
        assert_eq!(document["passwordCredentials"].as_array().expect("a list").len(), 1, "it stays");
        document["keyCredentials"].clone()
    };
    let new =
        serde_json::json!({ "key": key, "displayName": "signed", "endDateTime": "2090-01-01T00:00:00Z" });
    assert_eq!(patch(Value::Array(vec![new.clone()])).await, 204);
    let first = list().await;
    assert_eq!(
        (&first[0]["displayName"], &first[0]["endDateTime"]),
        (&new["displayName"], &new["endDateTime"])
    );
    assert_eq!(patch(serde_json::json!([first[0], { "key": key }])).await, 204);
    let both = list().await;
    assert_eq!(both.as_array().expect("a list").len(), 2);
    let other = both.as_array().expect("a list").iter().find(|one| one["keyId"] != first[0]["keyId"]);
    assert_eq!(other.expect("the other")["endDateTime"], "2100-01-01T00:00:00Z", "its own");
    for wrong in [
        serde_json::json!([{ "key": "AAAA" }]),
        serde_json::json!([{ "keyId": id }]),
        serde_json::json!([{ "key": key, "usage": "Sign" }]),
        serde_json::json!([{ "key": key, "endDateTime": "2020-01-01T00:00:00Z" }]),
        serde_json::json!([new, new, new, new, new]),
        serde_json::json!("x"),
    ] {
        assert_eq!(patch(wrong.clone()).await, 400, "{wrong}");
    }
    assert_eq!(patch(serde_json::json!([other])).await, 204);
    assert_eq!(list().await, serde_json::json!([other]));
    let gone = http.delete(url(&format!("/servicePrincipals/{id}"))).bearer_auth(&token).send().await;
    assert_eq!(gone.expect("answers").status(), reqwest::StatusCode::NO_CONTENT);

    let listed: Value =
        serde_json::from_str(&ok(&server, &["principal", "list", "--format=json"])).expect("a list");
    let kinds: Vec<_> =
        listed.as_array().expect("a list").iter().map(|row| (&row["name"], &row["kind"])).collect();
    let wanted = [("admin", "person"), ("ann@example.org", "program"), ("ci", "program"), ("mara", "person")];
    assert_eq!(
        kinds,
        wanted
            .map(|(name, kind)| (Value::from(name), Value::from(kind)))
            .each_ref()
            .map(|(name, kind)| (name, kind))
    );
    let log = ok(&server, &["audit", "--format=json"]);
    assert!(!log.contains(secret), "no secret is in it");
    let log: Value = serde_json::from_str(&log).expect("a list");
    let rows = log.as_array().expect("a list").iter();
    let of_directory: Vec<_> = rows
        .filter(|row| row["action"].as_str().is_some_and(|action| action.starts_with("microsoft.directory/")))
        .collect();
    for row in &of_directory {
        let changes = row["changes"].to_string();
        let is_named = changes.contains(&format!("made ({id})")) || changes.contains(r#""of":"made""#);
        assert!(is_named, "the program's own name: {row}");
    }
    let mut of_directory: Vec<_> = of_directory
        .into_iter()
        .map(|row| (row["action"].as_str().expect("text"), row["scope"].as_str().expect("text").to_owned()))
        .collect();
    of_directory.sort();
    assert_eq!(
        of_directory,
        [
            ("microsoft.directory/applications/create", format!("/applications/{id}")),
            ("microsoft.directory/applications/credentials/update", format!("/applications/{id}")),
            ("microsoft.directory/applications/credentials/update", format!("/applications/{id}")),
            ("microsoft.directory/applications/credentials/update", format!("/applications/{id}")),
            ("microsoft.directory/applications/credentials/update", format!("/applications/{id}")),
            ("microsoft.directory/servicePrincipals/delete", format!("/servicePrincipals/{id}")),
        ]
    );
}
