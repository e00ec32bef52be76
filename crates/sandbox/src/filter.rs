//! The system calls that a jailed child may make; any other kills it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule,
};

/// The filter for this process, whose id is `pid`.
pub(crate) fn program(pid: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let is = |argument, value| Condition::new(argument, Len::Dword, Op::Eq, value);
    let masked = |argument, mask, value| Condition::new(argument, Len::Dword, Op::MaskedEq(mask), value);
    let (exec, anonymous) = (number(libc::PROT_EXEC), number(libc::MAP_ANONYMOUS));
    let abort = number(libc::SIGABRT);

    // The layer, the inventory, and the words of a failed allocation.
    rules.insert(libc::SYS_read, vec![SeccompRule::new(vec![is(0, 0)?])?]);
    rules.insert(
        libc::SYS_write,
        vec![SeccompRule::new(vec![is(0, 1)?])?, SeccompRule::new(vec![is(0, 2)?])?],
    );
    // Memory that holds data, never code, and is backed by nothing.
    rules.insert(
        libc::SYS_mmap,
        vec![SeccompRule::new(vec![masked(2, exec, 0)?, masked(3, anonymous, anonymous)?])?],
    );
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![masked(2, exec, 0)?])?]);
    let advice = |advice| SeccompRule::new(vec![is(2, number(advice))?]);
    rules.insert(libc::SYS_madvise, vec![advice(libc::MADV_DONTNEED)?, advice(libc::MADV_FREE)?]);
    // A failed allocation aborts, and abort() is a signal to oneself.
    rules.insert(libc::SYS_rt_sigaction, vec![SeccompRule::new(vec![is(0, abort)?])?]);
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![is(0, u64::from(pid))?, is(2, abort)?])?]);
    for call in UNCONDITIONAL {
        rules.insert(call, Vec::new());
    }
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

fn number(constant: i32) -> u64 {
    u64::from(constant.unsigned_abs())
}

const UNCONDITIONAL: [i64; 14] = [
    // The allocator.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    // Locks of the standard library.
    libc::SYS_futex,
    // Hash maps are seeded; durations are measured.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    // The runtime's end: its alternate stack is put away, and descriptors are closed.
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_close,
    // abort() asks who it is.
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
