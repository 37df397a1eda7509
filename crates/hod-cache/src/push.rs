//! Push: prefixes become blobs, blobs become named entries of a mirror.
//!
//! ```text
//! probe ─▶ pack (lanes) ─▶ publish ─▶ index
//! ```
//!
//! For each package the cheapest of four ways is taken, in this order: the mirror has it; the
//! mirror has its blob; the local store has its blob; it is packed. For a spec the first two are
//! decided by its hash alone; for a prefix, and for the third, the tree must look as it did when
//! it was last packed, which its metadata alone tells.

mod classify;
mod describe;
mod frame;
mod lane;
mod layer;
mod plan;
mod probe;
mod publish;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hod_archive::{Cancel, Codec, DiffId, Digest, Encoders, Encoding};
use hod_mirror::{DirectoryMirror, IndexReport};
use hod_spec::DagHash;
use hod_store::Redistribution;

use crate::index::{IndexMode, index};
use crate::selection::{LeftOut, Reason};
use crate::{Error, Event, LocalStore, Package, Reporter};
pub use describe::Contents;
use lane::{Lane, Prepared};
use layer::Workshop;
pub use plan::{Planned, plan};
use probe::{Probe, Tags};
use publish::Publisher;

/// How to push.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct PushOptions {
    /// Codec, level and member layout of the blobs.
    pub encoding: Encoding,
    /// Modification time of every member, in seconds since 1970.
    pub mtime: u64,
    /// Threads that compress.
    pub jobs: NonZeroUsize,
    /// Most threads that wait for the file system.
    pub io_jobs: NonZeroUsize,
    /// Push even what is known to be there. A prefix is packed again in any case, a spec if its
    /// tree has changed since it was last packed.
    pub force: bool,
    /// Where Spack is, for build information; what no reader of today looks at.
    pub spack_prefix: Option<String>,
    /// Images hold the packages of this push alone, and not all they need at run time.
    pub partial_images: bool,
    /// Push specs too whose recipes forbid to redistribute binaries.
    pub private: bool,
    /// After the first failure, begin nothing new.
    pub fail_fast: bool,
    /// Bring the index of the Spack build cache up to date at the end.
    pub update_index: bool,
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
            spack_prefix: None,
            partial_images: false,
            private: false,
            fail_fast: false,
            update_index: false,
            cancel: Cancel::default(),
        }
    }
}

/// A package that is in the mirror now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// 32 characters that tell this build from others.
    pub hash: String,
    /// Its image; a spec has none yet if it was held back.
    pub image: Option<Image>,
    /// The dependency without which there is no image, as `name@version/1234567`.
    pub held_back: Option<String>,
    /// Of the layer blob.
    pub digest: Digest,
    /// Of the tar stream in it; not looked up for what was there already.
    pub diff_id: Option<DiffId>,
    /// Bytes of the layer blob.
    pub size: u64,
    /// Bytes of the tar stream, where it was packed here.
    pub uncompressed_size: Option<u64>,
    /// Counted as they are in the archive, where it was packed here.
    pub contents: Option<Contents>,
    /// Nothing had to be done.
    pub was_there: bool,
    /// The tree had to be read.
    pub was_packed: bool,
    /// From start to publication.
    pub took: Duration,
}

impl PushOptions {
    /// Refuses what cannot be pushed with these options, before anything is touched.
    ///
    /// # Errors
    /// [`Error::Codec`] for specs in a codec that Spack does not read.
    pub fn suit(&self, packages: &[Package]) -> Result<(), Error> {
        let codec = self.encoding.codec();
        let has_specs = packages.iter().any(|package| package.as_installed().is_some());
        if has_specs && codec != Codec::Gzip { Err(Error::Codec { codec }) } else { Ok(()) }
    }
}

/// An image in the mirror's OCI layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its tag.
    pub tag: String,
    /// Of its manifest.
    pub manifest: Digest,
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
    /// Specs that may not be redistributed, and were not pushed.
    pub left_out: Vec<LeftOut>,
    /// How many of the specs that were not there came with a recipe; `None` if nobody asked.
    pub recipes: Option<Recipes>,
    /// What came of the index, if it was to be updated.
    pub index: Option<Result<IndexReport, Error>>,
    /// In all.
    pub took: Duration,
}

/// Where it could be found out whether a spec may be redistributed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recipes {
    /// Specs with their recipe beside them.
    pub with: usize,
    /// Specs without.
    pub without: usize,
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

/// Most packages packed at the same time: enough to hide one package's beginning and end behind
/// another's middle, few enough that each has memory to read ahead.
const LANES: usize = 4;

/// How long what is ready waits for company.
const MOMENT: Duration = Duration::from_millis(300);

/// Pushes `packages` to `mirror`. One that fails does not stop the others: what went wrong with a
/// package is in its [`Outcome`].
///
/// # Errors
/// Only what concerns all packages: the mirror cannot be read, or specs are to be packed in a way
/// Spack cannot read.
pub fn push(
    mirror: &DirectoryMirror,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    reporter: &dyn Reporter,
) -> Result<PushSummary, Error> {
    let start = Instant::now();
    options.suit(packages)?;
    let tags = probe::tags(mirror)?;
    let probes = probe::all(mirror, &tags, packages, options)?;
    let (left_out, recipes) =
        if options.private { (Vec::new(), None) } else { forbidden(packages, &probes) };
    let hashes: HashSet<DagHash> = left_out.iter().map(|left| left.hash).collect();
    let is_left_out = |package: &Package| {
        package.as_installed().is_some_and(|installed| hashes.contains(&installed.hash()))
    };

    let mut publisher = Publisher::new(mirror, &tags, packages, options, reporter);
    let mut work = Vec::new();
    for (index, (package, probe)) in packages.iter().zip(&probes).enumerate() {
        if is_left_out(package) {
            continue;
        }
        if let Some(pushed) = probe.there(package, options.force) {
            publisher.settle(index, pushed);
        } else {
            publisher.expect(index);
            work.push(index);
        }
    }
    let there = packages.len() - left_out.len() - work.len();
    reporter.report(Event::Probed { there, left: work.len() });
    if !work.is_empty() {
        let lanes = Lanes { mirror, tags: &tags, packages, probes: &probes, work: &work };
        lanes.run(&mut publisher, store, options, reporter);
    }
    // The store is a convenience; that it could not be tidied up is nobody's failure.
    let _ = store.shrink();
    let outcomes = publisher.into_outcomes();
    let index = (options.update_index && !options.cancel.is_cancelled())
        .then(|| index(mirror, IndexMode::Incremental, options.jobs, &options.cancel, reporter));
    Ok(PushSummary { outcomes, left_out, recipes, index, took: start.elapsed() })
}

/// Specs that are to be packed and whose recipes forbid it; and how many had one.
fn forbidden(packages: &[Package], probes: &[Probe]) -> (Vec<LeftOut>, Option<Recipes>) {
    let mut recipes = Recipes::default();
    let mut left_out = Vec::new();
    for (package, probe) in packages.iter().zip(probes) {
        let Some(installed) = package.as_installed().filter(|_| probe.entry.is_none()) else {
            continue;
        };
        let found = crate::selection::redistribution(installed);
        match found {
            Redistribution::Unknown if !package.location().exists() => {}
            Redistribution::Unknown => recipes.without += 1,
            _ => recipes.with += 1,
        }
        if matches!(found, Redistribution::Forbidden | Redistribution::Conditional) {
            left_out.push(LeftOut {
                label: package.label(),
                hash: installed.hash(),
                reason: Reason::NotRedistributable,
            });
        }
    }
    (left_out, Some(recipes))
}

/// What is ready by now or will be in a moment. It is published together: a mirror's index is
/// written, and its directories brought to disk, once for all of it.
fn together<T>(first: T, ready: &mpsc::Receiver<T>) -> Vec<T> {
    let mut batch = vec![first];
    let deadline = Instant::now() + MOMENT;
    while let Ok(next) = ready.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        batch.push(next);
    }
    batch
}

/// The threads that prepare packages.
struct Lanes<'a> {
    mirror: &'a DirectoryMirror,
    tags: &'a Tags,
    packages: &'a [Package],
    probes: &'a [Probe],
    /// Which of the packages.
    work: &'a [usize],
}

impl Lanes<'_> {
    fn run(
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
        let (sender, ready) = mpsc::channel::<(usize, Result<Prepared, Error>)>();
        std::thread::scope(|scope| {
            for _ in 0..lanes {
                let workshop = Workshop { store, options, shares: lanes, reporter };
                let (mirror, tags) = (self.mirror, self.tags);
                let lane = Lane { mirror, tags, workshop, encoders: &encoders };
                let (sender, next, has_failed) = (sender.clone(), &next, &has_failed);
                scope.spawn(move || {
                    while let Some(&index) = self.work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let prepared = if options.cancel.is_cancelled() {
                            Err(Error::Cancelled)
                        } else if options.fail_fast && has_failed.load(Ordering::Relaxed) {
                            Err(Error::NotTried)
                        } else {
                            lane.prepare(&self.packages[index], &self.probes[index])
                        };
                        has_failed.fetch_or(prepared.is_err(), Ordering::Relaxed);
                        if sender.send((index, prepared)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            while let Ok(first) = ready.recv() {
                publisher.take(together(first, &ready));
            }
        });
    }
}
