//! One moving region at the bottom of the terminal, gone when the work is done.

use std::collections::HashMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;

/// Most rows at a time.
const ROWS: usize = 8;

/// Shows how far each package has come. Does nothing where nothing may move.
#[derive(Debug)]
pub(crate) struct Progress {
    region: Option<MultiProgress>,
    rows: Mutex<HashMap<String, ProgressBar>>,
}

impl Progress {
    pub(crate) fn new(printer: &Printer) -> Self {
        let region = printer.shows_progress().then(|| {
            // Ten frames a second are smooth, and each costs a write to the terminal.
            MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))
        });
        Self { region, rows: Mutex::new(HashMap::new()) }
    }

    /// `package` has come to `bytes`, of `total` where that is known.
    pub(crate) fn advance(
        &self,
        package: &str,
        verb: &'static str,
        bytes: u64,
        total: Option<u64>,
    ) {
        let Some(region) = &self.region else { return };
        let mut rows = self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(row) = rows.get(package) {
            row.set_position(bytes);
            return;
        }
        if rows.len() >= ROWS {
            return;
        }
        let row = region.add(match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "  {msg}  {bar:24.cyan/dim} {binary_bytes}/{binary_total_bytes}",
            )),
            None => ProgressBar::no_length().with_style(style(
                "  {spinner:.cyan} {msg}  {binary_bytes}  {binary_bytes_per_sec}",
            )),
        });
        row.set_message(format!("{package}  {verb}"));
        row.set_position(bytes);
        rows.insert(package.to_owned(), row);
    }

    /// `what` has come to `done` of `total`.
    pub(crate) fn count(&self, what: &str, done: u64, total: u64) {
        let Some(region) = &self.region else { return };
        let mut rows = self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let row = rows.entry(what.to_owned()).or_insert_with(|| {
            let row = ProgressBar::new(total);
            let row = row.with_style(style("  {msg}  {bar:24.cyan/dim} {pos}/{len}"));
            region.add(row.with_message(what.to_owned()))
        });
        row.set_length(total);
        row.set_position(done);
    }

    /// `package` is done; its row goes.
    pub(crate) fn end(&self, package: &str) {
        let row =
            self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(package);
        if let Some(row) = row {
            row.finish_and_clear();
        }
    }

    /// Runs `print` with the moving region out of its way.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        match &self.region {
            Some(region) => region.suspend(print),
            None => print(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a fixed template").progress_chars("━╾─")
}
