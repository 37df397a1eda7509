//! Errors are facts, hints are advice: the one table that gives a hint for an error.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use hod_archive::{EncodingError, PackError, UnpackError};
use hod_cache::{Error, PackageError, Place};
use hod_mirror::CredentialsError;
use hod_mirror::registry::RegistryError;
use hod_store::{EditMirrorsError, MirrorUrlError};

use crate::commands::UsageError;
use crate::commands::login::hint as login_hint;
use crate::commands::mirror::{SecretInArguments, hint as mirror_hint, url_hint};
use crate::commands::push::{NotAPath, NotInStore};
use crate::surroundings::{NoMirrors, UnknownMirror};

use super::printer::{ERROR, HINT};
use super::{ExitStatus, Printer};

mod registry;

/// At most so many hints.
const HINTS: usize = 2;

/// What is known of damage where it is met is one blob.
const DAMAGE: &str = "`hod check MIRROR` names everything that is damaged, and what to do";

/// Shows an error with its causes and hints, and says how the program ends.
pub(crate) fn report(error: &anyhow::Error, printer: &Printer) -> ExitStatus {
    let status = status(error.as_ref());
    if status == ExitStatus::Interrupted {
        printer.error("Interrupted, nothing half-written");
        printer.hint("run the same command again");
        return status;
    }
    if printer.is_json() {
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let hints = hints(error.as_ref());
        printer.json(&serde_json::json!({
            "event": "error", "message": error.to_string(), "causes": causes, "hints": hints,
        }));
    }
    for line in lines(error.as_ref()) {
        printer.error(line);
    }
    status
}

/// The error as text: `error:`, its causes, a blank line, its hints.
pub(crate) fn lines(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut lines = vec![format!("{ERROR}error:{ERROR:#} {error}")];
    if let Some(Error::Ambiguous { matches, .. }) = error.downcast_ref() {
        lines.extend(matches.iter().map(|label| format!("  {label}")));
    }
    if let Some(Error::Query(query)) = error.downcast_ref() {
        // Where it went wrong; characters are counted, for the terminal.
        let before = query.text.get(..query.range.start).map_or(0, |text| text.chars().count());
        let wrong = query.text.get(query.range.clone()).map_or(0, |text| text.chars().count());
        lines.push(format!("  {}", query.text));
        lines.push(format!("  {}{}", " ".repeat(before), "^".repeat(wrong.max(1))));
    }
    if let Some(Error::NotFound { unreadable, .. }) = error.downcast_ref() {
        lines.extend(unreadable.iter().map(|message| format!("  not read: {message}")));
    }
    lines.extend(causes(error).skip(1).map(|cause| format!("  cause: {cause}")));
    if let Some(EditMirrorsError::Syntax { excerpt, line: fault, .. }) = error.downcast_ref() {
        let (last, fault) = (excerpt.last().map(|(number, _)| *number), *fault);
        let marked = last.min(fault);
        lines.extend(excerpt.iter().map(|(number, text)| {
            let mark = if Some(*number) == marked { '>' } else { ' ' };
            format!("{mark}{number:>4} │ {text}").trim_end().to_owned()
        }));
    }
    let hints = hints(error);
    if !hints.is_empty() {
        lines.push(String::new());
        lines.extend(hints.into_iter().map(|hint| format!("{HINT}hint:{HINT:#} {hint}")));
    }
    lines
}

/// The error and what caused it, down to the system's own words.
pub(crate) fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The cause as a `T`, also where it is boxed or shared.
fn find<'e, T: StdError + 'static>(cause: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    cause
        .downcast_ref::<T>()
        .or_else(|| cause.downcast_ref::<Box<T>>().map(AsRef::as_ref))
        .or_else(|| cause.downcast_ref::<Arc<T>>().map(AsRef::as_ref))
}

fn status(error: &(dyn StdError + 'static)) -> ExitStatus {
    for cause in causes(error) {
        if matches!(cause.downcast_ref(), Some(Error::Cancelled)) {
            return ExitStatus::Interrupted;
        }
        if matches!(find(cause), Some(hod_mirror::Error::Cancelled))
            || matches!(find(cause), Some(hod_store::Error::Cancelled))
        {
            return ExitStatus::Interrupted;
        }
        let is_bad_text = matches!(find(cause), Some(PackageError::BadText { .. }));
        let is_bad_query =
            matches!(cause.downcast_ref(), Some(Error::Query(_) | Error::Codec { .. }));
        let is_half = matches!(cause.downcast_ref(), Some(EditMirrorsError::HalfAccessPair { .. }))
            || matches!(cause.downcast_ref(), Some(CredentialsError::Colon));
        let is_usage = is_half
            || cause.is::<EncodingError>()
            || cause.is::<UsageError>()
            || cause.is::<MirrorUrlError>()
            || cause.is::<SecretInArguments>();
        if is_bad_text || is_bad_query || is_usage {
            return ExitStatus::Usage;
        }
    }
    ExitStatus::Failure
}

/// Commands to type or settings to change, the most specific first.
pub(crate) fn hints(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut hints = Vec::new();
    let mut is_registry = false;
    for cause in causes(error) {
        if let Some(error) = registry_error(cause) {
            // The outermost knows best: see there.
            if !is_registry {
                hints.extend(registry::hint(error));
            }
            is_registry = true;
        } else if let Some(error) = find::<Error>(cause) {
            hints.extend(cache(error));
        } else if let Some(error) = find::<PackageError>(cause) {
            hints.extend(package(error));
        } else if let Some(error) = find::<PackError>(cause) {
            hints.extend(pack(error));
        } else if let Some(error) = find::<UnpackError>(cause) {
            hints.extend(unpack(error));
        } else if let Some(error) = find::<hod_store::Error>(cause) {
            hints.extend(store(error));
        } else if let Some(error) = find::<UnknownMirror>(cause) {
            hints.push(unknown_mirror(error));
        } else if cause.is::<NoMirrors>() {
            hints.push("name one with `-m DIR`, or look into a store with `--store`".to_owned());
        } else if let Some(error) = find::<NotAPath>(cause) {
            hints.push(format!("for the directory of that name, write `./{}`", error.word));
        } else if cause.is::<NotInStore>() {
            hints.push("name the store it belongs to with `--store`".to_owned());
        } else if let Some(error) = find::<hod_mirror::Error>(cause) {
            hints.extend(mirror(error));
        } else if let Some(error) = find::<MirrorUrlError>(cause) {
            hints.extend(url_hint(error));
        } else if let Some(error) = find::<CredentialsError>(cause) {
            hints.extend(login_hint(error));
        } else if let Some(hint) = mirror_hint(cause) {
            hints.push(hint);
        } else if let Some(error) = find::<io::Error>(cause) {
            hints.extend(system(error));
        }
    }
    hints.dedup();
    hints.truncate(HINTS);
    hints
}

/// Also where it is the same error as that of the mirror.
fn registry_error<'e>(cause: &'e (dyn StdError + 'static)) -> Option<&'e RegistryError> {
    match find(cause) {
        Some(hod_mirror::Error::Registry(error)) => Some(error),
        _ => find(cause),
    }
}

fn cache(error: &Error) -> Option<String> {
    match error {
        // The name is right, something else is not.
        Error::NotFound { similar: Some(name), query, place, .. }
            if query.split(['@', '/', '+', '~', '%', ' ']).next() == Some(name) =>
        {
            Some(format!("`hod list {} {name}` shows what is there", option(place)))
        }
        Error::NotFound { similar: Some(similar), .. } => {
            Some(format!("did you mean `{similar}`?"))
        }
        Error::NotFound { place, packages: 1.., .. } => {
            Some(format!("`hod list {}` shows what is there", option(place)))
        }
        Error::Codec { .. } => Some("leave out `--compression`, or give it `gzip`".to_owned()),
        Error::Ambiguous { matches, .. } => {
            let hash = matches.first()?.rsplit('/').next()?;
            Some(format!("name one by its hash, as in `/{hash}`"))
        }
        Error::NoPrefix { .. } => {
            Some("with `--rootfs` it is unpacked under its full paths".to_owned())
        }
        Error::ManyLayers { .. } => {
            Some("`umoci unpack` and `podman` unpack images that hod did not make".to_owned())
        }
        _ => None,
    }
}

/// How a place is named on the command line.
fn option(place: &Place) -> String {
    match place {
        Place::Mirror(path) => format!("-m {path}"),
        Place::Store(path) => format!("--store {}", path.display()),
    }
}

fn store(error: &hod_store::Error) -> Option<String> {
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

fn unknown_mirror(error: &UnknownMirror) -> String {
    let UnknownMirror { name, known, is_directory } = error;
    match &known[..] {
        _ if *is_directory => format!("for the directory of that name, write `./{name}`"),
        [] => format!("for a directory, write `./{name}`; `hod mirror add` makes a name for one"),
        known => format!("known are {}; for a directory, write `./{name}`", known.join(", ")),
    }
}

fn package(error: &PackageError) -> Option<String> {
    match error {
        PackageError::Missing { .. } => {
            Some("a prefix is the directory that `make install` wrote to".to_owned())
        }
        PackageError::NotADirectory { path } => {
            Some(format!("push the directory it lies in, `{}`", path.parent()?.display()))
        }
        PackageError::Empty { .. } => {
            Some("push it when something is installed in it, or name another".to_owned())
        }
        PackageError::BadText { .. } => {
            Some("use letters, digits, `.`, `_`, `+` and `-`".to_owned())
        }
        _ => None,
    }
}

fn pack(error: &PackError) -> Option<String> {
    match error {
        PackError::Vanished { .. } | PackError::Changed { .. } => Some(
            "the prefix is being changed; push it when whatever writes to it is done".to_owned(),
        ),
        PackError::Whiteout { .. } => {
            Some("rename the file: a container would delete another one instead".to_owned())
        }
        _ => None,
    }
}

fn unpack(error: &UnpackError) -> Option<String> {
    match error {
        UnpackError::DestinationExists { .. } => {
            Some("unpack to a new directory, or remove this one first".to_owned())
        }
        UnpackError::Decode(_)
        | UnpackError::Digest { .. }
        | UnpackError::Size { .. }
        | UnpackError::DiffId { .. } => Some(DAMAGE.to_owned()),
        UnpackError::Limit { what: "bytes", .. } => {
            Some("if you trust it, raise the limit with `--max-bytes`".to_owned())
        }
        UnpackError::Limit { what: "members", .. } => {
            Some("if you trust it, raise the limit with `--max-entries`".to_owned())
        }
        UnpackError::Ratio { .. } => {
            Some("if you trust it, raise the limit with `--max-ratio`".to_owned())
        }
        _ => None,
    }
}

fn mirror(error: &hod_mirror::Error) -> Option<String> {
    match error {
        hod_mirror::Error::DoesNotExist { path } => {
            Some(format!("`hod push {} PREFIX` makes one", path.display()))
        }
        hod_mirror::Error::NotADirectory { .. } => {
            Some("name a directory for the mirror; `hod push` makes it".to_owned())
        }
        hod_mirror::Error::SizeMismatch { .. }
        | hod_mirror::Error::DigestMismatch { .. }
        | hod_mirror::Error::MissingBlob { .. }
        | hod_mirror::Error::MissingFile { .. } => Some(DAMAGE.to_owned()),
        hod_mirror::Error::NotAMirror { path, found: hod_mirror::Found::OciLayout } => {
            Some(format!("name it as what it is: `oci-layout:{}`", path.display()))
        }
        hod_mirror::Error::NotAMirror { path, found: hod_mirror::Found::Mirror } => {
            Some(format!("leave out `oci-layout:`: `{}`", path.display()))
        }
        hod_mirror::Error::NoSpackHalf { .. } => Some(
            "name a new directory without `oci-layout:`, and `hod copy` what is here to it"
                .to_owned(),
        ),
        hod_mirror::Error::NotAMirror { path, .. } => Some(format!(
            "name a new directory for the mirror, such as `{}`",
            path.join("cache").display()
        )),
        hod_mirror::Error::NewerLayout { .. } => Some("install a newer hod".to_owned()),
        _ => None,
    }
}

fn system(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "free some space and run the same command again; nothing half-written is left"
                .to_owned(),
        ),
        io::ErrorKind::NotADirectory => {
            Some("a part of this path is a file, where a directory should be".to_owned())
        }
        io::ErrorKind::PermissionDenied => {
            Some("run it as a user who may do this, or change the permissions".to_owned())
        }
        _ => None,
    }
}
