//! What a webhook may be: checked where somebody makes one.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::mail::addresses;

/// What is wrong with a webhook, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWebhook(String);

/// Azure's rule for names.
///
/// # Errors
/// [`InvalidWebhook`].
pub fn name(name: &str) -> Result<(), InvalidWebhook> {
    if (5..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(InvalidWebhook(format!("a webhook's name has 5 to 50 letters and digits, not {name:?}")))
}

/// An address to send to. Where it leads is looked at each time that something is sent.
///
/// # Errors
/// [`InvalidWebhook`].
pub fn service_uri(uri: &str) -> Result<(), InvalidWebhook> {
    let bad = |why: &str| Err(InvalidWebhook(format!("the service URI {why}")));
    if uri.len() > URI_LEN_MAX {
        return bad(&format!("has more than {URI_LEN_MAX} bytes"));
    }
    if let Some(addresses) = addresses(uri) {
        return addresses.map(drop).map_err(|why| InvalidWebhook(format!("the service URI {why}")));
    }
    match Url::parse(uri) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => {
            bad("must begin with https://, http:// or mailto:")
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => bad("names no host"),
        Ok(_) => Ok(()),
        Err(error) => bad(&format!("is not valid: {error}")),
    }
}

/// Headers to send besides ours.
///
/// # Errors
/// [`InvalidWebhook`].
pub fn headers(headers: &BTreeMap<String, String>) -> Result<(), InvalidWebhook> {
    let bad = |why: String| Err(InvalidWebhook(why));
    if headers.len() > HEADERS_MAX || headers.iter().any(|(_, value)| value.len() > HEADER_LEN_MAX) {
        return bad(format!("there may be {HEADERS_MAX} custom headers of up to {HEADER_LEN_MAX} bytes"));
    }
    for (name, value) in headers {
        if name.len() > 100 || HeaderName::from_bytes(name.as_bytes()).is_err() {
            return bad(format!("{name:?} is not the name of a header"));
        }
        if HeaderValue::from_str(value).is_err() {
            return bad(format!("the value of the header {name} has characters that no header may have"));
        }
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return bad(format!("the header {name} is not yours to set"));
        }
    }
    Ok(())
}

/// `repository:tag`, `*` standing for any characters; empty for everything.
///
/// # Errors
/// [`InvalidWebhook`].
pub fn scope(scope: &str) -> Result<(), InvalidWebhook> {
    let is_plain = |byte: u8| byte.is_ascii_graphic();
    if scope.len() <= SCOPE_LEN_MAX && scope.bytes().all(is_plain) && scope.matches(':').count() <= 1 {
        return Ok(());
    }
    Err(InvalidWebhook(format!(
        "a scope is REPOSITORY:TAG, with * for any characters, of up to {SCOPE_LEN_MAX} characters"
    )))
}

/// Those that say how a message is sent.
const OURS: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
];
const URI_LEN_MAX: usize = 2048;
const HEADERS_MAX: usize = 20;
const HEADER_LEN_MAX: usize = 4096;
const SCOPE_LEN_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_no_webhook() {
        assert_eq!(service_uri("https://u:p@hooks.example:8443/a?b=c"), Ok(()));
        for bad in ["", "ftp://a/", "hooks.example", "https://", "file:///etc/passwd", &"x".repeat(3000)] {
            assert!(service_uri(bad).is_err(), "{bad}");
        }
        let of = |name: &str, value: &str| headers(&[(name.to_owned(), value.to_owned())].into());
        assert_eq!(of("Authorization", "Basic eDp5"), Ok(()));
        for (name, value) in [
            ("Host", "x"),
            ("webhook-id", "x"),
            ("a b", "x"),
            ("a", "x\r\nb: c"),
            ("", "x"),
            ("a", &"x".repeat(5000)),
        ] {
            assert!(of(name, value).is_err(), "{name}: {value}");
        }
        for good in ["", "app:*", "team/app:v1", "app", "*:*"] {
            assert_eq!(scope(good), Ok(()));
        }
        assert!(scope("a:b:c").is_err() && scope("a b").is_err() && scope(&"x".repeat(501)).is_err());
        assert!(name("abcde1").is_ok() && name("abcd").is_err() && name("a-bcde").is_err());
    }
}
