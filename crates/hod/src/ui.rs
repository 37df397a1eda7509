//! How Hod speaks: stdout is data, stderr is talk (`STYLE.md`).

pub(crate) mod diagnostics;
pub(crate) mod format;
mod printer;
mod progress;

pub(crate) use printer::{DIM, Printer};
pub(crate) use progress::Progress;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Done, or nothing to do.
    Success = 0,
    /// Something that was asked for failed or was not found.
    Failure = 1,
    /// Wrong usage.
    Usage = 2,
    /// By a signal.
    Interrupted = 130,
}
