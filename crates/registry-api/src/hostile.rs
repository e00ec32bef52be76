//! The pure parsers that a stranger's bytes reach first, as the fuzz targets call them: each must
//! return, and what it returns must hold.

use axum::extract::Query;
use axum::http::header::{AUTHORIZATION, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Uri};
use oci::Digest;

use crate::range::{Part, chunk, part};
use crate::{access, blobs, query, route, token};

/// A request's path.
pub fn path(path: &str) {
    drop(route::parse(path));
}

/// `Range` for a blob of `len` bytes, and `Content-Range` of a chunk.
///
/// # Panics
/// If a range lies outside of the blob, or ranges overlap.
pub fn range(header: &str, len: u64) {
    let within = |range: &std::ops::Range<u64>| range.start < range.end && range.end <= len;
    match part(header, len) {
        Part::Of(range) => assert!(within(&range), "{range:?} of {len}"),
        Part::Several(ranges) => {
            assert!(ranges.iter().all(within), "{ranges:?} of {len}");
            let asked: u128 = ranges.iter().map(|range| u128::from(range.end - range.start)).sum();
            assert!(asked <= u128::from(len), "{ranges:?} are more than {len}");
        }
        Part::Whole | Part::Outside => {}
    }
    if let Some((first, last)) = chunk(header) {
        assert!(first <= last, "{first}-{last}");
    }
}

/// One scope of a token request.
///
/// # Panics
/// If the parts are not what was asked for.
pub fn scope(scope: &str) {
    if let Some((kind, name, actions)) = token::scope(scope) {
        assert!(scope.starts_with(kind) && scope.contains(name) && scope.ends_with(actions), "{scope:?}");
    }
}

/// A token request: a query, which a form is written as too, and the bytes of a header.
pub fn token_request(text: &str, bytes: &[u8]) {
    if let Ok(uri) = Uri::try_from(format!("/token?{text}"))
        && let Ok(parameters) = query::Parameters::of(&uri)
    {
        parameters.all("scope").flat_map(str::split_whitespace).for_each(scope);
        // A form is written as a query is.
        drop(Query::<token::Grant>::try_from_uri(&uri));
        drop(Query::<token::Exchange>::try_from_uri(&uri));
    }
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        drop(access::basic(&HeaderMap::from_iter([(AUTHORIZATION, value)])));
    }
}

/// One line or several of `If-None-Match`, asked of what has the digest of `content`.
///
/// # Panics
/// If a client is told that it has what no line names.
pub fn if_none_match(lines: &[&[u8]], content: &[u8]) {
    let digest = Digest::sha256(content);
    let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers = HeaderMap::from_iter(values.map(|value| (IF_NONE_MATCH, value)));
    let name = digest.to_string();
    let is_named =
        |line: &&[u8]| line.contains(&b'*') || line.windows(name.len()).any(|part| part == name.as_bytes());
    if blobs::is_fresh(&headers, &digest) {
        assert!(lines.iter().any(is_named), "{headers:?} does not name {digest}");
    }
    let mut headers = headers;
    headers.append(IF_NONE_MATCH, HeaderValue::from_str(&format!("\"{name}\"")).expect("a digest is text"));
    assert!(blobs::is_fresh(&headers, &digest), "{headers:?} names {digest}");
}
