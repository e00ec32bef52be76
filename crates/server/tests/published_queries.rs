//! The queries that people publish, as they stand, over images that were really pushed.
//!
//! What each comes to is in `published_queries.txt`; `LAZARET_BLESS=1` writes it anew, to be read by a person.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

fn made(packages: &[(&str, &str)]) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(packages));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

/// One flaw with a fix that is bad, one without that is not, and one that is fixed for long.
const TRACKER: &str = r#"{
  "zlib": {"CVE-2024-1": {"description": "overflow in inflate", "releases": {"bookworm":
    {"status": "resolved", "fixed_version": "2.0", "urgency": "high"}}}},
  "openssl": {"CVE-2024-2": {"description": "a slow handshake", "releases": {"bookworm":
    {"status": "open", "urgency": "low"}}}},
  "bash": {"CVE-2014-1": {"releases": {"bookworm":
    {"status": "resolved", "fixed_version": "0.1", "urgency": "medium"}}}}
}"#;

struct House {
    server: Server,
    token: String,
    folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(
        ServerOptions::new(LAZARET, &folder.path().join("data"))
            .with("--queries=1000")
            .with("--login-server=localhost:5000"),
    );
    let tracker = folder.path().join("tracker.json");
    std::fs::write(&tracker, TRACKER).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    let web = made(&[("zlib", "1.0-1"), ("openssl", "3.0-1")]);
    for (repository, tag, image) in [
        ("app/web", "1", &web),
        ("app/web", "latest", &web),
        ("app/web", "0.9", &made(&[("zlib", "0.9-1")])),
        ("app/good", "1", &made(&[("bash", "1.0-1")])),
        ("tools/odd", "1", &image().layer(&[("etc/motd", "hello")])),
    ] {
        server.client().push(repository, tag, image).await.expect("pushes");
        // An image that nothing is known of is no success, and no matter here.
        let _verdict = server.command(&["scan", &format!("{repository}:{tag}")]);
    }
    let token = server.client().arm_token().await;
    House { server, token, folder }
}

impl House {
    async fn ask(&self, body: Value) -> (u16, Value) {
        let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01";
        self.server.client().post_json(path, &self.token, &body).await
    }

    /// The rows of a query, or its error's details.
    async fn rows(&self, query: &str) -> Value {
        let (status, answer) = self.ask(json!({ "query": query })).await;
        if status == 200 { answer["data"].clone() } else { answer["error"]["details"].clone() }
    }

    /// The rows of a query where assessments are called so.
    fn named(&self, query: &str, names: &str) -> Value {
        let names = format!("--display-names={names}");
        let output = self.server.command(&["query", query, "--format=json", &names]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("rows")
    }
}

/// About what this house does not have.
const WITHOUT_ROWS: [&str; 2] = ["T20", "T25"];

/// `(T01, text, is historic)`
fn published() -> Vec<(String, String, bool)> {
    let text = include_str!("published_queries.kql");
    let mut queries: Vec<(String, String, bool)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("// T") {
            Some(title) => {
                let name = format!("T{}", title.split(' ').next().expect("a number"));
                queries.push((name, String::new(), title.ends_with("historic")));
            }
            None => {
                if let Some((_, query, _)) = queries.last_mut() {
                    query.push_str(line);
                    query.push('\n');
                }
            }
        }
    }
    queries
}

#[tokio::test]
async fn published_queries_run_as_they_stand() {
    let house = house().await;
    let registry = house.rows("resources | project id, tenantId, subscriptionId").await[0].clone();
    let text = |name: &str| registry[name].as_str().expect("text").to_owned();
    let images = house
        .rows(
            "securityresources | where id contains 'dbd0cb49' and type has 'subassessments'
             | summarize by repository = tostring(properties.additionalData.repositoryName),
                            digest = tostring(properties.additionalData.imageDigest),
                            tag = tostring(properties.additionalData.tags[0])",
        )
        .await;
    let digest = |repository: &str, tag: &str| {
        let rows = images.as_array().expect("rows");
        let found = rows.iter().find(|row| row["repository"] == repository && row["tag"] == tag);
        found.expect("an image")["digest"].as_str().expect("text").to_owned()
    };
    let web = digest("app/web", "1");
    let mut known =
        vec![(text("subscriptionId"), "SUBSCRIPTION".to_owned()), (text("tenantId"), "TENANT".to_owned())];
    for (repository, tag) in [("app/web", "1"), ("app/web", "0.9"), ("app/good", "1"), ("tools/odd", "1")] {
        known.push((digest(repository, tag), format!("DIGEST({repository}:{tag})")));
    }
    let mut found = String::new();
    let queries = published();
    assert_eq!(queries.len(), 37);
    for (name, query, is_historic) in queries {
        let query = query
            .replace("{digest}", &web)
            .replace("{repo}", "app/web")
            .replace("{registryId}", &text("id"))
            .replace("{registry}", "lazaret")
            .replace("{qid}", "CVE-2024-1")
            .replace("{name}", "Update zlib");
        let query = query.trim();
        let (status, answer) = house.ask(json!({ "query": query })).await;
        let rows = if status == 200 { answer["data"].clone() } else { answer["error"]["details"].clone() };
        let count = |rows: &Value| rows.as_array().map_or(0, Vec::len);
        // Azure refuses one of them, too.
        if status == 200 {
            if is_historic {
                assert_eq!(count(&house.named(query, "historic")), count(&rows), "{name}");
            }
            // One setting has Azure's names and leaves no query without its rows.
            assert_eq!(count(&house.named(query, "azure")), count(&rows), "{name}");
            assert!(count(&rows) > 0 || WITHOUT_ROWS.contains(&name.as_str()), "{name}");
        }
        let rows = rows.as_array().cloned().unwrap_or_default();
        found.push_str(&format!("{name}: {} rows\n", rows.len()));
        for row in &rows {
            found.push_str(&format!("  {}\n", shown(row, &known)));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published_queries.txt");
    if std::env::var_os("LAZARET_BLESS").is_some() {
        std::fs::write(&path, &found).expect("writes");
    }
    let wanted = std::fs::read_to_string(&path).expect("the results that a person has read");
    for (found, wanted) in found.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted);
    }
    assert_eq!(found.lines().count(), wanted.lines().count());
    drop(house.folder);
}

/// A row, with names for what differs from run to run; long values are cut.
fn shown(row: &Value, known: &[(String, String)]) -> String {
    let members = row.as_object().into_iter().flatten().map(|(name, value)| {
        let mut text = value.to_string();
        for (id, name) in known {
            text = text.replace(id, name);
        }
        let text = without_times(&text);
        let cut: String = text.chars().take(160).collect();
        format!("{name}={}{}", cut, if cut.len() < text.len() { "…" } else { "" })
    });
    members.collect::<Vec<_>>().join(" ")
}

/// `2026-07-01T…Z` becomes TIME.
fn without_times(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('T') {
        let begin = at.checked_sub(10).filter(|begin| {
            rest.as_bytes()[*begin..at].iter().enumerate().all(|(place, byte)| match place {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
        });
        match (begin, rest[at..].find('Z')) {
            (Some(begin), Some(end)) if end < 20 => {
                made.push_str(&rest[..begin]);
                made.push_str("TIME");
                rest = &rest[at + end + 1..];
            }
            _ => {
                made.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    made.push_str(rest);
    made
}

#[tokio::test]
async fn assessments_are_found_by_each_of_azures_names() {
    let house = house().await;
    let names = [
        "Azure registry container images should have vulnerabilities resolved (powered by Microsoft Defender \
         Vulnerability Management)",
        "Azure registry container images should have vulnerabilities resolved (powered by MDVM)",
        "Azure registry container images should have vulnerabilities resolved (powered by Qualys)",
        "Container registry images should have vulnerability findings resolved (powered by Qualys)",
        "Container registry images should have vulnerability findings resolved (powered by Microsoft Defender \
         Vulnerability Management)",
        "Vulnerabilities in Azure Container Registry images should be remediated (powered by Qualys)",
    ];
    let assessments = "securityresources | where type == 'microsoft.security/assessments'";
    for name in names {
        let found = house.rows(&format!("{assessments} | where * contains \"{name}\" | project name")).await;
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{name}: {found}");
    }
    // By the whole name that Azure has today, and by its first.
    for (names, name) in [("azure", names[0]), ("historic", names[5])] {
        let query = format!("{assessments} | where properties.displayName == '{name}' | project name");
        assert_eq!(house.named(&query, names).as_array().map(Vec::len), Some(1), "{name}");
    }
}

/// The queries of the page, in their order.
fn of_the_page() -> Vec<String> {
    let page = include_str!("../../../docs/querying.md");
    let commands = page.lines().filter_map(|line| line.strip_prefix("lazaret query \""));
    commands.map(|line| line.split('"').next().expect("its end").to_owned()).collect()
}

/// Three images, of which two have a flaw that is to be fixed and one of these another.
#[tokio::test]
async fn the_pages_examples_count_each_finding_once() {
    let house = house().await;
    let queries = of_the_page();
    assert_eq!(queries.len(), 3);
    let mut counts = house.rows(&queries[0]).await;
    counts.as_array_mut().expect("rows").sort_by_key(|row| row["severity"].as_str().map(str::to_owned));
    assert_eq!(counts, json!([{ "severity": "High", "count_": 2 }, { "severity": "Low", "count_": 1 }]));
    let mut images = house.rows(&queries[1]).await;
    images.as_array_mut().expect("rows").sort_by_key(|row| row["findings"].as_i64());
    let repository = |row: &Value| (row["repository"].clone(), row["findings"].clone());
    let found: Vec<_> = images.as_array().expect("rows").iter().map(repository).collect();
    assert_eq!(found, [(json!("app/web"), json!(1)), (json!("app/web"), json!(2))]);
    let flawed = house.rows(&queries[2]).await;
    assert_eq!(flawed.as_array().map(Vec::len), Some(3), "{flawed}");
    // What the page says of the three forms.
    let all = "securityresources | where type has 'subassessments' and properties.status.code == 'Unhealthy' | count";
    assert_eq!(house.rows(all).await, json!([{ "Count": 9 }]));
}

#[tokio::test]
async fn tables_of_azures_that_are_empty_here_are_known() {
    let house = house().await;
    for table in
        ["awsresources", "AdvisorResources", "appserviceresources", "zzz", "sqlresources", "resourcechanges"]
    {
        let rows = house.rows(&format!("{table} | count")).await;
        let is_known = rows == json!([{ "Count": 0 }]);
        assert_eq!(is_known, table != "zzz", "{table}: {rows}");
    }
}

#[tokio::test]
async fn pages_facets_formats_and_refusals_are_resource_graphs() {
    let house = house().await;
    let all = house.rows("securityresources | project id").await.as_array().expect("rows").len();
    // Pages follow each other by their token, though rows come meanwhile.
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let options = match &token {
            None => json!({ "$top": 3 }),
            Some(token) => json!({ "$skipToken": token }),
        };
        let (status, page) =
            house.ask(json!({ "query": "securityresources | project id", "options": options })).await;
        assert_eq!(
            (status, &page["totalRecords"], &page["resultTruncated"]),
            (200, &json!(all), &json!("false"))
        );
        let rows = page["data"].as_array().expect("rows");
        assert!(rows.len() <= 3);
        seen.extend(rows.iter().map(|row| row["id"].as_str().expect("text").to_owned()));
        if seen.len() == 3 {
            house.server.client().push("app/late", "1", &made(&[("zlib", "1.5-1")])).await.expect("pushes");
            assert!(house.server.command(&["scan", "app/late:1"]).status.success());
        }
        token = page["$skipToken"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), all);
    let (_, fresh) =
        house.ask(json!({ "query": "securityresources | where id has 'app-late' | count" })).await;
    assert!(
        fresh["data"][0]["Count"].as_i64() > Some(0),
        "what was pushed is there at the next query: {fresh}"
    );
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "each row once");
    // Without an id there is no next page.
    let (_, page) =
        house.ask(json!({ "query": "securityresources | project name", "options": { "$top": 1 } })).await;
    assert_eq!((&page["resultTruncated"], page.get("$skipToken")), (&json!("true"), None));
    let query = "securityresources | project id | limit 2";
    let (_, page) = house.ask(json!({ "query": query, "options": { "$top": 1, "$skip": 1 } })).await;
    assert_eq!((&page["count"], page.get("$skipToken")), (&json!(1), None));
    // Tables, and truths as numbers.
    let query = "print a = true, b = 'x', c = 1.5, d = dynamic({\"t\": true}), e = datetime(2020-01-01)";
    let (_, page) = house.ask(json!({ "query": query, "options": { "resultFormat": "table" } })).await;
    assert_eq!(page["data"]["rows"], json!([[1, "x", 1.5, { "t": true }, "2020-01-01T00:00:00.0000000Z"]]));
    let kinds: Vec<_> =
        page["data"]["columns"].as_array().expect("columns").iter().map(|it| it["type"].clone()).collect();
    assert_eq!(kinds, ["boolean", "string", "number", "object", "datetime"]);
    // Facets, right and wrong.
    let facets = json!([{ "expression": "type" }, { "expression": "nothing" },
                        { "expression": "name", "options": { "$top": 1, "sortOrder": "asc", "filter": "type has 'pricings'" } }]);
    let (_, page) = house.ask(json!({ "query": "securityresources", "facets": facets })).await;
    assert_eq!(page["facets"][0]["resultType"], "FacetResult");
    assert_eq!(page["facets"][0]["data"][0]["type"], "microsoft.security/assessments/subassessments");
    assert_eq!(
        (&page["facets"][1]["resultType"], &page["facets"][1]["errors"][0]["code"]),
        (&json!("FacetError"), &json!("NoValidColumns"))
    );
    assert_eq!((&page["facets"][2]["totalRecords"], &page["facets"][2]["count"]), (&json!(2), &json!(1)));
    // Refusals tell where.
    let (status, error) = house.ask(json!({ "query": "where where" })).await;
    let detail = &error["error"]["details"][1];
    assert_eq!(
        (status, &error["error"]["code"], &error["error"]["details"][0]["code"]),
        (400, &json!("BadRequest"), &json!("InvalidQuery"))
    );
    assert_eq!(
        (&detail["code"], &detail["line"], &detail["characterPositionInLine"], &detail["token"]),
        (&json!("ParserFailure"), &json!(1), &json!(11), &json!("<EOF>"))
    );
    for (query, code) in [
        ("resources | project cout()", "UnknownFunction"),
        ("nowhere | take 1", "DisallowedLogicalTableName"),
        ("resources | project nothing", "NoValidColumns"),
    ] {
        assert_eq!(house.rows(query).await[1]["code"], code);
    }
    for options in [
        json!({ "$top": 0 }),
        json!({ "$top": 1001 }),
        json!({ "$skip": -1 }),
        json!({ "$skipToken": "nonsense" }),
    ] {
        let (status, _) = house.ask(json!({ "query": "resources", "options": options })).await;
        assert_eq!(status, 400, "{options}");
    }
}

#[tokio::test]
async fn what_there_is_besides_images_has_rows_too() {
    let house = house().await;
    let registry = house.rows("resources | project subscriptionId, resourceGroup").await[0].clone();
    let (subscription, group) = (registry["subscriptionId"].as_str(), registry["resourceGroup"].as_str());
    let scope = format!("/subscriptions/{}", subscription.expect("text"));
    for arguments in [
        ["registry", "create", "other"].as_slice(),
        &["registry", "create", "third", "--resource-group", "empty"],
        &["registry", "delete", "third"],
        &["query", "resources | count", "--save", "everything"],
        &["webhook", "create", "teller", "--url=https://example.invalid/hook", "--actions=push"],
    ] {
        let output = house.server.command(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let rows =
        house.rows("resources | project name, type, host = properties.loginServer | order by name asc").await;
    let host = |row: &Value| row["host"].as_str().unwrap_or_default().split(':').next().map(str::to_owned);
    let named: Vec<&str> =
        rows.as_array().expect("rows").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(named, ["everything", "lazaret", "other", "teller"]);
    assert_eq!(rows[3]["type"], "microsoft.containerregistry/registries/webhooks");
    assert_eq!(
        (rows[0]["type"].as_str(), host(&rows[2])),
        (Some("microsoft.resourcegraph/queries"), Some("other.lazaret.localhost".into()))
    );
    let containers = house
        .rows("resourcecontainers | summarize names = make_set(name) by kind = tostring(split(type, '/')[-1]) | order by kind asc")
        .await;
    assert_eq!(containers[0]["kind"], "managementgroups");
    assert_eq!(
        (&containers[1]["kind"], &containers[1]["names"]),
        (&json!("resourcegroups"), &json!([group, "empty"]))
    );
    assert_eq!(containers[2]["kind"], "subscriptions");
    let saved = format!(
        "{{{{{scope}/resourceGroups/default/providers/Microsoft.ResourceGraph/queries/everything}}}}"
    );
    assert_eq!(house.rows(&saved).await[0]["Count"], json!(4));
}

/// Whoever waits for nothing more is no reason to go on; and what is too much is refused as Azure refuses.
#[tokio::test]
async fn hostile_queries_end_in_azures_shape_and_with_their_client() {
    let house = house().await;
    let long = "x".repeat(1_000_000);
    for (query, code) in [
        (format!("print x = {}1{}", "(".repeat(100_000), ")".repeat(100_000)), "InvalidQuery"),
        (format!("print 'a' matches regex '{long}'"), "InvalidQuery"),
        (format!("print 'a' matches regex '{}'", "(a{0,999}){0,999}".repeat(50)), "InvalidQuery"),
        ("range x from 1 to 100000 step 1 | extend k = 1 | join kind=inner (range y from 1 to 100000 step 1 | extend k = 1) on k | summarize make_list(strcat(strrep(strrep('z', 1000), 100), y))".to_owned(), "ResponsePayloadTooLarge"),
        ("range x from 1 to 1000000 step 1 | mv-expand y = range(1, 40000, 1) | summarize make_set(strcat(strrep(strrep('z', 1000), 100), x, y))".to_owned(), "ResponsePayloadTooLarge"),
        (format!("print a = dynamic([1]) {}", "| extend a = bag_pack('x', a, 'y', a) ".repeat(60)), "InvalidQuery"),
        ("resources | make-series count() on x step 1".to_owned(), "InvalidQuery"),
    ] {
        let (status, answer) = house.ask(json!({ "query": query })).await;
        let shown: String = query.chars().take(80).collect();
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("BadRequest")), "{shown} {answer}");
        assert_eq!(answer["error"]["details"][0]["code"], code, "{shown} {answer}");
    }
    // Two run at once: more than those, all without end, and each given up by its client.
    let endless = json!({ "query": "range x from 1 to 1000000000000 step 1 | where x < 0 | count" });
    for _ in 0..4 {
        let asked = house.ask(endless.clone());
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(200), asked).await.is_err(),
            "it has no end"
        );
    }
    // One that went on would have half a minute.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), house.rows("print x = 7")).await;
    assert_eq!(answer.expect("the others have ended")[0]["x"], 7);
}

#[tokio::test]
async fn whoever_may_not_read_a_registry_learns_nothing_of_it() {
    let house = house().await;
    for command in [
        &["subscription", "create", "Elsewhere", "--id=00000000-0000-0000-0000-000000000001"][..],
        &["group", "create", "web", "--subscription=Elsewhere"],
    ] {
        assert!(house.server.command(command).status.success());
    }
    let all = ["securityresources", "resources", "authorizationresources"];
    for (name, role, scope, seen) in [
        // Of roles it sees its own.
        (
            "stranger",
            "Reader",
            "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/web",
            [false, false, true],
        ),
        ("puller", "AcrPull", "/", [false, false, false]),
        ("reader", "Reader", "/", [true, true, true]),
        // Results take a right to read the registry, too.
        ("security", "Security Reader", "/", [false, false, true]),
    ] {
        let created = house.server.command(&["principal", "create", name, "--role", role, "--scope", scope]);
        let shown = String::from_utf8(created.stdout).expect("text");
        let line = shown.lines().find(|line| line.starts_with("secret")).expect("a secret is shown");
        let secret = line.split_whitespace().nth(1).expect("a secret");
        let token = Client::new(&house.server.address, name, secret).arm_token().await;
        for (table, is_seen) in all.iter().zip(seen) {
            for query in [
                format!("{table} | where type !has 'pricings' | count"),
                format!(
                    "print x = 1 | extend k = 'a' | join kind=inner ({table} | where type !has 'pricings' | extend k = 'a') on k | count"
                ),
                format!("union ({table} | where type !has 'pricings') | summarize Count = count()"),
                format!("print Count = toscalar({table} | where type !has 'pricings' | count)"),
            ] {
                let path = "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01";
                let (status, answer) =
                    house.server.client().post_json(path, &token, &json!({ "query": query })).await;
                assert_eq!(status, 200, "{answer}");
                assert_eq!(answer["data"][0]["Count"] != json!(0), is_seen, "{name} {query} {answer}");
            }
        }
    }
}
