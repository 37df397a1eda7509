//! The record of a push, when all is done: in the order of the plan.

use std::collections::BTreeSet;

use hod_cache::{Error, LeftOut, Package, PushSummary, Pushed, Reason};
use hod_mirror::Mirror;
use serde_json::json;

use super::live::millis;
use super::targets::{Targets, some};
use crate::commands::{index, reference};
use crate::ui::format::{bytes, count, duration};
use crate::ui::{DIM, ExitStatus, Printer, diagnostics};

/// What the packages are to be called together.
pub(super) fn noun<'a>(packages: impl Iterator<Item = &'a Package>) -> &'static str {
    let is_spec = |package: &Package| package.as_installed().is_some();
    let (specs, prefixes): (Vec<_>, Vec<_>) = packages.partition(|package| is_spec(package));
    match (specs.is_empty(), prefixes.is_empty()) {
        (true, _) => "prefix",
        (_, true) => "spec",
        _ => "package",
    }
}

/// What a push did not take, as data.
pub(super) fn left_out(left: &LeftOut) -> serde_json::Value {
    let reason = match &left.reason {
        Reason::NotInstalled => "not installed",
        Reason::Excluded(_) => "excluded",
        Reason::NotRedistributable => "not redistributable",
        _ => "other",
    };
    json!({ "spec": left.label, "hash": left.hash, "reason": reason })
}

pub(super) fn finish(
    mirror: &Mirror,
    refs: Option<&Targets>,
    summary: &PushSummary,
    printer: &Printer,
) -> ExitStatus {
    let new: Vec<_> = summary.pushed().filter(|(_, pushed)| !pushed.was_there).collect();
    let there = summary.pushed().count() - new.len();
    let failed: Vec<_> =
        summary.failed().filter(|(_, error)| !matches!(error, Error::Cancelled)).collect();
    let left = summary.failed().count() - failed.len();
    let noun = noun(summary.outcomes.iter().map(|outcome| &outcome.package));
    let sum = |what: fn(&Pushed) -> u64| new.iter().map(|(_, pushed)| what(pushed)).sum::<u64>();
    if new.is_empty() && failed.is_empty() && left == 0 {
        printer.say(format_args!(
            "{there} of {there} already there in `{}` in {}, nothing to push",
            mirror,
            duration(summary.took),
        ));
    } else if !new.is_empty() {
        let already = if there > 0 { format!(", {there} already there") } else { String::new() };
        let from = match sum(|pushed| pushed.uncompressed_size.unwrap_or(0)) {
            0 => String::new(),
            size => format!(" from {}", bytes(size)),
        };
        printer.say(format_args!(
            "Pushed {} to `{}` in {} ({}{from}){already}",
            count(new.len() as u64, noun),
            mirror,
            duration(summary.took),
            bytes(sum(|pushed| pushed.size)),
        ));
    }
    list(mirror, summary, printer);
    if let Some(targets) = refs.filter(|_| !printer.is_json()) {
        for (_, pushed) in summary.pushed().filter(|(package, _)| targets.is_root(package)) {
            if let Some(image) = &pushed.image {
                let reference = reference(mirror, &image.tag);
                // A registry knows an image by its digest, whatever becomes of the tag.
                printer.data(match mirror.as_registry() {
                    Some(_) => format!("{reference}@{}", image.manifest),
                    None => reference,
                });
            }
        }
    }
    notes(summary, printer);
    let tagged = tagged(mirror, refs.is_some(), summary, printer);
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "push", "pushed": new.len(), "present": there,
            "failed": failed.len(), "interrupted": left, "bytes": sum(|pushed| pushed.size),
            "left_out": summary.left_out.iter().map(left_out).collect::<Vec<_>>(),
            "ms": millis(summary.took),
        }));
    }
    failures(&failed, printer);
    let indexed = indexed(summary, printer);
    if left > 0 {
        let done = new.len() + there;
        printer.error(format_args!(
            "Interrupted: {done} of {} pushed, nothing half-written",
            count(summary.outcomes.len() as u64, noun),
        ));
        printer.hint("run the same command again to push the rest");
        return ExitStatus::Interrupted;
    }
    if failed.is_empty() && tagged == ExitStatus::Success { indexed } else { ExitStatus::Failure }
}

/// The image of all that was asked for.
fn tagged(
    mirror: &Mirror,
    wants_reference: bool,
    summary: &PushSummary,
    printer: &Printer,
) -> ExitStatus {
    match &summary.tagged {
        None => ExitStatus::Success,
        Some((tag, Ok(tagged))) => {
            let reference = reference(mirror, tag.as_str());
            let pinned = match mirror.as_registry() {
                Some(_) => format!("{reference}@{}", tagged.digest),
                None => reference.clone(),
            };
            if printer.is_json() {
                printer.json(&json!({
                    "event": "tagged", "tag": tag.as_str(), "reference": pinned,
                    "digest": tagged.digest.to_string(), "image": tagged.image.to_string(),
                    "present": tagged.was_there,
                }));
            } else if wants_reference {
                printer.data(pinned);
            }
            let already = if tagged.was_there { ", which it was" } else { "" };
            printer.say(format_args!("Tagged {reference}{already}"));
            ExitStatus::Success
        }
        Some((_, Err(error))) => {
            for line in diagnostics::lines(error) {
                printer.error(line);
            }
            ExitStatus::Failure
        }
    }
}

/// A line for each package.
fn list(mirror: &Mirror, summary: &PushSummary, printer: &Printer) {
    let labels = summary.pushed().map(|(package, pushed)| package.label_with(&pushed.hash));
    let width = labels.map(|label| label.chars().count()).max().unwrap_or(0);
    let lines = summary.pushed().map(|(package, pushed)| {
        let sign = if pushed.was_there { '=' } else { '+' };
        let label = package.label_with(&pushed.hash);
        let image = match (&pushed.image, &pushed.held_back) {
            (Some(image), _) => reference(mirror, &image.tag),
            (None, Some(missing)) => format!("no image, for lack of {missing}"),
            (None, None) => "no image".to_owned(),
        };
        format!(" {sign} {label:width$}  {:>10}  {DIM}{image}{DIM:#}", bytes(pushed.size))
    });
    printer.say_list(lines);
}

/// What is not as one might think.
fn notes(summary: &PushSummary, printer: &Printer) {
    let forbidden: Vec<String> = summary.left_out.iter().map(|left| left.label.clone()).collect();
    if !forbidden.is_empty() {
        let recipes =
            if forbidden.len() == 1 { "its recipe forbids" } else { "their recipes forbid" };
        printer.warn(format_args!(
            "left out {}: {recipes} to redistribute binaries (`--private` pushes them)",
            some(&forbidden),
        ));
    }
    if let Some(recipes) = summary.recipes.filter(|recipes| recipes.without > 0) {
        printer.say(format_args!(
            "{DIM}{} of {} came without a recipe: whether binaries may be redistributed was not \
             checked there{DIM:#}",
            recipes.without,
            count((recipes.with + recipes.without) as u64, "new spec"),
        ));
    }
    let held_back = summary.pushed().filter(|(_, pushed)| pushed.held_back.is_some()).count();
    if held_back > 0 {
        printer.warn(format_args!(
            "{} held back: an image holds all its package needs, and something of that is missing",
            if held_back == 1 {
                "an image was".to_owned()
            } else {
                format!("{held_back} images were")
            },
        ));
    }
}

/// Each failure in full: with many, the reader looks for one.
fn failures(failed: &[(&Package, &Error)], printer: &Printer) {
    let not_tried = failed.iter().filter(|(_, error)| matches!(error, Error::NotTried)).count();
    // What concerns the mirror concerns all, and is told once.
    let mut told = BTreeSet::new();
    for (_, error) in failed.iter().filter(|(_, error)| !matches!(error, Error::NotTried)) {
        let lines = diagnostics::lines(*error);
        if told.insert(lines.clone()) {
            for line in lines {
                printer.error(line);
            }
        }
    }
    if not_tried > 0 {
        printer.error(format_args!("{not_tried} not tried after the first failure"));
    }
}

fn indexed(summary: &PushSummary, printer: &Printer) -> ExitStatus {
    match &summary.index {
        None => ExitStatus::Success,
        Some(Ok(report)) => {
            if printer.is_json() {
                printer.json(&index::as_json(report));
            }
            if report.is_changed {
                printer.say(format_args!("Indexed {}", count(report.entries, "spec")));
            }
            index::skipped(report, printer)
        }
        Some(Err(error)) => {
            for line in diagnostics::lines(error) {
                printer.error(line);
            }
            ExitStatus::Failure
        }
    }
}
