//! Errors as Microsoft Graph writes them.

use auth::Witness;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::error::ArmError;

/// One refusal.
#[derive(Clone, Debug)]
pub(crate) struct GraphError {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<HeaderValue>,
}

impl GraphError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), challenge: None }
    }

    pub(crate) fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
    }

    /// Not there, or not for the caller to know of.
    pub(crate) fn not_found(id: &str) -> Self {
        let shown: String = id.chars().take(SHOWN_CHARS).collect();
        let message = format!(
            "Resource '{shown}' does not exist or one of its queried reference-property objects are not present."
        );
        Self::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", message)
    }

    /// Known to the caller, but not theirs to do.
    pub(crate) fn denied(why: &str) -> Self {
        let message = format!("Insufficient privileges to complete the operation: {why}.");
        Self::new(StatusCode::FORBIDDEN, "Authorization_RequestDenied", message)
    }

    pub(crate) fn into_response(self, witness: &Witness, now_ms: i64) -> Response {
        let date = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let request_id = witness.request_id();
        let document = json!({ "error": {
            "code": self.code,
            "message": self.message,
            "innerError": {
                "date": date.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                "request-id": request_id,
                "client-request-id": request_id,
            },
        } });
        let mut response = (self.status, crate::json(document)).into_response();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// What both doors refuse in the same place: tokens, and requests that make no sense.
impl From<ArmError> for GraphError {
    fn from(error: ArmError) -> Self {
        let (status, code, message, challenge) = error.into_parts();
        let code = if status == StatusCode::UNAUTHORIZED { "InvalidAuthenticationToken" } else { code };
        Self { status, code, message, challenge }
    }
}

impl From<metastore::Error> for GraphError {
    fn from(error: metastore::Error) -> Self {
        ArmError::from(error).into()
    }
}

/// Of an id, in an error.
const SHOWN_CHARS: usize = 200;
