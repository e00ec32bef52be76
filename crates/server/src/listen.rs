//! Sockets to requests: plain and TLS listeners, with limits, that drain when told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

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
    InUse { address: SocketAddr, option: &'static str },
    /// Anything else.
    #[error("{address} cannot be listened on: {source}; choose another address with {option}")]
    Other { address: SocketAddr, option: &'static str, source: io::Error },
}

impl Listener {
    /// Binds `address`; `option` is what the user sets it by.
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        option: &'static str,
    ) -> Result<Self, ListenError> {
        let bound = TcpListener::bind(address).await;
        let socket = bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, option },
            _ => ListenError::Other { address, option, source },
        })?;
        let address = socket.local_addr().map_err(|source| ListenError::Other { address, option, source })?;
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
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
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
    let service = TowerToHyperService::new(router);
    match tls {
        None => {
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            watcher.watch(connection).await
        }
        Some(tls) => {
            let stream = tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await??;
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            watcher.watch(connection).await
        }
    }
}

/// How long a stop waits for requests under way.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a client may take over its handshake or its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// More than any client sends.
const HEADERS_MAX: usize = 100;

/// Bounds a request's head, and is what bodies are read in.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
