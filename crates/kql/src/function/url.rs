//! URLs and their parts.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::Param::Text;
use super::bounded::{MadeBag, MadeText};
use super::text::text;
use super::{Function, Returns};
use crate::value::{Type, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(&["url_encode"], &[Text], TEXT, |_, it| encoded(text(&it[0]), "+")),
    Function::new(&["url_encode_component"], &[Text], TEXT, |_, it| encoded(text(&it[0]), "%20")),
    Function::new(&["url_decode"], &[Text], TEXT, |_, it| Value::text(decoded(text(&it[0])))),
    Function::new(&["parse_url", "parseurl"], &[Text], DYNAMIC, |_, it| parse_url(text(&it[0]))),
    Function::new(&["parse_urlquery", "parseurlquery"], &[Text], DYNAMIC, |_, it| {
        let query = text(&it[0]).trim_start_matches('?');
        Value::object(vec![(Arc::from("Query Parameters"), query_parameters(query))])
    }),
];

/// As .NET encodes forms: in lower case, and with these characters as they are.
fn encoded(text: &str, blank: &str) -> Value {
    let mut made = MadeText::default();
    for byte in text.bytes() {
        match byte {
            b' ' => made.push(blank),
            byte if byte.is_ascii_alphanumeric() || b"-_.!*()".contains(&byte) => {
                made.push_char(char::from(byte))
            }
            byte => made.push(&format!("%{byte:02x}")),
        }
    }
    made.value()
}

fn decoded(text: &str) -> String {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

fn query_parameters(query: &str) -> Value {
    let mut parameters = MadeBag::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.set(Arc::from(decoded(name)), Value::text(decoded(value)));
    }
    parameters.value()
}

fn parse_url(url: &str) -> Value {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    // The colons of an IPv6 address stand in brackets.
    let is_port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = host.rsplit_once(':').filter(is_port).unwrap_or((host, ""));
    let member = |name: &str, value: &str| (Arc::from(name), Value::text(value));
    Value::object(vec![
        member("Scheme", scheme),
        member("Host", host),
        member("Port", port),
        member("Path", path),
        member("Username", user),
        member("Password", password),
        (Arc::from("Query Parameters"), query_parameters(query)),
        member("Fragment", fragment),
    ])
}

const TEXT: Returns = Returns::Is(Type::String);
const DYNAMIC: Returns = Returns::Is(Type::Dynamic);
