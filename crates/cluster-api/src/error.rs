//! What this door refuses, and with which status.

use auth::Action;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// One refusal.
#[derive(Debug)]
pub(crate) enum ClusterError {
    /// No token, or not this cluster's.
    Unauthorized,
    /// Nothing that the caller may know of.
    NoSuchCluster(String),
    /// Known to the caller, but not theirs to do.
    Forbidden { caller: String, action: Action, scope: String },
    /// Not what this path answers.
    Method,
    /// Too large, or cut short.
    Body { bytes_max: usize },
    /// Not what this path takes.
    Content(String),
    /// The server is going down.
    Stopping,
    /// The store failed.
    Store,
}

impl From<metastore::Error> for ClusterError {
    fn from(error: metastore::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a cluster's request failed");
        Self::Store
    }
}

impl IntoResponse for ClusterError {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                "The token is missing or not this cluster's: `lazaret cluster rotate NAME` makes another."
                    .to_owned(),
            ),
            Self::NoSuchCluster(name) => {
                (StatusCode::NOT_FOUND, "NotFound", format!("There is no cluster '{name}'."))
            }
            Self::Forbidden { caller, action, scope } => (
                StatusCode::FORBIDDEN,
                "AuthorizationFailed",
                format!("'{caller}' may not perform '{}' over scope '{scope}'.", action.name()),
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "This path does not answer that method; the header Allow names those that it answers."
                    .to_owned(),
            ),
            Self::Body { bytes_max } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestBodyTooLarge",
                format!("The body is larger than {bytes_max} bytes, or broke off."),
            ),
            Self::Content(message) => (StatusCode::BAD_REQUEST, "InvalidRequestContent", message),
            Self::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, "Stopping", "The server is stopping.".to_owned())
            }
            Self::Store => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "The server failed; its log says why.".to_owned(),
            ),
        };
        let document = json!({ "error": { "code": code, "message": message } });
        let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (status, typed, document.to_string()).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
