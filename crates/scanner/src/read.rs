//! One layer's bytes to its inventory, through the jail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use blobstore::BlobStore;
use inventory::{FileContent, LayerInventory, Problem, ProblemKind};
use metastore::Metastore;
use oci::Digest;
use parking_lot::Mutex;
use sandbox::{Jail, JailError, Output, Room};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

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
    /// Shared by all who hold inventories.
    pub(crate) room: Room,
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
            room: Room::default(),
            store_children: Semaphore::new(limits.store_children),
            upload_children: Arc::new(Semaphore::new(limits.upload_children)),
            reading: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sees to it that a layer's inventory is stored, whether it was, is being made or is made now.
    ///
    /// What the extractor could not bear is a problem inside the inventory, not an error here.
    ///
    /// # Errors
    /// [`ScanError`] if the stores or the system fail, or something outside ended the extractor; trying again
    /// may help.
    pub(crate) async fn read(&self, layer: &Digest) -> Result<LayerRead, ScanError> {
        loop {
            if let Some(mut reading) = self.under_way(layer) {
                // An error means that the reader is gone: then the store decides.
                drop(reading.wait_for(|state| *state == Reading::Over).await);
            }
            if let Some(bytes) = self.inner.metastore.layer_inventory_bytes(layer).await? {
                return Ok(LayerRead::Stored { bytes });
            }
            // Two may come here at once; one of them reads, the other waits above.
            if let Some(_over) = self.begin(layer) {
                let Some(told) = self.read_from_store(layer).await? else {
                    return Ok(LayerRead::Unavailable);
                };
                self.inner.metastore.put_layer_inventory(layer, &told.inventory).await?;
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

    /// `None` if its bytes are not here, or not all of them: they may come yet.
    async fn read_from_store(&self, layer: &Digest) -> Result<Option<Told>, ScanError> {
        let _permit = self.inner.store_children.acquire().await.map_err(|_| ScanError::Stopping)?;
        let Some(blob) = self.inner.blobs.open_blob(layer).await.map_err(ScanError::Blob)? else {
            return Ok(None);
        };
        if self.inner.metastore.blob(layer).await?.is_some_and(|size| size != blob.len()) {
            return Ok(None);
        }
        let mut child = self.inner.jail.spawn().map_err(ScanError::Spawn)?;
        for piece in blob.pieces(0..blob.len()) {
            // A child that takes no more has ended; how is in its outcome.
            if !child.feed(&piece.map_err(ScanError::File)?).await {
                break;
            }
        }
        outcome(child.finish(&self.inner.room).await).map(Some)
    }
}

/// What became of reading a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerRead {
    /// Its inventory is in the metastore, a document of that many bytes.
    Stored { bytes: u64 },
    /// The registry does not have the layer's bytes.
    Unavailable,
}

/// What an extractor said of a layer.
pub(crate) struct Told {
    pub(crate) inventory: LayerInventory,
    /// As a document.
    pub(crate) bytes: u64,
    /// Held for as long as the inventory, if it is a large one.
    _room: Option<OwnedSemaphorePermit>,
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

/// What the child said; its words are as hostile as the layer. A child that broke a rule has said
/// that the layer cannot be read, and would say so again; one that something outside has ended has said nothing.
pub(crate) fn outcome(finished: Result<Output, JailError>) -> Result<Told, ScanError> {
    let unread = |kind, detail| Told { inventory: unread(kind, detail), bytes: 0, _room: None };
    match finished {
        Ok(Output { bytes: document, room }) => {
            let bytes = document.len() as u64;
            Ok(match serde_json::from_slice(&document) {
                Ok(inventory) if is_moderate(&inventory) => Told { inventory, bytes, _room: room },
                Ok(_) => unread(
                    ProblemKind::ExtractorFailed,
                    "the extractor said more than an extractor may say".to_owned(),
                ),
                Err(error) => unread(
                    ProblemKind::ExtractorFailed,
                    format!("the extractor's inventory cannot be read: {error}"),
                ),
            })
        }
        Err(JailError::Spawn(error)) => Err(ScanError::Spawn(error)),
        Err(error @ (JailError::Killed { .. } | JailError::Hung)) => Err(ScanError::Interrupted(error)),
        Err(JailError::Violation) => Ok(unread(ProblemKind::JailViolation, JailError::Violation.to_string())),
        Err(JailError::OutOfMemory) => {
            Ok(unread(ProblemKind::OutOfMemory, JailError::OutOfMemory.to_string()))
        }
        Err(JailError::OutOfTime) => Ok(unread(ProblemKind::OutOfTime, JailError::OutOfTime.to_string())),
        Err(JailError::OutputTooLarge) => {
            Ok(unread(ProblemKind::OutputTooLarge, JailError::OutputTooLarge.to_string()))
        }
        Err(error @ JailError::Failed { .. }) => Ok(unread(ProblemKind::ExtractorFailed, error.to_string())),
    }
}

/// The extractor's own limits (`extract::Limits`), for what is kept of every layer of an image.
fn is_moderate(inventory: &LayerInventory) -> bool {
    let LayerInventory { files, removals, unjudged, problems, .. } = inventory;
    let packages = files.iter().map(|file| match &file.content {
        FileContent::Packages { packages, .. } => packages.len(),
        _ => 0,
    });
    let text = |problem: &Problem| problem.detail.len() + problem.path.as_ref().map_or(0, String::len);
    packages.sum::<usize>() <= 100_000
        && files.len() + removals.len() <= 100_001
        && problems.len() <= 100
        && problems.iter().all(|problem| text(problem) <= TEXT_BYTES_MAX)
        && unjudged.len() <= 100
        && unjudged.iter().all(|seen| seen.kind.len() + seen.example_path.len() <= TEXT_BYTES_MAX)
}

pub(crate) fn unread(kind: ProblemKind, detail: String) -> LayerInventory {
    LayerInventory { problems: vec![Problem { kind, path: None, detail }], ..LayerInventory::default() }
}

/// A path of 4,096 bytes, which may be twice as long in another encoding, and a sentence.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_something_outside_has_ended_says_nothing_of_the_layer() {
        for transient in [JailError::Killed { signal: 9 }, JailError::Killed { signal: 15 }, JailError::Hung]
        {
            assert!(matches!(outcome(Err(transient)), Err(ScanError::Interrupted(_))));
        }
        let spawn = JailError::Spawn(std::io::ErrorKind::WouldBlock.into());
        assert!(matches!(outcome(Err(spawn)), Err(ScanError::Spawn(_))));
        let failed = JailError::Failed { status: std::process::ExitStatus::from_raw(101 << 8) };
        for (limit, kind) in [
            (JailError::OutOfMemory, ProblemKind::OutOfMemory),
            (JailError::OutOfTime, ProblemKind::OutOfTime),
            (JailError::OutputTooLarge, ProblemKind::OutputTooLarge),
            (JailError::Violation, ProblemKind::JailViolation),
            (failed, ProblemKind::ExtractorFailed),
        ] {
            let told = outcome(Err(limit)).expect("it is the layer's own");
            assert_eq!(told.inventory.problems[0].kind, kind);
        }
    }

    #[test]
    fn more_than_an_extractor_says_is_not_believed() {
        let problem = |detail: usize| {
            let detail = "x".repeat(detail);
            Problem { kind: ProblemKind::BadRecord, path: None, detail }
        };
        let said = |problems: Vec<Problem>| {
            let bytes = serde_json::to_vec(&LayerInventory { problems, ..LayerInventory::default() });
            let told = outcome(Ok(Output { bytes: bytes.expect("a document"), room: None }));
            told.expect("it is heard").inventory.problems[0].kind
        };
        assert_eq!(said(vec![problem(10); 100]), ProblemKind::BadRecord);
        assert_eq!(said(vec![problem(10); 101]), ProblemKind::ExtractorFailed);
        assert_eq!(said(vec![problem(1 << 20)]), ProblemKind::ExtractorFailed);
    }
}
