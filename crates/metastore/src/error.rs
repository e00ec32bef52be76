//! Why the store could not do what it was asked.

/// A failure of the store itself; what callers can act on is in each method's own error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or broke.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// A stored value does not parse: another program wrote it, or the disk lies.
    #[error("the database holds a damaged {what}")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
    },
    /// The folder or file could not be used.
    #[error("the database file cannot be opened")]
    Open(#[source] std::io::Error),
    /// A newer Lazaret wrote this database.
    #[error("the database has schema {found}, newer than this program's {known}: use a newer lazaret")]
    FromTheFuture {
        /// The schema version in the file.
        found: i64,
        /// The newest one this program knows.
        known: i64,
    },
    /// The transaction could not be made durable: nothing of it stays.
    #[error("the database could not commit: {detail}")]
    Commit {
        /// What the database said; shared by all writes of the group.
        detail: String,
    },
    /// The store is shutting down.
    #[error("the database is closed")]
    Closed,
}
