//! Requests that come through proxies. What a proxy says of its client (`X-Forwarded-*`, or `Forwarded` of
//! RFC 7239) is believed if the operator trusts the proxy's address, and ignored from everybody else.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use auth::Entrance;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, FORWARDED, HOST, HeaderName, HeaderValue, LINK, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use serde_json::json;

use crate::audit::Peer;

/// Those that are believed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    trusted: Arc<[IpNet]>,
}

/// What is known of a request's client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    address: IpAddr,
    scheme: Option<&'static str>,
    host: Option<HeaderValue>,
    prefix: String,
}

/// Why nobody can say what a proxy means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    /// One of the two is the client's, and we cannot know which.
    #[error(
        "the proxy passes on both Forwarded and X-Forwarded-*: let it remove the one that it does not write"
    )]
    Both,
    /// Neither `http` nor `https`.
    #[error("the proxy says that the scheme is {0:?}: it is http or https")]
    Scheme(String),
    /// No host and port.
    #[error("the proxy says that the host is {0:?}, which is not valid")]
    Host(String),
    /// No path of plain segments.
    #[error("the proxy says that the prefix is {0:?}, which is not a path")]
    Prefix(String),
}

impl Proxies {
    pub(crate) fn new(trusted: &[IpNet]) -> Self {
        Self { trusted: trusted.into() }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// What the proxies say of the request that came from `peer`, the last of them.
    fn said(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Said, Unclear> {
        let by_name = [FOR, PROTO, HOST_OF, PREFIX].iter().any(|name| headers.contains_key(name));
        let prefix = all(headers, &PREFIX);
        if headers.contains_key(FORWARDED) {
            if by_name {
                return Err(Unclear::Both);
            }
            let elements = all(headers, &FORWARDED);
            let field = |name| elements.iter().map(move |element| parameter(element, name));
            let chain: Vec<_> = field("for").map(|text| text.as_deref().and_then(address)).collect();
            let (address, hop) = self.client(peer, &chain);
            let at = |name| field(name).rev().nth(hop).flatten();
            return Said::new(address, at("proto"), at("host"), None);
        }
        let chain: Vec<_> = all(headers, &FOR).iter().map(|text| address(text)).collect();
        let (address, hop) = self.client(peer, &chain);
        let at = |list: Vec<String>| {
            // A proxy adds to a list, or writes one anew that has one entry.
            let from_last = hop.min(list.len().saturating_sub(1));
            list.into_iter().rev().nth(from_last)
        };
        Said::new(address, at(all(headers, &PROTO)), at(all(headers, &HOST_OF)), at(prefix))
    }

    /// Goes from the last proxy towards the client, as long as each can be believed: the client's address, and how
    /// many entries of the chain were written by others than the last proxy. What stands before that is the client's
    /// own word.
    fn client(&self, peer: IpAddr, chain: &[Option<IpAddr>]) -> (IpAddr, usize) {
        let (mut client, mut hop) = (peer, 0);
        for (at, said) in chain.iter().rev().enumerate() {
            hop = at;
            let Some(said) = said else { break };
            client = said.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        (client, hop)
    }
}

impl Said {
    fn new(
        address: IpAddr,
        scheme: Option<String>,
        host: Option<String>,
        prefix: Option<String>,
    ) -> Result<Self, Unclear> {
        let given = |text: &String| !text.is_empty();
        let (scheme, host) = (scheme.filter(given), host.filter(given));
        let scheme = match scheme {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("https") => Some("https"),
            Some(text) if text.eq_ignore_ascii_case("http") => Some("http"),
            Some(text) => return Err(Unclear::Scheme(text)),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
        let host = match host {
            None => None,
            Some(text) if text.len() <= NAME_BYTES_MAX && text.bytes().all(is_plain) => {
                Some(HeaderValue::from_str(&text).map_err(|_| Unclear::Host(text))?)
            }
            Some(text) => return Err(Unclear::Host(text)),
        };
        let prefix = prefix.unwrap_or_default();
        let path = prefix.trim_end_matches('/');
        if !is_path(path) {
            return Err(Unclear::Prefix(prefix));
        }
        Ok(Self { address, scheme, host, prefix: path.to_owned() })
    }
}

/// Nothing, or segments of what needs no encoding, each after a slash.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_segment = |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain);
    path.is_empty()
        || path.len() <= NAME_BYTES_MAX
            && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment))
}

/// The entries of a header that is a list, from all its lines; what is no text is an empty entry.
fn all(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| split(line, ',')).map(|entry| entry.trim().to_owned()).collect()
}

/// One parameter of an element of `Forwarded`.
fn parameter(element: &str, name: &str) -> Option<String> {
    let mut pairs = split(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.map_or_else(|| value.to_owned(), |text| text.replace('\\', "")))
}

/// Splits at a separator outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[from..at]);
                from = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// An address as lists of proxies have it: alone, with a port, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bare)
}

/// Through which listener requests come in, and who is believed.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) proxies: Proxies,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// Finds out who asks and by which name they know us, before anybody else looks: the doors see the client's host,
/// the audit log its address. Paths that the doors answer get the proxy's prefix.
pub(crate) async fn enter(State(front): State<Front>, mut request: Request, next: Next) -> Response {
    let mut entrance = Entrance { scheme: front.scheme, prefix: String::new() };
    if let Err(why) = settle_host(&mut request) {
        return refused(request, why).await;
    }
    if let Some(Peer(peer)) = request.extensions().get::<Peer>().copied()
        && front.proxies.trusts(peer)
    {
        let said = match front.proxies.said(peer, request.headers()) {
            Ok(said) => said,
            Err(unclear) => return refused(request, &unclear.to_string()).await,
        };
        entrance.scheme = said.scheme.unwrap_or(front.scheme);
        entrance.prefix = said.prefix;
        request.extensions_mut().insert(Peer(said.address));
        if let Some(host) = said.host {
            request.headers_mut().insert(HOST, host);
        }
    }
    let prefix = entrance.prefix.clone();
    request.extensions_mut().insert(entrance);
    let mut response = next.run(request).await;
    if !prefix.is_empty() {
        put_before(response.headers_mut(), &LOCATION, "/", &prefix);
        put_before(response.headers_mut(), &LINK, "</", &prefix);
    }
    response
}

/// Leaves one host, in the header: a target in absolute form and HTTP/2's `:authority` win over the header
/// (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1). A request without a host, or with two, has no meaning.
fn settle_host(request: &mut Request) -> Result<(), &'static str> {
    let hosts: Vec<_> = request.headers().get_all(HOST).iter().cloned().collect();
    if hosts.len() > 1 {
        return Err("the request has two Host headers");
    }
    if let Some(authority) = request.uri().authority() {
        // Without a user's name.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| "the host of the request is invalid")?;
        request.headers_mut().insert(HOST, host);
        make_relative(request);
    } else if hosts.first().is_none_or(HeaderValue::is_empty) {
        return Err("the request has no Host header");
    }
    Ok(())
}

/// The host stands in the header alone: each door finds the same.
fn make_relative(request: &mut Request) {
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
}

/// 400, in the dialect of the door that the path belongs to.
async fn refused(request: Request, why: &str) -> Response {
    let path = request.uri().path();
    let is_registrys = ["/v2", "/acr/", "/token", "/oauth2/"].iter().any(|begin| path.starts_with(begin));
    let document = if is_registrys {
        json!({ "errors": [{ "code": "UNSUPPORTED", "message": why }] })
    } else {
        json!({ "error": { "code": "BadRequest", "message": why } })
    };
    // Who cannot say where a request goes may not say where it ends, either.
    let mut response = (StatusCode::BAD_REQUEST, axum::Json(document)).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Puts the prefix before the path of a header that has one, and no host.
fn put_before(headers: &mut HeaderMap, name: &HeaderName, begins: &str, prefix: &str) {
    let Some(rest) = headers.get(name).and_then(|value| value.to_str().ok()?.strip_prefix(begins)) else {
        return;
    };
    let before = begins.trim_end_matches('/');
    if let Ok(value) = HeaderValue::from_str(&format!("{before}{prefix}/{rest}")) {
        headers.insert(name, value);
    }
}

/// A network, or one address, that the operator names.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)))
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST_OF: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Longer than any name of DNS with a port.
const NAME_BYTES_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is believed of headers that come from 10.0.0.1, if 10.0.0.0/8 and ::1 are trusted.
    fn said(lines: &[(&'static str, &str)]) -> Result<Said, Unclear> {
        let trusted = ["10.0.0.0/8", "::1"].map(|text| network(text).expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        Proxies::new(&trusted).said(IpAddr::from([10, 0, 0, 1]), &headers)
    }

    fn address_of(lines: &[(&'static str, &str)]) -> String {
        said(lines).expect("clear").address.to_string()
    }

    #[test]
    fn the_client_is_the_nearest_whom_nobody_trusts() {
        let for_client = |list: &str| address_of(&[("x-forwarded-for", list)]);
        assert_eq!(for_client("203.0.113.7"), "203.0.113.7");
        assert_eq!(
            for_client("1.1.1.1, 203.0.113.7"),
            "203.0.113.7",
            "what stands before is the client's own word"
        );
        assert_eq!(
            for_client("1.1.1.1, 203.0.113.7, 10.9.9.9"),
            "203.0.113.7",
            "over a second proxy of ours"
        );
        assert_eq!(for_client("10.1.1.1"), "10.1.1.1", "a client beside the proxy");
        assert_eq!(for_client("203.0.113.7:4711"), "203.0.113.7");
        assert_eq!(for_client("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(for_client("2001:db8::1"), "2001:db8::1");
        assert_eq!(for_client("::ffff:10.1.1.1, ::1"), "10.1.1.1");
        assert_eq!(for_client("1.1.1.1, unknown"), "10.0.0.1", "nobody knows: the proxy's own");
        assert_eq!(for_client(""), "10.0.0.1");
        let in_two_lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(address_of(&in_two_lines), "203.0.113.7");
    }

    #[test]
    fn scheme_host_and_prefix_are_those_of_the_outermost_proxy_of_ours() {
        let all = said(&[
            ("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.9.9.9"),
            ("x-forwarded-proto", "ftp, https, http"),
            ("x-forwarded-host", "reg.example:8443"),
            ("x-forwarded-prefix", "/azure/"),
        ]);
        let all = all.expect("clear");
        assert_eq!((all.scheme, all.prefix.as_str()), (Some("https"), "/azure"));
        assert_eq!(all.host.expect("a host"), "reg.example:8443");
        let nothing = said(&[]).expect("clear");
        assert_eq!((nothing.scheme, nothing.host, nothing.prefix.as_str()), (None, None, ""));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let line = r#"For=1.1.1.1;proto=ftp;host=evil, for="[2001:db8::1]:4711";Proto=HTTPS;host="reg.example:8443", for=10.2.2.2;proto=http"#;
        let all = said(&[("forwarded", line)]).expect("clear");
        assert_eq!((all.address.to_string().as_str(), all.scheme), ("2001:db8::1", Some("https")));
        assert_eq!(all.host.expect("a host"), "reg.example:8443");
        let odd = said(&[("forwarded", r#"for="_hid\"den,;"; proto=https"#)]).expect("clear");
        assert_eq!((odd.address.to_string().as_str(), odd.scheme), ("10.0.0.1", Some("https")));
    }

    #[test]
    fn what_cannot_be_clear_is_refused() {
        assert_eq!(said(&[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]), Err(Unclear::Both));
        for (name, value) in [
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-host", "a/b"),
            ("x-forwarded-host", "a\"b"),
            ("x-forwarded-prefix", "//evil.example"),
            ("x-forwarded-prefix", "evil"),
            ("x-forwarded-prefix", "/a/../b"),
            ("x-forwarded-prefix", "/a\"b"),
        ] {
            assert!(said(&[(name, value)]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("::1"), "::1/128".parse().ok());
        assert_eq!(network(" 10.0.0.0/8"), "10.0.0.0/8".parse().ok());
        assert!(network("10.0.0.0/33").is_none() && network("proxy.example").is_none());
    }
}
