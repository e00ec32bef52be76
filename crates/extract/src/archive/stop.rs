//! Why reading a layer ended before its end.

use std::io;

use inventory::ProblemKind;

/// Reading goes no further; what was read is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The bytes end in the middle of something.
    #[error("the layer ends before its archive does")]
    Truncated,
    /// The compressed stream is damaged, or followed by what is no such stream.
    #[error("the compressed stream is damaged")]
    BadCompression,
    /// The archive is damaged.
    #[error("the archive is damaged: {0}")]
    BadArchive(&'static str),
    /// A limit, by the name it has in [`crate::Limits`].
    #[error("the limit {0} was reached")]
    Limit(&'static str),
}

impl Stop {
    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            Self::Truncated => ProblemKind::Truncated,
            Self::BadCompression => ProblemKind::BadCompression,
            Self::BadArchive(_) => ProblemKind::BadArchive,
            Self::Limit(_) => ProblemKind::LimitReached,
        }
    }
}

/// Carries a reason through [`io::Read`], which decoders and buffers sit on.
impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        Self::other(stop)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let is_early = error.kind() == io::ErrorKind::UnexpectedEof;
        match error.downcast::<Self>() {
            Ok(stop) => stop,
            Err(_) if is_early => Self::Truncated,
            Err(_) => Self::BadCompression,
        }
    }
}
