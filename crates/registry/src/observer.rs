//! Those who watch uploads grow.

use std::path::Path;

use oci::Digest;

/// Watches uploads as they grow; never slows or fails one.
pub trait UploadObserver: Send + Sync {
    /// A session's first bytes (512, or all there are) are in the file at `path`, which holds the upload
    /// from its first byte on and which the observer opens now if it wants it: the file will be renamed.
    /// `None`: not interested.
    fn begin(&self, path: &Path, first: &[u8]) -> Option<Box<dyn UploadWatch>>;
}

/// One upload being watched. Dropping it without [`UploadWatch::complete`] means that the upload failed.
pub trait UploadWatch: Send {
    /// `received` bytes can now be read from the file.
    fn grew(&mut self, received: u64);

    /// The upload is whole and has this digest. Called before the push is answered, so that whoever
    /// pushes the manifest next finds the reading registered.
    fn complete(self: Box<Self>, digest: &Digest, size: u64);
}

/// How much of an upload an observer is shown before it decides.
pub(crate) const FIRST_BYTES: usize = 512;

/// Nobody watches: for programs that do not scan what they store.
#[derive(Clone, Copy, Debug)]
pub struct NobodyWatches;

impl UploadObserver for NobodyWatches {
    fn begin(&self, _: &Path, _: &[u8]) -> Option<Box<dyn UploadWatch>> {
        None
    }
}
