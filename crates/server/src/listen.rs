//! Sockets to requests: plain and TLS listeners, with limits, that drain when told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use registry_api::PlainSocket;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::audit::Peer;
use crate::pace::{Paced, Patient};
use crate::settings::Address;

/// A bound socket and how it speaks.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else has it.
    #[error("{address} is already in use: stop the other program, or choose another address with {option}")]
    InUse { address: Address, option: &'static str },
    /// Both listeners were given it.
    #[error("--listen and --listen-tls both name port {port}: give each a port of its own")]
    Both { port: u16 },
    /// A name without an address.
    #[error("{address} leads to no address of this machine (choose another with {option})")]
    Unknown { address: Address, option: &'static str, source: io::Error },
    /// Anything else.
    #[error("{address} cannot be listened on (choose another address with {option})")]
    Other { address: Address, option: &'static str, source: io::Error },
}

impl Listener {
    /// Binds the first of the addresses that `address` stands for and that is free; `option` is what the user
    /// sets it by.
    pub(crate) async fn bind(
        address: &Address,
        tls: Option<Arc<rustls::ServerConfig>>,
        option: &'static str,
    ) -> Result<Self, ListenError> {
        let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
        let unknown = |source| ListenError::Unknown { address: address.clone(), option, source };
        let mut found: Vec<SocketAddr> = found.map_err(unknown)?.collect();
        // A name for both kinds of address means what most clients try: `localhost` is 127.0.0.1.
        found.sort_by_key(SocketAddr::is_ipv6);
        let bound = TcpListener::bind(found.as_slice()).await;
        let socket = bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address: address.clone(), option },
            _ => ListenError::Other { address: address.clone(), option, source },
        })?;
        let address = socket.local_addr().map_err(|source| ListenError::Other {
            address: address.clone(),
            option,
            source,
        })?;
        Ok(Self { socket, tls: tls.map(TlsAcceptor::from), address })
    }

    /// Where it listens, with the port that was chosen if none was given.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets the requests under way end, for [`DRAIN`] at most.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut connections = tokio::task::JoinSet::new();
        let places = Arc::new(Semaphore::new(connections_max()));
        loop {
            // Whoever finds no place waits in the system's queue, and costs us nothing.
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await;
                    (self.socket.accept().await, place)
                } => accepted,
            };
            let (accepted, place) = accepted;
            while connections.try_join_next().is_some() {}
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: those in use will come back.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (router, tls, watcher) = (router.clone(), self.tls.clone(), graceful.watcher());
            connections.spawn(async move {
                let _place = place;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(error = %error, "a connection is gone");
                }
                if let Err(error) = connection(stream, tls, router, watcher).await {
                    tracing::debug!(error = %error, "a connection ended");
                }
            });
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(seconds = DRAIN.as_secs(), "requests were still under way and are cut off");
        }
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .max_header_list_size(64 * 1024)
        .max_concurrent_streams(128);
    let peer = Peer(stream.peer_addr()?.ip().to_canonical());
    match tls {
        None => speak(&builder, stream, (peer, Some(PlainSocket)), router, watcher).await,
        Some(tls) => {
            let stream = tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await??;
            speak(&builder, stream, (peer, None), router, watcher).await
        }
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    builder: &auto::Builder<TokioExecutor>,
    stream: T,
    (peer, plain): (Peer, Option<PlainSocket>),
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let paced = move |mut request: Request<Incoming>| -> Request {
        request.extensions_mut().insert(peer);
        if let Some(plain) = plain {
            request.extensions_mut().insert(plain);
        }
        request.map(|body| Body::new(Paced::new(body)))
    };
    let service = TowerToHyperService::new(router.map_request(paced));
    let stream = TokioIo::new(Patient::new(stream, HEADER_TIMEOUT));
    watcher.watch(builder.serve_connection(stream, service).into_owned()).await
}

/// Raises the number of files and sockets that this process may have open to what the system allows:
/// many systems begin with 1024, which one push of many layers can use up.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(error = %error, "the limit of open files stays as it was");
    }
}

/// How many connections one listener takes at once: two thirds of the descriptors at most are sockets of
/// the two listeners, so that blobs and rows can be opened for those who are connected.
fn connections_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / 3).unwrap_or(usize::MAX).clamp(64, CONNECTIONS_MAX)
}

/// How long a stop waits for requests under way.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a client may take over its handshake or its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// More than any client sends.
const HEADERS_MAX: usize = 100;

/// Each costs some kilobytes.
const CONNECTIONS_MAX: usize = 10_000;

/// Bounds a request's head, and is what bodies are read in.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What a client gets that sends this and then falls silent. The clock of the runtime goes on by
    /// itself when all else waits.
    async fn answer_to(sent: &[u8]) -> String {
        let listener = Listener::bind(&"127.0.0.1:0".parse().expect("an address"), None, "--listen")
            .await
            .expect("binds");
        let (address, stop) = (listener.address(), CancellationToken::new());
        let echo = |body: String| async move { body };
        let router = Router::new().route("/", axum::routing::any(echo));
        let serving = tokio::spawn(listener.serve(router, stop.clone()));
        let mut client = TcpStream::connect(address).await.expect("connects");
        client.write_all(sent).await.expect("sends");
        let mut answer = String::new();
        drop(client.read_to_string(&mut answer).await);
        stop.cancel();
        serving.await.expect("ends");
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_anywhere_is_cut_off() {
        for silent_after in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            assert_eq!(answer_to(silent_after.as_bytes()).await, "", "{silent_after:?}");
        }
        // In the body: answered, as far as its door can say.
        let in_its_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab";
        assert_eq!(answer_to(in_its_body.as_bytes()).await, "HTTP/1.1 400 Bad Request");
        // Between two requests.
        let idle = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
        assert_eq!(answer_to(idle.as_bytes()).await, "HTTP/1.1 200 OK");
    }
}
