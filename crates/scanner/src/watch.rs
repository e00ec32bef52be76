//! Layers read while they upload.
//!
//! The push writes its file and goes on; beside it a task reads the same bytes from the page
//! cache and feeds them to a jailed extractor. The push never waits for that task. When the
//! upload is complete and its digest verified, the inventory becomes the layer's; an upload that
//! fails leaves none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use oci::Digest;
use registry::{UploadObserver, UploadWatch};
use sandbox::JailedChild;
use tokio::sync::{oneshot, watch};

use crate::read::{ReadingGuard, outcome};
use crate::{LayerReader, ScanError};

/// Watches uploads for a [`LayerReader`].
pub struct UploadReader {
    reader: LayerReader,
}

impl UploadReader {
    /// An observer that reads layers for `reader`. Must be used inside a Tokio runtime.
    #[must_use]
    pub fn new(reader: LayerReader) -> Self {
        Self { reader }
    }
}

impl UploadObserver for UploadReader {
    fn begin(&self, path: &Path, first: &[u8]) -> Option<Box<dyn UploadWatch>> {
        if !looks_like_layer(first) {
            return None;
        }
        let permit = self.reader.inner.upload_children.clone().try_acquire_owned().ok()?;
        let started = File::open(path).and_then(|file| Ok((file, self.reader.inner.jail.spawn()?)));
        let (file, child) = match started {
            Ok(started) => started,
            Err(error) => {
                tracing::warn!(error = %error, "a layer cannot be read while it uploads");
                return None;
            }
        };
        let (received, growth) = watch::channel(0);
        let (verified, completion) = oneshot::channel();
        let reader = self.reader.clone();
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = follow(&reader, &file, child, growth, completion).await {
                tracing::warn!(error = %error, "a layer was not read while it uploaded");
            }
        });
        Some(Box::new(Watch { reader: self.reader.clone(), received, verified }))
    }
}

/// The push's end. Dropping it unverified tells the follower that the upload failed.
struct Watch {
    reader: LayerReader,
    received: watch::Sender<u64>,
    verified: oneshot::Sender<Verified>,
}

/// The upload is whole and is what its digest says.
struct Verified {
    layer: Digest,
    size: u64,
    guard: ReadingGuard,
}

impl UploadWatch for Watch {
    fn grew(&mut self, received: u64) {
        self.received.send_replace(received);
    }

    fn complete(self: Box<Self>, digest: &Digest, size: u64) {
        // Somebody else may be reading the same layer: then this reading is not needed.
        if let Some(guard) = self.reader.begin(digest) {
            // A follower that has given up leaves the layer to the scan, which reads the store.
            drop(self.verified.send(Verified { layer: digest.clone(), size, guard }));
        }
    }
}

/// Feeds the child with what arrives, and keeps its inventory if the upload turns out well.
///
/// Whatever goes wrong here costs only time: the scan then reads the layer from the store.
async fn follow(
    reader: &LayerReader,
    file: &File,
    mut child: JailedChild,
    mut growth: watch::Receiver<u64>,
    completion: oneshot::Receiver<Verified>,
) -> Result<(), ScanError> {
    let mut feeder = Feeder { buffer: vec![0; PIECE_BYTES], fed: 0 };
    loop {
        let received = *growth.borrow_and_update();
        feeder.feed(&mut child, file, received).await?;
        match tokio::time::timeout(reader.inner.limits.upload_idle, growth.changed()).await {
            Ok(Ok(())) => {}
            // The push has let go of its end: verified, or failed.
            Ok(Err(_)) => break,
            // Idle for too long to keep a process waiting.
            Err(_) => return Ok(()),
        }
    }
    let Ok(Verified { layer, size, guard }) = completion.await else { return Ok(()) };
    feeder.feed(&mut child, file, size).await?;
    let told = outcome(child.finish(&reader.inner.room).await)?;
    reader.inner.metastore.put_layer_inventory(&layer, &told.inventory).await?;
    drop(guard);
    Ok(())
}

/// How far the child has been fed.
struct Feeder {
    buffer: Vec<u8>,
    fed: u64,
}

impl Feeder {
    /// Gives the child the file's bytes up to `received`. They are in the page cache, for they
    /// were written a moment ago.
    async fn feed(&mut self, child: &mut JailedChild, file: &File, received: u64) -> Result<(), ScanError> {
        while self.fed < received {
            let want = usize::try_from(received - self.fed).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let got = file.read_at(&mut self.buffer[..want], self.fed).map_err(ScanError::File)?;
            if got == 0 {
                return Err(ScanError::File(io::ErrorKind::UnexpectedEof.into()));
            }
            self.fed += got as u64;
            if !child.feed(&self.buffer[..got]).await {
                // It has ended, and its outcome will say why.
                self.fed = u64::MAX;
            }
        }
        Ok(())
    }
}

/// What the extractor can read begins like this; a configuration or a signature does not.
fn looks_like_layer(first: &[u8]) -> bool {
    first.starts_with(&[0x1f, 0x8b])
        || first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || first.get(257..262) == Some(b"ustar")
}

const PIECE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::looks_like_layer;

    #[test]
    fn only_what_may_be_a_layer_costs_a_process() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(looks_like_layer(&tar));
        assert!(looks_like_layer(&[0x1f, 0x8b, 8]));
        assert!(looks_like_layer(&[0x28, 0xb5, 0x2f, 0xfd]));
        assert!(!looks_like_layer(b"{\"architecture\":\"amd64\"}"));
        assert!(!looks_like_layer(b""));
    }
}
