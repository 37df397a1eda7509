//! What can be done about Spack's stores and its configuration.

use hod_cache::{UninstallError, closest};
use hod_store::{EditMirrorsError, MirrorUrlError};

use crate::error::{
    ElsewhereDefined, NameTaken, NoHome, NoSpack, NoSuchMirror, SecretInArguments, UnknownMirror,
};

pub(super) fn store(error: &hod_store::Error) -> Option<String> {
    use hod_store::Error;
    match error {
        Error::Database { source, .. } => Some(match &**source {
            hod_spec::DatabaseError::Version { .. } => "install a newer hod".to_owned(),
            _ => "`spack reindex` writes it anew".to_owned(),
        }),
        Error::Read { path, .. } if path.ends_with(".spack/spec.json") => Some(
            "the prefix is damaged: install it again, or leave a dependency out with `--exclude`"
                .into(),
        ),
        Error::NothingFound { .. } => {
            Some("name the store with `--store PATH`, or set HOD_STORE".to_owned())
        }
        Error::NotAStore { .. } | Error::NoStore { .. } => Some(
            "a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`"
                .to_owned(),
        ),
        Error::ReadOnlyLock { .. } => {
            Some("run it as a user who may write to the store".to_owned())
        }
        Error::Occupied { .. } => {
            Some("name a directory that is empty or yet to be made".to_owned())
        }
        Error::Locked { .. } => {
            Some("wait for the other process, or end it if it hangs".to_owned())
        }
        Error::PrefixMissing { .. } | Error::NotInstalled { .. } => {
            Some("install it again, or leave a dependency out with `--exclude`".to_owned())
        }
        Error::SpecFile { .. } | Error::AnotherSpec { .. } => Some(
            "the prefix is damaged: install it again, or leave a dependency out with `--exclude`"
                .into(),
        ),
        Error::InconsistentRoots { .. } => {
            Some("give `--store` the root under which the packages were installed".to_owned())
        }
        _ => None,
    }
}

/// What can be done about a package that cannot be removed.
pub(super) fn uninstall(error: &UninstallError) -> Option<String> {
    Some(match error {
        UninstallError::Needed { .. } => {
            "name those too, or give `--dependents` to remove all that need it".to_owned()
        }
        UninstallError::External { .. } => {
            "`spack uninstall` makes Spack forget it; nothing on the machine changes".to_owned()
        }
        UninstallError::Upstream { .. } => "name its store with `--store`".to_owned(),
        UninstallError::Misplaced { .. } | UninstallError::AnotherSpec { .. } => {
            "`spack reindex` makes the database say what is there".to_owned()
        }
        _ => return None,
    })
}

/// What can be done where `spack load` does not say what the environment is.
pub(super) fn load(error: &hod_cache::SpackError) -> String {
    match error {
        hod_cache::SpackError::Failed { program, .. } => format!(
            "`{} load` shows more; without `--env-from` the directories of the prefixes tell",
            program.display()
        ),
        _ => "leave out `--env-from`: then the directories of the prefixes tell".to_owned(),
    }
}

pub(super) fn unknown_mirror(error: &UnknownMirror) -> String {
    let UnknownMirror { name, known, is_directory } = error;
    match &known[..] {
        _ if *is_directory => format!("for the directory of that name, write `./{name}`"),
        [] => format!("for a directory, write `./{name}`; `hod mirror add` makes a name for one"),
        known => format!("known are {}; for a directory, write `./{name}`", known.join(", ")),
    }
}

/// What to do about these errors.
pub(super) fn configuration(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(SecretInArguments { option }) = cause.downcast_ref() {
        return Some(format!("put it into a variable, and name that with `--{option}-variable`"));
    }
    if cause.is::<NoSpack>() {
        return Some("set SPACK_ROOT to where Spack is, or leave out `--env-from`".to_owned());
    }
    if cause.is::<NoHome>() {
        return Some("set HOME, or SPACK_USER_CONFIG_PATH to a directory".to_owned());
    }
    if let Some(NameTaken { name, url, is_here, .. }) = cause.downcast_ref() {
        return Some(match is_here {
            true => format!(
                "choose another name, or change this one with `hod mirror set {name} --url {url}`"
            ),
            false => "choose another name".to_owned(),
        });
    }
    if let Some(ElsewhereDefined { file, .. }) = cause.downcast_ref() {
        return Some(format!("edit `{file}`"));
    }
    if let Some(NoSuchMirror { similar, known, name }) = cause.downcast_ref() {
        return Some(match (similar, &known[..]) {
            (Some(similar), _) => format!("did you mean `{similar}`?"),
            (None, []) => format!("`hod mirror add {name} URL` makes one"),
            (None, known) => format!("known are {}", known.join(", ")),
        });
    }
    match cause.downcast_ref()? {
        EditMirrorsError::HalfAccessPair { missing: "user", .. } => {
            Some("name the user as well: `--oci-username` or `--oci-username-variable`".to_owned())
        }
        EditMirrorsError::HalfAccessPair { .. } => {
            Some("name the variable that has the password: `--oci-password-variable`".to_owned())
        }
        EditMirrorsError::Changed { .. } => Some("run the same command again".to_owned()),
        EditMirrorsError::Tangled { path, .. } | EditMirrorsError::Setting { path, .. } => {
            Some(format!("edit `{}` by hand", path.display()))
        }
        _ => None,
    }
}

/// What to do about a URL.
pub(super) fn url(error: &MirrorUrlError) -> Option<String> {
    match error {
        MirrorUrlError::UnknownScheme { scheme, known, .. } => {
            let names = known.iter().map(|known| (*known).to_owned()).collect();
            Some(match (&**scheme, closest(scheme, names)) {
                ("docker", _) => "for a registry, write `oci://`".to_owned(),
                (_, Some(similar)) => format!("did you mean `{similar}://`?"),
                (_, None) => format!("known are {}, and paths", known.join(", ")),
            })
        }
        MirrorUrlError::Image { repository, .. } => {
            Some(format!("leave the tag out: `{repository}`"))
        }
        MirrorUrlError::NotARepository { .. } => {
            Some("write it as `oci://ghcr.io/user/image`".to_owned())
        }
        MirrorUrlError::Password => {
            Some("for a registry, use `--oci-username` and `--oci-password-variable`".to_owned())
        }
        _ => None,
    }
}
