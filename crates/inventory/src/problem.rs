//! What could not be read, said beside what could.

use serde::{Deserialize, Serialize};

/// One thing that an inventory lacks, and why. Any problem means that the inventory is incomplete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What went wrong.
    pub kind: ProblemKind,
    /// The path inside the layer, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// For people: one sentence, lower case, no secrets.
    pub detail: String,
}

/// The kinds of problems, named so that people can act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProblemKind {
    /// The layer ends before its archive does.
    Truncated,
    /// The compressed stream is damaged.
    BadCompression,
    /// The archive is damaged.
    BadArchive,
    /// The content is not packed as its media type says, or in a way we cannot read.
    UnsupportedFormat,
    /// A package database or release file is damaged or not of its grammar.
    BadRecord,
    /// Readers would disagree on what the layer unpacks to.
    Ambiguous,
    /// A package database that this engine cannot read.
    UnsupportedDatabase,
    /// A package database was removed; what it recorded is probably still there.
    DatabaseRemoved,
    /// A limit was reached; the detail names it.
    LimitReached,
    /// The extractor needed more memory than it may have.
    OutOfMemory,
    /// The extractor needed more processor time than it may have.
    OutOfTime,
    /// The extractor wrote more than an inventory may be.
    OutputTooLarge,
    /// The extractor tried something that the jail forbids.
    JailViolation,
    /// The extractor failed in another way.
    ExtractorFailed,
    /// The layer is encrypted, or is not in the registry.
    Unavailable,
}
