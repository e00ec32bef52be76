//! A registry client that pushes what tests make and reads what the server says of it.

use std::time::{Duration, Instant};

use oci::{Digest, MediaType};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::Image;

/// Speaks plain HTTP to one server as one user.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    user: String,
    password: String,
}

impl Client {
    /// A client of the server at `address` (`127.0.0.1:PORT`).
    #[must_use]
    pub fn new(address: &str, user: &str, password: &str) -> Self {
        // The provider is the process's; a second test may have installed it already.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_MAX).build().unwrap();
        Self { http, base: format!("http://{address}"), user: user.to_owned(), password: password.to_owned() }
    }

    /// A request with the user's credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url).basic_auth(&self.user, Some(&self.password))
    }

    /// `GET` with the user's credentials.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.request(Method::GET, path).send().await
    }

    /// Pushes a blob as docker does (POST, PATCH, PUT), unless the repository has it.
    ///
    /// # Errors
    /// If the server is gone or refuses.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> reqwest::Result<Digest> {
        let digest = Digest::sha256(bytes);
        let head = self.request(Method::HEAD, &format!("/v2/{repository}/blobs/{digest}")).send().await?;
        if head.status() == StatusCode::OK {
            return Ok(digest);
        }
        let opened = self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send().await?;
        let location = location(&opened.error_for_status()?);
        let sent = self.request(Method::PATCH, &location).body(bytes.to_vec()).send().await?;
        let location = self::location(&sent.error_for_status()?);
        let separator = if location.contains('?') { '&' } else { '?' };
        let closed =
            self.request(Method::PUT, &format!("{location}{separator}digest={digest}")).send().await?;
        closed.error_for_status()?;
        Ok(digest)
    }

    /// Pushes a manifest under a tag or digest.
    ///
    /// # Errors
    /// If the server is gone or refuses.
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        bytes: &[u8],
    ) -> reqwest::Result<()> {
        let put = self
            .request(Method::PUT, &format!("/v2/{repository}/manifests/{reference}"))
            .header("Content-Type", MediaType::OCI_MANIFEST)
            .body(bytes.to_vec());
        put.send().await?.error_for_status()?;
        Ok(())
    }

    /// Pushes an image: layers, configuration, manifest.
    ///
    /// # Errors
    /// If the server is gone or refuses.
    pub async fn push(&self, repository: &str, tag: &str, image: &Image) -> reqwest::Result<Digest> {
        for layer in image.layers() {
            self.push_blob(repository, layer).await?;
        }
        self.push_blob(repository, &image.config()).await?;
        self.push_manifest(repository, tag, &image.manifest()).await?;
        Ok(image.digest())
    }

    /// A bearer token for the Azure API.
    pub async fn arm_token(&self) -> String {
        let tenant: Value = self.json("/metadata/endpoints?api-version=2022-09-01").await;
        let login =
            tenant["authentication"]["loginEndpoint"].as_str().unwrap().trim_end_matches('/').to_owned();
        let tenant = tenant["authentication"]["tenant"].as_str().unwrap();
        // The endpoints are announced for HTTPS; the same path serves here.
        let path = login.splitn(4, '/').nth(3).map_or_else(String::new, |path| format!("/{path}"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.user.as_str()),
            ("client_secret", self.password.as_str()),
            ("scope", "https://management.azure.com/.default"),
        ];
        let url = format!("{}{path}/{tenant}/oauth2/v2.0/token", self.base);
        let answer = self.http.post(url).form(&form).send().await.unwrap().error_for_status().unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// `GET` of a JSON document that must be there.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await.unwrap().error_for_status().unwrap();
        answer.json().await.unwrap()
    }

    /// Every sub-assessment of the default registry, through all pages.
    pub async fn sub_assessments(&self, token: &str) -> Vec<Value> {
        let registry = self.registry_id(token).await;
        let mut rows = Vec::new();
        let mut next = Some(format!(
            "{}{registry}/providers/Microsoft.Security/assessments/{KEY}/subAssessments?api-version=2019-01-01-preview",
            self.base
        ));
        while let Some(url) = next {
            let answer =
                self.http.get(url).bearer_auth(token).send().await.unwrap().error_for_status().unwrap();
            let mut page: Value = answer.json().await.unwrap();
            next = page["nextLink"].as_str().map(str::to_owned);
            rows.append(page["value"].as_array_mut().unwrap());
        }
        rows
    }

    /// Waits until an image of the default registry is judged, and returns its rows.
    ///
    /// # Panics
    /// If that takes longer than [`VERDICT_MAX`].
    pub async fn wait_for_verdict(&self, token: &str, image: &Digest) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let rows = self.sub_assessments(token).await;
            let wanted = image.to_string();
            let rows: Vec<_> = rows
                .into_iter()
                .filter(|row| row["properties"]["additionalData"]["imageDigest"] == wanted.as_str())
                .collect();
            if !rows.is_empty() {
                return rows;
            }
            assert!(began.elapsed() < VERDICT_MAX, "{image} has no verdict after {VERDICT_MAX:?}");
            tokio::task::yield_now().await;
        }
    }

    /// `GET` with a bearer token.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn with_token(&self, token: &str, path: &str) -> reqwest::Result<Response> {
        self.http.get(format!("{}{path}", self.base)).bearer_auth(token).send().await
    }

    /// `POST` of a JSON document with a bearer token: the status and the document that comes back.
    ///
    /// # Panics
    /// If the server is gone, or answers with something else.
    pub async fn post_json(&self, path: &str, token: &str, document: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(token).json(document);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A token to push to and pull from a repository.
    pub async fn registry_token(&self, repository: &str) -> String {
        let answer =
            self.json(&format!("/token?service=lazaret&scope=repository:{repository}:pull,push")).await;
        answer["token"].as_str().unwrap().to_owned()
    }

    /// The resource id of the default registry.
    pub async fn registry_id(&self, token: &str) -> String {
        let get = |path: String| {
            let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(token);
            async move { request.send().await.unwrap().error_for_status().unwrap().json::<Value>().await.unwrap() }
        };
        let subscriptions = get("/subscriptions?api-version=2022-12-01".to_owned()).await;
        let subscription = subscriptions["value"][0]["subscriptionId"].as_str().unwrap().to_owned();
        format!(
            "/subscriptions/{subscription}/resourceGroups/default/providers/Microsoft.ContainerRegistry/registries/lazaret"
        )
    }
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// The 2020 form's assessment key.
const KEY: &str = "dbd0cb49-b563-45e7-9724-889e799fa648";

const REQUEST_MAX: Duration = Duration::from_secs(60);

/// No test's image takes longer; a test that reaches it has found a bug.
const VERDICT_MAX: Duration = Duration::from_secs(60);
