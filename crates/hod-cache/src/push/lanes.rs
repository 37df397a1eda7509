//! The threads that prepare packages, and the one that listens to them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use hod_archive::Encoders;

use super::PushOptions;
use super::destination::{Destination, Message, Probe};
use super::ground::Grounds;
use super::lane::Lane;
use super::layer::{Way, Workshop};
use super::publish::Publisher;
use crate::{Error, LocalStore, Package, Reporter};

/// Most packages packed at the same time: enough to hide one package's beginning and end behind
/// another's middle, few enough that each has memory to read ahead.
const LANES: usize = 4;

/// How often somebody looks whether the push is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// How long what is ready waits for company.
const MOMENT: Duration = Duration::from_millis(300);

/// The threads that prepare packages.
pub(super) struct Lanes<'a> {
    pub(super) destination: &'a dyn Destination,
    pub(super) packages: &'a [Package],
    pub(super) probes: &'a [Probe],
    pub(super) grounds: &'a Grounds<'a>,
    /// Which of the packages.
    pub(super) work: &'a [usize],
}

/// Says when a thread ends, however it ends.
struct LaneEnd(Sender<Message>);

impl Drop for LaneEnd {
    fn drop(&mut self) {
        let has_panicked = std::thread::panicking();
        let _ = self.0.send(Message::LaneEnded { has_panicked });
    }
}

impl Lanes<'_> {
    pub(super) fn run(
        &self,
        publisher: &mut Publisher<'_>,
        store: &LocalStore,
        options: &PushOptions,
        reporter: &dyn Reporter,
    ) {
        let encoders = Encoders::new(options.jobs.get());
        let lanes = self.work.len().min(LANES).min(options.jobs.get()).max(1);
        let next = AtomicUsize::new(0);
        let has_failed = AtomicBool::new(false);
        let (sender, messages) = mpsc::channel::<Message>();
        std::thread::scope(|scope| {
            scope.spawn(|| self.grounds.copy(store, options));
            for _ in 0..lanes {
                let workshop = Workshop { store, options, shares: lanes, reporter };
                let lane = Lane { workshop, encoders: &encoders, grounds: self.grounds };
                let (sender, next, has_failed) = (sender.clone(), &next, &has_failed);
                scope.spawn(move || {
                    let _end = LaneEnd(sender.clone());
                    while let Some(&index) = self.work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let prepared = if options.cancel.is_cancelled() {
                            Err(Error::Cancelled)
                        } else if options.fail_fast && has_failed.load(Ordering::Relaxed) {
                            Err(Error::NotTried)
                        } else {
                            let package = &self.packages[index];
                            let destination = self.destination;
                            let way = Way { index, package, destination, messages: &sender };
                            lane.prepare(way, &self.probes[index])
                        };
                        has_failed.fetch_or(prepared.is_err(), Ordering::Relaxed);
                        let prepared =
                            prepared.map(|(prepared, arrived)| (Box::new(prepared), arrived));
                        let _ = sender.send(Message::Prepared(index, prepared));
                    }
                });
            }
            self.publish(publisher, lanes, &sender, &messages, options);
        });
    }

    /// Publishes until all packages have their outcome.
    fn publish(
        &self,
        publisher: &mut Publisher<'_>,
        mut lanes: usize,
        sender: &Sender<Message>,
        messages: &Receiver<Message>,
        options: &PushOptions,
    ) {
        let mut has_aborted = false;
        while publisher.is_open() {
            let Ok(first) = messages.recv_timeout(GLANCE) else {
                if options.cancel.is_cancelled() && !has_aborted {
                    self.destination.abort();
                    has_aborted = true;
                }
                continue;
            };
            let mut batch = vec![first];
            // What is ready by now or will be in a moment is published together: a directory's
            // index is written, and brought to disk, once for all of it.
            let deadline = Instant::now() + MOMENT;
            loop {
                let is_news = |message: &Message| matches!(message, Message::Prepared(..));
                lanes -= batch
                    .last()
                    .map_or(0, |last| usize::from(matches!(last, Message::LaneEnded { .. })));
                let waits = self.destination.gathers() && lanes > 0 && batch.iter().any(is_news);
                let next = if waits {
                    messages.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
                } else {
                    messages.try_recv().ok()
                };
                match next {
                    Some(message) => batch.push(message),
                    None => break,
                }
            }
            // Its packages will never come; the panic goes on when the threads are joined.
            let has_panicked = |m: &Message| matches!(m, Message::LaneEnded { has_panicked: true });
            if batch.iter().any(has_panicked) {
                return;
            }
            publisher.take(batch, sender);
        }
    }
}
