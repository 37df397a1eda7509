//! What happens while it happens: bars, lines or JSON.

use std::sync::atomic::{AtomicUsize, Ordering};

use hod_cache::{Event, InstallError, InstallResult, InstalledAs};
use serde_json::json;

use crate::ui::format::{bytes, duration};
use crate::ui::{Printer, Progress};

/// Shows what happens while it happens.
pub(super) struct Live<'a> {
    printer: &'a Printer,
    progress: Progress,
    total: usize,
    done: AtomicUsize,
}

impl<'a> Live<'a> {
    pub(super) fn new(printer: &'a Printer, total: usize) -> Self {
        Self { printer, progress: Progress::new(printer), total, done: AtomicUsize::new(0) }
    }

    pub(super) fn take(&self, event: &Event<'_>) {
        match event {
            Event::Progress { package, bytes, total } => {
                self.progress.advance(package, "installing", *bytes, *total);
            }
            Event::Installed { package, result } => self.ended(package, result),
            Event::Warning { package, message } => self.progress.aside(|| {
                if self.printer.is_json() {
                    self.printer.json(&json!({
                        "event": "warning", "package": package, "message": message,
                    }));
                }
                self.printer.warn(format_args!("`{package}`: {message}"));
            }),
            _ => {}
        }
    }

    fn ended(&self, package: &str, result: &InstallResult) {
        self.progress.end(package);
        let done = 1 + self.done.fetch_add(1, Ordering::Relaxed);
        // One package needs no list: the summary follows at once. On a terminal the bars have
        // shown it.
        if self.total < 2 || self.printer.shows_progress() {
            return;
        }
        let total = self.total;
        self.progress.aside(|| match result {
            Ok(InstalledAs::New { size, time, .. }) => self.printer.say(format_args!(
                "[{done}/{total}] Installed {package} ({}, {})",
                bytes(*size),
                duration(*time),
            )),
            Ok(_) => self.printer.say(format_args!(
                "[{done}/{total}] Found {package}, installed by another process"
            )),
            Err(InstallError::Cancelled) => {}
            Err(_) => self.printer.say(format_args!("[{done}/{total}] Failed {package}")),
        });
    }
}
