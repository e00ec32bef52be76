//! A store with webhooks, a clock that the test turns, and receivers on the loopback interface.

#![allow(clippy::allow_attributes, dead_code, reason = "no test file uses all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use events::{Dispatcher, Mailer, Reach, SendLimits, Sender};
use metastore::{
    Delivery, Durability, EventAction, ManifestKind, Metastore, Origin, PutManifest, PutWebhook, Registry,
    ResourceGroup, Subscription, Tier, Webhook, WebhookChange,
};
use oci::{Digest, MediaType};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) struct House {
    pub(crate) store: Metastore,
    pub(crate) registry: Registry,
    now_ms: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            Metastore::open(&folder.path().join("rows.sqlite"), Durability::Unflushed).expect("opens");
        let subscription =
            Subscription { id: Uuid::from_u128(7), display_name: "default".to_owned(), is_disabled: false };
        let group = ResourceGroup::new(Uuid::from_u128(7), "g".to_owned(), "local".to_owned());
        let made = store.create_tenancy(Uuid::nil(), subscription, Tier::Standard, group, "lazaret", 1);
        assert!(made.await.expect("makes"));
        let registry = store.registries().await.expect("lists").remove(0);
        Self { store, registry, now_ms: Arc::new(AtomicI64::new(NOW_MS)), _folder: folder }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn turn_to(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Reaches this machine, and waits for nobody long.
    pub(crate) fn dispatcher(&self) -> Dispatcher {
        self.dispatcher_with(Reach { loopback: true }, b"")
    }

    pub(crate) fn dispatcher_with(&self, reach: Reach, authorities: &[u8]) -> Dispatcher {
        let limits = SendLimits { whole: Duration::from_millis(500), ..SendLimits::default() };
        let sender = Sender::new(reach, limits, authorities).expect("sends");
        let now_ms = Arc::clone(&self.now_ms);
        Dispatcher::new(
            self.store.clone(),
            sender,
            Arc::new(move || now_ms.load(Ordering::SeqCst)),
            "https://lazaret.example",
        )
    }

    pub(crate) fn dispatcher_mailing(&self, mailer: Option<Mailer>) -> Dispatcher {
        let sender = Sender::new(Reach { loopback: true }, SendLimits::default(), b"").expect("sends");
        let now_ms = Arc::clone(&self.now_ms);
        let clock = Arc::new(move || now_ms.load(Ordering::SeqCst));
        Dispatcher::new(self.store.clone(), sender.with_mailer(mailer), clock, "https://lazaret.example")
    }

    pub(crate) async fn webhook(&self, name: &str, uri: &str, change: WebhookChange) -> Webhook {
        let change = WebhookChange {
            service_uri: Some(uri.to_owned()),
            actions: Some(vec![EventAction::Push]),
            secret: Some(SECRET.to_owned()),
            ..change
        };
        match self.store.put_webhook(self.registry.id, name, change, true, self.now_ms()).await {
            Ok(PutWebhook::Created(made)) => made,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn push(&self, tag: &str) {
        let put = PutManifest {
            registry: self.registry.id,
            repository: "app".parse().expect("a name"),
            digest: Digest::sha256(b"m"),
            kind: ManifestKind::Image,
            media_type: MediaType::new(MediaType::OCI_MANIFEST),
            artifact_type: None,
            subject: None,
            annotations: None,
            bytes: b"m".to_vec(),
            tags: vec![tag.parse().expect("a tag")],
            blobs: vec![],
            children: vec![],
            is_sparse: false,
            pushed_by: "x".to_owned(),
            now_ms: self.now_ms(),
        };
        let origin =
            Origin { request_id: "r".to_owned(), host: "lazaret.example".to_owned(), ..Origin::default() };
        self.store.on_behalf_of(origin).put_manifest(put).await.expect("stores");
    }

    pub(crate) async fn log(&self, webhook: &Webhook) -> Vec<Delivery> {
        self.store.deliveries(webhook.id, 100).await.expect("lists")
    }
}

/// What a receiver got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A receiver that answers as the test says.
pub(crate) struct Receiver {
    pub(crate) uri: String,
    got: mpsc::UnboundedReceiver<Got>,
}

type Answer = Arc<dyn Fn() -> Response + Send + Sync>;

impl Receiver {
    pub(crate) async fn start(answer: impl Fn() -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let uri = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, got) = mpsc::unbounded_channel();
        let state: (Answer, mpsc::UnboundedSender<Got>) = (Arc::new(answer), sender);
        let router = Router::new().fallback(receive).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { uri, got }
    }

    /// The next message, within ten seconds.
    pub(crate) async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(Duration::from_secs(10), self.got.recv()).await;
        next.expect("a message in time").expect("the receiver is there")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.got.is_empty()
    }
}

async fn receive(
    State((answer, got)): State<(Answer, mpsc::UnboundedSender<Got>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    drop(got.send(Got { path: uri.to_string(), headers, body: body.to_vec() }));
    answer()
}
