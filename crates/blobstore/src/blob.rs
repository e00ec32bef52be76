//! Blobs being read.
//!
//! Small ones are read into memory, large ones piece by piece. For sockets that the kernel alone looks into,
//! there are pieces of a memory map, without a copy (measured: less than half of a copying read's processor
//! time). A mapping stays whole because a blob's file is never written to or cut short by this program once
//! it has its name, only removed. Something else may cut it short, a person or a failing disk: then the
//! kernel refuses to send it, and a program that looked at the map itself would be killed (SIGBUS).

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
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
    Large(Arc<File>),
}

impl Blob {
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let Some(mut file) = found(path)? else { return Ok(None) };
        let len = file.metadata()?.len();
        if len > SMALL_BYTES_MAX {
            return Ok(Some(Self { bytes: Content::Large(Arc::new(file)), len }));
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
    /// end is left out. A piece that cannot be read, the file having been cut short, is an error and the last.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = io::Result<Bytes>> + Send + use<> {
        let (bytes, mut at, end) = (self.bytes.clone(), range.start, range.end.min(self.len));
        std::iter::from_fn(move || {
            let next = end.min(at.saturating_add(PIECE_BYTES as u64));
            let piece = (at < next).then(|| bytes.read(at..next));
            at = if matches!(piece, Some(Err(_))) { end } else { next };
            piece
        })
    }

    /// The same from a memory map, for a socket that the kernel alone looks into: whoever looks at these bytes
    /// in this program dies if the file was cut short.
    ///
    /// # Errors
    /// If the system has no map to give.
    pub fn unseen_pieces(
        &self,
        range: Range<u64>,
    ) -> io::Result<impl Iterator<Item = io::Result<Bytes>> + Send + use<>> {
        let whole = match &self.bytes {
            Content::Small(bytes) => bytes.clone(),
            Content::Large(file) => map(file)?,
        };
        let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        let (mut at, end) = (index(range.start), index(range.end));
        Ok(std::iter::from_fn(move || {
            let next = end.min(at.saturating_add(PIECE_BYTES));
            let piece = (at < end).then(|| Ok(whole.slice(at..next)));
            at = next;
            piece
        }))
    }

    /// All of it, as one piece.
    ///
    /// # Errors
    /// If it cannot be read, or was cut short.
    pub fn whole(&self) -> io::Result<Bytes> {
        self.bytes.read(0..self.len)
    }
}

impl Content {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let index = |offset: u64| usize::try_from(offset).map_err(io::Error::other);
        match self {
            Self::Small(bytes) => Ok(bytes.slice(index(range.start)?..index(range.end)?)),
            Self::Large(file) => {
                let mut piece = vec![0; index(range.end - range.start)?];
                file.read_exact_at(&mut piece, range.start)?;
                Ok(piece.into())
            }
        }
    }
}

/// All of a file as memory; `None` if it is not there.
pub(crate) fn read(path: &Path) -> io::Result<Option<Bytes>> {
    let Some(mut file) = found(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes.into()))
}

/// A whole file as a memory map, for [`Blob::unseen_pieces`] alone.
fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the file has a digest for its name, so it was flushed and renamed there and nobody in
    // this program writes to it or cuts it short; removing it leaves the mapping whole. Should something else
    // cut it short, only the kernel looks at these bytes, which then refuses to send them.
    #[expect(unsafe_code, reason = "memory maps are why this room owns unsafe code")]
    let map = unsafe { Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
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
