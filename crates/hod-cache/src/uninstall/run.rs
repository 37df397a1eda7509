//! Carries the removal of packages out.
//!
//! The record goes first and the prefix a moment later, under one name or not at all. Who is
//! stopped between the two leaves a prefix without a record, which the next installation replaces;
//! never a record without a prefix. The tree is removed under a hidden name, when nobody waits any
//! more: until then nothing of it is missing.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hod_archive::Cancel;
use hod_spec::{DagHash, Deptypes, Record};
use hod_store::{Installation, Lock, Mode, Patience, Store, StoreWriter, Waiting};

use super::tree::{self, There};
use super::{UninstallError, UninstallPlan, UninstallStep};

/// How packages are removed.
pub struct UninstallOptions<'a> {
    /// Told when somebody else's lock keeps the work waiting.
    pub on_wait: &'a (dyn Fn(&Waiting) + Sync),
    /// How long to wait for the database.
    pub lock_timeout: Option<Duration>,
    /// Stops the work. A package whose record is gone is removed to the end.
    pub cancel: Cancel,
}

impl std::fmt::Debug for UninstallOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UninstallOptions")
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}

/// What came of a removal.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct UninstallSummary {
    /// Of each step of the plan, in its order.
    pub outcomes: Vec<UninstallOutcome>,
}

/// What came of one package.
#[derive(Debug)]
#[non_exhaustive]
pub struct UninstallOutcome {
    /// The package.
    pub label: String,
    /// Its hash.
    pub hash: DagHash,
    /// Where it was, as recorded.
    pub prefix: PathBuf,
    /// What was done.
    pub result: UninstallResult,
}

/// What was done with one package.
pub type UninstallResult = Result<Uninstalled, UninstallError>;

/// What was removed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Uninstalled {
    /// The record and the prefix.
    Removed {
        /// Regular files that are gone.
        files: u64,
        /// Bytes in them.
        bytes: u64,
        /// What of it could not be removed; no package is there any more.
        remains: Option<(PathBuf, io::Error)>,
    },
    /// Only the record, because the prefix was not there.
    Stale,
    /// Nothing: somebody else removed it since the plan was made.
    Meanwhile,
}

/// Removes what the plan says. What fails stays, and so does what it needs.
pub fn uninstall(
    plan: &UninstallPlan,
    writer: &StoreWriter,
    options: &UninstallOptions<'_>,
) -> UninstallSummary {
    let mut run = Run {
        steps: &plan.steps,
        writer,
        options,
        needed_by: needed_by(&plan.steps),
        results: plan.steps.iter().map(|_| None).collect(),
    };
    run.all();
    let outcome = |(step, result): (&UninstallStep, Option<UninstallResult>)| UninstallOutcome {
        label: step.spec.label(),
        hash: step.spec.hash,
        prefix: step.prefix.clone(),
        result: result.unwrap_or(Err(UninstallError::Cancelled)),
    };
    UninstallSummary { outcomes: plan.steps.iter().zip(run.results).map(outcome).collect() }
}

/// Of each step, those before it that need it.
fn needed_by(steps: &[UninstallStep]) -> Vec<Vec<usize>> {
    let indices: HashMap<DagHash, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.spec.hash, index)).collect();
    let mut needed_by = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        let edges = step.spec.dependencies.iter();
        let needs = edges.filter(|edge| edge.deptypes.intersects(Deptypes::RUNTIME));
        let needed = needs.filter_map(|edge| indices.get(&edge.hash));
        for needed in needed.filter(|needed| **needed > index) {
            needed_by[*needed].push(index);
        }
    }
    needed_by
}

struct Run<'a> {
    steps: &'a [UninstallStep],
    writer: &'a StoreWriter,
    options: &'a UninstallOptions<'a>,
    needed_by: Vec<Vec<usize>>,
    results: Vec<Option<UninstallResult>>,
}

/// A package whose turn it is.
struct Taken {
    index: usize,
    /// Held until nothing of it is left.
    _lock: Option<Lock>,
}

/// A package whose record is gone or about to go.
struct Going {
    taken: Taken,
    location: PathBuf,
    there: There,
    /// Where the prefix will be while it is removed.
    hidden: Option<PathBuf>,
    record: Record,
}

impl Run<'_> {
    /// As many packages at a time as have free locks. Nothing is waited for with a lock in hand:
    /// who holds the one may be waiting for the other.
    fn all(&mut self) {
        while self.results.iter().any(Option::is_none) {
            if self.options.cancel.is_cancelled() {
                return;
            }
            let (mut batch, busy) = self.take();
            if let (true, Some(index)) = (batch.is_empty(), busy) {
                match self.lock(index, None) {
                    Ok(lock) => batch.push(Taken { index, _lock: lock }),
                    Err(error) => self.results[index] = Some(Err(error)),
                }
            }
            if !batch.is_empty() {
                self.remove(batch);
            }
        }
    }

    /// Those that may go now, and the first of which somebody else has the lock.
    fn take(&mut self) -> (Vec<Taken>, Option<usize>) {
        let mut batch: Vec<Taken> = Vec::new();
        let mut is_taken = vec![false; self.steps.len()];
        let mut busy = None;
        for index in 0..self.steps.len() {
            if self.results[index].is_some() {
                continue;
            }
            let mut is_due = true;
            let mut failed = None;
            for above in &self.needed_by[index] {
                match &self.results[*above] {
                    Some(Err(_)) => failed = Some(*above),
                    Some(Ok(_)) => {}
                    None => is_due &= is_taken[*above],
                }
            }
            if let Some(above) = failed {
                let dependent = self.steps[above].spec.label();
                self.results[index] = Some(Err(UninstallError::HeldBack { dependent }));
            } else if is_due {
                match self.lock(index, Some(Duration::ZERO)) {
                    Ok(lock) => {
                        is_taken[index] = true;
                        batch.push(Taken { index, _lock: lock });
                    }
                    Err(UninstallError::Store(hod_store::Error::Locked { .. })) => {
                        busy = busy.or(Some(index));
                    }
                    Err(error) => self.results[index] = Some(Err(error)),
                }
            }
        }
        (batch, busy)
    }

    fn lock(
        &self,
        index: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<Lock>, UninstallError> {
        let cancel = || self.options.cancel.is_cancelled();
        let patience = Patience { on_wait: self.options.on_wait, is_cancelled: &cancel, timeout };
        let hash = &self.steps[index].spec.hash;
        self.writer.lock_prefix(hash, Mode::Exclusive, &patience).map_err(of_store)
    }

    /// Removes packages whose locks are held, dependents first.
    fn remove(&mut self, batch: Vec<Taken>) {
        let cancel = || self.options.cancel.is_cancelled();
        let patience = Patience {
            on_wait: self.options.on_wait,
            is_cancelled: &cancel,
            timeout: self.options.lock_timeout,
        };
        let mut transaction = match self.writer.transaction(&patience) {
            Ok(transaction) => transaction,
            Err(hod_store::Error::Cancelled) => return,
            Err(error) => {
                for taken in batch {
                    self.results[taken.index] = Some(Err(again(&error)));
                }
                return;
            }
        };
        let mut going: Vec<Going> = Vec::new();
        for taken in batch {
            let index = taken.index;
            let above = self.needed_by[index].iter().copied();
            if let Some(above) =
                above.clone().find(|above| matches!(self.results[*above], Some(Err(_))))
            {
                let dependent = self.steps[above].spec.label();
                self.results[index] = Some(Err(UninstallError::HeldBack { dependent }));
                continue;
            }
            let step = &self.steps[index];
            match prepare(taken, step, transaction.store()) {
                Ok(Some(ready)) => match transaction.remove(&step.spec.hash) {
                    Ok(_) => going.push(ready),
                    Err(error) => {
                        ready.stay();
                        self.results[index] = Some(Err(error.into()));
                    }
                },
                Ok(None) => self.results[index] = Some(Ok(Uninstalled::Meanwhile)),
                Err(error) => self.results[index] = Some(Err(error)),
            }
        }
        if going.is_empty() {
            return;
        }
        let held = match transaction.commit_and_hold() {
            Ok(held) => held,
            Err(error) => {
                for going in going {
                    going.stay();
                    self.results[going.taken.index] = Some(Err(again(&error)));
                }
                return;
            }
        };
        // While nobody can look through the store for packages that have no record.
        let moved: Vec<io::Result<()>> = going.iter().map(Going::move_away).collect();
        drop(held);
        for (going, moved) in going.into_iter().zip(moved) {
            let index = going.taken.index;
            self.results[index] = Some(match moved {
                Ok(()) => Ok(going.finish(self.writer)),
                Err(source) => {
                    self.restore(&going, &patience);
                    let (action, path) = ("move away", going.location);
                    Err(UninstallError::Place { action, path, source })
                }
            });
        }
    }

    /// Puts the record back of a package that could not be moved away.
    fn restore(&self, going: &Going, patience: &Patience<'_>) {
        going.stay();
        let record = &going.record;
        let installation = Installation {
            path: record.path.as_deref().map(PathBuf::from),
            explicit: Some(record.explicit),
            time: record.installation_time,
        };
        // If this fails as well, the prefix is one without a record, which the next installation
        // replaces; what is told is why it came to that.
        let hash = &record.spec.hash;
        let _ = hod_store::SpecMetadata::read(&going.location, Some(hash)).and_then(|metadata| {
            let mut transaction = self.writer.transaction(patience)?;
            transaction.add(&metadata.spec_file, hash, &installation)?;
            transaction.commit()
        });
    }
}

/// Looks whether a package may go, as the store is now; `None` if it is gone.
fn prepare(
    taken: Taken,
    step: &UninstallStep,
    store: &Store,
) -> Result<Option<Going>, UninstallError> {
    let hash = step.spec.hash;
    let record = store.record(&hash).filter(|_| !store.is_upstream(&hash));
    let Some(record) = record.filter(|r| r.installed || r.deprecated_for.is_some()) else {
        return Ok(None);
    };
    let mut dependents: Vec<String> =
        store.dependents(&[hash]).iter().map(|record| record.spec.label()).collect();
    if !dependents.is_empty() {
        dependents.sort();
        return Err(UninstallError::Needed { specs: vec![step.spec.label()], dependents });
    }
    let location = store.prefix(&hash).map(|prefix| prefix.location).unwrap_or_default();
    let there = tree::look(store, step, &location)?;
    let hidden = match there {
        There::Nothing => None,
        There::Tree | There::Link => Some(tree::make_way(&location)?),
    };
    let record = record.clone();
    Ok(Some(Going { taken, location, there, hidden, record }))
}

impl Going {
    /// Leaves the prefix in its place after all.
    fn stay(&self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs_err::remove_dir(hidden);
        }
    }

    /// After this nothing is under the name of the package.
    fn move_away(&self) -> io::Result<()> {
        match (self.there, &self.hidden) {
            (There::Tree, Some(hidden)) => fs_err::rename(&self.location, hidden),
            (There::Link, _) => {
                self.stay();
                let target = fs_err::read_link(&self.location);
                fs_err::remove_file(&self.location)?;
                if let (Ok(target), true) = (target, self.record.deprecated_for.is_some()) {
                    // Where the package that is used instead keeps what it stands for.
                    let name = format!(".spack/deprecated/{}_spec.json", self.record.spec.hash);
                    let _ = fs_err::remove_file(target.join(name));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes what was moved away, while its lock is held still.
    fn finish(self, writer: &StoreWriter) -> Uninstalled {
        let mut remains = None;
        let mut size = tree::Size::default();
        if let (There::Tree, Some(hidden)) = (self.there, self.hidden) {
            size = tree::measure(&hidden);
            if let Err(error) = tree::remove(&hidden) {
                size = tree::Size::default();
                remains = Some((hidden, error));
            }
        }
        tree::remove_empty_parents(&self.location, writer.location());
        match self.there {
            There::Nothing => Uninstalled::Stale,
            _ => Uninstalled::Removed { files: size.files, bytes: size.bytes, remains },
        }
    }
}

fn of_store(error: hod_store::Error) -> UninstallError {
    match error {
        hod_store::Error::Cancelled => UninstallError::Cancelled,
        error => error.into(),
    }
}

/// The same error for several packages.
fn again(error: &hod_store::Error) -> UninstallError {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    UninstallError::Record { source: io::Error::other(text.join(": ")) }
}
