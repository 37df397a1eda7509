//! Changing files on their way to the disk.

use std::error::Error;
use std::fs::File;

/// What changes a tree while it is unpacked. All threads share it.
///
/// Paths are below the destination, or whole member names where no prefix is stripped.
pub trait Rewrite: Sync {
    /// Whether a file may have to change. Where not, its content is not even looked at.
    fn concerns(&self, path: &[u8]) -> bool;

    /// Changes the content of a small file before it is written. Somebody may execute it, or not.
    ///
    /// # Errors
    /// Whatever makes the tree useless; nothing of it is kept then.
    fn content(
        &self,
        path: &[u8],
        is_executable: bool,
        content: &mut Vec<u8>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Changes a file that is too large to be held in memory, after it was written. It is open for
    /// reading and writing.
    ///
    /// # Errors
    /// As of [`content`](Self::content).
    fn file(&self, path: &[u8], file: &mut File) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// What the target of a symbolic link becomes, if it changes.
    fn symlink(&self, path: &[u8], target: &[u8]) -> Option<Vec<u8>>;
}

/// Who owns what is unpacked, and what they may do. Nothing set: as in the archive, without bits
/// that give rights away, and with the process's user and group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Instead of the archive's permissions.
    pub modes: Option<Modes>,
    /// Instead of the process's group; the user must be in it.
    pub group: Option<u32>,
}

/// Permissions by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Of a file that nobody may execute in the archive.
    pub file: u32,
    /// Of a file that somebody may execute in the archive.
    pub executable: u32,
    /// Of a directory; may hold the setgid bit.
    pub directory: u32,
}

impl Modes {
    /// Of a file that has these in the archive.
    pub(super) fn of_file(self, mode: u32) -> u32 {
        (if mode & 0o111 == 0 { self.file } else { self.executable }) & 0o777
    }
}
