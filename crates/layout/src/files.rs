//! Files by name, in a folder or in a tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Digest;
use rustix::fs::{Mode, OFlags, openat};

use crate::LayoutError;

/// The files of a folder or of an archive, by name.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(Arc<OwnedFd>),
    Archive(BTreeMap<String, Slice>),
}

/// Bytes within a file.
#[derive(Clone, Debug)]
pub struct Slice {
    from: From,
    offset: u64,
    len: u64,
}

/// Where a slice's file is. One of a folder is opened when it is read: there may be many.
#[derive(Clone, Debug)]
enum From {
    Archive(Arc<File>),
    Folder(Arc<OwnedFd>, String),
}

/// A slice being read.
#[derive(Debug)]
pub struct Pieces {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Files {
    /// The folder or tar at `root`.
    ///
    /// # Errors
    /// [`LayoutError`] if it is neither.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let failed = |source| LayoutError::File { path: root.to_owned(), source };
        let place = if std::fs::metadata(root).map_err(failed)?.is_dir() {
            // A link to the folder itself is its owner's own.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(root, flags, Mode::empty());
            Place::Folder(Arc::new(folder.map_err(|error| failed(error.into()))?))
        } else {
            Place::Archive(archive(root)?)
        };
        Ok(Self { root: root.to_owned(), place })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True if it is a folder.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    /// The file of that name, if there is one: no folder, no link, nothing outside.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Slice> {
        match &self.place {
            Place::Archive(files) => files.get(name.trim_start_matches("./")).cloned(),
            Place::Folder(folder) => {
                let len = open_beneath(folder, name).ok()?.metadata().ok()?.len();
                Some(Slice { from: From::Folder(Arc::clone(folder), name.to_owned()), offset: 0, len })
            }
        }
    }

    /// The blob of that digest, where an OCI layout has it.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<Slice> {
        self.find(&format!("blobs/{}/{}", digest.algorithm().name(), digest.hex()))
    }

    /// A whole small file; `what` it is, for people.
    ///
    /// # Errors
    /// [`LayoutError`] if it is not there or too large.
    pub fn document(&self, what: &str, slice: Option<Slice>) -> Result<Vec<u8>, LayoutError> {
        let slice = slice.filter(|slice| slice.len <= DOCUMENT_BYTES_MAX);
        let slice = slice.ok_or_else(|| self.invalid(what))?;
        let read = || {
            let mut pieces = slice.pieces()?;
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.next_piece()? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        read().map_err(|source| LayoutError::File { path: self.root.join(what), source })
    }

    /// A small JSON file.
    ///
    /// # Errors
    /// [`LayoutError`] if it is not there or something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, LayoutError> {
        let bytes = self.document(name, self.find(name))?;
        serde_json::from_slice(&bytes).map_err(|_| self.invalid(name))
    }

    /// What to say if a document is missing or broken.
    #[must_use]
    pub fn invalid(&self, what: &str) -> LayoutError {
        LayoutError::Document { path: self.root.clone(), what: what.to_owned() }
    }
}

impl Slice {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes, from the first.
    ///
    /// # Errors
    /// If the file is gone, or something else by now.
    pub fn pieces(&self) -> io::Result<Pieces> {
        let file = match &self.from {
            From::Archive(file) => Arc::clone(file),
            From::Folder(folder, name) => Arc::new(open_beneath(folder, name)?),
        };
        Ok(Pieces { file, at: self.offset, left: self.len })
    }
}

impl Pieces {
    /// The next piece, of [`PIECE_BYTES`] at most; `None` at the end. It is an error if the file has
    /// become shorter.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let want = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if want == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; want];
        self.file.read_exact_at(&mut piece, self.at)?;
        self.at += want as u64;
        self.left -= want as u64;
        Ok(Some(piece))
    }
}

/// Opens a regular file beneath a folder, by plain names alone; no link is followed on the way.
fn open_beneath(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !name.split('/').all(is_plain) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (path, last) = name.rsplit_once('/').map_or((None, name), |(path, last)| (Some(path), last));
    let mut at = None;
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for part in path.into_iter().flat_map(|path| path.split('/')) {
        let from = at.as_ref().unwrap_or(folder);
        at = Some(openat(from, part, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?);
    }
    // A pipe would make us wait for its writer.
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK;
    let file = File::from(openat(at.as_ref().unwrap_or(folder), last, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Where the files of a tar lie in it.
fn archive(root: &Path) -> Result<BTreeMap<String, Slice>, LayoutError> {
    let failed = |source| LayoutError::File { path: root.to_owned(), source };
    let not_an_image = |_| LayoutError::NotAnImage { path: root.to_owned() };
    let file = Arc::new(File::open(root).map_err(failed)?);
    let headers = Headers { file: File::open(root).map_err(failed)?, left: HEADER_BYTES_MAX };
    let mut archive = tar::Archive::new(headers);
    let mut files = BTreeMap::new();
    for entry in archive.entries_with_seek().map_err(failed)? {
        let entry = entry.map_err(not_an_image)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if files.len() >= FILES_MAX {
            return Err(LayoutError::TooMany { path: root.to_owned(), what: "files", max: FILES_MAX });
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let from = From::Archive(Arc::clone(&file));
        files.insert(name, Slice { from, offset: entry.raw_file_position(), len: entry.size() });
    }
    Ok(files)
}

/// A tar of which headers alone are read, and no more of them than honest tars have: a name may be as
/// long as the file, and is read into memory.
struct Headers {
    file: File,
    left: u64,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

impl Seek for Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What a piece of a file has at most.
const PIECE_BYTES: usize = 256 * 1024;
const DOCUMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
const FILES_MAX: usize = 100_000;
/// Those of [`FILES_MAX`] files with long names.
const HEADER_BYTES_MAX: u64 = 200 << 20;
