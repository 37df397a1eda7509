//! Carries an installation out.

mod registrar;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::unbounded;
use hod_archive::{Cancel, Limits, Memory};
use hod_spec::{DagHash, Spec};
use hod_store::{Patience, Permissions, Store, StoreWriter, Waiting};

use super::stage::Ground;
use super::{Graph, InstallError, InstallPlan, InstallSource, Step, leftover};
use crate::{LocalStore, Reporter};
use worker::{Queue, Worker};

/// How an installation is carried out.
pub struct InstallOptions<'a> {
    /// Threads that decompress and write, of one package; and packages at the same time.
    pub jobs: usize,
    /// What no archive may exceed.
    pub limits: Limits,
    /// What everybody may do with the files of a package.
    pub permissions: &'a (dyn Fn(&Spec) -> Result<Permissions, hod_store::Error> + Sync),
    /// Told when somebody else's lock keeps a package waiting.
    pub on_wait: &'a (dyn Fn(&Waiting) + Sync),
    /// How long to wait for the database.
    pub lock_timeout: Option<Duration>,
    /// Stops the work. What is recorded stays, nothing else does.
    pub cancel: Cancel,
}

impl std::fmt::Debug for InstallOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstallOptions")
            .field("jobs", &self.jobs)
            .field("limits", &self.limits)
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}

/// What came of an installation.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct InstallSummary {
    /// Of each step of the plan, in its order.
    pub outcomes: Vec<InstallOutcome>,
}

/// What came of one package.
#[derive(Debug)]
#[non_exhaustive]
pub struct InstallOutcome {
    /// The package.
    pub label: String,
    /// Its hash.
    pub hash: DagHash,
    /// Where it is.
    pub prefix: PathBuf,
    /// What was done.
    pub result: InstallResult,
}

/// What was done with one package.
pub type InstallResult = Result<Installed, InstallError>;

/// What was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Installed {
    /// By us.
    New {
        /// Bytes of its blob.
        size: u64,
        /// Regular files.
        files: u64,
        /// Files that were relocated.
        relocated: u64,
        /// Bytes in its files.
        file_bytes: u64,
        /// From its first byte to the last.
        time: Duration,
    },
    /// By somebody else, since the plan was made.
    Meanwhile,
}

/// What is to be installed, from where and to where.
#[derive(Debug, Clone, Copy)]
pub struct InstallJob<'a> {
    /// What is to be done.
    pub plan: &'a InstallPlan,
    /// What the plan was made for.
    pub graph: &'a Graph,
    /// The store as it was then.
    pub store: &'a Store,
    /// The store.
    pub writer: &'a StoreWriter,
    /// What the plan was made with.
    pub sources: &'a [InstallSource<'a>],
    /// Where downloads are kept.
    pub local: &'a LocalStore,
}

/// Installs what the plan says. What fails does not stop the others, but what depends on it.
///
/// # Errors
/// Only if nothing could be recorded of what was there already; failures of packages are outcomes.
pub fn install(
    job: &InstallJob<'_>,
    options: &InstallOptions<'_>,
    reporter: &dyn Reporter,
) -> Result<InstallSummary, InstallError> {
    let InstallJob { plan, graph, store, writer, sources, local } = *job;
    let sbang = writer.unpadded_root().join("bin/sbang");
    let steps = &plan.steps;
    let workers = options.jobs.clamp(1, steps.len().max(1));
    let ground = Ground {
        graph,
        store,
        layout: writer.layout(),
        prefixes: steps.iter().map(|step| (step.spec.hash, step.prefix.clone())).collect(),
        sbang,
        limits: options.limits,
        // A single package may have all threads; of many, each has enough to keep its disk busy.
        jobs: if workers == 1 { options.jobs } else { options.jobs.min(4) },
        memory: Memory::new(options.jobs),
        cancel: &options.cancel,
        reporter,
    };
    let queue = Queue::new(steps);
    let worker = Worker { ground: &ground, steps, writer, sources, local, options, queue: &queue };
    let (done_in, done) = unbounded();
    let results = std::thread::scope(|scope| {
        for _ in 0..workers {
            let (worker, done) = (&worker, done_in.clone());
            scope.spawn(move || worker.run(&done));
        }
        drop(done_in);
        registrar::run(&done, steps, writer, options, &queue, reporter)
    });
    explicit(job, &results, options)?;
    let present = plan.present.iter().filter(|hash| !store.is_upstream(hash));
    let present = present.filter_map(|hash| Some((hash, store.prefix(hash)?.location)));
    let ours = steps.iter().map(|step| (&step.spec.hash, worker.location(&step.prefix)));
    leftover::sweep(present.chain(ours), writer);
    let outcome = |(step, result): (&Step, Option<InstallResult>)| InstallOutcome {
        label: step.spec.label(),
        hash: step.spec.hash,
        prefix: step.prefix.clone(),
        result: result.unwrap_or(Err(InstallError::Cancelled)),
    };
    Ok(InstallSummary { outcomes: steps.iter().zip(results).map(outcome).collect() })
}

/// What a user asked for, and is there already, is noted as asked for.
fn explicit(
    job: &InstallJob<'_>,
    results: &[Option<InstallResult>],
    options: &InstallOptions<'_>,
) -> Result<(), InstallError> {
    let InstallJob { plan, graph, store, writer, .. } = *job;
    let is_noted = |hash: &DagHash| {
        store.is_upstream(hash) || store.record(hash).is_none_or(|record| record.explicit)
    };
    let was_there =
        plan.present.iter().filter(|hash| graph.roots.contains(hash) && !is_noted(hash));
    // Somebody else may have installed it for another package's sake.
    let came = plan.steps.iter().zip(results).filter_map(|(step, result)| {
        let came = matches!(result, Some(Ok(Installed::Meanwhile)));
        (came && step.is_explicit).then_some(&step.spec.hash)
    });
    let asked: Vec<&DagHash> = was_there.chain(came).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut transaction = writer.transaction(&patience(options))?;
    for hash in asked {
        if !transaction.store().is_upstream(hash) {
            transaction.set_explicit(hash, true)?;
        }
    }
    Ok(transaction.commit()?)
}

fn patience<'a>(options: &'a InstallOptions<'_>) -> Patience<'a> {
    Patience { on_wait: options.on_wait, is_cancelled: &|| false, timeout: options.lock_timeout }
}
