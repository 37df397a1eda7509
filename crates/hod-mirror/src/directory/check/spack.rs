//! The Spack half: its manifests, and what they say of its blobs (`spack-format` 4.2, 4.4).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err::{self as fs, File};
use hod_archive::Digest;
use hod_spec::{DagHash, Database};

use super::blob::Facts;
use super::graph::Expected;
use super::problem::with_sources;
use super::{CheckReport, Documents, Problem, Role, Run, Tags};
use crate::DirectoryMirror;
use crate::directory::SpackNames;
use crate::directory::spack::{INDEX_LIMIT, children, parse_spec, read_file};
use crate::error::Error;
use crate::parallel;
use crate::spack::{BlobKind, EntryName, Manifest, SPEC_LIMIT, Signature, SpecManifest};

/// A file, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self(metadata.dev(), metadata.ino()))
    }
}

/// All manifests of the Spack half, and what they say.
#[derive(Default)]
pub(super) struct Spack {
    pub(super) expected: BTreeMap<Digest, Expected>,
    /// Whether all that may name blobs was understood.
    pub(super) is_complete: bool,
    pub(super) findings: Vec<(PathBuf, Problem, Tags)>,
    pub(super) packages: BTreeSet<EntryName>,
    pub(super) signed: u64,
    /// What the index calls available, as far as there is an index that can be read.
    pub(super) indexed: BTreeMap<DagHash, String>,
    is_index_damaged: bool,
    /// Manifests, whose they are, and the install tree they lead to.
    trees: Vec<(PathBuf, EntryName, Digest)>,
}

/// A file that names blobs.
struct ManifestFile {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Package(EntryName),
    /// A package's, where Spack does not look for it.
    Misplaced,
    /// The index, and not one of its views.
    Index,
    Other,
}

/// What a blob says that only the Spack half understands.
enum Content {
    /// The name of the spec.
    Spec(String),
    Index(BTreeMap<DagHash, String>),
}

/// Lists the blobs of the Spack half with their sizes; files with other names are reported.
pub(super) fn list_blobs(
    mirror: &DirectoryMirror,
    report: &mut CheckReport,
) -> Result<BTreeMap<Digest, u64>, Error> {
    let mut blobs = BTreeMap::new();
    if !mirror.has_spack_half() {
        // `blobs` is the layout's.
        return Ok(blobs);
    }
    let mut open = vec![mirror.path().join("blobs")];
    while let Some(directory) = open.pop() {
        for (path, is_directory) in children(&directory)? {
            if is_directory {
                // Never through a symbolic link: it may lead round in a circle.
                if !path.is_symlink() {
                    open.push(path);
                }
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let digest = path.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok());
            let digest = digest.filter(|digest| mirror.spack_blob_path(digest) == path);
            if let Some(digest) = digest {
                blobs.insert(digest, metadata.len());
            } else {
                let problem = Problem::StrayFile { size: metadata.len() };
                report.find(path, problem, &Tags::new());
            }
        }
    }
    Ok(blobs)
}

/// Reads all manifests, and the specs and indexes they lead to. Returns what those are as blobs,
/// too.
pub(super) fn read(run: &Run<'_>) -> Result<(Documents, Spack), Error> {
    let mut spack = Spack { is_complete: true, ..Spack::default() };
    let files = list_manifests(run.mirror)?;
    let manifests = parallel::map(&files, run.jobs, run.cancel, read_manifest)?;

    let mut documents: BTreeMap<Digest, BlobKind> = BTreeMap::new();
    let mut specs: Vec<(&ManifestFile, &EntryName, Digest, Option<Digest>)> = Vec::new();
    let mut index = None;
    for (file, manifest) in files.iter().zip(manifests) {
        let tags: Tags = file.tag().into_iter().collect();
        // Until it is read.
        spack.is_index_damaged |= matches!(file.kind, Kind::Index);
        if let Kind::Package(name) = &file.kind {
            spack.packages.insert(name.clone());
        }
        let manifest = match manifest {
            // Removed meanwhile.
            Ok(None) => continue,
            Ok(Some(manifest)) => manifest,
            Err(problem) => {
                spack.is_complete = false;
                spack.findings.push((file.path.clone(), problem, tags));
                continue;
            }
        };
        spack.signed += u64::from(manifest.signature() != Signature::None);
        if matches!(file.kind, Kind::Misplaced) {
            spack.findings.push((file.path.clone(), Problem::Misplaced, tags.clone()));
        }
        let tree = manifest.first(BlobKind::Layer).ok().map(|(_, digest)| digest);
        for kind in [BlobKind::Spec, BlobKind::Index] {
            let Ok((_, digest)) = manifest.first(kind) else { continue };
            documents.insert(digest, kind);
            match &file.kind {
                Kind::Package(name) if kind == BlobKind::Spec => {
                    specs.push((file, name, digest, tree));
                }
                Kind::Index if kind == BlobKind::Index => index = Some(digest),
                _ => {}
            }
        }
        spack.expect(file, &manifest, &tags);
    }

    let documents: Vec<(Digest, BlobKind)> = documents.into_iter().collect();
    let contents = parallel::map(&documents, run.jobs, run.cancel, |&(digest, kind)| {
        read_document(run, digest, kind)
    })?;
    let (mut read, mut names) = (Documents::new(), BTreeMap::new());
    for ((digest, _), (facts, content)) in documents.into_iter().zip(contents) {
        read.insert(digest, facts);
        match content {
            Some(Content::Spec(name)) => drop(names.insert(digest, name)),
            Some(Content::Index(packages)) if index == Some(digest) => {
                spack.indexed = packages;
                spack.is_index_damaged = false;
            }
            _ => {}
        }
    }
    for (file, name, digest, tree) in specs {
        let (expected, found) = (name.to_string(), names.get(&digest));
        if let Some(found) = found.filter(|found| **found != expected) {
            let problem = Problem::WrongSpec { expected: expected.clone(), found: found.clone() };
            spack.findings.push((file.path.clone(), problem, [expected].into()));
        } else {
            spack.trees.extend(tree.map(|tree| (file.path.clone(), name.clone(), tree)));
        }
    }
    Ok((read, spack))
}

impl Spack {
    /// Notes what a manifest says of its blobs. All of its records count: Spack's `prune` removes a
    /// manifest if any of them is missing.
    fn expect(&mut self, file: &ManifestFile, manifest: &Manifest, tags: &Tags) {
        for record in manifest.records() {
            let Some(digest) = record.digest() else {
                // Read by nobody, unless by a Spack that knows other checksums.
                self.is_complete = false;
                continue;
            };
            let role = match (record.kind(), &file.kind) {
                (Some(BlobKind::Layer), _) => Role::Layer,
                (Some(BlobKind::Spec), _) => Role::Spec,
                (Some(BlobKind::Index), _) => Role::Index,
                (Some(BlobKind::Key | BlobKind::KeyIndex), _) => Role::Key,
                (None, _) => Role::Other,
            };
            let expected = self.expected.entry(digest).or_default();
            if expected.role == Role::Other {
                expected.role = role;
            }
            expected.is_archive |= role == Role::Layer;
            expected.tags.extend(tags.iter().cloned());
            let sizes = expected.sizes.entry(record.content_length).or_default();
            sizes.extend(tags.iter().cloned());
        }
    }

    /// Compares whose install trees the manifests should lead to with what those say, as far as
    /// they say it. A manifest of another spec altogether is told already.
    pub(super) fn compare_trees(&mut self, packed: &BTreeMap<Digest, EntryName>) {
        for (path, name, tree) in std::mem::take(&mut self.trees) {
            let found = packed.get(&tree).filter(|found| found.hash() != name.hash());
            if let Some(found) = found {
                let (expected, found) = (name.to_string(), found.to_string());
                let tags = [expected.clone()].into();
                self.findings.push((path, Problem::WrongTree { expected, found }, tags));
            }
        }
    }

    /// Packages the index does not have. Where it is damaged, that is told instead.
    pub(super) fn unindexed(&self) -> impl Iterator<Item = String> + '_ {
        let is_unindexed =
            |name: &&EntryName| !self.is_index_damaged && !self.indexed.contains_key(&name.hash());
        self.packages.iter().filter(is_unindexed).map(ToString::to_string)
    }

    /// Packages only the index has.
    pub(super) fn withdrawn(&self) -> impl Iterator<Item = String> + '_ {
        let there: BTreeSet<DagHash> = self.packages.iter().map(EntryName::hash).collect();
        let is_withdrawn = move |(hash, _): &(&DagHash, &String)| !there.contains(*hash);
        self.indexed.iter().filter(is_withdrawn).map(|(_, name)| name.clone())
    }
}

impl ManifestFile {
    fn tag(&self) -> Option<String> {
        match &self.kind {
            Kind::Package(name) => Some(name.to_string()),
            _ => None,
        }
    }
}

/// All files below `v3/manifests` that are called manifests: to Spack's `prune`, each keeps its blobs.
fn list_manifests(mirror: &DirectoryMirror) -> Result<Vec<ManifestFile>, Error> {
    let SpackNames { names, unknown } = mirror.spack_names()?;
    let mut kinds: BTreeMap<PathBuf, Kind> = BTreeMap::new();
    kinds.extend(names.into_iter().map(|it| (mirror.spack_manifest_path(&it), Kind::Package(it))));
    kinds.extend(unknown.into_iter().map(|path| (path, Kind::Misplaced)));
    let mut open = vec![mirror.path().join("v3/manifests")];
    while let Some(directory) = open.pop() {
        for (path, is_directory) in children(&directory)? {
            if is_directory {
                open.extend((!path.is_symlink()).then_some(path));
            } else if path.to_string_lossy().ends_with(".manifest.json") {
                let is_index = path == mirror.spack_index_path();
                kinds.entry(path).or_insert(if is_index { Kind::Index } else { Kind::Other });
            }
        }
    }
    Ok(kinds.into_iter().map(|(path, kind)| ManifestFile { path, kind }).collect())
}

fn read_manifest(file: &ManifestFile) -> Result<Option<Manifest>, Problem> {
    let problem = |error: &Error| Problem::from_error(error);
    let Some(bytes) = read_file(&file.path, Manifest::LIMIT).map_err(|e| problem(&e))? else {
        return Ok(None);
    };
    let manifest = match &file.kind {
        Kind::Package(_) => SpecManifest::parse(bytes).map(SpecManifest::into_manifest),
        Kind::Index => Manifest::parse(bytes).and_then(|manifest| {
            manifest.first(BlobKind::Index)?;
            Ok(manifest)
        }),
        Kind::Misplaced | Kind::Other => Manifest::parse(bytes),
    };
    manifest.map(Some).map_err(|error| Problem::Unparsable { reason: with_sources(&error) })
}

/// Reads a spec or an index whatever size its records name: that is compared later, with all.
fn read_document(
    run: &Run<'_>,
    digest: Digest,
    kind: BlobKind,
) -> (Result<Facts, Problem>, Option<Content>) {
    let path = run.mirror.spack_blob_path(&digest);
    let limit = if kind == BlobKind::Spec { SPEC_LIMIT } else { INDEX_LIMIT };
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return (Err(Problem::Missing { role: Role::Other }), None);
        }
        Err(error) => return (Err(Problem::Unreadable { reason: error.to_string() }), None),
        Ok(_) => {}
    }
    let size = bytes.len() as u64;
    run.advance(1, size);
    if size > limit {
        let error = Error::TooLarge { digest, size, limit };
        return (Err(Problem::from_error(&error)), None);
    }
    let mut facts = Facts::new(Digest::of(&bytes), size);
    if facts.digest != digest {
        return (Ok(facts), None);
    }
    let content = match kind {
        BlobKind::Spec => parse_spec(digest, bytes)
            .map(|file| Content::Spec(EntryName::text_of(file.root())))
            .map_err(|error| Problem::from_error(&error)),
        _ => Database::parse(bytes)
            .map(|database| Content::Index(available(&database)))
            .map_err(|error| Problem::Unparsable { reason: with_sources(&error) }),
    };
    match content {
        Ok(content) => (Ok(facts), Some(content)),
        Err(problem) => {
            facts.problem = Some(problem);
            (Ok(facts), None)
        }
    }
}

pub(super) fn available(database: &Database) -> BTreeMap<DagHash, String> {
    let records = database.records().filter(|record| record.in_buildcache);
    records.map(|record| (record.spec.hash, EntryName::text_of(&record.spec))).collect()
}
