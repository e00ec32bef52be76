//! Requests: one registry, asked within bounds, with its credentials shown to nobody else.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci::Repository;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url};

use crate::challenge::{Challenge, best};
use crate::guard::{Guard, Refused};
use crate::token::Token;
use crate::{Host, Reach, UpstreamError};

/// A registry elsewhere that can be asked. Clones share connections and tokens.
#[derive(Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) host: Host,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) http: reqwest::Client,
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    /// By repository.
    pub(crate) tokens: Mutex<HashMap<String, Token>>,
    /// It takes the password itself.
    is_basic: AtomicBool,
}

/// A name and a secret, for one registry alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who we are there.
    pub username: String,
    /// The password or token.
    pub secret: String,
    /// Hosts (with a port, if it is not the usual one) of token services that may see them, besides the
    /// registry itself and those that it is known to have.
    pub realms: Vec<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long it may send nothing.
    pub silence: Duration,
    /// How long a document (a manifest, a list, a token) may take.
    pub document: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            document: Duration::from_secs(60),
        }
    }
}

impl Upstream {
    /// A client of the registry at `host`.
    ///
    /// # Errors
    /// [`UpstreamError::Setup`] if there are no certificates or no cryptography to use: the program's
    /// main function has to have installed a rustls provider.
    pub fn new(
        host: Host,
        credentials: Option<Credentials>,
        reach: Reach,
        limits: Limits,
    ) -> Result<Self, UpstreamError> {
        let guard = Guard::new(host.base(), reach);
        let http = reqwest::Client::builder()
            .user_agent(concat!("lazaret/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .read_timeout(limits.silence)
            // Each hop is looked at here; a proxy would resolve names out of our sight.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(guard.clone()))
            .build()
            .map_err(UpstreamError::Setup)?;
        let tokens = Mutex::default();
        let is_basic = AtomicBool::new(false);
        Ok(Self { inner: Arc::new(Inner { host, credentials, http, guard, limits, tokens, is_basic }) })
    }

    /// Which registry it is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Asks for `path` of a repository, with a token if it takes one. The answer's status is 2xx.
    pub(crate) async fn ask(
        &self,
        method: Method,
        repository: &Repository,
        path: &str,
        asked: Asked,
    ) -> Result<Response, UpstreamError> {
        let url = self.url(&format!("/v2/{repository}/{path}"))?;
        let what = || format!("{repository}/{path}");
        self.ask_url(method, repository, url, asked).await.map_err(|error| match error {
            UpstreamError::NotFound { host, .. } => UpstreamError::NotFound { host, what: what() },
            error => error,
        })
    }

    /// As [`Self::ask`], for a URL of the registry's own.
    pub(crate) async fn ask_url(
        &self,
        method: Method,
        repository: &Repository,
        url: Url,
        asked: Asked,
    ) -> Result<Response, UpstreamError> {
        let inner = &*self.inner;
        let authorization = match inner.token(repository) {
            Some(token) => Authorization::Bearer(token),
            None if inner.is_basic.load(Ordering::Relaxed) => Authorization::Basic,
            None => Authorization::None,
        };
        let (answer, is_own) = inner.follow(method.clone(), url.clone(), asked, &authorization).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !is_own {
            return inner.succeeded(answer);
        }
        let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = best(headers.filter_map(|header| header.to_str().ok()));
        drop(answer);
        let authorization = match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => {
                let token =
                    inner.fetch_token(repository, &realm, service.as_deref(), scope.as_deref()).await?;
                Authorization::Bearer(token)
            }
            Some(Challenge::Basic) if inner.credentials.is_some() => {
                inner.is_basic.store(true, Ordering::Relaxed);
                Authorization::Basic
            }
            Some(Challenge::Basic) => return Err(inner.denied("it takes no anonymous pulls")),
            None => return Err(inner.denied("it asks for credentials of a kind that we do not have")),
        };
        // Once: who asks again and again does not want us.
        let (answer, _) = inner.follow(method, url, asked, &authorization).await?;
        inner.succeeded(answer)
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, UpstreamError> {
        self.inner.host.base().join(path).map_err(|_| self.wrong("the path is not valid"))
    }

    pub(crate) fn wrong(&self, why: impl Into<String>) -> UpstreamError {
        self.inner.wrong(why)
    }

    /// A whole body of `bytes_max` at most.
    pub(crate) async fn document(
        &self,
        answer: Response,
        bytes_max: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        self.inner.document(answer, bytes_max).await
    }
}

/// How a request is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) accept: Option<&'static str>,
    /// Whether the answer is a document, whose whole time is bounded, rather than a stream.
    pub(crate) is_document: bool,
}

/// What a request shows the registry, and nobody else.
enum Authorization {
    None,
    Basic,
    Bearer(String),
}

impl Inner {
    /// Follows redirects; the answer, and whether the registry's own host gave it.
    async fn follow(
        &self,
        method: Method,
        mut url: Url,
        asked: Asked,
        authorization: &Authorization,
    ) -> Result<(Response, bool), UpstreamError> {
        for _ in 0..=REDIRECTS_MAX {
            self.guard.check(&url).map_err(|refused| self.forbidden(&refused))?;
            let is_own = is_same_origin(&url, self.host.base());
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(accept) = asked.accept {
                request = request.header(ACCEPT, accept);
            }
            if asked.is_document {
                request = request.timeout(self.limits.document);
            }
            request = match (authorization, &self.credentials) {
                (Authorization::Bearer(token), _) if is_own => request.bearer_auth(token),
                (Authorization::Basic, Some(own)) if is_own => {
                    request.basic_auth(&own.username, Some(&own.secret))
                }
                _ => request,
            };
            let answer = request.send().await.map_err(|error| self.failed(error))?;
            if !answer.status().is_redirection() {
                return Ok((answer, is_own));
            }
            url = self.next(&url, answer.headers())?;
        }
        Err(self.redirected("there are too many redirects"))
    }

    fn next(&self, url: &Url, headers: &HeaderMap) -> Result<Url, UpstreamError> {
        let location = headers.get(LOCATION).and_then(|header| header.to_str().ok());
        let location = location.ok_or_else(|| self.redirected("it does not say where"))?;
        let next = url.join(location).map_err(|_| self.redirected("it leads nowhere"))?;
        match (url.scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => Ok(next),
            ("https", "http") => Err(self.redirected("it leads from https to http")),
            _ => Err(self.redirected("it leads to something else than HTTP")),
        }
    }

    pub(crate) fn succeeded(&self, answer: Response) -> Result<Response, UpstreamError> {
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(self.denied("it does not accept our credentials")),
            StatusCode::FORBIDDEN => Err(self.denied("we may not pull there")),
            StatusCode::NOT_FOUND => {
                Err(UpstreamError::NotFound { host: self.host.to_string(), what: "such thing".to_owned() })
            }
            StatusCode::TOO_MANY_REQUESTS => Err(UpstreamError::TooMany {
                host: self.host.to_string(),
                retry_after_s: retry_after(&answer),
            }),
            status => Err(UpstreamError::Status { host: self.host.to_string(), status: status.as_u16() }),
        }
    }

    pub(crate) async fn document(
        &self,
        mut answer: Response,
        bytes_max: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.failed(error))? {
            if bytes.len() + piece.len() > bytes_max {
                return Err(self.wrong(format!("a document of more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    pub(crate) fn failed(&self, source: reqwest::Error) -> UpstreamError {
        let host = self.host.to_string();
        if let Some(refused) = refusal(&source) {
            return self.forbidden(refused);
        }
        if source.is_timeout() {
            UpstreamError::TooSlow { host, source: source.into() }
        } else {
            UpstreamError::Unreachable { host, source: source.into() }
        }
    }

    pub(crate) fn forbidden(&self, refused: &Refused) -> UpstreamError {
        UpstreamError::Forbidden { host: self.host.to_string(), target: refused.address.to_string() }
    }

    pub(crate) fn denied(&self, why: &'static str) -> UpstreamError {
        UpstreamError::Denied { host: self.host.to_string(), why }
    }

    pub(crate) fn wrong(&self, why: impl Into<String>) -> UpstreamError {
        UpstreamError::Wrong { host: self.host.to_string(), why: why.into() }
    }

    fn redirected(&self, why: &'static str) -> UpstreamError {
        UpstreamError::Redirected { host: self.host.to_string(), why }
    }
}

/// Scheme, host and port: what belongs to one of them is not the other's business.
pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// The guard's own word, if a connection failed by it.
fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

/// In seconds; an HTTP date is taken for the usual wait.
fn retry_after(answer: &Response) -> u64 {
    let header = answer.headers().get(RETRY_AFTER).and_then(|header| header.to_str().ok());
    let seconds = header.and_then(|text| text.trim().parse().ok()).unwrap_or(RETRY_AFTER_S);
    seconds.clamp(1, RETRY_AFTER_S_MAX)
}

/// Object stores are one redirect away, a mirror before them two.
const REDIRECTS_MAX: usize = 5;
const RETRY_AFTER_S: u64 = 60;
const RETRY_AFTER_S_MAX: u64 = 6 * 3600;
