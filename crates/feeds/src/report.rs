//! What became of each payload that was given or fetched.

use std::error::Error;
use std::fmt;

use oci::Digest;

use crate::FetchError;
use crate::payload::ParseError;

/// What an import or an update did. Prints as one line a payload.
#[derive(Debug)]
pub struct Report {
    /// One entry a payload, in the order in which they were given or asked for.
    pub payloads: Vec<PayloadReport>,
    /// The snapshot that is current now; `None` if there is no good payload yet.
    pub snapshot: Option<Digest>,
    /// Whether it became so by this.
    pub is_new: bool,
}

/// What became of one payload.
#[derive(Debug)]
pub struct PayloadReport {
    /// The file or URL.
    pub origin: String,
    /// The feed that it is or should be of, as far as that is known.
    pub feed: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a payload.
#[derive(Debug)]
pub enum Outcome {
    /// It is the feed's newest now.
    Imported {
        /// How many records it holds.
        records: u64,
        /// How many the one before it held.
        before: Option<u64>,
    },
    /// It is what was there already.
    Unchanged,
    /// It is not used; what was there before stays.
    Refused(Refusal),
}

/// Why a payload is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It did not come.
    #[error("it could not be fetched")]
    Fetch(#[source] FetchError),
    /// The file is not there or cannot be read.
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    /// The file is longer than it may be.
    #[error("the file is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The folder holds more than is looked at.
    #[error("the folder holds more than {files_max} files, or folders nested more than {depth_max} deep")]
    TooMany {
        /// The limit.
        files_max: usize,
        /// The limit.
        depth_max: usize,
    },
    /// The folder holds nothing that is named as a payload.
    #[error("the folder holds no .json, .json.gz or .json.zst file")]
    Nothing,
    /// It does not read.
    #[error("it cannot be used")]
    Parse(#[source] ParseError),
    /// The source gave the payload of another feed.
    #[error("it is the payload of {found}")]
    OtherFeed {
        /// Which.
        found: String,
    },
    /// Another payload given with it is of the same feed.
    #[error("another payload of this feed was given with it")]
    Twice,
    /// It lost so many records that it is more likely broken than right.
    #[error(
        "it holds {records} records where there were {before}, a loss of more than {percent} %: raise \
         shrink-max-percent if that is right"
    )]
    Shrunk {
        /// How many there were.
        before: u64,
        /// How many there are.
        records: u64,
        /// The share, in percent, that may be lost.
        percent: u8,
    },
}

impl Report {
    /// Whether any payload was refused.
    #[must_use]
    pub fn has_refusals(&self) -> bool {
        self.payloads.iter().any(|payload| matches!(payload.outcome, Outcome::Refused(_)))
    }
}

impl PayloadReport {
    /// True if the source did not give it.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(Refusal::Fetch(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for payload in &self.payloads {
            writeln!(f, "{payload}")?;
        }
        match &self.snapshot {
            Some(id) if self.is_new => write!(f, "new advisory snapshot {id}"),
            Some(id) => write!(f, "advisory snapshot {id}, as before"),
            None => write!(f, "no advisory snapshot"),
        }
    }
}

impl fmt::Display for PayloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        match &self.feed {
            Some(feed) => write!(f, "{feed} ({origin}): ")?,
            None => write!(f, "{origin}: ")?,
        }
        match &self.outcome {
            Outcome::Imported { records, before: None } => write!(f, "{records} records"),
            Outcome::Imported { records, before: Some(before) } => {
                write!(f, "{records} records, {before} before")
            }
            Outcome::Unchanged => write!(f, "unchanged"),
            Outcome::Refused(refusal) => {
                write!(f, "refused: {refusal}")?;
                let mut cause = refusal.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}
