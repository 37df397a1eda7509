//! A tree that is whole and verified, and not yet where it is to be.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::Entries;
use super::name::{self, split};
use super::plan::Planned;
use super::staging::Staging;
use super::tree::Tree;
use super::write::{Attributes, write_file};
use super::{UnpackError, Unpacked};
use crate::tar::shown;

/// A tree in its private directory, in which something may still be changed. It is removed unless
/// it is [published](Self::publish).
#[derive(Debug)]
pub struct StagedTree {
    pub(super) staging: Staging,
    pub(super) tree: Tree,
    pub(super) unpacked: Unpacked,
    pub(super) entries: Option<Entries>,
    /// What of the tree is to be published, if not all of it.
    pub(super) part: Vec<u8>,
}

impl StagedTree {
    /// What was unpacked.
    pub fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }

    /// What the tree holds, as it was unpacked, if that was asked for.
    pub fn entries(&self) -> Option<&Entries> {
        self.entries.as_ref()
    }

    /// The private directory.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// User and group of everything in the tree.
    pub fn owner(&self) -> (u32, u32) {
        (self.tree.owner, self.tree.group)
    }

    /// Publishes the directory `path` alone, and takes it for the tree from now on.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn narrow(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let prefix = shown(path);
        self.tree.open(path).map_err(|_| UnpackError::PrefixMissing { prefix })?;
        self.part = path.to_vec();
        Ok(())
    }

    /// The path of an entry below what is to be published; `None` if it is outside.
    pub fn relative<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.part.is_empty() {
            return Some(path);
        }
        path.strip_prefix(&self.part[..])?.strip_prefix(b"/")
    }

    /// Opens a regular file of the tree for reading and writing; follows no link.
    pub fn open(&self, path: &[u8]) -> io::Result<File> {
        self.tree.open_file(&self.whole(path))
    }

    /// The whole mode of the tree's own directory.
    pub fn mode(&self) -> io::Result<u32> {
        let root = self.tree.open(&self.part)?;
        Ok(rustix::fs::fstat(&root)?.st_mode)
    }

    /// Reads a regular file of the tree of up to `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// It is larger, or cannot be read.
    pub fn read(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let size = file.metadata()?.len();
        if size > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // Nobody else writes here, so that the size stays what it is.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        file.take(size).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Puts a file of these bytes at `path`, in place of whatever file or link is there.
    pub fn write(&self, path: &[u8], content: &[u8], mode: u32, mtime: i64) -> io::Result<()> {
        let path = self.whole(path);
        let mut parents = self.tree.parents();
        remove(parents.remove(&path))?;
        write_file(&path, Attributes { mode, mtime }, content, &mut parents, &self.tree)
    }

    /// Makes a symbolic link at `path`, in place of whatever file or link is there.
    pub fn link(&self, path: &[u8], target: &[u8], mtime: i64) -> io::Result<()> {
        let path = self.whole(path);
        let mut parents = self.tree.parents();
        remove(parents.remove(&path))?;
        parents.make_symlink(&path, target, mtime)
    }

    /// Sets mode and time of the tree itself, and puts it in its place at once. An empty directory
    /// there is replaced; whatever else came there meanwhile stays.
    ///
    /// # Errors
    /// [`UnpackError::DestinationExists`] and what the system says.
    pub fn publish(self) -> Result<Unpacked, UnpackError> {
        let Self { staging, tree, unpacked, part, .. } = self;
        if part.is_empty() {
            staging.publish(None)?;
        } else {
            let (parent, name) = split(&part);
            let parent = tree.open(parent).map_err(|error| staging.failed("open", error))?;
            staging.publish(Some((&parent, name)))?;
        }
        Ok(unpacked)
    }

    /// Puts the tree in its place as [`publish`](Self::publish) does, and what is there at `aside`.
    /// Where the file system can, the place is empty at no moment.
    ///
    /// # Errors
    /// What the system says; what was there is there still.
    pub fn replace(self, aside: &Path) -> Result<Unpacked, UnpackError> {
        let top = self.top();
        self.staging.replace(&top, aside)?;
        Ok(self.unpacked)
    }

    /// The directory that is to be published, where it is now.
    pub fn top(&self) -> PathBuf {
        if self.part.is_empty() {
            return self.staging.path().to_owned();
        }
        self.staging.path().join(OsStr::from_bytes(&self.part))
    }

    /// The path from the private directory.
    fn whole(&self, path: &[u8]) -> Vec<u8> {
        if self.part.is_empty() || path.is_empty() {
            return [&self.part[..], path].concat();
        }
        [&self.part[..], b"/", path].concat()
    }
}

fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The destination's own mode and time.
pub(super) fn settle_root(tree: &Tree, planned: &Planned, mode: Option<u32>) -> io::Result<()> {
    let described = planned.root.map_or_else(|| tree.customary(0o755), |root| root.mode);
    tree.set_mode(tree.root(), mode.unwrap_or(described) | 0o700)?;
    if let Some(root) = planned.root {
        rustix::fs::futimens(tree.root(), &super::tree::times(root.mtime))?;
    }
    Ok(())
}

/// A path of the caller's, as one below the tree.
pub(super) fn below(path: &[u8], limits: &super::Limits) -> Result<Vec<u8>, UnpackError> {
    name::relative(path, limits).map_err(|_| UnpackError::Prefix { prefix: shown(path) })
}
