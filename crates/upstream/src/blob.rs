//! Blobs: streams of a known length.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use oci::{Digest, Repository};
use reqwest::Method;

use crate::client::Asked;
use crate::{Upstream, UpstreamError};

/// The bytes of a blob as they arrive: as many as were said, or an error. That they have the digest is
/// for whoever stores them to see.
pub struct BlobBody {
    pieces: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    upstream: Upstream,
    left: u64,
    is_over: bool,
}

impl Upstream {
    /// The blob of that digest, which should have `size` bytes.
    ///
    /// # Errors
    /// [`UpstreamError`]; the stream errs if it is shorter or longer.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobBody, UpstreamError> {
        let asked = Asked { accept: None, is_document: false };
        let answer = self.ask(Method::GET, repository, &format!("blobs/{digest}"), asked).await?;
        if let Some(length) = answer.content_length()
            && length != size
        {
            return Err(self.wrong(format!("{length} bytes for the blob {digest}, which has {size}")));
        }
        let pieces = Box::pin(answer.bytes_stream());
        Ok(BlobBody { pieces, upstream: self.clone(), left: size, is_over: false })
    }
}

impl Stream for BlobBody {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.pieces.as_mut().poll_next(context));
        let outcome = match next {
            Some(Ok(piece)) => match self.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.left = left;
                    return Poll::Ready(Some(Ok(piece)));
                }
                None => Some(Err(self.upstream.wrong("a blob that is longer than its manifest says"))),
            },
            Some(Err(error)) => Some(Err(self.upstream.inner.failed(error))),
            None if self.left > 0 => Some(Err(self.upstream.wrong("a blob that breaks off"))),
            None => None,
        };
        self.is_over = true;
        Poll::Ready(outcome)
    }
}
