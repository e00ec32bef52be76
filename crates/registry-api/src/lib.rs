//! The registry's door: the OCI distribution API, Docker's token flow and Azure Container Registry's
//! data plane over HTTP.
//!
//! This room turns requests into calls of `registry` and `auth`, and their answers into status codes,
//! headers and error bodies. It keeps no state.

mod access;
mod acr;
mod blobs;
mod body;
mod deleted;
mod directory;
mod error;
mod filled;
mod gate;
#[doc(hidden)]
pub mod hostile;
mod listing;
mod manifests;
mod quarantine;
mod query;
mod range;
mod rate;
mod route;
mod routes;
mod token;
mod uploads;

pub use body::read_refused;

use std::sync::Arc;

use auth::{Auth, Home, Witness};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, HeaderName, HeaderValue, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use metastore::{Origin, RegistryId};
use mirror::{Cache, Wanted};
use registry::{Owner, Registry};

pub use rate::RateLimit;

use access::Needed;
pub use blobs::PlainSocket;
pub use directory::Directory;

use crate::blobs::Wire;
use error::ApiError;
use query::Parameters;
use route::Target;

pub use routes::routes;

/// All registries; which one a request is for, its host says.
struct House {
    registry: Registry,
    auth: Auth,
    directory: Directory,
}

/// The registry that a request is for.
struct Api {
    registry: Registry,
    auth: Auth,
    id: RegistryId,
    /// Its ARM id: where its roles are held.
    resource: Arc<str>,
    /// Who gets in.
    home: Arc<Home>,
    /// Fills some of its repositories from elsewhere.
    cache: Option<Cache>,
}

impl House {
    /// # Errors
    /// 404 if the host names a registry that is not there.
    async fn at(&self, host: Option<&str>) -> Result<Api, ApiError> {
        let home = self.directory.served(host.unwrap_or_default()).await?;
        let (registry, auth) = (self.registry.clone(), self.auth.clone());
        let (id, resource) = (home.id, Arc::clone(&home.resource));
        Ok(Api { registry, auth, id, resource, home, cache: None })
    }
}

/// Everything beneath `/v2/` and `/acr/v1/`, and the token endpoints.
pub fn router(registry: Registry, auth: Auth, directory: Directory) -> Router {
    Router::new()
        .route("/v2", any(door))
        .route("/v2/", any(door))
        .route("/v2/{*path}", any(door))
        .route("/acr/v1/{*path}", any(door))
        .route("/oauth2/exchange", any(token::exchange))
        .route("/token", any(token::token))
        .route("/oauth2/token", any(token::token))
        .with_state(Arc::new(House { registry, auth, directory }))
}

async fn door(State(house): State<Arc<House>>, request: Request) -> Response {
    if request.method() == Method::OPTIONS
        && let Ok(target) = route::parse(request.uri().path())
    {
        return (StatusCode::NO_CONTENT, [(ALLOW, Needed::allowed(&target))]).into_response();
    }
    let served = match house.at(access::host(request.headers(), request.uri())).await {
        Ok(mut api) => {
            api.cache = request.extensions().get::<Cache>().cloned();
            api.serve(request, &house).await
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = served.unwrap_or_else(ApiError::into_response);
    let headers = response.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Api {
    async fn serve(mut self, request: Request, house: &Arc<House>) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let refusal = Arc::default();
        let body = body::checked_at_its_end(body, still_admitted(house, &parts), Arc::clone(&refusal));
        let witness = parts.extensions.get::<Witness>().cloned().unwrap_or_default();
        let admitted = self.admit(&parts, &witness).await?;
        if admitted.target.is_change(&parts.method) {
            self.registry = self.registry.on_behalf_of(origin(&admitted, &parts, &witness));
        }
        let namespace = admitted.namespace.clone();
        let mut performed = self.perform(admitted, Request::from_parts(parts, body)).await;
        if performed.is_err()
            && let Some(refusal) = refusal.lock().take()
        {
            performed = Err(refusal);
        }
        if let (Ok(response), Some(namespace)) = (&mut performed, namespace) {
            response.headers_mut().insert(filled::NAMESPACE, namespace);
        }
        performed
    }

    /// Who asks for what, if they may.
    async fn admit(&self, parts: &Parts, witness: &Witness) -> Result<Admitted, ApiError> {
        let target = route::parse(parts.uri.path());
        let challenger = access::Challenger::new(parts)?;
        let caller = self.identify(&challenger, &parts.headers).await?;
        witness.is_from_principal(&caller.principal(), caller.name());
        if let Some(limit) = parts.extensions.get::<RateLimit>()
            && !caller.is_nobody()
        {
            let too_many = |wait_s| ApiError::too_many("more requests a minute than you may send", wait_s);
            limit.take(&caller.principal()).map_err(too_many)?;
        }
        let target = match target {
            Ok(target) => target,
            // Who is not known is not told what is a valid name here.
            Err(_) if caller.is_nobody() => return Err(challenger.unauthorized(None)),
            Err(error) => return Err(error),
        };
        let parameters = Parameters::of(&parts.uri)?;
        let (target, namespace) = self.resolved(target, parameters.get("ns")).await?;
        let needed = Needed::by(&target, &parts.method)?;
        let is_recorded = target.is_change(&parts.method) && parts.method != Method::PUT;
        witness.asks_for(needed.action().to_owned(), needed.resource(&self.resource), is_recorded);
        let source = Needed::source(&target, &parts.method, &parameters);
        if let Err(refusal) = self.authorize(&challenger, &caller, &needed, source.as_ref()).await
            && !self.may_only_judge(&target, &parts.method, &caller).await?
        {
            return Err(refusal);
        }
        if self.home.is_read_only && ![Method::GET, Method::HEAD].contains(&parts.method) {
            let message = "the subscription of this registry is disabled: nothing in it can be changed until it is enabled \
                           again";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "DENIED", message));
        }
        Ok(Admitted { target, caller, parameters, namespace, host: challenger.host })
    }

    async fn perform(&self, admitted: Admitted, request: Request) -> Result<Response, ApiError> {
        let Admitted { target, caller, parameters, host, .. } = admitted;
        let method = request.method().clone();
        match target {
            Target::Ping => Ok((StatusCode::OK, axum::Json(serde_json::json!({}))).into_response()),
            Target::Catalog => self.catalog(&caller, &parameters).await,
            Target::Tags(repository) => self.tags(&repository, &parameters).await,
            Target::Referrers(repository, subject) => {
                self.referrers(&repository, &subject, &parameters).await
            }
            Target::AcrCatalog => self.acr_catalog(&caller, &parameters).await,
            Target::DeletedCatalog => self.deleted_catalog(&caller, &parameters).await,
            Target::DeletedManifests(repository) => self.deleted_manifests(&repository, &parameters).await,
            Target::DeletedTags(repository) => self.deleted_tags(&repository).await,
            Target::DeletedManifest(repository, digest) => {
                self.restore_manifest(&repository, &digest, &parameters, request).await
            }
            Target::AcrManifests(repository) => self.acr_manifests(&host, &repository, &parameters).await,
            Target::AcrTags(repository) => self.acr_tags(&host, &repository, &parameters).await,
            Target::AcrRepository(repository) => match method {
                Method::DELETE => self.acr_delete_repository(&repository).await,
                Method::PATCH => self.acr_change(&host, &repository, None, request).await,
                _ => self.acr_repository(&host, &repository).await,
            },
            Target::AcrManifest(repository, digest) => match method {
                Method::DELETE => self.delete_manifest(&repository, &digest).await.map_err(ApiError::in_acr),
                Method::PATCH => self.acr_judge(&host, &caller, &repository, &digest, request).await,
                _ => self.acr_manifest(&host, &repository, &digest).await,
            },
            Target::AcrTag(repository, tag) => match method {
                Method::DELETE => self.delete_manifest(&repository, &tag).await.map_err(ApiError::in_acr),
                Method::PATCH => self.acr_change(&host, &repository, Some(&tag), request).await,
                _ => self.acr_tag(&host, &repository, &tag).await,
            },
            Target::Manifest(repository, reference) => match method {
                Method::PUT => {
                    self.put_manifest(&caller, &repository, &reference, &parameters, request).await
                }
                Method::DELETE => self.delete_manifest(&repository, &reference).await,
                _ => {
                    let wanted = if method == Method::HEAD { Wanted::Head } else { Wanted::Whole };
                    self.manifest(&caller, &repository, &reference, wanted, request.headers()).await
                }
            },
            Target::Blob(repository, digest) => match method {
                Method::DELETE => self.delete_blob(&repository, &digest).await,
                Method::HEAD => self.blob_head(&repository, &digest, request.headers()).await,
                _ => self.blob(&repository, &digest, request.headers(), Wire::of(&request)).await,
            },
            Target::Uploads(repository) => {
                let owner = Owner { registry: self.id, repository, principal: caller.principal() };
                self.begin_upload(owner, &caller, &parameters, request).await
            }
            Target::Upload(repository, id) => {
                let owner = Owner { registry: self.id, repository, principal: caller.principal() };
                match method {
                    Method::PATCH => self.append(owner, &id, request).await,
                    Method::PUT => self.finish(owner, &id, &parameters, request).await,
                    Method::DELETE => self.cancel(owner, &id).await,
                    _ => self.upload_status(owner, &id).await,
                }
            }
        }
    }
}

/// That who asks for this may still do so.
fn still_admitted(
    house: &Arc<House>,
    parts: &Parts,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let (house, mut parts) = (Arc::clone(house), parts.clone());
    // The request counts once.
    parts.extensions.remove::<RateLimit>();
    async move {
        let api = house.at(access::host(&parts.headers, &parts.uri)).await?;
        api.admit(&parts, &Witness::default()).await.map(drop)
    }
}

/// By whom and how a change is asked for, as events tell it.
fn origin(admitted: &Admitted, parts: &Parts, witness: &Witness) -> Origin {
    let user_agent = parts.headers.get(USER_AGENT).and_then(|header| header.to_str().ok());
    Origin {
        principal: admitted.caller.principal(),
        request_id: witness.request_id().to_string(),
        host: admitted.host.clone(),
        method: parts.method.to_string(),
        user_agent: user_agent.unwrap_or_default().chars().take(USER_AGENT_LEN_MAX).collect(),
        address: witness.address().to_owned(),
    }
}

/// A request that may go on.
struct Admitted {
    target: Target,
    caller: access::Identity,
    parameters: Parameters,
    /// Which other registry the request took us for.
    namespace: Option<HeaderValue>,
    /// The host and port by which the client knows us.
    host: String,
}

/// Of what clients call themselves, in characters.
const USER_AGENT_LEN_MAX: usize = 500;

/// What challenges call this service, and clients it in return.
const SERVICE: &str = "lazaret";
/// Some old clients look for it.
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
