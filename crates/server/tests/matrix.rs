//! Every route of every door, asked for by everybody: `matrix.txt` says with what status each is answered.
//!
//! `LAZARET_BLESS=1` writes the file anew, to be looked at before it is committed. The routes come from the
//! doors themselves, so that one that is not in the file fails the test.

use std::fmt::Write as _;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// Who asks: a column's name, and the role held, if any.
const ROLES: [(&str, &str); 16] = [
    ("anonymous", ""),
    ("stranger", "AcrPull"),
    ("cluster", ""),
    ("token", ""),
    ("public", ""),
    ("AcrPull", "AcrPull"),
    ("AcrPush", "AcrPush"),
    ("AcrDelete", "AcrDelete"),
    ("SecReader", "Security Reader"),
    ("SecAdmin", "Security Admin"),
    ("SecR+Pull", "Security Reader"),
    ("SecR@repo", "Security Reader"),
    ("Reader", "Reader"),
    ("UserAdmin", "User Access Administrator"),
    ("Contrib", "Contributor"),
    ("Owner", "Owner"),
];

/// Routes that nobody needs to be known for, and why.
const PUBLIC: [(&str, &str); 18] = [
    ("/", "people who open the address are told what it is"),
    ("/livez", "monitors ask it without an account"),
    ("/startupz", "monitors ask it without an account"),
    ("/readyz", "monitors ask it without an account"),
    ("/metadata/endpoints", "clients ask it before they can sign in"),
    ("/{tenantId}/v2.0/.well-known/openid-configuration", "clients ask it before they can sign in"),
    ("/{tenantId}/.well-known/openid-configuration", "clients ask it before they can sign in"),
    ("/{tenantId}/oauth2/v2.0/token", "carries its own secret; without one 400 (RFC 6749)"),
    ("/{tenantId}/oauth2/token", "carries its own secret; without one 400 (RFC 6749)"),
    ("/{tenantId}/oauth2/v2.0/authorize", "takes a name and a password; without a program to go back to 400"),
    ("/{tenantId}/oauth2/v2.0/devicecode", "a device has no secret yet; without a client 400 (RFC 8628)"),
    ("/{tenantId}/discovery/v2.0/keys", "whoever reads an id token asks it"),
    ("/msi/token", "carries its own secret; without one 401"),
    ("/devicelogin", "takes a name and a password"),
    (
        "/common/userrealm/{userName}",
        "clients ask it before they can sign in; it says the same of every name",
    ),
    ("/token", "carries its own secret; without one 400, or a token that allows nothing"),
    ("/oauth2/token", "carries its own secret; without one 400, or a token that allows nothing"),
    ("/oauth2/exchange", "carries its own secret; without one 400"),
];

/// Routes that answer a stranger with something else than 404, and why.
const KNOWN_TO_STRANGERS: [(&str, &str); 19] = [
    ("/providers", "says what can be had here, and of what nothing"),
    ("/providers/{namespace}", "says what can be had here, and of what nothing"),
    ("/providers/Microsoft.Security/assessmentMetadata", "says what is judged here, and of what nothing"),
    (
        "/providers/Microsoft.Security/assessmentMetadata/{assessmentMetadataName}",
        "says what is judged here, and of what nothing",
    ),
    ("/providers/Microsoft.ContainerRegistry/operations", "the names of actions, which are no secret"),
    ("/providers/Microsoft.ResourceGraph/resources", "asks for what the caller may read: no rows"),
    ("/tenants", "whoever signs in knows the tenant"),
    ("/subscriptions", "a list of those that the caller knows: empty"),
    ("/v1.0/me", "whoever signs in knows themself"),
    ("/v1.0/me/ownedObjects", "a list of what the caller made: empty"),
    ("/v1.0/users", "a list of those whom the caller may know of: themself"),
    ("/v1.0/groups", "a list of none"),
    ("/v1.0/directoryObjects/getByIds", "a list of those whom the caller may know of: empty"),
    (
        "/v1.0/applications",
        "a list of those that the caller may know of: empty; to make one is refused with 403",
    ),
    (
        "/v1.0/servicePrincipals",
        "a list of those that the caller may know of: empty; to make one is refused with 403",
    ),
    ("/v2/", "says that the credentials are good"),
    ("/v2/", "beneath it the distribution specification's DENIED hides what there is: 403, or an empty list"),
    ("/acr/v1/", "as the registry's: 403, or an empty list"),
    ("/admission/v1/", "takes a cluster's token alone: 401"),
];

struct House {
    server: Server,
    admin: Client,
    tenant: String,
    registry: String,
    finding: String,
    cluster_token: String,
    helper: String,
    /// Two, for the routes of either face.
    programs: [String; 2],
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

fn made() -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)])
}

fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What a command showed on the line that begins with a word.
fn shown(text: &str, word: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(word)).expect("a line");
    line.split_whitespace().nth(1).expect("a value").to_owned()
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(ServerOptions::new(LAZARET, &folder.path().join("data")));
        let tracker = folder.path().join("tracker.json");
        let text = r#"{"zlib":{"CVE-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0","urgency":"high"}}}}}"#;
        std::fs::write(&tracker, text).expect("writes");
        ok(&server, &["feeds", "import", tracker.to_str().expect("text")]);
        let admin = server.client();
        admin.push("app", "1", &made()).await.expect("pushes");
        ok(&server, &["scan", "app:1"]);
        let token = admin.arm_token().await;
        let rows = admin.sub_assessments(&token).await;
        let endpoints = admin.json("/metadata/endpoints?api-version=2022-09-01").await;
        let created: Value =
            serde_json::from_str(&ok(&server, &["cluster", "create", "prod", "--url=https://reg.example"]))
                .expect("a document");
        let url = created["webhooks"][0]["clientConfig"]["url"].as_str().expect("text").to_owned();
        let helper = shown(&ok(&server, &["principal", "create", "helper", "--role=AcrPull"]), "id");
        let http = reqwest::Client::new();
        let mut programs = [String::new(), String::new()];
        for (number, id) in programs.iter_mut().enumerate() {
            let made = http.post(format!("http://{}/v1.0/applications", server.address)).bearer_auth(&token);
            let made = made.json(&json!({ "displayName": format!("program-{number}") })).send().await;
            let made: Value = made.expect("answers").json().await.expect("a document");
            made["id"].as_str().expect("an id").clone_into(id);
        }
        let house = Self {
            tenant: endpoints["authentication"]["tenant"].as_str().expect("text").to_owned(),
            registry: admin.registry_id(&token).await,
            finding: rows[0]["name"].as_str().expect("text").to_owned(),
            cluster_token: url.rsplit('/').next().expect("a token").to_owned(),
            helper,
            programs,
            http,
            server,
            admin,
            _folder: folder,
        };
        let query = house.filled(query_api::ROUTES[4].1);
        let saved = house.azure(Method::PUT, &query, Some(&token)).json(&saved_query());
        assert_eq!(saved.send().await.expect("answers").status(), 201);
        for (kind, name, document) in
            [("scopeMaps", "team-map", scope_map()), ("tokens", "robot", registry_token())]
        {
            let path = format!("{}/{kind}/{name}", house.registry);
            let made = house.azure(Method::PUT, &path, Some(&token)).json(&document);
            assert_eq!(made.send().await.expect("answers").status(), 201, "{path}");
        }
        let hook = house.filled("/subscriptions/{subscriptionId}/resourceGroups/default/providers/Microsoft.ContainerRegistry/registries/lazaret/webhooks/{webhookName}");
        let made = house.azure(Method::PUT, &hook, Some(&token)).json(&webhook());
        assert_eq!(made.send().await.expect("answers").status(), 201);
        // At each level one rule and one assignment to be read and taken away.
        for (method, path) in azure_api::routes() {
            if method == Method::PUT && path.ends_with("{findingRuleName}") {
                let made = house.azure(Method::PUT, &house.filled(path), Some(&token)).json(&rule());
                assert_eq!(made.send().await.expect("answers").status(), 201, "{path}");
            }
            if method == Method::PUT && path.ends_with("{roleAssignmentName}") {
                let path = house.filled(path).replace(GIVEN, &held(path));
                let given =
                    house.azure(Method::PUT, &path, Some(&token)).json(&house.assignment("AcrDelete"));
                assert_eq!(given.send().await.expect("answers").status(), 201, "{path}");
            }
        }
        house
    }

    fn assignment(&self, role: &str) -> Value {
        let role = if role == "AcrDelete" { ACR_DELETE } else { READER };
        let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        json!({ "properties": { "roleDefinitionId": id, "principalId": self.helper } })
    }

    fn filled(&self, path: &str) -> String {
        let subscription = self.registry.split('/').nth(2).expect("a subscription");
        let digest = made().digest().to_string();
        let image = format!("repositories-app-images-{digest}");
        let is_of_image = path.contains("{imageName}");
        let (of_registry, of_image) =
            ("dbd0cb49-b563-45e7-9724-889e799fa648", "33422d8f-ab1e-42be-bc9a-38685bb567b9");
        let mut path = path.to_owned();
        for (parameter, value) in [
            ("{tenantId}", self.tenant.as_str()),
            ("{subscriptionId}", subscription),
            ("{resourceGroupName}", "default"),
            ("{registryName}", "lazaret"),
            ("{namespace}", "Microsoft.Security"),
            ("{pricingName}", "ContainerRegistry"),
            ("{assessmentName}", if is_of_image { of_image } else { of_registry }),
            ("{assessmentMetadataName}", of_registry),
            ("{findingRuleName}", "accepted"),
            ("{managementGroupId}", &self.tenant),
            ("{imageName}", &image),
            ("{subAssessmentName}", &self.finding),
            ("{roleDefinitionId}", READER),
            ("{roleAssignmentName}", GIVEN),
            ("{repository}", "app"),
            ("{name}", "app"),
            ("{reference}", "1"),
            ("{tag}", "1"),
            ("{digest}", &digest),
            ("{id}", "5f2f4f8e-4d5c-4f0e-9a43-0a8d6a6b7c11"),
            ("{cluster}", "prod"),
            ("{queryName}", "saved"),
            ("{webhookName}", "hooked"),
            ("{scopeMapName}", "team-map"),
            ("{tokenName}", "robot"),
            ("{replicationName}", "west"),
            ("{privateEndpointConnectionName}", "west"),
            ("{groupName}", "registry"),
            ("{lockName}", "keep"),
            ("{connectedRegistryName}", "west"),
            ("{userId}", "admin"),
            ("{directoryObjectId}", &self.helper),
            ("{applicationId}", &self.programs[0]),
            ("{servicePrincipalId}", &self.programs[1]),
        ] {
            path = path.replace(parameter, value);
        }
        path
    }

    fn azure(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let mut url = format!("http://{}{path}?api-version=2022-12-01", self.server.address);
        if path.ends_with("/eventtypes/management/values") {
            url.push_str("&$filter=eventTimestamp%20ge%20'2020-01-01T00:00:00Z'");
        }
        let request = self.http.request(method, url);
        token.into_iter().fold(request, |request, token| request.bearer_auth(token))
    }
}

/// Somebody who asks.
struct Asker {
    /// For the registry's door.
    client: Option<Client>,
    /// For the others.
    token: Option<String>,
    /// A cluster's, for its own paths.
    cluster: Option<String>,
    /// Everybody's, for the registry's door.
    everybodys: Option<String>,
}

impl Asker {
    async fn new(house: &House, column: &str, role: &str) -> Self {
        if column == "cluster" {
            let token = Some(house.cluster_token.clone());
            return Self { client: None, token: token.clone(), cluster: token, everybodys: None };
        }
        if column == "token" {
            let create = ["token", "create", "asker", "--scope-map=_repositories_push_metadata_write"];
            let made = ok(&house.server, &create);
            let client = Client::new(&house.server.address, "asker", &shown(&made, "secret"));
            return Self { client: Some(client), token: None, cluster: None, everybodys: None };
        }
        if column == "public" {
            ok(&house.server, &["registry", "set", "lazaret", "--anonymous-pull=true"]);
            let everybodys = Some(everybodys(house).await);
            return Self { client: None, token: None, cluster: None, everybodys };
        }
        if role.is_empty() {
            return Self { client: None, token: None, cluster: None, everybodys: None };
        }
        let role_option = format!("--role={role}");
        let scope = match column {
            column if column.starts_with("Acr") => vec![],
            "SecR@repo" => vec!["--repository=app"],
            _ => vec!["--scope=/"],
        };
        let create = ["principal", "create", "asker", "--kind=person", &role_option];
        let made = ok(&house.server, &[&create, scope.as_slice()].concat());
        if column == "SecR+Pull" {
            ok(&house.server, &["role", "assign", "asker", "AcrPull"]);
        }
        if column == "SecR@repo" {
            ok(&house.server, &["role", "assign", "asker", "AcrPull", "--repository=app"]);
        }
        if column == "stranger" {
            ok(&house.server, &["role", "remove", "asker", role, "--scope=/"]);
        }
        let client = Client::new(&house.server.address, "asker", &shown(&made, "secret"));
        let token = Some(client.arm_token().await);
        Self { client: Some(client), token, cluster: None, everybodys: None }
    }

    async fn ask(&self, house: &House, method: &Method, template: &str) -> u16 {
        // The digest of a manifest, and that of a blob.
        let config = oci::Digest::sha256(&made().config()).to_string();
        let template = template.replace("/blobs/{digest}", &format!("/blobs/{config}"));
        let template = template.as_str();
        let path = house.filled(template);
        let is_registry =
            ["/v2", "/acr/", "/token", "/oauth2/"].iter().any(|start| template.starts_with(start));
        let mut request = if is_registry {
            let path = if *method == Method::DELETE && path.starts_with("/v2/app/manifests/") {
                format!("/v2/app/manifests/{}", made().digest())
            } else {
                path
            };
            match &self.client {
                Some(client) => client.request(method.clone(), &path),
                None => {
                    let url = format!("http://{}{path}", house.server.address);
                    let request = house.http.request(method.clone(), url);
                    let token = self.everybodys.as_ref().or(self.token.as_ref());
                    token.into_iter().fold(request, |request, token| request.bearer_auth(token))
                }
            }
        } else {
            let path = path.replace("{token}", self.cluster.as_deref().unwrap_or("wrong"));
            // What is put is new; what is read and deleted is there.
            let name = if *method == Method::PUT {
                held(template).replace("1111-2222", "1111-3333")
            } else {
                held(template)
            };
            let path = path.replace(GIVEN, &name);
            house.azure(method.clone(), &path, self.token.as_deref())
        };
        if *method == Method::PUT {
            request = match template {
                path if path.contains("roleAssignments") => request.json(&house.assignment("Reader")),
                path if path.contains("/findingRules/") => request.json(&rule()),
                path if path.contains("/queries/") => request.json(&saved_query()),
                path if path.contains("/webhooks/") => request.json(&webhook()),
                path if path.contains("/scopeMaps/") => request.json(&scope_map()),
                path if path.contains("/tokens/") => request.json(&registry_token()),
                path if path.contains("pricings") => {
                    request.json(&json!({ "properties": { "pricingTier": "Standard" } }))
                }
                path if path.contains("/manifests/") => request
                    .header("content-type", "application/vnd.oci.image.manifest.v1+json")
                    .body(made().manifest()),
                path if path.contains("/running") => request.body(r#"{"kind":"PodList","items":[]}"#),
                _ => request,
            };
        } else if template.starts_with("/v1.0/") && [Method::POST, Method::PATCH].contains(method) {
            request = request.json(&match template {
                "/v1.0/applications" => json!({ "displayName": "made" }),
                "/v1.0/servicePrincipals" => json!({ "appId": house.programs[1] }),
                path if path.ends_with("/getByIds") => json!({ "ids": [house.helper] }),
                _ => json!({}),
            });
        } else if template.ends_with("ResourceGraph/resources") {
            request = request.json(&json!({ "query": "resources" }));
        } else if template.starts_with("/admission") {
            request = request.body(REVIEW);
        } else if *method == Method::POST && template.ends_with("/token") || template.ends_with("/exchange") {
            request = request.form(&[("service", "lazaret")]);
        }
        request.send().await.expect("answers").status().as_u16()
    }
}

/// A token that nobody had to say who they are for; the server follows the command within a second.
async fn everybodys(house: &House) -> String {
    let url = format!(
        "http://{}/token?scope=repository:app:pull,push,delete,metadata_read,metadata_write&scope=registry:catalog:*",
        house.server.address
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer =
            house.http.get(&url).send().await.expect("answers").json::<Value>().await.expect("a document");
        let token = answer["token"].as_str().expect("a token").to_owned();
        let pull = format!("http://{}/v2/app/manifests/1", house.server.address);
        let pulled = house.http.get(pull).bearer_auth(&token).send().await.expect("answers");
        if pulled.status() == 200 {
            return token;
        }
        assert!(std::time::Instant::now() < deadline, "everybody may pull, and cannot");
    }
}

/// Each level has an assignment of its own.
fn held(template: &str) -> String {
    format!("{GIVEN_START}{:012x}", template.len())
}

fn rule() -> Value {
    json!({ "properties": { "criteria": { "advisories": ["CVE-9"] }, "reason": "because" } })
}

fn saved_query() -> Value {
    json!({ "location": "local", "properties": { "query": "resources" } })
}

fn scope_map() -> Value {
    json!({ "properties": { "actions": ["repositories/app/content/read"] } })
}

fn registry_token() -> Value {
    json!({ "properties": { "scopeMapId": "scopeMaps/_repositories_pull" } })
}

fn webhook() -> Value {
    json!({ "properties": { "serviceUri": "http://192.0.2.1/", "actions": ["push"] } })
}

fn all_routes() -> Vec<(Method, &'static str)> {
    let cluster = cluster_api::ROUTES.map(|(method, path)| (method.parse().expect("a method"), path));
    let mut routes: Vec<_> = registry_api::routes()
        .into_iter()
        .chain(azure_api::routes())
        .chain(query_api::ROUTES)
        .chain(cluster)
        .chain(health_paths().into_iter().flat_map(|path| [(Method::GET, path), (Method::HEAD, path)]))
        .collect();
    // What is deleted is asked for first.
    routes.sort_by_key(|(method, path)| (*method == Method::DELETE, *path, method.to_string()));
    routes
}

/// The paths of the server's own routes, which no door has.
fn health_paths() -> Vec<&'static str> {
    let routes = include_str!("../src/health.rs").split(".route(\"").skip(1);
    let paths: Vec<_> = routes.filter_map(|rest| rest.split_once('"').map(|(path, _)| path)).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_matrix_says() {
    let routes = all_routes();
    let mut columns = Vec::new();
    for (column, role) in ROLES {
        let house = House::new().await;
        let asker = Asker::new(&house, column, role).await;
        let mut statuses = Vec::new();
        for (method, path) in &routes {
            if *method == Method::DELETE && (path.starts_with("/v2") || path.starts_with("/acr")) {
                house.admin.push("app", "1", &made()).await.expect("pushes");
            }
            statuses.push(asker.ask(&house, method, path).await);
        }
        columns.push(statuses);
    }
    let status = |column: &str, row: usize| {
        columns[ROLES.iter().position(|(name, _)| *name == column).expect("a column")][row]
    };
    let mut table = String::from(HEADER);
    for (path, why) in PUBLIC {
        writeln!(table, "#   {path}: {why}").expect("text");
    }
    writeln!(table, "# A stranger is answered 404, but for").expect("text");
    for (path, why) in KNOWN_TO_STRANGERS {
        writeln!(table, "#   {path}: {why}").expect("text");
    }
    let names: Vec<String> = ROLES.iter().map(|(name, _)| format!("{name:>9}")).collect();
    writeln!(table, "\n{} route", names.join(" ")).expect("text");
    let mut wrong = Vec::new();
    for (row, (method, path)) in routes.iter().enumerate() {
        // A blob that a manifest needs stays: the specification's 405.
        let is_blob_delete = *method == Method::DELETE && path.contains("/blobs/{digest}");
        let cells: Vec<String> = columns.iter().map(|column| format!("{:>9}", column[row])).collect();
        writeln!(table, "{} {method} {path}", cells.join(" ")).expect("text");
        if columns.iter().any(|column| column[row] >= 500 || (column[row] == 405 && !is_blob_delete)) {
            wrong.push(format!("{method} {path} fails: {cells:?}"));
        }
        if *method == Method::HEAD {
            let get = routes.iter().position(|route| *route == (Method::GET, path)).expect("what has a head");
            // Whether there is a group is asked by HEAD, and said without a document.
            let is_same = |head: u16, get: u16| head == get || (head, get) == (204, 200);
            if columns.iter().any(|column| !is_same(column[row], column[get])) {
                wrong.push(format!("{path}: HEAD is not as GET"));
            }
        }
        let is_public = PUBLIC.iter().any(|(known, _)| known == path);
        if !is_public && status("anonymous", row) != 401 {
            wrong.push(format!("{method} {path} lets anybody by"));
        }
        let is_known = is_known_to_strangers(path);
        assert!(
            is_public || is_known || status("stranger", row) == 404,
            "{method} {path} tells strangers of it"
        );
    }
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix.txt");
    if std::env::var_os("LAZARET_BLESS").is_some() {
        std::fs::write(file, &table).expect("writes");
    }
    let wanted = std::fs::read_to_string(file).unwrap_or_default();
    let changed: Vec<&str> =
        table.lines().filter(|line| !wanted.lines().any(|known| known == *line)).collect();
    assert_eq!(table, wanted, "look at these, then LAZARET_BLESS=1:\n{}", changed.join("\n"));
}

fn is_known_to_strangers(path: &str) -> bool {
    KNOWN_TO_STRANGERS.iter().any(|(known, _)| {
        *known == path || (known.ends_with("v1/") || *known == "/v2/") && path.starts_with(known)
    })
}

/// The second axis: rights that were held when the tokens were issued, and are taken away by now. Within a second
/// each route answers as it answers those who never held them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_is_gone_from_tokens_that_are_out() {
    let routes = all_routes();
    for (column, held) in [
        ("Owner", &[("Owner", "--scope=/")][..]),
        ("AcrPush", &[("AcrPush", "")]),
        ("SecR+Pull", &[("Security Reader", "--scope=/"), ("AcrPull", "")]),
        ("SecR@repo", &[("Security Reader", "--repository=app"), ("AcrPull", "--repository=app")]),
        ("UserAdmin", &[("User Access Administrator", "--scope=/")]),
    ] {
        let house = House::new().await;
        let mut asker = Asker::new(&house, column, held[0].0).await;
        let client = asker.client.take().expect("a client with a secret");
        let scopes = "repository:app:pull,push,delete,metadata_read,metadata_write&scope=registry:catalog:*";
        let issued = client.json(&format!("/token?service=lazaret&scope={scopes}")).await;
        let token = issued["token"].as_str().expect("a token").to_owned();
        let before = asker.ask(&house, &Method::GET, "/subscriptions/{subscriptionId}").await;
        let reads_subscription = !["AcrPush", "SecR@repo"].contains(&column);
        assert!(before == 200 || !reads_subscription, "{column}: {before}");
        for (role, scope) in held {
            let scope = Some(*scope).filter(|scope| !scope.is_empty());
            ok(
                &house.server,
                &["role", "remove", "asker", role].into_iter().chain(scope).collect::<Vec<_>>(),
            );
        }
        asker.everybodys = Some(token);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while asker.ask(&house, &Method::GET, "/v2/{name}/manifests/{reference}").await == 200 {
            assert!(
                std::time::Instant::now() < deadline,
                "{column}: a right that was taken away is still there"
            );
        }
        for (method, path) in &routes {
            if PUBLIC.iter().any(|(known, _)| known == path) {
                continue;
            }
            let status = asker.ask(&house, method, path).await;
            let is_refused = [401, 403, 404].contains(&status);
            // Lists of nothing, and the sign that the token itself is good.
            let is_harmless = is_known_to_strangers(path) && status == 200 && *method != Method::DELETE;
            assert!(is_refused || is_harmless, "{column}: {method} {path} answers {status} to an old token");
        }
        // And nothing has changed.
        assert_eq!(house.admin.get("/v2/app/manifests/1").await.expect("answers").status(), 200);
    }
}

const HEADER: &str = "\
# Every route and with what status it answers whom. Written by matrix.rs (LAZARET_BLESS=1), read by people.
# Acr* roles are held at the registry, SecR@repo (Security Reader and AcrPull) at the repository, the others at everything; a stranger holds none; a cluster has its token.
# token: a token of the registry that pushes and writes metadata. public: nobody in particular, where everybody may pull.
# Anonymous callers are answered 401, but for
";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const ACR_DELETE: &str = "c2f4ef07-c644-48eb-af81-4b1b4947fb11";
const GIVEN: &str = "11111111-2222-4333-8444-555555555555";
const GIVEN_START: &str = "11111111-2222-4333-8444-";
const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","object":{"kind":"Pod"}}}"#;
