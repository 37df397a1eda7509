//! Everything in a mirror is read again and compared with what names it.
//!
//! In four steps: the index and all manifests and configs are read (small, many, in parallel);
//! from each tag everything it leads to is collected, so that damage can be told by tag; every
//! blob is hashed, layers down to their tar stream; what nothing named is reported as orphaned.
//! Both halves are checked so, and where a blob is one file in both, it is read once.

mod blob;
mod graph;
mod problem;
mod report;
mod spack;
mod v2;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use hod_archive::{Cancel, Digest};

pub(crate) use problem::with_sources;
pub use problem::{Problem, Role};
pub use report::{CheckProgress, CheckReport, Finding};

use self::blob::{Examined, Facts, Reading, Task};
use self::graph::Expected;
use self::spack::FileId;
use self::v2::{Tarball, V2};
use super::{DirectoryMirror, durable};
use crate::error::Error;
use crate::oci::{Document, Index};
use crate::spack::EntryName;

/// Tags, in the order in which they are shown.
type Tags = BTreeSet<String>;

impl DirectoryMirror {
    /// Derives every digest, size and diff id again, on `jobs` threads, and follows every tag and
    /// every manifest of the Spack half to its layers. A file with two names is read once. Damage is
    /// what the report holds; an error is what kept the check itself from going on.
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
        let spack_present = spack::list_blobs(self, &mut report)?;
        let shared = self.shared(&present, &spack_present);
        let v2 = v2::read(self, jobs, cancel)?;
        let mut sizes: Vec<u64> = present.values().copied().collect();
        sizes.extend(spack_present.iter().filter(|it| !shared.contains(it.0)).map(|it| it.1));
        sizes.extend(v2.tarballs.iter().filter_map(|tarball| tarball.size));
        let run = Run {
            mirror: self,
            jobs,
            cancel,
            on_progress,
            blobs: sizes.len() as u64,
            bytes: sizes.iter().sum(),
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
        let oci = Half { present, expected, are_all_named: report.are_orphans_known };
        let (spack_read, mut spack) = spack::read(&run)?;
        let spack_half = Half {
            present: spack_present,
            expected: std::mem::take(&mut spack.expected),
            are_all_named: spack.is_complete,
        };
        let seen = run.check_oci(&oci, graph.read, &spack_half, &shared, &mut report)?;
        let packed = run.check_spack(&spack_half, spack_read, &oci, seen, &mut report)?;
        spack.compare_trees(&packed);
        report.count_spack(spack, &v2);
        run.check_v2(v2, &mut report)?;
        for stale in durable::stale(&self.temporary_directory()) {
            report.find(stale.path, Problem::StaleTemporary { size: stale.size }, &Tags::new());
        }
        report.blobs = run.done.into_inner();
        report.bytes = run.read.into_inner();
        report.findings.sort();
        Ok(report)
    }

    /// The blobs that are one file in both halves.
    fn shared(
        &self,
        oci: &BTreeMap<Digest, u64>,
        spack: &BTreeMap<Digest, u64>,
    ) -> BTreeSet<Digest> {
        let is_one_file = |digest: &&Digest| {
            let file = FileId::of(&self.blob_path(digest));
            file.is_some() && file == FileId::of(&self.spack_blob_path(digest))
        };
        let in_both = spack.keys().filter(|digest| oci.contains_key(digest));
        in_both.filter(is_one_file).copied().collect()
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

/// What blobs turned out to be.
type Documents = BTreeMap<Digest, Result<Facts, Problem>>;

/// The blobs of one half of the mirror, and what is said of them.
struct Half {
    present: BTreeMap<Digest, u64>,
    expected: BTreeMap<Digest, Expected>,
    /// Whether all that may name blobs was understood.
    are_all_named: bool,
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

    /// Reads the blobs of the OCI half. Returns what those are that are shared.
    fn check_oci(
        &self,
        oci: &Half,
        read: Documents,
        spack: &Half,
        shared: &BTreeSet<Digest>,
        report: &mut CheckReport,
    ) -> Result<Documents, Error> {
        let tasks = oci.unread(&read).map(|digest| {
            let claims = oci.expected.get(&digest).map(|expected| expected.layers.as_slice());
            let codec = claims.and_then(|claims| claims.first()).map(|claim| claim.codec);
            let reading = match codec {
                Some(codec) => Reading::Stream(codec),
                None if shared.contains(&digest) => spack.reading(&digest),
                None => Reading::Plain,
            };
            let path = self.mirror.blob_path(&digest);
            Task { digest, path, size: oci.present.get(&digest).copied(), reading }
        });
        let tasks = tasks.collect();
        let known = read.into_iter().map(|(digest, outcome)| Examined {
            digest,
            path: self.mirror.blob_path(&digest),
            outcome,
        });
        let mut seen = Documents::new();
        for examined in known.chain(blob::examine(self, tasks)?) {
            let digest = examined.digest;
            if shared.contains(&digest) {
                seen.insert(digest, examined.outcome.clone());
            }
            // A layer of the Spack half alone: this name is what that half is mended from.
            let is_spacks = spack.expected.contains_key(&digest)
                || (!spack.are_all_named && spack.present.contains_key(&digest));
            judge(examined, oci, report, !is_spacks);
        }
        Ok(seen)
    }

    /// Reads those blobs of the Spack half that are not `seen`. Returns whose trees its layers are.
    fn check_spack(
        &self,
        spack: &Half,
        mut read: Documents,
        oci: &Half,
        seen: Documents,
        report: &mut CheckReport,
    ) -> Result<BTreeMap<Digest, EntryName>, Error> {
        // Only its name is waste where the file is that of an image.
        let is_oci = |digest: &Digest| {
            seen.contains_key(digest) && (oci.expected.contains_key(digest) || !oci.are_all_named)
        };
        let needless: BTreeSet<Digest> = seen.keys().filter(|it| is_oci(it)).copied().collect();
        for (digest, outcome) in seen {
            let is_enough = spack.reading(&digest) == Reading::Plain
                || outcome.as_ref().map_or(true, |it| it.problem.is_some() || it.is_gzip_decided());
            if is_enough {
                read.entry(digest).or_insert(outcome);
            }
        }
        let tasks = spack.unread(&read).map(|digest| {
            let path = self.mirror.spack_blob_path(&digest);
            let size = spack.present.get(&digest).copied();
            Task { digest, path, size, reading: spack.reading(&digest) }
        });
        let tasks = tasks.collect();
        let known = read.into_iter().map(|(digest, outcome)| Examined {
            digest,
            path: self.mirror.spack_blob_path(&digest),
            outcome,
        });
        let mut packed = BTreeMap::new();
        for mut examined in known.chain(blob::examine(self, tasks)?) {
            packed.extend(examined.take_packed());
            let may_be_orphan = !needless.contains(&examined.digest);
            judge(examined, spack, report, may_be_orphan);
        }
        Ok(packed)
    }

    /// Reads the tarballs of layout 2.
    fn check_v2(&self, v2: V2, report: &mut CheckReport) -> Result<(), Error> {
        for (path, problem, tags) in v2.findings {
            report.find(path, problem, &tags);
        }
        let mut named: BTreeMap<PathBuf, Tags> = BTreeMap::new();
        let mut tasks = Vec::new();
        for Tarball { entry, path, digest, size } in v2.tarballs {
            tasks.push(Task { digest, path: path.clone(), size, reading: Reading::Archive });
            named.entry(path).or_default().insert(entry);
        }
        for Examined { digest: expected, path, outcome } in blob::examine(self, tasks)? {
            let problem = match outcome {
                Err(Problem::Missing { .. }) => Some(Problem::Missing { role: Role::Layer }),
                Err(problem) => Some(problem),
                Ok(facts) if facts.digest != expected => {
                    Some(Problem::WrongDigest { expected, found: facts.digest })
                }
                Ok(facts) => facts.problem,
            };
            if let Some(problem) = problem {
                let tags = named.get(&path).cloned().unwrap_or_default();
                report.find(path, problem, &tags);
            }
        }
        Ok(())
    }
}

impl Half {
    /// What is there or should be, and was not read as a document.
    fn unread<'a>(&'a self, read: &'a Documents) -> impl Iterator<Item = Digest> + 'a {
        let all: BTreeSet<Digest> =
            self.present.keys().chain(self.expected.keys()).copied().collect();
        all.into_iter().filter(|digest| !read.contains_key(digest))
    }

    fn reading(&self, digest: &Digest) -> Reading {
        match self.expected.get(digest) {
            Some(expected) if expected.is_archive => Reading::Archive,
            _ => Reading::Plain,
        }
    }
}

/// Compares what one blob is with all that its half says of it.
fn judge(
    Examined { digest, path, outcome }: Examined,
    half: &Half,
    report: &mut CheckReport,
    may_be_orphan: bool,
) {
    let none = Expected::default();
    let named = half.expected.get(&digest);
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
    if named.is_none() && half.are_all_named && may_be_orphan {
        let size = facts.size;
        let problem =
            if facts.is_index { Problem::OlderIndex { size } } else { Problem::Orphan { size } };
        report.find(path, problem, &Tags::new());
    }
}
