//! A door over a real metastore, and who asks it.

use std::sync::Arc;

use advisory::Severity;
use assessment::{Cause, Finding, FindingPackage, FixState, ImageState, RateCard, Verdict};
use auth::{Auth, SigningKey, hash_secret, roles};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use azure_documents::Names;
use blobstore::BlobStore;
use http_body_util::BodyExt as _;
use inventory::ImageInventory;
use metastore::{
    AssignRole, Durability, ManifestKind, Metastore, Principal, PrincipalKind, PrincipalSecret, PutManifest,
    RegistryId, ResourceGroup, RoleAssignment, Subscription, Tier, VerdictWrite,
};
use oci::{Digest, MediaType};
use registry::{NobodyWatches, Registry};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(1);
pub(crate) const SUB: Uuid = Uuid::from_u128(2);
pub(crate) const KEY_2023: &str = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5";
pub(crate) const KEY: &str = "dbd0cb49-b563-45e7-9724-889e799fa648";
pub(crate) const NOW_MS: i64 = 1_800_000_000_123;

pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) metastore: Metastore,
    pub(crate) registry: RegistryId,
    pub(crate) resource: String,
    _folder: tempfile::TempDir,
}

pub(crate) async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Metastore::open(&folder.path().join("lazaret.db"), Durability::Unflushed).unwrap();
    let first = Subscription { id: SUB, display_name: "s".to_owned(), is_disabled: false };
    let group = ResourceGroup::new(SUB, "default".to_owned(), "local".to_owned());
    metastore.create_tenancy(TENANT, first, Tier::Standard, group, "lazaret", 0).await.unwrap();
    let served = metastore.registries().await.unwrap().remove(0);
    let resource = served.resource_id();
    let subscription = format!("/subscriptions/{SUB}");
    for (number, (name, held)) in [
        ("admin", vec![(roles::OWNER, "/")]),
        ("reader", vec![(roles::SECURITY_READER, "/"), (roles::ACR_PULL, resource.as_str())]),
        ("security", vec![(roles::SECURITY_READER, &subscription)]),
        ("puller", vec![(roles::ACR_PULL, &resource)]),
        ("elsewhere", vec![(roles::OWNER, "/subscriptions/00000000-0000-0000-0000-00000000000f")]),
    ]
    .into_iter()
    .enumerate()
    {
        let id = Uuid::from_u128(10 + number as u128);
        let principal = Principal::new(id, name.to_owned(), PrincipalKind::Program);
        let secret = PrincipalSecret::new(Uuid::new_v4(), hash_secret("secret"));
        let assign = |(index, (role, scope)): (u128, (Uuid, &str))| {
            let name = Uuid::from_u128(100 + 10 * number as u128 + index);
            RoleAssignment::new(name, id, role, scope.to_owned())
        };
        let mut assignments = (0..).zip(held).map(assign);
        assert!(metastore.create_principal(principal, secret, assignments.next().unwrap(), 0).await.unwrap());
        for further in assignments {
            assert!(matches!(metastore.assign_role(further, 0).await.unwrap(), AssignRole::Assigned(_)));
        }
    }
    let auth = Auth::new(metastore.clone(), SigningKey::new(&[1; 32]).unwrap(), TENANT, Arc::new(|| NOW_MS));
    let rates = RateCard { per_image: "0.29".parse().unwrap(), ..RateCard::default() };
    let domain =
        azure_api::Domain { name: "registry.test".to_owned(), default: served.id, login_server: None };
    let clock = Arc::new(|| NOW_MS);
    let registry = Registry::new(
        metastore.clone(),
        BlobStore::open(&folder.path().join("blobs"), blobstore::Durability::Unflushed).unwrap(),
        Arc::new(NobodyWatches),
        Arc::new(|| ()),
        clock.clone(),
    );
    let router = azure_api::router(azure_api::Parts {
        metastore: metastore.clone(),
        auth,
        tenant: TENANT,
        clock,
        rates,
        names: Names::Own,
        domain,
        imports: azure_api::Imports::new(registry, Vec::new()),
        wake: Arc::new(|| ()),
    });
    House { router, metastore, registry: served.id, resource, _folder: folder }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:#}", self.body);
        self
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl House {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry.example:5443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn token(&self, name: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={name}&client_secret=secret\
             &scope=https%3A%2F%2Fmanagement.azure.com%2F%2F.default"
        );
        let path = format!("/{TENANT}/oauth2/v2.0/token");
        let answer = self.send("POST", &path, &[FORM], &form).await.is(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, name: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token(name).await);
        self.send("GET", path, &[("authorization", &bearer), ("accept", "*/*")], "").await
    }

    pub(crate) async fn push(&self, repository: &str, text: &str) -> Digest {
        let digest = Digest::sha256(text.as_bytes());
        let put = PutManifest {
            registry: self.registry,
            repository: repository.parse().unwrap(),
            digest: digest.clone(),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            blobs: vec![],
            children: vec![],
            is_sparse: false,
            bytes: text.as_bytes().to_vec(),
            tags: vec!["latest".parse().unwrap()],
            pushed_by: String::new(),
            now_ms: NOW_MS,
        };
        self.metastore.put_manifest(put).await.unwrap();
        digest
    }

    pub(crate) async fn judge(
        &self,
        image: &Digest,
        state: ImageState,
        causes: &[(&str, &str)],
        findings: Vec<Finding>,
    ) {
        let causes = causes.iter().map(|(code, description)| Cause {
            code: (*code).to_owned(),
            description: (*description).to_owned(),
        });
        let write = VerdictWrite {
            image: image.clone(),
            inventory: ImageInventory::default(),
            snapshot: None,
            engine: "test".to_owned(),
            verdict: Verdict { state, causes: causes.collect(), findings },
            keys: vec![],
            now_ms: NOW_MS,
        };
        assert!(self.metastore.put_verdict(write).await.unwrap());
    }

    pub(crate) fn subs(&self) -> String {
        format!("{}/providers/Microsoft.Security/assessments/{KEY}/subAssessments{VERSION}", self.resource)
    }

    /// Every row, through all pages, following the links as they are.
    pub(crate) async fn all_rows(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let mut answer = self.get("admin", &path).await.is(200).body;
            let page = answer["value"].as_array_mut().unwrap();
            // An image's assessments are not torn apart.
            assert!(page.len() <= 510 && !page.is_empty());
            rows.append(page);
            let link = answer["nextLink"].as_str();
            next = link.map(|link| link.strip_prefix("http://registry.example:5443").unwrap().to_owned());
        }
        rows
    }
}

pub(crate) fn finding(id: &str, severity: Severity) -> Finding {
    Finding {
        id: id.to_owned(),
        aliases: vec![],
        title: format!("{id} in openssl"),
        description: "a flaw".to_owned(),
        severity,
        severity_source: "debian urgency".to_owned(),
        package: FindingPackage {
            name: "libssl3".to_owned(),
            version: "3.0.1".to_owned(),
            ecosystem: "deb".to_owned(),
            architecture: "amd64".to_owned(),
            path: "var/lib/dpkg/status".to_owned(),
            layer: Digest::sha256(b"layer"),
            layer_command: None,
        },
        source: "openssl".to_owned(),
        source_version: "3.0.1".to_owned(),
        fixed_version: Some("3.0.2".to_owned()),
        fix_state: FixState::Fixed,
        remediation: "upgrade".to_owned(),
        reason: "because".to_owned(),
        feed: "debian".to_owned(),
        references: vec![advisory::Reference {
            title: "DSA-1".to_owned(),
            link: "https://d.example/1".to_owned(),
        }],
    }
}

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(crate) const VERSION: &str = "?api-version=2019-01-01-preview";
