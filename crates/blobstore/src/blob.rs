//! Blobs being read.
//!
//! Small ones are read into memory; large ones are mapped and handed out in pieces without a copy
//! (measured: less than half of a copying read's processor time). A mapping is safe because a blob's
//! file is never written to or cut short once it has its name, only removed, which leaves mappings whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;

/// One blob, open. Clones share it.
#[derive(Clone, Debug)]
pub struct Blob {
    bytes: Content,
    len: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Small(Bytes),
    Large(Mapped),
}

impl Blob {
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let Some(mut file) = found(path)? else { return Ok(None) };
        let len = file.metadata()?.len();
        if len > SMALL_BYTES_MAX {
            return Ok(Some(Self { bytes: Content::Large(Mapped::of(&file)?), len }));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let len = bytes.len() as u64;
        Ok(Some(Self { bytes: Content::Small(bytes.into()), len }))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if it has no byte; such blobs are legal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of a range in pieces of [`PIECE_BYTES`], the last one shorter. What lies beyond the
    /// end is left out.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> + Send + use<> {
        let whole = match &self.bytes {
            Content::Small(bytes) => bytes.clone(),
            Content::Large(mapped) => Bytes::from_owner(mapped.clone()),
        };
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        let (mut at, end) = (index(range.start), index(range.end));
        std::iter::from_fn(move || {
            let next = end.min(at.saturating_add(PIECE_BYTES));
            let piece = (at < end).then(|| whole.slice(at..next));
            at = next;
            piece
        })
    }

    /// All of it, as one piece.
    #[must_use]
    pub fn whole(&self) -> Bytes {
        match &self.bytes {
            Content::Small(bytes) => bytes.clone(),
            Content::Large(mapped) => Bytes::from_owner(mapped.clone()),
        }
    }
}

/// A whole file as memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Mapped(Arc<Mmap>);

impl Mapped {
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        found(path)?.map(|file| Self::of(&file)).transpose()
    }

    fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the file has a digest for its name, so it was flushed and renamed there and nobody in
        // this program writes to it or cuts it short; removing it leaves the mapping whole.
        #[expect(unsafe_code, reason = "memory maps are why this room owns unsafe code")]
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self(Arc::new(map)))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn found(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As large as a socket takes at once, and small enough to free soon.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Below this a read is cheaper than a mapping.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
