//! Azure's door: what Azure's SDKs, CLI and scripts call, over HTTP.
//!
//! Only this room knows Azure's JSON. It shows results to those who may read them, switches plans and
//! gives roles.

mod activity;
mod arm;
mod assessments;
mod authorization;
mod body;
mod cache_rules;
mod consumption;
mod discovery;
mod error;
mod filter;
mod graph;
mod groups;
mod identity;
mod imports;
mod locks;
mod operation;
mod paging;
mod pricings;
mod providers;
mod reach;
mod registries;
mod resources;
mod routes;
mod rules;
mod scope_maps;
mod scopes;
mod sign_in;
mod sign_ins;
mod sub_assessments;
mod tags;
mod tokens;
mod webhooks;

use std::sync::Arc;

use assessment::RateCard;
use auth::{Auth, Caller, Entrance, Witness};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HOST, HeaderName, HeaderValue, PRAGMA,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use azure_documents::Names;
use metastore::{Metastore, RegistryId};
use serde_json::Value;
use uuid::Uuid;

use arm::Target;
use error::ArmError;

pub use imports::Imports;
pub use routes::routes;

#[derive(Clone)]
struct Api {
    metastore: Metastore,
    auth: Auth,
    tenant: Uuid,
    clock: Clock,
    rates: Arc<RateCard>,
    names: Names,
    domain: Arc<Domain>,
    sign_ins: Arc<sign_ins::SignIns>,
    /// Held while tags are read, merged and written back: one server alone writes them.
    merging_tags: Arc<tokio::sync::Mutex<()>>,
    imports: Imports,
    wake: Arc<dyn Fn() + Send + Sync>,
}

/// Where registries are served.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Each at `NAME.` before this.
    pub name: String,
    /// But this one at every host that names no other.
    pub default: RegistryId,
    /// The host and port by which the operator says that clients reach the server; `None`: each client's own.
    pub login_server: Option<String>,
}

/// The time, in milliseconds since 1970 (UTC).
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a request says besides its target.
struct Call {
    /// `https://HOST`, as the client knows us, and the prefix of a proxy before us.
    base: String,
    /// The host and port by which the client knows us.
    host: String,
    /// The path as it was sent.
    path: String,
    query: arm::Query,
}

/// What the door is made of.
pub struct Parts {
    /// The rows.
    pub metastore: Metastore,
    /// Who calls.
    pub auth: Auth,
    /// The tenant.
    pub tenant: Uuid,
    /// The time.
    pub clock: Clock,
    /// What a scan costs.
    pub rates: RateCard,
    /// By which names assessments are shown.
    pub names: Names,
    /// Where registries are served.
    pub domain: Domain,
    /// How images are brought from elsewhere.
    pub imports: Imports,
    /// Tells the workers that scans were queued.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

/// Everything that is not the registry's: a fallback for every path.
pub fn router(parts: Parts) -> Router {
    let Parts { metastore, auth, tenant, clock, rates, names, domain, imports, wake } = parts;
    Router::new().fallback(door).with_state(Api {
        metastore,
        auth,
        tenant,
        clock,
        rates: Arc::new(rates),
        names,
        domain: Arc::new(domain),
        sign_ins: Arc::default(),
        merging_tags: Arc::default(),
        imports,
        wake,
    })
}

fn allow(methods: &[Method]) -> Result<HeaderValue, axum::http::header::InvalidHeaderValue> {
    HeaderValue::from_str(&methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "))
}

async fn door(State(api): State<Api>, request: Request) -> Response {
    let witness = request.extensions().get::<Witness>().cloned().unwrap_or_default();
    let allowed = arm::parse(request.uri().path()).map(|target| allow(target.methods())).ok();
    let mut response = if graph::is_path(request.uri().path()) {
        api.graph(request, &witness).await
    } else {
        api.serve(request, &witness).await.unwrap_or_else(ArmError::into_response)
    };
    let request_id = HeaderValue::from_str(&witness.request_id().to_string());
    let request_id = request_id.unwrap_or(HeaderValue::from_static(""));
    let status = response.status();
    let headers = response.headers_mut();
    // RFC 9110, section 15.5.6.
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(Ok(allowed)) = allowed
    {
        headers.entry(ALLOW).or_insert(allowed);
    }
    // The token endpoint has its own word on caching.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("-1"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        headers.insert(HeaderName::from_static(name), request_id.clone());
    }
    response
}

impl Api {
    /// The request with all of its body, and who sent it. Rights, locks and what else decides are looked at once the body
    /// is here: one that is held back is not carried out with rights that are gone.
    pub(crate) async fn whole(&self, call: &Call, request: Request) -> Result<(Request, Caller), ArmError> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            let message = format!("The request body has more than {BODY_BYTES_MAX} bytes, or broke off.");
            ArmError::bad("RequestContentTooLarge", message)
        })?;
        let caller = self.authenticate(call, parts.headers.get(AUTHORIZATION).cloned()).await?;
        Ok((Request::from_parts(parts, bytes.into()), caller))
    }

    async fn serve(&self, request: Request, witness: &Witness) -> Result<Response, ArmError> {
        let target = arm::parse(request.uri().path())?;
        let call = Call::new(&request)?;
        let method = request.method().clone();
        if !target.methods().contains(&method) {
            let hint = match target {
                Target::Assessment(..) | Target::AssessmentMetadata(..) => {
                    ": assessments are made by Lazaret, and custom ones are not kept; a rule (findingRules) \
                     disables findings"
                }
                _ => "",
            };
            return Err(ArmError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                format!("{method} is not possible here{hint}."),
            ));
        }
        match &target {
            Target::Token(tenant, version) => return Ok(self.token(*tenant, *version, &call, request).await),
            Target::OpenId(tenant) => return self.openid_configuration(*tenant, &call).map(json),
            Target::Authorize(tenant) => return Ok(self.authorize(*tenant, &call, request).await),
            Target::DeviceCode(tenant) => return Ok(self.device_code(*tenant, &call, request).await),
            Target::ManagedIdentity => {
                return Ok(self.managed_identity(&call, request.into_parts().0.headers).await);
            }
            Target::DeviceLogin => return Ok(self.device_login(&call, request).await),
            Target::IdKeys(tenant) => return self.id_keys(*tenant).map(json),
            Target::UserRealm(name) => return Ok(json(self.user_realm(name))),
            Target::Metadata => return Ok(json(self.metadata(&call))),
            _ => {}
        }
        let (action, scope) = operation::operation(&method, &call.path);
        witness.asks_for(action, scope, target.is_change(&method));
        self.authenticate(&call, request.headers().get(AUTHORIZATION).cloned()).await?;
        call.query.check_api_version(&call.path)?;
        let (request, caller) = self.whole(&call, request).await?;
        witness.is_from(&caller);
        if target.is_write(&method) {
            self.check_enabled(&caller, &call.path).await?;
            self.check_unlocked(&target, &method, &call.path).await?;
        }
        match target {
            Target::Tenants => Ok(json(self.tenants())),
            Target::Subscriptions => self.subscriptions(&caller).await.map(json),
            Target::Subscription(id) => self.subscription(&caller, id).await.map(json),
            Target::CancelSubscription(id) => self.cancel_subscription(&caller, id).await.map(json),
            Target::ResourceGroups(subscription) => {
                self.resource_groups(&caller, subscription, &call).await.map(json)
            }
            Target::ResourceGroup(scope) => match method {
                Method::PUT => self.put_resource_group(&caller, &scope, request.into_body()).await,
                Method::PATCH => {
                    self.patch_resource_group(&caller, &scope, request.into_body()).await.map(json)
                }
                Method::DELETE => self.delete_resource_group(&caller, &scope).await,
                // Clients ask so whether there is one.
                Method::HEAD => {
                    self.resource_group(&caller, &scope).await.map(|_| StatusCode::NO_CONTENT.into_response())
                }
                _ => self.resource_group(&caller, &scope).await.map(json),
            },
            Target::Resources(scope) => self.resources(&caller, &scope, &call).await.map(json),
            Target::Locations(subscription) => self.locations(&caller, subscription).await.map(json),
            Target::Providers(at) => self.providers(&caller, at).await.map(json),
            Target::Provider(at, name) => self.provider(&caller, at, &name).await.map(json),
            Target::RegisterProvider(subscription, name) => {
                self.provider(&caller, Some(subscription), &name).await.map(json)
            }
            Target::Registries(scope) => self.registries(&caller, &scope, &call).await.map(json),
            Target::Registry(scope) => match method {
                Method::PUT | Method::PATCH => {
                    let may_create = method == Method::PUT;
                    self.put_registry(&caller, &scope, &call, request.into_body(), may_create).await
                }
                Method::DELETE => self.delete_registry(&caller, &scope).await,
                _ => self.registry(&caller, &scope, &call).await.map(json),
            },
            Target::RegistryName(subscription) => {
                self.check_registry_name(&caller, subscription, request.into_body()).await.map(json)
            }
            Target::RegistryUsages(scope) => self.registry_usages(&caller, &scope).await.map(json),
            Target::RegistryCredentials(scope) => self.registry_credentials(&caller, &scope).await.map(json),
            Target::Webhooks(scope) => self.webhooks(&caller, &scope).await.map(json),
            Target::Webhook(scope, name) => match method {
                Method::PUT | Method::PATCH => {
                    let may_create = method == Method::PUT;
                    self.put_webhook(&caller, &scope, &name, request.into_body(), may_create).await
                }
                Method::DELETE => self.delete_webhook(&caller, &scope, &name).await,
                _ => self.webhook(&caller, &scope, &name).await.map(json),
            },
            Target::WebhookVerb(scope, name, verb) => {
                self.webhook_verb(&caller, &scope, &name, verb, &call.base).await.map(json)
            }
            Target::ImportImage(scope) => {
                let (parts, body) = request.into_parts();
                self.import_image(&caller, &scope, &call, (&parts.headers, witness), body).await
            }
            Target::OperationResult(subscription, id) => self.import_result(&caller, subscription, &id).await,
            Target::RegenerateCredential(scope) => {
                self.regenerate_credential(&caller, &scope, request.into_body()).await.map(json)
            }
            Target::ScopeMaps(scope) => self.scope_maps(&caller, &scope, &call).await.map(json),
            Target::ScopeMap(scope, name) => match method {
                Method::PUT | Method::PATCH => {
                    let may_create = method == Method::PUT;
                    self.put_scope_map(&caller, &scope, &name, request.into_body(), may_create).await
                }
                Method::DELETE => self.delete_scope_map(&caller, &scope, &name).await,
                _ => self.scope_map(&caller, &scope, &name).await.map(json),
            },
            Target::Tokens(scope) => self.registry_tokens(&caller, &scope, &call).await.map(json),
            Target::RegistryToken(scope, name) => match method {
                Method::PUT | Method::PATCH => {
                    let may_create = method == Method::PUT;
                    self.put_registry_token(&caller, &scope, &name, request.into_body(), may_create).await
                }
                Method::DELETE => self.delete_registry_token(&caller, &scope, &name).await,
                _ => self.registry_token(&caller, &scope, &name).await.map(json),
            },
            Target::GenerateCredentials(scope) => {
                self.generate_credentials(&caller, &scope, request.into_body()).await.map(json)
            }
            Target::CacheRules(scope) => self.cache_rules(&caller, &scope, &call).await.map(json),
            Target::CacheRule(scope, name) => match method {
                Method::PUT | Method::PATCH => {
                    let may_create = method == Method::PUT;
                    self.put_cache_rule(&caller, &scope, &name, request.into_body(), may_create).await
                }
                Method::DELETE => self.delete_cache_rule(&caller, &scope, &name).await,
                _ => self.cache_rule(&caller, &scope, &name).await.map(json),
            },
            Target::CredentialSets(scope) => self.credential_sets(&caller, &scope, &call).await.map(json),
            Target::CredentialSet(scope, name) => match method {
                Method::PUT | Method::PATCH => self.put_credential_set(&caller, &scope, &name).await,
                Method::DELETE => self.delete_credential_set(&caller, &scope, &name).await,
                _ => self.credential_set(&caller, &scope, &name).await.map(json),
            },
            Target::RegistryChildren(scope, kind) => {
                self.registry_child(&caller, &scope, kind, "", &method).await
            }
            Target::RegistryChild(scope, kind, name) => {
                self.registry_child(&caller, &scope, kind, &name, &method).await
            }
            Target::Operations => Ok(json(resources::operations())),
            Target::Pricings(scope) => self.pricings(&caller, &scope, &call).await.map(json),
            Target::Pricing(scope, name) => match method {
                Method::PUT => {
                    self.put_pricing(&caller, &scope, &name, &call, request.into_body()).await.map(json)
                }
                Method::DELETE => self.delete_pricing(&caller, &scope, &name).await,
                _ => self.pricing(&caller, &scope, &name, &call).await.map(json),
            },
            Target::UsageDetails(subscription) => {
                self.usage_details(&caller, subscription, &call).await.map(json)
            }
            Target::ActivityLog(subscription) => {
                self.activity_log(&caller, subscription, &call).await.map(json)
            }
            Target::Locks(scope) => self.locks(&caller, &scope, &call).await.map(json),
            Target::Lock(scope, name) => match method {
                Method::PUT => self.put_lock(&caller, &scope, &name, request.into_body()).await,
                Method::DELETE => self.delete_lock(&caller, &scope, &name).await,
                _ => self.lock(&caller, &scope, &name).await.map(json),
            },
            Target::TagNames(subscription) => self.tag_names(&caller, subscription).await.map(json),
            Target::Tags(scope) => match method {
                Method::PUT => self.put_tags(&caller, &scope, request.into_body()).await.map(json),
                Method::PATCH => self.patch_tags(&caller, &scope, request.into_body()).await.map(json),
                Method::DELETE => {
                    self.delete_tags(&caller, &scope).await.map(|()| StatusCode::OK.into_response())
                }
                _ => self.tags(&caller, &scope).await.map(json),
            },
            Target::RoleDefinitions(scope) => self.role_definitions(&caller, &scope, &call).map(json),
            Target::RoleDefinition(scope, id) => self.role_definition(&caller, &scope, &id).map(json),
            Target::RoleAssignments(scope) => self.role_assignments(&caller, &scope, &call).await.map(json),
            Target::RoleAssignment(scope, id) => match method {
                Method::PUT => {
                    let given = self.put_role_assignment(&caller, &scope, &id, request.into_body()).await?;
                    Ok((StatusCode::CREATED, json(given)).into_response())
                }
                Method::DELETE => match self.delete_role_assignment(&caller, &scope, &id).await? {
                    Some(removed) => Ok(json(removed)),
                    None => Ok(StatusCode::NO_CONTENT.into_response()),
                },
                _ => self.role_assignment(&caller, &scope, &id).await.map(json),
            },
            Target::Assessments(scope) => self.assessments(&caller, &scope, &call).await.map(json),
            Target::Assessment(scope, key) => self.assessment(&caller, &scope, &key, &call).await.map(json),
            Target::AssessmentsMetadata(at) => self.assessments_metadata(&caller, at).await.map(json),
            Target::AssessmentMetadata(at, key) => {
                self.assessment_metadata(&caller, at, &key).await.map(json)
            }
            Target::SubAssessments(scope, key) => {
                self.sub_assessments(&caller, &scope, key.as_deref(), &call).await.map(json)
            }
            Target::SubAssessment(scope, key, row) => {
                self.sub_assessment(&caller, &scope, &key, &row, &call).await.map(json)
            }
            Target::FindingRules(reach) => self.finding_rules(&caller, &reach).await.map(json),
            Target::FindingRule(reach, name) => match method {
                Method::PUT => self.put_finding_rule(&caller, &reach, &name, request.into_body()).await,
                Method::DELETE => self.delete_finding_rule(&caller, &reach, &name).await,
                _ => self.finding_rule(&caller, &reach, &name).await.map(json),
            },
            // Answered above.
            Target::Token(..)
            | Target::OpenId(_)
            | Target::Authorize(_)
            | Target::DeviceCode(_)
            | Target::DeviceLogin
            | Target::ManagedIdentity
            | Target::IdKeys(_)
            | Target::UserRealm(_)
            | Target::Metadata => Err(ArmError::no_such_path()),
        }
    }

    async fn authenticate(&self, call: &Call, header: Option<HeaderValue>) -> Result<auth::Caller, ArmError> {
        let challenge = |code: &'static str, message: &str| {
            ArmError::unauthorized(code, message, &format!("{}/{}", call.base, self.tenant))
        };
        let missing = || {
            challenge("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        };
        let header = header.ok_or_else(missing)?;
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(|| {
            challenge(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            )
        })?;
        self.auth.verify_management_token(token.trim()).await.map_err(|error| match error {
            auth::TokenError::Expired => {
                challenge("ExpiredAuthenticationToken", "The access token has expired.")
            }
            auth::TokenError::Store(error) => error.into(),
            auth::TokenError::Invalid | auth::TokenError::UnknownPrincipal => {
                challenge("InvalidAuthenticationToken", "The access token is invalid.")
            }
        })
    }
}

impl Call {
    fn new(request: &Request) -> Result<Self, ArmError> {
        let uri = request.uri();
        let host = uri.authority().map(axum::http::uri::Authority::as_str);
        let host = host.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or("localhost");
        // It goes into links and challenges.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
        if !host.bytes().all(is_plain) {
            return Err(ArmError::bad("InvalidHostName", "The Host header is not a valid host name."));
        }
        Ok(Self {
            base: request.extensions().get::<Entrance>().cloned().unwrap_or_default().base(host),
            host: host.to_owned(),
            path: uri.path().to_owned(),
            query: arm::Query::of(uri)?,
        })
    }

    /// `:PORT` as the client has it, or nothing.
    fn port(&self) -> &str {
        let at = self.host.rfind(':').filter(|at| !self.host[*at..].contains(']'));
        at.map_or("", |at| &self.host[at..])
    }
}

fn json(document: Value) -> Response {
    let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
    (StatusCode::OK, typed, document.to_string()).into_response()
}

/// Of any request: imports with their lists of targets are the longest.
const BODY_BYTES_MAX: usize = 1 << 20;
