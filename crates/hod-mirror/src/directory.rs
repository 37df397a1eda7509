//! A mirror that is one directory (`docs/formats/directory-mirror.md`).

mod blob;
mod check;
mod durable;
mod fault;
mod layout;
mod lock;
mod publish;
mod read;
mod spack;

#[cfg(test)]
mod crash_tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hod_archive::Digest;

pub use blob::{BlobWriter, Linked, Stored};
pub use check::{CheckProgress, CheckReport, Finding, Problem, Role};
pub use lock::{LockHolder, Patience, Waiting};
pub use publish::Publication;
pub use read::Entry;
pub(crate) use spack::is_newer;
pub use spack::{
    IndexMode, IndexOptions, IndexReport, SkippedEntry, SpackIndex, SpackNames, SpackPublication,
    V2Names,
};

use crate::error::{Error, Written};

/// A handle on a directory mirror. Clones are cheap and share it; any number of handles, threads
/// and processes may read and write one mirror at the same time.
#[derive(Debug, Clone)]
pub struct DirectoryMirror(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    lock_method: lock::Method,
    is_prepared: AtomicBool,
}

impl fmt::Display for DirectoryMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

impl DirectoryMirror {
    /// Opens a mirror that must exist. A Spack build cache without `hod.json` is one, with
    /// nothing in it yet.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = path.into();
        layout::open(&root)?;
        Ok(Self::new(root, lock::Method::Flock))
    }

    /// Opens a mirror, and creates it where there is nothing or an empty directory. A directory
    /// with other things in it is refused, so that nobody pushes into their home by mistake.
    pub fn ensure(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = path.into();
        layout::ensure(&root)?;
        Ok(Self::new(root, lock::Method::Flock))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.root
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_directory().join(digest.hex())
    }

    fn new(root: PathBuf, lock_method: lock::Method) -> Self {
        Self(Arc::new(Shared { root, lock_method, is_prepared: AtomicBool::new(false) }))
    }

    /// What every writer needs before its first byte: the whole layout (a Spack mirror may have
    /// been opened as it was), and the temporary files of dead writers gone.
    fn prepare(&self) -> Result<(), Error> {
        if !self.0.is_prepared.load(Ordering::Acquire) {
            layout::ensure(self.path())?;
            durable::remove_stale(&self.temporary_directory());
            self.0.is_prepared.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn blob_directory(&self) -> PathBuf {
        self.path().join("oci/blobs/sha256")
    }

    fn temporary_directory(&self) -> PathBuf {
        self.path().join(".hod/tmp")
    }

    fn index_path(&self) -> PathBuf {
        self.path().join("oci/index.json")
    }

    pub(crate) fn write_error(&self, what: Written) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Write { what, path: self.path().to_owned(), source }
    }
}
