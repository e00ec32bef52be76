//! Why the store could not do what it was asked.

use rusqlite::ErrorCode;

/// A failure of the store itself; what callers can act on is in each method's own error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or broke.
    #[error("the database failed")]
    Database(#[source] rusqlite::Error),
    /// Another program holds the database, longer than anybody should wait: nothing was changed.
    #[error("another program holds the database: try again")]
    Busy,
    /// The disk has no room for it: nothing was changed.
    #[error("the disk that holds the database is full")]
    Full,
    /// The disk takes no writes at all: nothing was changed.
    #[error("the disk that holds the database cannot be written to")]
    ReadOnly,
    /// The registry may hold no more: nothing was changed.
    #[error(
        "the registry may hold no more{detail}: delete what is not needed, or ask its operator for a larger quota"
    )]
    OverQuota {
        /// The numbers, where they were looked at before; else nothing.
        detail: String,
    },
    /// A management lock forbids it: nothing was changed.
    #[error(
        "the scope {scope} cannot perform {operation} operation because {lock} is locked: remove that lock first (`az lock delete --ids`)"
    )]
    Locked {
        /// What was to be changed: an ARM id.
        scope: String,
        /// `delete` or `write`.
        operation: &'static str,
        /// The lock's own ARM id.
        lock: String,
    },
    /// The subscription is disabled, so that nothing in it is changed.
    #[error(
        "the subscription {subscription} is disabled and therefore read only: enable it first (`lazaret subscription enable {subscription}`)"
    )]
    Disabled {
        /// Its id.
        subscription: uuid::Uuid,
    },
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
    /// Another write of the same group failed so that the database undid the whole group: nothing of
    /// this one stays.
    #[error("the database undid this write together with another that failed: try again")]
    Undone,
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

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure) => disk_failure(error),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::ConstraintViolation) => over_quota(&error).unwrap_or(Self::Database(error)),
            _ => Self::Database(error),
        }
    }
}

/// SQLite gives a number alone for what became of the disk. That the file which its processes share cannot grow is
/// a full disk: nothing else keeps it from growing.
fn disk_failure(error: rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(code, _) = &error else { return Error::Database(error) };
    let what = match code.extended_code {
        rusqlite::ffi::SQLITE_IOERR_SHMSIZE => return Error::Full,
        rusqlite::ffi::SQLITE_IOERR_READ | rusqlite::ffi::SQLITE_IOERR_SHORT_READ => "reading",
        rusqlite::ffi::SQLITE_IOERR_WRITE => "writing",
        rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC => "flushing",
        rusqlite::ffi::SQLITE_IOERR_LOCK | rusqlite::ffi::SQLITE_IOERR_SHMLOCK => "locking",
        _ => "using",
    };
    let message =
        format!("the disk failed while {what} the database file (SQLite error {})", code.extended_code);
    Error::Database(rusqlite::Error::SqliteFailure(*code, Some(message)))
}

/// What the trigger `registry_quota` says. A message with numbers would take a newer SQLite than many tools have.
fn over_quota(error: &rusqlite::Error) -> Option<Error> {
    let rusqlite::Error::SqliteFailure(_, Some(message)) = error else { return None };
    (message == "quota").then(|| Error::OverQuota { detail: String::new() })
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_failing_disk_is_named_and_a_full_one_is_full() {
        let failure = |code| Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert!(matches!(failure(full), Error::Full), "{full}");
        }
        for (code, wanted) in [
            (ffi::SQLITE_IOERR_WRITE, "the disk failed while writing the database file (SQLite error 778)"),
            (
                ffi::SQLITE_IOERR_CORRUPTFS,
                "the disk failed while using the database file (SQLite error 8458)",
            ),
        ] {
            let error = failure(code);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!((error.to_string().as_str(), cause.as_deref()), ("the database failed", Some(wanted)));
        }
    }
}
