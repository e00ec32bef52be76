//! A house whose log is looked at.

use reqwest::Method;
use serde_json::Value;
use testkit::{Client, Image, Server, ServerOptions, debian, dpkg, image};

pub(crate) const LAZARET: &str = env!("CARGO_BIN_EXE_lazaret");

pub(crate) fn made(salt: &str) -> Image {
    let (release, status) = (debian("12", "bookworm"), dpkg(&[("zlib", "1.0-1")]));
    image().layer(&[(release.0, &release.1), (status.0, &status.1)]).salted(salt)
}

pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) admin: Client,
    pub(crate) token: String,
    pub(crate) subscription: String,
    /// What must not occur in the log.
    pub(crate) secrets: Vec<String>,
    pub(crate) folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = ServerOptions::new(LAZARET, &folder.path().join("data"));
        let server = Server::start(options.logging_to(&folder.path().join("log")));
        let admin = server.client();
        let token = admin.arm_token().await;
        let registry = admin.registry_id(&token).await;
        let subscription = registry.split('/').nth(2).expect("a subscription").to_owned();
        admin.push("app", "1", &made("first")).await.expect("pushes");
        Self { admin, token, subscription, secrets: vec![server.password()], server, folder }
    }

    /// The newest of the log first.
    pub(crate) fn log(&self, limit: usize) -> Vec<Value> {
        let output = self.server.command(&["audit", "--format=json", &format!("--limit={limit}")]);
        serde_json::from_slice(&output.stdout).expect("a document")
    }

    /// What the newest entry says, as one text.
    pub(crate) fn newest(&self) -> String {
        let log = self.log(1);
        let value = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
        let mut text = format!("{} {}\n", value(&log[0]["action"]), value(&log[0]["scope"]));
        for change in log[0]["changes"].as_array().expect("changes") {
            let named = ["fate", "kind", "name", "of"].map(|key| value(&change[key])).join(" ");
            text.push_str(&format!("{}\n", named.trim_end()));
            for field in change["fields"].as_array().expect("fields") {
                let [name, before, after] = ["name", "before", "after"].map(|key| value(&field[key]));
                text.push_str(&format!("  {name}: {before} -> {after}\n"));
            }
        }
        text
    }

    pub(crate) fn saying(&self, what: &str, wanted: &[&str]) {
        let newest = self.newest();
        for wanted in wanted {
            let wanted = wanted.replace("{subscription}", &self.subscription);
            assert!(newest.contains(&wanted), "{what}: no {wanted:?} in\n{newest}");
        }
    }

    /// Each string in an answer beneath a key of secrets.
    pub(crate) fn keep_secrets(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                for (key, value) in members {
                    match value {
                        Value::String(text) if ["value", "secret", "secretText"].contains(&key.as_str()) => {
                            self.secrets.push(text.clone());
                        }
                        other => self.keep_secrets(other),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.keep_secrets(value)),
            _ => {}
        }
    }

    /// Neither in the log nor in what the server says while it runs.
    pub(crate) fn keeps_quiet(&self) {
        assert!(self.secrets.len() > 3, "{:?}", self.secrets);
        let written = std::fs::read_to_string(self.folder.path().join("log")).expect("reads");
        let log = self.log(100_000);
        assert!(log.len() > 20, "{}", log.len());
        let log = serde_json::to_string(&log).expect("text");
        let told = self.server.command(&["audit", "--limit=100000"]);
        let told = String::from_utf8(told.stdout).expect("text");
        assert!(told.contains("changed"), "{told}");
        for secret in &self.secrets {
            assert!(secret.len() > 5, "{secret:?} is too short to be looked for");
            for text in [&written, &log, &told] {
                assert!(!text.contains(secret), "{secret} is told: {:.3000}", log);
            }
        }
    }

    pub(crate) async fn asks(
        &mut self,
        method: &str,
        template: &str,
        name: &str,
        body: Value,
        wanted: &[&str],
    ) -> Value {
        let is_azure =
            ["/subscriptions", "/providers", "/v1.0/"].iter().any(|start| template.starts_with(start));
        let path = template.replace("{subscriptionId}", &self.subscription);
        let path = path.replace(
            "{resourceGroupName}",
            if path.ends_with("{resourceGroupName}") { name } else { "default" },
        );
        let path =
            path.replace("{registryName}", if path.ends_with("{registryName}") { name } else { "lazaret" });
        let path = path.replace("{managementGroupId}", &self.tenant().await);
        let filled = path.split('/').map(|part| if part.starts_with('{') { name } else { part });
        let path = filled.collect::<Vec<_>>().join("/");
        let method: Method = method.parse().expect("a method");
        let request = if is_azure {
            let url = format!("http://{}{path}?api-version=2022-12-01", self.server.address);
            reqwest::Client::new().request(method, url).bearer_auth(&self.token)
        } else {
            self.admin.request(method, &path)
        };
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.expect("answers");
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success(), "{template}: {status} {text}");
        let answer = serde_json::from_str(&text).unwrap_or_default();
        if ["redentials", "regenerateCredential", "/addPassword"].iter().any(|end| path.ends_with(end)) {
            self.keep_secrets(&answer);
        }
        self.saying(template, wanted);
        answer
    }

    pub(crate) async fn tenant(&self) -> String {
        let endpoints = self.admin.json("/metadata/endpoints?api-version=2022-09-01").await;
        endpoints["authentication"]["tenant"].as_str().expect("text").to_owned()
    }

    /// A command, and what the log says of it then; the secret that it shows is kept.
    pub(crate) fn does(&mut self, arguments: &[&str], wanted: &[&str]) -> String {
        let output = self.server.command(arguments);
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        for line in text.lines().filter(|line| line.starts_with("secret ") || line.starts_with("password")) {
            self.secrets.extend(line.split_whitespace().nth(1).map(str::to_owned));
        }
        if let Ok(answer) = serde_json::from_str::<Value>(&text)
            && let Some(url) = answer["webhooks"][0]["clientConfig"]["url"].as_str()
        {
            self.secrets.extend(url.rsplit('/').next().map(str::to_owned));
        }
        if !wanted.is_empty() {
            self.saying(&arguments.join(" "), wanted);
        }
        text
    }
}
