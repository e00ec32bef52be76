//! Repositories that are filled from elsewhere (pull-through cache): what differs for them.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use mirror::{Arrival, Cache, CacheError, Filled, Served, Wanted};
use oci::{Digest, Reference, Repository};
use upstream::UpstreamError;

use crate::Api;
use crate::error::ApiError;
use crate::route::Target;

impl Api {
    /// How the repository is filled; `None`: it is an ordinary one.
    async fn filled(&self, repository: &Repository) -> Result<Option<(&Cache, Arc<Filled>)>, ApiError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        Ok(cache.filled(self.id, repository).await?.map(|filled| (cache, filled)))
    }

    /// What is filled from elsewhere takes no pushes: they would be gone with the next pull of the tag.
    ///
    /// # Errors
    /// 403, saying by which rule.
    pub(crate) async fn check_pushable(&self, repository: &Repository) -> Result<(), ApiError> {
        let Some((_, filled)) = self.filled(repository).await? else { return Ok(()) };
        let message = format!(
            "{repository} is filled from {} by the cache rule {}: push to another repository",
            filled.source, filled.rule
        );
        Err(ApiError::new(StatusCode::FORBIDDEN, "DENIED", message))
    }

    /// The manifest that the reference names, from here or from where the repository is filled.
    pub(crate) async fn found(
        &self,
        repository: &Repository,
        reference: &Reference,
        wanted: Wanted,
    ) -> Result<Option<Served>, ApiError> {
        match self.filled(repository).await? {
            None => {
                let stored = self.registry.manifest(self.id, repository, reference).await?;
                Ok(stored.map(Served::own))
            }
            Some((cache, filled)) => match cache.manifest(&filled, reference, wanted).await {
                Ok(served) => Ok(Some(served)),
                Err(CacheError::Upstream(error)) if matches!(*error, UpstreamError::NotFound { .. }) => {
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Lets through what nobody has judged yet, unless a gate or a quarantine wants it judged first. It is
    /// brought here and judged all the same, so that the next pull finds an answer.
    ///
    /// # Errors
    /// 403, saying so.
    pub(crate) async fn check_not_held_back(&self, repository: &Repository) -> Result<(), ApiError> {
        if !self.registry.holds_back(self.id, repository).await? {
            return Ok(());
        }
        let message = format!(
            "{repository} is guarded, and this image is not judged yet: it is being brought here and judged; pull \
             it again in a while"
        );
        Err(ApiError::new(StatusCode::FORBIDDEN, "DENIED", message))
    }

    /// A blob that is not here, on its way; `None`: it is not for this repository to give, or it is
    /// here by now.
    pub(crate) async fn arriving(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Arrival>, ApiError> {
        let Some((cache, filled)) = self.filled(repository).await? else { return Ok(None) };
        match cache.blob(&filled, digest).await {
            Ok(arrival) => Ok(arrival),
            Err(CacheError::Upstream(error)) if matches!(*error, UpstreamError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of a blob that is not here and would come if somebody asked for it.
    pub(crate) async fn size_elsewhere(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, ApiError> {
        match self.filled(repository).await? {
            Some((cache, filled)) => Ok(cache.blob_size(&filled, digest).await?),
            None => Ok(None),
        }
    }

    /// What a mirror's pull means here: it names repositories as the other registry does, and that one by
    /// `ns`. Without a rule for that one it means nothing (distribution-spec, "Pulling via a proxy").
    pub(crate) async fn resolved(
        &self,
        target: Target,
        ns: Option<&str>,
    ) -> Result<(Target, Option<HeaderValue>), ApiError> {
        let (Some(cache), Some(ns)) = (&self.cache, ns) else { return Ok((target, None)) };
        let name = match &target {
            Target::Manifest(name, _)
            | Target::Blob(name, _)
            | Target::Tags(name)
            | Target::Referrers(name, _) => name.clone(),
            _ => return Ok((target, None)),
        };
        let Some(here) = cache.standing_for(self.id, ns, &name).await? else { return Ok((target, None)) };
        let target = match target {
            Target::Manifest(_, reference) => Target::Manifest(here, reference),
            Target::Blob(_, digest) => Target::Blob(here, digest),
            Target::Tags(_) => Target::Tags(here),
            Target::Referrers(_, subject) => Target::Referrers(here, subject),
            other => other,
        };
        Ok((target, HeaderValue::from_str(ns).ok()))
    }
}

impl From<CacheError> for ApiError {
    fn from(error: CacheError) -> Self {
        let message = error.to_string();
        match error {
            CacheError::Upstream(error) => match &*error {
                UpstreamError::TooMany { retry_after_s, .. } => Self::too_many(message, *retry_after_s),
                UpstreamError::NotFound { .. } => Self::not_found("MANIFEST_UNKNOWN", message),
                trouble if trouble.is_trouble() => {
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
                        .with(RETRY_AFTER, HeaderValue::from(TROUBLE_S))
                }
                _ => Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message),
            },
            CacheError::Invalid(_) | CacheError::Upload(_) => {
                Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message)
            }
            CacheError::Put(error) => Self::from(&*error),
            CacheError::Store(error) => Self::from(&*error),
        }
    }
}

/// As long as the cache leaves a failing registry alone.
const TROUBLE_S: u32 = 10;
/// RFC 7234, section 5.5.1.
pub(crate) const STALE: HeaderValue = HeaderValue::from_static("110 - \"Response is Stale\"");
pub(crate) const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
