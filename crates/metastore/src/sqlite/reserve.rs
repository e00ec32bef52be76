//! Room on the disk that is kept for the writes that make room.
//!
//! A database grows even when rows are deleted: the change is written to its log first. So a file
//! beside it holds some room, and gives it back in steps when the disk is full. What only adds rows is
//! refused from then on ([`crate::Error::Full`]) until the file has its whole size again; what deletes,
//! and the small changes of operators, go on. The file itself is the only state: the server and the
//! command line see the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// The file that holds the room.
#[derive(Clone, Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
}

/// What the disk has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Everything.
    Ample,
    /// What makes room, and nothing else.
    Short,
}

impl Reserve {
    /// The reserve in the file at `path`, made empty if it is not there: it gets its size when the disk has
    /// room for it.
    ///
    /// # Errors
    /// The disk's, if the file cannot be made or the disk's size not be asked for.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
        Self::find(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The reserve in the file at `path`; `None`: there is no such file.
    ///
    /// # Errors
    /// The disk's.
    pub fn find(path: &Path) -> io::Result<Option<Self>> {
        if !path.try_exists()? {
            return Ok(None);
        }
        let disk = statvfs(path)?;
        let bytes = (disk.f_blocks.saturating_mul(disk.f_frsize) / DISK_SHARE).clamp(BYTES_MIN, BYTES_MAX);
        Ok(Some(Self { path: path.to_owned(), bytes }))
    }

    /// What there is room for. Takes the reserve back where the disk has room for it again.
    pub(super) fn room(&self) -> Room {
        self.looked_at().unwrap_or_else(|error| {
            // Whether there is room is then for the write itself to find out.
            tracing::warn!(error = %error, "the reserve of disk space cannot be looked at");
            Room::Ample
        })
    }

    fn looked_at(&self) -> io::Result<Room> {
        let (held, free) = (self.held()?, self.free()?);
        let missing = self.bytes.saturating_sub(held);
        if missing > 0 {
            if free < missing.saturating_add(2 * ROOM_MIN) || !self.take(held)? {
                return Ok(Room::Short);
            }
            tracing::info!(bytes = self.bytes, "disk space is held in reserve");
            return Ok(Room::Ample);
        }
        Ok(if free < ROOM_MIN { Room::Short } else { Room::Ample })
    }

    /// Gives room back, a step at a time, until a small write fits or all is given back.
    pub fn give_back(&self) {
        if let Err(error) = self.given_back() {
            tracing::warn!(error = %error, "the reserve of disk space cannot be given back");
        }
    }

    fn given_back(&self) -> io::Result<()> {
        let step = self.bytes / STEPS;
        loop {
            let held = self.held()?;
            if held == 0 || self.free()? >= step / 2 {
                return Ok(());
            }
            let left = held.saturating_sub(step);
            OpenOptions::new().write(true).open(&self.path)?.set_len(left)?;
            tracing::warn!(left, "the disk is full: a part of the reserve is given back");
        }
    }

    /// Gives back one more step: a write has failed for want of room, and its next try is to have more.
    pub(super) fn give_back_after_failure(&self) {
        let shrink = || -> io::Result<()> {
            let left = self.held()?.saturating_sub(self.bytes / STEPS);
            OpenOptions::new().write(true).open(&self.path)?.set_len(left)
        };
        if let Err(error) = shrink() {
            tracing::warn!(error = %error, "the reserve of disk space cannot be given back");
        }
    }

    /// `false`: there was no room for it after all.
    fn take(&self, held: u64) -> io::Result<bool> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        match allocate(&file, held, self.bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                file.set_len(held)?;
                Ok(false)
            }
            Err(error) => {
                file.set_len(held)?;
                Err(error)
            }
        }
    }

    fn held(&self) -> io::Result<u64> {
        Ok(std::fs::metadata(&self.path)?.len())
    }

    fn free(&self) -> io::Result<u64> {
        let disk = statvfs(&self.path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Makes the file `to` bytes long, with room on the disk for each.
fn allocate(mut file: &File, from: u64, to: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), from, to - from) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            use std::io::Seek as _;
            file.seek(io::SeekFrom::Start(from))?;
            let zeros = [0; 64 * 1024];
            let mut left = to - from;
            while left > 0 {
                let piece = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.write_all(&zeros[..piece])?;
                left -= piece as u64;
            }
            file.sync_all()
        }
        allocated => Ok(allocated?),
    }
}

/// One part in so many of the disk.
const DISK_SHARE: u64 = 16;
const BYTES_MIN: u64 = 2 << 20;
/// Enough to delete thousands of rows, several times.
const BYTES_MAX: u64 = 32 << 20;
/// In so many steps it is given back: who fills the disk again at once takes one of them.
const STEPS: u64 = 8;
/// With less, nothing is added.
const ROOM_MIN: u64 = 512 * 1024;
