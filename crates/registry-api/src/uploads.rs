//! Uploads: begin, append, finish, status, cancel, mount.

use auth::Access;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use oci::{Algorithm, Digest, Repository};
use registry::{Chunk, Owner, UploadError, UploadStatus};
use uuid::Uuid;

use crate::access::Identity;
use crate::error::ApiError;
use crate::manifests::value;
use crate::query::Parameters;
use crate::range;
use crate::{Api, CONTENT_DIGEST};

impl Api {
    /// A session; or a blob at once, by mounting it or from the body.
    pub(crate) async fn begin_upload(
        &self,
        owner: Owner,
        identity: &Identity,
        parameters: &Parameters,
        request: Request,
    ) -> Result<Response, ApiError> {
        self.check_pushable(&owner.repository).await?;
        if let Some(digest) = parameters.digest("mount")? {
            let sources = self.mount_sources(identity, parameters.get("from"), &digest).await?;
            if self.registry.mount(self.id, sources, &owner.repository, &digest).await? {
                return Ok(created(&owner.repository, &digest));
            }
        } else if let Some(digest) = parameters.digest("digest")? {
            let repository = owner.repository.clone();
            self.registry.put_blob(owner, chunk(request)?, &digest).await?;
            return Ok(created(&repository, &digest));
        }
        let algorithm = match parameters.get("digest-algorithm") {
            None | Some("sha256") => Algorithm::Sha256,
            Some("sha512") => Algorithm::Sha512,
            Some(other) => {
                let message = format!("the digest algorithm {other:?} is not sha256 or sha512");
                return Err(ApiError::bad("DIGEST_INVALID", message));
            }
        };
        let Owner { registry, repository, principal } = owner;
        let upload = self.registry.begin_upload(registry, &repository, &principal, algorithm).await?;
        Ok(status(StatusCode::ACCEPTED, &repository, upload))
    }

    /// Where to look for a blob to mount. What the caller may not pull is as if it were not there.
    async fn mount_sources(
        &self,
        identity: &Identity,
        from: Option<&str>,
        digest: &Digest,
    ) -> Result<Vec<Repository>, ApiError> {
        if let Some(from) = from {
            let Ok(from) = from.parse::<Repository>() else { return Ok(Vec::new()) };
            let may_pull = self.shows_right(identity, &from, Access::Pull).await?;
            return Ok(if may_pull { vec![from] } else { Vec::new() });
        }
        let Some(caller) = self.caller_behind(identity).await? else { return Ok(Vec::new()) };
        let mut sources = self.registry.repositories_linking(self.id, digest).await?;
        sources.retain(|source| self.may(&caller, source.as_str(), Access::Pull));
        Ok(sources)
    }

    pub(crate) async fn append(
        &self,
        owner: Owner,
        id: &str,
        request: Request,
    ) -> Result<Response, ApiError> {
        let (repository, id) = (owner.repository.clone(), parse(id)?);
        match self.registry.append(owner, id, chunk(request)?).await {
            Ok(upload) => Ok(status(StatusCode::ACCEPTED, &repository, upload)),
            Err(error) => Err(refused(error, &repository, id)),
        }
    }

    pub(crate) async fn finish(
        &self,
        owner: Owner,
        id: &str,
        parameters: &Parameters,
        request: Request,
    ) -> Result<Response, ApiError> {
        let (repository, id) = (owner.repository.clone(), parse(id)?);
        let missing = || ApiError::bad("DIGEST_INVALID", "the closing request needs ?digest=");
        let digest = parameters.digest("digest")?.ok_or_else(missing)?;
        match self.registry.finish(owner, id, chunk(request)?, &digest).await {
            Ok(()) => Ok(created(&repository, &digest)),
            Err(error) => Err(refused(error, &repository, id)),
        }
    }

    pub(crate) async fn upload_status(&self, owner: Owner, id: &str) -> Result<Response, ApiError> {
        let repository = owner.repository.clone();
        let upload = self.registry.upload_status(owner, parse(id)?).await?;
        Ok(status(StatusCode::NO_CONTENT, &repository, upload))
    }

    pub(crate) async fn cancel(&self, owner: Owner, id: &str) -> Result<Response, ApiError> {
        self.registry.cancel_upload(owner, parse(id)?).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(id).map_err(|_| UploadError::Unknown.into())
}

/// The request's bytes and what its headers say of them.
fn chunk(request: Request) -> Result<Chunk<BodyDataStream>, ApiError> {
    let (range, length) = (content_range(request.headers())?, content_length(request.headers()));
    Ok(Chunk { range, length, body: Body::into_data_stream(request.into_body()) })
}

fn content_range(headers: &HeaderMap) -> Result<Option<(u64, u64)>, ApiError> {
    let Some(header) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    let range = header.to_str().ok().and_then(range::chunk);
    let invalid = || ApiError::bad("SIZE_INVALID", "Content-Range must be FIRST-LAST, both inclusive");
    range.map(Some).ok_or_else(invalid)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn created(repository: &Repository, digest: &Digest) -> Response {
    let location = value(format_args!("/v2/{repository}/blobs/{digest}"));
    (StatusCode::CREATED, [(LOCATION, location), (CONTENT_DIGEST, value(digest))]).into_response()
}

fn status(code: StatusCode, repository: &Repository, upload: UploadStatus) -> Response {
    (code, progress(repository, upload)).into_response()
}

fn progress(repository: &Repository, upload: UploadStatus) -> [(HeaderName, axum::http::HeaderValue); 3] {
    [
        (LOCATION, value(format_args!("/v2/{repository}/blobs/uploads/{}", upload.id))),
        // There is no way to say "nothing yet"; this is what everybody says.
        (RANGE, value(format_args!("0-{}", upload.received.saturating_sub(1)))),
        (UPLOAD_UUID, value(upload.id)),
    ]
}

/// A client that is out of step is told where the session stands, to go on from there.
fn refused(error: UploadError, repository: &Repository, id: Uuid) -> ApiError {
    let received = match error {
        UploadError::OutOfOrder { received, .. } => Some(received),
        _ => None,
    };
    let mut refusal = ApiError::from(error);
    if let Some(received) = received {
        for (name, value) in progress(repository, UploadStatus { id, received }) {
            refusal = refusal.with(name, value);
        }
    }
    refusal
}

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
