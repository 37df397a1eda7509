//! The threads that fetch, unpack and relocate.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use hod_archive::{Modes, Ownership};
use hod_spec::DagHash;
use hod_store::{Lock, Mode, Patience, StoreWriter};

use super::{InstallOptions, InstallResult, Installed};
use crate::install::plan::is_installed;
use crate::install::register::Ready;
use crate::install::stage::Ground;
use crate::install::{InstallError, InstallSource, Step};
use crate::source::Source;
use crate::{Event, LocalStore};

/// Which package is whose turn, the largest first: the last one to end is then a small one.
pub(super) struct Queue(Mutex<State>);

struct State {
    waiting: VecDeque<usize>,
    /// Others are installing these; they are tried again after all others.
    locked: VecDeque<usize>,
    failed: HashSet<DagHash>,
}

impl Queue {
    pub(super) fn new(steps: &[Step]) -> Self {
        let mut waiting: Vec<usize> = (0..steps.len()).collect();
        waiting.sort_by_key(|index| std::cmp::Reverse(steps[*index].size));
        let (locked, failed) = (VecDeque::new(), HashSet::new());
        Self(Mutex::new(State { waiting: waiting.into(), locked, failed }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next package, and whether it is time to wait for its lock.
    fn next(&self) -> Option<(usize, bool)> {
        let mut state = self.state();
        let fresh = state.waiting.pop_front().map(|index| (index, false));
        fresh.or_else(|| state.locked.pop_front().map(|index| (index, true)))
    }

    /// Nothing that depends on this will be installed.
    pub(super) fn fail(&self, hash: DagHash) {
        self.state().failed.insert(hash);
    }

    /// What of this package's dependencies failed.
    pub(super) fn failed_dependency(&self, step: &Step) -> Option<String> {
        let state = self.state();
        let needed = step.needs().find(|edge| state.failed.contains(&edge.hash));
        needed.map(|edge| format!("{}/{}", edge.name, edge.hash.short()))
    }
}

/// How often it is looked whether a package came that somebody else has the lock of.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A lock, where there are locks.
struct Held(Option<Lock>);

/// What a worker has done with a package.
pub(super) enum Done {
    /// All but giving it its name.
    Ready(Box<Ready>, Installed),
    /// All there is to do.
    Ended(usize, InstallResult),
}

pub(super) struct Worker<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) steps: &'a [Step],
    pub(super) writer: &'a StoreWriter,
    pub(super) sources: &'a [InstallSource<'a>],
    pub(super) local: &'a LocalStore,
    pub(super) options: &'a InstallOptions<'a>,
    pub(super) queue: &'a Queue,
}

impl Worker<'_> {
    pub(super) fn run(&self, done: &Sender<Done>) {
        while let Some((index, waits)) = self.queue.next() {
            let message = match self.one(index, waits) {
                Ok(Some((ready, installed))) => Done::Ready(Box::new(ready), installed),
                Ok(None) => Done::Ended(index, Ok(Installed::Meanwhile)),
                Err(InstallError::Store(hod_store::Error::Locked { .. })) if !waits => {
                    self.queue.state().locked.push_back(index);
                    continue;
                }
                Err(InstallError::Store(hod_store::Error::Cancelled)) => {
                    Done::Ended(index, Err(InstallError::Cancelled))
                }
                Err(error) => Done::Ended(index, Err(error)),
            };
            if matches!(message, Done::Ended(_, Err(_))) {
                self.queue.fail(self.steps[index].spec.hash);
            }
            // The registrar listens until all workers are gone.
            let _ = done.send(message);
        }
    }

    /// `None` if somebody else installed it meanwhile.
    fn one(&self, index: usize, waits: bool) -> Result<Option<(Ready, Installed)>, InstallError> {
        let began = Instant::now();
        let step = &self.steps[index];
        if self.options.cancel.is_cancelled() {
            return Err(InstallError::Cancelled);
        }
        if let Some(dependency) = self.queue.failed_dependency(step) {
            return Err(InstallError::HeldBack { dependency });
        }
        let label = step.spec.label();
        let location = self.location(&step.prefix);
        let Some(lock) = self.lock(step, &location, waits)? else { return Ok(None) };
        if !step.replaces && self.came_meanwhile(step, &location)? {
            return Ok(None);
        }
        self.ground.reporter.report(Event::Started { package: &label });
        let permissions = (self.options.permissions)(&step.spec)?;
        let modes = Modes {
            file: permissions.file_mode(false),
            executable: permissions.file_mode(true),
            directory: permissions.directory_mode(),
        };
        let ownership = Ownership { modes: Some(modes), group: permissions.group };
        let source = Source::new(self.sources[step.source].mirror, self.local);
        let staged = self.ground.stage(step, source, &location, ownership)?;
        let unpacked = staged.tree.unpacked();
        let installed = Installed::New {
            size: unpacked.size,
            files: unpacked.files,
            relocated: staged.relocation.changed().len() as u64,
            file_bytes: unpacked.file_bytes,
            time: began.elapsed(),
        };
        Ok(Some((Ready { index, staged, location, lock: lock.0 }, installed)))
    }

    /// The lock of a package; `None` if the package came while somebody else had it.
    ///
    /// Whoever has installed a package goes on sharing its lock while he installs what needs it,
    /// and may wait for one that is ours until ours are registered, which need this package. So
    /// waiting for the lock alone could last for ever.
    fn lock(
        &self,
        step: &Step,
        location: &Path,
        waits: bool,
    ) -> Result<Option<Held>, InstallError> {
        let cancel = &self.options.cancel;
        let came = Cell::new(false);
        let looked = Cell::new(Instant::now());
        let is_over = || {
            if looked.get().elapsed() >= LOOK_AGAIN {
                came.set(self.came_meanwhile(step, location).unwrap_or(false));
                looked.set(Instant::now());
            }
            came.get() || cancel.is_cancelled()
        };
        let patience = Patience {
            on_wait: self.options.on_wait,
            is_cancelled: &is_over,
            // Somebody who installs a large package may take any time.
            timeout: if waits { None } else { Some(Duration::ZERO) },
        };
        match self.writer.lock_prefix(&step.spec.hash, Mode::Exclusive, &patience) {
            Err(hod_store::Error::Cancelled) if came.get() => Ok(None),
            lock => Ok(Some(Held(lock?))),
        }
    }

    /// Whether the package is there now. The database is read again only if something is.
    fn came_meanwhile(&self, step: &Step, location: &Path) -> Result<bool, InstallError> {
        if !location.exists() {
            return Ok(false);
        }
        let store = self.writer.read(&super::patience(self.options))?;
        Ok(is_installed(&store, &step.spec.hash))
    }

    /// Where on this machine a recorded path is.
    fn location(&self, recorded: &Path) -> PathBuf {
        match recorded.strip_prefix(self.writer.root()) {
            Ok(below) => self.writer.location().join(below),
            Err(_) => recorded.to_owned(),
        }
    }
}
