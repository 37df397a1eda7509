//! What a recipe that was kept with a package says about passing on its binaries
//! (`spack-format` 3.7).

use std::path::Path;

use crate::Error;

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

pub(crate) fn redistribution(
    _prefix: &Path,
    _namespace: &str,
    _package: &str,
) -> Result<Redistribution, Error> {
    Ok(Redistribution::Unknown)
}
