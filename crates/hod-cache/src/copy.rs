//! Copy: images from one mirror to another, byte for byte, and of each blob no more than is needed.

mod image;
mod transfer;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hod_archive::{Cancel, Digest};
use hod_mirror::oci::{Descriptor, Tag};
use hod_mirror::registry::{HOD_INDEX, SPACK_INDEX};
use hod_mirror::{Mirror, NamedManifest};
use hod_spec::SpecFile;

use self::image::Image;
use self::transfer::{Moved, Transfer};
use crate::source::{Source, map};
use crate::{Error, LocalStore, Reporter, Wanted, packages};

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Most blobs at the same time.
    pub connections: usize,
    /// Stops the work; what is published by then is whole.
    pub cancel: Cancel,
}

/// What came of a copy.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CopySummary {
    /// Of each image, by tag.
    pub outcomes: Vec<CopyOutcome>,
    /// Blobs that were sent, and their bytes.
    pub sent: Counted,
    /// Blobs that were there.
    pub present: Counted,
    /// Blobs that the registry took over from another of its repositories.
    pub mounted: Counted,
    /// The specs of what is new, for an index.
    pub specs: Vec<SpecFile>,
    /// How long it took.
    pub took: Duration,
}

/// Some blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Counted {
    fn add(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes += size;
    }
}

/// What came of one image.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyOutcome {
    /// Its tag; of a package without an image, its label.
    pub tag: String,
    /// The digest of what stands behind the tag, where that could be read.
    pub digest: Option<Digest>,
    /// Whether it is new, or was there.
    pub result: Result<Copied, Error>,
}

/// How an image came to be at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// It is new there, or would be.
    New,
    /// It was there.
    Present,
}

impl CopySummary {
    /// Whether everything is at the target.
    pub fn is_complete(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.result.is_ok())
    }

    /// How many images are new.
    pub fn new_images(&self) -> usize {
        let is_new = |outcome: &&CopyOutcome| matches!(outcome.result, Ok(Copied::New));
        self.outcomes.iter().filter(is_new).count()
    }
}

/// What is to be done with one tag.
struct Work {
    tag: String,
    state: Result<State, Error>,
}

enum State {
    /// It is at the target.
    Present(Digest),
    Copy(Box<Image>),
}

/// Copies the images of what matches one of `wanted`, or all images, with all they are made of.
/// Indexes are not copied: that of the target says what is there.
///
/// Nothing is published whose content is not at the target. To a mirror that is a build cache of
/// Spack as well, the entries of that are made from what the images say.
///
/// # Errors
/// What concerns one image is in its outcome; an error is what kept the copy from being begun.
pub fn copy(
    from: &Mirror,
    to: &Mirror,
    store: &LocalStore,
    wanted: &[Wanted],
    options: &CopyOptions,
    reporter: &dyn Reporter,
) -> Result<CopySummary, Error> {
    let start = Instant::now();
    let source = Source::new(from, store);
    let (work, mut outcomes) = work(source, Some(to), wanted, &options.cancel)?;
    let mut summary = CopySummary::default();
    let mut blobs: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for work in &work {
        if let Ok(State::Copy(image)) = &work.state {
            blobs.extend(image.blobs.iter().map(|blob| (blob.digest, blob.clone())));
        }
    }
    let transfer = Transfer { source, to, options, reporter };
    let moved = transfer.all(blobs.into_values().collect(), &mut summary);
    let mut ready = Vec::new();
    for Work { tag, state } in work {
        let (digest, result) = match state {
            Err(error) => (None, Err(error)),
            Ok(State::Present(digest)) => (Some(digest), Ok(Copied::Present)),
            Ok(State::Copy(image)) => {
                let Some(error) = image.missing(&moved) else {
                    ready.push((tag, image));
                    continue;
                };
                (Some(image.manifest.digest), Err(failed(&tag, error)))
            }
        };
        outcomes.push(CopyOutcome { tag, digest, result });
    }
    publish(source, to, ready, &mut summary, &mut outcomes);
    let _ = store.shrink();
    outcomes.sort_by(|a, b| a.tag.cmp(&b.tag));
    summary.outcomes = outcomes;
    summary.took = start.elapsed();
    Ok(summary)
}

/// What [`copy`] would do. `to`: the target, if it is there.
pub fn plan_copy(
    from: &Mirror,
    to: Option<&Mirror>,
    store: &LocalStore,
    wanted: &[Wanted],
    cancel: &Cancel,
) -> Result<Vec<CopyOutcome>, Error> {
    let (work, mut outcomes) = work(Source::new(from, store), to, wanted, cancel)?;
    outcomes.extend(work.into_iter().map(|Work { tag, state }| {
        let (digest, result) = match state {
            Err(error) => (None, Err(error)),
            Ok(State::Present(digest)) => (Some(digest), Ok(Copied::Present)),
            Ok(State::Copy(image)) => (Some(image.manifest.digest), Ok(Copied::New)),
        };
        CopyOutcome { tag, digest, result }
    }));
    outcomes.sort_by(|a, b| a.tag.cmp(&b.tag));
    Ok(outcomes)
}

/// All that is meant: what is to be done with it, and that of which nothing can be copied.
fn work(
    source: Source<'_>,
    to: Option<&Mirror>,
    wanted: &[Wanted],
    cancel: &Cancel,
) -> Result<(Vec<Work>, Vec<CopyOutcome>), Error> {
    let (tags, lacking) = selected(source, wanted)?;
    let work = map(&tags, source.threads(), cancel, |tag| look(source, to, tag));
    if cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok((work, lacking)) }
}

/// The tags that are meant, and what is meant but has none.
fn selected(
    source: Source<'_>,
    wanted: &[Wanted],
) -> Result<(Vec<String>, Vec<CopyOutcome>), Error> {
    let mut tags = Vec::new();
    let mut lacking = Vec::new();
    let mut take = |wanted: Option<&Wanted>| -> Result<(), Error> {
        let listing = packages(source.mirror, source.store, wanted)?;
        for found in listing.found {
            match &found.image {
                Some(image) => tags.push(image.tag.clone()),
                None => lacking.push(found.label()),
            }
        }
        Ok(())
    };
    for wanted in wanted {
        take(Some(wanted))?;
    }
    if wanted.is_empty() {
        // Of a build cache, what no tag leads to as well.
        if source.mirror.as_directory().is_some_and(hod_mirror::DirectoryMirror::has_spack_half) {
            take(None)?;
        }
        // Indexes of several images too, which are no packages.
        tags.extend(source.images().tags().map_err(|error| source.error(error))?);
    }
    tags.retain(|tag| tag != SPACK_INDEX && tag != HOD_INDEX);
    tags.sort();
    tags.dedup();
    lacking.sort();
    lacking.dedup();
    let lacking = lacking.into_iter().map(|package| {
        let result = Err(Error::NoImage { package: package.clone() });
        CopyOutcome { tag: package, digest: None, result }
    });
    Ok((tags, lacking.collect()))
}

/// What is behind a tag, and whether it is at the target.
fn look(source: Source<'_>, to: Option<&Mirror>, tag: &str) -> Work {
    let looked = || {
        let image = Image::read(source, tag)?;
        let digest = image.manifest.digest;
        let is_there = to.map(|to| image.is_at(to, tag)).transpose()?;
        Ok(if is_there == Some(true) {
            State::Present(digest)
        } else {
            State::Copy(Box::new(image))
        })
    };
    let state = looked().map_err(|error| failed(tag, &Arc::new(error)));
    Work { tag: tag.to_owned(), state }
}

fn failed(tag: &str, error: &Arc<hod_mirror::Error>) -> Error {
    match **error {
        hod_mirror::Error::Cancelled => Error::Cancelled,
        _ => Error::Copy { tag: tag.to_owned(), source: Arc::clone(error) },
    }
}

/// Gives names to what is whole. A directory takes all of them in one step.
fn publish(
    source: Source<'_>,
    to: &Mirror,
    ready: Vec<(String, Box<Image>)>,
    summary: &mut CopySummary,
    outcomes: &mut Vec<CopyOutcome>,
) {
    let mut named = Vec::new();
    let mut images = Vec::new();
    for (tag, image) in ready {
        match Tag::for_spack_entry(&*tag) {
            Ok(name) => {
                let spack = image.spack(source, &tag);
                named.push(manifests(source, to, name, &image));
                images.push((tag, image, spack));
            }
            Err(error) => {
                let result = Err(Error::Tag(error));
                let digest = Some(image.manifest.digest);
                outcomes.push(CopyOutcome { tag, digest, result });
            }
        }
    }
    let results: Vec<Result<(), Arc<hod_mirror::Error>>> = match to {
        Mirror::Directory(directory) => {
            let specs: Vec<_> = images.iter().filter_map(|(_, _, spack)| spack.as_ref()).collect();
            let entries = image::publish_entries(directory, &specs);
            let all: Vec<NamedManifest> = named.into_iter().flatten().collect();
            let result = entries.and_then(|()| to.images().put_manifests(&all)).map_err(Arc::new);
            images.iter().map(|_| result.clone()).collect()
        }
        Mirror::Registry(registry) => {
            let put = |manifests: &Vec<NamedManifest>| {
                to.images().put_manifests(manifests).map_err(Arc::new)
            };
            map(&named, registry.connections(), &Cancel::default(), put)
        }
    };
    for ((tag, image, spack), result) in images.into_iter().zip(results) {
        let result = match result {
            Ok(()) => {
                summary.specs.extend(spack.map(|spack| spack.file));
                Ok(Copied::New)
            }
            Err(error) => Err(failed(&tag, &error)),
        };
        outcomes.push(CopyOutcome { tag, digest: Some(image.manifest.digest), result });
    }
}

/// The manifests of an image as the target takes them: what an index names comes first.
fn manifests(source: Source<'_>, to: &Mirror, tag: Tag, image: &Image) -> Vec<NamedManifest> {
    let children = image.children.iter().cloned();
    let child = |manifest| NamedManifest { tag: None, manifest, platform: None };
    let mut manifests: Vec<NamedManifest> = children.map(child).collect();
    // Only the index of a layout says it.
    let platform = if to.as_directory().is_some() { image.platform(source) } else { None };
    manifests.push(NamedManifest { tag: Some(tag), manifest: image.manifest.clone(), platform });
    manifests
}

type Results = HashMap<Digest, Result<Moved, Arc<hod_mirror::Error>>>;
