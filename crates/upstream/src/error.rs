//! What can go wrong with a registry elsewhere, by what a caller can do about it.

/// Why a request failed, at the bottom: what is above are the layers of the client's program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LastCause(String);

impl From<reqwest::Error> for LastCause {
    fn from(error: reqwest::Error) -> Self {
        let mut last: &dyn std::error::Error = &error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        Self(last.to_string())
    }
}

/// Why an upstream did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// This machine cannot make requests.
    #[error("no requests can be made from here")]
    Setup(#[source] reqwest::Error),
    /// No connection, or no answer over it.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Which registry.
        host: String,
        /// Why.
        source: LastCause,
    },
    /// It was silent for too long.
    #[error("{host} is too slow")]
    TooSlow {
        /// Which registry.
        host: String,
        /// How long we waited.
        source: LastCause,
    },
    /// It, or what it points at, is where we do not go.
    #[error("{host} leads to {target}, an address to which this server does not go")]
    Forbidden {
        /// Which registry.
        host: String,
        /// Where it leads.
        target: String,
    },
    /// It redirects where we do not follow.
    #[error("{host} redirects where this server does not follow: {why}")]
    Redirected {
        /// Which registry.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It wants our credentials to be shown to somebody else.
    #[error(
        "{host} asks for its credentials to be sent to {realm}: allow that host by name if that is right"
    )]
    RealmElsewhere {
        /// Which registry.
        host: String,
        /// Whom it names.
        realm: String,
    },
    /// It does not let us: no credentials, wrong ones, or too few rights.
    #[error("{host} refuses: {why}")]
    Denied {
        /// Which registry.
        host: String,
        /// What it lacks.
        why: &'static str,
    },
    /// It has no such thing.
    #[error("{host} has no {what}")]
    NotFound {
        /// Which registry.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// It wants fewer requests.
    #[error("{host} takes no more requests for {retry_after_s} s")]
    TooMany {
        /// Which registry.
        host: String,
        /// After how many seconds it may be asked again.
        retry_after_s: u64,
    },
    /// It failed, or answered with something that is no answer.
    #[error("{host} answered with status {status}")]
    Status {
        /// Which registry.
        host: String,
        /// HTTP's status code.
        status: u16,
    },
    /// What it sent is not what it should be.
    #[error("{host} sent something wrong: {why}")]
    Wrong {
        /// Which registry.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

impl UpstreamError {
    /// True if it may be otherwise in a while, and is so for whatever is asked of the host: nothing
    /// was learnt of the thing itself.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooSlow { .. } | Self::TooMany { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Setup(_)
            | Self::Forbidden { .. }
            | Self::Redirected { .. }
            | Self::RealmElsewhere { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Wrong { .. } => false,
        }
    }
}
