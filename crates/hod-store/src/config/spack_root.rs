//! Where Spack itself is.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ConfigWarning;
use crate::Environment;

/// `SPACK_ROOT`, or the Spack that `spack` on the path is the script of.
pub(super) fn find(
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Option<PathBuf> {
    if let Some(root) = environment.nonempty("SPACK_ROOT") {
        let root = crate::environment::normalised(&environment.cwd.join(root));
        if is_spack(&root) {
            return Some(root);
        }
        warnings.push(ConfigWarning::NoSpack { path: root });
    }
    let directories = environment.nonempty("PATH").unwrap_or_default().split(':');
    directories
        .map(|directory| environment.cwd.join(directory).join("spack"))
        .filter(|script| is_executable(script))
        .find_map(|script| {
            // As the script itself finds it: <root>/bin/spack, symlinks resolved.
            let script = fs_err::canonicalize(script).ok()?;
            let root = script.parent()?.parent()?;
            is_spack(root).then(|| root.to_owned())
        })
}

fn is_spack(root: &Path) -> bool {
    root.join("etc/spack/defaults").is_dir()
}

fn is_executable(path: &Path) -> bool {
    fs_err::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
