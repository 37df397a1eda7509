//! `hod push --dry-run`

use std::path::Path;

use anyhow::{Context as _, anyhow};
use hod_cache::{LocalStore, Package, Planned, PushOptions, plan};
use hod_mirror::DirectoryMirror;
use serde_json::json;

use super::live::contents;
use super::record::noun;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

/// Says what would be done, and changes nothing.
pub(super) fn run(
    path: &Path,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let mirror = match DirectoryMirror::open(path) {
        Ok(mirror) => Some(mirror),
        Err(hod_mirror::Error::DoesNotExist { .. }) => None,
        // An empty directory would become a mirror.
        Err(_) if is_empty(path).unwrap_or(false) => None,
        Err(error) => return Err(error.into()),
    };
    let planned = plan(mirror.as_ref(), packages, store, options)?;
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
            "{0} of {0} already there in `{1}`, nothing to push",
            planned.len(),
            path.display(),
        ));
        return Ok(ExitStatus::Success);
    }
    let bytes_of = |planned: &&Planned| planned.contents.as_ref().map_or(0, |c| c.file_bytes);
    let total = new.iter().map(bytes_of).sum();
    printer.say(format_args!(
        "Would push {} to `{}` ({} before compression)",
        count(new.len() as u64, noun(new.iter().map(|planned| &planned.package))),
        path.display(),
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

fn is_empty(path: &Path) -> anyhow::Result<bool> {
    let mut entries =
        std::fs::read_dir(path).with_context(|| anyhow!("could not list `{}`", path.display()))?;
    Ok(entries.next().is_none())
}
