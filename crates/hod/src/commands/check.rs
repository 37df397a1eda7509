//! `hod check`

mod relocatable;

use std::time::Instant;

use hod_archive::Cancel;
use hod_mirror::registry::CheckDepth;
use hod_mirror::{CheckProgress, CheckReport, Finding, Mirror, Problem};
use serde_json::json;

use super::jobs;
use crate::cli;
use crate::surroundings::{Direction, Surroundings};
use crate::ui::format::{bytes, count, duration};
use crate::ui::{ExitStatus, Printer, Progress};

pub(crate) fn run(
    arguments: &cli::Check,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let surroundings = Surroundings::new(printer, cancel);
    let path = surroundings.mirror(&arguments.mirror, Direction::Fetch)?;
    let mirror = surroundings.opener(&arguments.registries).open(&path)?;
    if let Some(root) = &arguments.relocatable {
        return relocatable::run(arguments, root, &mirror, &surroundings, start);
    }
    let progress = Progress::new(printer);
    let label = path.to_string();
    let on_progress = |at: CheckProgress| {
        progress.advance(&label, "checking", at.bytes_done, Some(at.bytes));
    };
    let report = match &mirror {
        Mirror::Directory(directory) => {
            directory.check(jobs(arguments.jobs), cancel, &on_progress)?
        }
        Mirror::Registry(registry) => {
            let depth = if arguments.read { CheckDepth::Content } else { CheckDepth::Existence };
            registry.check(depth, cancel, &on_progress)?
        }
    };
    progress.end(&label);

    if printer.is_json() {
        for finding in &report.findings {
            printer.json(&as_json(finding));
        }
        printer.json(&json!({
            "event": "finished", "verb": "check", "entries": report.entries,
            "specs": report.packages, "signed": report.signed,
            "unindexed": report.unindexed, "withdrawn": report.withdrawn,
            "manifests": report.manifests, "blobs": report.blobs, "bytes": report.bytes,
            "unchecked": report.unchecked, "damaged": report.damaged().count(),
            "orphaned": of_kind(&report, Kind::Orphaned),
            "superseded": of_kind(&report, Kind::Superseded),
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
        what(&report),
        duration(start.elapsed()),
        verdict(&report),
    ));
    if report.signed > 0 {
        printer.say(format_args!("{} signed, not verified", count(report.signed, "spec")));
    }
    index(&report, printer);
    // An older index is no fault: every update of an index leaves one, and some reader may be
    // about to fetch it.
    if report.findings.iter().all(|finding| kind(finding) == Kind::Superseded) {
        return Ok(ExitStatus::Success);
    }
    printer.hint(hint(&report));
    Ok(ExitStatus::Failure)
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Damaged,
    Orphaned,
    Superseded,
}

fn kind(finding: &Finding) -> Kind {
    match finding.problem {
        Problem::OlderIndex { .. } => Kind::Superseded,
        ref problem if problem.is_damage() => Kind::Damaged,
        _ => Kind::Orphaned,
    }
}

fn of_kind(report: &CheckReport, wanted: Kind) -> usize {
    report.findings.iter().filter(|finding| kind(finding) == wanted).count()
}

/// What was checked.
fn what(report: &CheckReport) -> String {
    match (report.packages, report.entries) {
        (0, images) => count(images, "entry"),
        (specs, 0) => count(specs, "spec"),
        (specs, images) => format!("{} and {}", count(specs, "spec"), count(images, "image")),
    }
}

/// The index of a build cache may lag behind: no damage, but Spack lists what it says.
fn index(report: &CheckReport, printer: &Printer) {
    if report.packages == 0 || (report.unindexed.is_empty() && report.withdrawn.is_empty()) {
        return;
    }
    let (missing, gone) = (report.unindexed.len() as u64, report.withdrawn.len() as u64);
    let mut faults = Vec::new();
    if missing > 0 {
        faults.push(format!("lacks {}", count(missing, "spec")));
    }
    if gone > 0 {
        faults.push(format!(
            "lists {} that {} gone",
            count(gone, "spec"),
            if gone == 1 { "is" } else { "are" }
        ));
    }
    printer
        .say(format_args!("The index {}: `hod index` brings it up to date", faults.join(" and ")));
}

fn hint(report: &CheckReport) -> &'static str {
    let is_index = |finding: &Finding| finding.path.ends_with("oci/index.json");
    if report.is_undamaged() {
        "orphaned files were left by an interrupted push or a replaced tag; they do no harm"
    } else if report
        .damaged()
        .all(|finding| finding.path.components().any(|part| part.as_os_str() == "index"))
    {
        "`hod index MIRROR` makes the index anew"
    } else if report.damaged().any(is_index) {
        "put a copy of the index in its place, or push everything again to a new mirror"
    } else {
        "push the damaged packages again from their prefixes, with `--force`"
    }
}

fn verdict(report: &CheckReport) -> String {
    let counted = |wanted, word: &str| match of_kind(report, wanted) {
        0 => None,
        n => Some(format!("{n} {word}")),
    };
    let all = [
        counted(Kind::Damaged, "damaged"),
        counted(Kind::Orphaned, "orphaned"),
        counted(Kind::Superseded, "superseded"),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { "all good".to_owned() } else { all.join(", ") }
}

fn text(finding: &Finding) -> String {
    let kind = match kind(finding) {
        Kind::Damaged => "damaged",
        Kind::Orphaned => "orphaned",
        Kind::Superseded => "superseded",
    };
    let (path, problem) = (finding.path.display(), &finding.problem);
    let tags = match &finding.tags[..] {
        [] => String::new(),
        tags => format!(" ({})", tags.join(", ")),
    };
    format!("{kind}  {path} {problem}{tags}")
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "event": match kind(finding) {
            Kind::Damaged => "damaged",
            Kind::Orphaned => "orphaned",
            Kind::Superseded => "superseded",
        },
        "path": finding.path, "problem": finding.problem.to_string(),
        "expected": finding.problem.expected(), "found": finding.problem.found(),
        "tags": finding.tags,
    })
}
