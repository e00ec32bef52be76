//! Results by repository: who may read those of some repositories sees them, and no others, by every door.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");
const ON_REGISTRY: &str = "dbd0cb49-b563-45e7-9724-889e799fa648";
const FINDINGS: &str = "securityresources | where type == 'microsoft.security/assessments/subassessments'";

/// A name, the roles that it is given, and the repositories whose results these show.
type Reader = (&'static str, &'static [&'static [&'static str]], &'static [&'static str]);

const WHO: [Reader; 4] = [
    (
        "both",
        &[&["Security Reader", "--repository=team"], &["AcrPull", "--repository=team"]],
        &["team", "team/a", "team/b"],
    ),
    ("meet", &[&["Security Reader", "--scope=/"], &["AcrPush", "--repository=team/a"]], &["team/a"]),
    ("reader", &[&["Reader", "--repository=team/b"]], &["team/b"]),
    ("apart", &[&["Security Reader", "--repository=app"], &["AcrPull", "--repository=team"]], &[]),
];

async fn filled(server: &Server) {
    server.hold_bad_and_good().await;
    let client = server.client();
    for (repository, packages) in [
        ("app", &["zlib"][..]),
        ("team", &["zlib"]),
        ("team/a", &["zlib"]),
        ("team/a", &["zlib", "bash"]),
        ("team/b", &["bash"]),
        ("teams", &["zlib"]),
    ] {
        let packages: Vec<_> = packages.iter().map(|name| (*name, "1.0-1")).collect();
        let (release, status) = (debian("12", "bookworm"), dpkg(&packages));
        let made = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
        client.push(repository, &format!("t{}", packages.len()), &made).await.unwrap();
        let scanned = server.command(&["scan", &format!("{repository}:t{}", packages.len())]);
        assert!(scanned.status.success(), "{}", String::from_utf8_lossy(&scanned.stderr));
    }
}

fn run(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn principal(server: &Server, name: &str, held: &[&[&str]]) -> Client {
    let [role, at] = held[0] else { panic!("a role and where it is held") };
    let made = run(server, &["principal", "create", name, &format!("--role={role}"), at]);
    for role in &held[1..] {
        run(server, &[&["role", "assign", name], *role].concat());
    }
    let secret =
        made.lines().find(|line| line.starts_with("secret")).unwrap().split_whitespace().nth(1).unwrap();
    Client::new(&server.address, name, secret)
}

/// All pages of a list: the rows' ids.
async fn listed(client: &Client, token: &str, path: &str) -> Result<BTreeSet<String>, u16> {
    let mut ids = BTreeSet::new();
    let mut next = Some(format!("{path}?api-version=2020-01-01"));
    while let Some(path) = next {
        let answer = client.with_token(token, &path).await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let document: Value = answer.json().await.unwrap();
        for row in document["value"].as_array().unwrap() {
            assert!(ids.insert(row["id"].as_str().unwrap().to_owned()), "{row} is there twice");
        }
        next = document["nextLink"].as_str().map(|link| {
            let rest = link.split_once("://").unwrap().1;
            rest[rest.find('/').unwrap()..].to_owned()
        });
    }
    Ok(ids)
}

/// The answer of Resource Graph, and its warning.
async fn asked(server: &Server, token: &str, query: &str) -> (Value, Option<String>) {
    let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01";
    let request = reqwest::Client::new().post(format!("http://{}{path}", server.address)).bearer_auth(token);
    let answer = request.json(&json!({ "query": query, "options": { "$top": 1000 } })).send().await.unwrap();
    assert!(answer.status().is_success(), "{query}: {}", answer.status());
    let warning = answer.headers().get("warning").map(|value| value.to_str().unwrap().to_owned());
    (answer.json().await.unwrap(), warning)
}

fn texts(answer: &Value, column: &str) -> BTreeSet<String> {
    answer["data"].as_array().unwrap().iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_shows_the_results_of_the_callers_repositories_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
    filled(&server).await;
    let admin = server.client();
    let all = admin.arm_token().await;
    let registry = admin.registry_id(&all).await;
    let subscription = registry.split("/resourceGroups/").next().unwrap().to_owned();
    let security = "providers/Microsoft.Security";
    let lists = [
        format!("{registry}/{security}/assessments/{ON_REGISTRY}/subAssessments"),
        format!("{registry}/{security}/subAssessments"),
        format!("{subscription}/{security}/subAssessments"),
        format!("{subscription}/resourceGroups/default/{security}/subAssessments"),
        format!("{subscription}/{security}/assessments"),
        format!("{registry}/{security}/assessments"),
    ];
    // Which repository each row is of, by what Resource Graph says to the owner.
    let repository = "tostring(properties.additionalData.repositoryName)";
    let (everything, no_warning) =
        asked(&server, &all, &format!("{FINDINGS} | project id, of = coalesce({repository}, tostring(properties.additionalData.artifactDetails.repositoryName))")).await;
    assert_eq!(no_warning, None, "nothing is hidden from the owner");
    assert_eq!(texts(&everything, "of").len(), 7, "{everything}");
    for (name, held, repositories) in WHO {
        let client = principal(&server, name, held);
        let token = client.arm_token().await;
        let wanted: BTreeSet<String> = everything["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| repositories.contains(&row["of"].as_str().unwrap()))
            .map(|row| row["id"].as_str().unwrap().to_ascii_lowercase())
            .collect();
        for path in &lists {
            let mut of_admin = listed(&admin, &all, path).await.unwrap();
            if path.ends_with("ubAssessments") {
                of_admin.retain(|id| wanted.contains(&id.to_ascii_lowercase()));
            } else {
                // Those of images, by what their ids say; of the registry as a whole none.
                of_admin.retain(|id| {
                    repositories
                        .iter()
                        .any(|of| id.contains(&format!("/repositories-{}-images-", of.replace('/', "-"))))
                });
            }
            assert_eq!(listed(&client, &token, path).await.unwrap(), of_admin, "{name}: {path}");
        }
        let own = format!("{registry}/{security}/assessments/{ON_REGISTRY}?api-version=2020-01-01");
        assert_eq!(
            client.with_token(&token, &own).await.unwrap().status(),
            403,
            "{name}: it tells of all images"
        );
        for row in everything["data"].as_array().unwrap() {
            let (id, of) = (row["id"].as_str().unwrap(), row["of"].as_str().unwrap());
            let one = client.with_token(&token, &format!("{id}?api-version=2020-01-01")).await.unwrap();
            let status = if repositories.contains(&of) { 200 } else { 404 };
            assert_eq!(one.status(), status, "{name}: {id} of {of}");
        }
        let (answer, warning) = asked(&server, &token, &format!("{FINDINGS} | project id")).await;
        let found: BTreeSet<_> = texts(&answer, "id").iter().map(|id| id.to_ascii_lowercase()).collect();
        assert_eq!(found, wanted, "{name}");
        assert_eq!(answer["totalRecords"], wanted.len(), "{name}");
        assert!(warning.unwrap().contains("all results of 0 of 1 registries"), "{name}");
        let (counted, _) = asked(
            &server,
            &token,
            "securityresources | where type !has 'pricings' | summarize n = count() by type",
        )
        .await;
        let counts: u64 =
            counted["data"].as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).sum();
        let (assessments, _) = asked(
            &server,
            &token,
            "securityresources | where type == 'microsoft.security/assessments' | project id",
        )
        .await;
        assert_eq!(counts as usize, wanted.len() + texts(&assessments, "id").len(), "{name}");
    }

    // A right that was taken away shows nothing within a second, in tables and through tokens that are out.
    let both = principal(&server, "taken", WHO[0].1);
    let token = both.arm_token().await;
    assert!(!listed(&both, &token, &lists[0]).await.unwrap().is_empty());
    run(&server, &["role", "remove", "taken", "AcrPull", "--repository=team"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while listed(&both, &token, &lists[0]).await != Err(403) {
        assert!(Instant::now() < deadline, "a right that was taken away is still there");
    }
    assert_eq!(asked(&server, &token, FINDINGS).await.0["totalRecords"], 0);
}
