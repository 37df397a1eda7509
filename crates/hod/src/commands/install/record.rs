//! What an installation will do, would do, and has done.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hod_cache::{
    Graph, InstallError, InstallOutcome, InstallPlan, InstallSource, InstallSummary, InstalledAs,
};
use hod_spec::{Nodes as _, Spec};
use serde_json::json;

use crate::ui::format::{bytes, count, duration};
use crate::ui::{DIM, ExitStatus, Printer, diagnostics};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What was asked for, and what of it is there.
pub(super) fn planned(
    plan: &InstallPlan,
    graph: &Graph,
    sources: &[InstallSource<'_>],
    store: &Path,
    took: Duration,
    printer: &Printer,
) {
    let all = plan.steps.len() + plan.present.len() + plan.absent.len();
    if printer.is_json() {
        printer.json(&json!({
            "event": "planned", "verb": "install", "store": store, "selected": all,
            "present": plan.present.len(), "missing": plan.steps.len(),
            "absent": plan.absent.iter().map(|absent| absent.spec.label()).collect::<Vec<_>>(),
            "mirrors": sources.iter().map(|source| source.mirror.to_string()).collect::<Vec<_>>(),
        }));
    }
    let roots: Vec<String> =
        graph.roots.iter().filter_map(|hash| graph.node(hash)).map(Spec::label).collect();
    let asked = match &roots[..] {
        [one] => format!("`{one}`"),
        _ => count(roots.len() as u64, "root"),
    };
    printer.say(format_args!(
        "Resolved {asked} to {} in {}",
        count(all as u64, "spec"),
        duration(took)
    ));
    if !plan.present.is_empty() && !plan.steps.is_empty() {
        printer.say(format_args!("Found {} of {all} in `{}`", plan.present.len(), store.display()));
    }
}

/// What no mirror has, or none may be asked for.
pub(super) fn absent(plan: &InstallPlan, printer: &Printer) -> ExitStatus {
    let mut told = BTreeSet::new();
    for absent in &plan.absent {
        let lines = facts(&absent.error);
        if told.insert(lines.clone()) && told.len() <= 20 {
            for line in lines {
                printer.error(line);
            }
        }
    }
    let hints: BTreeSet<String> =
        plan.absent.iter().flat_map(|absent| diagnostics::hints(&absent.error)).collect();
    for hint in hints.into_iter().take(2) {
        printer.hint(hint);
    }
    ExitStatus::Failure
}

/// `--dry-run`
pub(super) fn would(plan: &InstallPlan, store: &Path, printer: &Printer) -> ExitStatus {
    for step in plan.steps.iter().filter(|_| printer.is_json()) {
        printer.json(&json!({
            "event": "would_install", "name": step.spec.name, "version": step.spec.version,
            "hash": step.spec.hash, "prefix": step.prefix, "explicit": step.is_explicit,
            "bytes": step.size,
        }));
    }
    if plan.steps.is_empty() {
        nothing(plan.present.len(), store, printer);
        return ExitStatus::Success;
    }
    let total = plan.steps.iter().map(|step| step.size).sum();
    printer.say(format_args!(
        "Would install {} into `{}` ({} to fetch)",
        count(plan.steps.len() as u64, "spec"),
        store.display(),
        bytes(total),
    ));
    printer.say_list(
        plan.steps
            .iter()
            .map(|step| format!(" + {}  {DIM}{}{DIM:#}", step.spec.label(), step.prefix.display())),
    );
    ExitStatus::Success
}

fn nothing(present: usize, store: &Path, printer: &Printer) {
    printer.say(format_args!(
        "{present} of {present} already there in `{}`, nothing to install",
        store.display()
    ));
}

/// What was done.
pub(super) fn finish(
    summary: &InstallSummary,
    present: usize,
    store: &Path,
    took: Duration,
    printer: &Printer,
) -> ExitStatus {
    let outcomes = &summary.outcomes;
    for outcome in outcomes.iter().filter(|_| printer.is_json()) {
        printer.json(&as_json(outcome));
    }
    let is_new = |outcome: &&InstallOutcome| matches!(outcome.result, Ok(InstalledAs::New { .. }));
    let new: Vec<&InstallOutcome> = outcomes.iter().filter(is_new).collect();
    let is_interrupted =
        |outcome: &&InstallOutcome| matches!(outcome.result, Err(InstallError::Cancelled));
    let interrupted = outcomes.iter().filter(is_interrupted).count();
    let failed: Vec<&InstallOutcome> =
        outcomes.iter().filter(|o| o.result.is_err() && !is_interrupted(o)).collect();
    let meanwhile = outcomes.len() - new.len() - interrupted - failed.len();
    if outcomes.is_empty() {
        nothing(present, store, printer);
    } else if !new.is_empty() {
        let (mut size, mut files, mut relocated) = (0, 0, 0);
        for outcome in &new {
            if let Ok(InstalledAs::New { size: s, files: f, relocated: r, .. }) = outcome.result {
                (size, files, relocated) = (size + s, files + f, relocated + r);
            }
        }
        printer.say(format_args!(
            "Installed {} into `{}` in {} ({}, {relocated} of {} relocated)",
            count(new.len() as u64, "spec"),
            store.display(),
            duration(took),
            bytes(size),
            count(files, "file"),
        ));
        printer.say_list(
            new.iter().map(|o| format!(" + {}  {DIM}{}{DIM:#}", o.label, o.prefix.display())),
        );
    }
    if meanwhile > 0 {
        let were = if meanwhile == 1 { "was" } else { "were" };
        printer.say(format_args!(
            "{} {were} installed by another process meanwhile",
            count(meanwhile as u64, "spec"),
        ));
    }
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "install", "installed": new.len(), "present": present + meanwhile,
            "failed": failed.len(), "interrupted": interrupted, "ms": millis(took),
        }));
    }
    failures(&failed, printer);
    if interrupted > 0 {
        printer.error(format_args!(
            "Interrupted: {} of {} installed, nothing half-written",
            new.len() + meanwhile,
            count(outcomes.len() as u64, "spec"),
        ));
        printer.hint("run the same command again to install the rest");
        return ExitStatus::Interrupted;
    }
    if failed.is_empty() { ExitStatus::Success } else { ExitStatus::Failure }
}

/// An error with its causes; the hints of several are told once, at the end.
fn facts(error: &InstallError) -> Vec<String> {
    let lines = diagnostics::lines(error).into_iter();
    lines.take_while(|line| !line.is_empty()).collect()
}

/// Each failure in full, and what was held back for it in one line.
fn failures(failed: &[&InstallOutcome], printer: &Printer) {
    let mut told = BTreeSet::new();
    let mut hints = BTreeSet::new();
    let mut held_back = 0;
    for outcome in failed {
        let Err(error) = &outcome.result else { continue };
        if matches!(error, InstallError::HeldBack { .. }) {
            held_back += 1;
            continue;
        }
        let lines = facts(error);
        if told.insert(lines.clone()) {
            hints.extend(diagnostics::hints(error));
            printer.error(format_args!("could not install `{}`", outcome.label));
            for line in lines {
                printer.error(line);
            }
        }
    }
    if held_back > 0 {
        printer.error(format_args!(
            "{} held back, because what they depend on is not there",
            count(held_back, "spec")
        ));
    }
    for hint in hints.into_iter().take(2) {
        printer.hint(hint);
    }
}

fn as_json(outcome: &InstallOutcome) -> serde_json::Value {
    let InstallOutcome { label, hash, prefix, result, .. } = outcome;
    match result {
        Ok(InstalledAs::New { size, files, relocated, file_bytes, time, .. }) => json!({
            "event": "installed", "spec": label, "hash": hash, "prefix": prefix, "bytes": size,
            "files": files, "relocated": relocated, "file_bytes": file_bytes, "ms": millis(*time),
        }),
        Ok(_) => json!({ "event": "present", "spec": label, "hash": hash, "prefix": prefix }),
        Err(error) => json!({
            "event": "failed", "spec": label, "hash": hash, "prefix": prefix,
            "error": diagnostics::causes(error).map(ToString::to_string).collect::<Vec<_>>(),
            "hints": diagnostics::hints(error),
        }),
    }
}
