//! Who reads what next. Directories are listed and files read by many threads in any order, and
//! their results are taken out in archive order.
//!
//! Every piece of work has a [`Key`] that sorts in archive order, so "the next result" is the
//! first slot of an ordered map and "the most urgent work" the first slot nobody has started.
//! Reading ahead is bounded by bytes and by names; the first slot alone is exempt, so the pack
//! always proceeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::PackError;
use super::key::Key;
use super::list::Listing;
use super::read::Batch;

/// Bytes read or being read ahead of the stream.
const BYTES_AHEAD: usize = 8 << 20;
/// Directory entries known ahead of the stream.
const NAMES_AHEAD: usize = if cfg!(test) { 50 } else { 50_000 };
/// Long enough to cost nothing, short enough to notice that the pack was cancelled.
const FOREVER: Duration = Duration::from_millis(100);
/// A consumer that waits this long for a result while work lies ready gets more threads.
const PATIENCE: Duration = Duration::from_micros(300);

/// Something a thread can do.
#[derive(Debug)]
pub(super) enum Work {
    /// List the directory with this path relative to the prefix.
    List { path: Vec<u8> },
    /// Read the files of `listing` with positions `from..to`.
    Files { listing: Arc<Listing>, from: usize, to: usize },
}

/// Something the stream can take.
#[derive(Debug)]
pub(super) enum Output {
    /// A directory has been listed: its own entry is due.
    Directory(Arc<Listing>),
    /// Some of its files.
    Batch(Batch),
}

#[derive(Debug)]
enum Slot {
    Ready(Work),
    /// The directories of a listing from this position on, turned into `Work::List` one by one:
    /// a directory with a million children must not become a million slots.
    Children(Arc<Listing>, usize),
    Running,
    Done(Result<Output, PackError>),
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    /// Keys of the slots nobody has started.
    ready: BTreeSet<Key>,
    most_bytes: usize,
    bytes_ahead: usize,
    names_ahead: usize,
    idle: usize,
    consumer_waits: bool,
    closed: bool,
}

/// A piece of work taken by a thread.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) key: Key,
    pub(super) work: Work,
    /// Nothing before it is unfinished, so it may use what it needs.
    pub(super) urgent: bool,
    reserved: usize,
}

/// What the consumer gets.
#[derive(Debug)]
pub(super) enum Next {
    Output(Output),
    /// Nothing yet. `starved`: work lies ready and no thread is free, so another would help.
    Waited {
        starved: bool,
    },
    End,
}

#[derive(Debug)]
pub(super) struct Schedule {
    state: Mutex<State>,
    work: Condvar,
    front: Condvar,
}

/// Sends all threads home when it goes.
pub(super) struct CloseOnDrop<'a>(pub(super) &'a Schedule);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sends all threads home, and the consumer too, when its thread panics.
pub(super) struct CloseOnPanic<'a>(pub(super) &'a Schedule);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

impl Schedule {
    /// Begins with the listing of the prefix.
    pub(super) fn new(shares: usize) -> Self {
        let state = State { most_bytes: BYTES_AHEAD / shares, ..State::default() };
        let schedule =
            Self { state: Mutex::new(state), work: Condvar::new(), front: Condvar::new() };
        schedule.lock().insert(Key::root(), Slot::Ready(Work::List { path: Vec::new() }));
        schedule
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The most urgent work, at most `batch` files of it; `None` when the pack is over.
    pub(super) fn take(&self, batch: usize) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(task) = state.start(batch) {
                // One wakes the next, as long as there is something to start.
                self.wake_worker(&state);
                return Some(task);
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// The listing of a directory: its own entry, its files, its children.
    pub(super) fn listed(&self, task: &Task, listing: Listing) {
        let listing = Arc::new(listing);
        let mut state = self.lock();
        state.names_ahead += listing.files.len() + listing.directories.len();
        if !listing.files.is_empty() {
            let to = listing.files.len();
            let work = Work::Files { listing: Arc::clone(&listing), from: 0, to };
            state.insert(task.key.files(0), Slot::Ready(work));
        }
        if let Some(first) = listing.directories.first() {
            let key = task.key.child(listing.name(*first));
            state.insert(key, Slot::Children(Arc::clone(&listing), 0));
        }
        self.finish(state, task, Ok(Output::Directory(listing)));
    }

    /// A listing that grew too large to be made ahead of its turn: it will be made again then.
    pub(super) fn postpone(&self, task: Task) {
        let mut state = self.lock();
        let path = match task.work {
            Work::List { path } => path,
            Work::Files { .. } => unreachable!("only listings are postponed"),
        };
        // Not `ready`: only the front may take it up (see `start`).
        state.slots.insert(task.key, Slot::Ready(Work::List { path }));
        self.wake_for_front(&mut state);
    }

    /// Files read. If the batch ended early, the rest goes back.
    pub(super) fn read(&self, task: &Task, batch: Batch) {
        let mut state = self.lock();
        state.bytes_ahead = state.bytes_ahead - task.reserved + batch.weight();
        if let Work::Files { listing, from, to } = &task.work {
            let next = from + batch.len();
            if next < *to {
                let key = listing.key.files(next);
                let rest = Work::Files { listing: Arc::clone(listing), from: next, to: *to };
                state.insert(key, Slot::Ready(rest));
            }
        }
        self.finish(state, task, Ok(Output::Batch(batch)));
    }

    /// The work could not be done; the consumer learns it in its turn.
    pub(super) fn failed(&self, task: &Task, error: PackError) {
        let mut state = self.lock();
        state.bytes_ahead -= task.reserved;
        self.finish(state, task, Err(error));
    }

    fn finish(
        &self,
        mut state: MutexGuard<'_, State>,
        task: &Task,
        output: Result<Output, PackError>,
    ) {
        let at_front = state.slots.first_key_value().is_some_and(|(key, _)| *key == task.key);
        state.slots.insert(task.key.clone(), Slot::Done(output));
        if at_front && state.consumer_waits {
            self.front.notify_one();
        }
        self.wake_worker(&state);
    }

    /// Wakes an idle thread if it would find something: waking one in vain costs two switches.
    fn wake_worker(&self, state: &State) {
        if state.idle > 0 && state.first_startable(1).is_some() {
            self.work.notify_one();
        }
    }

    /// The next result in archive order. Waits a while for it: a short one if `may_grow`.
    pub(super) fn next(&self, may_grow: bool) -> Result<Next, PackError> {
        let mut state = self.lock();
        loop {
            if state.closed {
                // Only a panic closes before the end; the scope will pass it on.
                return Err(PackError::Cancelled);
            }
            match state.slots.first_entry() {
                None => return Ok(Next::End),
                Some(first) if matches!(first.get(), Slot::Done(_)) => {
                    let Slot::Done(output) = first.remove() else { unreachable!("just matched") };
                    let output = output?;
                    match &output {
                        Output::Directory(_) => {
                            state.names_ahead = state.names_ahead.saturating_sub(1);
                        }
                        Output::Batch(batch) => {
                            state.names_ahead = state.names_ahead.saturating_sub(batch.len());
                            state.bytes_ahead -= batch.weight();
                        }
                    }
                    self.wake_for_front(&mut state);
                    return Ok(Next::Output(output));
                }
                Some(_) => {
                    state.consumer_waits = true;
                    let patience = if may_grow { PATIENCE } else { FOREVER };
                    let (guard, waited) = self
                        .front
                        .wait_timeout(state, patience)
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    state = guard;
                    state.consumer_waits = false;
                    if waited.timed_out() {
                        let starved = state.idle == 0 && !state.ready.is_empty();
                        return Ok(Next::Waited { starved });
                    }
                }
            }
        }
    }

    /// A new first slot is exempt from the bounds: a thread that waits for room may take it.
    fn wake_for_front(&self, state: &mut State) {
        if let Some((key, Slot::Ready(_))) = state.slots.first_key_value() {
            let key = key.clone();
            state.ready.insert(key);
        }
        self.wake_worker(state);
    }

    /// Sends all threads home.
    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

impl State {
    fn insert(&mut self, key: Key, slot: Slot) {
        self.ready.insert(key.clone());
        self.slots.insert(key, slot);
    }

    /// The first slot nobody has started, if the bounds allow for `batch` files of it, and
    /// whether it is the first of all.
    fn first_startable(&self, batch: usize) -> Option<(&Key, bool)> {
        let key = self.ready.first()?;
        let urgent = self.slots.first_key_value().is_some_and(|(first, _)| first == key);
        let room = match self.slots.get(key) {
            Some(Slot::Ready(Work::Files { .. })) => {
                self.bytes_ahead + Batch::reserve(batch) <= self.most_bytes
            }
            _ => self.names_ahead <= NAMES_AHEAD,
        };
        (urgent || room).then_some((key, urgent))
    }

    /// Takes it.
    fn start(&mut self, batch: usize) -> Option<Task> {
        let (key, urgent) = self.first_startable(batch)?;
        let key = key.clone();
        let reserved = Batch::reserve(batch);
        self.ready.remove(&key);
        let slot = self.slots.insert(key.clone(), Slot::Running).expect("ready keys have slots");
        match slot {
            Slot::Ready(Work::Files { listing, from, to }) => {
                let until = to.min(from + batch);
                if until < to {
                    let rest = Work::Files { listing: Arc::clone(&listing), from: until, to };
                    self.insert(listing.key.files(until), Slot::Ready(rest));
                }
                self.bytes_ahead += reserved;
                let work = Work::Files { listing, from, to: until };
                Some(Task { key, work, urgent, reserved })
            }
            Slot::Ready(work @ Work::List { .. }) => Some(Task { key, work, urgent, reserved: 0 }),
            Slot::Children(listing, at) => {
                let path = listing.path_of(listing.directories[at]);
                if let Some(next) = listing.directories.get(at + 1) {
                    let next = listing.key.child(listing.name(*next));
                    self.insert(next, Slot::Children(listing, at + 1));
                }
                Some(Task { key, work: Work::List { path }, urgent, reserved: 0 })
            }
            Slot::Running | Slot::Done(_) => unreachable!("started slots are not ready"),
        }
    }
}

#[cfg(test)]
mod tests;
