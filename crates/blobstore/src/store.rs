//! The store: where files lie, and how they get there whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use uuid::Uuid;

use crate::{Blob, PIECE_BYTES, UploadFile, blob};

/// A folder of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: Arc<Path>,
    durability: Durability,
    room: Room,
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk before the answer: for everything but tests.
    Flushed,
    /// Survives a crash of the process, not of the machine.
    Unflushed,
}

/// The store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{} failed", path.display())]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Error {
    /// True if there was no room: on the disk, in a quota, or below the limit of the process.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

/// How much of the disk must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// So many bytes; 0 for none.
    Bytes(u64),
    /// A twentieth of the disk, a gibibyte at most.
    Share,
}

/// What the disk must keep free.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    root: Arc<Path>,
    keep: KeepFree,
}

impl Room {
    /// Whether `more` bytes find room.
    pub(crate) fn check(&self, more: u64) -> Result<(), Error> {
        if self.keep == KeepFree::Bytes(0) && more <= UNCHECKED_BYTES_MAX {
            return Ok(());
        }
        let asked = rustix::fs::statvfs(&*self.root);
        let disk = asked.map_err(|error| failed(&self.root)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let keep = match self.keep {
            KeepFree::Bytes(bytes) => bytes,
            KeepFree::Share => (disk.f_blocks.saturating_mul(disk.f_frsize) / KEPT_SHARE).min(KEPT_BYTES_MAX),
        };
        if free >= keep.saturating_add(more) {
            return Ok(());
        }
        let text = format!("{free} bytes are free, {keep} are to stay free, and {more} more were to come");
        Err(failed(&self.root)(io::Error::new(io::ErrorKind::StorageFull, text)))
    }
}

/// What lies in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Every blob.
    pub blobs: Vec<Digest>,
    /// Every upload.
    pub uploads: Vec<Uuid>,
    /// Files that are neither, left by something else or by a crash.
    pub strays: Vec<PathBuf>,
}

impl BlobStore {
    /// The store in the folder `root`, made if it is not there.
    ///
    /// # Errors
    /// [`Error`] if the folder cannot be made or used.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, Error> {
        let root: Arc<Path> = root.into();
        let room = Room { root: Arc::clone(&root), keep: KeepFree::Bytes(0) };
        let store = Self { root: Arc::clone(&root), durability, room };
        let uploads = root.join(UPLOADS);
        fs::create_dir_all(&uploads).map_err(failed(&uploads))?;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            // All of them, and flushed, before the first blob: one that a commit made could be lost
            // with what another commit put into it meanwhile.
            let folder = root.join(BLOBS).join(algorithm.name());
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
            for part in 0..=u8::MAX {
                match fs::create_dir(folder.join(format!("{part:02x}"))) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed(&folder)(error));
                    }
                    _ => {}
                }
            }
            if durability == Durability::Flushed {
                flush_folder(&folder)?;
            }
        }
        if durability == Durability::Flushed {
            flush_folder(&root.join(BLOBS))?;
            flush_folder(&root)?;
        }
        Ok(store)
    }

    /// The same store, which takes nothing more while the disk has less free than this.
    #[must_use]
    pub fn keeping_free(self, keep: KeepFree) -> Self {
        let room = Room { keep, ..self.room };
        Self { room, ..self }
    }

    /// Whether something more may be stored.
    ///
    /// # Errors
    /// [`Error`] if too few bytes are free: [`Error::is_full`].
    pub fn check_room(&self) -> Result<(), Error> {
        self.room.check(0)
    }

    /// Whether blobs can be read here.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn check_reads(&self) -> Result<(), Error> {
        let path = self.root.join(BLOBS);
        blocking(&self.root, move || fs::read_dir(&path).map(drop).map_err(failed(&path))).await
    }

    /// Whether a file can be made here.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn check_writes(&self) -> Result<(), Error> {
        let path = self.upload_path(Uuid::new_v4());
        blocking(&self.root, move || {
            let made = File::create_new(&path).and_then(|mut file| file.write_all(b"?"));
            remove(&path)?;
            made.map_err(failed(&path))
        })
        .await
    }

    /// Stores bytes under their digest.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses; then nothing is stored.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, Error> {
        let store = self.clone();
        blocking(&self.root, move || {
            store.room.check(bytes.len() as u64)?;
            let digest = Digest::sha256(&bytes);
            let upload = store.upload_path(Uuid::new_v4());
            let write = || {
                let mut file = File::create_new(&upload)?;
                file.write_all(&bytes)?;
                Ok(file)
            };
            let stored =
                write().map_err(failed(&upload)).and_then(|file| store.settle(&file, &upload, &digest));
            if let Err(error) = stored {
                // Half of it would hold what others need.
                drop_bytes(&upload)?;
                return Err(error);
            }
            Ok(digest)
        })
        .await
    }

    /// An upload of which `received` bytes are certain: what lies beyond them is cut off. `None`: there is no
    /// file with so many bytes. Nothing is opened, and a new upload has no file, until bytes come.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn upload(&self, id: Uuid, received: u64) -> Result<Option<UploadFile>, Error> {
        let (path, room) = (self.upload_path(id), self.room.clone());
        blocking(&self.root, move || {
            room.check(0)?;
            let held = match fs::metadata(&path) {
                Ok(found) => found.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(failed(&path)(error)),
            };
            Ok((held >= received).then(|| UploadFile::new(path, received, room)))
        })
        .await
    }

    /// The digest of an upload by an algorithm that was not announced: reads all of it.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn digest(&self, upload: &mut UploadFile, algorithm: Algorithm) -> Result<Digest, Error> {
        let (file, path, len) = (upload.file()?, upload.path().to_owned(), upload.received());
        blocking(&self.root, move || {
            let mut hasher = Hasher::new(algorithm);
            let mut buffer = vec![0; PIECE_BYTES];
            let mut at = 0;
            while at < len {
                let wanted = usize::try_from(len - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                file.read_exact_at(&mut buffer[..wanted], at).map_err(failed(&path))?;
                hasher.update(&buffer[..wanted]);
                at += wanted as u64;
            }
            Ok(hasher.finish())
        })
        .await
    }

    /// Makes a complete upload the blob of that digest: flushed, renamed, and the rename flushed. That
    /// the bytes have the digest is for the caller to have verified.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses; the upload may then be tried again or dropped.
    pub async fn commit(&self, upload: &mut UploadFile, digest: &Digest) -> Result<(), Error> {
        let (store, file, path, digest) =
            (self.clone(), upload.file()?, upload.path().to_owned(), digest.clone());
        let len = upload.received();
        blocking(&self.root, move || {
            // A write that failed half way, the disk being full, has left bytes that nobody counted.
            file.set_len(len).map_err(failed(&path))?;
            store.settle(&file, &path, &digest)
        })
        .await
    }

    /// Removes an upload's file, if there is one. Its room is free at once, whoever has it open.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn discard(&self, id: Uuid) -> Result<(), Error> {
        let path = self.upload_path(id);
        blocking(&self.root, move || drop_bytes(&path)).await
    }

    /// The blob of that digest; `None` if it is not here.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let path = self.blob_path(digest);
        blocking(&self.root, move || Blob::open(&path).map_err(failed(&path))).await
    }

    /// How many bytes the file of that digest has; `None` if it is not here. A torn one has others than were stored.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.blob_path(digest);
        blocking(&self.root, move || match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        })
        .await
    }

    /// The bytes of the blob of that digest, all in memory; `None` if it is not here.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let path = self.blob_path(digest);
        blocking(&self.root, move || blob::read(&path).map_err(failed(&path))).await
    }

    /// Removes a blob. Those who have it open keep it. Removing what is not here is no error.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn remove(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.blob_path(digest);
        blocking(&self.root, move || remove(&path)).await
    }

    /// Removes a stray file that [`BlobStore::list`] has named.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn remove_stray(&self, path: PathBuf) -> Result<(), Error> {
        blocking(&self.root, move || remove(&path)).await
    }

    /// Gives another store the blob, by a link if both are on one disk. `false`: it is not here.
    ///
    /// # Errors
    /// [`Error`] if a disk refuses.
    pub async fn copy_to(&self, digest: &Digest, other: &Self) -> Result<bool, Error> {
        let (from, to) = (self.blob_path(digest), other.blob_path(digest));
        let (other, digest) = (other.clone(), digest.clone());
        blocking(&self.root, move || match fs::hard_link(&from, &to) {
            Ok(()) if other.durability == Durability::Flushed => {
                flush_folder(to.parent().unwrap_or(&other.root)).map(|()| true)
            }
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // Another disk, or one without links.
            Err(_) => {
                let upload = other.upload_path(Uuid::new_v4());
                let copied = fs::copy(&from, &upload).map_err(failed(&from)).and_then(|_| {
                    let file = File::open(&upload).map_err(failed(&upload))?;
                    other.settle(&file, &upload, &digest)
                });
                if let Err(error) = copied {
                    drop_bytes(&upload)?;
                    return Err(error);
                }
                Ok(true)
            }
        })
        .await
    }

    /// Everything that lies here.
    ///
    /// # Errors
    /// [`Error`] if the disk refuses.
    pub async fn list(&self) -> Result<Listing, Error> {
        let store = self.clone();
        blocking(&self.root, move || {
            let mut listing = Listing::default();
            for path in files(&store.root.join(UPLOADS))? {
                match name(&path).and_then(|name| Uuid::parse_str(name).ok()) {
                    Some(id) => listing.uploads.push(id),
                    None => listing.strays.push(path),
                }
            }
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for path in files(&store.root.join(BLOBS).join(algorithm.name()))? {
                    let digest =
                        name(&path).and_then(|hex| format!("{}:{hex}", algorithm.name()).parse().ok());
                    match digest.filter(|digest| store.blob_path(digest) == path) {
                        Some(digest) => listing.blobs.push(digest),
                        None => listing.strays.push(path),
                    }
                }
            }
            Ok(listing)
        })
        .await
    }

    /// The folder for files without a name; what a crash leaves there is listed as a stray.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join(UPLOADS)
    }

    pub(crate) fn upload_path(&self, id: Uuid) -> PathBuf {
        self.root.join(UPLOADS).join(id.to_string())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        // The first two characters: 256 folders keep each one short.
        self.root.join(BLOBS).join(digest.algorithm().name()).join(&hex[..2]).join(hex)
    }

    /// File, rename, folder, in that order.
    fn settle(&self, file: &File, from: &Path, digest: &Digest) -> Result<(), Error> {
        let to = self.blob_path(digest);
        let folder = to.parent().unwrap_or(&self.root);
        let is_flushed = self.durability == Durability::Flushed;
        if is_flushed {
            file.sync_data().map_err(failed(from))?;
        }
        fs::rename(from, &to).map_err(failed(from))?;
        if is_flushed { flush_folder(folder) } else { Ok(()) }
    }
}

fn flush_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// Removes a file that some may still have open: its bytes first, which hold the room.
fn drop_bytes(path: &Path) -> Result<(), Error> {
    match File::options().write(true).open(path).and_then(|file| file.set_len(0)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => remove(path),
    }
}

/// The files in a folder and in its folders.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        if entry.file_type().map_err(failed(folder))?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { path: path.clone(), source }
}

/// Disks make threads wait; the asynchronous ones must not.
pub(crate) async fn blocking<T: Send + 'static>(
    root: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(failed(root)(io::Error::other(error))),
    }
}

/// Without anything to keep free, so much is tried without asking.
const UNCHECKED_BYTES_MAX: u64 = 1 << 20;
/// What [`KeepFree::Share`] keeps: one part in so many, and no more than this.
const KEPT_SHARE: u64 = 20;
const KEPT_BYTES_MAX: u64 = 1 << 30;

const BLOBS: &str = "blobs";
const UPLOADS: &str = "uploads";
