//! What is wrong with what was typed, or with what is around the program: errors that no library
//! knows. `ui` gives hints for them.

use std::path::{Path, PathBuf};

use hod_mirror::registry::ReferenceError;

/// Words that make no sense together, found after the arguments were parsed.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A prefix that Spack made, and that the store knows nothing of.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` holds {spec}, which the store `{}` {}",
    prefix.display(),
    store.display(),
    match recorded {
        Some(path) => format!("has at `{}`", path.display()),
        None => "does not know".to_owned(),
    }
)]
pub(crate) struct NotInStore {
    pub(crate) prefix: PathBuf,
    pub(crate) spec: String,
    pub(crate) store: PathBuf,
    pub(crate) recorded: Option<PathBuf>,
}

/// A word that was taken for a query and is the name of a directory as well.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` was taken for a spec")]
pub(crate) struct NotAPath {
    pub(crate) word: String,
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

impl NotAPath {
    /// Says so, if `word` is a directory.
    pub(crate) fn explain(word: &str, error: anyhow::Error) -> anyhow::Error {
        if Path::new(word).is_dir() {
            Self { word: word.to_owned(), source: error.into() }.into()
        } else {
            error
        }
    }
}

/// A word that names no mirror.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// `oci-layout:` alone.
    #[error("`oci-layout:` needs a directory behind it")]
    NoDirectory,
    /// `file://` with a path that does not begin at the root.
    #[error("`{url}` needs an absolute path after `file://`, as in `file:///srv/mirror`")]
    Relative { url: String },
    /// An image in a repository.
    #[error("`{url}` names one image, and a mirror is a repository")]
    OneImage { url: String, repository: String },
    /// Not the name of a repository.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A URL of something else.
    #[error("only directories and container registries can be mirrors so far, not `{url}`")]
    UnknownKind { url: String },
}

/// `--env-from spack`, and there is none.
#[derive(Debug, thiserror::Error)]
#[error("there is no `spack` to ask for the environment, neither in PATH nor in SPACK_ROOT")]
pub(crate) struct NoSpack;

/// A word that is neither a path nor the name of a mirror.
#[derive(Debug, thiserror::Error)]
#[error("there is no mirror named `{name}` in Spack's configuration")]
pub(crate) struct UnknownMirror {
    pub(crate) name: String,
    pub(crate) known: Vec<String>,
    pub(crate) is_directory: bool,
}

/// Nobody said where to look.
#[derive(Debug, thiserror::Error)]
#[error("no mirror was named, and Spack's configuration has none that can be read")]
pub(crate) struct NoMirrors;

/// A secret where everybody on the machine sees it, and the shell remembers it.
#[derive(Debug, thiserror::Error)]
#[error("`--{option}` would show the secret to everybody who lists the processes")]
pub(crate) struct SecretInArguments {
    pub(crate) option: &'static str,
}

/// There is no place for what is the user's.
#[derive(Debug, thiserror::Error)]
#[error("there is no home directory, and so no place for the user's mirrors")]
pub(crate) struct NoHome;

/// A name that another mirror has.
#[derive(Debug, thiserror::Error)]
#[error("a mirror named `{name}` already exists")]
pub(crate) struct NameTaken {
    pub(crate) name: String,
    /// What the new one would be.
    pub(crate) url: String,
    /// In the file that hod changes.
    pub(crate) is_here: bool,
    pub(crate) source: PointsTo,
}

/// What a taken name stands for.
#[derive(Debug, thiserror::Error)]
#[error("it {} `{file}`", url.as_ref().map_or("is in".to_owned(), |url| format!("points to `{url}` in")))]
pub(crate) struct PointsTo {
    pub(crate) url: Option<String>,
    pub(crate) file: String,
}

/// A mirror in a file that hod does not change.
#[derive(Debug, thiserror::Error)]
#[error("the mirror `{name}` is defined in `{file}`, and not in the user's own configuration")]
pub(crate) struct ElsewhereDefined {
    pub(crate) name: String,
    pub(crate) file: String,
}

/// A name that no mirror has.
#[derive(Debug, thiserror::Error)]
#[error("there is no mirror named `{name}` in Spack's configuration")]
pub(crate) struct NoSuchMirror {
    pub(crate) name: String,
    pub(crate) similar: Option<String>,
    pub(crate) known: Vec<String>,
}
