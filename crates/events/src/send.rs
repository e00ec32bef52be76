//! One message sent, within bounds.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};
use serde_json::{Map, Value, json};

use crate::address::{OutOfReach, Reach, Resolver};
use crate::mail::{Mail, Mailer};
use crate::message::{Message, Post};

/// What a receiver may cost.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long all of it may take, to the end of the answer.
    pub whole: Duration,
    /// How much of an answer's body is read.
    pub answer_bytes_max: usize,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(15), answer_bytes_max: 4096 }
    }
}

/// Sends messages. Clones share connections.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    reach: Reach,
    limits: SendLimits,
    mailer: Option<Mailer>,
}

/// No requests can be made from here.
#[derive(Debug, thiserror::Error)]
#[error("events cannot be sent from here")]
pub struct SetupError(#[source] reqwest::Error);

/// What became of a message.
pub(crate) struct Sent {
    /// What came back, as the log keeps it.
    pub(crate) answer: Option<Value>,
    /// `Err`: why the receiver does not have it.
    pub(crate) outcome: Result<(), NotSent>,
}

/// Why a receiver does not have a message.
pub(crate) struct NotSent {
    /// For people.
    pub(crate) reason: String,
    /// The receiver asks to be left alone that long.
    pub(crate) retry_after: Option<Duration>,
    /// The receiver says that it is gone for good (410).
    pub(crate) is_gone: bool,
}

impl Sender {
    /// A sender that trusts the system's certificate authorities and those of `authorities` (PEM). It goes
    /// by no proxy: behind one nobody could tell whom a name leads to.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(reach: Reach, limits: SendLimits, authorities: &[u8]) -> Result<Self, SetupError> {
        let client = Client::builder()
            .user_agent(concat!("lazaret/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .timeout(limits.whole)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(Resolver(reach)))
            .tls_certs_merge(Certificate::from_pem_bundle(authorities).map_err(SetupError)?)
            .build();
        Ok(Self { client: client.map_err(SetupError)?, reach, limits, mailer: None })
    }

    /// The same sender; it sends mails, too.
    #[must_use]
    pub fn with_mailer(self, mailer: Option<Mailer>) -> Self {
        Self { mailer, ..self }
    }

    pub(crate) async fn send(&self, message: Message) -> Sent {
        match message {
            Message::Post(post) => self.post(post).await,
            Message::Mail(mail) => self.mail(mail).await,
        }
    }

    async fn mail(&self, mail: Mail) -> Sent {
        let sent = match &self.mailer {
            Some(mailer) => mailer.send(mail).await,
            None => Err("the server has no mail relay: start it with --smtp-url and --mail-from".to_owned()),
        };
        match sent {
            Ok(answer) => Sent { answer: Some(json!({ "content": answer })), outcome: Ok(()) },
            Err(reason) => {
                Sent { answer: None, outcome: Err(NotSent { reason, retry_after: None, is_gone: false }) }
            }
        }
    }

    async fn post(&self, message: Post) -> Sent {
        let failed = |reason: String| Sent {
            answer: None,
            outcome: Err(NotSent { reason, retry_after: None, is_gone: false }),
        };
        // An address that is no name is not resolved, so it is looked at here.
        let host = Url::parse(&message.uri).ok().and_then(|url| url.host_str().map(str::to_owned));
        let literal = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if let Some(Err(refusal)) = literal.map(|address| self.reach.check(address)) {
            return failed(format!("nothing is sent there: {refusal}"));
        }
        let request = self.client.post(&message.uri).headers(message.headers).body(message.body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(explain(&error)),
        };
        let (status, headers, version) =
            (response.status(), response.headers().clone(), format!("{:?}", response.version()));
        let mut content = Vec::new();
        let mut is_broken = false;
        while content.len() < self.limits.answer_bytes_max {
            match response.chunk().await {
                Ok(Some(piece)) => content.extend_from_slice(&piece),
                Ok(None) => break,
                // The status is what counts.
                Err(_) => {
                    is_broken = true;
                    break;
                }
            }
        }
        content.truncate(self.limits.answer_bytes_max);
        let answer = json!({
            "statusCode": status.as_u16().to_string(),
            "reasonPhrase": status.canonical_reason().unwrap_or_default(),
            "version": version.trim_start_matches("HTTP/"),
            "headers": logged(&headers),
            "content": String::from_utf8_lossy(&content),
            "isCutShort": is_broken || content.len() == self.limits.answer_bytes_max,
        });
        Sent { answer: Some(answer), outcome: outcome(status, &headers) }
    }
}

fn outcome(status: StatusCode, headers: &HeaderMap) -> Result<(), NotSent> {
    if status.is_success() {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    let reason = match status {
        StatusCode::GONE => "the receiver says that it is gone (410)".to_owned(),
        status if status.is_redirection() => format!(
            "the receiver redirects ({}), which is not followed: set the service URI to {}",
            status.as_u16(),
            text(LOCATION).map_or("where it leads", |location| location.get(..200).unwrap_or(location))
        ),
        status => format!("the receiver answered {status}"),
    };
    let retry_after = text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    Err(NotSent { reason, retry_after, is_gone: status == StatusCode::GONE })
}

/// In a sentence for people, without the URI: there may be a secret in it.
fn explain(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut last = None;
    while let Some(found) = cause {
        if let Some(refusal) = found.downcast_ref::<OutOfReach>() {
            return format!("nothing is sent there: {refusal}");
        }
        last = Some(found.to_string());
        cause = found.source();
    }
    let what = if error.is_timeout() {
        "the receiver is too slow"
    } else if error.is_connect() {
        "the receiver cannot be reached"
    } else {
        "the receiver broke off"
    };
    last.map_or_else(|| what.to_owned(), |last| format!("{what}: {last}"))
}

/// Some headers, each cut; none that is a secret between the receiver and us.
fn logged(headers: &HeaderMap) -> Map<String, Value> {
    let shown = headers.iter().filter(|(name, _)| *name != "set-cookie").take(20);
    let shown = shown.map(|(name, value)| {
        let value: String = value.to_str().unwrap_or_default().chars().take(200).collect();
        (name.to_string(), value.into())
    });
    shown.collect()
}
