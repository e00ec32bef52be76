//! Children that try to get out, or to use up the machine: each attempt must fail in its own way.
//!
//! This is no ordinary test: the program starts itself as the jailed child, so it has its own `main`.
#![expect(unsafe_code, reason = "hostile children make raw system calls")]
#![expect(clippy::print_stdout, reason = "it is its own test harness")]

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use sandbox::{Jail, JailError, JailLimits, Output, Room, run_worker};

/// Small, so that children that reach them do so at once.
const LIMITS: JailLimits =
    JailLimits { memory_bytes: 128 << 20, cpu_s: 1, output_bytes: 1 << 20, patience: Duration::from_secs(3) };

/// How a child must end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Well,
    Violation,
    OutOfMemory,
    OutOfTime,
    OutputTooLarge,
    Hung,
    Failed,
    Killed,
}

type Deed = fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>;

/// Makes a raw system call. A jail that lets it through is found out by the child ending well.
fn call(number: i64, arguments: [usize; 6]) {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: each case passes arguments that are valid for its call or that the kernel refuses.
    unsafe { libc::syscall(number, a, b, c, d, e, f) };
}

fn wait() -> io::Result<()> {
    let word = 0_u32;
    // SAFETY: waits on a word that nobody ever changes or wakes; no time-out is given.
    unsafe { libc::syscall(libc::SYS_futex, &word, libc::FUTEX_WAIT, 0, 0) };
    Ok(())
}

macro_rules! forbidden {
    ($($name:literal: $number:expr, $arguments:expr;)*) => {
        [$(($name, End::Violation, (|_, _| {
            call($number, $arguments);
            Ok(())
        }) as Deed)),*]
    };
}

const PATH: &[u8] = b"/etc/passwd\0";

fn cases() -> Vec<(&'static str, End, Deed)> {
    let mut cases: Vec<(&'static str, End, Deed)> = vec![
        ("echo", End::Well, |input, output| {
            io::copy(input, output)?;
            output.flush()
        }),
        ("memory bomb", End::OutOfMemory, |_, _| {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 1 << 20]);
            }
        }),
        ("endless output", End::OutputTooLarge, |_, output| {
            loop {
                output.write_all(&[0; 4096])?;
            }
        }),
        ("endless work", End::OutOfTime, |_, _| {
            loop {
                std::hint::spin_loop();
            }
        }),
        ("hang", End::Hung, |_, _| wait()),
        // Each is sent this signal from outside, as the system does when memory runs out.
        ("SIGKILL", End::Killed, |_, _| wait()),
        ("SIGTERM", End::Killed, |_, _| wait()),
        ("panic", End::Failed, |_, _| panic!("on purpose")),
        ("error", End::Failed, |_, _| Err(io::ErrorKind::InvalidData.into())),
    ];
    cases.extend(forbidden! {
        "openat": libc::SYS_openat, [libc::AT_FDCWD as usize, PATH.as_ptr() as usize, 0, 0, 0, 0];
        "openat2": libc::SYS_openat2, [libc::AT_FDCWD as usize, PATH.as_ptr() as usize, 0, 0, 0, 0];
        "stat": libc::SYS_newfstatat, [libc::AT_FDCWD as usize, PATH.as_ptr() as usize, 0, 0, 0, 0];
        "unlinkat": libc::SYS_unlinkat, [libc::AT_FDCWD as usize, PATH.as_ptr() as usize, 0, 0, 0, 0];
        "getdents": libc::SYS_getdents64, [0; 6];
        "internet socket": libc::SYS_socket, [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0];
        "unix socket": libc::SYS_socket, [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0];
        "socketpair": libc::SYS_socketpair, [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0];
        "connect": libc::SYS_connect, [0; 6];
        "bind": libc::SYS_bind, [0; 6];
        "sendto": libc::SYS_sendto, [1, 0, 0, 0, 0, 0];
        "execve": libc::SYS_execve, [PATH.as_ptr() as usize, 0, 0, 0, 0, 0];
        "execveat": libc::SYS_execveat, [0; 6];
        "clone": libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0];
        "clone3": libc::SYS_clone3, [0; 6];
        "ptrace": libc::SYS_ptrace, [0; 6];
        "kill": libc::SYS_kill, [1, 0, 0, 0, 0, 0];
        "signal to another": libc::SYS_tgkill, [1, 1, libc::SIGABRT as usize, 0, 0, 0];
        "memfd_create": libc::SYS_memfd_create, [PATH.as_ptr() as usize, 0, 0, 0, 0, 0];
        "io_uring_setup": libc::SYS_io_uring_setup, [0; 6];
        "executable mmap": libc::SYS_mmap, [0, 4096, (libc::PROT_READ | libc::PROT_EXEC) as usize,
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize, usize::MAX, 0];
        "mmap of a descriptor": libc::SYS_mmap, [0, 4096, libc::PROT_READ as usize, libc::MAP_PRIVATE as usize, 0, 0];
        "mprotect to executable": libc::SYS_mprotect, [0, 4096, libc::PROT_EXEC as usize, 0, 0, 0];
        "read of another descriptor": libc::SYS_read, [3, 0, 0, 0, 0, 0];
        "write to another descriptor": libc::SYS_write, [3, 0, 0, 0, 0, 0];
        "write to the input": libc::SYS_write, [0; 6];
        "ioctl": libc::SYS_ioctl, [0; 6];
        "dup": libc::SYS_dup, [0; 6];
        "prctl": libc::SYS_prctl, [0; 6];
        "setrlimit": libc::SYS_prlimit64, [0; 6];
        "seccomp": libc::SYS_seccomp, [0; 6];
        "bpf": libc::SYS_bpf, [0; 6];
        "process_vm_readv": libc::SYS_process_vm_readv, [0; 6];
        "pidfd_open": libc::SYS_pidfd_open, [0; 6];
        "unshare": libc::SYS_unshare, [0; 6];
        "setns": libc::SYS_setns, [0; 6];
        "mount": libc::SYS_mount, [0; 6];
        "keyctl": libc::SYS_keyctl, [0; 6];
        "userfaultfd": libc::SYS_userfaultfd, [0; 6];
        "perf_event_open": libc::SYS_perf_event_open, [0; 6];
        "setuid": libc::SYS_setuid, [0; 6];
        "reboot": libc::SYS_reboot, [0; 6];
    });
    #[cfg(target_arch = "x86_64")]
    cases.extend(forbidden! {
        "open": libc::SYS_open, [PATH.as_ptr() as usize, 0, 0, 0, 0, 0];
        "fork": libc::SYS_fork, [0; 6];
        "vfork": libc::SYS_vfork, [0; 6];
        // The x32 numbering reaches other entries of the same table.
        "x32 getpid": 0x4000_0000 | libc::SYS_getpid, [0; 6];
    });
    cases
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, jailed, number] = arguments.as_slice()
        && jailed == "jailed"
    {
        let number: usize = number.parse().expect("a number");
        run_worker(&LIMITS, cases()[number].2);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut passed, mut failed) = (0, 0);
    for (number, (name, wanted, _)) in cases().into_iter().enumerate() {
        let began = Instant::now();
        let signal = match name {
            "SIGKILL" => Some(libc::SIGKILL),
            "SIGTERM" => Some(libc::SIGTERM),
            _ => None,
        };
        let end = runtime.block_on(end_of(number, signal));
        let took = began.elapsed();
        if end == wanted && took < Duration::from_secs(8) {
            passed += 1;
        } else {
            failed += 1;
            println!("{name}: {end:?} after {took:?}, not {wanted:?}");
        }
    }
    println!("test result: {}. {passed} passed; {failed} failed", if failed == 0 { "ok" } else { "FAILED" });
    std::process::exit(i32::from(failed > 0));
}

async fn end_of(number: usize, signal: Option<i32>) -> End {
    let program = std::env::current_exe().expect("we run");
    let jail = Jail { program, args: vec!["jailed".into(), number.to_string().into()], limits: LIMITS };
    let mut child = jail.spawn().expect("starts");
    let input = vec![7; 200_000];
    // Most of these children never read: that must not hold up who feeds them.
    child.feed(&input).await;
    if let Some(signal) = signal {
        let process = i32::try_from(child.process().expect("it runs")).expect("a number");
        // SAFETY: the process is our child, which was not waited for.
        unsafe { libc::kill(process, signal) };
    }
    match child.finish(&Room::default()).await {
        Ok(Output { bytes: output, .. }) => {
            assert!(output.is_empty() || output == input, "an echo that differs");
            End::Well
        }
        Err(JailError::Violation) => End::Violation,
        Err(JailError::OutOfMemory) => End::OutOfMemory,
        Err(JailError::OutOfTime) => End::OutOfTime,
        Err(JailError::OutputTooLarge) => End::OutputTooLarge,
        Err(JailError::Hung) => End::Hung,
        Err(JailError::Failed { .. }) => End::Failed,
        Err(JailError::Killed { .. }) => End::Killed,
        Err(JailError::Spawn(error)) => panic!("the child could not run: {error}"),
    }
}
