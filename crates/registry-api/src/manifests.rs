//! Manifests: get, put, delete.

use std::sync::Arc;

use auth::Action;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, WARNING,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use mirror::{Content, Wanted};
use oci::{Manifest, MediaType, Reference, Repository, Tag};
use registry::{Attached, Pulled, StoredPush};

use crate::access::Identity;
use crate::blobs::{IMMUTABLE, is_fresh};
use crate::error::ApiError;
use crate::filled::STALE;
use crate::gate::warning;
use crate::query::Parameters;
use crate::{Api, CONTENT_DIGEST};

impl Api {
    /// The bytes as they were pushed. `Accept` changes nothing: another form would have another digest.
    pub(crate) async fn manifest(
        &self,
        identity: &Identity,
        repository: &Repository,
        reference: &str,
        wanted: Wanted,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let reference = existing(reference)?;
        let found = self.found(repository, &reference, wanted).await?;
        let found = found.ok_or_else(|| unknown(&reference))?;
        let warning = match &found.content {
            Some(Content::Own(pulled)) => self.pass_gate(identity, repository, &reference, pulled).await?,
            Some(Content::Coming(_)) | None => {
                self.check_not_held_back(repository).await?;
                None
            }
        };
        self.registry.note_pull(self.id, repository, &found.digest);
        let caching = match reference {
            Reference::Digest(_) => IMMUTABLE,
            Reference::Tag(_) => HeaderValue::from_static("no-cache"),
        };
        let named = [
            (CONTENT_DIGEST, value(&found.digest)),
            (ETAG, value(format_args!("\"{}\"", found.digest))),
            (CACHE_CONTROL, caching),
        ];
        let mut warned: HeaderMap = warning.into_iter().map(|warning| (WARNING, warning)).collect();
        if found.is_stale {
            warned.append(WARNING, STALE);
        }
        if is_fresh(headers, &found.digest) {
            return Ok((StatusCode::NOT_MODIFIED, named, warned).into_response());
        }
        let typed =
            [(CONTENT_TYPE, value(&found.media_type)), (CONTENT_LENGTH, HeaderValue::from(found.size))];
        let body = match found.content {
            Some(Content::Own(pulled)) => Bytes::from_owner(Held(pulled)),
            Some(Content::Coming(manifest)) => Bytes::from(manifest.bytes.clone()),
            None => Bytes::new(),
        };
        Ok((StatusCode::OK, named, typed, warned, body).into_response())
    }

    pub(crate) async fn put_manifest(
        &self,
        identity: &Identity,
        repository: &Repository,
        reference: &str,
        parameters: &Parameters,
        request: Request,
    ) -> Result<Response, ApiError> {
        let reference: Reference = reference.parse().map_err(|error: oci::InvalidReference| {
            ApiError::bad(
                if reference.contains(':') { "DIGEST_INVALID" } else { "TAG_INVALID" },
                error.to_string(),
            )
        })?;
        let tags: Vec<Tag> = parameters
            .all("tag")
            .map(|tag| {
                tag.parse().map_err(|error: oci::InvalidTag| ApiError::bad("TAG_INVALID", error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        if tags.len() > TAGS_MAX {
            let message = format!("a push makes {TAGS_MAX} tags at most");
            return Err(ApiError::new(StatusCode::URI_TOO_LONG, "TAG_INVALID", message));
        }
        self.check_pushable(repository).await?;
        let media_type = declared_type(request.headers())?;
        let bytes = whole_manifest(request).await?;
        let made = tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let principal = identity.principal();
        let stored = self
            .registry
            .put_manifest(self.id, repository, &reference, tags, (&media_type, bytes), &principal)
            .await?;
        let warning = self.carry_out(identity, repository, &stored).await?;
        let location = format!("/v2/{repository}/manifests/{}", stored.digest);
        let named = [(LOCATION, value(location)), (CONTENT_DIGEST, value(&stored.digest))];
        let mut response = (StatusCode::CREATED, named).into_response();
        response.headers_mut().extend(warning.map(|warning| (WARNING, warning)));
        if let Some(subject) = stored.subject {
            response.headers_mut().insert(SUBJECT, value(subject));
        }
        if !made.is_empty() {
            response.headers_mut().insert(TAG, value(made));
        }
        Ok(response)
    }

    /// Makes rules of VEX documents, or says why they count for nothing: a push is not refused for what it says.
    async fn carry_out(
        &self,
        identity: &Identity,
        repository: &Repository,
        stored: &StoredPush,
    ) -> Result<Option<HeaderValue>, ApiError> {
        if !stored.has_documents() {
            return Ok(None);
        }
        let caller = self.caller_behind(identity).await?;
        let may_rule = caller.is_some_and(|caller| caller.may(Action::WriteRules, &self.resource));
        let principal = identity.principal();
        let attached = self.registry.attach(self.id, repository, stored, may_rule, &principal).await?;
        let counts_not = |why: String| warning(&format!("this VEX document disables no finding: {why}"));
        Ok(match attached {
            Attached::Nothing => None,
            Attached::Rules { disabled } => {
                tracing::info!(%repository, digest = %stored.digest, disabled, principal, "a VEX document was attached");
                None
            }
            Attached::NotAllowed => counts_not(format!(
                "who attaches it must be allowed {} on the registry, as Security Admin is; then push it again",
                Action::WriteRules.name()
            )),
            Attached::Invalid(error) => counts_not(error.to_string()),
            Attached::TooMany => counts_not(
                "there are as many rules as there may be; delete documents that are not needed".to_owned(),
            ),
        })
    }

    /// By tag, the tag alone; by digest, the manifest with all its tags.
    pub(crate) async fn delete_manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Result<Response, ApiError> {
        let reference = existing(reference)?;
        if self.registry.delete_manifest(self.id, repository, &reference).await? {
            Ok(StatusCode::ACCEPTED.into_response())
        } else {
            Err(unknown(&reference))
        }
    }
}

/// A manifest's bytes, served from where they are kept.
struct Held(Arc<Pulled>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.manifest.bytes
    }
}

/// A reference to something that may be there: under a name that none can have, nothing is.
fn existing(text: &str) -> Result<Reference, ApiError> {
    text.parse().map_err(|error: oci::InvalidReference| {
        if text.contains(':') {
            ApiError::bad("DIGEST_INVALID", error.to_string())
        } else {
            ApiError::not_found("MANIFEST_UNKNOWN", error.to_string())
        }
    })
}

/// The media type that a push declares; empty if it declares none.
fn declared_type(headers: &HeaderMap) -> Result<MediaType, ApiError> {
    let invalid = || ApiError::bad("MANIFEST_INVALID", "the Content-Type is not one media type");
    let mut declared = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (declared.next(), declared.next()) else {
        return if headers.contains_key(CONTENT_TYPE) { Err(invalid()) } else { Ok(MediaType::new("")) };
    };
    let text = first.to_str().map_err(|_| invalid())?;
    let media_type = MediaType::new(text);
    // What stands before the parameters is no type: that is not the same as no header.
    if media_type == MediaType::new("") && !text.trim().is_empty() { Err(invalid()) } else { Ok(media_type) }
}

fn unknown(reference: &Reference) -> ApiError {
    ApiError::not_found("MANIFEST_UNKNOWN", format!("there is no manifest {reference} here"))
}

/// Reads a body that should be a manifest, and no more of it than a manifest may have.
async fn whole_manifest(request: Request) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        let message = format!("a manifest has {} bytes at most", Manifest::BYTES_MAX);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    };
    let mut pieces = Body::into_data_stream(request.into_body());
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::bad("MANIFEST_INVALID", "the request's body broke off"))?;
        if bytes.len() + piece.len() > Manifest::BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// A header value of what has passed a narrower grammar than headers have.
pub(crate) fn value(text: impl ToString) -> HeaderValue {
    HeaderValue::from_str(&text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// URLs of that many tags still pass every proxy.
const TAGS_MAX: usize = 50;
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
