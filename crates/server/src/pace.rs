//! Clients must go on: who sends or reads too slowly, on purpose or because the network is gone, is cut off
//! rather than served for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A request's body that breaks off when it comes too slowly.
pub(crate) struct Paced {
    body: Incoming,
    /// When the next [`PACE_BYTES`] must have come; there is none before somebody waits.
    due: Option<Pin<Box<Sleep>>>,
    arrived: usize,
}

impl Paced {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, due: None, arrived: 0 }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let due = self.due.get_or_insert_with(|| Box::pin(sleep(PACE)));
            ready!(due.as_mut().poll(context));
            return Poll::Ready(Some(Err(too_slow().into())));
        };
        if let Some(Ok(frame)) = &frame {
            self.arrived += frame.data_ref().map_or(0, Bytes::len);
            if self.arrived >= PACE_BYTES {
                self.arrived = 0;
                if let Some(due) = &mut self.due {
                    due.as_mut().reset(Instant::now() + PACE);
                }
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose client must say what it wants, and take what it asked for.
pub(crate) struct Patient<T> {
    io: T,
    /// When the first bytes must have come; `None` once they have. Until then nobody else looks at the
    /// time: which protocol is spoken shows in them.
    opening: Option<Pin<Box<Sleep>>>,
    opened: usize,
    /// When the client must have taken something; set while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Patient<T> {
    /// A connection over which the first bytes must come within `opening`.
    pub(crate) fn new(io: T, opening: Duration) -> Self {
        let opening = Some(Box::pin(sleep_until(Instant::now() + opening)));
        Self { io, opening, opened: 0, stalled: None }
    }

    /// Looks at the time while a write waits.
    fn taken(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.opening = None;
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(too_slow()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let Some(opening) = &mut self.opening else { return read };
        if read.is_pending() {
            ready!(opening.as_mut().poll(context));
            return Poll::Ready(Err(too_slow()));
        }
        self.opened += buffer.filled().len() - before;
        if self.opened >= PREFACE_BYTES {
            self.opening = None;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.taken(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.taken(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

/// How long the next [`PACE_BYTES`] of a body may take.
const PACE: Duration = Duration::from_secs(120);

/// What no client that means it is slower than.
const PACE_BYTES: usize = 16 * 1024;

/// How long a client may take nothing of what was sent to it. The system holds some megabytes for it
/// meanwhile: who reads three kilobytes a second is not cut off.
const STALL: Duration = Duration::from_secs(300);

/// Of HTTP/2 (RFC 9113, section 3.4); the head of every real HTTP/1.1 request is longer.
const PREFACE_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let mut connection = Patient::new(ours, PACE);
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 100];
            for _ in 0..20 {
                tokio::time::sleep(STALL / 2).await;
                theirs.read_exact(&mut buffer).await.expect("comes");
            }
            theirs
        });
        connection.write_all(&[0; 3000]).await.expect("is taken, slowly");
        let _stalled = reading.await.expect("ends");
        let error = connection.write_all(&[0; 3000]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
