//! What can go wrong, by what a caller can do about it.

use metastore::{DeleteError, Locked};
use oci::{Digest, InvalidManifest};

/// The stores failed; it is not the caller's doing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The rows.
    #[error("the metastore failed")]
    Metastore(#[from] metastore::Error),
    /// The bytes.
    #[error("the blob store failed")]
    Blobs(#[from] blobstore::Error),
    /// A row says that the bytes are there, and they are not.
    #[error("the bytes of {digest} are lost: restore them from a backup or push them again")]
    BytesLost {
        /// Which blob.
        digest: Digest,
    },
    /// An attribute forbids it: the one refusal that is the caller's to act on.
    #[error(transparent)]
    Locked(#[from] Locked),
}

impl From<DeleteError> for StoreError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Locked(locked) => Self::Locked(locked),
            DeleteError::Store(error) => Self::Metastore(error),
        }
    }
}

/// Why an upload could not begin, go on or end.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No such session: never begun, ended, expired, or another repository's or principal's.
    #[error("there is no such upload: begin a new one")]
    Unknown,
    /// Another request is writing to the session right now.
    #[error("another request is writing to this upload")]
    Busy,
    /// The principal has too many sessions open.
    #[error("there are already {count} uploads open: finish or cancel some")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The chunk does not begin where the upload stands.
    #[error("the chunk begins at {offset}, the upload stands at {received}")]
    OutOfOrder {
        /// Where the chunk begins.
        offset: u64,
        /// Where the upload stands.
        received: u64,
    },
    /// The chunk has another length than its range or header says.
    #[error("the chunk has {actual} bytes, its range or length says {stated}")]
    WrongLength {
        /// What was said.
        stated: u64,
        /// What came.
        actual: u64,
    },
    /// The content is something else than its digest says. The session has ended.
    #[error("the content digests to {actual}, not {wanted}")]
    DigestMismatch {
        /// What was said.
        wanted: Digest,
        /// What came.
        actual: Digest,
    },
    /// The client's body broke off; what arrived is kept.
    #[error("the request's body broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This process stops; what arrived is kept.
    #[error("the registry is about to stop: go on with the upload in a moment")]
    Stopping,
    /// The upload's bytes are gone, and its row could not be removed: a later tidying does it.
    #[error("the upload is ended and its bytes are removed, but the database could not note it")]
    Unrecorded {
        /// Why.
        source: metastore::Error,
    },
    /// The stores.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UploadError {
    /// True if there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_full())
    }
}

impl StoreError {
    /// True if there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Metastore(error) => matches!(error, metastore::Error::Full),
            Self::Blobs(error) => error.is_full(),
            Self::BytesLost { .. } | Self::Locked(_) => false,
        }
    }
}

impl From<metastore::Error> for UploadError {
    fn from(error: metastore::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<blobstore::Error> for UploadError {
    fn from(error: blobstore::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Why a pushed manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum PutManifestError {
    /// It is no manifest, or none of the type it was pushed as.
    #[error(transparent)]
    Invalid(#[from] InvalidManifest),
    /// It was pushed by another digest than its own.
    #[error("the manifest digests to {actual}, not {wanted}")]
    DigestMismatch {
        /// What was said.
        wanted: Digest,
        /// What came.
        actual: Digest,
    },
    /// It names content that this repository does not hold.
    #[error("the manifest names {} blobs or manifests that this repository does not hold: push those first", missing.len())]
    ContentUnknown {
        /// What is missing.
        missing: Vec<Digest>,
    },
    /// The stores.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<metastore::PutManifestError> for PutManifestError {
    fn from(error: metastore::PutManifestError) -> Self {
        match error {
            metastore::PutManifestError::ContentUnknown { missing } => Self::ContentUnknown { missing },
            metastore::PutManifestError::Locked(locked) => Self::Store(StoreError::Locked(locked)),
            metastore::PutManifestError::Store(error) => Self::Store(StoreError::Metastore(error)),
        }
    }
}
