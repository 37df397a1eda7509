//! What a recipe that was kept with a package says about passing on its binaries
//! (`spack-format` 3.7).

use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

mod python;
#[cfg(test)]
mod tests;

/// Whether the binaries of a package may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redistribution {
    /// The recipe does not forbid it.
    Allowed,
    /// The recipe forbids it.
    Forbidden,
    /// The recipe forbids it under a condition, and only Spack can tell whether it holds.
    Conditional,
    /// There is no recipe.
    Unknown,
}

impl Redistribution {
    /// What a recipe says, by its text alone.
    pub fn of_recipe(text: &str) -> Self {
        python::redistribution(text)
    }
}

/// What the recipe of `package` in `prefix` says.
pub(crate) fn redistribution(
    prefix: &Path,
    namespace: &str,
    package: &str,
) -> Result<Redistribution, Error> {
    for path in candidates(prefix, namespace, package) {
        match fs_err::read(&path) {
            Ok(text) => return Ok(Redistribution::of_recipe(&String::from_utf8_lossy(&text))),
            Err(error) if is_absence(&error) => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
    }
    Ok(Redistribution::Unknown)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Where the recipe may be. Since version 2 of the package interface, directories are Python
/// modules: no hyphens, and an underscore before digits and reserved words (`spack-format` 1.3).
fn candidates(prefix: &Path, namespace: &str, package: &str) -> [PathBuf; 3] {
    let repos = prefix.join(".spack/repos");
    let module = package.replace('-', "_");
    let modules = repos.join("spack_repo").join(namespace.replace('.', "/")).join("packages");
    [
        modules.join(&module).join("package.py"),
        modules.join(format!("_{module}")).join("package.py"),
        repos.join(namespace).join("packages").join(package).join("package.py"),
    ]
}
