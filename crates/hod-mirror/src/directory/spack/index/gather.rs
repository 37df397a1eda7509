//! Specs from all over a build cache, each kept once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hod_archive::Digest;
use hod_spec::DagHash;

use super::{IndexMode, IndexOptions, IndexReport, SkippedEntry, SpackIndex, is_newer};
use crate::DirectoryMirror;
use crate::directory::spack::SpackNames;
use crate::error::Error;
use crate::parallel;
use crate::spack::{BlobKind, EntryName, KnownNodes};

/// What is known so far. It only grows, so that what was read before the lock is not read again
/// under it.
pub(super) struct Gathered<'a> {
    mirror: &'a DirectoryMirror,
    options: &'a IndexOptions<'a>,
    /// The index as it is now, and the manifest it was read through.
    index: Option<SpackIndex>,
    manifest: Option<Vec<u8>>,
    /// Why an index that is there is of no use.
    index_error: Option<Error>,
    /// All packages, as last listed.
    names: SpackNames,
    outcomes: BTreeMap<EntryName, Outcome>,
    nodes: Mutex<KnownNodes>,
}

enum Outcome {
    Read,
    /// Removed between being listed and being read.
    Gone,
    Failed(Error),
}

impl<'a> Gathered<'a> {
    pub(super) fn new(mirror: &'a DirectoryMirror, options: &'a IndexOptions<'a>) -> Self {
        Self {
            mirror,
            options,
            index: None,
            manifest: None,
            index_error: None,
            names: SpackNames::default(),
            outcomes: BTreeMap::new(),
            nodes: Mutex::default(),
        }
    }

    /// Takes over what the index says now, unless it is the one known already. An index that is
    /// damaged is like none: all can be read from the packages.
    pub(super) fn adopt(&mut self, manifest: Option<Vec<u8>>) -> Result<(), Error> {
        if self.manifest == manifest && (self.index.is_some() || manifest.is_none()) {
            return Ok(());
        }
        self.manifest.clone_from(&manifest);
        (self.index, self.index_error) = (None, None);
        let Some(manifest) = manifest else { return Ok(()) };
        match self.mirror.read_index_of(manifest) {
            Err(error) if is_newer(&error) => return Err(error),
            Err(error) => self.index_error = Some(error),
            Ok(index) => {
                let nodes = self.nodes.get_mut().expect("no thread panics while it adds");
                nodes.add_index(&index.database);
                self.index = Some(index);
            }
        }
        Ok(())
    }

    /// Reads those of `names` of which too little is known.
    pub(super) fn read(&mut self, names: SpackNames) -> Result<(), Error> {
        let wanted: Vec<&EntryName> = names
            .names
            .iter()
            .filter(|name| !self.outcomes.contains_key(name))
            .filter(|name| self.options.mode == IndexMode::Rebuild || !self.is_indexed(name))
            .collect();
        let (done, total) = (AtomicU64::new(0), wanted.len() as u64);
        let IndexOptions { jobs, on_progress, patience, .. } = *self.options;
        let (mirror, nodes) = (self.mirror, &self.nodes);
        let outcomes = parallel::map(&wanted, jobs, &patience.cancel, |name| {
            let outcome = match read_one(mirror, nodes, name) {
                Ok(true) => Outcome::Read,
                Ok(false) => Outcome::Gone,
                Err(error) => Outcome::Failed(error),
            };
            on_progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            outcome
        })?;
        let read: Vec<_> = wanted.into_iter().cloned().zip(outcomes).collect();
        self.outcomes.extend(read);
        self.names = names;
        Ok(())
    }

    /// The new index; `None` if there is nothing to put into one, or the one there says it all.
    pub(super) fn render(&self) -> Option<String> {
        let available = self.available();
        if self.manifest.is_none() && available.is_empty() {
            return None;
        }
        // Spack has its records in another order; that alone is no reason for another file.
        let is_incremental = self.options.mode == IndexMode::Incremental;
        if is_incremental && self.indexed().is_some_and(|indexed| indexed == available) {
            return None;
        }
        let nodes = self.nodes.lock().expect("no thread panics while it adds");
        let database = hod_spec::render_buildcache_index(&available, &*nodes);
        (!self.is_current(&database)).then_some(database)
    }

    /// Whether the index there is this one.
    fn is_current(&self, database: &str) -> bool {
        self.index.as_ref().is_some_and(|index| {
            index.manifest.first(BlobKind::Index).is_ok_and(|(record, digest)| {
                record.media_type == BlobKind::Index.media_type()
                    && digest == Digest::of(database.as_bytes())
            })
        })
    }

    /// What the index has, if there is one and Spack finds it.
    fn indexed(&self) -> Option<BTreeSet<DagHash>> {
        let index = self.index.as_ref()?;
        let (record, _) = index.manifest.first(BlobKind::Index).ok()?;
        let records = index.database.records().filter(|record| record.in_buildcache);
        (record.media_type == BlobKind::Index.media_type())
            .then(|| records.map(|record| record.spec.hash).collect())
    }

    pub(super) fn into_report(self, is_changed: bool) -> IndexReport {
        let available = self.available();
        let records = self.index.iter().flat_map(|index| index.database.records());
        let dropped = records
            .filter(|record| record.in_buildcache && !available.contains(&record.spec.hash))
            .count();
        let is_kept = |name: &EntryName| available.contains(&name.hash());
        let read = self.outcomes.values().filter(|it| matches!(it, Outcome::Read)).count();
        let index = self.index_error.map(|error| SkippedEntry {
            path: self.mirror.spack_index_path(),
            error,
            is_kept: false,
        });
        let entries = self.outcomes.into_iter().filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(error) => Some(SkippedEntry {
                path: self.mirror.spack_manifest_path(&name),
                error,
                is_kept: is_kept(&name),
            }),
            _ => None,
        });
        IndexReport {
            entries: available.len() as u64,
            read: read as u64,
            dropped: dropped as u64,
            skipped: index.into_iter().chain(entries).collect(),
            is_changed,
        }
    }

    fn available(&self) -> BTreeSet<DagHash> {
        let is_available = |name: &&EntryName| match self.outcomes.get(name) {
            Some(Outcome::Read) => true,
            Some(Outcome::Gone) => false,
            Some(Outcome::Failed(error)) => {
                matches!(error, Error::Read { .. }) && self.is_indexed(name)
            }
            None => self.is_indexed(name),
        };
        self.names.names.iter().filter(is_available).map(EntryName::hash).collect()
    }

    fn is_indexed(&self, name: &EntryName) -> bool {
        self.index.as_ref().is_some_and(|index| {
            index.database.get(&name.hash()).is_some_and(|record| record.in_buildcache)
        })
    }
}

/// Whether there was something to read.
fn read_one(
    mirror: &DirectoryMirror,
    nodes: &Mutex<KnownNodes>,
    name: &EntryName,
) -> Result<bool, Error> {
    let Some(entry) = mirror.read_spack_entry(name)? else { return Ok(false) };
    let file = mirror.read_spec(&entry)?;
    KnownNodes::add_file(nodes, &file)?;
    Ok(true)
}
