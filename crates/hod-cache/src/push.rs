//! Push: prefixes become blobs, blobs become named entries of a mirror.
//!
//! For each package the cheapest of four ways is taken, in this order: the mirror has it; the
//! mirror has its blob; the local store has its blob; it is packed. The first three need the
//! tree to look as it did when it was last packed, which its metadata alone tells.

mod describe;
mod one;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hod_archive::{Cancel, DiffId, Digest, Encoders, Encoding};
use hod_mirror::{DirectoryMirror, Patience, Publication, Waiting};

use crate::{Error, Event, LocalStore, Package, Reporter};
pub use describe::Contents;
use one::{Lane, Prepared};

/// How to push.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Codec, level and member layout of the blobs.
    pub encoding: Encoding,
    /// Modification time of every member, in seconds since 1970.
    pub mtime: u64,
    /// Threads that compress.
    pub jobs: NonZeroUsize,
    /// Most threads that wait for the file system.
    pub io_jobs: NonZeroUsize,
    /// Pack even what is known to be there.
    pub force: bool,
    /// Stops the push; what is published by then stays.
    pub cancel: Cancel,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            mtime: 0,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            io_jobs: NonZeroUsize::new(32).expect("not zero"),
            force: false,
            cancel: Cancel::default(),
        }
    }
}

/// A package that is in the mirror now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// 32 characters that tell this build from others.
    pub hash: String,
    /// The tag under which it is in the mirror's OCI layout.
    pub tag: String,
    /// Of the image manifest.
    pub manifest: Digest,
    /// Of the layer blob.
    pub digest: Digest,
    /// Of the tar stream in it.
    pub diff_id: DiffId,
    /// Bytes of the layer blob.
    pub size: u64,
    /// Bytes of the tar stream.
    pub uncompressed_size: u64,
    /// Counted as they are in the archive.
    pub contents: Contents,
    /// Nothing had to be done: tag, manifest and blob were there.
    pub was_there: bool,
    /// The tree had to be read.
    pub was_packed: bool,
    /// From start to publication.
    pub took: Duration,
}

/// What came of one package.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The package.
    pub package: Package,
    /// It is in the mirror, or why not.
    pub result: Result<Pushed, Error>,
}

/// What came of a push, in the order in which the packages were named.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PushSummary {
    /// One for each package.
    pub outcomes: Vec<Outcome>,
    /// In all.
    pub took: Duration,
}

impl PushSummary {
    /// Those that are in the mirror now.
    pub fn pushed(&self) -> impl Iterator<Item = (&Package, &Pushed)> {
        self.outcomes
            .iter()
            .filter_map(|outcome| Some((&outcome.package, outcome.result.as_ref().ok()?)))
    }

    /// Those that are not, and why.
    pub fn failed(&self) -> impl Iterator<Item = (&Package, &Error)> {
        self.outcomes
            .iter()
            .filter_map(|outcome| Some((&outcome.package, outcome.result.as_ref().err()?)))
    }
}

/// What a push would do with one package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planned {
    /// The package.
    pub package: Package,
    /// Its hash, if the tree looks as it did when it was last packed.
    pub hash: Option<String>,
    /// It is in the mirror already.
    pub is_there: bool,
    /// Counted by looking at metadata alone.
    pub contents: Contents,
}

/// Says what [`push`] would do, and changes nothing. `mirror` is `None` where none exists yet.
pub fn plan(
    mirror: Option<&DirectoryMirror>,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
) -> Result<Vec<Planned>, Error> {
    let lane =
        Lane { mirror, store, options, encoders: None, shares: 1, reporter: &|_: Event<'_>| {} };
    packages.iter().map(|package| lane.plan(package)).collect()
}

/// Most packages packed at the same time: enough to hide one package's beginning and end behind
/// another's middle, few enough that each has memory to read ahead.
const LANES: usize = 4;

/// Pushes `packages` to `mirror`. One that fails does not stop the others: what went wrong with a
/// package is in its [`Outcome`].
pub fn push(
    mirror: &DirectoryMirror,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    reporter: &dyn Reporter,
) -> PushSummary {
    let start = Instant::now();
    let encoders = Encoders::new(options.jobs.get());
    let lanes = packages.len().min(LANES).min(options.jobs.get()).max(1);
    let next = AtomicUsize::new(0);
    let (sender, ready) = mpsc::channel::<(usize, Result<Prepared, Error>)>();
    let mut outcomes: Vec<Option<Outcome>> = packages.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            let lane = Lane {
                mirror: Some(mirror),
                store,
                options,
                encoders: Some(&encoders),
                shares: lanes,
                reporter,
            };
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(package) = packages.get(index) else { return };
                    let prepared = if options.cancel.is_cancelled() {
                        Err(Error::Cancelled)
                    } else {
                        lane.prepare(package)
                    };
                    if sender.send((index, prepared)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Whatever is ready is published together: the index is written once for all of it.
        while let Ok(first) = ready.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(ready.try_iter()).collect();
            for (index, result) in publish(mirror, batch, options, reporter) {
                let outcome = Outcome { package: packages[index].clone(), result };
                let label = outcome.package.label();
                reporter.report(Event::Ended { package: &label, outcome: &outcome });
                outcomes[index] = Some(outcome);
            }
        }
    });
    // The store is a convenience; that it could not be tidied up is nobody's failure.
    let _ = store.shrink();
    let outcomes = outcomes.into_iter().flatten().collect();
    PushSummary { outcomes, took: start.elapsed() }
}

/// Gives names to what is complete.
fn publish(
    mirror: &DirectoryMirror,
    batch: Vec<(usize, Result<Prepared, Error>)>,
    options: &PushOptions,
    reporter: &dyn Reporter,
) -> Vec<(usize, Result<Pushed, Error>)> {
    let publications: Vec<Publication> = batch
        .iter()
        .filter_map(|(_, prepared)| prepared.as_ref().ok()?.publication.clone())
        .collect();
    let on_wait = |waiting: &Waiting| reporter.report(Event::Waiting { waiting });
    let patience =
        Patience { cancel: options.cancel.clone(), on_wait: &on_wait, ..Patience::default() };
    // One failure concerns all of the batch, and each of its packages tells it.
    let failure = mirror.publish(&publications, &patience).err().map(Arc::new);
    let named = |prepared: Prepared| match &failure {
        Some(source) if prepared.publication.is_some() => Err(match **source {
            hod_mirror::Error::Cancelled => Error::Cancelled,
            _ => Error::Publish { mirror: mirror.path().to_owned(), source: Arc::clone(source) },
        }),
        _ => Ok(prepared.finish()),
    };
    batch.into_iter().map(|(index, prepared)| (index, prepared.and_then(named))).collect()
}
