//! Why a package could not be removed.

use std::io;
use std::path::PathBuf;

use hod_spec::DagHash;

use crate::Error;

/// Why a package could not be removed. It is there as it was, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// No package is meant, or several.
    #[error(transparent)]
    Cache(#[from] Error),
    /// The store could not be read or written.
    #[error("could not use the store")]
    Store(#[from] hod_store::Error),
    /// A package of the machine, which the store only knows of.
    #[error("`{spec}` is external: the store only knows where it is")]
    External {
        /// The package.
        spec: String,
    },
    /// A package of another store.
    #[error("`{spec}` is installed in an upstream store, and not in this one")]
    Upstream {
        /// The package.
        spec: String,
    },
    /// Packages that stay need it.
    #[error(
        "{} needed by {} that {} installed",
        match &specs[..] {
            [one] => format!("`{one}` is"),
            several => format!("{} of the packages named are", several.len()),
        },
        match &dependents[..] { [_] => "a package".to_owned(), several => format!("{} packages", several.len()) },
        if dependents.len() == 1 { "is" } else { "are" }
    )]
    Needed {
        /// What was to be removed and is needed.
        specs: Vec<String>,
        /// What needs it, directly or through others, to link or run.
        dependents: Vec<String>,
    },
    /// A record with a path that is not that of a package.
    #[error("the database says that `{spec}` is at `{}`, which is no place for it alone", path.display())]
    Misplaced {
        /// The package.
        spec: String,
        /// The path in its record.
        path: PathBuf,
    },
    /// Another package is where a record says it is.
    #[error("`{}` holds `/{found}`, and not `{spec}`", path.display())]
    AnotherSpec {
        /// The package.
        spec: String,
        /// Its prefix.
        path: PathBuf,
        /// What is there.
        found: DagHash,
    },
    /// A prefix could not be moved out of the way.
    #[error("cannot {action} `{}`", path.display())]
    Place {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database could not be written.
    #[error("could not remove its record from the store")]
    Record {
        /// Why; shared by all packages that were to be removed together.
        source: io::Error,
    },
    /// A package that needs it could not be removed.
    #[error("held back, needed by `{dependent}`")]
    HeldBack {
        /// What needs it.
        dependent: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}
