//! Build caches as `mirrors.yaml` names them (`spack-format` 6.1).

use std::fmt;

/// A configured mirror.
// As many yes-or-no settings as Spack has.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorConfig {
    /// What it is called.
    pub name: String,
    /// How to read from it.
    pub fetch: Connection,
    /// How to write to it.
    pub push: Connection,
    /// It holds packages.
    pub binary: bool,
    /// It holds sources.
    pub source: bool,
    /// Its packages must be signed. Never so if it is an OCI registry.
    pub signed: bool,
    /// Spack pushes to it after each installation.
    pub autopush: bool,
}

/// How a mirror is reached in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Connection {
    /// Where it is. Paths have become `file://` URLs.
    pub url: String,
    /// Which of its indexes to use.
    pub view: Option<String>,
    /// User and password.
    pub access_pair: Option<AccessPair>,
    /// A token, for S3.
    pub access_token: Option<Secret>,
    /// The profile in the user's AWS configuration.
    pub profile: Option<String>,
    /// The S3 server.
    pub endpoint_url: Option<String>,
}

/// User and password, or what has other names for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessPair {
    /// The user.
    pub id: Secret,
    /// The password.
    pub secret: Secret,
}

/// A value that should not be shown, or the environment variable that has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The value itself.
    Value(String),
    /// The variable's name.
    Variable(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(…)"),
            Self::Variable(name) => f.debug_tuple("Variable").field(name).finish(),
        }
    }
}
