//! Small trees of one kind of entry each: the difference between a run on one of them and a run on
//! the empty one is what that kind costs.

use std::path::Path;

use crate::harness::{Harness, Subject};

/// Entries of the one kind.
pub(crate) const ENTRIES: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A directory with one small file, so that nothing about it is special.
    Empty,
    /// Files of 6,000 bytes in one directory.
    Files,
    /// Directories without files.
    Directories,
    /// Symbolic links in one directory.
    Links,
}

impl Shape {
    pub(crate) const COUNTED: [Self; 3] = [Self::Files, Self::Directories, Self::Links];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Files => "file",
            Self::Directories => "directory",
            Self::Links => "link",
        }
    }

    /// Makes the tree on the disk.
    pub(crate) fn make(self, harness: &Harness) -> anyhow::Result<Subject> {
        let prefix = harness.disk.path().join("shape").join(self.name());
        if !prefix.exists() {
            fs_err::create_dir_all(&prefix)?;
            fs_err::write(prefix.join("one.txt"), "one file\n")?;
            for number in 0..if self == Self::Empty { 0 } else { ENTRIES } {
                self.entry(&prefix.join(format!("entry-{number:04}")))?;
            }
        }
        Ok(Subject { name: format!("shape-{}", self.name()), prefix })
    }

    fn entry(self, at: &Path) -> std::io::Result<()> {
        match self {
            Self::Empty => Ok(()),
            Self::Files => fs_err::write(at, "text of a file\n".repeat(400)),
            Self::Directories => fs_err::create_dir(at),
            Self::Links => fs_err::os::unix::fs::symlink("one.txt", at),
        }
    }
}
