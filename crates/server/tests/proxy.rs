//! A real nginx in front, with TLS at it, configured as `docs/operating.md` says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::{Client, Response};
use serde_json::Value;
use testkit::{Server, ServerOptions, debian, dpkg, image, tool};

const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

/// nginx with a certificate of its own. It ends with the test.
struct Nginx {
    child: Child,
    /// `127.0.0.1:PORT`.
    address: String,
    certificate: String,
}

impl Nginx {
    /// Starts it in a folder, before the server at `upstream`.
    fn start(folder: &Path, upstream: &str) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "*.lazaret.localhost".to_owned()])
                .expect("a certificate");
        let certificate = made.cert.pem();
        std::fs::write(folder.join("fullchain.pem"), &certificate).expect("writes");
        std::fs::write(folder.join("privkey.pem"), made.signing_key.serialize_pem()).expect("writes");
        // Free a moment ago: nobody else here takes one of these.
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address");
        std::fs::write(folder.join("nginx.conf"), configuration(folder, upstream, &free.to_string()))
            .expect("writes");
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .args(["-e", "stderr", "-c", "nginx.conf"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("nginx starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let is_ready = |line: &str| line.contains("start worker process") || line.contains("emerg");
        let said = lines
            .find(|line| line.as_ref().is_ok_and(|line| is_ready(line)))
            .expect("it says so")
            .expect("text");
        assert!(!said.contains("emerg"), "{said}");
        // What else it says is read, lest it wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: free.to_string(), certificate }
    }

    /// A client from another address of this machine, which nobody trusts.
    fn client(&self) -> Client {
        // Installs the provider that reqwest uses.
        drop(testkit::Client::new(&self.address, "", ""));
        let trusted = reqwest::Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        let client = Client::builder().no_proxy().local_address(std::net::IpAddr::from([127, 0, 0, 2]));
        client.tls_certs_only([trusted]).build().expect("builds")
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By SIGTERM, so that it ends its worker too.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

/// The examples of the manual, with other paths and ports.
fn configuration(folder: &Path, upstream: &str, listen: &str) -> String {
    let manual = include_str!("../../../docs/operating.md");
    let examples: Vec<&str> = manual.split("```").filter_map(|part| part.strip_prefix("nginx\n")).collect();
    let [server, beneath] = examples.as_slice() else { panic!("two examples, not {}", examples.len()) };
    let server = server.trim_end().strip_suffix('}').expect("a block");
    let text = format!("{server}{beneath}}}")
        .replace("listen 443 ssl", &format!("listen {listen} ssl"))
        .replace("/etc/tls", &folder.display().to_string())
        .replace("127.0.0.1:5000", upstream);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {}/{what};\n", folder.display()))
        .collect();
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log stderr notice; {user}\nevents {{}}\n\
         http {{ access_log off;\n{temporary}{text} }}\n"
    )
}

struct Station {
    server: Server,
    nginx: Nginx,
    folder: tempfile::TempDir,
}

impl Station {
    fn start() -> Option<Self> {
        // nginx says its version to `-v` alone, but it does start.
        if !tool("nginx", "a reverse proxy in front", "apt-get install nginx-light") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = ServerOptions::new(LAZARET, &folder.path().join("data"));
        let server = Server::start(options.with("--trusted-proxies=127.0.0.1"));
        let nginx = Nginx::start(folder.path(), &server.address);
        Some(Self { server, nginx, folder })
    }
}

fn challenge(answer: &Response) -> String {
    answer.headers()["www-authenticate"].to_str().expect("text").to_owned()
}

async fn json(answer: Response) -> Value {
    answer.error_for_status().expect("a success").json().await.expect("a document")
}

/// What a client may add to be taken for somebody else.
fn lying(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "http")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Prefix", "/evil")
}

#[tokio::test]
async fn clients_are_sent_where_they_reach_us_and_written_down_as_who_they_are() {
    let Some(station) = Station::start() else { return };
    let (server, nginx, client) = (&station.server, &station.nginx, station.nginx.client());
    let wanted = format!("Bearer realm=\"{}\",service=\"lazaret\"", nginx.url("/token"));
    let asked = client.get(nginx.url("/v2/"));
    assert_eq!(challenge(&asked.send().await.expect("answers")), wanted);
    let spoofed =
        lying(client.get(nginx.url("/v2/"))).header("Forwarded", "for=203.0.113.9;host=evil.example");
    assert_eq!(challenge(&spoofed.send().await.expect("answers")), wanted);

    // Without the proxy nobody is believed, wherever they connect from.
    let direct = format!("http://{}", server.address);
    let answer = lying(client.get(format!("{direct}/v2/"))).send().await.expect("answers");
    assert_eq!(challenge(&answer), format!("Bearer realm=\"{direct}/token\",service=\"lazaret\""));

    let token = server.client().arm_token().await;
    let endpoints = json(
        client
            .get(nginx.url("/azure/metadata/endpoints?api-version=2022-09-01"))
            .send()
            .await
            .expect("answers"),
    )
    .await;
    assert_eq!(endpoints["resourceManager"], nginx.url("/azure/"));
    let tenant = endpoints["authentication"]["tenant"].as_str().expect("text");
    let openid = nginx.url(&format!("/azure/{tenant}/v2.0/.well-known/openid-configuration"));
    let openid = json(client.get(openid).send().await.expect("answers")).await;
    assert_eq!(openid["token_endpoint"], nginx.url(&format!("/azure/{tenant}/oauth2/v2.0/token")));
    let unauthorized =
        client.get(nginx.url("/azure/subscriptions?api-version=2022-12-01")).send().await.expect("answers");
    assert!(
        challenge(&unauthorized)
            .contains(&format!("authorization_uri=\"{}\"", nginx.url(&format!("/azure/{tenant}"))))
    );

    // An upload goes on where its client can reach it, and the log has the client's own address.
    let credentials = |request: reqwest::RequestBuilder| request.basic_auth("admin", Some(server.password()));
    let begun =
        credentials(client.post(nginx.url("/azure/v2/app/blobs/uploads/"))).send().await.expect("answers");
    let location = begun.headers()["location"].to_str().expect("text");
    assert!(location.starts_with("/azure/v2/app/blobs/uploads/"), "{location}");
    let ended = credentials(lying(client.delete(nginx.url(location)))).send().await.expect("answers");
    assert_eq!(ended.status(), 204);
    let group = format!("{}/resourceGroups/made?api-version=2024-11-01", subscription(server, &token).await);
    let made = lying(client.put(nginx.url(&group)).bearer_auth(&token)).body(r#"{"location":"local"}"#);
    assert!(made.send().await.expect("answers").status().is_success());
    let log = server.command(&["audit", "--format=json"]);
    let log: Value = serde_json::from_slice(&log.stdout).expect("a list");
    let entries: Vec<&Value> =
        log.as_array().expect("a list").iter().filter(|entry| entry["address"] != "").collect();
    assert!(!entries.is_empty(), "{log}");
    assert!(entries.iter().all(|entry| entry["address"] == "127.0.0.2"), "{log}");
}

async fn subscription(server: &Server, token: &str) -> String {
    let registry = server.client().registry_id(token).await;
    registry.split("/resourceGroups").next().expect("a part").to_owned()
}

#[tokio::test]
async fn pages_of_azures_lists_are_followed_through_it() {
    let Some(station) = Station::start() else { return };
    let (server, nginx, client) = (&station.server, &station.nginx, station.nginx.client());
    let flaws: Vec<String> = (1..=700)
        .map(|number| {
            format!(
                r#""CVE-2024-{number}":{{"releases":{{"bookworm":{{"status":"open","urgency":"low"}}}}}}"#
            )
        })
        .collect();
    let tracker = station.folder.path().join("tracker.json");
    std::fs::write(&tracker, format!(r#"{{"zlib":{{{}}}}}"#, flaws.join(","))).expect("writes");
    assert!(server.command(&["feeds", "import", tracker.to_str().expect("text")]).status.success());
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    let flawed = image().layer(&[(release.0, &release.1), (status.0, &status.1)]);
    server.client().push("app/bad", "1", &flawed).await.expect("pushes");
    assert!(server.command(&["scan", "app/bad:1"]).status.success());
    let token = server.client().arm_token().await;
    let registry = server.client().registry_id(&token).await;
    let list = format!(
        "{registry}/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments\
         ?api-version=2019-01-01-preview"
    );
    let (mut next, mut pages, mut rows) = (Some(nginx.url(&format!("/azure{list}"))), 0, 0);
    while let Some(url) = next {
        let page = json(client.get(&url).bearer_auth(&token).send().await.expect("answers")).await;
        (pages, rows) = (pages + 1, rows + page["value"].as_array().expect("a list").len());
        next = page["nextLink"].as_str().map(str::to_owned);
        assert!(next.iter().all(|url| url.starts_with(&nginx.url("/azure/subscriptions/"))), "{next:?}");
    }
    assert_eq!((pages, rows), (2, 700));
}

#[tokio::test]
async fn images_are_pushed_and_pulled_through_it() {
    let Some(station) = Station::start() else { return };
    if !tool("skopeo", "the skopeo client behind a proxy", "apt-get install skopeo") {
        return;
    }
    let (server, nginx) = (&station.server, &station.nginx);
    let big: String = (0..500_000).map(|number| format!("{number:08x}")).collect();
    let pushed = image().layer(&[("opt/big", &big)]);
    server.client().push("made/here", "1", &pushed).await.expect("pushes");
    let certificates = station.folder.path().join("certificates");
    std::fs::create_dir(&certificates).expect("makes");
    std::fs::write(certificates.join("ca.crt"), &nginx.certificate).expect("writes");
    let folder = certificates.to_str().expect("text");
    let credentials = format!("admin:{}", server.password());
    let copied = Command::new("skopeo")
        .args(["copy", "--src-cert-dir", folder, "--dest-cert-dir", folder])
        .args(["--src-creds", &credentials, "--dest-creds", &credentials])
        .arg(format!("docker://{}/made/here:1", nginx.address))
        .arg(format!("docker://{}/copied/there:2", nginx.address))
        .output()
        .expect("skopeo starts");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let there = server.client().get("/v2/copied/there/manifests/2").await.expect("answers");
    assert_eq!(there.headers()["docker-content-digest"], pushed.digest().to_string().as_str());
}
