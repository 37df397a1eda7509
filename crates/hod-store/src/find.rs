//! Which store is meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::normalised;
use crate::{
    ConfigWarning, Environment, Error, InstallTree, OpenOptions, Patience, SpackConfig,
    WriteOptions,
};

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
    /// Which packages go where, if a configuration says: `config:install_tree:projections`.
    pub projections: Vec<(String, String)>,
    /// How many characters of a hash are in paths: `config:install_hash_length`.
    pub hash_length: Option<u64>,
    /// The directory of the Spack whose configuration was read.
    pub spack_root: Option<PathBuf>,
    /// What in the configuration could not be taken into account.
    pub warnings: Vec<ConfigWarning>,
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

    /// How to open the store for writing.
    pub fn write_options<'a>(&self, patience: Patience<'a>) -> WriteOptions<'a> {
        WriteOptions {
            open: self.options(patience),
            projections: self.projections.clone(),
            hash_length: self.hash_length,
        }
    }

    fn named(path: PathBuf, how: How) -> Self {
        Self {
            path,
            how,
            upstreams: Vec::new(),
            uses_locks: true,
            lock_timeout: Patience::default().timeout,
            unpadded_root: None,
            projections: Vec::new(),
            hash_length: None,
            spack_root: None,
            warnings: Vec::new(),
        }
    }

    /// Takes over what a configuration says of its store.
    fn configure(&mut self, config: &SpackConfig, tree: InstallTree) -> Result<(), Error> {
        self.upstreams = config.upstreams()?;
        self.uses_locks = config.uses_locks()?;
        self.lock_timeout = config.lock_timeout()?;
        self.unpadded_root = Some(tree.unpadded_root);
        self.projections = tree.projections;
        self.hash_length = tree.hash_length;
        self.spack_root = config.spack_root().map(Path::to_owned);
        self.warnings = config.warnings().to_vec();
        Ok(())
    }
}

/// Finds the store: the argument, else the variable `HOD_STORE`, else Spack's configuration.
///
/// A store that is named gets upstreams and lock settings from the configuration if it is the one
/// that the configuration means; if it is not, or the configuration is damaged, it needs neither.
pub fn find_store(request: &StoreRequest, environment: &Environment) -> Result<Found, Error> {
    let variable = environment.nonempty("HOD_STORE").map(|path| (path.into(), How::Variable));
    let argument = request.explicit.clone().map(|path| (path, How::Argument));
    if let Some((path, how)) = argument.or(variable) {
        let mut found = Found::named(normalised(&environment.cwd.join(path)), how);
        let tree = SpackConfig::load(environment)
            .and_then(|config| Ok(config.install_tree()?.map(|tree| (config, tree))));
        match tree {
            Ok(Some((config, tree))) => {
                let roots = [&tree.root, &tree.unpadded_root];
                if roots.iter().any(|root| is_same(root, &found.path)) {
                    found.configure(&config, tree)?;
                }
            }
            Ok(None) => {}
            Err(error) => found.warnings.push(ConfigWarning::NotRead { reason: chain(&error) }),
        }
        return Ok(found);
    }
    let config = SpackConfig::load(environment)?;
    let Some(tree) = config.install_tree()? else {
        return Err(Error::NothingFound { tried: tried(environment) });
    };
    let how = tree.place.clone().map_or(How::Default, How::Configuration);
    let mut found = Found::named(tree.root.clone(), how);
    found.configure(&config, tree)?;
    Ok(found)
}

/// An error and its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path| fs_err::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}

/// What was looked at in vain, in this order.
fn tried(environment: &Environment) -> Vec<String> {
    let spack_root = match environment.nonempty("SPACK_ROOT") {
        Some(root) => format!("no Spack in SPACK_ROOT (`{root}`)"),
        None => "SPACK_ROOT is not set".to_owned(),
    };
    let mut tried = vec![
        "--store is not given".to_owned(),
        "HOD_STORE is not set".to_owned(),
        spack_root,
        "no `spack` on the path".to_owned(),
    ];
    if environment.variable("SPACK_DISABLE_LOCAL_CONFIG").is_none() {
        let system = environment.nonempty("SPACK_SYSTEM_CONFIG_PATH").unwrap_or("/etc/spack");
        let user = environment.nonempty("SPACK_USER_CONFIG_PATH").unwrap_or("~/.spack");
        tried.push(format!("no `config:install_tree` in `{system}` or `{user}`"));
    }
    tried
}
