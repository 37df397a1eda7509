//! Spack's configuration, as far as it says where things are (`spack-format` 6).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Environment, Error, MirrorConfig};

/// The merged configuration of a Spack.
#[derive(Debug, Clone)]
pub struct SpackConfig {
    spack_root: Option<PathBuf>,
    warnings: Vec<String>,
}

/// Where packages are installed: `config:install_tree`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstallTree {
    /// The root, padded.
    pub root: PathBuf,
    /// The root without padding.
    pub unpadded_root: PathBuf,
    /// Which specs are installed where in it; `all` or an abstract spec, and a path.
    pub projections: Vec<(String, String)>,
    /// The file, line and column that set the root; `None` for the default.
    pub place: Option<String>,
}

impl SpackConfig {
    /// Reads the configuration of the Spack of this environment, or only the system's and the
    /// user's if there is no Spack.
    pub fn load(_environment: &Environment) -> Result<Self, Error> {
        Ok(Self { spack_root: None, warnings: Vec::new() })
    }

    /// The directory of the Spack.
    pub fn spack_root(&self) -> Option<&Path> {
        self.spack_root.as_deref()
    }

    /// Where packages are installed. `None` if nothing says so and there is no Spack.
    pub fn install_tree(&self) -> Result<Option<InstallTree>, Error> {
        Ok(None)
    }

    /// The roots of the upstream stores, in the order in which they are asked.
    pub fn upstreams(&self) -> Result<Vec<PathBuf>, Error> {
        Ok(Vec::new())
    }

    /// Whether locks are used.
    pub fn uses_locks(&self) -> Result<bool, Error> {
        Ok(true)
    }

    /// How long to wait for the database; `None` for ever.
    pub fn lock_timeout(&self) -> Result<Option<Duration>, Error> {
        Ok(None)
    }

    /// The mirrors, in the order in which they are searched.
    pub fn mirrors(&self) -> Result<Vec<MirrorConfig>, Error> {
        Ok(Vec::new())
    }

    /// What could not be taken into account, each as a sentence that names its place.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
