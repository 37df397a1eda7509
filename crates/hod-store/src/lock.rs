//! Spack's locks: classic POSIX record locks, asked for again and again until they are free
//! (`spack-format` 1.6).
//!
//! Such locks belong to a process, so the system neither keeps its threads apart nor remembers a
//! lock once any descriptor of the file is closed. Both are seen to here: each file is open once
//! per process, and a table says which thread's guard holds what ([`registry`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hod_spec::DagHash;

use crate::Error;

mod registry;
#[cfg(test)]
mod tests;

/// Spack's default of `config:db_lock_timeout`.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(60);
/// After this long, the caller is told that it is being kept waiting.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a cancelled wait may go on.
const SLICE: Duration = Duration::from_millis(50);

/// Who else may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Others that share it; for reading.
    Shared,
    /// Nobody; for writing.
    Exclusive,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        })
    }
}

/// The part of a lock file that is locked. The bytes need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of it, without end.
    Whole,
    /// One byte.
    Byte(u64),
}

impl Span {
    /// The byte of a spec in `prefix_lock` and `prefix_failures`.
    pub fn of(hash: &DagHash) -> Self {
        Self::Byte(hash.lock_offset())
    }
}

/// How to wait for a lock.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// Called once, when waiting has taken a second.
    pub on_wait: &'a dyn Fn(&Waiting),
    /// Ends the wait when it says so.
    pub is_cancelled: &'a dyn Fn() -> bool,
    /// The wait ends with [`Error::Locked`] after this long; `None` waits for ever, and zero tries
    /// once. A minute by default.
    pub timeout: Option<Duration>,
}

impl Default for Patience<'_> {
    fn default() -> Self {
        Self { on_wait: &|_| {}, is_cancelled: &|| false, timeout: Some(DATABASE_TIMEOUT) }
    }
}

impl fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What a caller is told when it is kept waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The lock file.
    pub path: PathBuf,
    /// How it is to be locked.
    pub mode: Mode,
    /// The process that holds it, if the system tells; it does not for those of other machines.
    pub holder: Option<i32>,
}

/// A file whose parts can be locked. All values of one file share one descriptor, which is closed
/// with the last of them.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    key: registry::Key,
}

/// A lock, held until it is dropped.
#[derive(Debug)]
#[must_use = "it is unlocked when this is dropped"]
pub struct Lock {
    file: LockFile,
    span: Span,
    mode: Mode,
    id: u64,
}

impl LockFile {
    /// Opens the file, or makes it as Spack does. One that may not be written can be shared only;
    /// one that is missing and cannot be made is an error.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let key =
            registry::open(path).map_err(|source| Error::Lock { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), key })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a lock.
    pub fn lock(&self, span: Span, mode: Mode, patience: &Patience<'_>) -> Result<Lock, Error> {
        let id = self.wait(span, mode, patience, None)?;
        Ok(Lock { file: self.clone(), span, mode, id })
    }

    fn wait(
        &self,
        span: Span,
        mode: Mode,
        patience: &Patience<'_>,
        instead_of: Option<u64>,
    ) -> Result<u64, Error> {
        let path = || self.path.clone();
        if mode == Mode::Exclusive && registry::is_read_only(self.key) {
            return Err(Error::ReadOnlyLock { path: path() });
        }
        let since = Instant::now();
        let (mut is_told, mut attempt) = (false, 0);
        loop {
            let attempted = registry::acquire(self.key, span, mode, instead_of);
            if let Some(id) = attempted.map_err(|source| Error::Lock { path: path(), source })? {
                return Ok(id);
            }
            let waited = since.elapsed();
            let holder = || registry::holder(self.key, span, mode, instead_of);
            if patience.timeout.is_some_and(|timeout| waited >= timeout) {
                return Err(Error::Locked { path: path(), mode, waited, holder: holder() });
            }
            if !is_told && waited >= SILENCE {
                (patience.on_wait)(&Waiting { path: path(), mode, holder: holder() });
                is_told = true;
            }
            let left =
                patience.timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(waited));
            pause(interval(attempt).min(left), patience.is_cancelled)?;
            attempt += 1;
        }
    }
}

impl Clone for LockFile {
    fn clone(&self) -> Self {
        registry::retain(self.key);
        Self { path: self.path.clone(), key: self.key }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        registry::release(self.key);
    }
}

impl Lock {
    /// How it is held.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is locked.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Lets others share it, without letting go of it.
    pub fn downgrade(&mut self) -> Result<(), Error> {
        self.change(
            Mode::Shared,
            &Patience { timeout: Some(Duration::ZERO), ..Patience::default() },
        )
    }

    /// Waits until nobody else shares it. It stays shared meanwhile, and if the wait ends without
    /// success.
    pub fn upgrade(&mut self, patience: &Patience<'_>) -> Result<(), Error> {
        self.change(Mode::Exclusive, patience)
    }

    fn change(&mut self, mode: Mode, patience: &Patience<'_>) -> Result<(), Error> {
        if self.mode != mode {
            self.id = self.file.wait(self.span, mode, patience, Some(self.id))?;
            self.mode = mode;
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        registry::unlock(self.file.key, self.id);
    }
}

/// How long Spack waits after each failed attempt: for two seconds it asks ten times a second, then
/// for eight seconds five times, then twice.
fn interval(attempt: u64) -> Duration {
    Duration::from_millis(match attempt {
        0..20 => 100,
        20..60 => 200,
        _ => 500,
    })
}

fn pause(length: Duration, is_cancelled: &dyn Fn() -> bool) -> Result<(), Error> {
    let end = Instant::now() + length;
    loop {
        if is_cancelled() {
            return Err(Error::Cancelled);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(SLICE));
    }
}
