//! Which lock files this process has open, and which of their bytes its guards hold.
//!
//! Everything happens under one mutex, closing included: a descriptor closed while another thread
//! takes a lock on the same file would undo that lock (`spack-format` 1.6).

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{Mode, Span};

/// Device and inode.
pub(super) type Key = (u64, u64);

/// The first byte that cannot be locked.
const END: u64 = i64::MAX as u64 + 1;

struct Entry {
    file: File,
    /// Opened in a race with somebody who replaced the file; to be closed with the other.
    spares: Vec<File>,
    is_read_only: bool,
    handles: usize,
    held: Vec<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    id: u64,
    start: u64,
    end: u64,
    mode: Mode,
}

#[derive(Default)]
struct Registry {
    entries: HashMap<Key, Entry>,
    last_id: u64,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bounds(span: Span) -> (u64, u64) {
    match span {
        Span::Whole => (0, END),
        Span::Byte(byte) => (byte, byte + 1),
    }
}

/// Opens a file, or finds it open.
pub(super) fn open(path: &Path) -> io::Result<Key> {
    let mut registry = registry();
    // Looked for before it is opened, because a second descriptor could not be closed again.
    match fs_err::metadata(path) {
        Ok(metadata) => {
            let key = (metadata.dev(), metadata.ino());
            if let Some(entry) = registry.entries.get_mut(&key) {
                entry.handles += 1;
                return Ok(key);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (file, is_read_only) = open_file(path)?;
    let metadata = file.metadata()?;
    let key = (metadata.dev(), metadata.ino());
    if let Some(entry) = registry.entries.get_mut(&key) {
        entry.handles += 1;
        entry.spares.push(file);
    } else {
        let entry = Entry { file, spares: vec![], is_read_only, handles: 1, held: vec![] };
        registry.entries.insert(key, entry);
    }
    Ok(key)
}

/// For reading and writing, so that a shared lock can become exclusive, else for reading.
fn open_file(path: &Path) -> io::Result<(File, bool)> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // What Python's `os.open` has for its default, less the umask.
    options.mode(0o777);
    match options.open(path) {
        Ok(file) => Ok((file, false)),
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                // Why it could not be made says more than that it is not there.
                File::open(path).map(|file| (file, true)).map_err(|_| error)
            }
            _ => Err(error),
        },
    }
}

pub(super) fn retain(key: Key) {
    if let Some(entry) = registry().entries.get_mut(&key) {
        entry.handles += 1;
    }
}

pub(super) fn release(key: Key) {
    let mut registry = registry();
    if let Some(entry) = registry.entries.get_mut(&key) {
        entry.handles -= 1;
        if entry.handles == 0 {
            registry.entries.remove(&key);
        }
    }
}

pub(super) fn is_read_only(key: Key) -> bool {
    registry().entries.get(&key).is_some_and(|entry| entry.is_read_only)
}

/// Tries once; `None` if somebody else has it. `instead_of` is a guard of the same span that
/// becomes the new one.
pub(super) fn acquire(
    key: Key,
    span: Span,
    mode: Mode,
    instead_of: Option<u64>,
) -> io::Result<Option<u64>> {
    let mut registry = registry();
    let id = registry.last_id + 1;
    let entry = registry.entries.get_mut(&key).ok_or(io::ErrorKind::NotFound)?;
    let (start, end) = bounds(span);
    if entry.conflict(start, end, mode, instead_of) {
        return Ok(None);
    }
    match entry.set(start, end, kind(mode)) {
        Ok(()) => {}
        Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    entry.held.retain(|held| Some(held.id) != instead_of);
    entry.held.push(Held { id, start, end, mode });
    registry.last_id = id;
    Ok(Some(id))
}

/// Gives back what a guard held and no other holds.
pub(super) fn unlock(key: Key, id: u64) {
    let mut registry = registry();
    let Some(entry) = registry.entries.get_mut(&key) else { return };
    let Some(index) = entry.held.iter().position(|held| held.id == id) else { return };
    let held = entry.held.swap_remove(index);
    for (start, end) in entry.uncovered(held.start, held.end) {
        // There is nobody to tell, and closing the file unlocks it too.
        let _ = entry.set(start, end, libc::F_UNLCK);
    }
}

/// The process that has what was asked for.
pub(super) fn holder(key: Key, span: Span, mode: Mode, instead_of: Option<u64>) -> Option<i32> {
    let registry = registry();
    let entry = registry.entries.get(&key)?;
    let (start, end) = bounds(span);
    if entry.conflict(start, end, mode, instead_of) {
        return i32::try_from(std::process::id()).ok();
    }
    let mut request = request(start, end, kind(mode));
    fcntl(entry.file.file(), FcntlArg::F_GETLK(&mut request)).ok()?;
    let is_held = i32::from(request.l_type) != i32::from(UNLOCKED);
    (is_held && request.l_pid > 0).then_some(request.l_pid)
}

impl Entry {
    /// Whether another thread's guard is in the way.
    fn conflict(&self, start: u64, end: u64, mode: Mode, instead_of: Option<u64>) -> bool {
        self.held.iter().any(|held| {
            Some(held.id) != instead_of
                && held.start < end
                && start < held.end
                && (mode == Mode::Exclusive || held.mode == Mode::Exclusive)
        })
    }

    /// The parts from `start` to `end` that no guard holds.
    fn uncovered(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut others: Vec<_> = self.held.iter().map(|held| (held.start, held.end)).collect();
        others.sort_unstable();
        let mut parts = Vec::new();
        let mut next = start;
        for (other_start, other_end) in others {
            if other_start > next {
                parts.push((next, other_start.min(end)));
            }
            next = next.max(other_end);
            if next >= end {
                break;
            }
        }
        if next < end {
            parts.push((next, end));
        }
        parts.retain(|(start, end)| start < end);
        parts
    }

    fn set(&self, start: u64, end: u64, kind: libc::c_int) -> Result<(), Errno> {
        loop {
            let request = request(start, end, kind);
            match fcntl(self.file.file(), FcntlArg::F_SETLK(&request)) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }
}

// Systems differ in the width of these.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
const UNLOCKED: libc::c_short = libc::F_UNLCK as libc::c_short;

#[allow(clippy::unnecessary_cast)]
fn kind(mode: Mode) -> libc::c_int {
    match mode {
        Mode::Shared => libc::F_RDLCK as libc::c_int,
        Mode::Exclusive => libc::F_WRLCK as libc::c_int,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn request(start: u64, end: u64, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start.cast_signed(),
        // Nothing stands for no end.
        l_len: if end == END { 0 } else { (end - start).cast_signed() },
        l_pid: 0,
    }
}
