//! The advisory snapshot: every record of every feed in one immutable run of bytes.
//!
//! The same records make the same bytes, whatever order they came in, so a snapshot is named by its
//! digest. It is meant to be memory-mapped: opening reads its header only, a lookup touches one block.
//!
//! ```text
//! magic, version        16 bytes
//! section lengths       6 × u64, little-endian, as all numbers of fixed width here
//! header                JSON: the feeds, for coverage
//! keys                  "namespace \0 package", sorted, end to end
//! key table             (key offset u64, block offset u64), one a key, and one for the ends
//! blocks                the records of one key, see `codec`
//! details               see `codec`
//! details table         (id, offset u64), sorted by id, and one for the end
//! ```
//!
//! The index is a sorted table and no automaton: every step of its search is bounds-checked, so that a
//! damaged file gives an error and nothing worse.

mod builder;
mod changed;
mod codec;
mod reader;

pub use builder::SnapshotBuilder;
pub use changed::{Changed, changed};
pub use codec::Records;
pub use reader::{Coverage, Snapshot};

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::Namespace;

/// One feed whose records are in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedInfo {
    /// `debian`, `alpine/v3.22/main`.
    pub name: String,
    /// The digest of the payload that was read.
    pub payload: Digest,
    /// How many records it gave.
    pub records: u64,
    /// Which releases it speaks of, sorted.
    pub namespaces: Vec<Namespace>,
    /// Where a vendor publishes one file a package repository: which of them (`main`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// Why bytes are no snapshot that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSnapshot {
    /// They never were one.
    #[error("this is not an advisory snapshot")]
    NotASnapshot,
    /// Another release of the program wrote it: build it anew from the feeds.
    #[error("the advisory snapshot has version {found}, this program reads {VERSION}")]
    OtherVersion {
        /// The version in the file.
        found: u32,
    },
    /// Bytes are missing or changed: build it anew from the feeds.
    #[error("the advisory snapshot is damaged: {what}")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
}

impl InvalidSnapshot {
    const fn damaged(what: &'static str) -> Self {
        Self::Damaged { what }
    }
}

const MAGIC: &[u8; 12] = b"lazaret-advs";

/// Raise it with every change of the layout.
const VERSION: u32 = 1;

const SECTIONS: usize = 6;

/// Magic, version, section lengths.
const PREAMBLE_LEN: usize = MAGIC.len() + 4 + SECTIONS * 8;

/// One row of the key table: key offset, block offset.
const KEY_ROW_LEN: usize = 16;

/// One row of the details table: id, offset.
const DETAILS_ROW_LEN: usize = crate::DetailsId::LEN + 8;

/// Hundreds of feeds with dozens of releases each fit.
const HEADER_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests;
