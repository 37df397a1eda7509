//! The store: an install tree, its database, and what upstream stores add to it.

use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Nodes, Record, Spec};

use crate::{Error, LockFile, Redistribution, SpecMetadata, recipe};

mod moved;
mod open;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod uninstall;
mod walk;
mod warning;
mod write;

pub use self::open::OpenOptions;
use self::tree::Tree;
pub use self::warning::Warning;
pub use self::write::{Installation, Registered, Removed, StoreWriter, Transaction, WriteOptions};

/// The database's directory in a root (`spack-format` 1.2).
const DATABASE: &str = ".spack-db";

/// An install tree with its database, and the upstream stores behind it. Nothing in it changes
/// after it was opened.
#[derive(Debug)]
pub struct Store {
    tree: Tree,
    upstreams: Vec<Tree>,
    unpadded_root: PathBuf,
    warnings: Vec<Warning>,
}

/// Where a package is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// Where it was installed: what its own files and others' refer to.
    pub recorded: PathBuf,
    /// Where it lies on this machine.
    pub location: PathBuf,
}

impl Store {
    /// Opens the store at a path the user named: its root, or a directory from which nothing but
    /// padding leads to its root.
    ///
    /// A store whose database is missing is looked through for packages; one whose database is
    /// damaged is an error, and `spack reindex` helps.
    pub fn open(path: &Path, options: &OpenOptions<'_>) -> Result<Self, Error> {
        open::open(path, options)
    }

    /// The root of the store that a path is in: the nearest directory above it that holds a
    /// database. The path may be a symlink into a store.
    pub fn containing(path: &Path) -> Option<PathBuf> {
        let above = |path: &Path| {
            let holds_database = |above: &&Path| above.join(DATABASE).is_dir();
            path.ancestors().find(holds_database).map(Path::to_owned)
        };
        let path = std::path::absolute(path).ok()?;
        above(&path).or_else(|| above(&fs_err::canonicalize(&path).ok()?))
    }

    /// The root as recorded: what files in the store refer to. Padding included.
    pub fn root(&self) -> &Path {
        &self.tree.root
    }

    /// Where the root lies on this machine. The same, unless the store was moved or is mounted
    /// elsewhere.
    pub fn location(&self) -> &Path {
        &self.tree.location
    }

    /// The recorded root without its padding.
    pub fn unpadded_root(&self) -> &Path {
        &self.unpadded_root
    }

    /// Where scripts of this store expect `sbang`, as recorded (`spack-format` 1.8).
    pub fn sbang_path(&self) -> PathBuf {
        self.unpadded_root.join("bin/sbang")
    }

    /// The records of this store, by hash; not those of its upstreams. They are of all specs it
    /// knows, installed or not.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.tree.records()
    }

    /// The record of a spec: this store's if it has one, even if the spec is not installed here,
    /// else that of the first upstream that has one (`query_by_spec_hash` in `database.py`).
    pub fn record(&self, hash: &DagHash) -> Option<&Record> {
        self.find(hash).map(|(_, record)| record)
    }

    /// Whether the record of a spec is an upstream's.
    pub fn is_upstream(&self, hash: &DagHash) -> bool {
        self.find(hash).is_some_and(|(tree, _)| !std::ptr::eq(tree, &raw const self.tree))
    }

    /// Where a spec is, or would be, by its record. Whether anything is there is not looked at.
    /// `None` for unknown specs and for externals without a path.
    pub fn prefix(&self, hash: &DagHash) -> Option<Prefix> {
        let (tree, record) = self.find(hash)?;
        tree.prefix(record)
    }

    /// Where an installed spec is; an error that says what is wrong if it is not there.
    pub fn installed_prefix(&self, hash: &DagHash) -> Result<Prefix, Error> {
        let store = || self.location().to_owned();
        let (tree, record) =
            self.find(hash).ok_or_else(|| Error::NoRecord { hash: *hash, store: store() })?;
        let not_installed = || Error::NotInstalled { spec: record.spec.label(), store: store() };
        let prefix = tree.prefix(record).filter(|_| record.installed).ok_or_else(not_installed)?;
        if !prefix.location.is_dir() {
            let spec = record.spec.label();
            return Err(Error::PrefixMissing { spec, path: prefix.location });
        }
        Ok(prefix)
    }

    /// What an installed package's own directory says of it; checked to be about this spec.
    pub fn metadata(&self, hash: &DagHash) -> Result<SpecMetadata, Error> {
        SpecMetadata::read(&self.installed_prefix(hash)?.location, Some(hash))
    }

    /// What the recipe of an installed package says about passing on its binaries.
    pub fn redistribution(&self, hash: &DagHash) -> Result<Redistribution, Error> {
        let prefix = self.installed_prefix(hash)?;
        let spec = self
            .node(hash)
            .ok_or_else(|| Error::NoRecord { hash: *hash, store: self.location().to_owned() })?;
        recipe::redistribution(&prefix.location, &spec.namespace, &spec.name)
    }

    /// The file whose bytes are the locks of packages; [`Span::of`](crate::Span::of) a hash is the
    /// byte of a spec (`spack-format` 1.6).
    pub fn prefix_locks(&self) -> Result<LockFile, Error> {
        LockFile::open(&self.location().join(DATABASE).join("prefix_lock"))
    }

    /// What was odd when the store was opened.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Compares the database with the directory, which takes a look at every prefix.
    pub fn survey(&self) -> Result<Vec<Warning>, Error> {
        walk::survey(self)
    }

    fn knows(&self, hash: &DagHash) -> bool {
        self.find(hash).is_some()
    }

    fn find(&self, hash: &DagHash) -> Option<(&Tree, &Record)> {
        let mut trees = std::iter::once(&self.tree).chain(&self.upstreams);
        trees.find_map(|tree| Some((tree, tree.record(hash)?)))
    }
}

impl Nodes for Store {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.record(hash).map(|record| &record.spec)
    }
}

impl Prefix {
    /// A prefix that lies where it was installed.
    pub fn in_place(path: PathBuf) -> Self {
        Self { recorded: path.clone(), location: path }
    }
}
