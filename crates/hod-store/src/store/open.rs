//! Opening a store: which directory is its root, and what is in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hod_spec::Database;

use super::tree::{Records, Tree};
use super::{DATABASE, Store, Warning, moved, walk};
use crate::environment::normalised;
use crate::{Error, LockFile, Mode, Patience, Span, padding};

/// How to open a store.
#[derive(Clone)]
pub struct OpenOptions<'a> {
    /// How to wait while somebody writes the database.
    pub patience: Patience<'a>,
    /// Whether the database is locked while it is read: `config:locks`.
    pub uses_locks: bool,
    /// The roots of stores that are asked, in this order, for what this one does not know. They
    /// are read without locks.
    pub upstreams: Vec<PathBuf>,
    /// The root without padding, as recorded, where a configuration says so; else it is found by
    /// leaving out what looks like padding.
    pub unpadded_root: Option<PathBuf>,
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            uses_locks: true,
            upstreams: Vec::new(),
            unpadded_root: None,
        }
    }
}

impl fmt::Debug for OpenOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("uses_locks", &self.uses_locks)
            .field("upstreams", &self.upstreams)
            .field("unpadded_root", &self.unpadded_root)
            .finish_non_exhaustive()
    }
}

pub(super) fn open(path: &Path, options: &OpenOptions<'_>) -> Result<Store, Error> {
    let mut warnings = Vec::new();
    let location = find_root(path)?;
    // Packages would be found in a part of a store as well, and taken for all there is.
    if !location.join(DATABASE).is_dir()
        && let Some(store) = Store::containing(&location)
    {
        return Err(Error::PartOfStore { path: path.to_owned(), store });
    }
    let database = read_locked(&location, options, &mut warnings)?;
    let upstreams = open_upstreams(&options.upstreams, &mut warnings)?;
    let tree = if let Some(database) = database {
        tree(location, Records::Database(database))?
    } else {
        let (root, records) = walk::records(&location, &upstreams, &mut warnings)?;
        Tree { root, location, records }
    };
    Ok(store(tree, upstreams, options.unpadded_root.as_deref(), warnings))
}

/// Opens the store at exactly this path for somebody who has its lock and will write to it. A store
/// without database is a new one, unless it had one.
pub(super) fn open_locked(
    location: &Path,
    upstreams: &[PathBuf],
    unpadded_root: Option<&Path>,
) -> Result<Store, Error> {
    let mut warnings = Vec::new();
    let upstreams = open_upstreams(upstreams, &mut warnings)?;
    let directory = location.join(DATABASE);
    let path = directory.join("index.json");
    let database = match read(location)? {
        Some(database) if database.version() == Database::NEWEST => database,
        Some(database) => return Err(Error::OldDatabase { path, found: database.version() }),
        // It is empty while a database is replaced, the first one included.
        None if fs_err::metadata(directory.join("index_verifier")).is_ok_and(|m| m.len() > 0) => {
            return Err(Error::DatabaseLost { path });
        }
        None => Database::default(),
    };
    let tree = tree(location.to_owned(), Records::Database(database))?;
    Ok(store(tree, upstreams, unpadded_root, warnings))
}

fn store(
    tree: Tree,
    upstreams: Vec<Tree>,
    unpadded_root: Option<&Path>,
    warnings: Vec<Warning>,
) -> Store {
    let configured = unpadded_root.filter(|root| tree.root.starts_with(root)).map(Path::to_owned);
    let unpadded_root = configured.unwrap_or_else(|| padding::unpadded(&tree.root));
    Store { tree, upstreams, unpadded_root, warnings }
}

fn open_upstreams(paths: &[PathBuf], warnings: &mut Vec<Warning>) -> Result<Vec<Tree>, Error> {
    let mut upstreams = Vec::new();
    for path in paths {
        match open_upstream(path)? {
            Some(tree) => upstreams.push(tree),
            None => warnings.push(Warning::UpstreamMissing { path: path.clone() }),
        }
    }
    Ok(upstreams)
}

fn tree(location: PathBuf, records: Records) -> Result<Tree, Error> {
    let root = moved::recorded_root(&location, &records)?;
    Ok(Tree { root, location, records })
}

/// An upstream that has no database is none: so it is for Spack.
fn open_upstream(path: &Path) -> Result<Option<Tree>, Error> {
    let Ok(location) = find_root(path) else { return Ok(None) };
    let Some(database) = read(&location)? else { return Ok(None) };
    tree(location, Records::Database(database)).map(Some)
}

/// The directory that holds the database, `path` or one below it and its padding.
pub(super) fn find_root(path: &Path) -> Result<PathBuf, Error> {
    let no_store = |source| Error::NoStore { path: path.to_owned(), source };
    let absolute = normalised(&std::path::absolute(path).map_err(no_store)?);
    if !fs_err::metadata(&absolute).map_err(no_store)?.is_dir() {
        return Err(no_store(io::ErrorKind::NotADirectory.into()));
    }
    let mut roots = Vec::new();
    let end = descend(&absolute, &mut roots);
    match roots.len() {
        0 => Ok(end),
        1 => Ok(roots.remove(0)),
        _ => Err(Error::AmbiguousRoot { path: path.to_owned(), roots }),
    }
}

/// Collects the roots with a database that nothing but padding leads to, and returns where a
/// single line of padding ends: the root, if there is no database.
fn descend(directory: &Path, roots: &mut Vec<PathBuf>) -> PathBuf {
    if directory.join(DATABASE).is_dir() {
        roots.push(directory.to_owned());
        return directory.to_owned();
    }
    let entries = fs_err::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let padding = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(padding::is_padding))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let mut ends: Vec<PathBuf> = padding.map(|path| descend(&path, roots)).collect();
    match ends.pop() {
        Some(end) if ends.is_empty() => end,
        _ => directory.to_owned(),
    }
}

/// Reads the database while nobody writes it (`spack-format` 1.6).
fn read_locked(
    location: &Path,
    options: &OpenOptions<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Database>, Error> {
    let directory = location.join(DATABASE);
    let _lock = if options.uses_locks && directory.is_dir() {
        let path = directory.join("lock");
        let lock = LockFile::open(&path)
            .and_then(|file| file.lock(Span::Whole, Mode::Shared, &options.patience));
        match lock {
            Ok(lock) => Some(lock),
            // The database is replaced as a whole, so that reading it without a lock gives an
            // older one at worst.
            Err(Error::Lock { path, source }) => {
                warnings.push(Warning::NotLocked { path, reason: source.to_string() });
                None
            }
            Err(error) => return Err(error),
        }
    } else {
        None
    };
    read(location)
}

fn read(location: &Path) -> Result<Option<Database>, Error> {
    let path = location.join(DATABASE).join("index.json");
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    Database::parse(bytes)
        .map(Some)
        .map_err(|source| Error::Database { path, source: source.into() })
}
