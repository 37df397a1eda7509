//! `hod push`

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hod_archive::{Cancel, Encoding};
use hod_cache::{
    Contents, Error, Event, LocalStore, Outcome, Package, PushOptions, PushSummary, Pushed, plan,
    push,
};
use hod_mirror::DirectoryMirror;
use serde_json::json;

use super::{UsageError, jobs, reference};
use crate::cli;
use crate::settings::{local_store, source_date_epoch};
use crate::ui::diagnostics;
use crate::ui::format::{bytes, count, duration};
use crate::ui::{DIM, ExitStatus, Printer, Progress};

pub(crate) fn run(
    arguments: &cli::Push,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let options = options(arguments, cancel)?;
    let packages = packages(arguments)?;
    let from_spack = packages.iter().filter(|package| package.is_from_spack()).count();
    if from_spack > 0 {
        printer.warn(format_args!(
            "{} made by Spack: pushed as images only, which `spack install` does not see",
            count(from_spack as u64, "prefix"),
        ));
    }
    let store = local_store(printer)?;
    if arguments.dry_run {
        return dry_run(arguments, &packages, &store, &options, printer);
    }
    let mirror = DirectoryMirror::ensure(&arguments.mirror)?;
    if printer.is_json() {
        let planned = json!({
            "event": "planned", "verb": "push", "mirror": arguments.mirror, "selected": packages.len(),
        });
        printer.json(&planned);
    }
    let live = Live {
        printer,
        progress: Progress::new(printer),
        total: packages.len(),
        done: std::sync::atomic::AtomicUsize::new(0),
    };
    let summary = push(&mirror, &packages, &store, &options, &|event: Event<'_>| live.take(&event));
    Ok(finish(arguments, &summary, printer))
}

fn options(arguments: &cli::Push, cancel: &Cancel) -> anyhow::Result<PushOptions> {
    let format = &arguments.format;
    let encoding =
        Encoding::new(format.compression, format.compression_level, format.gzip_members)?;
    let mtime = match format.mtime.as_str() {
        "source-date-epoch" => source_date_epoch()?,
        number => number.parse().map_err(|_| {
            UsageError(format!("`{number}` is neither a number of seconds nor `source-date-epoch`"))
        })?,
    };
    Ok(PushOptions {
        encoding,
        mtime,
        jobs: jobs(arguments.jobs),
        io_jobs: arguments.io_jobs,
        force: arguments.force,
        cancel: cancel.clone(),
    })
}

/// All prefixes are looked at before any is packed: a mistyped one costs no time.
fn packages(arguments: &cli::Push) -> anyhow::Result<Vec<Package>> {
    if arguments.prefixes.len() > 1 && (arguments.name.is_some() || arguments.version.is_some()) {
        return Err(UsageError("`--name` and `--version` need a single prefix".into()).into());
    }
    let mut packages: Vec<Package> = Vec::new();
    for path in &arguments.prefixes {
        let named = Package::at(path).and_then(|package| {
            let package = match &arguments.name {
                Some(name) => package.with_name(name)?,
                None => package,
            };
            match &arguments.version {
                Some(version) => package.with_version(version),
                None => Ok(package),
            }
        });
        let package = named
            .map_err(|source| Error::Package { path: path.clone(), source: Box::new(source) })?;
        if !packages.iter().any(|other| other.prefix() == package.prefix()) {
            packages.push(package);
        }
    }
    Ok(packages)
}

/// Shows what happens while it happens.
struct Live<'a> {
    printer: &'a Printer,
    progress: Progress,
    total: usize,
    done: std::sync::atomic::AtomicUsize,
}

impl Live<'_> {
    fn take(&self, event: &Event<'_>) {
        match event {
            Event::Progress { package, bytes, total } => {
                self.progress.advance(package, "packing", *bytes, *total);
            }
            Event::Ended { package, outcome } => self.ended(package, outcome),
            Event::Warning { package, message } => self.progress.aside(|| {
                if self.printer.is_json() {
                    self.printer.json(&json!({
                        "event": "warning", "package": package, "message": message,
                    }));
                }
                self.printer.warn(format_args!("`{package}`: {message}"));
            }),
            Event::Waiting { waiting } => self.progress.aside(|| {
                let holder = waiting.holder.as_ref();
                let holder =
                    holder.map_or_else(String::new, |holder| format!(", locked by {holder}"));
                self.printer
                    .say(format_args!("Waiting for `{}`{holder}", waiting.mirror.display()));
            }),
            _ => {}
        }
    }

    fn ended(&self, package: &str, outcome: &Outcome) {
        self.progress.end(package);
        let done = 1 + self.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.progress.aside(|| {
            if self.printer.is_json() {
                self.printer.json(&as_json(outcome));
            }
            // One package needs no list: the summary follows at once. On a terminal the bars
            // have shown it.
            if self.total > 1 && !self.printer.shows_progress() {
                match &outcome.result {
                    Ok(pushed) => self.printer.say(format_args!(
                        "[{done}/{}] {} {} ({}, {})",
                        self.total,
                        if pushed.was_there { "Found" } else { "Pushed" },
                        outcome.package.label_with(&pushed.hash),
                        bytes(pushed.size),
                        duration(pushed.took),
                    )),
                    Err(Error::Cancelled) => {}
                    Err(_) => {
                        self.printer.say(format_args!("[{done}/{}] Failed {package}", self.total));
                    }
                }
            }
        });
    }
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let package = &outcome.package;
    match &outcome.result {
        Ok(pushed) => json!({
            "event": if pushed.was_there { "present" } else { "pushed" },
            "name": package.name(), "version": package.version(), "hash": pushed.hash,
            "prefix": package.prefix(), "tag": pushed.tag, "manifest": pushed.manifest.to_string(),
            "digest": pushed.digest.to_string(), "diff_id": pushed.diff_id.to_string(),
            "bytes": pushed.size, "uncompressed_bytes": pushed.uncompressed_size,
            "packed": pushed.was_packed, "ms": millis(pushed.took), "contents": contents(&pushed.contents),
        }),
        Err(error) => json!({
            "event": "failed", "name": package.name(), "version": package.version(),
            "prefix": package.prefix(), "error": diagnostics::causes(error).map(ToString::to_string).collect::<Vec<_>>(),
            "hints": diagnostics::hints(error),
        }),
    }
}

fn contents(contents: &Contents) -> serde_json::Value {
    json!({
        "files": contents.files, "directories": contents.directories,
        "symlinks": contents.symlinks, "hardlinks": contents.hardlinks,
        "skipped": contents.skipped, "file_bytes": contents.file_bytes,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The record of the run, in the order in which the prefixes were named.
fn finish(arguments: &cli::Push, summary: &PushSummary, printer: &Printer) -> ExitStatus {
    let new: Vec<_> = summary.pushed().filter(|(_, pushed)| !pushed.was_there).collect();
    let there = summary.pushed().count() - new.len();
    let failed: Vec<_> =
        summary.failed().filter(|(_, error)| !matches!(error, Error::Cancelled)).collect();
    let left = summary.failed().count() - failed.len();
    let mirror = arguments.mirror.display();
    let sum = |what: fn(&Pushed) -> u64| new.iter().map(|(_, pushed)| what(pushed)).sum::<u64>();
    if new.is_empty() && failed.is_empty() && left == 0 {
        printer.say(format_args!(
            "{there} of {there} already there in `{mirror}` in {}, nothing to push",
            duration(summary.took),
        ));
    } else if !new.is_empty() {
        let already = if there > 0 { format!(", {there} already there") } else { String::new() };
        printer.say(format_args!(
            "Pushed {} to `{mirror}` in {} ({} from {}){already}",
            count(new.len() as u64, "prefix"),
            duration(summary.took),
            bytes(sum(|pushed| pushed.size)),
            bytes(sum(|pushed| pushed.uncompressed_size)),
        ));
    }
    let labels = summary.pushed().map(|(package, pushed)| package.label_with(&pushed.hash));
    let width = labels.map(|label| label.chars().count()).max().unwrap_or(0);
    let lines = summary.pushed().map(|(package, pushed)| {
        let sign = if pushed.was_there { '=' } else { '+' };
        let label = package.label_with(&pushed.hash);
        let image = reference(&arguments.mirror, &pushed.tag);
        format!(" {sign} {label:width$}  {:>10}  {DIM}{image}{DIM:#}", bytes(pushed.size))
    });
    printer.say_list(lines);
    if arguments.refs && !printer.is_json() {
        for (_, pushed) in summary.pushed() {
            printer.data(reference(&arguments.mirror, &pushed.tag));
        }
    }
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "push", "pushed": new.len(), "present": there,
            "failed": failed.len(), "interrupted": left, "bytes": sum(|pushed| pushed.size),
            "ms": millis(summary.took),
        }));
    }
    failures(&failed, printer);
    if left > 0 {
        let done = new.len() + there;
        printer.error(format_args!(
            "Interrupted: {done} of {} pushed, nothing half-written",
            count(summary.outcomes.len() as u64, "prefix"),
        ));
        printer.hint("run the same command again to push the rest");
        return ExitStatus::Interrupted;
    }
    if failed.is_empty() { ExitStatus::Success } else { ExitStatus::Failure }
}

/// Each failure in full: with many, the reader looks for one.
fn failures(failed: &[(&Package, &Error)], printer: &Printer) {
    for (_, error) in failed {
        for line in diagnostics::lines(*error) {
            printer.error(line);
        }
    }
}

fn dry_run(
    arguments: &cli::Push,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let path: &Path = &arguments.mirror;
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
                "contents": contents(&planned.contents),
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
    let total = new.iter().map(|planned| planned.contents.file_bytes).sum();
    printer.say(format_args!(
        "Would push {} to `{}` ({} before compression)",
        count(new.len() as u64, "prefix"),
        path.display(),
        bytes(total),
    ));
    printer.say_list(planned.iter().map(|planned| {
        let sign = if planned.is_there { '=' } else { '+' };
        let label = match &planned.hash {
            Some(hash) => planned.package.label_with(hash),
            None => planned.package.label(),
        };
        let contents = &planned.contents;
        format!(
            " {sign} {label}  {}, {}",
            count(contents.files, "file"),
            bytes(contents.file_bytes)
        )
    }));
    Ok(ExitStatus::Success)
}

fn is_empty(path: &Path) -> anyhow::Result<bool> {
    let mut entries =
        std::fs::read_dir(path).with_context(|| anyhow!("could not list `{}`", path.display()))?;
    Ok(entries.next().is_none())
}
