//! Why a tree could not be packed.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why a tree could not be packed. Whatever happens, no archive is ever silently wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The prefix must be absolute, without `.` and `..`: it becomes the members' names.
    #[error("the prefix `{}` is not an absolute path", path.display())]
    NotAbsolute {
        /// As it was given.
        path: PathBuf,
    },
    /// `/` is no install prefix.
    #[error("the root of the file system cannot be packed as a prefix")]
    FileSystemRoot,
    /// A directory could not be listed.
    #[error("could not list the directory `{}`", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or link could not be opened or read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file was listed, but is gone.
    #[error("`{}` vanished while it was packed", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what it was a moment ago.
    #[error("`{}` {how}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What happened to it.
        how: &'static str,
    },
    /// A name that container runtimes take for an instruction to delete another file
    /// (image-spec, `layer.md`, "Whiteouts").
    #[error("`{}` has a name that container images reserve (`.wh.`…)", path.display())]
    Whiteout {
        /// The file.
        path: PathBuf,
    },
    /// A file stands where the last entry's directory must be.
    #[error("`{}` is not a directory", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The blob could not be encoded or written.
    #[error("could not write the packed blob")]
    Write {
        /// What the sink said.
        source: io::Error,
    },
    /// The caller's [`Cancel`](crate::Cancel) was set.
    #[error("packing was interrupted")]
    Cancelled,
}

impl PackError {
    pub(super) fn read(path: &[u8], errno: Errno) -> Self {
        let path = PathBuf::from(OsStr::from_bytes(path));
        match errno {
            Errno::NOENT => Self::Vanished { path },
            // NOFOLLOW met a link where a file was listed.
            Errno::LOOP => Self::Changed { path, how: "is no longer a regular file" },
            _ => Self::Read { path, source: errno.into() },
        }
    }

    pub(super) fn changed(path: &[u8], how: &'static str) -> Self {
        Self::Changed { path: PathBuf::from(OsStr::from_bytes(path)), how }
    }
}
