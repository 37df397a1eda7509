//! Writing to a store: its locks, and changes of its database (`spack-format` 1.5, 1.6).
//!
//! Spack, other processes of Hod and other threads of this one work on the same store. So nothing
//! of the database is kept from one [`Transaction`] to the next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hod_spec::{DagHash, Spec};

use super::{DATABASE, OpenOptions, Store, open};
use crate::{Error, Layout, Lock, LockFile, Mode, Patience, Span};

mod commit;
#[cfg(test)]
mod tests;
mod transaction;

pub use transaction::{Installation, Registered, Removed, Transaction};

/// What may be in a directory that is to become a store: `bin` holds nothing but `sbang`.
const MAY_PRECEDE: [&str; 2] = ["bin", DATABASE];

/// How to open a store for writing.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions<'a> {
    /// How to open it at all.
    pub open: OpenOptions<'a>,
    /// Where which packages go: `config:install_tree:projections`. Spack's own if there are none.
    pub projections: Vec<(String, String)>,
    /// How many characters of the hash are in paths, if not all: `config:install_hash_length`.
    pub hash_length: Option<u64>,
}

/// A store that can be written to. Several threads may share it.
#[derive(Debug)]
pub struct StoreWriter {
    location: PathBuf,
    unpadded_root: PathBuf,
    upstreams: Vec<PathBuf>,
    layout: Layout,
    /// `None` if the configuration wants no locks.
    locks: Option<Locks>,
}

/// The lock files, open as long as the store is: were one closed, its locks would be gone.
#[derive(Debug)]
struct Locks {
    database: LockFile,
    prefixes: LockFile,
    failures: LockFile,
}

impl StoreWriter {
    /// Opens a store that is there, at its root or above nothing but padding. Its database must be
    /// of the version that is written today; one of another version is not touched.
    pub fn open(path: &Path, options: &WriteOptions<'_>) -> Result<Self, Error> {
        let location = open::find_root(path)?;
        if !location.join(DATABASE).is_dir() {
            return Err(match Store::containing(&location) {
                Some(store) => Error::PartOfStore { path: path.to_owned(), store },
                None => Error::NotAStore { path: location },
            });
        }
        Self::at(location, options)
    }

    /// Opens the store with this root, or makes one, in a directory that is empty or missing.
    pub fn ensure(root: &Path, options: &WriteOptions<'_>) -> Result<Self, Error> {
        let write = |source| Error::Write { path: root.to_owned(), source };
        let root = crate::environment::normalised(&std::path::absolute(root).map_err(write)?);
        if !root.join(DATABASE).is_dir() {
            make(&root)?;
        }
        Self::at(root, options)
    }

    fn at(location: PathBuf, options: &WriteOptions<'_>) -> Result<Self, Error> {
        let upstreams = options.open.upstreams.clone();
        let locks = options.open.uses_locks.then(|| Locks::open(&location)).transpose()?;
        let lock = locks
            .as_ref()
            .map(|locks| locks.database.lock(Span::Whole, Mode::Shared, &options.open.patience));
        let _lock = lock.transpose()?;
        let unpadded_root = options.open.unpadded_root.as_deref();
        // What is wrong with the database is better known before anything is unpacked.
        let store = open::open_locked(&location, &upstreams, unpadded_root)?;
        let layout = Layout::new(store.root(), &options.projections, options.hash_length)
            .map_err(|source| Error::Projections { source: source.into() })?;
        let unpadded_root = store.unpadded_root;
        Ok(Self { location, unpadded_root, upstreams, layout, locks })
    }

    /// Where the root lies on this machine.
    pub fn location(&self) -> &Path {
        &self.location
    }

    /// The root as recorded, padding included; see [`Store::root`].
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The recorded root without its padding: `bin/sbang` is there.
    pub fn unpadded_root(&self) -> &Path {
        &self.unpadded_root
    }

    /// Where packages go.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Waits for the lock of a package: exclusive for who installs or removes it, shared for who
    /// needs it to stay. `None` if the configuration wants no locks.
    pub fn lock_prefix(
        &self,
        hash: &DagHash,
        mode: Mode,
        patience: &Patience<'_>,
    ) -> Result<Option<Lock>, Error> {
        let lock = |locks: &Locks| locks.prefixes.lock(Span::of(hash), mode, patience);
        self.locks.as_ref().map(lock).transpose()
    }

    /// The lock of a package if it is free. Fails with [`Error::Locked`] if it is not.
    pub fn try_lock_prefix(&self, hash: &DagHash, mode: Mode) -> Result<Option<Lock>, Error> {
        self.lock_prefix(hash, mode, &at_once())
    }

    /// Whether Spack has noted that an installation of this package failed, and does not try again
    /// in the same run. So it is noted, too, while another process holds on to the note.
    pub fn has_failed(&self, spec: &Spec) -> Result<bool, Error> {
        if self.failure(spec).exists() {
            return Ok(true);
        }
        let Some(locks) = &self.locks else { return Ok(false) };
        match locks.failures.lock(Span::of(&spec.hash), Mode::Shared, &at_once()) {
            Ok(_lock) => Ok(false),
            Err(Error::Locked { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes the note that an installation of this package failed, unless the process that made
    /// it holds on to it. Whether it is gone.
    pub fn clear_failure(&self, spec: &Spec) -> Result<bool, Error> {
        if let Some(locks) = &self.locks {
            match locks.failures.lock(Span::of(&spec.hash), Mode::Shared, &at_once()) {
                Ok(_lock) => {}
                Err(Error::Locked { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let path = self.failure(spec);
        match fs_err::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Write { path, source })
            }
            _ => Ok(true),
        }
    }

    /// The name comes from a spec file, and must not lead elsewhere.
    fn failure(&self, spec: &Spec) -> PathBuf {
        let name = spec.name.replace('/', "_");
        self.location.join(DATABASE).join("failures").join(format!("{name}-{}", spec.hash))
    }

    /// Reads the store as it is now.
    pub fn read(&self, patience: &Patience<'_>) -> Result<Store, Error> {
        let lock = |locks: &Locks| locks.database.lock(Span::Whole, Mode::Shared, patience);
        let _lock = self.locks.as_ref().map(lock).transpose()?;
        open::open_locked(&self.location, &self.upstreams, Some(&self.unpadded_root))
    }

    /// Waits until nobody uses the database, and reads it. Others wait until the transaction is
    /// over; it should not last.
    pub fn transaction(&self, patience: &Patience<'_>) -> Result<Transaction, Error> {
        let lock = |locks: &Locks| locks.database.lock(Span::Whole, Mode::Exclusive, patience);
        let lock = self.locks.as_ref().map(lock).transpose()?;
        let store = open::open_locked(&self.location, &self.upstreams, Some(&self.unpadded_root))?;
        Ok(Transaction::new(store, self.layout.clone(), lock))
    }
}

impl Locks {
    fn open(location: &Path) -> Result<Self, Error> {
        let open = |name: &str| LockFile::open(&location.join(DATABASE).join(name));
        let prefixes = open("prefix_lock")?;
        Ok(Self { database: open("lock")?, prefixes, failures: open("prefix_failures")? })
    }
}

fn at_once() -> Patience<'static> {
    Patience { timeout: Some(Duration::ZERO), ..Patience::default() }
}

/// Makes the directories of a new store. The database comes with the first package.
fn make(root: &Path) -> Result<(), Error> {
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    if let Some(store) = root.parent().and_then(Store::containing) {
        return Err(Error::PartOfStore { path: root.to_owned(), store });
    }
    fs_err::create_dir_all(root).map_err(write(root))?;
    for entry in fs_err::read_dir(root).map_err(write(root))? {
        let entry = entry.map_err(write(root))?;
        // Others may be making the store at the same time.
        if !MAY_PRECEDE.iter().any(|name| entry.file_name() == *name) {
            return Err(Error::Occupied { path: root.to_owned(), found: entry.path() });
        }
    }
    let failures = root.join(DATABASE).join("failures");
    fs_err::create_dir_all(&failures).map_err(write(&failures))
}
