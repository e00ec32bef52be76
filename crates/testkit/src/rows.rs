//! The rows of a server that does not run, changed from outside.

use std::path::Path;
use std::process::Command;

/// Runs an SQL statement on the database of a data folder, by Python's own SQLite. [`tool`](crate::tool) says
/// whether there is a `python3`.
///
/// # Panics
/// If the statement fails.
pub fn change_rows(data: &Path, statement: &str) {
    let script = "import sqlite3, sys\n\
                  rows = sqlite3.connect(sys.argv[1])\n\
                  rows.execute(sys.argv[2])\n\
                  rows.commit()\n\
                  rows.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n";
    let run =
        Command::new("python3").args(["-c", script]).arg(data.join("lazaret.db")).arg(statement).output();
    let run = run.expect("python3 is installed");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Lets two days pass for the links of blobs: those that no manifest needs may be collected.
///
/// # Panics
/// If the rows cannot be changed.
pub fn age_links(data: &Path) {
    change_rows(data, "UPDATE repository_blob SET linked_ms = linked_ms - 172800000");
}
