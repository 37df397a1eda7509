//! What can be done about packages that could not be installed.

use hod_archive::UnpackError;
use hod_cache::{InstallError, LockError, RelocationError};

use super::package;

/// What is known of damage where it is met is one package.
const DAMAGE: &str = "push it again from where it is installed, with `--force`";

pub(super) fn install(error: &InstallError) -> Option<String> {
    match error {
        // It says what its cause says, and stands for it.
        InstallError::Cache(error) => package::cache(error),
        InstallError::Nowhere { .. } => Some(
            "name a mirror that has it with `-m`, or install the rest with `--allow-missing`"
                .to_owned(),
        ),
        InstallError::Signature { is_signed, .. } => Some(match is_signed {
            true => "`--no-check-signature` installs it without asking who signed it".to_owned(),
            false => "if you trust the mirror, `--no-check-signature` installs from it".to_owned(),
        }),
        InstallError::AnotherSpec { .. }
        | InstallError::NoSpec { .. }
        | InstallError::BuildInfo { .. }
        | InstallError::LastEntry { .. }
        | InstallError::ListedFile { .. } => Some(DAMAGE.to_owned()),
        // Its digest would have said so as well, if it had come to that.
        InstallError::Unpack { source, .. } if matches!(**source, UnpackError::Tar(_)) => {
            Some(package::DAMAGE.to_owned())
        }
        InstallError::NoBuildInfo { .. } => {
            Some("`hod unpack` takes it out as it is, without relocating it".to_owned())
        }
        InstallError::Occupied { path, .. } => {
            Some(format!("move `{}` away, and run the same command again", path.display()))
        }
        InstallError::SamePrefix { .. } => {
            Some("put `{hash}` into `config:install_tree:projections`".to_owned())
        }
        InstallError::Layout { .. } => {
            Some("install it with Spack, or simplify `config:install_tree:projections`".to_owned())
        }
        _ => None,
    }
}

pub(super) fn relocation(error: &RelocationError) -> Option<String> {
    match error {
        RelocationError::Misfit { .. } => Some(
            "install into a store with a shorter root, or build the package with \
             `config:install_tree:padded_length`"
                .to_owned(),
        ),
        _ => None,
    }
}

pub(super) fn lock(error: &LockError) -> Option<String> {
    match error {
        LockError::Json(_) => Some(
            "`spack concretize` writes a `spack.lock`, and a package has its `spec.json` in \
             `.spack`"
                .to_owned(),
        ),
        _ => None,
    }
}
