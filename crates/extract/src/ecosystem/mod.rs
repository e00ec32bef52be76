//! What is installed: one file reads the records of one package manager.

pub(crate) mod apk;
pub(crate) mod dpkg;
pub(crate) mod unread;

use inventory::Package;

/// The packages of a database, and how many of its records could not be read in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) packages: Vec<Package>,
    pub(crate) bad: u64,
}

/// A field's text; `None` if it is empty or too long.
pub(crate) fn text(value: Option<&[u8]>, bytes_max: usize) -> Option<String> {
    let value = value?;
    if value.is_empty() || value.len() > bytes_max {
        return None;
    }
    Some(String::from_utf8_lossy(value).into_owned())
}

/// What is certain of a database that was cut off: all up to its last blank line.
pub(crate) fn whole_records(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(2).rposition(|pair| pair == b"\n\n").map_or(0, |at| at + 2);
    &bytes[..end]
}
