//! The advisory snapshot that is current, read once and shared.

use std::sync::Arc;

use advisory::Snapshot;
use arc_swap::ArcSwapOption;
use blobstore::{BlobStore, Bytes};
use metastore::Metastore;
use oci::Digest;

/// Opens snapshots from their blob store. Clones share it.
#[derive(Clone)]
pub struct Advisories {
    metastore: Metastore,
    blobs: BlobStore,
    current: Arc<ArcSwapOption<CurrentSnapshot>>,
}

/// One opened snapshot, read into memory: a map of a file that something cuts short would end the program.
pub type CurrentSnapshot = Snapshot<Bytes>;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoriesError {
    /// The rows.
    #[error("the metastore failed")]
    Metastore(#[from] metastore::Error),
    /// The bytes.
    #[error("the advisory snapshot {id} cannot be read")]
    Blob {
        /// Which snapshot.
        id: Digest,
        /// Why.
        source: blobstore::Error,
    },
    /// The file is gone.
    #[error("the advisory snapshot {id} is missing: import the feeds again")]
    Missing {
        /// Which snapshot.
        id: Digest,
    },
    /// The file is damaged.
    #[error("the advisory snapshot {id} is damaged: import the feeds again")]
    Damaged {
        /// Which snapshot.
        id: Digest,
        /// How.
        source: advisory::InvalidSnapshot,
    },
}

impl Advisories {
    /// The snapshots in `blobs`, of which `metastore` knows the current one.
    #[must_use]
    pub fn new(metastore: Metastore, blobs: BlobStore) -> Self {
        Self { metastore, blobs, current: Arc::default() }
    }

    /// The current snapshot, opened; `None` before the first import.
    ///
    /// # Errors
    /// [`AdvisoriesError`].
    pub async fn current(&self) -> Result<Option<Arc<CurrentSnapshot>>, AdvisoriesError> {
        let Some(id) = self.metastore.current_snapshot().await? else { return Ok(None) };
        if let Some(current) = self.current.load_full().filter(|current| *current.id() == id) {
            return Ok(Some(current));
        }
        let opened = Arc::new(self.open(id).await?);
        self.current.store(Some(Arc::clone(&opened)));
        Ok(Some(opened))
    }

    /// Opens a snapshot that need not be the current one.
    ///
    /// # Errors
    /// [`AdvisoriesError`].
    pub async fn open(&self, id: Digest) -> Result<CurrentSnapshot, AdvisoriesError> {
        let bytes =
            self.blobs.read(&id).await.map_err(|source| AdvisoriesError::Blob { id: id.clone(), source })?;
        let bytes = bytes.ok_or_else(|| AdvisoriesError::Missing { id: id.clone() })?;
        Snapshot::open(bytes, id.clone()).map_err(|source| AdvisoriesError::Damaged { id, source })
    }
}
