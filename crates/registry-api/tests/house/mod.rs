//! A registry behind its door, in this process, over temporary stores.
#![allow(dead_code, unused_imports, clippy::allow_attributes, reason = "each test file uses its own part")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use auth::{Auth, SigningKey, hash_secret, roles};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine as _;
use blobstore::BlobStore;
use http_body_util::BodyExt as _;
use metastore::{
    Durability, Metastore, Principal, PrincipalKind, PrincipalSecret, ResourceGroup, RoleAssignment,
    Subscription, Tier,
};
use oci::{Digest, MediaType};
use registry::{NobodyWatches, Registry};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) auth: Auth,
    pub(crate) metastore: Metastore,
    pub(crate) resource: String,
    pub(crate) registry: Registry,
    now_ms: Arc<AtomicI64>,
    folder: Arc<tempfile::TempDir>,
}

/// With an owner `admin`, a `puller` of everything, a `pusher` to `team/` and a `stranger`.
pub(crate) async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    let (tenant, subscription) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let first = Subscription { id: subscription, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(subscription, "default".to_owned(), "local".to_owned());
    metastore.create_tenancy(tenant, first, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let served = metastore.registries().await.unwrap().remove(0);
    let resource = served.resource_id();
    let team = format!("{resource}/repositories/team");
    for (number, (name, role, scope)) in [
        ("admin", roles::OWNER, "/"),
        ("puller", roles::ACR_PULL, resource.as_str()),
        ("pusher", roles::ACR_PUSH, &team),
        ("stranger", roles::SECURITY_READER, "/"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = Uuid::from_u128(10 + number as u128);
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret("secret"));
        let role = RoleAssignment::new(id, id, role, scope.to_owned());
        assert!(metastore.create_principal(principal, secret, role, 0).await.unwrap());
    }
    House::over(Arc::new(folder), metastore, Arc::new(AtomicI64::new(1_800_000_000_000))).await
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The first error code.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl House {
    async fn over(folder: Arc<tempfile::TempDir>, metastore: Metastore, now_ms: Arc<AtomicI64>) -> Self {
        let served = metastore.registries().await.unwrap().remove(0);
        let blobs = BlobStore::open(&folder.path().join("blobs"), blobstore::Durability::Unflushed).unwrap();
        let clock: registry::Clock = {
            let now_ms = Arc::clone(&now_ms);
            Arc::new(move || now_ms.load(Ordering::Relaxed))
        };
        let registry =
            Registry::new(metastore.clone(), blobs, Arc::new(NobodyWatches), Arc::new(|| ()), clock.clone());
        let auth =
            Auth::new(metastore.clone(), SigningKey::new(&[1; 32]).unwrap(), Uuid::from_u128(1), clock);
        let directory = registry_api::Directory::new(metastore.clone(), "registry.test");
        let router = registry_api::router(registry.clone(), auth.clone(), directory)
            .layer(axum::middleware::from_fn(registry_api::read_refused));
        Self { router, auth, metastore, resource: served.resource_id(), registry, now_ms, folder }
    }

    /// What a new process finds: the stores, and nothing that was in memory.
    pub(crate) async fn restart(self) -> Self {
        self.again().await
    }

    /// The same, for a house that others hold too; they must ask it no more.
    pub(crate) async fn again(&self) -> Self {
        Self::over(Arc::clone(&self.folder), self.metastore.clone(), Arc::clone(&self.now_ms)).await
    }

    /// With so many requests a minute for each principal.
    pub(crate) fn limited(mut self, requests: u32) -> Self {
        let limit = registry_api::RateLimit::per_minute(requests).unwrap();
        self.router = self.router.layer(axum::Extension(limit));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn turn_clock(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Tags a manifest that is there, past the door.
    pub(crate) async fn tag(&self, repository: &str, manifest: &Value, tags: Vec<oci::Tag>) {
        let served = self.metastore.registries().await.unwrap().remove(0);
        let pushed = (&MediaType::new(MediaType::OCI_MANIFEST), manifest.to_string().into_bytes());
        let reference = oci::Reference::Digest(digest_of(manifest));
        let repository = repository.parse().unwrap();
        self.registry.put_manifest(served.id, &repository, &reference, tags, pushed, "").await.unwrap();
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:5000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Response<Body> =
            self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends a request of the administrator's, with a length as every client does.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let length = body.len().to_string();
        let authorization = basic("admin", "secret");
        let mut all = vec![("authorization", authorization.as_str())];
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            all.push(("content-length", &length));
        }
        all.extend(headers);
        self.send(method, path, &all, body.to_vec()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.ask("HEAD", path, &[], b"").await
    }

    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.ask("POST", &format!("/v2/{repository}/blobs/uploads/?digest={digest}"), &[], bytes)
            .await
            .is(201);
        digest
    }

    pub(crate) async fn push_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(MediaType::OCI_MANIFEST).to_owned();
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.ask("PUT", &path, &[("content-type", &media_type)], manifest.to_string().as_bytes()).await
    }

    /// Sends a chunk that says where it belongs.
    pub(crate) async fn chunk(&self, location: &str, range: &str, bytes: &[u8]) -> Answer {
        self.ask("PATCH", location, &[("content-range", range)], bytes).await
    }

    /// Opens a session and returns its location.
    pub(crate) async fn open(&self, repository: &str) -> String {
        self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"")
            .await
            .is(202)
            .header("location")
            .to_owned()
    }

    /// A token for these scopes.
    pub(crate) async fn token(&self, name: &str, scopes: &[&str]) -> String {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        let path = format!("/token?service=lazaret{scopes}");
        let answer = self.send("GET", &path, &[("authorization", &basic(name, "secret"))], "").await.is(200);
        answer.json()["token"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{secret}")))
}

pub(crate) fn descriptor(bytes: &[u8], media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

/// An image of this configuration and these layers.
pub(crate) fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<_> =
        layers.iter().map(|layer| descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip")).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(config, MediaType::OCI_CONFIG),
        "layers": layers,
    })
}

pub(crate) fn digest_of(manifest: &Value) -> Digest {
    Digest::sha256(manifest.to_string().as_bytes())
}
