//! Lists: tags, repositories, referrers.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use axum::response::{IntoResponse as _, Response};
use metastore::ReferrersPage;
use oci::{Digest, MediaType, Repository};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::Api;
use crate::access::Identity;
use crate::acr::Catalog;
use crate::error::ApiError;
use crate::manifests::value;
use crate::query::Parameters;

impl Api {
    pub(crate) async fn tags(
        &self,
        repository: &Repository,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let limit = limit(parameters)?;
        let after = parameters.get("last").map(str::to_owned);
        let tags = self.registry.tags(self.id, repository, after, limit + 1).await?;
        let unknown =
            || ApiError::not_found("NAME_UNKNOWN", format!("there is no repository {repository} here"));
        let mut tags = tags.ok_or_else(unknown)?;
        let next = cut(&mut tags, limit);
        let document = json!({ "name": repository, "tags": tags });
        Ok(listed(&document, &format!("/v2/{repository}/tags/list"), limit, next))
    }

    /// Only what the caller may pull: other names are none of their business.
    pub(crate) async fn catalog(
        &self,
        identity: &Identity,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let (repositories, next, limit) =
            self.visible_repositories(identity, parameters, Catalog::Present).await?;
        Ok(listed(&json!({ "repositories": repositories }), "/v2/_catalog", limit, next))
    }

    /// Always an index, empty if there is nothing to list: never 404 (distribution specification).
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        subject: &str,
        parameters: &Parameters,
    ) -> Result<Response, ApiError> {
        let subject: Digest = subject
            .parse()
            .map_err(|error: oci::InvalidDigest| ApiError::bad("DIGEST_INVALID", error.to_string()))?;
        let wanted = parameters.get("artifactType").filter(|wanted| !wanted.is_empty());
        let limit = limit(parameters)?;
        let page = ReferrersPage {
            artifact_type: wanted.map(str::to_owned),
            after: parameters.get("last").map(str::to_owned),
            limit,
        };
        let (referrers, has_more) = self.registry.referrers(self.id, repository, &subject, page).await?;
        let last = referrers.last().filter(|_| has_more).map(|referrer| referrer.digest.to_string());
        let manifests: Vec<Value> = referrers
            .into_iter()
            .map(|referrer| {
                let mut descriptor = json!({
                    "mediaType": referrer.media_type.as_str(),
                    "digest": referrer.digest,
                    "size": referrer.size,
                });
                if let Some(artifact_type) = referrer.artifact_type {
                    descriptor["artifactType"] = artifact_type.into();
                }
                if let Some(annotations) = referrer.annotations {
                    descriptor["annotations"] = json!(annotations);
                }
                descriptor
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests });
        let typed = [(CONTENT_TYPE, HeaderValue::from_static(MediaType::OCI_INDEX))];
        let mut response = (StatusCode::OK, typed, index.to_string()).into_response();
        let mut filter = String::new();
        if let Some(wanted) = wanted {
            response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
            filter = format!("&artifactType={}", utf8_percent_encode(wanted, NON_ALPHANUMERIC));
        }
        if let Some(last) = last {
            let link =
                format!("</v2/{repository}/referrers/{subject}?n={limit}&last={last}{filter}>; rel=\"next\"");
            response.headers_mut().insert(LINK, value(link));
        }
        Ok(response)
    }
}

/// How many are wanted; a large number costs no more than the most we give.
pub(crate) fn limit(parameters: &Parameters) -> Result<usize, ApiError> {
    let Some(text) = parameters.get("n") else { return Ok(PAGE_MAX) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(ApiError::bad(
            "PAGINATION_NUMBER_INVALID",
            format!("n is {text:?}, it must be a number"),
        ));
    }
    Ok(text.parse().unwrap_or(PAGE_MAX).min(PAGE_MAX))
}

/// Cuts a list that has one more than asked for; returns the last that stays if there is more.
pub(crate) fn cut<T: ToString>(list: &mut Vec<T>, limit: usize) -> Option<String> {
    let has_more = list.len() > limit;
    list.truncate(limit);
    list.last().filter(|_| has_more).map(ToString::to_string)
}

fn listed(document: &Value, path: &str, limit: usize, next: Option<String>) -> Response {
    let mut response = axum::Json(document).into_response();
    if let Some(last) = next {
        let link = format!("<{path}?n={limit}&last={}>; rel=\"next\"", last.replace('/', "%2F"));
        response.headers_mut().insert(LINK, value(link));
    }
    response
}

/// The most entries of a page, and how many there are if nobody says.
const PAGE_MAX: usize = 10_000;
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
