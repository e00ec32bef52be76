//! The child's side: into the jail, then to work.

use std::io::{self, Read, Write};

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};

use crate::{JailLimits, filter};

/// Which walls stand; seccomp always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JailReport {
    /// Whether the kernel enforces landlock too. Without it seccomp alone refuses to open anything.
    pub landlock: bool,
}

/// Enters the jail, runs `work` over standard input and output, and ends the process: with 0, with 101
/// if `work` panicked, with 1 if it failed, with [`EXIT_NO_JAIL`] if a wall could not be built. Then
/// nothing was read.
///
/// Must be called by a process that has done nothing else and has one thread.
pub fn run_worker(limits: &JailLimits, work: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>) -> ! {
    if enter(limits).is_err() {
        std::process::exit(EXIT_NO_JAIL);
    }
    let outcome = work(&mut Input, &mut io::BufWriter::with_capacity(1 << 16, Output));
    std::process::exit(i32::from(outcome.is_err()));
}

/// Enters the jail. There is no way back.
///
/// # Errors
/// If a wall could not be built; the process must end then.
pub fn enter(limits: &JailLimits) -> io::Result<JailReport> {
    // The usual hook looks at the environment and prints; a jailed panic ends with its exit code.
    std::panic::set_hook(Box::new(|_| {}));
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    close_others()?;
    let landlock = landlock().map_err(io::Error::other)?;
    for (resource, limit) in [
        (Resource::As, limits.memory_bytes),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 3),
        (Resource::Nproc, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    // The soft limit's signal tells the parent why; the hard one cannot be ignored.
    let cpu = Rlimit { current: Some(limits.cpu_s), maximum: Some(limits.cpu_s + 1) };
    setrlimit(Resource::Cpu, cpu)?;
    let program = filter::program(std::process::id()).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    Ok(JailReport { landlock })
}

/// Handles every right there is and grants none.
fn landlock() -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    let status = ruleset.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Closes what the parent may have left open besides the three standard descriptors.
fn close_others() -> io::Result<()> {
    // SAFETY: close_range touches no memory. The descriptors above 2 belong to nobody in this
    // process, which has done nothing but start: no owner is left with a closed one.
    #[expect(unsafe_code, reason = "rustix has no close_range")]
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Standard input without the standard library's small buffer.
struct Input;

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

/// Standard output without a lock or line buffer.
struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The child could not build its jail and has done nothing.
pub(crate) const EXIT_NO_JAIL: i32 = 97;
