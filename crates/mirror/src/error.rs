//! Why an image could not be brought here.

use layout::LayoutError;
use oci::{Digest, InvalidManifest, Repository};
use registry::{PutManifestError, StoreError, UploadError};
use upstream::UpstreamError;

/// Why an image could not be copied. What was copied before stays, and is not copied again.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The registry that it should come from.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The folder or archive that it should come from.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A file there cannot be read.
    #[error("the blob {digest} cannot be read")]
    File {
        /// Which blob.
        digest: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// The source names something that it does not have.
    #[error("the source does not have {what}")]
    Missing {
        /// What.
        what: String,
    },
    /// A blob there has another length than its manifest says.
    #[error("the blob {digest} has {actual} bytes at the source, its manifest says {stated}")]
    WrongSize {
        /// Which blob.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What there is.
        actual: u64,
    },
    /// What should be a manifest is none that we take.
    #[error("{digest} is not a manifest that can be stored")]
    Invalid {
        /// Which one.
        digest: Digest,
        /// Why.
        source: InvalidManifest,
    },
    /// Whatever is pulled there comes from elsewhere.
    #[error("{repository} is filled by the cache rule {rule}: import into another one")]
    Cached {
        /// Which repository.
        repository: Repository,
        /// The rule's name.
        rule: String,
    },
    /// More manifests belong to it than any honest image has.
    #[error("more than {max} manifests, or indexes nested more than {depth} deep, belong to this image")]
    TooMuch {
        /// The most manifests.
        max: usize,
        /// The deepest nesting.
        depth: usize,
    },
    /// A blob could not be stored.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A manifest could not be stored.
    #[error(transparent)]
    Put(#[from] PutManifestError),
    /// The stores.
    #[error(transparent)]
    Store(#[from] StoreError),
}
