//! An upload's file while it grows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::store::{Room, failed};

/// The file of one upload, owned by whoever feeds it. It is made by its first byte, and open only while
/// it is in use: [`UploadFile::close`].
#[derive(Debug)]
pub struct UploadFile {
    file: Option<Arc<File>>,
    path: PathBuf,
    len: u64,
    room: Room,
}

impl UploadFile {
    pub(crate) fn new(path: PathBuf, len: u64, room: Room) -> Self {
        Self { file: None, path, len, room }
    }

    /// Appends bytes. They go to the page cache, at the speed of memory: pieces of some hundred
    /// kilobytes may be written from an asynchronous thread.
    ///
    /// # Errors
    /// [`Error`] if the disk is full or broken; the length stays what it was.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check_room(bytes.len() as u64)?;
        let file = self.file()?;
        file.write_all_at(bytes, self.len).map_err(failed(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether so many more bytes may come.
    ///
    /// # Errors
    /// [`Error`] if they find no room: [`Error::is_full`].
    pub fn check_room(&self, more: u64) -> Result<(), Error> {
        self.room.check(more)
    }

    /// Takes back what was appended beyond `len`.
    ///
    /// # Errors
    /// [`Error`] if the disk is broken.
    pub fn truncate(&mut self, len: u64) -> Result<(), Error> {
        if self.len > len {
            self.file()?.set_len(len).map_err(failed(&self.path))?;
            self.len = len;
        }
        Ok(())
    }

    /// Lets go of the open file; what comes next opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Reads the bytes from `offset` on, as many as there are and fit.
    ///
    /// # Errors
    /// [`Error`] if the disk is broken.
    pub fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file()?.read_exact_at(&mut buffer[..wanted], offset);
        read.map_err(failed(&self.path))?;
        Ok(wanted)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.len
    }

    /// Its bytes for somebody else, who can read them for as long as they like: while it grows, when it
    /// has become a blob, and when it was dropped.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be opened.
    pub fn reader(&mut self) -> Result<UploadReader, Error> {
        Ok(UploadReader { file: self.file()?, path: self.path.clone() })
    }

    /// Where it lies until it is committed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, opened if need be: with the bytes that are certain, and no others.
    pub(crate) fn file(&mut self) -> Result<Arc<File>, Error> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let is_new = self.len == 0;
        let mut options = File::options();
        options.read(true).write(true).create(is_new).truncate(is_new);
        let open = || {
            let file = options.open(&self.path)?;
            if file.metadata()?.len() < self.len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.set_len(self.len)?;
            Ok(Arc::new(file))
        };
        let file = open().map_err(failed(&self.path))?;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

/// The bytes of an upload, for those who do not feed it.
#[derive(Clone, Debug)]
pub struct UploadReader {
    file: Arc<File>,
    path: PathBuf,
}

impl UploadReader {
    /// Fills the buffer with the bytes from `offset` on, which have to be there.
    ///
    /// # Errors
    /// [`Error`] if they are not, or the disk is broken.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, offset).map_err(failed(&self.path))
    }
}
