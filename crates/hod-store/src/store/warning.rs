//! What is odd about a store.

use std::fmt;
use std::path::PathBuf;

/// What is odd about a store, and no reason not to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// There is no database; the packages were found by looking through the directory.
    DatabaseMissing {
        /// The root's location.
        location: PathBuf,
        /// How many packages were found.
        packages: usize,
    },
    /// An upstream store is not where the configuration says.
    UpstreamMissing {
        /// Its root.
        path: PathBuf,
    },
    /// The database was read without a lock.
    NotLocked {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A package's spec file cannot be read; the package is left out.
    UnreadablePackage {
        /// Its spec file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Two directories hold the same package; the second is left out.
    SamePackageTwice {
        /// The package.
        spec: String,
        /// The prefix that counts.
        kept: PathBuf,
        /// The other.
        left_out: PathBuf,
    },
    /// The database says that a package is installed where there is none.
    RecordWithoutPrefix {
        /// The package.
        spec: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// The database does not know a package that is there.
    PrefixWithoutRecord {
        /// The package.
        spec: String,
        /// Where it is.
        path: PathBuf,
    },
    /// A record refers to a spec that neither the store nor its upstreams know.
    MissingDependency {
        /// The package.
        spec: String,
        /// `name/hash` of what it depends on.
        dependency: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DatabaseMissing { location, packages } => write!(
                f,
                "the store `{}` has no database; {packages} packages were found by looking for them",
                location.display()
            ),
            Self::UpstreamMissing { path } => {
                write!(f, "the upstream store `{}` has no database", path.display())
            }
            Self::NotLocked { path, reason } => {
                write!(f, "the database was read without the lock `{}`: {reason}", path.display())
            }
            Self::UnreadablePackage { path, reason } => {
                write!(f, "left out the package of `{}`: {reason}", path.display())
            }
            Self::SamePackageTwice { spec, kept, left_out } => write!(
                f,
                "`{spec}` is in `{}` and again in `{}`, which is left out",
                kept.display(),
                left_out.display()
            ),
            Self::RecordWithoutPrefix { spec, path } => write!(
                f,
                "the database says that `{spec}` is installed in `{}`, and it is not",
                path.display()
            ),
            Self::PrefixWithoutRecord { spec, path } => write!(
                f,
                "`{spec}` is installed in `{}`, and the database does not say so",
                path.display()
            ),
            Self::MissingDependency { spec, dependency } => {
                write!(f, "`{spec}` depends on `{dependency}`, which no database knows")
            }
        }
    }
}
