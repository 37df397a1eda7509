//! `hod cache`

use serde_json::json;

use crate::cli;
use crate::settings::local_store;
use crate::ui::format::{bytes, count};
use crate::ui::{ExitStatus, Printer};

pub(crate) fn run(arguments: &cli::Cache, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = local_store(printer)?;
    let usage = store.usage()?;
    let path = usage.directory.as_ref().map(|path| path.display().to_string());
    match arguments {
        cli::Cache::Show if printer.is_json() => printer.json(&json!({
            "path": path, "blobs": usage.blobs, "bytes": usage.bytes, "limit": usage.limit,
        })),
        cli::Cache::Show => {
            printer.data(path.unwrap_or_default());
            printer.say(format_args!(
                "{} in {}, at most {}",
                bytes(usage.bytes),
                count(usage.blobs, "blob"),
                bytes(usage.limit),
            ));
        }
        cli::Cache::Prune { max_size, dry_run } => {
            let pruned = store.prune(max_size.unwrap_or(usage.limit), *dry_run)?;
            if printer.is_json() {
                printer.json(&json!({
                    "event": "finished", "verb": "prune", "blobs": pruned.blobs,
                    "bytes": pruned.bytes, "left": pruned.left, "dry_run": dry_run,
                }));
            }
            printer.say(format_args!(
                "{} {} ({}), {} left",
                if *dry_run { "Would forget" } else { "Forgot" },
                count(pruned.blobs, "blob"),
                bytes(pruned.bytes),
                bytes(pruned.left),
            ));
        }
    }
    Ok(ExitStatus::Success)
}
