//! Errors as Resource Graph writes them: what tools read is in the details.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use kql::{Code, Detail, QueryError};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// One refusal.
#[derive(Debug)]
pub(crate) struct GraphError {
    status: StatusCode,
    code: &'static str,
    /// `None`: the sentence that asks for a time and an id.
    message: Option<String>,
    details: Vec<Json>,
    /// Where tokens are to be had, of a 401.
    authority: Option<String>,
    pub(crate) retry_after_s: Option<i64>,
}

impl GraphError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: Some(message.into()),
            details: Vec::new(),
            authority: None,
            retry_after_s: None,
        }
    }

    /// A request that is refused for this reason.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        let details = vec![json!({ "code": code, "message": message.into() })];
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "BadRequest",
            message: None,
            details,
            authority: None,
            retry_after_s: None,
        }
    }

    /// Known to the caller, but not theirs to do.
    pub(crate) fn forbidden(caller: &auth::Caller, action: &str, scope: &str) -> Self {
        let message = format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            caller.name, caller.id
        );
        Self::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
    }

    /// Tokens are to be had at `authority`.
    pub(crate) fn unauthorized(code: &'static str, message: &str, authority: &str) -> Self {
        let authority = Some(authority.to_owned());
        Self { authority, ..Self::new(StatusCode::UNAUTHORIZED, code, message) }
    }

    pub(crate) fn too_many(retry_after_s: i64) -> Self {
        let message = "Client application has been throttled and should not attempt to repeat the request until an amount \
                       of time has elapsed.";
        let details = vec![json!({ "code": "RateLimiting", "message": message })];
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self {
            status,
            code: "RateLimiting",
            message: None,
            details,
            authority: None,
            retry_after_s: Some(retry_after_s),
        }
    }

    pub(crate) fn failed() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "The server failed; its log says why.",
        )
    }

    /// Without HTTP: for people at the machine.
    pub(crate) fn sentences(&self) -> String {
        let details = self.details.iter().filter_map(|detail| detail["message"].as_str());
        self.message.as_deref().into_iter().chain(details).collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn into_response(self, now_ms: i64) -> Response {
        let challenge = self.authority.map(|authority| {
            let said = self.message.as_deref().unwrap_or_default();
            format!("Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{said}\"")
        });
        let message = self.message.unwrap_or_else(|| {
            let time = azure_documents::time(now_ms);
            let id = Uuid::new_v4();
            format!(
                "Please provide below info when asking for support: timestamp = {time}, correlationId = {id}."
            )
        });
        let mut error = json!({ "code": self.code, "message": message });
        if !self.details.is_empty() {
            error["details"] = self.details.into();
        }
        let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
        let mut response = (self.status, typed, json!({ "error": error }).to_string()).into_response();
        if let Some(challenge) = challenge {
            // A host that no header can name is none that a client came by.
            let challenge = HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer"));
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            crate::quota::write(response.headers_mut(), 0, seconds);
        }
        response
    }
}

impl From<QueryError> for GraphError {
    fn from(error: QueryError) -> Self {
        let details = error.details.iter().map(detail).collect();
        let is_late = error.details.iter().any(|detail| detail.code == Code::Cancelled);
        let (status, code) = if is_late {
            (StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout")
        } else {
            (StatusCode::BAD_REQUEST, "BadRequest")
        };
        Self { status, code, message: None, details, authority: None, retry_after_s: None }
    }
}

impl From<metastore::Error> for GraphError {
    fn from(error: metastore::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
        Self::failed()
    }
}

pub(crate) fn detail(detail: &Detail) -> Json {
    let mut document = json!({ "code": detail.code.name(), "message": detail.message });
    if let Some(position) = &detail.position {
        document["line"] = position.line.into();
        document["characterPositionInLine"] = position.character.into();
        document["token"] = position.token.clone().into();
        document["expectedToken"] = position.expected.clone().into();
    }
    document
}
