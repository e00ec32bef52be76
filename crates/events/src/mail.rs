//! Mail: notices sent as plain text through a relay that the operator names.

use std::fmt;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

/// A mail, ready to be sent.
pub(crate) struct Mail {
    pub(crate) to: Vec<Address>,
    /// The event's id: the same each time that it is sent, so that mail servers can drop what they have.
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Sends mails by an SMTP relay. Clones share its connections.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Without the relay: there may be a password in it.
impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

/// The relay or the sender's address is wrong.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// Not a URL of a relay.
    #[error("the relay is a URL such as smtp://mail.example:587?tls=required or smtps://mail.example")]
    Relay(#[source] SmtpError),
    /// Not an address.
    #[error("the sender of mails is an address such as lazaret@example.com")]
    From(#[source] lettre::address::AddressError),
}

impl Mailer {
    /// A mailer that sends through `relay`, a URL with the scheme `smtp` (`?tls=required` and `?tls=opportunistic` turn
    /// STARTTLS on) or `smtps`, with a name and a password where the relay wants them. A relay that does not answer
    /// within `timeout` fails.
    ///
    /// # Errors
    /// [`MailSetupError`].
    pub fn new(relay: &str, from: &str, timeout: Duration) -> Result<Self, MailSetupError> {
        let from = from.parse().map_err(MailSetupError::From)?;
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(relay).map_err(MailSetupError::Relay)?;
        Ok(Self { transport: transport.timeout(Some(timeout)).build(), from })
    }

    /// Hands a mail to the relay; `Ok` is what the relay answered, `Err` why it does not have the mail.
    pub(crate) async fn send(&self, mail: Mail) -> Result<String, String> {
        let domain = self.from.email.domain();
        let mut message = lettre::Message::builder()
            .from(self.from.clone())
            .message_id(Some(format!("<{}@{domain}>", mail.id)))
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN);
        for to in mail.to {
            message = message.to(Mailbox::new(None, to));
        }
        let message =
            message.body(mail.text).map_err(|error| format!("the mail cannot be written: {error}"))?;
        let answer = self.transport.send(message).await.map_err(|error| explain(&error))?;
        Ok(format!("{} {}", answer.code(), answer.first_line().unwrap_or_default())
            .chars()
            .take(200)
            .collect())
    }
}

fn explain(error: &SmtpError) -> String {
    let what = if error.is_timeout() {
        "the mail relay is too slow"
    } else if error.is_permanent() || error.is_transient() {
        "the mail relay refuses the mail"
    } else {
        "the mail relay cannot be reached"
    };
    let mut cause = std::error::Error::source(error);
    let mut last = None;
    while let Some(found) = cause {
        last = Some(found.to_string());
        cause = found.source();
    }
    last.map_or_else(|| what.to_owned(), |last| format!("{what}: {last}"))
}

/// The addresses of a `mailto:` URL. `None`: it is another URL.
///
/// # Errors
/// A sentence for people.
pub(crate) fn addresses(uri: &str) -> Option<Result<Vec<Address>, String>> {
    let (scheme, list) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("mailto") {
        return None;
    }
    let parsed: Result<Vec<Address>, _> =
        list.split(',').map(|text| text.trim().parse::<Address>()).collect();
    Some(match parsed {
        Ok(addresses) if addresses.len() > ADDRESSES_MAX => {
            Err(format!("has more than {ADDRESSES_MAX} addresses"))
        }
        Ok(addresses) => Ok(addresses),
        Err(_) => {
            Err("must be mailto: and addresses with commas between them, such as mailto:security@example.com"
                .to_owned())
        }
    })
}

const ADDRESSES_MAX: usize = 20;
