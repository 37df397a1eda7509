//! Which store is meant.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Environment, Error, OpenOptions, Patience};

/// How a user names a store.
#[derive(Debug, Clone, Default)]
pub struct StoreRequest {
    /// The argument of `--store`.
    pub explicit: Option<PathBuf>,
}

/// What said where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// The argument of `--store`.
    Argument,
    /// The variable `HOD_STORE`.
    Variable,
    /// Spack's configuration: file, line and column.
    Configuration(String),
    /// Spack's default, in its own directory.
    Default,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => f.write_str("--store"),
            Self::Variable => f.write_str("HOD_STORE"),
            Self::Configuration(place) => f.write_str(place),
            Self::Default => f.write_str("Spack's default"),
        }
    }
}

/// A store that was found, and how to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What to open.
    pub path: PathBuf,
    /// What said so.
    pub how: How,
    /// Where its upstream stores are, in the order in which they are asked.
    pub upstreams: Vec<PathBuf>,
    /// Whether locks are used: `config:locks`.
    pub uses_locks: bool,
    /// How long to wait for the database: `config:db_lock_timeout`.
    pub lock_timeout: Option<Duration>,
    /// The root without padding, if a configuration says.
    pub unpadded_root: Option<PathBuf>,
    /// The directory of the Spack whose configuration was read.
    pub spack_root: Option<PathBuf>,
    /// What in the configuration could not be taken into account.
    pub warnings: Vec<String>,
}

impl Found {
    /// How to open the store, with the caller's part in waiting.
    pub fn options<'a>(&self, patience: Patience<'a>) -> OpenOptions<'a> {
        OpenOptions {
            patience: Patience { timeout: self.lock_timeout, ..patience },
            uses_locks: self.uses_locks,
            upstreams: self.upstreams.clone(),
            unpadded_root: self.unpadded_root.clone(),
        }
    }
}

/// Finds the store: the argument, the variable `HOD_STORE`, Spack's configuration.
pub fn find_store(request: &StoreRequest, environment: &Environment) -> Result<Found, Error> {
    let variable = environment.nonempty("HOD_STORE").map(PathBuf::from);
    let named = request.explicit.clone().map(|path| (path, How::Argument));
    let named = named.or_else(|| variable.map(|path| (path, How::Variable)));
    let Some((path, how)) = named else {
        return Err(Error::NothingFound { tried: vec!["--store".into(), "HOD_STORE".into()] });
    };
    Ok(Found {
        path: environment.cwd.join(path),
        how,
        upstreams: Vec::new(),
        uses_locks: true,
        lock_timeout: Patience::default().timeout,
        unpadded_root: None,
        spack_root: None,
        warnings: Vec::new(),
    })
}
