//! The one thread that gives packages their names, dependencies first.

use std::collections::HashMap;

use crossbeam_channel::Receiver;
use hod_spec::DagHash;
use hod_store::StoreWriter;

use super::worker::{Done, Queue};
use super::{InstallOptions, InstallResult, Installed, patience};
use crate::install::register::{Ready, register};
use crate::install::{InstallError, Step};
use crate::{Event, Reporter};

/// What is known of one package so far.
#[derive(Default)]
enum Progress {
    /// A worker has it, or will.
    #[default]
    Under,
    /// It waits for what it depends on.
    Ready(Box<Ready>, Installed),
    Ended(InstallResult),
}

/// Registers what workers have made ready until they are gone; the results in the order of the plan.
pub(super) fn run(
    done: &Receiver<Done>,
    steps: &[Step],
    writer: &StoreWriter,
    options: &InstallOptions<'_>,
    queue: &Queue,
    reporter: &dyn Reporter,
) -> Vec<Option<InstallResult>> {
    let mut progress: Vec<Progress> = Vec::new();
    progress.resize_with(steps.len(), Progress::default);
    let indices: HashMap<DagHash, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.spec.hash, index)).collect();
    let end = |index: usize, result: InstallResult, progress: &mut Vec<Progress>| {
        if result.is_err() {
            queue.fail(steps[index].spec.hash);
        }
        let package = &steps[index].spec.label();
        reporter.report(Event::Installed { package, result: &result });
        progress[index] = Progress::Ended(result);
    };
    while let Ok(first) = done.recv() {
        // Whatever came while the last ones were registered goes with this one.
        for message in std::iter::once(first).chain(done.try_iter()) {
            match message {
                Done::Ready(ready, installed) => {
                    let index = ready.index;
                    progress[index] = Progress::Ready(ready, installed);
                }
                Done::Ended(index, result) => end(index, result, &mut progress),
            }
        }
        let mut batch = Vec::new();
        let mut installed_as = HashMap::new();
        let mut is_chosen = vec![false; steps.len()];
        // The plan has dependencies first, so that one pass finds all.
        for (index, step) in steps.iter().enumerate() {
            if !matches!(progress[index], Progress::Ready(..)) {
                continue;
            }
            let needs = step.needs().filter_map(|edge| indices.get(&edge.hash));
            let mut is_due = true;
            let mut failed = None;
            for needed in needs.filter(|needed| **needed != index) {
                match &progress[*needed] {
                    Progress::Ended(Ok(_)) => {}
                    Progress::Ended(Err(_)) => failed = Some(steps[*needed].spec.label()),
                    Progress::Under if is_chosen[*needed] => {}
                    Progress::Under | Progress::Ready(..) => is_due = false,
                }
            }
            if let Some(dependency) = failed {
                end(index, Err(InstallError::HeldBack { dependency }), &mut progress);
            } else if is_due
                && let Progress::Ready(ready, installed) = std::mem::take(&mut progress[index])
            {
                is_chosen[index] = true;
                installed_as.insert(index, installed);
                batch.push(*ready);
            }
        }
        if batch.is_empty() {
            continue;
        }
        if options.cancel.is_cancelled() {
            for ready in batch {
                end(ready.index, Err(InstallError::Cancelled), &mut progress);
            }
            continue;
        }
        for (index, result) in register(batch, steps, writer, &patience(options)) {
            end(index, result.map(|()| installed_as[&index]), &mut progress);
        }
    }
    let result = |progress| match progress {
        Progress::Ended(result) => Some(result),
        Progress::Under | Progress::Ready(..) => None,
    };
    progress.into_iter().map(result).collect()
}
