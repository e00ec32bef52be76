//! Fetching payloads: only what changed, no more than allowed, within bounded time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oci::{Algorithm, Digest, Hasher};
use reqwest::header::{
    ACCEPT_ENCODING, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode};
use tokio::io::AsyncWriteExt;

/// Asks sources. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    limits: FetchLimits,
    /// Where payloads are held; without one, where the system holds temporary files.
    folder: Option<Arc<Path>>,
}

/// What a source may cost.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// The longest payload, in bytes as they come over the wire.
    pub payload_bytes_max: u64,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long a source may send nothing.
    pub idle: Duration,
    /// How long one payload may take.
    pub whole: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 512 << 20,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(15 * 60),
        }
    }
}

/// What a source said of a payload, to ask next time whether it is still so (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its entity tag.
    pub etag: Option<String>,
    /// Its date, as the source wrote it.
    pub last_modified: Option<String>,
}

/// A source's answer.
#[derive(Debug)]
pub enum Fetched {
    /// What is here already is the newest.
    Unchanged,
    /// A payload.
    Payload(Download),
}

/// A whole payload, in a file without a name.
#[derive(Debug)]
pub struct Download {
    /// The bytes, as they came over the wire; positioned at the end.
    pub file: std::fs::File,
    /// Their digest.
    pub digest: Digest,
    /// What the source said of them.
    pub validators: Validators,
}

impl Fetcher {
    /// A fetcher that goes by the system's proxy settings and trusted certificates.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if there are no certificates or no cryptography to use: the program's
    /// main function has to have installed a rustls provider.
    pub fn new(limits: FetchLimits) -> Result<Self, FetchError> {
        let client = Client::builder()
            .user_agent(concat!("lazaret/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .read_timeout(limits.idle)
            .timeout(limits.whole)
            .redirect(Policy::custom(redirect))
            .build();
        Ok(Self { client: client.map_err(FetchError::Setup)?, limits, folder: None })
    }

    /// The same, which holds payloads in files of that folder: the system's folder for temporary files may not
    /// be writable, or be small.
    #[must_use]
    pub fn holding_in(self, folder: &Path) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    fn unnamed(&self) -> std::io::Result<std::fs::File> {
        self.folder.as_ref().map_or_else(tempfile::tempfile, tempfile::tempfile_in)
    }

    /// Gets a payload unless it is the one of which `known` was said.
    ///
    /// It may come compressed (payloads are told by their content), which also saves the disk.
    ///
    /// # Errors
    /// [`FetchError`]; nothing is kept then.
    pub async fn fetch(&self, url: &str, known: &Validators) -> Result<Fetched, FetchError> {
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "zstd, gzip");
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        let mut response = request.send().await.map_err(FetchError::during_request)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
            status => return Err(FetchError::Status { status: status.as_u16() }),
        }
        let bytes_max = self.limits.payload_bytes_max;
        if response.content_length().is_some_and(|len| len > bytes_max) {
            return Err(FetchError::TooLarge { bytes_max });
        }
        let validators = Validators {
            etag: text(response.headers(), &ETAG),
            last_modified: text(response.headers(), &LAST_MODIFIED),
        };
        let mut file = tokio::fs::File::from_std(self.unnamed().map_err(FetchError::Disk)?);
        let (mut hasher, mut received) = (Hasher::new(Algorithm::Sha256), 0_u64);
        while let Some(bytes) = response.chunk().await.map_err(FetchError::during_body)? {
            received = received.saturating_add(bytes.len() as u64);
            if received > bytes_max {
                return Err(FetchError::TooLarge { bytes_max });
            }
            hasher.update(&bytes);
            file.write_all(&bytes).await.map_err(FetchError::Disk)?;
        }
        file.flush().await.map_err(FetchError::Disk)?;
        Ok(Fetched::Payload(Download { file: file.into_std().await, digest: hasher.finish(), validators }))
    }
}

/// Follows a few redirects, never from an authenticated source to one that is not.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_downgrade =
        attempt.previous().iter().any(|url| url.scheme() == "https") && attempt.url().scheme() != "https";
    if is_downgrade {
        attempt.error("it leads from https to something less")
    } else if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("there are too many")
    } else {
        attempt.follow()
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= VALIDATOR_LEN_MAX).then(|| value.to_owned())
}

/// Why there is no payload.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// This machine cannot make requests.
    #[error("no requests can be made from here")]
    Setup(#[source] reqwest::Error),
    /// No connection, or no answer over it.
    #[error("the source cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It took longer than it may.
    #[error("the source is too slow")]
    TooSlow(#[source] reqwest::Error),
    /// It redirects to where we do not go.
    #[error("the source redirects where this program does not follow")]
    Redirected(#[source] reqwest::Error),
    /// It answered with something else than a payload.
    #[error("the source answered with status {status}")]
    Status {
        /// HTTP's status code.
        status: u16,
    },
    /// The connection broke within the payload.
    #[error("the source broke off")]
    BrokenOff(#[source] reqwest::Error),
    /// The payload is longer than it may be.
    #[error("the source's payload is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// It could not be stored.
    #[error("the payload cannot be written")]
    Disk(#[source] std::io::Error),
}

impl FetchError {
    fn during_request(source: reqwest::Error) -> Self {
        if source.is_timeout() {
            Self::TooSlow(source)
        } else if source.is_redirect() {
            Self::Redirected(source)
        } else {
            Self::Unreachable(source)
        }
    }

    fn during_body(source: reqwest::Error) -> Self {
        if source.is_timeout() { Self::TooSlow(source) } else { Self::BrokenOff(source) }
    }
}

/// Mirrors redirect once or twice.
const REDIRECTS_MAX: usize = 5;

/// Longer ones are sent by nobody; without one, the payload comes again next time.
const VALIDATOR_LEN_MAX: usize = 1024;
