//! `hod copy`

use std::collections::BTreeSet;

use hod_archive::Cancel;
use hod_cache::{
    Copied, CopyOptions, CopyOutcome, CopySummary, Error, Event, News, Wanted, copy, index,
    plan_copy,
};
use hod_mirror::DirectoryMirror;
use serde_json::json;

use super::jobs;
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::{Direction, MirrorPlace, Surroundings};
use crate::ui::format::{bytes, count, duration};
use crate::ui::{ExitStatus, Printer, Progress, diagnostics};

pub(crate) fn run(
    arguments: &cli::Copy,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    let from = surroundings.mirror(&arguments.from, Direction::Fetch)?;
    let to = surroundings.mirror(&arguments.to, Direction::Push)?;
    let wanted: Vec<Wanted> = arguments.query.iter().map(Wanted::new).collect();
    let opener = surroundings.opener(&arguments.registries);
    let from = opener.open(&from)?;
    let store = local_store(printer)?;
    if arguments.dry_run {
        let target = opener.find(&to)?;
        let outcomes = plan_copy(&from, target.as_ref(), &store, &wanted, cancel)?;
        return Ok(planned(&outcomes, &to, printer));
    }
    let to_mirror = opener.ensure(&to)?;
    let options =
        CopyOptions { connections: arguments.registries.connections.get(), cancel: cancel.clone() };
    let progress = Progress::new(printer);
    let label = to_mirror.to_string();
    let reporter = |event: Event<'_>| {
        if let Event::Progress { package, bytes, total } = event {
            progress.advance(package, "copying", bytes, total);
        }
    };
    let summary = copy(&from, &to_mirror, &store, &wanted, &options, &reporter);
    progress.end(&label);
    let summary = summary?;
    if summary.outcomes.is_empty() && !printer.is_json() {
        printer.say(format_args!("Nothing to copy: there is no image in `{from}`"));
        return Ok(ExitStatus::Success);
    }
    tell(&summary, &to, printer);
    let is_interrupted =
        summary.outcomes.iter().any(|it| matches!(it.result, Err(Error::Cancelled)));
    if is_interrupted {
        printer.error("Interrupted, nothing half-written");
        printer.hint("run the same command again to copy the rest");
        return Ok(ExitStatus::Interrupted);
    }
    let mut status = if summary.is_complete() { ExitStatus::Success } else { ExitStatus::Failure };
    if summary.specs.is_empty() {
        return Ok(status);
    }
    let has_index = to_mirror.as_directory().is_none_or(DirectoryMirror::has_spack_half);
    if arguments.update_index && has_index {
        let report = index(
            &to_mirror,
            News::Published(&summary.specs),
            &store,
            jobs(None),
            cancel,
            &reporter,
        )?;
        if printer.is_json() {
            printer.json(&super::index::as_json(&report));
        }
        printer.say(format_args!("Indexed {}", count(report.entries, "spec")));
        if super::index::skipped(&report, printer) != ExitStatus::Success {
            status = ExitStatus::Failure;
        }
    } else if has_index {
        printer.say(format_args!("`hod index {to}` brings its index up to date"));
    }
    Ok(status)
}

/// What would be done.
fn planned(outcomes: &[CopyOutcome], place: &MirrorPlace, printer: &Printer) -> ExitStatus {
    let is = |wanted| outcomes.iter().filter(move |it| matches!(it.result, Ok(is) if is == wanted));
    let (new, there) = (is(Copied::New).count(), is(Copied::Present).count());
    records(outcomes, "would_copy", printer);
    let already = if there > 0 { format!(", {there} already there") } else { String::new() };
    printer.say(format_args!("Would copy {} to `{place}`{already}", count(new as u64, "image")));
    list(outcomes, printer);
    if outcomes.iter().all(|it| it.result.is_ok()) {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    }
}

/// A record for each image.
fn records(outcomes: &[CopyOutcome], new: &str, printer: &Printer) {
    if !printer.is_json() {
        return;
    }
    for outcome in outcomes {
        let event = match &outcome.result {
            Ok(Copied::New) => new,
            Ok(Copied::Present) => "present",
            Err(_) => "failed",
        };
        let error =
            outcome.result.as_ref().err().map(|error| {
                diagnostics::causes(error).map(ToString::to_string).collect::<Vec<_>>()
            });
        printer.json(&json!({
            "event": event, "tag": outcome.tag, "error": error,
            "manifest": outcome.digest.map(|digest| digest.to_string()),
        }));
    }
}

/// A line for each image, and each failure in full.
fn list(outcomes: &[CopyOutcome], printer: &Printer) {
    printer.say_list(outcomes.iter().filter_map(|outcome| {
        let sign = match outcome.result {
            Ok(Copied::New) => '+',
            Ok(Copied::Present) => '=',
            Err(_) => return None,
        };
        Some(format!(" {sign} {}", outcome.tag))
    }));
    let mut told = BTreeSet::new();
    for error in outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()) {
        let lines = diagnostics::lines(error);
        if !matches!(error, Error::Cancelled) && told.insert(lines.clone()) {
            for line in lines {
                printer.error(line);
            }
        }
    }
}

fn tell(summary: &CopySummary, place: &MirrorPlace, printer: &Printer) {
    let CopySummary { sent, present, mounted, .. } = summary;
    let new = summary.new_images();
    let there = summary.outcomes.iter().filter(|it| matches!(it.result, Ok(Copied::Present)));
    let there = there.count();
    let failed = summary.outcomes.iter().filter(|it| it.result.is_err()).count();
    records(&summary.outcomes, "copied", printer);
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "copy", "mirror": place.to_string(),
            "copied": new, "present": there, "failed": failed,
            "blobs_sent": sent.blobs, "bytes_sent": sent.bytes,
            "blobs_present": present.blobs, "bytes_present": present.bytes,
            "blobs_mounted": mounted.blobs, "bytes_mounted": mounted.bytes,
            "ms": u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
        }));
    }
    let time = duration(summary.took);
    if new == 0 && failed == 0 {
        printer.say(format_args!(
            "{there} of {there} already there in `{place}` in {time}, nothing to copy"
        ));
    } else if new > 0 {
        let mut parts = vec![bytes(sent.bytes)];
        if present.blobs > 0 {
            let were = if present.blobs == 1 { "was" } else { "were" };
            parts.push(format!("{} {were} there", count(present.blobs, "blob")));
        }
        if mounted.blobs > 0 {
            parts.push(format!("{} mounted", count(mounted.blobs, "blob")));
        }
        let already = if there > 0 { format!(", {there} already there") } else { String::new() };
        printer.say(format_args!(
            "Copied {} to `{place}` in {time} ({}){already}",
            count(new as u64, "image"),
            parts.join(", "),
        ));
    }
    list(&summary.outcomes, printer);
}
