//! What a process knows of its surroundings, handed in by the caller.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What a process knows of its surroundings. The library reads none of it itself.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The environment variables. Those that are no text are left out.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// The working directory.
    pub cwd: PathBuf,
    /// The user's name, for `$user`.
    pub user: Option<String>,
}

impl Environment {
    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value of a variable that is set to something.
    pub(crate) fn nonempty(&self, name: &str) -> Option<&str> {
        self.variable(name).filter(|value| !value.is_empty())
    }
}

/// A path without `.` and `..`, without asking the file system: as Spack writes it (`normpath`).
pub(crate) fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    out
}
