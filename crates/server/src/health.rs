//! Whether the server is alive, started and ready, for machines; and a page for people who open its address.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use blobstore::BlobStore;
use metastore::Metastore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

/// The stores, and what was found in them a moment ago.
#[derive(Clone)]
pub(crate) struct Health {
    metastore: Metastore,
    blobs: BlobStore,
    last: Arc<tokio::sync::Mutex<Option<(Instant, Checks)>>>,
}

/// One look at everything.
#[derive(Clone, Debug, Serialize)]
struct Checks {
    /// Rows can be read.
    database: Check,
    /// Blobs can be read.
    blobs: Check,
    /// There is advisory data to judge images by.
    advisories: Check,
    /// Pushes can be taken.
    writable: Check,
}

/// `ok`, or what is wrong.
#[derive(Clone, Debug, Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Check {
    fn of<E: std::fmt::Display>(outcome: Result<(), E>) -> Self {
        Self { ok: outcome.is_ok(), reason: outcome.err().map(|error| error.to_string()) }
    }
}

impl Checks {
    fn named(&self, name: &str) -> Option<&Check> {
        match name {
            "database" => Some(&self.database),
            "blobs" => Some(&self.blobs),
            "advisories" => Some(&self.advisories),
            "writable" => Some(&self.writable),
            _ => None,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Parameters {
    /// What must be so for `200`, beside `database` and `blobs`.
    #[serde(default)]
    require: String,
}

impl Health {
    pub(crate) fn new(metastore: Metastore, blobs: BlobStore) -> Self {
        Self { metastore, blobs, last: Arc::default() }
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/readyz", get(readyz))
            .with_state(self)
            .route("/livez", get(alive))
            .route("/startupz", get(alive))
            .route("/", get(welcome))
            .method_not_allowed_fallback(async || {
                (StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n")
            })
    }

    /// What is so, at most [`FRESH`] ago: however many ask, the disk is asked once.
    async fn checks(&self) -> Checks {
        let mut last = self.last.lock().await;
        if let Some((at, checks)) = &*last
            && at.elapsed() < FRESH
        {
            return checks.clone();
        }
        let checks = Checks {
            database: Check::of(self.metastore.check_reads().await.map_err(|error| clear(&error))),
            blobs: Check::of(self.blobs.check_reads().await.map_err(|_| "the blob store cannot be read")),
            advisories: Check::of(match self.metastore.current_snapshot().await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("there is no advisory data: images are Unverified until some is imported"),
                Err(error) => Err(clear(&error)),
            }),
            writable: Check::of(self.writable().await),
        };
        *last = Some((Instant::now(), checks.clone()));
        checks
    }

    async fn writable(&self) -> Result<(), &'static str> {
        self.metastore.check_grows().await.map_err(|error| clear(&error))?;
        let room = self.blobs.check_room();
        let checked = match room {
            Ok(()) => self.blobs.check_writes().await,
            full => full,
        };
        checked.map_err(|error| match error.is_full() {
            true => "the disk is full, or has less free than is kept free: pushes are refused",
            false => "the blob store cannot be written to: pushes are refused",
        })
    }
}

/// Nothing that a stranger should not read.
fn clear(error: &metastore::Error) -> &'static str {
    match error {
        metastore::Error::Full => "the disk is full, or has less free than is kept free: pushes are refused",
        metastore::Error::ReadOnly => "the database cannot be written to: pushes are refused",
        metastore::Error::Busy => "another program holds the database",
        _ => "the database fails; the log says why",
    }
}

/// `GET /livez`, `GET /startupz`: it listens only when it has started, and answers only while it lives.
async fn alive() -> Response {
    ([(CACHE_CONTROL, "no-store")], axum::Json(json!({ "status": "ok" }))).into_response()
}

/// `GET /readyz`: `200` as long as pulls are served; what else is wrong is said, and is `degraded`. With
/// `?require=writable,advisories` these must be so for a `200`.
async fn readyz(
    State(health): State<Health>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Response {
    let checks = health.checks().await;
    let required = parameters.map(|Query(parameters)| parameters.require).unwrap_or_default();
    let mut required: Vec<&str> =
        required.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = required.iter().find(|name| checks.named(name).is_none()) {
        let said = format!("{unknown:?} is not a check: require database, blobs, advisories or writable");
        return (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": said }))).into_response();
    }
    required.extend(["database", "blobs"]);
    let is_so = |name: &&str| checks.named(name).is_some_and(|check| check.ok);
    let (code, status) = match (required.iter().all(is_so), NAMES.iter().all(is_so)) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ready"),
    };
    let body = json!({ "status": status, "checks": checks });
    (code, [(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

/// `GET /`: what this is, and how to log in.
async fn welcome(uri: Uri, headers: HeaderMap) -> Response {
    let named = uri.authority().map(axum::http::uri::Authority::as_str);
    let named = named.or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()));
    let is_plain = |host: &&str| {
        host.len() <= 255 && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    let host = named.filter(is_plain).unwrap_or("HOST");
    let wants_html = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let (kind, page) =
        if wants_html { ("text/html; charset=utf-8", PAGE) } else { ("text/plain; charset=utf-8", TEXT) };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, policy), (CACHE_CONTROL, "no-store")];
    (headers, page.replace("{host}", host)).into_response()
}

const NAMES: [&str; 4] = ["database", "blobs", "advisories", "writable"];

/// However many ask, the disk is asked so often.
const FRESH: Duration = Duration::from_secs(1);

const TEXT: &str = "\
Lazaret: a container registry that scans what it holds.

  docker login {host} -u NAME            log in; the first administrator is admin
  docker push {host}/app/web:1           push an image
  docker pull {host}/app/web:1           pull it

  lazaret image list                     on the server: every image and what was found in it
  lazaret help                           on the server: everything else

The registry's API is at /v2/; Azure's clients sign in at this address, too.
Health: /livez, /startupz, /readyz. The manual is the folder docs/ of the sources, docs/operating.md first.
";

const PAGE: &str = "\
<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Lazaret</title>
<style>body{font:1rem/1.5 sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}pre{padding:1rem;background:#eee;color:#222;overflow:auto}</style></head>
<body>
<h1>Lazaret</h1>
<p>A container registry that scans what it holds. This page is all there is for browsers: use it with a container client.</p>
<pre>docker login {host} -u NAME
docker push {host}/app/web:1
docker pull {host}/app/web:1</pre>
<p>The first administrator is <code>admin</code>. On the server, <code>lazaret image list</code> shows every image and what was
found in it, and <code>lazaret help</code> everything else.</p>
<p>The registry's API is at <code>/v2/</code>; Azure's clients sign in at this address, too. Health:
<a href=\"/livez\">/livez</a>, <a href=\"/startupz\">/startupz</a>, <a href=\"/readyz\">/readyz</a>. The manual is the folder
<code>docs/</code> of the sources, <code>docs/operating.md</code> first.</p>
</body></html>
";
