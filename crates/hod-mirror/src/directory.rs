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
pub(crate) use check::with_sources;
pub use check::{CheckProgress, CheckReport, Finding, Problem, Role};
pub use lock::{LockHolder, Patience, Waiting};
pub use publish::Publication;
pub use read::Entry;
pub(crate) use spack::is_newer;
pub use spack::{
    IndexMode, IndexOptions, IndexReport, SkippedEntry, SpackIndex, SpackNames, SpackPublication,
    V2Names,
};

use self::layout::{Place, Shape};
use crate::error::{Error, Written};

/// A handle on a directory mirror. Clones are cheap and share it; any number of handles, threads
/// and processes may read and write one mirror at the same time.
#[derive(Debug, Clone)]
pub struct DirectoryMirror(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: Place,
    lock_method: lock::Method,
    is_prepared: AtomicBool,
}

impl fmt::Display for DirectoryMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_spack_half() {
            f.write_str("oci-layout:")?;
        }
        self.path().display().fmt(f)
    }
}

impl DirectoryMirror {
    /// Opens a mirror that must exist. A Spack build cache without `hod.json` is one, with
    /// nothing in it yet.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_as(Shape::Mirror, path.into())
    }

    /// Opens a mirror, and creates it where there is nothing or an empty directory. A directory
    /// with other things in it is refused, so that nobody pushes into their home by mistake.
    pub fn ensure(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::ensure_as(Shape::Mirror, path.into())
    }

    /// Opens a bare OCI image layout that must exist, whoever made it: images and nothing else.
    pub fn open_layout(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_as(Shape::Layout, path.into())
    }

    /// Opens a bare OCI image layout, and creates it where there is nothing or an empty directory.
    pub fn ensure_layout(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::ensure_as(Shape::Layout, path.into())
    }

    /// Whether it is a build cache of Spack as well. A bare image layout is not: it has no entries,
    /// and whatever would write one fails.
    pub fn has_spack_half(&self) -> bool {
        self.0.place.shape == Shape::Mirror
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.place.root
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_directory().join(digest.hex())
    }

    /// The image layout, which container tools read.
    pub fn layout_path(&self) -> PathBuf {
        self.0.place.layout()
    }

    fn open_as(shape: Shape, root: PathBuf) -> Result<Self, Error> {
        let place = Place { root, shape };
        place.open()?;
        Ok(Self::new(place, lock::Method::Flock))
    }

    fn ensure_as(shape: Shape, root: PathBuf) -> Result<Self, Error> {
        let place = Place { root, shape };
        place.ensure()?;
        Ok(Self::new(place, lock::Method::Flock))
    }

    fn new(place: Place, lock_method: lock::Method) -> Self {
        Self(Arc::new(Shared { place, lock_method, is_prepared: AtomicBool::new(false) }))
    }

    /// What every writer needs before its first byte: the whole layout (a Spack mirror may have
    /// been opened as it was), and the temporary files of dead writers gone.
    fn prepare(&self) -> Result<(), Error> {
        if !self.0.is_prepared.load(Ordering::Acquire) {
            self.0.place.ensure()?;
            durable::remove_stale(&self.temporary_directory());
            self.0.is_prepared.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn blob_directory(&self) -> PathBuf {
        self.layout_path().join("blobs/sha256")
    }

    fn temporary_directory(&self) -> PathBuf {
        self.path().join(".hod/tmp")
    }

    fn index_path(&self) -> PathBuf {
        self.layout_path().join("index.json")
    }

    /// Nothing of Spack's is ever written into a bare image layout.
    fn require_spack_half(&self) -> Result<(), Error> {
        if self.has_spack_half() {
            Ok(())
        } else {
            Err(Error::NoSpackHalf { path: self.path().to_owned() })
        }
    }

    pub(crate) fn write_error(&self, what: Written) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Write { what, path: self.path().to_owned(), source }
    }
}
