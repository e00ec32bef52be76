//! Query parameters, in order and repeated as sent.

use axum::extract::Query;
use axum::http::Uri;

use crate::error::ApiError;

/// What stands behind the `?`.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let parsed = Query::<Vec<(String, String)>>::try_from_uri(uri);
        parsed
            .map(|Query(pairs)| Self(pairs))
            .map_err(|_| ApiError::bad("UNSUPPORTED", "the query string cannot be read"))
    }

    /// The first of that name; one without a value counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All of that name that have a value.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A digest, if one is given.
    pub(crate) fn digest(&self, name: &str) -> Result<Option<oci::Digest>, ApiError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|error: oci::InvalidDigest| ApiError::bad("DIGEST_INVALID", error.to_string()))
        };
        self.get(name).map(parse).transpose()
    }
}
