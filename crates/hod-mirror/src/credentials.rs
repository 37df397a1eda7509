//! User and password for a registry: where docker, podman and their like keep them.
//!
//! What is found for a host goes to that host and to no other. Nothing here shows a secret: not in
//! `Debug`, not in an error, not in the arguments of a program.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

mod auth_file;
mod helper;
mod host;
mod keep;
#[cfg(test)]
mod tests;

pub use auth_file::{AuthAnswer, AuthFile};
pub use keep::Kept;

use helper::Helpers;
use host::same_host;

/// Who is asking.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// User and password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// An `OAuth2` refresh token, for which a registry's token server gives tokens.
    IdentityToken(String),
    /// A bearer token as it is sent.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => {
                f.debug_struct("Basic").field("username", username).finish_non_exhaustive()
            }
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
        }
    }
}

/// Why credentials could not be looked up or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("`{}` is not JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        source: serde_json::Error,
    },
    /// Something in a file has the wrong type.
    #[error("`{}`: `{key}` should be {expected}, and is {found}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// What, as `auths.ghcr.io.auth`.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// An `auth` that is not what it should be.
    #[error("`{}`: `{key}` is not the base64 form of a user, a colon and a password", path.display())]
    Auth {
        /// The file.
        path: PathBuf,
        /// What, as `auths.ghcr.io.auth`.
        key: String,
    },
    /// A helper whose name is no name of a program.
    #[error("`{}`: `{name}` cannot be the name of a credential helper", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A helper is not installed.
    #[error("`{}` names the credential helper `{program}`, which is not in PATH", path.display())]
    HelperMissing {
        /// The file.
        path: PathBuf,
        /// The program.
        program: String,
    },
    /// A helper could not be run.
    #[error("could not run the credential helper `{program}`")]
    HelperRun {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A helper ran and did not succeed.
    #[error("the credential helper `{program}` failed to {action} (`{host}`): {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// `get`, `store` or `erase`.
        action: &'static str,
        /// The registry.
        host: String,
        /// The first line of what it said.
        message: String,
    },
    /// A helper's answer is not what it should be.
    #[error("the credential helper `{program}` gave an answer for `{host}` that means nothing")]
    HelperAnswer {
        /// The program.
        program: String,
        /// The registry.
        host: String,
    },
    /// A user's name with a colon, where the password would begin.
    #[error("a user's name cannot have a colon")]
    Colon,
    /// There is no file in which something could be kept.
    #[error("there is no home directory, and so no file for passwords")]
    NoPlace,
}

/// Where credentials are looked for.
pub struct Keychain {
    /// Of mirrors: by host.
    own: Vec<(String, Credentials)>,
    /// Files, the first that knows something decides.
    files: Vec<PathBuf>,
    /// Where `store` writes.
    login: Option<PathBuf>,
    helpers: Helpers,
    /// What was found, by host and repository.
    found: Mutex<BTreeMap<(String, String), Option<Found>>>,
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keychain")
            .field("own", &self.own)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Credentials, and the file that led to them.
#[derive(Debug, Clone)]
struct Found {
    credentials: Credentials,
    path: Option<PathBuf>,
}

impl Keychain {
    /// Nothing but anonymous access.
    pub fn none() -> Self {
        Self {
            own: Vec::new(),
            files: Vec::new(),
            login: None,
            helpers: Helpers::default(),
            found: Mutex::default(),
        }
    }

    /// The usual places, the first that knows something decides: `REGISTRY_AUTH_FILE`,
    /// `containers/auth.json` in `XDG_RUNTIME_DIR` and in `XDG_CONFIG_HOME` (else `~/.config`),
    /// `config.json` in `DOCKER_CONFIG` (else `~/.docker`).
    pub fn from_environment(variables: &BTreeMap<String, String>, home: Option<&Path>) -> Self {
        let variable =
            |name: &str| variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let explicit = variable("REGISTRY_AUTH_FILE");
        let runtime = variable("XDG_RUNTIME_DIR");
        let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(home?.join(".docker")));
        let docker = docker.map(|directory| directory.join("config.json"));
        let containers = [runtime, config].into_iter().flatten();
        let containers = containers.map(|directory| directory.join("containers/auth.json"));
        Self {
            login: explicit.clone().or_else(|| docker.clone()),
            files: explicit.into_iter().chain(containers).chain(docker).collect(),
            helpers: Helpers::new(variables),
            ..Self::none()
        }
    }

    /// These for this host before all others, such as a mirror's own; the first for a host counts.
    #[must_use]
    pub fn with(mut self, host: &str, credentials: Credentials) -> Self {
        self.own.push((host.to_owned(), credentials));
        self
    }

    /// Those for `repository` (`user/image`) of the registry `host` (`ghcr.io`, `127.0.0.1:5000`).
    /// What was found is remembered; an error is not.
    pub fn credentials(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        Ok(self.look_up(host, repository)?.map(|found| found.credentials))
    }

    /// The file that has them, or names the helper that does.
    pub fn file(&self, host: &str, repository: &str) -> Result<Option<PathBuf>, CredentialsError> {
        Ok(self.look_up(host, repository)?.and_then(|found| found.path))
    }

    fn look_up(&self, host: &str, repository: &str) -> Result<Option<Found>, CredentialsError> {
        // Held while a helper runs: it may ask its user something, and should do so once.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), repository.to_owned());
        if let Some(known) = found.get(&key) {
            return Ok(known.clone());
        }
        let result = self.search(host, repository)?;
        found.insert(key, result.clone());
        Ok(result)
    }

    fn search(&self, host: &str, repository: &str) -> Result<Option<Found>, CredentialsError> {
        if let Some((_, credentials)) = self.own.iter().find(|(own, _)| same_host(own, host)) {
            return Ok(Some(Found { credentials: credentials.clone(), path: None }));
        }
        for path in &self.files {
            let Some(file) = AuthFile::open(path)? else { continue };
            let credentials = match file.answer(host, repository)? {
                AuthAnswer::Nothing => None,
                AuthAnswer::Credentials(credentials) => Some(credentials),
                AuthAnswer::Helper(name) => self.helpers.get(path, &name, host)?,
            };
            if let Some(credentials) = credentials {
                return Ok(Some(Found { credentials, path: Some(path.clone()) }));
            }
        }
        Ok(None)
    }

    fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
