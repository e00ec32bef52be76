//! The clusters' door: Kubernetes asks which images it may run (`admission.k8s.io/v1`), and says which it
//! does run (`v1` pod list).
//!
//! A cluster is known by a token. Kubernetes' webhook configuration takes a URL without a query and
//! without credentials, so the token may stand at the end of the path; the header is better where the
//! client can send one. Paths are therefore never logged here.

mod admission;
mod error;
mod image_name;
mod policy;
mod report;
mod workload;

use std::sync::Arc;

use auth::{Action, Auth, Caller, Witness};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use metastore::{Cluster, Metastore};
use oci::Digest;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use error::ClusterError;
pub use policy::ClusterPolicy;

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

#[derive(Clone)]
struct Api {
    metastore: Metastore,
    auth: Auth,
    clock: Clock,
    /// Reports are large: one at a time is in memory.
    reports: Arc<Semaphore>,
}

/// Every route of this door: a method and a path each.
pub const ROUTES: [(&str, &str); 3] = [
    ("POST", "/admission/v1/{cluster}"),
    ("POST", "/admission/v1/{cluster}/{token}"),
    ("PUT", "/clusters/v1/{cluster}/running"),
];

/// The routes of [`ROUTES`].
pub fn router(metastore: Metastore, auth: Auth, clock: Clock) -> Router {
    let api = Api { metastore, auth, clock, reports: Arc::new(Semaphore::new(1)) };
    let [(_, by_header), (_, by_path), (_, running)] = ROUTES;
    Router::new()
        .route(by_header, post(validate_by_header))
        .route(by_path, post(validate_by_path))
        .route(running, put(report_running))
        .method_not_allowed_fallback(async || ClusterError::Method)
        .with_state(api)
}

/// What a cluster's token is stored as.
#[must_use]
pub fn token_hash(token: &str) -> Digest {
    // The token is random: there is nothing to guess slowly.
    Digest::sha256(token.as_bytes())
}

/// What the path names. Bytes that are not text name no cluster.
fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ClusterError> {
    path.map(|Path(named)| named).map_err(|_| ClusterError::Unauthorized)
}

async fn validate_by_header(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ClusterError> {
    let name = named(path)?;
    api.cluster_of_token(&name, bearer(&headers)).await?;
    let review = read(body, REVIEW_BYTES_MAX).await?;
    // Once more: the token may be another while a body is held back.
    let cluster = api.cluster_of_token(&name, bearer(&headers)).await?;
    api.validate(&cluster, review).await.map(respond)
}

async fn validate_by_path(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Result<Response, ClusterError> {
    let (name, token) = named(path)?;
    api.cluster_of_token(&name, Some(&token)).await?;
    let review = read(body, REVIEW_BYTES_MAX).await?;
    let cluster = api.cluster_of_token(&name, Some(&token)).await?;
    api.validate(&cluster, review).await.map(respond)
}

async fn report_running(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    witness: Option<Extension<Witness>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ClusterError> {
    let name = named(path)?;
    let witness = witness.map(|Extension(witness)| witness).unwrap_or_default();
    api.reporting_cluster(&name, bearer(&headers), &witness).await?;
    let Ok(_turn) = api.reports.acquire().await else { return Err(ClusterError::Stopping) };
    let bytes = read(body, report::BYTES_MAX).await?;
    let cluster = api.reporting_cluster(&name, bearer(&headers), &witness).await?;
    let report = report::parse(&bytes)?;
    let (images, unresolved) = (report.images.len(), report.unresolved);
    if !api.metastore.report_running(&cluster.name, report.images, (api.clock)()).await? {
        return Err(ClusterError::NoSuchCluster(name));
    }
    Ok(respond(json!({ "cluster": cluster.name, "images": images, "unresolved": unresolved })))
}

impl Api {
    /// The cluster, if the token is its own. Which clusters there are is told to nobody.
    async fn cluster_of_token(&self, name: &str, token: Option<&str>) -> Result<Cluster, ClusterError> {
        let token = token.ok_or(ClusterError::Unauthorized)?;
        let cluster = self.metastore.cluster(name).await?;
        cluster.filter(|cluster| cluster.token_hash == token_hash(token)).ok_or(ClusterError::Unauthorized)
    }

    /// The cluster, for itself or for a principal whose role allows it to speak for clusters.
    async fn reporting_cluster(
        &self,
        name: &str,
        token: Option<&str>,
        witness: &Witness,
    ) -> Result<Cluster, ClusterError> {
        let given = token.ok_or(ClusterError::Unauthorized)?;
        let cluster = self.metastore.cluster(name).await?;
        if let Some(cluster) = cluster.clone().filter(|cluster| cluster.token_hash == token_hash(given)) {
            return Ok(cluster);
        }
        let caller = self.auth.verify_management_token(given).await.map_err(|error| match error {
            auth::TokenError::Store(error) => error.into(),
            _ => ClusterError::Unauthorized,
        })?;
        witness.is_from(&caller);
        let cluster = cluster.ok_or_else(|| ClusterError::NoSuchCluster(name.to_owned()))?;
        let scope = format!("/subscriptions/{}", cluster.subscription);
        if caller.may(Action::ReportRunning, &scope) {
            return Ok(cluster);
        }
        // Reports come every minute and are no changes by anybody; who may not report is written down.
        witness.asks_for(Action::ReportRunning.name().to_owned(), scope.clone(), false);
        Err(if is_known(&caller, &scope) {
            ClusterError::Forbidden { caller: caller.name, action: Action::ReportRunning, scope }
        } else {
            ClusterError::NoSuchCluster(name.to_owned())
        })
    }
}

/// True if the caller has some business in the subscription.
fn is_known(caller: &Caller, scope: &str) -> bool {
    [Action::ReadSubscription, Action::ReadRegistry, Action::Pull, Action::ReadAssessments]
        .iter()
        .any(|action| caller.may_within(*action, scope))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ClusterError> {
    to_bytes(body, bytes_max).await.map_err(|_| ClusterError::Body { bytes_max })
}

fn respond(document: Value) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document.to_string()).into_response()
}

/// More than Kubernetes sends: two objects of 1.5 MiB, the most that etcd takes.
const REVIEW_BYTES_MAX: usize = 8 << 20;
