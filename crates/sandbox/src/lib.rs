//! The jail: a child process that can read one pipe, write another, compute, and nothing else.
//!
//! The parent starts its own program again ([`Jail::spawn`]) with a hidden argument; the child calls
//! [`run_worker`] before it does anything else, which puts it under landlock, seccomp and resource limits
//! for good, and then runs one function over standard input and output. What comes out is as little
//! to be trusted as what went in.

mod filter;
pub mod memory;
mod parent;
mod room;
mod worker;

pub use parent::{Jail, JailError, JailedChild, Output};
pub use room::Room;
pub use worker::{JailReport, enter, run_worker};

use std::time::Duration;

/// What a child may use up. Each limit ends it with an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JailLimits {
    /// Address space in bytes, the program's own mapping included ([`JailError::OutOfMemory`]).
    pub memory_bytes: u64,
    /// Processor time in seconds ([`JailError::OutOfTime`]).
    pub cpu_s: u64,
    /// What it may write, in bytes ([`JailError::OutputTooLarge`]).
    pub output_bytes: u64,
    /// How long it may leave a full pipe unread, and how long it may go on once it has had all of
    /// its input ([`JailError::Hung`]).
    pub patience: Duration,
}

impl Default for JailLimits {
    fn default() -> Self {
        Self {
            // The largest window of zstd is 128 MiB; the databases of a big image are a tenth of that.
            memory_bytes: 512 << 20,
            // A terabyte of zeroes would take longer; a layer of 20 GB takes a minute.
            cpu_s: 300,
            // 8 MiB of text and 100,000 packages (`extract::Limits`) as JSON.
            output_bytes: 24 << 20,
            patience: Duration::from_secs(320),
        }
    }
}
