//! Reading a blob and the names in it.

use std::borrow::Cow;
use std::io::{self, Read};

use hod_archive::{Cancel, TarError};

use crate::install::RelocationError;

/// Why a stream could not be looked through.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Something about a binary that has nothing to do with room.
    #[error(transparent)]
    Relocation(RelocationError),
}

impl From<io::Error> for LookError {
    fn from(error: io::Error) -> Self {
        Self::Tar(TarError::Read(error))
    }
}

/// A reader that can be stopped, and says how far it is.
pub(super) struct Counted<'a, R, F> {
    inner: R,
    cancel: &'a Cancel,
    told: F,
    bytes: u64,
}

impl<'a, R: Read, F: FnMut(u64)> Counted<'a, R, F> {
    pub(super) fn new(inner: R, cancel: &'a Cancel, told: F) -> Self {
        Self { inner, cancel, told, bytes: 0 }
    }
}

impl<R: Read, F: FnMut(u64)> Read for Counted<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("stopped"));
        }
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        (self.told)(self.bytes);
        Ok(read)
    }
}

/// A name without `.` components and doubled or trailing slashes, as unpacking sees it.
pub(super) fn normal(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|&byte| byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
    parts.collect::<Vec<_>>().join(&b'/')
}

/// The path below the prefix.
pub(super) fn below<'n>(name: &'n [u8], prefix: &[u8]) -> Option<&'n [u8]> {
    if prefix.is_empty() {
        return Some(name);
    }
    name.strip_prefix(prefix)?.strip_prefix(b"/")
}

/// Bytes as they are shown.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_they_are_unpacked() {
        assert_eq!(normal(b"./opt//zlib/./lib/"), b"opt/zlib/lib");
        assert_eq!(below(b"opt/zlib/lib", b"opt/zlib"), Some(&b"lib"[..]));
        assert_eq!(below(b"opt/zlib2/lib", b"opt/zlib"), None);
        assert_eq!(below(b"lib", b""), Some(&b"lib"[..]));
    }
}
