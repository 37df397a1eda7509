//! What is behind the tags of a repository, looked for and, if that is wanted, read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use hod_archive::{Cancel, Codec, DiffId, Digest, LayerDigests, layer_digests};
use hod_spec::Database;

use super::index::{HOD_INDEX, SPACK_INDEX, hash_of_tag};
use super::{RawManifest, Refusal, Registry, RegistryError};
use crate::error::{Error, ParseError};
use crate::oci::{Descriptor, Document, ImageConfig, Manifest, media_type};
use crate::{CheckProgress, CheckReport, Finding, Problem, Role, parallel};

/// An index of images may hold indexes; no honest one goes deeper.
const NESTING_LIMIT: usize = 4;

/// How closely a repository is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Whether everything is there, in its size: a small request for each blob.
    Existence,
    /// Every blob is downloaded, and its digest and that of the tar stream in it are derived.
    Content,
}

type Tags = BTreeSet<String>;

/// A blob and what is said of it.
struct Expected {
    descriptor: Descriptor,
    role: Role,
    tags: Tags,
    diff_ids: BTreeSet<DiffId>,
}

/// What one tag leads to.
#[derive(Default)]
struct Reached {
    manifests: Vec<(Digest, Manifest)>,
    findings: Vec<(String, Problem)>,
}

impl Registry {
    /// Follows every tag to its blobs. Damage is what the report holds; an error is what kept the
    /// check itself from going on. What no tag leads to cannot be seen in a registry.
    pub fn check(
        &self,
        depth: CheckDepth,
        cancel: &Cancel,
        on_progress: &(dyn Fn(CheckProgress) + Sync),
    ) -> Result<CheckReport, Error> {
        let connections = NonZeroUsize::new(self.connections()).unwrap_or(NonZeroUsize::MIN);
        let tags = self.tags()?;
        let mut report = CheckReport {
            entries: tags.len() as u64,
            are_orphans_known: true,
            ..CheckReport::default()
        };
        let mut blobs: BTreeMap<Digest, Expected> = BTreeMap::new();
        let mut manifests: BTreeMap<Digest, (Manifest, Tags)> = BTreeMap::new();
        let reached = parallel::map(&tags, connections, cancel, |tag| self.reach(tag))?;
        for (tag, reached) in tags.iter().zip(reached) {
            let reached = reached?;
            for (name, problem) in reached.findings {
                report.found(self.path_of(&name), problem, &Tags::from([tag.clone()]));
            }
            for (digest, manifest) in reached.manifests {
                let entry = manifests.entry(digest).or_insert((manifest, Tags::new()));
                entry.1.insert(tag.clone());
            }
        }
        report.manifests = manifests.len() as u64;
        for (manifest, tags) in manifests.values() {
            let layers = manifest.layers.iter().map(|layer| (layer, Role::Layer));
            for (blob, role) in layers.chain([(&manifest.config, Role::Config)]) {
                if media_type::may_be_absent(&blob.media_type) {
                    report.unchecked += 1;
                    continue;
                }
                let expected = blobs.entry(blob.digest).or_insert_with(|| Expected {
                    descriptor: blob.clone(),
                    role,
                    tags: Tags::new(),
                    diff_ids: BTreeSet::new(),
                });
                expected.tags.extend(tags.iter().cloned());
            }
        }
        if depth == CheckDepth::Content {
            self.read_configs(&manifests, &mut blobs, &mut report, cancel)?;
        }
        self.compare_index(&tags, &mut report)?;

        let blobs: Vec<Expected> = blobs.into_values().collect();
        let total = (blobs.len() as u64, blobs.iter().map(|blob| blob.descriptor.size).sum());
        let (done, read) = (AtomicU64::new(0), AtomicU64::new(0));
        let problems = parallel::map(&blobs, connections, cancel, |blob| {
            let problem = match depth {
                CheckDepth::Existence => self.look(blob),
                CheckDepth::Content => self.examine(blob),
            };
            on_progress(CheckProgress {
                blobs_done: done.fetch_add(1, Ordering::Relaxed) + 1,
                blobs: total.0,
                bytes_done: read.fetch_add(blob.descriptor.size, Ordering::Relaxed)
                    + blob.descriptor.size,
                bytes: total.1,
            });
            problem
        })?;
        for (blob, problem) in blobs.iter().zip(problems) {
            if let Some(problem) = problem? {
                let path = self.path_of(&blob.descriptor.digest.to_string());
                report.found(path, problem, &blob.tags);
            }
        }
        (report.blobs, report.bytes) = total;
        report.findings.sort();
        Ok(report)
    }

    fn path_of(&self, name: &str) -> PathBuf {
        let sign = if name.contains(':') { '@' } else { ':' };
        format!("{}{sign}{name}", self.reference().url()).into()
    }

    /// The manifests that a tag leads to.
    fn reach(&self, tag: &str) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        match self.manifest(tag) {
            Ok(Some(manifest)) => self.follow(manifest, 0, &mut reached)?,
            // Removed a moment ago.
            Ok(None) => {}
            Err(error) => reached.findings.push((tag.to_owned(), problem(error, Role::Manifest)?)),
        }
        Ok(reached)
    }

    fn follow(
        &self,
        manifest: RawManifest,
        depth: usize,
        reached: &mut Reached,
    ) -> Result<(), Error> {
        let digest = manifest.digest;
        let name = digest.to_string();
        if !media_type::is_index(&manifest.media_type) || depth >= NESTING_LIMIT {
            match manifest.into_manifest() {
                Ok(manifest) => reached.manifests.push((digest, manifest.into_view())),
                Err(error) => reached.findings.push((name, problem(error, Role::Manifest)?)),
            }
            return Ok(());
        }
        let index = match manifest.into_index() {
            Ok(index) => index,
            Err(error) => {
                reached.findings.push((name, problem(error, Role::Manifest)?));
                return Ok(());
            }
        };
        for child in index.descriptors() {
            let child = match child {
                Ok(child) => child,
                Err(error) => {
                    let error = Error::Document { digest, source: ParseError::Json(error) };
                    reached.findings.push((name.clone(), problem(error, Role::Manifest)?));
                    continue;
                }
            };
            let missing = Problem::Missing { role: Role::Manifest };
            match self.manifest_by_digest(&child.digest) {
                Ok(Some(manifest)) => self.follow(manifest, depth + 1, reached)?,
                Ok(None) => reached.findings.push((child.digest.to_string(), missing)),
                Err(error) => {
                    let problem = problem(error, Role::Manifest)?;
                    reached.findings.push((child.digest.to_string(), problem));
                }
            }
        }
        Ok(())
    }

    /// Takes from the configs what the layers should unpack to.
    fn read_configs(
        &self,
        manifests: &BTreeMap<Digest, (Manifest, Tags)>,
        blobs: &mut BTreeMap<Digest, Expected>,
        report: &mut CheckReport,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let connections = NonZeroUsize::new(self.connections()).unwrap_or(NonZeroUsize::MIN);
        let manifests: Vec<_> = manifests.iter().collect();
        let configs = parallel::map(&manifests, connections, cancel, |(_, (manifest, _))| {
            let config = &manifest.config;
            // That of an artifact, or of an index, says nothing of layers.
            let is_image = media_type::is_config(&config.media_type) && config.size > 2;
            is_image.then(|| self.read_document::<ImageConfig>(config))
        })?;
        for ((digest, (manifest, tags)), config) in manifests.into_iter().zip(configs) {
            let config: Document<ImageConfig> = match config {
                Some(Ok(config)) => config,
                Some(Err(Error::Document { source, .. })) => {
                    let reason = source.to_string();
                    let path = self.path_of(&manifest.config.digest.to_string());
                    report.found(path, Problem::Unparsable { reason }, tags);
                    continue;
                }
                Some(Err(Error::Cancelled)) => return Err(Error::Cancelled),
                // What cannot be read is told where the blob itself is read.
                Some(Err(_)) | None => continue,
            };
            let (expected, found) = (manifest.layers.len(), config.rootfs.diff_ids.len());
            if expected != found {
                let path = self.path_of(&digest.to_string());
                report.found(path, Problem::WrongDiffIdCount { expected, found }, tags);
                continue;
            }
            for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
                if let Some(blob) = blobs.get_mut(&layer.digest) {
                    blob.diff_ids.insert(*diff_id);
                }
            }
        }
        Ok(())
    }

    /// What the index lacks, and what only it has.
    fn compare_index(&self, tags: &[String], report: &mut CheckReport) -> Result<(), Error> {
        let packages: BTreeMap<_, &String> =
            tags.iter().filter_map(|tag| Some((hash_of_tag(tag)?, tag))).collect();
        report.packages = packages.len() as u64;
        let is_index = |tag: &String| tag == SPACK_INDEX || tag == HOD_INDEX;
        report.entries -=
            packages.len() as u64 + tags.iter().filter(|t| is_index(t)).count() as u64;
        let read = |registry: &Registry, descriptor: &Descriptor| {
            registry.read_blob(descriptor, descriptor.size)
        };
        let index = match self.read_index(&read) {
            Ok(index) => index,
            Err(error) => {
                let problem = problem(error, Role::Index)?;
                report.found(self.path_of(SPACK_INDEX), problem, &Tags::new());
                return Ok(());
            }
        };
        let mut listed = BTreeSet::new();
        for record in index.iter().flat_map(Database::records).filter(|record| record.in_buildcache)
        {
            listed.insert(record.spec.hash);
            if !packages.contains_key(&record.spec.hash) {
                report.withdrawn.push(record.spec.label());
            }
        }
        let unlisted = packages.iter().filter(|(hash, _)| !listed.contains(hash));
        report.unindexed = unlisted.map(|(_, tag)| (*tag).clone()).collect();
        report.withdrawn.sort();
        Ok(())
    }

    /// Whether a blob is there in its size.
    fn look(&self, blob: &Expected) -> Result<Option<Problem>, Error> {
        let expected = blob.descriptor.size;
        match self.blob_size(&blob.descriptor.digest) {
            Ok(Some(Some(found))) if found != expected => {
                Ok(Some(Problem::WrongSize { expected, found }))
            }
            Ok(Some(_)) => Ok(None),
            Ok(None) => Ok(Some(Problem::Missing { role: blob.role })),
            Err(error) => problem(error, blob.role).map(Some),
        }
    }

    /// Whether a blob has its digest, and the stream in it that which the configs tell.
    fn examine(&self, blob: &Expected) -> Result<Option<Problem>, Error> {
        let Descriptor { digest, size, .. } = blob.descriptor;
        let mut download = match self.open_blob(digest, size) {
            Ok(download) => download,
            Err(error) => return problem(error, blob.role).map(Some),
        };
        let codec = Codec::from_media_type(&blob.descriptor.media_type);
        let Some(codec) = codec.filter(|_| !blob.diff_ids.is_empty()) else {
            let read = io::copy(&mut download, &mut io::sink());
            return read.err().map(|error| problem(unread(digest, error), blob.role)).transpose();
        };
        let LayerDigests { diff_id, .. } = match layer_digests(codec, &mut download) {
            Ok(digests) => digests,
            // Either the stream in it, or the blob itself: that says the rest of it.
            Err(error) => {
                let reason = error.to_string();
                let Err(error) = io::copy(&mut download, &mut io::sink()) else {
                    return Ok(Some(Problem::Undecodable { reason }));
                };
                return problem(unread(digest, error), blob.role).map(Some);
            }
        };
        let wrong = blob.diff_ids.iter().find(|expected| **expected != diff_id);
        Ok(wrong.map(|&expected| Problem::WrongDiffId { expected, found: diff_id }))
    }
}

/// What a download says, as an error of this crate.
fn unread(digest: Digest, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => match error.downcast::<RegistryError>() {
            Ok(error) => error.into(),
            Err(source) => Error::Read { path: digest.to_string().into(), source },
        },
    }
}

/// What an error says of what was to be read; that nothing more is to be read is no finding.
fn problem(error: Error, role: Role) -> Result<Problem, Error> {
    match error {
        Error::Cancelled => Err(Error::Cancelled),
        Error::Registry(error) => match error.refusal() {
            Some(Refusal::NotFound) => Ok(Problem::Missing { role }),
            // That concerns everything, and would be told for everything.
            Some(Refusal::Unauthorized | Refusal::Denied) => Err(Error::Registry(error)),
            _ => Ok(Problem::Unreadable { reason: crate::directory::with_sources(&*error) }),
        },
        error => Ok(Problem::from_error(&error)),
    }
}

impl CheckReport {
    fn found(&mut self, path: PathBuf, problem: Problem, tags: &Tags) {
        self.findings.push(Finding { path, problem, tags: tags.iter().cloned().collect() });
    }
}
