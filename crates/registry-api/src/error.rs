//! Errors as the distribution specification writes them ("Error Codes").

use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use registry::{PutManifestError, StoreError, UploadError};
use serde_json::{Value, json};

/// One refusal.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    detail: Option<Box<Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, headers: Vec::new() }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// As Azure's registry answers what an attribute forbids, where its own clients ask.
    pub(crate) fn in_acr(self) -> Self {
        if self.code == "DENIED" && self.status == StatusCode::FORBIDDEN {
            return Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "UNSUPPORTED", ..self };
        }
        self
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    pub(crate) fn too_many(message: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message)
            .with(RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// Nothing was changed, and in a moment it may work.
    fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
            .with(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
    }

    /// Nothing was changed, and only the operator can help.
    fn full(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "the disk is full");
        let message = "the registry's disk is full: its operator must make room";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE", message)
    }

    /// Our own failure: the log says what.
    fn internal(error: &dyn std::error::Error) -> Self {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = %error, cause, "a registry request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry failed; its log says why")
    }

    pub(crate) fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(detail) = self.detail {
            error["detail"] = *detail;
        }
        let mut response = (self.status, axum::Json(json!({ "errors": [error] }))).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for ApiError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Locked(locked) => Self::new(StatusCode::FORBIDDEN, "DENIED", locked.to_string()),
            StoreError::Metastore(error) => error.into(),
            StoreError::Blobs(error) if error.is_full() => Self::full(error),
            StoreError::Blobs(_) | StoreError::BytesLost { .. } => Self::internal(error),
        }
    }
}

impl From<metastore::Error> for ApiError {
    fn from(error: metastore::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&metastore::Error> for ApiError {
    fn from(error: &metastore::Error) -> Self {
        match error {
            metastore::Error::Busy | metastore::Error::Undone | metastore::Error::ReadOnly => {
                Self::unavailable(error.to_string())
            }
            metastore::Error::Full => Self::full(error),
            metastore::Error::OverQuota { .. } => {
                Self::new(StatusCode::FORBIDDEN, "DENIED", error.to_string())
            }
            error => Self::internal(error),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Unknown => Self::not_found("BLOB_UPLOAD_UNKNOWN", message),
            UploadError::Busy => Self::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message),
            UploadError::TooMany { .. } => Self::too_many(message, 60),
            UploadError::OutOfOrder { .. } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message)
            }
            UploadError::WrongLength { .. } => Self::bad("SIZE_INVALID", message),
            UploadError::DigestMismatch { .. } => Self::bad("DIGEST_INVALID", message),
            UploadError::Body(_) => Self::bad("BLOB_UPLOAD_INVALID", message),
            UploadError::Stopping => Self::unavailable(message),
            UploadError::Unrecorded { source: metastore::Error::Full } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE", message)
            }
            UploadError::Unrecorded { .. } => Self::internal(&error),
            UploadError::Store(error) => error.into(),
        }
    }
}

impl From<PutManifestError> for ApiError {
    fn from(error: PutManifestError) -> Self {
        Self::from(&error)
    }
}

impl From<&PutManifestError> for ApiError {
    fn from(error: &PutManifestError) -> Self {
        let message = error.to_string();
        match error {
            PutManifestError::Invalid(_) => Self::bad("MANIFEST_INVALID", message),
            PutManifestError::DigestMismatch { .. } => Self::bad("DIGEST_INVALID", message),
            PutManifestError::ContentUnknown { missing } => {
                // The first few tell whoever reads it what to push; a hostile manifest names thousands.
                let named: Vec<_> =
                    missing.iter().take(20).map(|digest| json!({ "digest": digest })).collect();
                Self::not_found("MANIFEST_BLOB_UNKNOWN", message).with_detail(json!(named))
            }
            PutManifestError::Store(error) => error.into(),
        }
    }
}

/// Longer than another program holds the database.
const RETRY_AFTER_S: u64 = 5;
