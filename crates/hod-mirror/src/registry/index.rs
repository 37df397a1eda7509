//! The index of a repository: what Spack reads under `index.spack`, and the same again under a name
//! that only Hod writes (`docs/formats/registry-index.md`).
//!
//! A registry has no way to replace a tag only if nobody else has. So whoever writes looks again a
//! moment later whether what it wrote is still there, and whoever took longer than that moment
//! between reading and writing asks the tags themselves whether something is missing.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hod_archive::Digest;
use hod_spec::{DagHash, Database, SpecFile, render_buildcache_index};

use super::{BlobSource, RawManifest, Registry, UploadOptions};
use crate::error::{Error, ParseError};
use crate::oci::{Descriptor, Document, Manifest, Tag, media_type};
use crate::spack::{KnownNodes, SPEC_LIMIT};
use crate::{IndexMode, IndexReport, Patience, SkippedEntry, parallel};

/// Where Spack looks (`spack-format` 5.8).
pub const SPACK_INDEX: &str = "index.spack";
/// Where only Hod writes: what a writer of Spack overtakes is still here. Does not end in
/// `.spack`, or Spack would take it for a package.
pub const HOD_INDEX: &str = "hod-index";
/// The config of an index: `{}`.
const EMPTY: &[u8] = b"{}";
/// Spack says so, though it is plain JSON (`spack-format` 5.8).
const INDEX_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX_LIMIT: u64 = 2 << 30;
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// No writer that took less than this from reading to writing can have overtaken another unseen.
const SETTLE: Duration = Duration::from_millis(400);
/// More rounds than this mean that a hundred others write at the same time.
const MOST_ROUNDS: u32 = 60;

/// Reads blobs; for whoever keeps what was read.
pub type ReadBlob<'a> = &'a (dyn Fn(&Registry, &Descriptor) -> Result<Vec<u8>, Error> + Sync);

/// How to update the index of a repository.
#[derive(Clone, Copy)]
pub struct RegistryIndexOptions<'a> {
    /// Packages that have just been published.
    pub added: &'a [SpecFile],
    /// Whether to look at the tags for what else there is; `None`: only `added` is new.
    pub discover: Option<IndexMode>,
    /// Most requests at the same time.
    pub connections: std::num::NonZeroUsize,
    /// Only its `cancel` matters: there are no locks.
    pub patience: &'a Patience<'a>,
    /// Told how many of how many packages are read.
    pub on_progress: &'a (dyn Fn(u64, u64) + Sync),
    /// How blobs are read.
    pub read: ReadBlob<'a>,
}

impl std::fmt::Debug for RegistryIndexOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryIndexOptions")
            .field("added", &self.added.len())
            .field("discover", &self.discover)
            .finish_non_exhaustive()
    }
}

/// One of the two indexes as it is now.
#[derive(Debug, Clone, PartialEq)]
struct Half {
    manifest: Digest,
    layer: Descriptor,
    config: Digest,
}

/// Both, as they were when an update began.
#[derive(Debug, Default, PartialEq)]
struct Halves {
    spack: Option<Half>,
    hod: Option<Half>,
}

impl Registry {
    /// What there is by the index: all that either of the two says. `None` if there is none.
    pub fn read_index(&self, read: ReadBlob<'_>) -> Result<Option<Database>, Error> {
        let halves = self.halves()?;
        let mut whole: Option<Database> = None;
        for half in halves.distinct() {
            let database = self.database(half, read)?;
            whole = Some(match whole {
                None => database,
                Some(mut whole) => {
                    for record in database.records() {
                        let is_better = record.in_buildcache
                            && !whole.get(&record.spec.hash).is_some_and(|r| r.in_buildcache);
                        if is_better || whole.get(&record.spec.hash).is_none() {
                            whole.insert(record.clone());
                        }
                    }
                    whole
                }
            });
        }
        Ok(whole)
    }

    /// Brings the index up to date. Of several who do so at once, the additions of none are lost.
    pub fn update_index(&self, options: &RegistryIndexOptions<'_>) -> Result<IndexReport, Error> {
        let mut work = Work {
            registry: self,
            options,
            discover: options.discover,
            nodes: Mutex::default(),
            available: BTreeSet::new(),
            known: Vec::new(),
            report: IndexReport::default(),
            tagged: None,
        };
        for file in options.added {
            KnownNodes::add_file(&work.nodes, file)?;
            work.available.insert(file.root().hash);
        }
        for round in 0..MOST_ROUNDS {
            if options.patience.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if work.round()? {
                work.report.entries = work.available.len() as u64;
                return Ok(work.report);
            }
            pause(round);
        }
        Err(Error::Contended { tag: HOD_INDEX.to_owned(), rounds: MOST_ROUNDS })
    }

    fn halves(&self) -> Result<Halves, Error> {
        let spack = self.half(SPACK_INDEX)?;
        // Both are always written together, this one first. Where the other is missing, whoever
        // has just written this one looks again.
        let hod = if spack.is_some() { self.half(HOD_INDEX)? } else { None };
        Ok(Halves { spack, hod })
    }

    fn half(&self, tag: &str) -> Result<Option<Half>, Error> {
        let Some(raw) = self.manifest(tag)? else { return Ok(None) };
        let digest = raw.digest;
        let manifest = raw.into_manifest()?;
        let missing = || Error::Document { digest, source: ParseError::NoIndexLayer };
        let layer = manifest.layers.first().cloned().ok_or_else(missing)?;
        Ok(Some(Half { manifest: digest, layer, config: manifest.config.digest }))
    }

    fn database(&self, half: &Half, read: ReadBlob<'_>) -> Result<Database, Error> {
        let digest = half.layer.digest;
        if half.layer.size > INDEX_LIMIT {
            let (size, limit) = (half.layer.size, INDEX_LIMIT);
            return Err(Error::TooLarge { digest, size, limit });
        }
        let bytes = read(self, &half.layer)?;
        // Tools that copy images compress what says it is compressed (skopeo 1.9).
        let bytes = if bytes.starts_with(GZIP_MAGIC) {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(&*bytes)
                .take(INDEX_LIMIT)
                .read_to_end(&mut text)
                .map_err(|error| Error::Document { digest, source: ParseError::Gzip(error) })?;
            text
        } else {
            bytes
        };
        Database::parse(bytes)
            .map_err(|error| Error::Document { digest, source: ParseError::Database(error) })
    }
}

impl Halves {
    /// Those that say different things.
    fn distinct(&self) -> impl Iterator<Item = &Half> {
        let same = self.spack.as_ref().map(|half| half.layer.digest)
            == self.hod.as_ref().map(|half| half.layer.digest);
        self.hod.iter().chain(self.spack.iter().filter(move |_| !same))
    }

    fn has_empty_config(&self) -> bool {
        self.spack.iter().chain(&self.hod).any(|half| half.config == Digest::of(EMPTY))
    }
}

/// An update under way. What it knows only grows, so that a second round reads nothing again.
struct Work<'a> {
    registry: &'a Registry,
    options: &'a RegistryIndexOptions<'a>,
    discover: Option<IndexMode>,
    nodes: Mutex<KnownNodes>,
    available: BTreeSet<DagHash>,
    /// Indexes that were read.
    known: Vec<Digest>,
    report: IndexReport,
    /// Hashes by the tags, once they were listed.
    tagged: Option<BTreeSet<DagHash>>,
}

impl Work<'_> {
    /// One attempt; whether the index is as it should be.
    fn round(&mut self) -> Result<bool, Error> {
        let registry = self.registry;
        let mut began = Instant::now();
        let halves = registry.halves()?;
        for half in halves.distinct() {
            self.adopt(half)?;
        }
        if let Some(mode) = self.discover.take() {
            self.discover(mode)?;
        }
        let is_there = halves.spack.is_some() || halves.hod.is_some();
        if self.available.is_empty() && !is_there {
            return Ok(true);
        }
        let text = {
            let nodes = self.nodes.lock().expect("no thread panics while it adds");
            render_buildcache_index(&self.available, &*nodes)
        };
        let layer = Descriptor::new(INDEX_TYPE, Digest::of(text.as_bytes()), text.len() as u64);
        let has = |half: &Option<Half>| {
            half.as_ref().is_some_and(|half| half.layer.digest == layer.digest)
        };
        if has(&halves.spack) && has(&halves.hod) {
            return Ok(true);
        }
        registry.upload(BlobSource::Bytes(text.as_bytes()), UploadOptions::default())?;
        let config = Descriptor::new(media_type::CONFIG, Digest::of(EMPTY), EMPTY.len() as u64);
        if !halves.has_empty_config() {
            registry.upload(BlobSource::Bytes(EMPTY), UploadOptions::default())?;
        }
        let manifest = Document::render(Manifest::image(config, vec![layer]))
            .map_err(|source| Error::Document { digest: Digest::of(EMPTY), source })?;
        let manifest = RawManifest::from(&manifest);
        // What was read may be old by now.
        if began.elapsed() > SETTLE / 2 {
            began = Instant::now();
            let now = registry.resolve(HOD_INDEX)?;
            if now != halves.hod.as_ref().map(|half| half.manifest) {
                return Ok(false);
            }
        }
        let tag = |tag| Tag::for_spack_entry(tag).expect("it is one");
        registry.put_manifest(&tag(HOD_INDEX), &manifest)?;
        let took = began.elapsed();
        registry.put_manifest(&tag(SPACK_INDEX), &manifest)?;
        self.report.is_changed = true;
        if took > SETTLE {
            // Somebody may have written in between and found it good: the tags know.
            self.discover = Some(IndexMode::Incremental);
        }
        std::thread::sleep(SETTLE);
        Ok(registry.resolve(HOD_INDEX)? == Some(manifest.digest) && self.discover.is_none())
    }

    /// Takes over what an index says, unless it was read before.
    fn adopt(&mut self, half: &Half) -> Result<(), Error> {
        if self.known.contains(&half.layer.digest) {
            return Ok(());
        }
        let database = match self.registry.database(half, self.options.read) {
            Ok(database) => database,
            Err(error) if crate::directory::is_newer(&error) => return Err(error),
            // One that is damaged is like none: all can be read from the packages.
            Err(error @ Error::Document { .. }) => {
                let path = PathBuf::from(SPACK_INDEX);
                self.report.skipped.push(SkippedEntry { path, error, is_kept: false });
                self.discover.get_or_insert(IndexMode::Incremental);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.known.push(half.layer.digest);
        self.nodes.get_mut().expect("no thread panics while it adds").add_index(&database);
        let available = database.records().filter(|record| record.in_buildcache);
        let is_tagged = |hash: &DagHash| self.tagged.as_ref().is_none_or(|t| t.contains(hash));
        self.available.extend(available.map(|record| record.spec.hash).filter(is_tagged));
        Ok(())
    }

    /// Asks the tags what there is.
    fn discover(&mut self, mode: IndexMode) -> Result<(), Error> {
        let tags = self.registry.tags()?;
        let packages: Vec<(String, DagHash)> =
            tags.into_iter().filter_map(|tag| hash_of_tag(&tag).map(|hash| (tag, hash))).collect();
        let tagged: BTreeSet<DagHash> = packages.iter().map(|(_, hash)| *hash).collect();
        let before = self.available.len();
        self.available.retain(|hash| tagged.contains(hash));
        self.report.dropped += (before - self.available.len()) as u64;
        let wanted: Vec<&(String, DagHash)> = packages
            .iter()
            .filter(|(_, hash)| mode == IndexMode::Rebuild || !self.available.contains(hash))
            .collect();
        self.tagged = Some(tagged);
        let (done, total) = (AtomicU64::new(0), wanted.len() as u64);
        let RegistryIndexOptions { connections, patience, on_progress, read, .. } = *self.options;
        let (registry, nodes) = (self.registry, &self.nodes);
        let results = parallel::map(&wanted, connections, &patience.cancel, |(tag, hash)| {
            let result = read_package(registry, tag, hash, read).and_then(|file| match file {
                Some(file) => KnownNodes::add_file(nodes, &file).map(|()| true),
                None => Ok(false),
            });
            on_progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            result
        })?;
        for ((tag, hash), result) in wanted.into_iter().zip(results) {
            match result {
                Ok(true) => {
                    self.report.read += 1;
                    self.available.insert(*hash);
                }
                Ok(false) => {
                    self.available.remove(hash);
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    let is_kept = self.available.contains(hash);
                    let path = PathBuf::from(tag);
                    self.report.skipped.push(SkippedEntry { path, error, is_kept });
                }
            }
        }
        Ok(())
    }
}

/// The spec of a package, from the config of its image; `None` if the tag is gone.
fn read_package(
    registry: &Registry,
    tag: &str,
    hash: &DagHash,
    read: ReadBlob<'_>,
) -> Result<Option<SpecFile>, Error> {
    let Some(raw) = registry.manifest(tag)? else { return Ok(None) };
    let manifest = raw.into_manifest()?;
    let Descriptor { digest, size, .. } = manifest.config;
    if size > SPEC_LIMIT {
        return Err(Error::TooLarge { digest, size, limit: SPEC_LIMIT });
    }
    let file = SpecFile::parse(read(registry, &manifest.config)?)
        .map_err(|error| Error::Document { digest, source: ParseError::SpecFile(error) })?;
    if file.root().hash == *hash {
        return Ok(Some(file));
    }
    let (expected, found) = (hash.to_string(), file.root().hash.to_string());
    Err(Error::WrongSpec { path: PathBuf::from(tag), expected, found })
}

/// The hash in the tag of a package, which ends in `-<32 characters>.spack` however it was cut
/// (`spack-format` 5.2).
pub fn hash_of_tag(tag: &str) -> Option<DagHash> {
    let stem = tag.strip_suffix(".spack").filter(|_| tag != SPACK_INDEX)?;
    let (_, hash) = stem.rsplit_once('-')?;
    hash.parse().ok()
}

/// Writers that collided should not do so again: up to so many times 100 ms, at random.
fn pause(round: u32) {
    use std::hash::{BuildHasher as _, RandomState};
    let most = 100 * u64::from((round + 1).min(20));
    let random = RandomState::new().hash_one(round) % most;
    std::thread::sleep(Duration::from_millis(random));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_hash() {
        let hash = "aaa6aqt6lel4yuslexphxskbqhlvjtck";
        let told = |tag: &str| hash_of_tag(tag).map(|hash| hash.to_string());
        assert_eq!(told(&format!("zlib-1.3_x-{hash}.spack")).as_deref(), Some(hash));
        assert_eq!(told("index.spack"), None);
        assert_eq!(told("hod-index"), None);
        assert_eq!(told("zlib-1.3-abc.spack"), None);
    }
}
