//! SQLite: one writer that groups commits, and a few readers.

mod migrate;
mod noted;
mod reserve;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use crate::{Error, Origin};
pub use reserve::Reserve;
use writer::{Kind, Writer};

/// The store. Clones share it.
#[derive(Clone)]
pub struct Metastore {
    writer: Writer,
    readers: Arc<Readers>,
    /// Who wants what is changed through this handle.
    pub(crate) origin: Arc<Origin>,
    /// See [`Metastore::changed_upto`].
    pub(crate) upto: Arc<AtomicI64>,
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk before the answer: for everything but tests.
    Flushed,
    /// Survives a crash of the process, not of the machine.
    Unflushed,
}

impl Metastore {
    /// Opens the database file, making or migrating it as needed.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be used or is from a newer program.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, Error> {
        Self::open_with(path, durability, None)
    }

    /// The same, with room in reserve for the writes that make room on a full disk.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be used or is from a newer program.
    pub fn open_with(path: &Path, durability: Durability, reserve: Option<Reserve>) -> Result<Self, Error> {
        let opened = || {
            let mut connection = connect(path, durability)?;
            migrate::migrate(&mut connection)?;
            Ok(connection)
        };
        let connection = match (opened(), &reserve) {
            (Err(Error::Full), Some(reserve)) => {
                reserve.give_back();
                opened()
            }
            (opened, _) => opened,
        }?;
        let readers = Readers { path: path.to_owned(), durability, idle: Mutex::new(Vec::new()) };
        let upto = Arc::default();
        let page = noted::Page::of(&connection)?;
        let writer = Writer::start(connection, page, Arc::clone(&upto), reserve)?;
        Ok(Self { writer, readers: Arc::new(readers), origin: Arc::default(), upto })
    }

    /// Writes a copy of all rows, as they are at one instant, to a file that is not there yet. Nobody
    /// waits for it.
    ///
    /// # Errors
    /// [`Error`] if the file exists or cannot be written.
    pub async fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let (readers, path) = (Arc::clone(&self.readers), path.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            // Not one of the readers': it must stand outside of any transaction.
            let connection = connect(&readers.path, readers.durability)?;
            connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
            std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::Open)
        });
        done.await.map_err(|_| Error::Closed)?
    }

    /// A number that changes whenever another program has changed the database. All of this one's
    /// changes go through one connection, which does not count its own.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn foreign_changes(&self) -> Result<i64, Error> {
        self.write(|rows| Ok(rows.pragma_query_value(None, "data_version", |row| row.get(0))?)).await
    }

    /// Runs `work` in a transaction of the writer. If it errs, nothing of it stays; if it succeeds,
    /// the answer comes after the commit.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.writer.run(Kind::Change, work).await
    }

    /// The same for what adds rows as traffic comes: refused while the disk has room left only for what
    /// makes room.
    pub(crate) async fn grow<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.writer.run(Kind::Growth, work).await
    }

    /// Whether rows can be added now.
    ///
    /// # Errors
    /// [`Error`] says why not.
    pub async fn check_grows(&self) -> Result<(), Error> {
        self.grow(|_| Ok(())).await
    }

    /// Whether rows can be read now.
    ///
    /// # Errors
    /// [`Error`] says why not.
    pub async fn check_reads(&self) -> Result<(), Error> {
        self.read(|rows| Ok(rows.query_row("SELECT 1 FROM setting LIMIT 1", [], |_| Ok(()))?)).await
    }

    /// Runs `work` on a reader: it sees the last commit and blocks nobody.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let done = tokio::task::spawn_blocking(move || {
            let connection = readers.take()?;
            // One snapshot for all statements of one use case.
            connection.execute_batch("BEGIN").map_err(Error::from)?;
            let answer = work(&connection);
            connection.execute_batch("COMMIT").map_err(Error::from)?;
            readers.give_back(connection);
            answer
        });
        done.await.map_err(|_| E::from(Error::Closed))?
    }
}

struct Readers {
    path: std::path::PathBuf,
    durability: Durability,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn take(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().pop();
        idle.map_or_else(|| connect(&self.path, self.durability), Ok)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_READERS_MAX {
            idle.push(connection);
        }
    }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match durability {
        Durability::Flushed => "full",
        Durability::Unflushed => "off",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", "on")?;
    // Beside the data folder nothing needs to be writable: what SQLite sorts and might undo stays in memory.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// The command line writes to the same file while the server runs; neither holds it long.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Two cores read no faster with more.
const IDLE_READERS_MAX: usize = 8;
