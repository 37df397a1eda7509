//! `hod push --dry-run`

use hod_cache::{LocalStore, Package, Planned, PushOptions, plan};
use hod_mirror::Mirror;
use serde_json::json;

use super::live::contents;
use super::record::noun;
use crate::surroundings::MirrorPlace;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

/// Says what would be done, and changes nothing.
pub(super) fn run(
    place: &MirrorPlace,
    mirror: Option<&Mirror>,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let planned = plan(mirror, packages, store, options)?;
    if printer.is_json() {
        for planned in &planned {
            printer.json(&json!({
                "event": if planned.is_there { "present" } else { "would_push" },
                "name": planned.package.name(), "version": planned.package.version(),
                "hash": planned.hash, "prefix": planned.package.prefix(),
                "contents": planned.contents.as_ref().map(contents),
            }));
        }
    }
    let new: Vec<_> = planned.iter().filter(|planned| !planned.is_there).collect();
    if new.is_empty() {
        printer.say(format_args!(
            "{0} of {0} already there in `{place}`, nothing to push",
            planned.len(),
        ));
        return Ok(ExitStatus::Success);
    }
    let bytes_of = |planned: &&Planned| planned.contents.as_ref().map_or(0, |c| c.file_bytes);
    let total = new.iter().map(bytes_of).sum();
    printer.say(format_args!(
        "Would push {} to `{place}` ({} before compression)",
        count(new.len() as u64, noun(new.iter().map(|planned| &planned.package))),
        bytes(total),
    ));
    printer.say_list(planned.iter().map(|planned| {
        let sign = if planned.is_there { '=' } else { '+' };
        let label = match &planned.hash {
            Some(hash) => planned.package.label_with(hash),
            None => planned.package.label(),
        };
        let Some(contents) = &planned.contents else { return format!(" {sign} {label}") };
        let (files, size) = (count(contents.files, "file"), bytes(contents.file_bytes));
        format!(" {sign} {label}  {files}, {size}")
    }));
    Ok(ExitStatus::Success)
}
