//! Everything in a mirror is read again and compared with what names it.
//!
//! In four steps: the index and all manifests and configs are read (small, many, in parallel);
//! from each tag everything it leads to is collected, so that damage can be told by tag; every
//! blob is hashed, layers down to their tar stream; what nothing named is reported as orphaned.

mod blob;
mod graph;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use hod_archive::{Cancel, Digest};

pub use report::{CheckProgress, CheckReport, Finding, Problem, Role};

use self::blob::Examined;
use self::graph::Expected;
use super::{DirectoryMirror, durable};
use crate::error::Error;
use crate::oci::{Document, Index};

/// Tags, in the order in which they are shown.
type Tags = BTreeSet<String>;

impl DirectoryMirror {
    /// Derives every digest, size and diff id again, on `jobs` threads, and follows every tag to
    /// its layers. Damage is what the report holds; an error is what kept the check itself from
    /// going on.
    ///
    /// The mirror may be in use meanwhile: blobs are listed before the index is read, so what is
    /// published in between is not called orphaned.
    pub fn check(
        &self,
        jobs: NonZeroUsize,
        cancel: &Cancel,
        on_progress: &(dyn Fn(CheckProgress) + Sync),
    ) -> Result<CheckReport, Error> {
        let mut report = CheckReport { are_orphans_known: true, ..CheckReport::default() };
        let present = self.list_blobs(&mut report)?;
        let run = Run {
            mirror: self,
            jobs,
            cancel,
            on_progress,
            blobs: present.len() as u64,
            bytes: present.values().sum(),
            done: AtomicU64::new(0),
            read: AtomicU64::new(0),
        };

        let roots = match self.read_index() {
            Ok(index) => run.read_roots(&index, &mut report),
            Err(error) => {
                report.find(self.index_path(), Problem::from_error(&error), &Tags::new());
                report.are_orphans_known = false;
                Vec::new()
            }
        };
        let graph = graph::read(&run, &roots)?;
        let expected = graph.expectations(&roots);
        report.count(&graph, roots.len());
        for examined in blob::examine(&run, &present, &expected, graph)? {
            run.judge(examined, &expected, &mut report);
        }
        for stale in durable::stale(&self.temporary_directory()) {
            report.find(stale.path, Problem::StaleTemporary { size: stale.size }, &Tags::new());
        }
        report.blobs = run.done.into_inner();
        report.bytes = run.read.into_inner();
        report.findings.sort();
        Ok(report)
    }

    /// All blobs with their sizes; files with other names are reported.
    fn list_blobs(&self, report: &mut CheckReport) -> Result<BTreeMap<Digest, u64>, Error> {
        let directory = self.blob_directory();
        let error = |source| Error::Read { path: directory.clone(), source };
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            entries => entries.map_err(error)?,
        };
        let mut blobs = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(error)?;
            let Ok(metadata) = entry.metadata() else { continue };
            match entry.file_name().to_str().map(Digest::from_hex) {
                Some(Ok(digest)) if !metadata.is_dir() => {
                    // Through a symbolic link, if somebody made one.
                    blobs.insert(digest, self.blob_size(&digest)?.unwrap_or_default());
                }
                _ => report.find(
                    entry.path(),
                    Problem::StrayFile { size: metadata.len() },
                    &Tags::new(),
                ),
            }
        }
        Ok(blobs)
    }
}

/// What all steps of one check share.
struct Run<'a> {
    mirror: &'a DirectoryMirror,
    jobs: NonZeroUsize,
    cancel: &'a Cancel,
    on_progress: &'a (dyn Fn(CheckProgress) + Sync),
    blobs: u64,
    bytes: u64,
    done: AtomicU64,
    read: AtomicU64,
}

impl Run<'_> {
    fn advance(&self, blobs: u64, bytes: u64) {
        let blobs_done = self.done.fetch_add(blobs, Ordering::Relaxed) + blobs;
        let bytes_done = self.read.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.on_progress)(CheckProgress {
            blobs_done,
            blobs: self.blobs,
            bytes_done,
            bytes: self.bytes,
        });
    }

    /// The entries of the index that lead somewhere, and what is wrong with their names.
    fn read_roots(&self, index: &Document<Index>, report: &mut CheckReport) -> Vec<graph::Root> {
        let path = self.mirror.index_path();
        let mut roots = Vec::new();
        let mut seen = BTreeSet::new();
        for (position, descriptor) in index.descriptors().enumerate() {
            let descriptor = match descriptor {
                Ok(descriptor) => descriptor,
                Err(_) if index.is_foreign(position) => {
                    report.unchecked += 1;
                    report.are_orphans_known = false;
                    continue;
                }
                Err(error) => {
                    report.are_orphans_known = false;
                    let reason = format!("entry {position}: {error}");
                    let tags = index.ref_name(position).into_iter().collect();
                    report.find(path.clone(), Problem::Unparsable { reason }, &tags);
                    continue;
                }
            };
            let tags: Tags = descriptor.ref_name().map(str::to_owned).into_iter().collect();
            if let Some(tag) = descriptor.ref_name() {
                if !crate::oci::is_tag(tag) && !crate::oci::is_reference(tag) {
                    report.find(path.clone(), Problem::BadTag { found: tag.to_owned() }, &tags);
                }
                // One tag may stand for one manifest per platform.
                let platform = descriptor.platform.as_ref();
                let platform = platform.map(|it| serde_json::to_string(it).unwrap_or_default());
                if !seen.insert((tag.to_owned(), platform)) {
                    let problem = Problem::DuplicateTag { found: tag.to_owned() };
                    report.find(path.clone(), problem, &tags);
                }
            }
            roots.push(graph::Root { descriptor, tags });
        }
        roots
    }

    /// Compares what one blob is with all that is said of it.
    fn judge(
        &self,
        Examined { digest, outcome }: Examined,
        expected: &BTreeMap<Digest, Expected>,
        report: &mut CheckReport,
    ) {
        let path: PathBuf = self.mirror.blob_path(&digest);
        let none = Expected::default();
        let named = expected.get(&digest);
        let wanted = named.unwrap_or(&none);
        let facts = match outcome {
            Ok(facts) => facts,
            Err(Problem::Missing { .. }) if wanted.may_be_absent => {
                report.unchecked += 1;
                return;
            }
            Err(problem) => {
                let problem = match problem {
                    Problem::Missing { .. } => Problem::Missing { role: wanted.role },
                    other => other,
                };
                return report.find(path, problem, &wanted.tags);
            }
        };

        let mut is_size_wrong = false;
        for (&expected, tags) in wanted.sizes.iter().filter(|(size, _)| **size != facts.size) {
            report.find(path.clone(), Problem::WrongSize { expected, found: facts.size }, tags);
            is_size_wrong = true;
        }
        if facts.digest != digest {
            if !is_size_wrong {
                let problem = Problem::WrongDigest { expected: digest, found: facts.digest };
                report.find(path, problem, &wanted.tags);
            }
            return;
        }
        if let Some(problem) = facts.problem {
            return report.find(path, problem, &wanted.tags);
        }
        for (problem, tags) in &wanted.problems {
            report.find(path.clone(), problem.clone(), tags);
        }
        for claim in &wanted.layers {
            if let Some(problem) = claim.compare(&facts) {
                report.find(path.clone(), problem, &claim.tags);
            }
        }
        if named.is_none() && report.are_orphans_known {
            report.find(path, Problem::Orphan { size: facts.size }, &Tags::new());
        }
    }
}
