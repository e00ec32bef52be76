//! The parent's side: start the child, feed it, hear it out, and never wait for ever.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::JailLimits;
use crate::worker::EXIT_NO_JAIL;

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
    output: JoinHandle<io::Result<Vec<u8>>>,
    limits: JailLimits,
    is_hung: bool,
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
        // Heard from the start: a child that writes while it is being fed must not wait for us.
        let output = tokio::spawn(read_bounded(stdout, self.limits.output_bytes));
        Ok(JailedChild { child, stdin, output, limits: self.limits, is_hung: false })
    }
}

impl JailedChild {
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

    /// Ends the input, and returns what the child wrote once it has ended well.
    ///
    /// # Errors
    /// [`JailError`]: how it ended instead. It has ended in every case.
    pub async fn finish(mut self) -> Result<Vec<u8>, JailError> {
        drop(self.stdin.take());
        if self.is_hung {
            self.end().await?;
            return Err(JailError::Hung);
        }
        let ended = tokio::time::timeout(self.limits.patience, async {
            let output = (&mut self.output).await;
            // More output than it may write: it is not waited for.
            let is_whole =
                matches!(&output, Ok(Ok(output)) if output.len() as u64 <= self.limits.output_bytes);
            if !is_whole {
                self.child.start_kill()?;
            }
            let status = self.child.wait().await?;
            Ok::<_, io::Error>((output, status))
        });
        let Ok(ended) = ended.await else {
            self.end().await?;
            return Err(JailError::Hung);
        };
        let (output, status) = ended?;
        let output = output.map_err(io::Error::other)??;
        if output.len() as u64 > self.limits.output_bytes {
            return Err(JailError::OutputTooLarge);
        }
        judge(status).map(|()| output)
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
        _ => Err(JailError::Failed { status }),
    }
}

/// The most that an unprivileged process may ask for (pipe(7)).
const PIPE_BYTES: usize = 1 << 20;

/// Reads to the end, or to one byte over the limit.
async fn read_bounded(stdout: ChildStdout, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    stdout.take(bytes_max + 1).read_to_end(&mut output).await?;
    Ok(output)
}
