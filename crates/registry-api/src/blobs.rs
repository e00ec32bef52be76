//! Blobs: get, head, delete.

use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use blobstore::Blob;
use futures_util::stream;
use metastore::UnlinkBlob;
use mirror::Arrival;
use oci::{Digest, Repository};
use uuid::Uuid;

use crate::error::ApiError;
use crate::manifests::value;
use crate::range::{Part, part};
use crate::{Api, CONTENT_DIGEST};

impl Api {
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        digest: &str,
        headers: &HeaderMap,
        wire: Wire,
    ) -> Result<Response, ApiError> {
        let digest = parse(digest)?;
        let mut blob = self.registry.blob(self.id, repository, &digest).await?;
        if blob.is_none() {
            if let Some(arrival) = self.arriving(repository, &digest).await? {
                return arriving(headers, &digest, arrival);
            }
            // It may have come between the two looks.
            blob = self.registry.blob(self.id, repository, &digest).await?;
        }
        let blob = blob.ok_or_else(|| unknown(&digest))?;
        if is_fresh(headers, &digest) {
            return Ok((StatusCode::NOT_MODIFIED, common(&digest)).into_response());
        }
        let range = match asked(headers, &digest, blob.len())? {
            Asked::Whole => None,
            Asked::One(range) => Some(range),
            Asked::Several(ranges) => return Ok(several(&digest, &blob, ranges)),
        };
        let asked = range.clone().unwrap_or(0..blob.len());
        let body = match wire {
            Wire::Plain => match blob.unseen_pieces(asked.clone()) {
                Ok(pieces) => Body::from_stream(stream::iter(pieces)),
                Err(_) => Body::from_stream(stream::iter(blob.pieces(asked))),
            },
            Wire::Seen => Body::from_stream(stream::iter(blob.pieces(asked))),
        };
        Ok(one(&digest, range, blob.len(), body))
    }

    /// Answers from the metastore and the file's length; no file is opened.
    pub(crate) async fn blob_head(
        &self,
        repository: &Repository,
        digest: &str,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let digest = parse(digest)?;
        let size = match self.registry.blob_size(self.id, repository, &digest).await? {
            Some(size) => size,
            None => self.size_elsewhere(repository, &digest).await?.ok_or_else(|| unknown(&digest))?,
        };
        if is_fresh(headers, &digest) {
            return Ok((StatusCode::NOT_MODIFIED, common(&digest)).into_response());
        }
        Ok((StatusCode::OK, common(&digest), [(CONTENT_LENGTH, HeaderValue::from(size))]).into_response())
    }

    pub(crate) async fn delete_blob(
        &self,
        repository: &Repository,
        digest: &str,
    ) -> Result<Response, ApiError> {
        let digest = parse(digest)?;
        match self.registry.delete_blob(self.id, repository, &digest).await? {
            UnlinkBlob::Unlinked => Ok(StatusCode::ACCEPTED.into_response()),
            UnlinkBlob::Unknown => Err(unknown(&digest)),
            UnlinkBlob::Referenced => Err(ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "a manifest of this repository needs the blob: delete that first",
            )),
        }
    }
}

/// Who looks at the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// The kernel alone.
    Plain,
    /// This program: it encrypts them, or packs them into frames.
    Seen,
}

impl Wire {
    pub(crate) fn of(request: &Request) -> Self {
        let is_plain = request.extensions().get::<PlainSocket>().is_some();
        // HTTP/1 writes a body's pieces as they are.
        if is_plain && request.version() <= Version::HTTP_11 { Self::Plain } else { Self::Seen }
    }
}

/// Said of a request (as an extension) by whoever accepted it: nothing between here and the kernel looks at
/// an answer's body, for there is no TLS.
#[derive(Clone, Copy, Debug)]
pub struct PlainSocket;

/// What of a blob is asked for.
enum Asked {
    Whole,
    One(Range<u64>),
    Several(Vec<Range<u64>>),
}

fn asked(headers: &HeaderMap, digest: &Digest, len: u64) -> Result<Asked, ApiError> {
    let text = |name: HeaderName| headers.get(name).and_then(|header| header.to_str().ok());
    // A range of another version than this one would be useless (RFC 9110, "If-Range").
    let is_current = text(IF_RANGE).is_none_or(|tag| tag == format!("\"{digest}\""));
    match text(RANGE).filter(|_| is_current).map_or(Part::Whole, |range| part(range, len)) {
        Part::Whole => Ok(Asked::Whole),
        Part::Of(range) => Ok(Asked::One(range)),
        Part::Several(ranges) => Ok(Asked::Several(ranges)),
        Part::Outside => {
            let error = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "RANGE_INVALID",
                format!("the blob has {len} bytes, none of them in this range"),
            );
            Err(error.with(CONTENT_RANGE, value(format_args!("bytes */{len}"))))
        }
    }
}

/// A blob that is still coming: its bytes go on as they arrive.
fn arriving(headers: &HeaderMap, digest: &Digest, arrival: Arrival) -> Result<Response, ApiError> {
    let len = arrival.size();
    let range = match asked(headers, digest, len)? {
        Asked::One(range) => Some(range),
        // The whole instead of several parts is allowed by RFC 9110, and simpler for what is not there yet.
        Asked::Whole | Asked::Several(_) => None,
    };
    let pieces = arrival.pieces(range.clone().unwrap_or(0..len));
    Ok(one(digest, range, len, Body::from_stream(pieces)))
}

/// The whole, or one part of it.
fn one(digest: &Digest, range: Option<Range<u64>>, len: u64, body: Body) -> Response {
    let Some(range) = range else {
        return (StatusCode::OK, common(digest), [(CONTENT_LENGTH, HeaderValue::from(len))], body)
            .into_response();
    };
    let partial = [
        (CONTENT_LENGTH, HeaderValue::from(range.end - range.start)),
        (CONTENT_RANGE, value(content_range(&range, len))),
    ];
    (StatusCode::PARTIAL_CONTENT, common(digest), partial, body).into_response()
}

/// Several parts as one body (RFC 9110, section 14.6).
fn several(digest: &Digest, blob: &Blob, ranges: Vec<Range<u64>>) -> Response {
    // Unguessable, so that no content can be made to hold it.
    let boundary = Uuid::new_v4().simple().to_string();
    let head = |range: &Range<u64>| {
        let shown = content_range(range, blob.len());
        Bytes::from(format!("--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: {shown}\r\n\r\n"))
    };
    let parts: Vec<(Bytes, Range<u64>)> = ranges.into_iter().map(|range| (head(&range), range)).collect();
    let end = Bytes::from(format!("--{boundary}--\r\n"));
    let lengths = parts.iter().map(|(head, range)| head.len() as u64 + (range.end - range.start) + 2);
    let length = lengths.sum::<u64>() + end.len() as u64;
    let blob = blob.clone();
    let pieces = parts.into_iter().flat_map(move |(head, range)| {
        std::iter::once(Ok(head)).chain(blob.pieces(range)).chain([Ok(Bytes::from_static(b"\r\n"))])
    });
    let body = Body::from_stream(stream::iter(pieces.chain([Ok(end)])));
    let length = [(CONTENT_LENGTH, HeaderValue::from(length))];
    let mut response = (StatusCode::PARTIAL_CONTENT, common(digest), length, body).into_response();
    let kind = value(format_args!("multipart/byteranges; boundary={boundary}"));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

fn parse(digest: &str) -> Result<Digest, ApiError> {
    digest.parse().map_err(|error: oci::InvalidDigest| ApiError::bad("DIGEST_INVALID", error.to_string()))
}

fn unknown(digest: &Digest) -> ApiError {
    ApiError::not_found("BLOB_UNKNOWN", format!("there is no blob {digest} in this repository"))
}

fn common(digest: &Digest) -> [(HeaderName, HeaderValue); 5] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(OCTETS)),
        (CONTENT_DIGEST, value(digest)),
        (ETAG, value(format_args!("\"{digest}\""))),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, IMMUTABLE),
    ]
}

/// True if the client has this very content (`If-None-Match`).
pub(crate) fn is_fresh(headers: &HeaderMap, digest: &Digest) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
    let mut tags = tags.flat_map(|header| header.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == digest.to_string())
}

/// What a digest names never changes; who may see it does.
pub(crate) const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

const OCTETS: &str = "application/octet-stream";
