//! The threads that fetch, unpack and relocate.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use hod_archive::{Modes, Ownership};
use hod_spec::DagHash;
use hod_store::{Lock, Mode, Patience, StoreWriter};

use super::{InstallOptions, InstallResult, Installed};
use crate::install::locate::Locator;
use crate::install::moves::is_installed;
use crate::install::plan::built;
use crate::install::register::Ready;
use crate::install::stage::{Ground, Staged};
use crate::install::{InstallError, InstallSource, Step};
use crate::source::Source;
use crate::{Event, LocalStore};

/// After a second of waiting, a lock says so.
const TOLD: Duration = Duration::from_millis(1100);

/// Which package is whose turn, the largest first: the last one to end is then a small one.
pub(super) struct Queue(Mutex<State>);

struct State {
    waiting: VecDeque<usize>,
    /// Others are installing these; they are tried again and again after all others, each in turn:
    /// whoever waited for one alone might wait for somebody who waits for a package that is ready
    /// here, and would be registered as soon as one of the others is seen to be there.
    locked: VecDeque<usize>,
    /// How often one of them was tried in vain.
    attempts: u32,
    /// Whether the caller knows that there is a wait.
    is_told: bool,
    failed: HashSet<DagHash>,
}

impl Queue {
    pub(super) fn new(steps: &[Step]) -> Self {
        let mut waiting: Vec<usize> = (0..steps.len()).collect();
        waiting.sort_by_key(|index| std::cmp::Reverse(steps[*index].size));
        let (locked, failed) = (VecDeque::new(), HashSet::new());
        let (attempts, is_told) = (0, false);
        Self(Mutex::new(State { waiting: waiting.into(), locked, attempts, is_told, failed }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next package, and whether somebody else had its lock when it was tried before.
    fn next(&self) -> Option<(usize, bool)> {
        let mut state = self.state();
        let fresh = state.waiting.pop_front().map(|index| (index, false));
        fresh.or_else(|| state.locked.pop_front().map(|index| (index, true)))
    }

    /// Somebody else has the lock of this package: how long to wait before the next one is tried.
    fn is_locked(&self, index: usize, again: bool) -> Duration {
        let mut state = self.state();
        state.locked.push_back(index);
        if !again {
            return Duration::ZERO;
        }
        state.attempts += 1;
        // As Spack does: often at first, and then twice a second.
        Duration::from_millis(if state.attempts < 20 { 100 } else { 500 })
    }

    /// Whether it is time to tell that there is a wait.
    fn tells(&self) -> bool {
        let mut state = self.state();
        let tells = state.attempts >= 10 && !state.is_told;
        state.is_told |= tells;
        tells
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
        while let Some((index, again)) = self.queue.next() {
            let message = match self.one(index, again) {
                Ok(Some((ready, installed))) => Done::Ready(Box::new(ready), installed),
                Ok(None) => Done::Ended(index, Ok(Installed::Meanwhile)),
                Err(InstallError::Store(hod_store::Error::Locked { path, .. }))
                    if path.ends_with("prefix_lock") =>
                {
                    self.pause(self.queue.is_locked(index, again));
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
    fn one(&self, index: usize, again: bool) -> Result<Option<(Ready, Installed)>, InstallError> {
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
        let lock = match self.lock(step, again && self.queue.tells()) {
            // Who needs it to stay shares its lock for as long.
            Err(InstallError::Store(hod_store::Error::Locked { .. }))
                if again && !step.replaces && self.came_meanwhile(step, &location)? =>
            {
                return Ok(None);
            }
            lock => lock?,
        };
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
        let staged = self.stage(step, &location, ownership)?;
        let unpacked = staged.tree.unpacked();
        let installed = Installed::New {
            size: unpacked.size,
            files: unpacked.files,
            relocated: staged.relocation.changed().len() as u64,
            file_bytes: unpacked.file_bytes,
            time: began.elapsed(),
        };
        Ok(Some((Ready { index, staged, location, lock }, installed)))
    }

    /// From the mirror that the plan says, or if what is there turns out to be damaged, from one
    /// after it.
    fn stage(
        &self,
        step: &Step,
        location: &Path,
        ownership: Ownership,
    ) -> Result<Staged, InstallError> {
        let label = step.spec.label();
        let (mut index, mut layer) = (step.source, Cow::Borrowed(&step.layer));
        let mut first = None;
        loop {
            let source = Source::new(self.sources[index].mirror, self.local);
            let error = match self.ground.stage(step, (&layer, source), location, ownership) {
                Err(error) if error.is_of_mirror() => error,
                Err(error) => return Err(error),
                Ok(staged) => return Ok(staged),
            };
            let others = (index + 1..self.sources.len()).find_map(|index| {
                let locator = Locator::new(self.sources[index], self.local);
                let found = locator.locate(built(self.ground.graph, &step.spec).ok()?).ok()??;
                Some((index, found))
            });
            let Some((next, other)) = others else { return Err(first.unwrap_or(error)) };
            let message = format!(
                "what `{}` has of it cannot be used ({error}), trying `{}`",
                self.sources[index].mirror, self.sources[next].mirror
            );
            self.ground.reporter.report(Event::Warning { package: &label, message });
            first = first.or(Some(error));
            (index, layer) = (next, Cow::Owned(other.layer));
        }
    }

    /// Its lock, if it is free; for long enough to be told that it is not, if the caller is to know.
    fn lock(&self, step: &Step, tells: bool) -> Result<Option<Lock>, InstallError> {
        let cancel = &self.options.cancel;
        let patience = Patience {
            on_wait: self.options.on_wait,
            is_cancelled: &|| cancel.is_cancelled(),
            timeout: Some(if tells { TOLD } else { Duration::ZERO }),
        };
        Ok(self.writer.lock_prefix(&step.spec.hash, Mode::Exclusive, &patience)?)
    }

    fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end && !self.options.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(20));
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
    pub(super) fn location(&self, recorded: &Path) -> PathBuf {
        match recorded.strip_prefix(self.writer.root()) {
            Ok(below) => self.writer.location().join(below),
            Err(_) => recorded.to_owned(),
        }
    }
}
