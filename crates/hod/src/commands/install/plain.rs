//! `hod install NAME --to PREFIX`

use std::path::Path;
use std::time::Instant;

use hod_cache::{Error, Event, LocalStore, PlainRequest, Wanted, find, install_plain};
use serde_json::json;

use super::super::{jobs, limits};
use super::mirrors;
use crate::cli;
use crate::error::{NoMirrors, UsageError};
use crate::surroundings::Surroundings;
use crate::ui::format::{count, duration};
use crate::ui::{ExitStatus, Progress};

/// Puts a prefix that Spack did not make to a new place.
pub(super) fn run(
    arguments: &cli::Install,
    to: &Path,
    surroundings: &Surroundings<'_>,
    local: &LocalStore,
    start: Instant,
) -> anyhow::Result<ExitStatus> {
    let printer = surroundings.printer();
    let [name] = &arguments.specs[..] else {
        return Err(UsageError("`--to` takes one package".to_owned()).into());
    };
    let wanted = Wanted::new(name);
    let mut missing = None;
    for (mirror, _) in mirrors(arguments, surroundings)? {
        let found = match find(&mirror, local, &wanted) {
            // Perhaps the next one has it.
            Err(error @ Error::NotFound { .. }) => {
                missing.get_or_insert(error);
                continue;
            }
            found => found?,
        };
        let request = PlainRequest {
            found: &found,
            to,
            jobs: jobs(arguments.jobs).get(),
            limits: limits(&arguments.limits),
            cancel: surroundings.cancel().clone(),
        };
        let progress = Progress::new(printer);
        let installed = install_plain(&mirror, local, &request, &|event: Event<'_>| {
            if let Event::Progress { package, bytes, total } = event {
                progress.advance(package, "installing", bytes, total);
            }
        });
        progress.end(&found.label());
        let installed = installed?;
        let contents = &installed.contents;
        if printer.is_json() {
            printer.json(&json!({
                "event": "installed", "name": found.name, "version": found.version,
                "hash": found.hash, "prefix": installed.prefix,
                "original_prefix": installed.original_prefix,
                "digest": contents.digest.to_string(), "files": contents.files,
                "relocated": installed.relocated, "file_bytes": contents.file_bytes,
            }));
        }
        printer.say(format_args!(
            "Installed {} to `{}` in {} ({} of {} relocated)",
            found.label(),
            installed.prefix.display(),
            duration(start.elapsed()),
            installed.relocated,
            count(contents.files, "file"),
        ));
        return Ok(ExitStatus::Success);
    }
    Err(missing.map_or_else(|| NoMirrors.into(), Into::into))
}
