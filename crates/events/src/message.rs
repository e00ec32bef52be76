//! What is sent for an event, and how it is written down.

use metastore::{Event, EventForm, Webhook};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::mail::{Mail, addresses};
use crate::notice::Notice;
use crate::secret::sign;

/// The document that a webhook is sent for an event. `base` is the URL by which this server is reached, for
/// links in it. For a mail: its subject and text.
#[must_use]
pub fn payload(event: &Event, webhook: &Webhook, base: &str) -> Value {
    if addresses(&webhook.service_uri).is_some() {
        let (subject, text) = Notice::new(event, base).mail();
        return json!({ "subject": subject, "text": text });
    }
    match webhook.form {
        EventForm::Acr => azure_documents::webhook_payload(event, base),
        EventForm::CloudEvents => azure_documents::cloud_event(event, base),
        EventForm::Slack => Notice::new(event, base).slack(),
        EventForm::Teams => Notice::new(event, base).teams(),
    }
}

/// One message, as it is sent: a POST, or a mail where the webhook's URL is `mailto:`.
pub(crate) enum Message {
    Post(Post),
    Mail(Mail),
}

impl Message {
    /// The message for an event, signed at `now_ms`. Mails are not signed.
    pub(crate) fn new(webhook: &Webhook, event: &Event, base: &str, now_ms: i64) -> Self {
        match addresses(&webhook.service_uri) {
            // What was checked when the webhook was made.
            Some(to) => {
                let (subject, text) = Notice::new(event, base).mail();
                Self::Mail(Mail { to: to.unwrap_or_default(), id: event.id.to_string(), subject, text })
            }
            None => Self::Post(Post::new(webhook, event, base, now_ms)),
        }
    }

    /// As the log keeps it, without what may be a secret.
    pub(crate) fn logged(&self, webhook: &Webhook) -> Value {
        match self {
            Self::Post(post) => post.logged(webhook),
            Self::Mail(mail) => {
                json!({ "method": "MAIL", "requestUri": webhook.service_uri, "headers": { "message-id": mail.id } })
            }
        }
    }
}

/// A POST, as it is sent.
pub(crate) struct Post {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Post {
    fn new(webhook: &Webhook, event: &Event, base: &str, now_ms: i64) -> Self {
        let body = payload(event, webhook, base).to_string().into_bytes();
        let (id, at_s) = (event.id.to_string(), now_ms.div_euclid(1000));
        let content_type = match webhook.form {
            EventForm::Acr | EventForm::Slack | EventForm::Teams => "application/json; charset=utf-8",
            EventForm::CloudEvents => "application/cloudevents+json; charset=utf-8",
        };
        let mut headers = HeaderMap::new();
        // What was checked when the webhook was made; ours after it, so that they win.
        let own = [
            ("content-type", content_type.to_owned()),
            ("webhook-id", id.clone()),
            ("webhook-timestamp", at_s.to_string()),
            ("webhook-signature", sign(&webhook.secret, &id, at_s, &body)),
        ];
        let custom = webhook.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in custom.chain(own) {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
            {
                headers.insert(name, value);
            }
        }
        Self { uri: webhook.service_uri.clone(), headers, body }
    }

    /// As the log keeps it: custom headers are often secrets, and so is what is in a URI beyond its path.
    fn logged(&self, webhook: &Webhook) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            let is_custom = webhook.headers.keys().any(|custom| custom.eq_ignore_ascii_case(name.as_str()));
            let shown = if is_custom || name == "webhook-signature" {
                REDACTED
            } else {
                value.to_str().unwrap_or_default()
            };
            headers.insert(name.to_string(), shown.into());
        }
        json!({ "method": "POST", "requestUri": redacted(&self.uri), "version": "1.1", "headers": headers })
    }
}

/// Without what may be a secret in it.
fn redacted(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return REDACTED.to_owned() };
    let is_whole = url.query().is_none() && url.username().is_empty() && url.password().is_none();
    if is_whole {
        return uri.to_owned();
    }
    let had_query = url.query().is_some();
    url.set_query(None);
    // A URL with a host has room for both.
    let _ = (url.set_username(""), url.set_password(None));
    if had_query { format!("{url}?{REDACTED}") } else { url.to_string() }
}

const REDACTED: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_no_secret_of_a_uri() {
        for (uri, wanted) in [
            ("https://a.example/x", "https://a.example/x"),
            ("https://u:p@a.example/x?code=s", "https://a.example/x?***"),
            ("https://u:p@a.example:8/x", "https://a.example:8/x"),
            ("nonsense", "***"),
        ] {
            assert_eq!(redacted(uri), wanted);
        }
    }
}
