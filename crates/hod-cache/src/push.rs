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
mod destination;
mod frame;
mod ground;
mod lane;
mod lanes;
mod layer;
mod plan;
mod publish;
mod tag;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use hod_archive::{Cancel, Codec, DiffId, Digest, Encoding};
use hod_mirror::oci::Tag;
use hod_mirror::{DirectoryMirror, IndexReport, Mirror};
use hod_spec::DagHash;
use hod_store::Redistribution;

use crate::image::{ImageOptions, Tagged};
use crate::index::{News, index};
use crate::selection::{LeftOut, Reason};
use crate::{Error, Event, LocalStore, Package, Reporter};
pub use describe::Contents;
use destination::Probe;
use ground::Grounds;
use lanes::Lanes;
pub use plan::{Planned, plan};
use publish::Publisher;
use tag::Tagging;

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
    /// Most look-ups in a directory at the same time; a registry has a limit of its own.
    pub connections: NonZeroUsize,
    /// Push even what is known to be there. A prefix is packed again in any case, a spec if its
    /// tree has changed since it was last packed.
    pub force: bool,
    /// Where Spack is, for build information; what no reader of today looks at.
    pub spack_prefix: Option<String>,
    /// What the images hold.
    pub only: Only,
    /// Push specs too whose recipes forbid to redistribute binaries.
    pub private: bool,
    /// After the first failure, begin nothing new.
    pub fail_fast: bool,
    /// Bring the index of the Spack build cache up to date at the end.
    pub update_index: bool,
    /// What is asked of images besides their packages.
    pub images: ImageOptions,
    /// Where the base image is, if there is to be one.
    pub base_mirror: Option<Mirror>,
    /// What the tagged image is of; of all specs if this is empty.
    pub roots: Vec<DagHash>,
    /// Stops the push; what is published by then stays.
    pub cancel: Cancel,
}

/// What an image holds. A reader of the build cache needs no more than the package itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// The packages of this push, as far as the image needs them.
    Package,
    /// All that the package needs at run time; without it there is no image.
    Closure,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            mtime: 0,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            io_jobs: NonZeroUsize::new(32).expect("not zero"),
            connections: NonZeroUsize::new(16).expect("not zero"),
            force: false,
            spack_prefix: None,
            only: Only::Closure,
            private: false,
            fail_fast: false,
            update_index: false,
            images: ImageOptions::default(),
            base_mirror: None,
            roots: Vec::new(),
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
        if let Some(tag) = self.images.tag.as_ref().filter(|_| !tag::suits(packages)) {
            return Err(Error::TagOfPrefixes { tag: tag.to_string() });
        }
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
    /// What came of the image of all that was asked for, if there was to be one.
    pub tagged: Option<(Tag, Result<Tagged, Error>)>,
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

/// Pushes `packages` to `mirror`. One that fails does not stop the others: what went wrong with a
/// package is in its [`Outcome`].
///
/// # Errors
/// Only what concerns all packages: the mirror cannot be read, or specs are to be packed in a way
/// Spack cannot read.
pub fn push(
    mirror: &Mirror,
    packages: &[Package],
    store: &LocalStore,
    options: &PushOptions,
    reporter: &dyn Reporter,
) -> Result<PushSummary, Error> {
    let start = Instant::now();
    options.suit(packages)?;
    let destination = destination::open(mirror, store, options.connections)?;
    let destination = &*destination;
    let probes = destination::probe_all(destination, packages, options.only)?;
    let (left_out, recipes) =
        if options.private { (Vec::new(), None) } else { forbidden(packages, &probes) };
    let hashes: HashSet<DagHash> = left_out.iter().map(|left| left.hash).collect();
    let is_left_out = |package: &Package| {
        package.as_installed().is_some_and(|installed| hashes.contains(&installed.hash()))
    };

    let mut settled = Vec::new();
    let mut work = Vec::new();
    for (index, (package, probe)) in packages.iter().zip(&probes).enumerate() {
        if is_left_out(package) {
            continue;
        }
        if let Some(pushed) = probe.there(package, options.force) {
            settled.push((index, pushed));
        } else {
            work.push(index);
        }
    }
    let needy: Vec<&Package> = match options.images.tag {
        Some(_) => packages.iter().collect(),
        None => work.iter().map(|&index| &packages[index]).collect(),
    };
    let grounds = Grounds::open(mirror, &needy, options)?;
    let mut publisher = Publisher::new(destination, packages, &grounds, options, reporter);
    for (index, pushed) in settled {
        publisher.settle(index, pushed);
    }
    for &index in &work {
        publisher.expect(index);
    }
    let there = packages.len() - left_out.len() - work.len();
    reporter.report(Event::Probed { there, left: work.len() });
    if work.is_empty() {
        grounds.copy(store, options);
    } else {
        let grounds = &grounds;
        let lanes = Lanes { destination, packages, grounds, probes: &probes, work: &work };
        lanes.run(&mut publisher, store, options, reporter);
    }
    // The store is a convenience; that it could not be tidied up is nobody's failure.
    let _ = store.shrink();
    let (outcomes, layers) = publisher.into_parts();
    let is_whole = outcomes.iter().all(|outcome| outcome.result.is_ok());
    let tagged = options.images.tag.as_ref().filter(|_| is_whole).map(|tag| {
        let (outcomes, layers, grounds) = (&outcomes, &layers, &grounds);
        let tagging = Tagging { mirror, destination, outcomes, layers, grounds, store, options };
        (tag.clone(), tagging.publish(tag))
    });
    // A bare image layout has none.
    let has_index = mirror.as_directory().is_none_or(DirectoryMirror::has_spack_half);
    let index = (options.update_index && has_index && !options.cancel.is_cancelled())
        .then(|| update_index(mirror, &outcomes, store, options, reporter));
    Ok(PushSummary { outcomes, left_out, recipes, tagged, index, took: start.elapsed() })
}

/// Adds what is in the mirror now to its index.
fn update_index(
    mirror: &Mirror,
    outcomes: &[Outcome],
    store: &LocalStore,
    options: &PushOptions,
    reporter: &dyn Reporter,
) -> Result<IndexReport, Error> {
    let mut published = Vec::new();
    if mirror.as_registry().is_some() {
        for Outcome { package, result } in outcomes {
            let has_image = result.as_ref().is_ok_and(|pushed| pushed.image.is_some());
            if let Some(installed) = package.as_installed().filter(|_| has_image) {
                let metadata = installed.store().metadata(&installed.hash());
                published.push(metadata.map_err(|source| Error::Installed {
                    package: package.label(),
                    source: Box::new(source),
                })?);
            }
        }
    }
    let published: Vec<_> = published.into_iter().map(|metadata| metadata.spec_file).collect();
    let news = News::Published(&published);
    index(mirror, news, store, options.jobs, &options.cancel, reporter)
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
