//! What a removal will do, would do, and has done.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hod_cache::{
    UninstallError, UninstallOutcome, UninstallPlan, UninstallStep, UninstallSummary, Uninstalled,
};
use serde_json::json;

use crate::ui::format::{bytes, count, duration};
use crate::ui::{DIM, ExitStatus, Printer, diagnostics};

/// What goes besides what was named.
pub(super) fn planned(plan: &UninstallPlan, store: &Path, printer: &Printer) {
    let asked = plan.steps.iter().filter(|step| step.is_asked).count();
    if printer.is_json() {
        printer.json(&json!({
            "event": "planned", "verb": "uninstall", "store": store,
            "selected": plan.steps.len(), "named": asked,
        }));
    }
    if plan.steps.len() > asked {
        printer.say(format_args!(
            "Selected {}: {asked} named, and {} that need them",
            count(plan.steps.len() as u64, "spec"),
            plan.steps.len() - asked,
        ));
    }
}

/// `--dry-run`
pub(super) fn would(plan: &UninstallPlan, store: &Path, printer: &Printer) {
    for step in plan.steps.iter().filter(|_| printer.is_json()) {
        printer.json(&json!({
            "event": "would uninstall", "spec": step.spec.label(), "hash": step.spec.hash,
            "prefix": step.prefix, "named": step.is_asked,
        }));
    }
    printer.say(format_args!(
        "Would uninstall {} from `{}`",
        count(plan.steps.len() as u64, "spec"),
        store.display(),
    ));
    let line = |step: &UninstallStep| {
        format!(" - {}  {DIM}{}{DIM:#}", step.spec.label(), step.prefix.display())
    };
    printer.say_list(plan.steps.iter().map(line));
}

/// What was done.
pub(super) fn finish(
    summary: &UninstallSummary,
    plan: &UninstallPlan,
    store: &Path,
    took: Duration,
    printer: &Printer,
) -> ExitStatus {
    let outcomes = &summary.outcomes;
    for outcome in outcomes.iter().filter(|_| printer.is_json()) {
        printer.json(&as_json(outcome));
    }
    let (mut freed, mut freed_files, mut meanwhile, mut interrupted) = (0, 0, 0, 0);
    let mut gone: Vec<(&UninstallOutcome, &UninstallStep, &str)> = Vec::new();
    let mut failed = Vec::new();
    for (outcome, step) in outcomes.iter().zip(&plan.steps) {
        match &outcome.result {
            Ok(Uninstalled::Removed { files, bytes, .. }) => {
                (freed, freed_files) = (freed + bytes, freed_files + files);
                gone.push((outcome, step, ""));
            }
            Ok(Uninstalled::Stale) => gone.push((outcome, step, ", which was not there")),
            Ok(_) => meanwhile += 1,
            Err(UninstallError::Cancelled) => interrupted += 1,
            Err(_) => failed.push(outcome),
        }
    }
    if !gone.is_empty() {
        printer.say(format_args!(
            "Uninstalled {} from `{}` in {} ({} in {} freed)",
            count(gone.len() as u64, "spec"),
            store.display(),
            duration(took),
            bytes(freed),
            count(freed_files, "file"),
        ));
        printer.say_list(gone.iter().map(|(outcome, _, note)| {
            let prefix = outcome.prefix.display();
            format!(" - {}  {DIM}{prefix}{note}{DIM:#}", outcome.label)
        }));
        let kept = gone.iter().filter(|(_, step, _)| !step.built.is_empty()).count();
        if kept > 0 {
            let records = match kept {
                1 => "1 record stays in the database, as not installed: others were built with it",
                _ => "records stay in the database, as not installed: others were built with them",
            };
            let number = if kept == 1 { String::new() } else { format!("{kept} ") };
            printer.say(format_args!("{number}{records}"));
        }
    }
    if meanwhile > 0 {
        printer.say(format_args!(
            "{} removed by another process meanwhile",
            if meanwhile == 1 {
                "1 spec was".to_owned()
            } else {
                format!("{meanwhile} specs were")
            }
        ));
    }
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "uninstall", "uninstalled": gone.len(),
            "absent": meanwhile, "failed": failed.len(), "interrupted": interrupted,
            "bytes": freed, "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }));
    }
    remains(outcomes, printer);
    failures(&failed, printer);
    if interrupted > 0 {
        printer.error(format_args!(
            "Interrupted: {} of {} uninstalled, nothing half-removed",
            gone.len() + meanwhile,
            count(outcomes.len() as u64, "spec"),
        ));
        printer.hint("run the same command again to uninstall the rest");
        return ExitStatus::Interrupted;
    }
    if failed.is_empty() { ExitStatus::Success } else { ExitStatus::Failure }
}

/// Files that are in nobody's way, and take room still.
fn remains(outcomes: &[UninstallOutcome], printer: &Printer) {
    for outcome in outcomes {
        if let Ok(Uninstalled::Removed { remains: Some((path, error)), .. }) = &outcome.result {
            printer.warn(format_args!(
                "`{}` is uninstalled, and not all of its files could be removed from `{}`: {error}",
                outcome.label,
                path.display()
            ));
        }
    }
}

/// Each failure in full, and what was held back for it in one line.
fn failures(failed: &[&UninstallOutcome], printer: &Printer) {
    let mut told = BTreeSet::new();
    let mut held_back = 0;
    for outcome in failed {
        let Err(error) = &outcome.result else { continue };
        if matches!(error, UninstallError::HeldBack { .. }) {
            held_back += 1;
            continue;
        }
        let lines = diagnostics::lines(error);
        if told.insert(lines.clone()) {
            printer.error(format_args!("could not uninstall `{}`", outcome.label));
            for line in lines {
                printer.error(line);
            }
        }
    }
    if held_back > 0 {
        printer.error(format_args!(
            "{} held back, because what needs them is still there",
            count(held_back, "spec")
        ));
    }
}

fn as_json(outcome: &UninstallOutcome) -> serde_json::Value {
    let UninstallOutcome { label, hash, prefix, result, .. } = outcome;
    match result {
        Ok(Uninstalled::Removed { files, bytes, remains, .. }) => json!({
            "event": "uninstalled", "spec": label, "hash": hash, "prefix": prefix,
            "bytes": bytes, "files": files,
            "remains": remains.as_ref().map(|(path, _)| path),
        }),
        Ok(Uninstalled::Stale) => json!({
            "event": "uninstalled", "spec": label, "hash": hash, "prefix": prefix,
            "bytes": 0, "files": 0, "remains": null,
        }),
        Ok(_) => json!({ "event": "absent", "spec": label, "hash": hash, "prefix": prefix }),
        Err(error) => json!({
            "event": "failed", "spec": label, "hash": hash, "prefix": prefix,
            "error": diagnostics::causes(error).map(ToString::to_string).collect::<Vec<_>>(),
            "hints": diagnostics::hints(error),
        }),
    }
}
