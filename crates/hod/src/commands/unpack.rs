//! `hod unpack`

use std::time::Instant;

use hod_archive::Cancel;
use hod_cache::{Event, UnpackRequest, Wanted, find, unpack};
use serde_json::json;

use super::{jobs, limits};
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::{Direction, Surroundings};
use crate::ui::format::{bytes, count, duration};
use crate::ui::{ExitStatus, Printer, Progress};

pub(crate) fn run(
    arguments: &cli::Unpack,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let surroundings = Surroundings::new(printer, cancel);
    let place = surroundings.mirror(&arguments.from.mirror, Direction::Fetch)?;
    let mirror = surroundings.opener(&arguments.registries).open(&place)?;
    let store = local_store(printer)?;
    let found = find(&mirror, &store, &Wanted::new(&arguments.name))?;
    let request = UnpackRequest {
        found: &found,
        to: &arguments.to,
        rootfs: arguments.rootfs,
        jobs: jobs(arguments.jobs).get(),
        limits: limits(&arguments.limits),
        cancel: cancel.clone(),
    };
    let progress = Progress::new(printer);
    let unpacked = unpack(&mirror, &store, &request, &|event: Event<'_>| {
        if let Event::Progress { package, bytes, total } = event {
            progress.advance(package, "unpacking", bytes, total);
        }
    });
    progress.end(&found.label());
    let unpacked = unpacked?;
    let contents = &unpacked.contents;
    if printer.is_json() {
        printer.json(&json!({
            "event": "unpacked", "name": found.name, "version": found.version, "hash": found.hash,
            "to": unpacked.to, "original_prefix": unpacked.original_prefix,
            "digest": contents.digest.to_string(), "diff_id": contents.diff_id.map(|id| id.to_string()),
            "files": contents.files, "directories": contents.directories,
            "symlinks": contents.symlinks, "hardlinks": contents.hardlinks,
            "file_bytes": contents.file_bytes,
        }));
    }
    printer.say(format_args!(
        "Unpacked {} to `{}` in {} ({}, {})",
        found.label(),
        unpacked.to.display(),
        duration(start.elapsed()),
        count(contents.files, "file"),
        bytes(contents.file_bytes),
    ));
    let elsewhere = unpacked.original_prefix.filter(|prefix| *prefix != unpacked.to);
    if let Some(prefix) = elsewhere.filter(|_| !arguments.rootfs) {
        printer.say(format_args!("Paths inside its files still say `{}`", prefix.display()));
    }
    Ok(ExitStatus::Success)
}
