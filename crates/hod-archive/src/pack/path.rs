//! System calls on absolute paths of any length. One call takes at most [`PATH_MAX`] bytes; what
//! lies deeper is reached by walking down in pieces.

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, openat, readlinkat_raw, statat};
use rustix::io::{Errno, retry_on_intr};

const PATH_MAX: usize = 4096;

/// Opens for reading, also what lies deeper than one call can name.
pub(super) fn open_path(path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    match retry_on_intr(|| openat(CWD, path, flags, Mode::empty())) {
        Err(Errno::NAMETOOLONG) if path.len() >= PATH_MAX => {
            let (directory, rest) = descend(path)?;
            openat(&directory, rest, flags, Mode::empty())
        }
        other => other,
    }
}

/// The metadata of what `path` names, be it a link, also of what lies deeper than one call can
/// name.
pub(super) fn stat_path(path: &[u8]) -> Result<Stat, Errno> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NAMETOOLONG) if path.len() >= PATH_MAX => {
            let (directory, rest) = descend(path)?;
            statat(&directory, rest, AtFlags::SYMLINK_NOFOLLOW)
        }
        other => other,
    }
}

/// The target of a symbolic link, verbatim.
pub(super) fn read_link(path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut target = Vec::with_capacity(PATH_MAX);
    match read_link_at(CWD, path, &mut target) {
        Err(Errno::NAMETOOLONG) if path.len() >= PATH_MAX => {
            let (directory, rest) = descend(path)?;
            read_link_at(directory.as_fd(), rest, &mut target)?;
        }
        other => other?,
    }
    target.shrink_to_fit();
    Ok(target)
}

/// No link target is longer than `PATH_MAX - 1` on Linux, so one call always suffices.
fn read_link_at(at: BorrowedFd<'_>, path: &[u8], target: &mut Vec<u8>) -> Result<(), Errno> {
    readlinkat_raw(at, path, spare_capacity(target)).map(|_| ())
}

/// Walks an over-long absolute path down in pieces, one descriptor at a time, until the rest is
/// short enough.
fn descend(path: &[u8]) -> Result<(OwnedFd, &[u8]), Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, c"/", step, Mode::empty())?;
    let mut rest = &path[1..];
    while rest.len() >= PATH_MAX {
        let piece = &rest[..PATH_MAX - 1];
        let cut = piece.iter().rposition(|&b| b == b'/').ok_or(Errno::NAMETOOLONG)?;
        at = openat(&at, &rest[..cut], step, Mode::empty())?;
        rest = &rest[cut + 1..];
    }
    Ok((at, rest))
}
