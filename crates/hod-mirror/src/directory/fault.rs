//! Where tests let a process die: between any two steps that change the disk.

/// Marks a point after which a process may be gone.
#[cfg(not(test))]
pub(super) const fn step() {}

/// Dies as by `kill -9` at the step whose number `HOD_TEST_DIE_AT_STEP` holds.
#[cfg(test)]
pub(super) fn step() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TAKEN: AtomicU64 = AtomicU64::new(0);
    static LAST: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("HOD_TEST_DIE_AT_STEP").ok()?.parse().ok());

    if TAKEN.fetch_add(1, Ordering::SeqCst) + 1 == LAST.unwrap_or(u64::MAX) {
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        std::thread::park();
    }
}
