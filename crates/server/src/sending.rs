//! Blobs to plain sockets without a copy: what is of a file is sent by the system from its own memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use blobstore::Stretch;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A socket that recognises the bytes of mapped blobs. Nothing else has a look at them, so that their pages need not even be
/// mapped in.
pub(crate) struct Sending(pub(crate) TcpStream);

impl Sending {
    fn poll_send(&mut self, context: &mut Context<'_>, stretch: &Stretch) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            let send = || {
                let mut offset = stretch.offset;
                match rustix::fs::sendfile(&self.0, stretch.file(), Some(&mut offset), stretch.len)? {
                    // Somebody cut the file short: what was promised cannot be kept.
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    sent => Ok(sent),
                }
            };
            match self.0.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncWrite for Sending {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces = &pieces[pieces.iter().take_while(|piece| piece.is_empty()).count()..];
        let stretch = |piece: &io::IoSlice<'_>| {
            if piece.len() < STRETCH_BYTES_MIN { None } else { Stretch::behind(piece) }
        };
        match pieces.first().and_then(stretch) {
            Some(stretch) => self.poll_send(context, &stretch),
            None => {
                // What is before a file's bytes goes first: a head, mostly.
                let before = pieces.iter().take_while(|piece| stretch(piece).is_none()).count();
                Pin::new(&mut self.0).poll_write_vectored(context, &pieces[..before])
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncRead for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// Below this a copy costs less than another call.
const STRETCH_BYTES_MIN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use blobstore::{BlobStore, Durability};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_util::bytes::{Buf as _, Bytes};

    use super::*;

    #[tokio::test]
    async fn what_arrives_is_what_was_written_whichever_way_it_went() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = BlobStore::open(folder.path(), Durability::Unflushed).expect("opens");
        let bytes: Bytes = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>().into();
        let digest = store.put(bytes.clone()).await.expect("stores");
        let blob = store.open_blob(&digest).await.expect("opens").expect("is there");
        let mut written = vec![Bytes::from_static(b"head\r\n"), Bytes::new()];
        // The middle, in pieces that are sent and, at the end, some that are copied.
        written.extend(blob.pieces(5..2_999_999));
        written.push(Bytes::from_static(b"between"));
        written.extend(blob.pieces(7..9));
        assert!(written.iter().any(|piece| Stretch::behind(piece).is_some()));
        let wanted = [b"head\r\n", &bytes[5..2_999_999], b"between", &bytes[7..9]].concat();

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
        let address = listener.local_addr().expect("has one");
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            let mut client = TcpStream::connect(address).await.expect("connects");
            client.read_to_end(&mut got).await.expect("reads");
            got
        });
        let mut sending = Sending(listener.accept().await.expect("accepts").0);
        while !written.is_empty() {
            let slices: Vec<_> = written.iter().map(|piece| io::IoSlice::new(piece)).collect();
            let mut sent = sending.write_vectored(&slices).await.expect("writes");
            while let Some(first) = written.first_mut().filter(|first| sent > 0 || first.is_empty()) {
                let taken = sent.min(first.len());
                first.advance(taken);
                sent -= taken;
                if first.is_empty() {
                    written.remove(0);
                }
            }
        }
        sending.shutdown().await.expect("closes");
        assert!(reading.await.expect("ends") == wanted);

        // A file that was cut short ends the connection; nothing else stands in for what is missing.
        let path = folder.path().join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
        std::fs::OpenOptions::new().write(true).open(path).expect("opens").set_len(100_000).expect("cuts");
        let _client = TcpStream::connect(address).await.expect("connects");
        let mut sending = Sending(listener.accept().await.expect("accepts").0);
        let beyond = blob.pieces(500_000..900_000).next().expect("a piece");
        let error = sending.write(&beyond).await.expect_err("there is nothing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
