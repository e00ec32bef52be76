//! What became of each payload that was given or fetched.

use std::error::Error;
use std::fmt;

use oci::Digest;

use crate::FetchError;
use crate::source::ParseError;

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

impl Report {
    /// The payloads that were not fetched, in one line for each host and reason: a network without a way out fails
    /// them all alike.
    #[must_use]
    pub fn unreachable(&self) -> Vec<String> {
        let mut groups: Vec<((String, String), Vec<&PayloadReport>)> = Vec::new();
        for payload in self.payloads.iter().filter(|payload| payload.is_unreachable()) {
            let key = (host(&payload.origin), payload.reason());
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(payload),
                None => groups.push((key, vec![payload])),
            }
        }
        let line = |((host, reason), group): ((String, String), Vec<&PayloadReport>)| match group.as_slice() {
            [only] => only.to_string(),
            [first, rest @ ..] => {
                let name = first.feed.as_deref().unwrap_or(&first.origin);
                format!("{name} and {} more from {host}: {reason}", rest.len())
            }
            [] => String::new(),
        };
        groups.into_iter().map(line).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for payload in self.payloads.iter().filter(|payload| !payload.is_unreachable()) {
            writeln!(f, "{payload}")?;
        }
        let unreachable = self.unreachable();
        for line in &unreachable {
            writeln!(f, "{line}")?;
        }
        if !unreachable.is_empty() {
            writeln!(
                f,
                "where there is no way to the sources, fetch the files elsewhere and run `lazaret feeds import PATH...`"
            )?;
        }
        match &self.snapshot {
            Some(id) if self.is_new => write!(f, "new advisory snapshot {id}"),
            Some(id) => write!(f, "the advisory snapshot is {id}, as before"),
            None => write!(f, "there is no advisory data yet: images stay Unverified"),
        }
    }
}

/// Of a URL; a path has none.
fn host(origin: &str) -> String {
    let host = reqwest::Url::parse(origin).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| origin.to_owned())
}

impl PayloadReport {
    /// Why it is not used, with what is beneath it; empty if it is used.
    fn reason(&self) -> String {
        let Outcome::Refused(refusal) = &self.outcome else { return String::new() };
        // What is between the failure and its last cause are the layers of a client's program.
        let (said, root) = match refusal {
            Refusal::Fetch(error) => (error.to_string(), root(error)),
            other => (format!("refused: {other}"), root(other)),
        };
        root.map_or(said.clone(), |root| format!("{said}: {root}"))
    }
}

/// The last cause; `None` if there is none.
fn root(error: &dyn Error) -> Option<String> {
    let mut last = error.source()?;
    while let Some(cause) = last.source() {
        last = cause;
    }
    Some(last.to_string())
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
            Outcome::Refused(_) => f.write_str(&self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_alike_is_one_line() {
        let fetched = |feed: &str, status| PayloadReport {
            origin: format!("https://secdb.example/{feed}.json"),
            feed: Some(feed.to_owned()),
            outcome: Outcome::Refused(Refusal::Fetch(FetchError::Status { status })),
        };
        let file = std::io::Error::other("Is a directory");
        let read = PayloadReport {
            origin: "debian.json".to_owned(),
            feed: None,
            outcome: Outcome::Refused(Refusal::File(file)),
        };
        let payloads = vec![fetched("a", 503), fetched("b", 503), read, fetched("c", 503), fetched("d", 404)];
        let report = Report { payloads, snapshot: None, is_new: false };
        assert_eq!(
            report.to_string(),
            "debian.json: refused: the file cannot be read: Is a directory\n\
             a and 2 more from secdb.example: the source answered with status 503\n\
             d (https://secdb.example/d.json): the source answered with status 404\n\
             where there is no way to the sources, fetch the files elsewhere and run `lazaret feeds import PATH...`\n\
             there is no advisory data yet: images stay Unverified"
        );
    }
}
