//! This process's own memory: given back to the system when it is no longer needed.
//!
//! The C library keeps what was freed, for each thread that once allocated. After a burst of scans that is ten
//! times of what the server needs when it is idle (figures: `docs/operating.md`).

/// Lets threads share four heaps, and has large buffers from the system itself, to which they go back when they
/// are freed. To be called before there are threads: each of those would begin a heap of its own, of which
/// parts stay in use for ever.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in [(libc::M_ARENA_MAX, 4), (libc::M_MMAP_THRESHOLD, 512 << 10)] {
        // SAFETY: mallopt takes two numbers and touches the allocator's settings alone; a wrong one is refused.
        #[expect(unsafe_code, reason = "a setting of the C library")]
        let _is_set = unsafe { libc::mallopt(setting, value) };
    }
}

/// Gives back what was freed. Costs milliseconds; to be called now and then, and when there is nothing to do.
pub fn give_back() {
    // SAFETY: malloc_trim only releases pages in which nothing is allocated; it may be called at any time.
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a call of the C library")]
    let _gave = unsafe { libc::malloc_trim(0) };
}
