//! The token endpoint (distribution, "Token Authentication" and "OAuth2 Token Authentication").

use auth::{Access, Caller, ResourceAccess, TokenError};
use std::sync::Arc;

use axum::extract::{Form, FromRequest as _, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::{basic, host};
use crate::error::ApiError;
use crate::query::Parameters;
use crate::{Api, House, SERVICE};

/// `GET`: the credentials are Basic, or there are none. `POST`: they are in the form.
pub(crate) async fn token(State(house): State<Arc<House>>, request: Request) -> Response {
    let answer = async {
        let host = named(&request);
        match *request.method() {
            Method::GET | Method::HEAD => {
                let (parts, _) = request.into_parts();
                house.at(Some(&host)).await?.token(&parts.uri, &parts.headers, &host).await
            }
            Method::POST => {
                let api = house.at(Some(&host)).await?;
                api.grant(&host, form(request).await?).await
            }
            _ => other_method(request, "GET, HEAD, POST").await,
        }
    };
    answer.await.unwrap_or_else(ApiError::into_response)
}

/// Azure's first step: a token of its own kind for one of ours.
pub(crate) async fn exchange(State(house): State<Arc<House>>, request: Request) -> Response {
    let answer = async {
        if request.method() != Method::POST {
            return other_method(request, "POST").await;
        }
        let host = named(&request);
        let api = house.at(Some(&host)).await?;
        api.exchanged(&host, form(request).await?).await
    };
    answer.await.unwrap_or_else(ApiError::into_response)
}

/// The host by which the client knows the registry; empty if it does not say.
fn named(request: &Request) -> String {
    host(request.headers(), request.uri()).unwrap_or_default().to_owned()
}

/// OPTIONS says what there is; what there is not is refused with the same list.
async fn other_method(request: Request, allowed: &'static str) -> Result<Response, ApiError> {
    let allow = HeaderValue::from_static(allowed);
    if request.method() == Method::OPTIONS {
        return Ok((StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response());
    }
    let message = format!("{} is not possible here", request.method());
    Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message).with(ALLOW, allow))
}

/// The form that a request carries.
///
/// # Errors
/// 415 for another type, 413 for more than a form has, 400 for what does not parse or names a field twice
/// (RFC 6749, section 3.2).
async fn form<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    match Form::<T>::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(rejection) => {
            let status = match rejection.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                status => status,
            };
            Err(ApiError::new(status, "UNSUPPORTED", rejection.body_text()))
        }
    }
}

/// What Azure's clients post to be exchanged.
#[derive(Deserialize)]
pub(crate) struct Exchange {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    access_token: String,
}

/// What a client posts.
#[derive(Deserialize)]
pub(crate) struct Grant {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    access_type: String,
}

impl Api {
    async fn token(&self, uri: &Uri, headers: &HeaderMap, host: &str) -> Result<Response, ApiError> {
        let parameters = Parameters::of(uri)?;
        check_service(parameters.get("service"), host)?;
        let caller = match basic(headers) {
            Some((name, secret)) => Some(self.authenticate(&name, &secret).await?),
            None if headers.contains_key(axum::http::header::AUTHORIZATION) => {
                return Err(ApiError::bad("UNAUTHORIZED", "the token endpoint takes Basic credentials"));
            }
            // Without credentials: a token that allows what everybody may do, if that is anything.
            None => None,
        };
        let scopes: Vec<&str> = parameters.all("scope").flat_map(str::split_whitespace).collect();
        let is_offline = parameters.get("offline_token") == Some("true");
        let document = self.issue(caller.as_ref(), &scopes, is_offline)?;
        Ok(answer(&document))
    }

    async fn exchanged(&self, host: &str, form: Exchange) -> Result<Response, ApiError> {
        check_service(form.service.as_deref(), host)?;
        if !form.grant_type.split('_').any(|word| word == "access") {
            return Err(ApiError::bad("UNSUPPORTED", "grant_type must be access_token"));
        }
        let caller = self.auth.exchange(&form.access_token).await?;
        let refresh = self.auth.issue_refresh_token(&caller, &self.home.audience)?;
        Ok(answer(&json!({ "refresh_token": refresh.token })))
    }

    async fn grant(&self, host: &str, grant: Grant) -> Result<Response, ApiError> {
        check_service(grant.service.as_deref(), host)?;
        let caller = match grant.grant_type.as_str() {
            // Azure's clients without credentials ask so; elsewhere they are to learn that they need some.
            "password" if grant.username.is_empty() && grant.password.is_empty() && self.home.is_public => {
                None
            }
            "password" => Some(self.authenticate(&grant.username, &grant.password).await?),
            "refresh_token" => Some(self.auth.refresh(&grant.refresh_token, &self.home).await?),
            _ => return Err(ApiError::bad("UNSUPPORTED", "grant_type must be password or refresh_token")),
        };
        let scopes: Vec<&str> = grant.scope.split_whitespace().collect();
        let is_refresh = grant.grant_type == "refresh_token";
        let mut document =
            self.issue(caller.as_ref(), &scopes, grant.access_type == "offline" && !is_refresh)?;
        if is_refresh {
            document["refresh_token"] = grant.refresh_token.into();
        }
        document["scope"] = grant.scope.into();
        Ok(answer(&document))
    }

    fn issue(&self, caller: Option<&Caller>, scopes: &[&str], is_offline: bool) -> Result<Value, ApiError> {
        if scopes.len() > SCOPES_MAX {
            return Err(ApiError::bad("UNSUPPORTED", format!("a token has {SCOPES_MAX} scopes at most")));
        }
        let access = match caller {
            Some(caller) => self.granted(caller, scopes),
            None => self.granted(&self.home.everybody(), scopes),
        };
        let issued = self.auth.issue_registry_token(caller, &self.home.audience, access)?;
        let issued_at = jiff::Timestamp::from_millisecond(issued.issued_ms).unwrap_or_default();
        let mut document = json!({
            "token": issued.token,
            "access_token": issued.token,
            "expires_in": issued.expires_in_s,
            "issued_at": issued_at.to_string(),
        });
        if let (Some(caller), true) = (caller, is_offline) {
            document["refresh_token"] =
                self.auth.issue_refresh_token(caller, &self.home.audience)?.token.into();
        }
        Ok(document)
    }

    /// What the caller asks for and may have; less than asked for is no error.
    fn granted(&self, caller: &Caller, scopes: &[&str]) -> Vec<ResourceAccess> {
        let granted = scopes.iter().filter_map(|scope| {
            let (kind, name, actions) = self::scope(scope)?;
            // az asks for the catalogue of what is deleted by a name of its own: whoever may see the one may ask for
            // the other, and is shown what they may see.
            let name = if (kind, name) == ("registry", "deleted_catalog") { "catalog" } else { name };
            let actions: Vec<Access> = match kind {
                "repository" => {
                    let asked = |(_, word): &&(Access, &str)| {
                        actions.split(',').any(|action| action == *word || action == "*")
                    };
                    let asked = ACTIONS.iter().filter(asked).map(|(access, _)| *access);
                    asked.filter(|access| self.may(caller, name, *access)).collect()
                }
                "registry" if name == "catalog" && self.may_list(caller) => {
                    vec![Access::Catalog]
                }
                _ => return None,
            };
            let access = ResourceAccess { kind: kind.to_owned(), name: name.to_owned(), actions };
            Some(access).filter(|access| !access.actions.is_empty())
        });
        granted.collect()
    }
}

/// `TYPE:NAME:ACTIONS`. The name may hold colons itself; the type's class is of no concern.
pub(crate) fn scope(scope: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some((kind.split_once('(').map_or(kind, |(kind, _)| kind), name, actions))
}

/// Some clients call the service by its host.
fn check_service(service: Option<&str>, host: &str) -> Result<(), ApiError> {
    match service {
        None | Some("" | SERVICE) => Ok(()),
        Some(service) if service.eq_ignore_ascii_case(host) => Ok(()),
        Some(other) => {
            Err(ApiError::bad("UNSUPPORTED", format!("there is no service {other:?} here, only {SERVICE:?}")))
        }
    }
}

fn answer(document: &Value) -> Response {
    let mut response = axum::Json(document).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Store(error) => error.into(),
            error => Self::new(axum::http::StatusCode::UNAUTHORIZED, "UNAUTHORIZED", error.to_string()),
        }
    }
}

/// What scopes call it. Clients that want to delete ask for `*`, which is all of it.
const ACTIONS: [(Access, &str); 7] = [
    (Access::Pull, "pull"),
    (Access::Push, "push"),
    (Access::Delete, "delete"),
    (Access::MetadataRead, "metadata_read"),
    (Access::MetadataWrite, "metadata_write"),
    (Access::DeletedRead, "deleted_read"),
    (Access::DeletedRestore, "deleted_restore"),
];

/// Keeps a token within an 8 KiB header.
const SCOPES_MAX: usize = 30;
