//! Why a store, its configuration or its locks could not be used.

use std::path::PathBuf;
use std::time::Duration;

use hod_spec::DagHash;

use crate::{Mode, YamlError};

/// Why a store, its configuration or its locks could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no directory where a store should be.
    #[error("no store at `{}`", path.display())]
    NoStore {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A directory has neither a database nor any package.
    #[error("`{}` is no store: it has neither a database nor a package", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// A directory within a store.
    #[error("`{}` is only a part of the store `{}`", path.display(), store.display())]
    PartOfStore {
        /// The directory.
        path: PathBuf,
        /// The store's root.
        store: PathBuf,
    },
    /// Several padded roots are below one directory.
    #[error("`{}` leads to {} stores", path.display(), roots.len())]
    AmbiguousRoot {
        /// The directory.
        path: PathBuf,
        /// The stores below it.
        roots: Vec<PathBuf>,
    },
    /// The database is there and cannot be read. Spack makes it anew from the packages with
    /// `spack reindex`.
    #[error("could not read the database `{}`", path.display())]
    Database {
        /// Its `index.json`.
        path: PathBuf,
        /// Why.
        source: Box<hod_spec::DatabaseError>,
    },
    /// A file or directory could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A store lies elsewhere than its records say, and they do not agree on where they mean.
    #[error(
        "the store at `{}` was moved, and its records disagree on where it was: `{}` or `{}`",
        location.display(),
        expected.display(),
        found.display()
    )]
    InconsistentRoots {
        /// Where it lies.
        location: PathBuf,
        /// Where most records say it is.
        expected: PathBuf,
        /// Where another says it is.
        found: PathBuf,
        /// That other record's spec.
        spec: String,
    },
    /// Neither the store nor its upstreams know a spec.
    #[error("no record of `/{hash}` in the store `{}`", store.display())]
    NoRecord {
        /// What was looked for.
        hash: DagHash,
        /// The store's root.
        store: PathBuf,
    },
    /// A spec is known but not installed.
    #[error("`{spec}` is not installed in the store `{}`", store.display())]
    NotInstalled {
        /// The spec.
        spec: String,
        /// The store's root.
        store: PathBuf,
    },
    /// A record says a package is where there is none.
    #[error("`{spec}` should be at `{}`, and is not there", path.display())]
    PrefixMissing {
        /// The spec.
        spec: String,
        /// The prefix on this machine.
        path: PathBuf,
    },
    /// A package's `spec.json` could not be understood.
    #[error("could not read the spec file `{}`", path.display())]
    SpecFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<hod_spec::SpecFileError>,
    },
    /// Another package is where a record says one is.
    #[error("`{}` is of the spec `/{found}`, and the database says `/{expected}`", path.display())]
    AnotherSpec {
        /// The spec file.
        path: PathBuf,
        /// The hash in the database.
        expected: DagHash,
        /// The hash in the file.
        found: DagHash,
    },
    /// A lock was not free in time.
    #[error(
        "could not get the {mode} lock `{}` in {} s{}",
        path.display(),
        waited.as_secs(),
        holder.map(|pid| format!(": process {pid} holds it")).unwrap_or_default()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How it was to be locked.
        mode: Mode,
        /// After how long the wait ended.
        waited: Duration,
        /// The process that holds it, if the system tells.
        holder: Option<i32>,
    },
    /// A lock that may only be shared was to be exclusive.
    #[error("cannot lock `{}` for writing: the file may only be read", path.display())]
    ReadOnlyLock {
        /// The lock file.
        path: PathBuf,
    },
    /// A lock could not be used at all.
    #[error("could not lock `{}`", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A file is not YAML: a configuration, or a spec file of old.
    #[error("could not read the file `{}`", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<YamlError>,
    },
    /// A setting has a value of the wrong kind.
    #[error("{place}: `{setting}` should be {expected}, and is {found}")]
    Setting {
        /// File, line and column, as `path:line:column`.
        place: String,
        /// The setting, as `config:install_tree:root`.
        setting: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A configuration includes what is not there.
    #[error("{place}: included `{}` does not exist", path.display())]
    MissingInclude {
        /// File, line and column.
        place: String,
        /// What is included.
        path: PathBuf,
    },
    /// Configuration files include each other without end.
    #[error("{place}: configuration files include each other more than {limit} deep")]
    EndlessInclude {
        /// File, line and column.
        place: String,
        /// How deep they may.
        limit: usize,
    },
    /// A database of an older version: it can be read, and Spack makes one of today of it with
    /// `spack reindex`.
    #[error(
        "the database `{}` has version {found}, and only version {} can be written: `spack reindex` makes that of it",
        path.display(),
        hod_spec::Database::NEWEST
    )]
    OldDatabase {
        /// Its `index.json`.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// There was a database, and it is gone. Spack makes it anew with `spack reindex`.
    #[error("the database `{}` is missing, and packages may be there: `spack reindex` finds them", path.display())]
    DatabaseLost {
        /// Its `index.json`.
        path: PathBuf,
    },
    /// A store is to be made where something else is.
    #[error("cannot make a store at `{}`: `{}` is there", path.display(), found.display())]
    Occupied {
        /// Where it is to be.
        path: PathBuf,
        /// What is there.
        found: PathBuf,
    },
    /// A file or directory could not be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// It.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no place for a package in the store.
    #[error("cannot tell where in the store `{spec}` goes")]
    Layout {
        /// The package.
        spec: String,
        /// Why.
        source: Box<crate::LayoutError>,
    },
    /// The projections of a store cannot be used.
    #[error("cannot use the layout of the store")]
    Projections {
        /// Why.
        source: Box<crate::LayoutError>,
    },
    /// The path of a package is not text, and the database holds nothing else.
    #[error("`{}` is not UTF-8, and cannot be in the database", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A spec depends on one that is neither beside it nor in the store.
    #[error("`{spec}` depends on `{dependency}`, which nothing here knows")]
    UnknownDependency {
        /// The spec.
        spec: String,
        /// `name/hash` of what it depends on.
        dependency: String,
    },
    /// More may write a package's files than may read them.
    #[error(
        "more may write `{package}` than may read it, by `packages:{package}:permissions` or `packages:all:permissions`"
    )]
    WritableOnly {
        /// The package.
        package: String,
    },
    /// Directories that anybody may write to and whose group is inherited: Spack refuses those.
    #[error("`{package}` may be written by the world, which `config:allow_sgid` rules out")]
    WorldWritable {
        /// The package.
        package: String,
    },
    /// A group that this machine does not know.
    #[error("{place}: there is no group `{name}` on this machine")]
    UnknownGroup {
        /// File, line and column.
        place: String,
        /// The group.
        name: String,
    },
    /// The path of `sbang` is longer than the system lets the first line of a script be.
    #[error("the path `{}` is longer than the {limit} bytes that scripts can refer to", path.display())]
    SbangPath {
        /// Where it would be.
        path: PathBuf,
        /// The most there may be.
        limit: usize,
    },
    /// There is nothing that says where the store is.
    #[error("found no store: {}", tried.join(", "))]
    NothingFound {
        /// What was tried, in this order.
        tried: Vec<String>,
    },
}
