//! `hod check`

use std::time::Instant;

use hod_archive::Cancel;
use hod_mirror::{CheckReport, Finding};
use serde_json::json;

use super::{jobs, open};
use crate::cli;
use crate::ui::format::{bytes, count, duration};
use crate::ui::{ExitStatus, Printer, Progress};

pub(crate) fn run(
    arguments: &cli::Check,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let path = arguments.mirror.display();
    let mirror = open(&arguments.mirror)?;
    let progress = Progress::new(printer);
    let label = path.to_string();
    let report = mirror.check(jobs(arguments.jobs), cancel, &|at| {
        progress.advance(&label, "checking", at.bytes_done, Some(at.bytes));
    })?;
    progress.end(&label);

    if printer.is_json() {
        for finding in &report.findings {
            printer.json(&as_json(finding));
        }
        printer.json(&json!({
            "event": "finished", "verb": "check", "entries": report.entries,
            "manifests": report.manifests, "blobs": report.blobs, "bytes": report.bytes,
            "unchecked": report.unchecked, "damaged": report.damaged().count(),
            "orphaned": report.orphaned().count(),
        }));
    } else {
        for finding in &report.findings {
            printer.data(text(finding));
        }
    }
    printer.say(format_args!(
        "Checked {} ({}) of {} in `{path}` in {}: {}",
        count(report.blobs, "blob"),
        bytes(report.bytes),
        count(report.entries, "entry"),
        duration(start.elapsed()),
        verdict(&report),
    ));
    if report.findings.is_empty() {
        return Ok(ExitStatus::Success);
    }
    printer.hint(hint(&report));
    Ok(ExitStatus::Failure)
}

fn hint(report: &CheckReport) -> &'static str {
    let is_index = |finding: &Finding| finding.path.ends_with("oci/index.json");
    if report.is_undamaged() {
        "orphaned files were left by an interrupted push or a replaced tag; they do no harm"
    } else if report.damaged().any(is_index) {
        "put a copy of the index in its place, or push everything again to a new mirror"
    } else {
        "push the damaged packages again from their prefixes, with `--force`"
    }
}

fn verdict(report: &CheckReport) -> String {
    let (damaged, orphaned) = (report.damaged().count(), report.orphaned().count());
    match (damaged, orphaned) {
        (0, 0) => "all good".to_owned(),
        (0, orphaned) => format!("{orphaned} orphaned"),
        (damaged, 0) => format!("{damaged} damaged"),
        (damaged, orphaned) => format!("{damaged} damaged, {orphaned} orphaned"),
    }
}

fn text(finding: &Finding) -> String {
    let kind = if finding.problem.is_damage() { "damaged" } else { "orphaned" };
    let (path, problem) = (finding.path.display(), &finding.problem);
    let tags = match &finding.tags[..] {
        [] => String::new(),
        tags => format!(" ({})", tags.join(", ")),
    };
    format!("{kind}  {path} {problem}{tags}")
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "event": if finding.problem.is_damage() { "damaged" } else { "orphaned" },
        "path": finding.path, "problem": finding.problem.to_string(),
        "expected": finding.problem.expected(), "found": finding.problem.found(),
        "tags": finding.tags,
    })
}
