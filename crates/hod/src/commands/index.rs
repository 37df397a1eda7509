//! `hod index`

use std::time::Instant;

use hod_archive::Cancel;
use hod_cache::{Event, IndexMode, IndexReport, News, index};
use hod_mirror::{Mirror, SkippedEntry};
use serde_json::json;

use super::jobs;
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::{Direction, Surroundings};
use crate::ui::format::{count, duration};
use crate::ui::{ExitStatus, Printer, Progress, diagnostics};

pub(crate) fn run(
    arguments: &cli::Index,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let surroundings = Surroundings::new(printer, cancel);
    let place = surroundings.mirror(&arguments.mirror, Direction::Push)?;
    let mirror = surroundings.opener(&arguments.registries).open_to_push(&place)?;
    // To read all of a directory costs little; each package of a registry costs two requests.
    let mode = match &mirror {
        Mirror::Registry(_) if !arguments.rebuild => IndexMode::Incremental,
        _ => IndexMode::Rebuild,
    };
    let progress = Progress::new(printer);
    let reporter = |event: Event<'_>| match event {
        Event::Indexing { done, total } => progress.count("reading entries", done, total),
        Event::Waiting { waiting } => progress.aside(|| super::waiting(waiting, printer)),
        _ => {}
    };
    let report = index(
        &mirror,
        News::All(mode),
        &local_store(printer)?,
        jobs(arguments.jobs),
        cancel,
        &reporter,
    );
    progress.end("reading entries");
    let report = report?;
    if printer.is_json() {
        printer.json(&as_json(&report));
    }
    printer.say(format_args!(
        "Indexed {} in `{place}` in {}{}",
        count(report.entries, "spec"),
        duration(start.elapsed()),
        if report.is_changed { "" } else { ", nothing new" },
    ));
    Ok(skipped(&report, printer))
}

/// The report as data.
pub(super) fn as_json(report: &IndexReport) -> serde_json::Value {
    let skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|skipped| {
            let causes = diagnostics::causes(&skipped.error).map(ToString::to_string);
            json!({
                "path": skipped.path, "kept": skipped.is_kept,
                "error": causes.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "event": "indexed", "entries": report.entries, "read": report.read,
        "dropped": report.dropped, "changed": report.is_changed, "skipped": skipped,
    })
}

/// Tells what is not in the index although it should be.
pub(super) fn skipped(report: &IndexReport, printer: &Printer) -> ExitStatus {
    let is_index = |skipped: &&SkippedEntry| skipped.path.ends_with("index/index.manifest.json");
    let (indexes, entries): (Vec<_>, Vec<_>) = report.skipped.iter().partition(is_index);
    // It was of no use, and there is a new one now.
    for skipped in indexes {
        printer.warn(format_args!("made anew: {}", skipped.error));
    }
    for skipped in &entries {
        let what = if skipped.is_kept { "indexed as before" } else { "not indexed" };
        printer.error(format_args!("{what}: `{}`", skipped.path.display()));
        for cause in diagnostics::causes(&skipped.error) {
            printer.error(format_args!("  cause: {cause}"));
        }
    }
    if entries.is_empty() {
        return ExitStatus::Success;
    }
    printer.hint("push these specs again with `--force`; `hod check MIRROR` names all damage");
    ExitStatus::Failure
}
