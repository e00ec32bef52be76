//! One layer's bytes to its inventory, through the jail.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use blobstore::BlobStore;
use inventory::{LayerInventory, Problem, ProblemKind};
use metastore::Metastore;
use oci::Digest;
use parking_lot::Mutex;
use sandbox::{Jail, JailError};
use tokio::sync::{Semaphore, watch};

use crate::ScanError;

/// Reads layers, each once however many ask. Clones share it.
#[derive(Clone)]
pub struct LayerReader {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) metastore: Metastore,
    pub(crate) blobs: BlobStore,
    pub(crate) jail: Jail,
    pub(crate) limits: ReaderLimits,
    /// Children that may read from the store at once; uploads have their own share.
    store_children: Semaphore,
    pub(crate) upload_children: Arc<Semaphore>,
    /// Layers being read right now. Whoever wants one of them waits for it.
    reading: Mutex<HashMap<Digest, watch::Receiver<Reading>>>,
}

/// How far the reading of a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    UnderWay,
    /// Its inventory is stored, or it was given up: the next to want it looks in the store.
    Over,
}

/// How much of the machine reading may take.
#[derive(Clone, Copy, Debug)]
pub struct ReaderLimits {
    /// Extractors that may run at once for scan jobs.
    pub store_children: usize,
    /// Extractors that may run at once beside uploads; further uploads are read from the store.
    pub upload_children: usize,
    /// An upload that grows by nothing for so long is no longer read beside.
    pub upload_idle: Duration,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self { store_children: 2, upload_children: 8, upload_idle: Duration::from_secs(60) }
    }
}

impl LayerReader {
    /// A reader of the layers in `blobs` that runs its extractors in `jail`.
    #[must_use]
    pub fn new(metastore: Metastore, blobs: BlobStore, jail: Jail, limits: ReaderLimits) -> Self {
        let inner = Inner {
            metastore,
            blobs,
            jail,
            limits,
            store_children: Semaphore::new(limits.store_children),
            upload_children: Arc::new(Semaphore::new(limits.upload_children)),
            reading: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The inventory of a layer: the stored one, the one being made, or one made now.
    ///
    /// What the extractor could not bear is a problem inside the inventory, not an error here.
    ///
    /// # Errors
    /// [`ScanError`] if the stores or the system fail; trying again may help.
    pub async fn inventory(&self, layer: &Digest) -> Result<LayerInventory, ScanError> {
        loop {
            if let Some(mut reading) = self.under_way(layer) {
                // An error means that the reader is gone: then the store decides.
                drop(reading.wait_for(|state| *state == Reading::Over).await);
            }
            if let Some(stored) = self.inner.metastore.layer_inventory(layer).await? {
                return Ok(stored);
            }
            // Two may come here at once; one of them reads, the other waits above.
            if let Some(_over) = self.begin(layer) {
                let inventory = self.read_from_store(layer).await?;
                self.inner.metastore.put_layer_inventory(layer, &inventory).await?;
                return Ok(inventory);
            }
        }
    }

    /// Claims the reading of a layer; `None` if somebody has it.
    pub(crate) fn begin(&self, layer: &Digest) -> Option<ReadingGuard> {
        let mut reading = self.inner.reading.lock();
        if reading.contains_key(layer) {
            return None;
        }
        let (sender, receiver) = watch::channel(Reading::UnderWay);
        reading.insert(layer.clone(), receiver);
        Some(ReadingGuard { reader: self.clone(), layer: layer.clone(), sender })
    }

    fn under_way(&self, layer: &Digest) -> Option<watch::Receiver<Reading>> {
        self.inner.reading.lock().get(layer).cloned()
    }

    async fn read_from_store(&self, layer: &Digest) -> Result<LayerInventory, ScanError> {
        let _permit = self.inner.store_children.acquire().await.map_err(|_| ScanError::Stopping)?;
        let Some(blob) = self.inner.blobs.open_blob(layer).await.map_err(ScanError::Blob)? else {
            return Ok(unread(
                ProblemKind::Unavailable,
                "the layer's bytes are not in the registry".to_owned(),
            ));
        };
        let mut child = self.inner.jail.spawn().map_err(ScanError::Spawn)?;
        for piece in blob.pieces(0..blob.len()) {
            // A child that takes no more has ended; how is in its outcome.
            if !child.feed(&piece).await {
                break;
            }
        }
        outcome(child.finish().await)
    }
}

/// Held while a layer is being read; dropping it tells whoever waits.
pub(crate) struct ReadingGuard {
    reader: LayerReader,
    layer: Digest,
    sender: watch::Sender<Reading>,
}

impl Drop for ReadingGuard {
    fn drop(&mut self) {
        self.reader.inner.reading.lock().remove(&self.layer);
        self.sender.send_replace(Reading::Over);
    }
}

/// Runs a layer that is no upload and is in no store through the jail.
pub(crate) async fn read_pieces<F>(
    jail: &Jail,
    mut next: impl FnMut() -> F,
) -> Result<LayerInventory, ScanError>
where
    F: Future<Output = std::io::Result<Option<Vec<u8>>>>,
{
    let mut child = jail.spawn().map_err(ScanError::Spawn)?;
    while let Some(piece) = next().await.map_err(ScanError::File)? {
        if !child.feed(&piece).await {
            break;
        }
    }
    outcome(child.finish().await)
}

/// What the child said; its words are as hostile as the layer. A child that broke a rule has said
/// that the layer cannot be read, and would say so again.
pub(crate) fn outcome(finished: Result<Vec<u8>, JailError>) -> Result<LayerInventory, ScanError> {
    match finished {
        Ok(document) => Ok(serde_json::from_slice(&document).unwrap_or_else(|error| {
            unread(ProblemKind::ExtractorFailed, format!("the extractor's inventory does not parse: {error}"))
        })),
        Err(JailError::Spawn(error)) => Err(ScanError::Spawn(error)),
        Err(error) => Ok(unread(problem_kind(&error), error.to_string())),
    }
}

fn unread(kind: ProblemKind, detail: String) -> LayerInventory {
    LayerInventory { problems: vec![Problem { kind, path: None, detail }], ..LayerInventory::default() }
}

fn problem_kind(error: &JailError) -> ProblemKind {
    match error {
        JailError::Violation => ProblemKind::JailViolation,
        JailError::OutOfMemory => ProblemKind::OutOfMemory,
        JailError::OutOfTime | JailError::Hung => ProblemKind::OutOfTime,
        JailError::OutputTooLarge => ProblemKind::OutputTooLarge,
        JailError::Failed { .. } | JailError::Spawn(_) => ProblemKind::ExtractorFailed,
    }
}
