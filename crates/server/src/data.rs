//! The data folder: where everything lies, and that only one server uses it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use blobstore::BlobStore;
use metastore::{Durability, Metastore, Reserve};
use rustix::fs::{FlockOperation, flock};

use crate::{Failure, now_ms};

/// A data folder that exists and can be written to.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// Held for as long as something uses the folder; the system lets go of it with the process.
pub(crate) struct Lock {
    _file: File,
}

/// Why a data folder cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// It does not exist and cannot be made, or cannot be written to.
    #[error("the data folder {} cannot be used (choose another with --data or LAZARET_DATA)", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    /// A command needs what only `serve` makes.
    #[error("there is no Lazaret data in {}: start `lazaret serve` there once, or name another folder with --data", path.display())]
    Empty { path: PathBuf },
    /// Another server runs on it.
    #[error("another lazaret already serves the data folder {}: stop it first, or choose another with --data", path.display())]
    InUse { path: PathBuf },
    /// A file in it cannot be read or written.
    #[error("the file {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Others can read what is in it, and that cannot be mended.
    #[error(
        "{} can be read by other users of this machine and cannot be closed to them: run `chown -R` to give it to the user that \
         runs lazaret, or `chmod -R go= {}`",
        path.display(),
        path.display()
    )]
    Open { path: PathBuf, source: io::Error },
    /// The database cannot be opened.
    #[error("the database in {} cannot be used", path.display())]
    Metastore { path: PathBuf, source: metastore::Error },
}

impl DataFolder {
    /// The folder at `path`, made if need be (mode 0700).
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        let unusable = |source| DataError::Unusable { path: path.to_owned(), source };
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
        builder.create(path).map_err(unusable)?;
        let folder = Self { root: path.to_owned() };
        folder.close_to_others()?;
        // A folder may exist and yet take no file: better said now than at the first push.
        let probe = folder.root.join("write-probe");
        match File::create(&probe).and_then(|_| fs::remove_file(&probe)) {
            // What is there can be served, and deleted to make room.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && folder.database().exists() => {}
            probed => probed.map_err(unusable)?,
        }
        Ok(folder)
    }

    /// Takes from everybody else the right to read what is in the folder, whoever made it and however: rows hold
    /// secrets, and blobs are for those who may pull them. Files that are not Lazaret's stay as they are.
    fn close_to_others(&self) -> Result<(), DataError> {
        let unusable = |source| DataError::Unusable { path: self.root.clone(), source };
        let mode = fs::metadata(&self.root).map_err(unusable)?.permissions().mode();
        if mode & OTHERS != 0
            && let Err(error) = fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
        {
            // A volume that was mounted for us may be another's. What is in it is ours.
            tracing::warn!(
                path = %self.root.display(), error = %error,
                "other users may list the data folder, which belongs to another user; its files are closed to them"
            );
        }
        for entry in fs::read_dir(&self.root).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            if entry.file_name().to_str().is_some_and(is_own) {
                // A folder may be a link to another disk.
                let found = fs::metadata(entry.path());
                match found {
                    Ok(found) => close(&entry.path(), &found)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(DataError::File { path: entry.path(), source }),
                }
            }
        }
        Ok(())
    }

    /// Keeps some of the disk for the writes that make room when it is full; for the server, at its start.
    pub(crate) fn keep_reserve(&self) -> Result<(), DataError> {
        let path = self.path(RESERVE);
        match Reserve::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            created => created.map(drop).map_err(|source| DataError::File { path, source }),
        }
    }

    /// The folder at `path`, which a server must have made.
    pub(crate) fn existing(path: &Path) -> Result<Self, DataError> {
        let folder = Self { root: path.to_owned() };
        match folder.database().try_exists() {
            Ok(true) => Ok(folder),
            Ok(false) => Err(DataError::Empty { path: path.to_owned() }),
            Err(source) => Err(DataError::Unusable { path: path.to_owned(), source }),
        }
    }

    /// Takes the folder for one server.
    pub(crate) fn lock(&self) -> Result<Lock, DataError> {
        let lock = self.flock("server.lock", FlockOperation::NonBlockingLockExclusive)?;
        lock.ok_or_else(|| DataError::InUse { path: self.root.clone() })
    }

    /// Held while advisory data comes in; waits for a server that tidies up.
    pub(crate) fn importing(&self) -> Result<Lock, DataError> {
        let lock = self.flock("advisories.lock", FlockOperation::LockShared)?;
        lock.ok_or_else(|| DataError::InUse { path: self.root.clone() })
    }

    /// Held while advisory files that nothing refers to are removed: those of an import under way
    /// look so. `None`: there is one.
    pub(crate) fn tidying_advisories(&self) -> Result<Option<Lock>, DataError> {
        self.flock("advisories.lock", FlockOperation::NonBlockingLockExclusive)
    }

    /// Held while another program than the server brings blobs; waits for one that removes some.
    pub(crate) fn bringing_blobs(&self) -> Result<Lock, DataError> {
        let lock = self.flock("blobs.lock", FlockOperation::LockShared)?;
        lock.ok_or_else(|| DataError::InUse { path: self.root.clone() })
    }

    /// Held while blobs that nothing refers to are removed: those that another program is about to
    /// refer to look so. `None`: there is one.
    pub(crate) fn removing_blobs(&self) -> Result<Option<Lock>, DataError> {
        self.flock("blobs.lock", FlockOperation::NonBlockingLockExclusive)
    }

    /// `None`: somebody else has it.
    fn flock(&self, name: &str, operation: FlockOperation) -> Result<Option<Lock>, DataError> {
        let path = self.root.join(name);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.map_err(|source| DataError::File { path: path.clone(), source })?;
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(DataError::File { path, source: error.into() }),
        }
    }

    /// Its database, without rules whose time has passed while no server ran.
    pub(crate) async fn current_rows(&self) -> Result<Metastore, Failure> {
        let metastore = self.metastore()?;
        metastore.expire_rules(now_ms()).await?;
        Ok(metastore)
    }

    /// Opens the rows.
    pub(crate) fn metastore(&self) -> Result<Metastore, DataError> {
        let path = self.path(RESERVE);
        let reserve = Reserve::find(&path).map_err(|source| DataError::File { path, source })?;
        Metastore::open_with(&self.database(), Durability::Flushed, reserve)
            .map_err(|source| DataError::Metastore { path: self.root.clone(), source })
    }

    /// Opens the bytes of images.
    pub(crate) fn blobs(&self) -> Result<BlobStore, DataError> {
        self.blob_store("registry")
    }

    /// Opens the bytes of feeds and advisory snapshots.
    pub(crate) fn advisory_blobs(&self) -> Result<BlobStore, DataError> {
        self.blob_store("advisories")
    }

    /// A file beneath the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The content of a secret file, made by `make` and written with mode 0600 if there is none.
    pub(crate) fn secret(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, DataError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(secret) => Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = make();
                self.write(name, &secret, 0o600)?;
                Ok(secret)
            }
            Err(source) => Err(DataError::File { path, source }),
        }
    }

    /// Writes a whole file or none: to another name first, flushed, then renamed.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), DataError> {
        let path = self.path(name);
        let written = path.with_extension("new");
        let write = || {
            if written.try_exists()? {
                fs::remove_file(&written)?;
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&written)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&written, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| DataError::File { path: path.clone(), source })
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DataError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataError::File { path, source }),
            _ => Ok(()),
        }
    }

    fn blob_store(&self, name: &str) -> Result<BlobStore, DataError> {
        let path = self.path(name);
        BlobStore::open(&path, blobstore::Durability::Flushed)
            .map_err(|source| DataError::Unusable { path, source: io::Error::other(source) })
    }

    fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }
}

/// What Lazaret itself puts into its folder.
fn is_own(name: &str) -> bool {
    let folders_and_files = ["registry", "advisories", RESERVE, crate::first_start::PASSWORD_FILE];
    let endings = [".lock", ".key", ".pem", ".new"];
    name.starts_with(DATABASE)
        || folders_and_files.contains(&name)
        || endings.iter().any(|ending| name.ends_with(ending))
}

/// A file or a folder, and all that is in it.
fn close(path: &Path, found: &fs::Metadata) -> Result<(), DataError> {
    let failed = |source| DataError::File { path: path.to_owned(), source };
    if found.permissions().mode() & OTHERS != 0 {
        let mode = if found.is_dir() { 0o700 } else { 0o600 };
        let closed = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        closed.map_err(|source| DataError::Open { path: path.to_owned(), source })?;
    }
    if !found.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            // A link's own mode says nothing, and what it leads to is not ours.
            Ok(found) if found.is_symlink() => {}
            Ok(found) => close(&entry.path(), &found)?,
            // Another program has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(DataError::File { path: entry.path(), source }),
        }
    }
    Ok(())
}

/// The rights of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The room that is kept for a full disk.
const RESERVE: &str = "reserve";

/// The rows.
pub(crate) const DATABASE: &str = "lazaret.db";
