//! The parent's side: start the child, feed it, hear it out, and never wait for ever.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::worker::EXIT_NO_JAIL;
use crate::{JailLimits, Room};

/// How jailed children are started.
#[derive(Clone, Debug)]
pub struct Jail {
    /// The program: this very one.
    pub program: PathBuf,
    /// What makes it call [`crate::run_worker`] with the same limits.
    pub args: Vec<OsString>,
    /// What each child may use up.
    pub limits: JailLimits,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct JailedChild {
    child: Child,
    stdin: Option<ChildStdin>,
    output: JoinHandle<io::Result<(Vec<u8>, ChildStdout)>>,
    limits: JailLimits,
    is_hung: bool,
}

/// What a child wrote.
#[derive(Debug)]
pub struct Output {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The room that a large output takes; to be kept for as long as what was made of it.
    pub room: Option<OwnedSemaphorePermit>,
}

/// How a child ended that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// It tried something that the jail forbids.
    #[error("the extractor tried a system call that its jail forbids")]
    Violation,
    /// It needed more memory than it may have.
    #[error("the extractor needed more than its limit of memory")]
    OutOfMemory,
    /// It needed more processor time than it may have.
    #[error("the extractor needed more than its limit of processor time")]
    OutOfTime,
    /// It neither read, wrote nor ended.
    #[error("the extractor stood still for longer than its limit of patience")]
    Hung,
    /// It wrote more than it may.
    #[error("the extractor wrote more than its limit of output")]
    OutputTooLarge,
    /// Something outside ended it: a person, or a system without memory. What it read is not to blame, and
    /// another try may succeed.
    #[error("the extractor was ended from outside, by signal {signal}")]
    Killed {
        /// By which signal.
        signal: i32,
    },
    /// It panicked or failed.
    #[error("the extractor failed with {status}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
    },
    /// The system could not run it; nothing was read.
    #[error("the extractor could not be run")]
    Spawn(#[from] io::Error),
}

impl Jail {
    /// Starts a child: nothing in its environment, two pipes, no other descriptor.
    ///
    /// # Errors
    /// If the system has no process to give.
    pub fn spawn(&self) -> io::Result<JailedChild> {
        // No hook before exec: the system can then start the child without copying this process.
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            // Fewer switches between the two; a user with very many pipes is refused, and does without.
            let _smaller_will_do = rustix::pipe::fcntl_setpipe_size(stdin, PIPE_BYTES);
        }
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // Heard from the start: a child that writes a little while it is being fed need not wait for us.
        let output = tokio::spawn(read_upto(Vec::new(), stdout, SMALL_OUTPUT_BYTES));
        Ok(JailedChild { child, stdin, output, limits: self.limits, is_hung: false })
    }
}

impl JailedChild {
    /// Its process, as long as it was not waited for.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Gives the child its next bytes. `false`: it takes no more, and [`JailedChild::finish`] will
    /// say why.
    pub async fn feed(&mut self, bytes: &[u8]) -> bool {
        let Some(stdin) = &mut self.stdin else { return false };
        let taken = match tokio::time::timeout(self.limits.patience, stdin.write_all(bytes)).await {
            Ok(written) => written.is_ok(),
            Err(_) => {
                self.is_hung = true;
                false
            }
        };
        if !taken {
            self.stdin = None;
        }
        taken
    }

    /// Ends the input, and returns what the child wrote once it has ended well. An output of more than a
    /// mebibyte is read once it has all of `room` for itself: no two are held at a time.
    ///
    /// # Errors
    /// [`JailError`]: how it ended instead. It has ended in every case.
    pub async fn finish(mut self, room: &Room) -> Result<Output, JailError> {
        drop(self.stdin.take());
        if self.is_hung {
            self.end().await?;
            return Err(JailError::Hung);
        }
        let limits = self.limits;
        let heard = tokio::time::timeout(limits.patience, &mut self.output).await;
        let Ok(heard) = heard else {
            self.end().await?;
            return Err(JailError::Hung);
        };
        let (mut bytes, stdout) = heard.map_err(io::Error::other)??;
        let mut permit = None;
        if bytes.len() as u64 > SMALL_OUTPUT_BYTES {
            // It waits in its write meanwhile, and is not to blame for that.
            permit = Some(room.take(u64::MAX).await);
            let rest = tokio::time::timeout(limits.patience, read_upto(bytes, stdout, limits.output_bytes));
            let Ok(rest) = rest.await else {
                self.end().await?;
                return Err(JailError::Hung);
            };
            bytes = rest?.0;
        }
        if bytes.len() as u64 > limits.output_bytes {
            // It is not waited for.
            self.end().await?;
            return Err(JailError::OutputTooLarge);
        }
        let Ok(status) = tokio::time::timeout(limits.patience, self.child.wait()).await else {
            self.end().await?;
            return Err(JailError::Hung);
        };
        judge(status?).map(|()| Output { bytes, room: permit })
    }

    async fn end(&mut self) -> io::Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }
}

fn judge(status: ExitStatus) -> Result<(), JailError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(EXIT_NO_JAIL), _) => {
            Err(JailError::Spawn(io::Error::other("this system cannot build the jail")))
        }
        (_, Some(libc::SIGSYS)) => Err(JailError::Violation),
        // An allocation that fails aborts; nothing else in the child does.
        (_, Some(libc::SIGABRT)) => Err(JailError::OutOfMemory),
        (_, Some(libc::SIGXCPU)) => Err(JailError::OutOfTime),
        // It sends itself none of these, and its limits end it by others.
        (_, Some(signal @ (libc::SIGKILL | libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT))) => {
            Err(JailError::Killed { signal })
        }
        _ => Err(JailError::Failed { status }),
    }
}

/// The most that an unprivileged process may ask for (pipe(7)).
const PIPE_BYTES: usize = 1 << 20;

/// Output that is read as soon as it comes. What most layers have to say is a tenth of that.
const SMALL_OUTPUT_BYTES: u64 = 1 << 20;

/// Reads to the end, or to one byte over the limit.
async fn read_upto(
    mut output: Vec<u8>,
    stdout: ChildStdout,
    bytes_max: u64,
) -> io::Result<(Vec<u8>, ChildStdout)> {
    let mut rest = stdout.take((bytes_max + 1).saturating_sub(output.len() as u64));
    rest.read_to_end(&mut output).await?;
    Ok((output, rest.into_inner()))
}
