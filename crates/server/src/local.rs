//! The local door: a socket in the data folder by which commands ask the running server, without a password.
//!
//! It is open to the server's own user and to root alone, who read the database anyway (decision 12). Each
//! connection carries one question, a line of JSON, and its answer, which the end of the stream ends.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use query_api::Graph;
use registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::data::DataFolder;
use crate::output::causes;
use crate::query_command::{QueryFormat, Shown};
use crate::{Failure, space};

/// What a command may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Question {
    /// The rows that a query of Resource Graph gives the administrator.
    Query { text: String, format: QueryFormat },
    /// To remove blobs that no manifest needs, as it does every hour.
    Collect,
}

/// What the server answers from.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) graph: Graph,
    pub(crate) registry: Registry,
    pub(crate) data: DataFolder,
}

/// What the server answers: or, in a sentence, why it does not.
type Answer = Result<Shown, String>;

/// The bound socket.
pub(crate) struct LocalDoor {
    socket: UnixListener,
    path: PathBuf,
}

impl LocalDoor {
    /// Opens the door of a folder that this process has taken for itself.
    pub(crate) fn open(data: &DataFolder) -> io::Result<Self> {
        let path = data.path(SOCKET);
        // Left by a server that was killed: the folder's lock says that none serves.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (address, _folder) = address(&path)?;
        let socket = UnixListener::bind(address)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { socket, path })
    }

    /// Answers until `stop`.
    pub(crate) async fn serve(self, asked: Asked, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (accepted, place) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await;
                    (self.socket.accept().await, place)
                } => accepted,
            };
            while connections.try_join_next().is_some() {}
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection of the command line could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let asked = asked.clone();
            connections.spawn(async move {
                let _place = place;
                if let Err(error) = converse(stream, &asked).await {
                    tracing::debug!(error = %error, "a command went away before it was answered");
                }
            });
        }
        // The file first: who comes now reads the database.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(error = %error, "the socket of the command line is gone already");
        }
        connections.shutdown().await;
    }
}

async fn converse(mut stream: UnixStream, asked: &Asked) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading).take(QUESTION_BYTES_MAX);
    let mut line = String::new();
    tokio::time::timeout(QUESTION_TIME_MAX, reading.read_line(&mut line)).await??;
    let answered = tokio::select! {
        answered = answer(&line, asked) => answered,
        // Nothing more is to be said: this is the end of the stream, and whoever asked is gone.
        _ = reading.read_u8() => return Ok(()),
    };
    writing.write_all(&serde_json::to_vec(&answered)?).await?;
    writing.shutdown().await
}

async fn answer(line: &str, asked: &Asked) -> Answer {
    match serde_json::from_str(line) {
        Ok(Question::Query { text, format }) => {
            let answer = asked.graph.answer_administrator(text).await?;
            Shown::new(&answer, format).map_err(|error| error.to_string())
        }
        Ok(Question::Collect) => {
            let collected = space::collect(&asked.registry, &asked.data).await;
            collected
                .map(|collected| Shown::Text(space::sentence(collected)))
                .map_err(|error| causes(&*error))
        }
        Err(_) => {
            Err("the running server is of another release than this command: restart it, or use its own"
                .to_owned())
        }
    }
}

/// Asks the server that runs on the folder; `None`: none does.
pub(crate) async fn ask(data: &DataFolder, question: &Question) -> Result<Option<Shown>, Failure> {
    let path = data.path(SOCKET);
    if !path.exists() {
        return Ok(None);
    }
    let (address, _folder) = address(&path)?;
    let mut stream = match UnixStream::connect(address).await {
        Ok(stream) => stream,
        // A server that was killed leaves its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(format!("the running server cannot be asked by {}: {error}", path.display()).into());
        }
    };
    let gone = "the server stopped before it answered: ask again";
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    let mut answer = Vec::new();
    let asked = async {
        stream.write_all(&line).await?;
        stream.read_to_end(&mut answer).await
    };
    asked.await.map_err(|_| gone)?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| gone)?;
    Ok(Some(answer?))
}

/// How the system is told the path: one that is too long for a socket goes by the folder's descriptor, which
/// has to stay open until the socket is bound or connected.
fn address(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() < PATH_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    let folder = File::open(path.parent().unwrap_or(path))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET);
    Ok((short, Some(folder)))
}

/// In the data folder.
const SOCKET: &str = "local.sock";

/// Of a socket's address on Linux, 108 with the zero at its end.
const PATH_BYTES_MAX: usize = 107;

/// More than a person starts at once.
const CONNECTIONS_MAX: usize = 16;

/// As of a query over HTTP.
const QUESTION_BYTES_MAX: u64 = 2 << 20;
const QUESTION_TIME_MAX: Duration = Duration::from_secs(10);
