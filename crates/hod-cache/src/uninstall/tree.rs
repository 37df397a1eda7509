//! What is on the disk of a package that goes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hod_spec::DagHash;
use hod_store::{SpecMetadata, Store};

use super::{UninstallError, UninstallStep};

/// What is in a package's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// A deprecated package is a link to the one that is used instead.
    Link,
    Tree,
}

/// What a tree took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Looks at the place of a package, which must be its own and hold nothing else.
pub(super) fn look(
    store: &Store,
    step: &UninstallStep,
    location: &Path,
) -> Result<There, UninstallError> {
    let spec = || step.spec.label();
    if !is_own(store, &step.spec.hash, &step.prefix) {
        return Err(UninstallError::Misplaced { spec: spec(), path: step.prefix.clone() });
    }
    match fs_err::symlink_metadata(location) {
        Ok(metadata) if metadata.is_symlink() => Ok(There::Link),
        Ok(_) => match SpecMetadata::read(location, Some(&step.spec.hash)) {
            // One that is damaged may go; it is another one's that may not.
            Err(hod_store::Error::AnotherSpec { found, .. }) => {
                let path = location.to_owned();
                Err(UninstallError::AnotherSpec { spec: spec(), path, found })
            }
            _ => Ok(There::Tree),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(There::Nothing),
        Err(source) => {
            Err(UninstallError::Place { action: "look at", path: location.to_owned(), source })
        }
    }
}

/// Whether a recorded path is below the root, and no other package's path is the same or below it.
/// A database is a file like any other: what it says must not lead to anything else's removal.
fn is_own(store: &Store, hash: &DagHash, prefix: &Path) -> bool {
    let is_name = |part| matches!(part, std::path::Component::Normal(_));
    let is_below = prefix.strip_prefix(store.root()).is_ok_and(|below| {
        below.components().next().is_some()
            && below.components().all(is_name)
            && !below.starts_with(".spack-db")
    });
    let is_shared = || {
        store.records().filter(|other| other.installed && other.spec.hash != *hash).any(|other| {
            other.path.as_deref().is_some_and(|path| Path::new(path).starts_with(prefix))
        })
    };
    is_below && !is_shared()
}

/// Where a prefix is while it is removed.
pub(super) fn hidden(location: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(location.file_name().unwrap_or_default());
    name.push(".hod-old");
    location.with_file_name(name)
}

/// Makes the empty directory that the prefix will replace: where that cannot be made, nothing can
/// be moved either, which is better known before the record is gone.
pub(super) fn make_way(location: &Path) -> Result<PathBuf, UninstallError> {
    let hidden = hidden(location);
    // What is there was left behind by somebody who was stopped: its lock is ours.
    let made = match fs_err::create_dir(&hidden) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(&hidden).and_then(|()| fs_err::create_dir(&hidden))
        }
        made => made,
    };
    let error =
        |source| UninstallError::Place { action: "move away", path: location.to_owned(), source };
    made.map_err(error)?;
    Ok(hidden)
}

/// How much is in a tree; what cannot be looked at counts as nothing.
pub(super) fn measure(root: &Path) -> Size {
    let mut size = Size::default();
    let mut seen = HashSet::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                size.files += 1;
                size.bytes += metadata.len();
            }
        }
    }
    size
}

/// Removes a tree, what says that it is a package first: `spack reindex` would take it for one
/// until it is gone. Directories that may not be written to are made writable.
pub(super) fn remove(root: &Path) -> io::Result<()> {
    let _ = fs_err::remove_file(root.join(".spack/spec.json"));
    match fs_err::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(root);
            fs_err::remove_dir_all(root)
        }
        result => result,
    }
}

fn make_writable(root: &Path) {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let mode = fs_err::symlink_metadata(&directory).map_or(0, |there| there.mode());
        let permissions = std::fs::Permissions::from_mode(mode & 0o7777 | 0o700);
        // Whoever may not do this is told so by what is tried next.
        let _ = fs_err::set_permissions(&directory, permissions);
        let entries = fs_err::read_dir(&directory).into_iter().flatten().flatten();
        let is_directory = |entry: &fs_err::DirEntry| entry.file_type().is_ok_and(|t| t.is_dir());
        directories.extend(entries.filter(is_directory).map(|entry| entry.path()));
    }
}

/// Removes the directories above a prefix that have nothing else in them, up to the root of the
/// store (`remove_install_directory` in Spack's `directory_layout.py`).
pub(super) fn remove_empty_parents(location: &Path, root: &Path) {
    let parents = location.ancestors().skip(1).take_while(|parent| *parent != root);
    for parent in parents.filter(|parent| parent.starts_with(root)) {
        // The first that is in use ends it.
        if fs_err::remove_dir(parent).is_err() {
            return;
        }
    }
}
