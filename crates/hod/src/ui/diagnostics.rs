//! Errors are facts, hints are advice: the one table that gives a hint for an error.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use hod_archive::{EncodingError, PackError, UnpackError};
use hod_cache::{
    Error, ImageError, InstallError, LockError, PackageError, RelocationError, SpackError,
    UninstallError,
};
use hod_mirror::CredentialsError;
use hod_store::{EditMirrorsError, MirrorUrlError};

use crate::error::{
    NoMirrors, NotAPath, NotInStore, PlaceError, SecretInArguments, UnknownMirror, UsageError,
};

use super::printer::{ERROR, HINT};
use super::{ExitStatus, Printer};

mod install;
mod package;
mod registry;
mod spack;

/// At most so many hints.
const HINTS: usize = 2;
/// At most so many packages below an error.
const LISTED: usize = 20;

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
    let error = itself(error);
    let mut lines = vec![format!("{ERROR}error:{ERROR:#} {error}")];
    if let Some(Error::Ambiguous { matches, .. }) = error.downcast_ref() {
        lines.extend(matches.iter().map(|label| format!("  {label}")));
    }
    if let Some(UninstallError::Needed { dependents, .. }) = error.downcast_ref() {
        lines.extend(dependents.iter().take(LISTED).map(|label| format!("  {label}")));
        if dependents.len() > LISTED {
            lines.push(format!("  … and {} more", dependents.len() - LISTED));
        }
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
    std::iter::successors(Some(itself(error)), |&error| error.source().map(itself))
}

/// The error that another passes on as it is.
fn itself<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    if let Some(InstallError::Cache(inner)) = error.downcast_ref() {
        inner
    } else if let Some(UninstallError::Cache(inner)) = error.downcast_ref() {
        inner
    } else {
        error
    }
}

/// The cause as a `T`, also where it is boxed or shared, or went through a writer.
fn find<'e, T: StdError + 'static>(cause: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    cause
        .downcast_ref::<T>()
        .or_else(|| cause.downcast_ref::<Box<T>>().map(AsRef::as_ref))
        .or_else(|| cause.downcast_ref::<Arc<T>>().map(AsRef::as_ref))
        .or_else(|| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref())
}

fn status(error: &(dyn StdError + 'static)) -> ExitStatus {
    // In Spack's configuration it is not what was typed that is wrong.
    if error.is::<PlaceError>() {
        return ExitStatus::Usage;
    }
    for cause in causes(error) {
        let is_cancelled = matches!(cause.downcast_ref(), Some(Error::Cancelled))
            || matches!(
                cause.downcast_ref(),
                Some(InstallError::Cancelled | InstallError::Cache(Error::Cancelled))
            );
        if is_cancelled {
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
    let mut hints: Vec<String> = Vec::new();
    for hint in causes(error).flat_map(hints_for) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.truncate(HINTS);
    hints
}

/// What can be done about one cause.
fn hints_for(cause: &(dyn StdError + 'static)) -> Vec<String> {
    if let Some(hod_mirror::Error::Registry(error)) = find(cause) {
        return registry::registry(error);
    }
    let hint = if let Some(error) = find::<Error>(cause) {
        package::cache(error)
    } else if let Some(error) = find::<InstallError>(cause) {
        install::install(error)
    } else if let Some(error) = find::<RelocationError>(cause) {
        install::relocation(error)
    } else if let Some(error) = find::<LockError>(cause) {
        install::lock(error)
    } else if let Some(error) = find::<ImageError>(cause) {
        package::image(error)
    } else if let Some(error) = find::<UninstallError>(cause) {
        spack::uninstall(error)
    } else if let Some(error) = find::<PackageError>(cause) {
        package::package(error)
    } else if let Some(error) = find::<PackError>(cause) {
        package::pack(error)
    } else if let Some(error) = find::<UnpackError>(cause) {
        package::unpack(error)
    } else if let Some(error) = find::<SpackError>(cause) {
        Some(spack::load(error))
    } else if let Some(error) = find::<hod_store::Error>(cause) {
        spack::store(error)
    } else if let Some(error) = find::<UnknownMirror>(cause) {
        Some(spack::unknown_mirror(error))
    } else if cause.is::<NoMirrors>() {
        Some("name one with `-m DIR`, or for all commands with `hod mirror add`".to_owned())
    } else if let Some(error) = find::<NotAPath>(cause) {
        Some(format!("for the directory of that name, write `./{}`", error.word))
    } else if cause.is::<NotInStore>() {
        Some("name the store it belongs to with `--store`".to_owned())
    } else if let Some(error) = find::<hod_mirror::Error>(cause) {
        package::mirror(error)
    } else if let Some(error) = find::<PlaceError>(cause) {
        Some(registry::place(error))
    } else if let Some(error) = find::<MirrorUrlError>(cause) {
        spack::url(error)
    } else if let Some(error) = find::<CredentialsError>(cause) {
        registry::credentials(error)
    } else if let Some(error) = find::<io::Error>(cause) {
        system(error)
    } else {
        spack::configuration(cause)
    };
    hint.into_iter().collect()
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
