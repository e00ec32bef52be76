//! A source on the loopback interface, which answers each request as the test says: well, badly, slowly
//! or for ever.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What to send; the connection is closed after it.
#[derive(Clone)]
pub struct Reply {
    head: String,
    body: Vec<u8>,
    end: End,
}

/// What comes after the body.
#[derive(Clone)]
enum End {
    Close,
    /// Wait for the other end to close.
    Stay,
    /// The body again and again, until the other end has had enough.
    Endless,
    /// When the test says so, the rest.
    Held(watch::Receiver<bool>, Vec<u8>),
}

impl Reply {
    /// 200 with a body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len();
        Self { body, ..Self::raw("HTTP/1.1 200 OK\r\n") }
            .header(&format!("content-length: {length}"))
            .header("connection: close")
    }

    /// A status without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::raw(&format!("HTTP/1.1 {status} Status\r\n"))
            .header("content-length: 0")
            .header("connection: close")
    }

    /// Exactly this head.
    #[must_use]
    pub fn raw(head: &str) -> Self {
        Self { head: head.into(), body: Vec::new(), end: End::Close }
    }

    /// Exactly this head, and then nothing more.
    #[must_use]
    pub fn silence(head: &str) -> Self {
        Self { end: End::Stay, ..Self::raw(head) }
    }

    /// A head without a length, and then these bytes for ever.
    #[must_use]
    pub fn endless(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            body: bytes.into(),
            end: End::Endless,
            ..Self::raw("HTTP/1.1 200 OK\r\nconnection: close\r\n")
        }
    }

    /// 200 with a body of which only the first `count` bytes come before `release` is true.
    #[must_use]
    pub fn held(body: &[u8], count: usize, release: watch::Receiver<bool>) -> Self {
        let (first, rest) = body.split_at(count);
        Self { body: first.to_vec(), end: End::Held(release, rest.to_vec()), ..Self::ok(body) }
    }

    /// With one more line in its head.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.head.push_str(&format!("{line}\r\n"));
        self
    }

    /// With another body than its head says.
    #[must_use]
    pub fn with_body(self, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..self }
    }

    fn head(&self) -> String {
        let is_whole = matches!(self.end, End::Stay) || self.head.contains("\r\n\r\n");
        format!("{}{}", self.head, if is_whole { "" } else { "\r\n" })
    }
}

/// The source: it stops when it is dropped.
pub struct Source {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Source {
    /// Starts answering. `answer` gets the request's head, lower-cased but for its first line.
    ///
    /// # Panics
    /// If there is no port to listen on.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        // As the program's main function does; another test may have done it.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&seen));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                tokio::spawn(async move { serve(stream, answer.as_ref(), &noted).await });
            }
        });
        Self { base, seen, serving }
    }

    /// Where a path of it is.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.seen.lock().len()
    }

    /// The heads of the requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }

    /// Stops listening, and says where nobody is any more.
    pub async fn stop(mut self) -> String {
        self.serving.abort();
        drop((&mut self.serving).await); // cancelled, as asked
        self.base.clone()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let head = format!("{first}\n{}", rest.to_ascii_lowercase());
    seen.lock().push(head.clone());
    // Whatever fails from here on: the other end has had enough.
    drop(send(&mut stream, answer(&head)).await);
}

async fn send(stream: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    stream.write_all(reply.head().as_bytes()).await?;
    stream.write_all(&reply.body).await?;
    match reply.end {
        End::Close => Ok(()),
        End::Stay => stream.read_u8().await.map(drop),
        End::Endless => loop {
            stream.write_all(&reply.body).await?;
        },
        End::Held(mut release, rest) => {
            stream.flush().await?;
            // Whoever held it back may be gone: then the rest never comes.
            let is_released = release.wait_for(|is_released| *is_released).await.is_ok();
            if is_released { stream.write_all(&rest).await } else { Ok(()) }
        }
    }
}
