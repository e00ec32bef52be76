//! Sources: what each publishes, in a form that is recognised by its content, compressed or not.

mod alpine;
mod debian;
mod recognise;

use std::io::Read;

use advisory::SnapshotBuilder;
use oci::Digest;
use serde_json::error::Category;

use crate::unpack;

pub use recognise::Form;

/// What a payload says.
#[derive(Debug)]
pub struct Parsed {
    /// The feed it is the payload of: `debian`, `alpine/v3.22/main`.
    pub name: String,
    /// Whose form it has.
    pub form: Form,
    /// How many statements it makes.
    pub records: u64,
    /// The statements, with the feed's own description.
    pub statements: SnapshotBuilder,
}

/// Reads a payload: JSON in one of the known forms, plain or packed with gzip or zstd.
///
/// `payload` names the bytes as they are stored; `unpacked_bytes_max` bounds what they unpack to.
///
/// # Errors
/// [`ParseError`], and then nothing of the payload may be used.
pub fn parse(bytes: impl Read, payload: &Digest, unpacked_bytes_max: u64) -> Result<Parsed, ParseError> {
    let unpacked = unpack::open(bytes, unpacked_bytes_max).and_then(recognise::detect);
    let (form, document) = unpacked.map_err(|source| ParseError::io(source, unpacked_bytes_max))?;
    let parsed = match form {
        recognise::Detected::Nothing => return Err(ParseError::Empty),
        recognise::Detected::Unknown => return Err(ParseError::UnknownForm),
        recognise::Detected::Form(Form::Debian) => debian::parse(document, payload),
        recognise::Detected::Form(Form::Alpine) => alpine::parse(document, payload),
    };
    match parsed.map_err(|source| ParseError::json(source, unpacked_bytes_max))? {
        parsed if parsed.records == 0 => Err(ParseError::Empty),
        parsed => Ok(parsed),
    }
}

/// Why a payload cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It makes no statement at all.
    #[error("it holds no advisory")]
    Empty,
    /// It is of no form that is known here: a page of an error, another file.
    #[error("it is neither Debian's tracker JSON nor Alpine's secdb JSON")]
    UnknownForm,
    /// It ends before its document does: fetch it again.
    #[error("it is cut short")]
    Truncated(#[source] Cause),
    /// Its compression or its text is damaged.
    #[error("it is damaged")]
    Damaged(#[source] Cause),
    /// It parses, but is not what its form demands.
    #[error("it is not of its form")]
    WrongForm(#[source] Cause),
    /// It unpacks to more than it may.
    #[error("it unpacks to more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
}

/// What the reader or the parser said.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl ParseError {
    fn io(source: std::io::Error, bytes_max: u64) -> Self {
        match source.kind() {
            std::io::ErrorKind::FileTooLarge => Self::TooLarge { bytes_max },
            std::io::ErrorKind::UnexpectedEof => Self::Truncated(source.into()),
            _ => Self::Damaged(source.into()),
        }
    }

    fn json(source: serde_json::Error, bytes_max: u64) -> Self {
        match source.classify() {
            Category::Io => Self::io(source.into(), bytes_max),
            Category::Eof => Self::Truncated(source.into()),
            Category::Syntax => Self::Damaged(source.into()),
            Category::Data => Self::WrongForm(source.into()),
        }
    }
}

/// A name that may go into keys and lists: short, visible ASCII, without blanks.
fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Far longer than any package or advisory is called.
const NAME_LEN_MAX: usize = 200;

#[cfg(test)]
mod tests;
