//! Manifests: asked for by tag or digest, and checked.

use oci::{Algorithm, Digest, Manifest, MediaType, Reference, Repository};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response};

use crate::client::Asked;
use crate::{Upstream, UpstreamError};

/// A manifest as the upstream has it; its bytes have its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// In the algorithm by which the upstream names it.
    pub digest: Digest,
    /// What the upstream says that it is.
    pub media_type: MediaType,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}

/// What the upstream says of a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHead {
    /// Some registries do not say.
    pub digest: Option<Digest>,
    /// What it is.
    pub media_type: MediaType,
    /// How long it is in bytes.
    pub size: Option<u64>,
}

impl Upstream {
    /// The manifest that the reference names.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::Wrong`] if it is another than its digest says, or too large.
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<RemoteManifest, UpstreamError> {
        let answer = self.ask_manifest(Method::GET, repository, reference).await?;
        let stated = stated_digest(answer.headers());
        let media_type = media_type(answer.headers());
        let bytes = self.document(answer, Manifest::BYTES_MAX).await?;
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => stated,
        };
        let algorithm = wanted.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            return Err(self.wrong(format!("a manifest that digests to {digest}, not {wanted}")));
        }
        Ok(RemoteManifest { digest, media_type: told(media_type, &bytes), bytes })
    }

    /// What the upstream says of the manifest; registries that count pulls do not count this.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn manifest_head(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<RemoteHead, UpstreamError> {
        let answer = self.ask_manifest(Method::HEAD, repository, reference).await?;
        let headers = answer.headers();
        let size = headers.get(CONTENT_LENGTH).and_then(|header| header.to_str().ok()?.parse().ok());
        Ok(RemoteHead { digest: stated_digest(headers), media_type: media_type(headers), size })
    }

    async fn ask_manifest(
        &self,
        method: Method,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Response, UpstreamError> {
        let asked = Asked { accept: Some(ACCEPTED), is_document: true };
        self.ask(method, repository, &format!("manifests/{reference}"), asked).await
    }
}

fn stated_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

fn media_type(headers: &HeaderMap) -> MediaType {
    let header = headers.get(CONTENT_TYPE).and_then(|header| header.to_str().ok());
    MediaType::new(header.unwrap_or_default())
}

/// A server that knows no better says `application/json`: then the document's own word counts.
fn told(media_type: MediaType, bytes: &[u8]) -> MediaType {
    if !matches!(media_type.as_str(), "" | "application/json" | "text/plain" | "application/octet-stream") {
        return media_type;
    }
    MediaType::of_document(bytes).unwrap_or(media_type)
}

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";
