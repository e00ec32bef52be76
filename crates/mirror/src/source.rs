//! Where images come from: files, a registry elsewhere, or another repository of the house.

use std::sync::Arc;

use assessment::Ruling;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use layout::Collection;
use metastore::{ReferrersPage, RegistryId};
use oci::{Descriptor, Digest, MediaType, Reference, Repository};
use registry::{Registry, StoreError};
use upstream::{RemoteManifest, Upstream};

use crate::ImportError;

/// Where the images of one repository come from.
#[derive(Clone)]
pub enum Source {
    /// A folder or an archive.
    Files(Arc<Collection>),
    /// A repository of a registry elsewhere.
    Remote {
        /// The registry.
        upstream: Upstream,
        /// The repository, as the registry itself calls it.
        repository: Repository,
    },
    /// A repository of the house: its blobs are linked, not copied.
    House {
        /// The registry.
        registry: RegistryId,
        /// The repository.
        repository: Repository,
    },
}

/// The bytes of a blob on their way.
pub(crate) type Pieces =
    std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

impl Source {
    /// The manifest that the reference names.
    pub(crate) async fn manifest(
        &self,
        house: &Registry,
        reference: &Reference,
    ) -> Result<RemoteManifest, ImportError> {
        let missing = || ImportError::Missing { what: reference.to_string() };
        match self {
            Self::Files(files) => {
                // Tags are the list's own business: whoever imports reads it.
                let Reference::Digest(digest) = reference else { return Err(missing()) };
                let bytes = files.manifest(digest)?.ok_or_else(missing)?;
                let media_type = MediaType::of_document(&bytes).unwrap_or_else(|| MediaType::new(""));
                Ok(RemoteManifest { digest: digest.clone(), media_type, bytes })
            }
            Self::Remote { upstream, repository } => Ok(upstream.manifest(repository, reference).await?),
            Self::House { registry, repository } => {
                let found = house.manifest(*registry, repository, reference).await?.ok_or_else(missing)?;
                let found = &found.manifest;
                let (digest, media_type) = (found.digest.clone(), found.media_type.clone());
                Ok(RemoteManifest { digest, media_type, bytes: found.bytes.clone() })
            }
        }
    }

    /// The blob that a manifest describes, as it arrives; `None`: it was linked, nothing need arrive.
    pub(crate) async fn blob(
        &self,
        house: &Registry,
        blob: &Descriptor,
        target: (RegistryId, &Repository),
    ) -> Result<Option<Pieces>, ImportError> {
        let missing = || ImportError::Missing { what: format!("the blob {}", blob.digest) };
        match self {
            Self::Files(files) => {
                let slice = files.blob(&blob.digest).ok_or_else(missing)?;
                if slice.len() != blob.size {
                    let (digest, stated, actual) = (blob.digest.clone(), blob.size, slice.len());
                    return Err(ImportError::WrongSize { digest, stated, actual });
                }
                let failed = |source| ImportError::File { digest: blob.digest.clone(), source };
                let mut pieces = slice.pieces().map_err(failed)?;
                let next = std::iter::from_fn(move || pieces.next_piece().transpose());
                let next = next.map(|piece| piece.map(Bytes::from).map_err(Into::into));
                Ok(Some(Box::pin(stream::iter(next))))
            }
            Self::Remote { upstream, repository } => {
                let body = upstream.blob(repository, &blob.digest, blob.size).await?;
                Ok(Some(Box::pin(body.map(|piece| piece.map_err(Into::into)))))
            }
            Self::House { registry, repository } => {
                let is_there = house.mount_from((*registry, repository), target, &blob.digest).await?;
                if is_there { Ok(None) } else { Err(missing()) }
            }
        }
    }

    /// What refers to a manifest. What refers to something in files is listed by itself.
    pub(crate) async fn referrers(
        &self,
        house: &Registry,
        subject: &Digest,
    ) -> Result<Vec<Digest>, ImportError> {
        match self {
            Self::Files(_) => Ok(Vec::new()),
            Self::Remote { upstream, repository } => {
                let found = upstream.referrers(repository, subject).await?;
                Ok(found.into_iter().map(|found| found.digest).collect())
            }
            Self::House { registry, repository } => {
                let (mut all, mut after) = (Vec::new(), None);
                loop {
                    let page = ReferrersPage { after, limit: PAGE, ..ReferrersPage::default() };
                    let (found, has_more) = house.referrers(*registry, repository, subject, page).await?;
                    after = found.last().filter(|_| has_more).map(|last| last.digest.to_string());
                    for found in found {
                        // Whoever imports may pull the image; what refers to it has a gate of its own.
                        if !is_blocked(house, (*registry, repository), &found.digest).await? {
                            all.push(found.digest);
                        }
                    }
                    if after.is_none() {
                        return Ok(all);
                    }
                }
            }
        }
    }
}

/// True for what may not be pulled, or no longer.
async fn is_blocked(
    house: &Registry,
    (registry, repository): (RegistryId, &Repository),
    digest: &Digest,
) -> Result<bool, ImportError> {
    let found = house.manifest(registry, repository, &Reference::Digest(digest.clone())).await;
    let is_blocked = match found {
        Ok(Some(found)) => found.is_quarantined || matches!(found.ruling, Ruling::Block(_)),
        Ok(None) | Err(StoreError::Locked(_)) => true,
        Err(error) => return Err(error.into()),
    };
    if is_blocked {
        tracing::info!(%repository, %digest, "a referrer was not imported: it may not be pulled");
    }
    Ok(is_blocked)
}

/// Referrers looked up at once.
const PAGE: usize = 1_000;
