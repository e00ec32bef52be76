//! A source on the loopback interface, which answers each request as the test says.

#![allow(clippy::allow_attributes, dead_code, reason = "no test file uses all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// As the program's main function does.
pub(crate) fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // another test may have
}

/// What to send; the connection is closed after it.
#[derive(Clone)]
pub(crate) struct Reply {
    head: String,
    body: String,
    /// Instead of closing, wait for the other end to.
    stays: bool,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self { body: body.into(), ..Self::raw("HTTP/1.1 200 OK\r\n") }
            .header(&format!("content-length: {}", body.len()))
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::raw(&format!("HTTP/1.1 {status} Status\r\n")).header("connection: close")
    }

    /// Exactly these bytes.
    pub(crate) fn raw(head: &str) -> Self {
        Self { head: head.into(), body: String::new(), stays: false }
    }

    /// These bytes, and then nothing more.
    pub(crate) fn silence(head: &str) -> Self {
        Self { stays: true, ..Self::raw(head) }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.head.push_str(&format!("{line}\r\n"));
        self
    }

    fn bytes(&self) -> String {
        let is_whole = self.stays || self.head.contains("\r\n\r\n");
        format!("{}{}{}", self.head, if is_whole { "" } else { "\r\n" }, self.body)
    }
}

pub(crate) struct Source {
    base: String,
    requests: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Source {
    /// Starts answering. `answer` gets the request's head, lower-cased but for its first line.
    pub(crate) async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, counted) = (Arc::new(answer), Arc::clone(&requests));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move { serve(stream, answer.as_ref()).await });
            }
        });
        Self { base, requests, serving }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Stops listening, and says where nobody is any more.
    pub(crate) async fn stop(self) -> String {
        self.serving.abort();
        let _ = self.serving.await; // cancelled, as asked
        self.base
    }
}

async fn serve(mut stream: TcpStream, answer: &(dyn Fn(&str) -> Reply + Send + Sync)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let reply = answer(&format!("{first}\n{}", rest.to_ascii_lowercase()));
    let _ = stream.write_all(reply.bytes().as_bytes()).await; // the other end may have had enough
    if reply.stays {
        let _ = stream.read_u8().await; // until it goes away
    }
}
