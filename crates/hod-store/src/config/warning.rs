//! What in a configuration could not be taken into account.

use std::fmt;
use std::path::PathBuf;

/// What in a configuration could not be taken into account. Places are `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// The configuration cannot be read, and is not needed.
    NotRead {
        /// Why.
        reason: String,
    },
    /// `SPACK_ROOT` names something else than a Spack.
    NoSpack {
        /// What it names.
        path: PathBuf,
    },
    /// `SPACK_ENV` names a directory without `spack.yaml`.
    NoEnvironment {
        /// The directory.
        path: PathBuf,
    },
    /// A variable that only Spack can replace, such as `$arch`; it is left in the text.
    Variable {
        /// Where.
        place: String,
        /// Its name.
        name: String,
    },
    /// An include from somewhere else than this machine; it is left out.
    RemoteInclude {
        /// Where.
        place: String,
        /// What was to be included, a URL or a git repository.
        what: String,
    },
    /// An include under a condition that only Spack can evaluate; it is left out.
    Condition {
        /// Where.
        place: String,
        /// The condition.
        condition: String,
    },
    /// An old form of a setting, which today's Spack refuses.
    Deprecated {
        /// Where.
        place: String,
        /// The setting.
        setting: &'static str,
    },
    /// A key that ends in `+` or `-`: on Spack's command line it would extend the setting, in a
    /// file it means nothing.
    NotExtended {
        /// Where.
        place: String,
        /// The key.
        key: String,
    },
    /// The install tree's root cannot be padded to the length that is asked for.
    NotPadded {
        /// The root.
        root: String,
        /// The length.
        length: usize,
    },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRead { reason } => {
                write!(f, "Spack's configuration is left out: {reason}")
            }
            Self::NoSpack { path } => {
                write!(f, "SPACK_ROOT is `{}`, where no Spack is", path.display())
            }
            Self::NoEnvironment { path } => {
                write!(f, "SPACK_ENV is `{}`, where no spack.yaml is", path.display())
            }
            Self::Variable { place, name } => {
                write!(f, "{place}: only Spack knows the value of `${name}`")
            }
            Self::RemoteInclude { place, what } => {
                write!(f, "{place}: left out what is included from `{what}`")
            }
            Self::Condition { place, condition } => {
                write!(f, "{place}: left out what is included when `{condition}`")
            }
            Self::Deprecated { place, setting } => {
                write!(f, "{place}: `{setting}` has a form that is no longer in use")
            }
            Self::NotExtended { place, key } => {
                write!(f, "{place}: `{key}` means nothing in a file")
            }
            Self::NotPadded { root, length } => {
                write!(f, "`{root}` cannot be padded to {length} characters")
            }
        }
    }
}
