//! `hod uninstall`

mod record;

use std::time::Instant;

use hod_archive::Cancel;
use hod_cache::{
    Dependents, Matching, UninstallOptions, Uninstalled, Wanted, plan_uninstall, removable,
    uninstall,
};
use hod_spec::DagHash;
use hod_store::{Patience, StoreWriter};

use super::waiting_for_store;
use crate::cli;
use crate::error::NotAPath;
use crate::surroundings::Surroundings;
use crate::ui::{ExitStatus, Printer};

pub(crate) fn run(
    arguments: &cli::Uninstall,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let surroundings = Surroundings::new(printer, cancel);
    let found = surroundings.find_store(arguments.store.store.as_deref())?;
    let store = surroundings.open(&found)?;
    let matching = if arguments.all { Matching::All } else { Matching::One };
    let mut named: Vec<DagHash> = Vec::new();
    for word in &arguments.specs {
        let hashes = removable(&store, &Wanted::new(word), matching)
            .map_err(|error| NotAPath::explain(word, error.into()))?;
        for hash in hashes {
            if !named.contains(&hash) {
                named.push(hash);
            }
        }
    }
    let dependents = if arguments.dependents { Dependents::Removed } else { Dependents::Kept };
    let plan = plan_uninstall(&store, &named, dependents)?;
    record::planned(&plan, store.location(), printer);
    if arguments.dry_run {
        record::would(&plan, store.location(), printer);
        return Ok(ExitStatus::Success);
    }
    let on_wait = |waiting: &hod_store::Waiting| waiting_for_store(waiting, &found.path, printer);
    let is_cancelled = || cancel.is_cancelled();
    let patience =
        Patience { on_wait: &on_wait, is_cancelled: &is_cancelled, ..Patience::default() };
    let writer = StoreWriter::open(&found.path, &found.write_options(patience))?;
    let options = UninstallOptions {
        on_wait: &on_wait,
        lock_timeout: found.lock_timeout,
        cancel: cancel.clone(),
    };
    let summary = uninstall(&plan, &writer, &options);
    let status = record::finish(&summary, &plan, writer.location(), start.elapsed(), printer);
    let is_changed = |result: &hod_cache::UninstallResult| {
        !matches!(result, Err(_) | Ok(Uninstalled::Meanwhile))
    };
    if found.spack_root.is_some() && summary.outcomes.iter().any(|o| is_changed(&o.result)) {
        printer.say(
            "Left to Spack: module files (`spack module tcl refresh --delete-tree`) and the views \
             of environments (`spack env view regenerate`)",
        );
    }
    Ok(status)
}
