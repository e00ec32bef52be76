//! What a refused request still sends.
//!
//! A connection that closes while its client sends shows the client a broken connection, and never the
//! answer: a chunk at the wrong place would be sent again and again. Azure's clients send every body once
//! without credentials, too. So a refusal waits until the body has been read, within bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::ApiError;

/// A body that gives back what nobody has read of it.
struct Returned {
    body: Body,
    left: Arc<Mutex<Option<Body>>>,
}

/// What is left of a body when its reader has dropped it.
struct Left(Arc<Mutex<Option<Body>>>);

/// The same body, and where its rest is found once it is dropped.
fn returned(body: Body, headers: &HeaderMap) -> (Body, Left) {
    // Most requests have none; and who waits for our word sends none when refused.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return (body, Left(Arc::default()));
    }
    let left = Arc::default();
    (Body::new(Returned { body, left: Arc::clone(&left) }), Left(left))
}

impl HttpBody for Returned {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        *self.left.lock() = Some(std::mem::take(&mut self.body));
    }
}

/// A body at whose end `check` looks once more whether its sender may do what was asked, if it was long in coming: what
/// it holds back is what would be used with rights that are gone. A refusal ends the body with an error, and is left
/// in `refusal`.
pub(crate) fn checked_at_its_end(
    body: Body,
    check: impl Future<Output = Result<(), ApiError>> + Send + 'static,
    refusal: Arc<Mutex<Option<ApiError>>>,
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let began = Instant::now();
    let end = async move {
        // Rights may be as old as that when they are looked at.
        if began.elapsed() < RIGHTS_AGE {
            return None;
        }
        let refused = check.await.err()?;
        *refusal.lock() = Some(refused);
        Some(Err(axum::Error::new("the sender's rights are gone")))
    };
    let end = futures_util::stream::once(end).filter_map(std::future::ready);
    Body::from_stream(body.into_data_stream().chain(end))
}

impl Left {
    /// Reads the rest.
    async fn drain(self) {
        let left = self.0.lock().take();
        if let Some(left) = left {
            drain(left).await;
        }
    }
}

/// Answers a request, and reads what its body still sends, if the answer did not need it: the next request of the
/// connection begins where this one ends. One layer around all doors.
pub async fn read_refused(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (body, left) = returned(body, &parts.headers);
    let response = next.run(Request::from_parts(parts, body)).await;
    left.drain().await;
    response
}

/// Reads what a refused request still sends, within bounds: beyond them its connection closes.
async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut left = DRAIN_BYTES_MAX;
    let drained = tokio::time::timeout(DRAIN_TIME, async {
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    });
    if drained.await.is_err() {
        tracing::debug!("a refused request was still sending");
    }
}

/// A layer that is sent as one, to a disk that has no room for it: reading it costs less than an upload does.
const DRAIN_BYTES_MAX: usize = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// As `auth` keeps what it has read of a principal.
const RIGHTS_AGE: Duration = Duration::from_secs(1);
