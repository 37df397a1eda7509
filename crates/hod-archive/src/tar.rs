//! The tar dialect: POSIX pax over ustar, as Python's `tarfile` writes it.

pub(crate) mod write;

/// Everything in a tar stream comes in blocks of this many bytes.
pub(crate) const BLOCK: usize = 512;
/// A stream ends with zero blocks up to a multiple of this many bytes (POSIX record size; Python
/// and GNU tar pad to it too).
pub(crate) const RECORD: u64 = 10_240;

/// Bytes that follow content of `size` bytes up to the next block.
pub(crate) const fn padding(size: u64) -> usize {
    ((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64) as usize
}
