//! How many threads write: one at first, a few more while members wait for them, and many where the
//! file system takes its time for every call: there, only as much is done as waits at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{SendError, Sender};
use rustix::time::{ClockId, clock_gettime};

use super::write::Batch;

/// As many on a file system across a network. What they hold is bounded elsewhere, but each keeps some
/// directories open.
const MOST: usize = 16;
/// A file takes 20 µs on a local disk, and some milliseconds across a network; under a tracer, half a
/// millisecond, which more threads would not make less.
const SLOW: Duration = Duration::from_millis(1);
/// Of so many members, it shows.
const ENOUGH: u64 = 32;

/// Hands members over, and has threads started for them.
pub(super) struct Writers<'a> {
    batches: Sender<Batch>,
    start: &'a (dyn Fn() + Sync),
    running: usize,
    usual: usize,
    pace: &'a Pace,
}

impl<'a> Writers<'a> {
    /// `start` starts a thread that takes from the other end of `batches`; up to `usual` times,
    /// unless the pace is slow.
    pub(super) fn new(
        batches: Sender<Batch>,
        usual: usize,
        pace: &'a Pace,
        start: &'a (dyn Fn() + Sync),
    ) -> Self {
        Self { batches, start, running: 0, usual, pace }
    }

    /// Hands a batch over, waiting where all are behind.
    pub(super) fn send(&mut self, batch: Batch) -> Result<(), SendError<Batch>> {
        let is_behind = self.running == 0 || !self.batches.is_empty();
        if is_behind && self.running < self.pace.threads(self.usual) {
            (self.start)();
            self.running += 1;
        }
        self.batches.send(batch)
    }
}

/// How long writers wait for the file system: time in which they do nothing.
#[derive(Debug, Default)]
pub(super) struct Pace {
    members: AtomicU64,
    waited_micros: AtomicU64,
}

impl Pace {
    /// How many threads are worth their start where `usual` are on a fast file system.
    pub(super) fn threads(&self, usual: usize) -> usize {
        let members = self.members.load(Ordering::Relaxed);
        let waited = Duration::from_micros(self.waited_micros.load(Ordering::Relaxed));
        let is_slow =
            members >= ENOUGH && waited.as_micros() >= SLOW.as_micros() * u128::from(members);
        if is_slow { usual.max(MOST) } else { usual }
    }

    /// Does something with so many members, and notes how long it waited.
    pub(super) fn watch(&self, members: usize, work: impl FnOnce()) {
        let (began, worked) = (Instant::now(), worked());
        work();
        let waited = began.elapsed().saturating_sub(self::worked().saturating_sub(worked));
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.waited_micros.fetch_add(micros, Ordering::Relaxed);
        self.members.fetch_add(members as u64, Ordering::Relaxed);
    }
}

/// What this thread has used of a processor.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn one_thread_is_started_for_the_first_batch_and_more_while_batches_wait() {
        let started = AtomicUsize::new(0);
        let start = || {
            started.fetch_add(1, Ordering::Relaxed);
        };
        let (batches_in, batches) = bounded(100);
        let pace = Pace::default();
        let mut writers = Writers::new(batches_in, 2, &pace, &start);
        for expected in [1, 2, 2] {
            writers.send(Batch::new()).unwrap();
            assert_eq!(started.load(Ordering::Relaxed), expected);
        }
        // All of that is waiting, but not for the processor.
        pace.watch(40, || std::thread::sleep(Duration::from_millis(80)));
        for expected in 3..=MOST {
            writers.send(Batch::new()).unwrap();
            assert_eq!(started.load(Ordering::Relaxed), expected);
        }
        writers.send(Batch::new()).unwrap();
        assert_eq!(started.load(Ordering::Relaxed), MOST);
        while batches.try_recv().is_ok() {}
        writers.send(Batch::new()).unwrap();
        assert_eq!(started.load(Ordering::Relaxed), MOST);
    }

    #[test]
    fn work_is_no_waiting() {
        let pace = Pace::default();
        let began = Instant::now();
        pace.watch(40, || {
            let until = worked() + Duration::from_millis(20);
            while worked() < until {
                std::hint::spin_loop();
            }
        });
        let waited = Duration::from_micros(pace.waited_micros.load(Ordering::Relaxed));
        assert!(waited + Duration::from_millis(20) <= began.elapsed());
    }
}
