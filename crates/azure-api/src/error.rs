//! Errors as Azure Resource Manager writes them.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

/// One refusal.
#[derive(Clone, Debug)]
pub(crate) struct ArmError {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<HeaderValue>,
    retry_after_s: Option<u32>,
}

impl ArmError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), challenge: None, retry_after_s: None }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::not_found("InvalidResourceType", "There is no resource type at this path.")
    }

    pub(crate) fn no_such_subscription(id: uuid::Uuid) -> Self {
        Self::not_found("SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
    }

    pub(crate) fn unauthorized(code: &'static str, message: &str, authority: &str) -> Self {
        let header = format!(
            "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{message}\""
        );
        Self {
            challenge: HeaderValue::from_str(&header).ok(),
            ..Self::new(StatusCode::UNAUTHORIZED, code, message)
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

    /// Status, code, message and challenge, for a door that writes errors in another form.
    pub(crate) fn into_parts(self) -> (StatusCode, &'static str, String, Option<HeaderValue>) {
        (self.status, self.code, self.message, self.challenge)
    }

    pub(crate) fn into_response(self) -> Response {
        let document = json!({ "error": { "code": self.code, "message": self.message } });
        let typed = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
        let mut response = (self.status, typed, document.to_string()).into_response();
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<metastore::Error> for ArmError {
    fn from(error: metastore::Error) -> Self {
        if let metastore::Error::Locked { scope, operation, lock } = &error {
            let message = format!(
                "The scope '{scope}' cannot perform {operation} operation because following scope(s) are locked: \
                 '{lock}'. Please remove the lock and try again."
            );
            return Self::new(StatusCode::CONFLICT, "ScopeLocked", message);
        }
        match error {
            metastore::Error::Full => {
                let message = "The server's disk is full: an operator has to make room.";
                return Self::new(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", message);
            }
            metastore::Error::Busy | metastore::Error::Undone | metastore::Error::ReadOnly => {
                let refusal =
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", error.to_string());
                return Self { retry_after_s: Some(RETRY_AFTER_S), ..refusal };
            }
            _ => {}
        }
        tracing::error!(error = &error as &dyn std::error::Error, "an Azure API request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "The server failed; its log says why.",
        )
    }
}

/// A database that another program holds is free again soon, or not for long.
pub(crate) const RETRY_AFTER_S: u32 = 5;
