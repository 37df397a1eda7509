//! What happens while it happens: bars, lines or JSON.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hod_cache::{Contents, Error, Event, Outcome};
use hod_mirror::Mirror;
use serde_json::json;

use crate::ui::format::{bytes, duration};
use crate::ui::{Printer, Progress, diagnostics};

/// Shows what happens while it happens.
pub(super) struct Live<'a> {
    printer: &'a Printer,
    progress: Progress,
    mirror: &'a Mirror,
    start: Instant,
    /// Packages that need work.
    total: AtomicUsize,
    done: AtomicUsize,
}

impl<'a> Live<'a> {
    pub(super) fn new(printer: &'a Printer, mirror: &'a Mirror) -> Self {
        let (total, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            printer,
            progress: Progress::new(printer),
            mirror,
            start: Instant::now(),
            total,
            done,
        }
    }

    pub(super) fn take(&self, event: &Event<'_>) {
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
            Event::Probed { there, left } => self.probed(*there, *left),
            Event::Indexing { done, total } => {
                self.progress.count("reading entries", *done, *total);
            }
            Event::Waiting { waiting } => {
                self.progress.aside(|| crate::commands::waiting(waiting, self.printer));
            }
            _ => {}
        }
    }

    fn probed(&self, there: usize, left: usize) {
        self.total.store(left, Ordering::Relaxed);
        // With nothing left, the summary says the same.
        if there > 0 && left > 0 {
            self.printer.say(format_args!(
                "Found {there} of {} in `{}` in {}",
                there + left,
                self.mirror,
                duration(self.start.elapsed()),
            ));
        }
    }

    fn ended(&self, package: &str, outcome: &Outcome) {
        self.progress.end(package);
        // What was found there was counted when all was looked for.
        let is_known = outcome.result.as_ref().is_ok_and(|pushed| pushed.diff_id.is_none());
        let done =
            usize::from(!is_known) + self.done.fetch_add(usize::from(!is_known), Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        self.progress.aside(|| {
            if self.printer.is_json() {
                self.printer.json(&as_json(outcome));
            }
            if is_known {
                return;
            }
            // One package needs no list: the summary follows at once. On a terminal the bars
            // have shown it.
            if total > 1 && !self.printer.shows_progress() {
                match &outcome.result {
                    Ok(pushed) => self.printer.say(format_args!(
                        "[{done}/{total}] {} {} ({}, {})",
                        if pushed.was_there { "Found" } else { "Pushed" },
                        outcome.package.label_with(&pushed.hash),
                        bytes(pushed.size),
                        duration(pushed.took),
                    )),
                    Err(Error::Cancelled) => {}
                    Err(_) => {
                        self.printer.say(format_args!("[{done}/{total}] Failed {package}"));
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
            "prefix": package.prefix(), "spec": package.as_installed().is_some(),
            "tag": pushed.image.as_ref().map(|image| &image.tag),
            "manifest": pushed.image.as_ref().map(|image| image.manifest.to_string()),
            "held_back": pushed.held_back, "digest": pushed.digest.to_string(),
            "diff_id": pushed.diff_id.map(|diff_id| diff_id.to_string()),
            "bytes": pushed.size, "uncompressed_bytes": pushed.uncompressed_size,
            "packed": pushed.was_packed, "ms": millis(pushed.took),
            "contents": pushed.contents.as_ref().map(contents),
        }),
        Err(error) => json!({
            "event": "failed", "name": package.name(), "version": package.version(),
            "prefix": package.prefix(), "error": diagnostics::causes(error).map(ToString::to_string).collect::<Vec<_>>(),
            "hints": diagnostics::hints(error),
        }),
    }
}

pub(super) fn contents(contents: &Contents) -> serde_json::Value {
    json!({
        "files": contents.files, "directories": contents.directories,
        "symlinks": contents.symlinks, "hardlinks": contents.hardlinks,
        "skipped": contents.skipped, "file_bytes": contents.file_bytes,
    })
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
