//! Writes the list of files of a package anew: the one in the archive says where they were.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hod_archive::{Entry, EntryKind, StagedTree};
use hod_store::{InstallManifest, ManifestEntry, ManifestKind, manifest_digest, manifest_time};
use sha1::{Digest as _, Sha1};

use super::relocation::{Changed, Relocation};

/// Where the list is in a prefix.
pub(super) const FILE: &[u8] = b".spack/install_manifest.json";
/// Written after the list, so that Spack neither lists nor checks it.
const TIMES: &[u8] = b".spack/install_times.json";
/// A list of a million files.
const LIMIT: u64 = 512 << 20;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Size and hash of files, by path below the prefix.
type KnownHashes = HashMap<Vec<u8>, (u64, Box<str>)>;

/// Lists all of the tree as it will be at `prefix`.
///
/// Hashes of files that were not changed are taken from the list in the archive, which is as well
/// verified as they are; hashing all of them again would cost as much as inflating them. Where it
/// has another size, or nothing, the file is read; and where it is to be relocated: a package that
/// Spack had relocated before it was packed has the list of its builder.
pub(super) fn write(tree: &StagedTree, prefix: &Path, relocation: &Relocation) -> io::Result<()> {
    let (changed, links) = (relocation.changed(), relocation.links());
    let known = known_hashes(tree)?;
    let (owner, group) = tree.owner();
    let mut manifest = InstallManifest::default();
    let mut files: HashMap<Vec<u8>, ManifestEntry> = HashMap::new();
    let mut names: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut failure = None;
    if let Some(entries) = tree.entries() {
        entries.for_each(|entry| {
            let Some(path) = tree.relative(entry.path) else { return };
            if path == FILE || path == TIMES || failure.is_some() {
                return;
            }
            let with = |mode, kind| ManifestEntry { mode, owner, group, kind };
            let listed = match entry.kind {
                EntryKind::Hardlink(first) => {
                    if let Some(first) = tree.relative(first) {
                        names.push((path.to_vec(), first.to_vec()));
                    }
                    return;
                }
                EntryKind::Directory => with(DIRECTORY | entry.mode, ManifestKind::Other),
                EntryKind::Symlink(target) => {
                    let target = links.get(path).map_or(target, |target| &target[..]);
                    let target = PathBuf::from(OsStr::from_bytes(target));
                    with(SYMLINK | 0o777, ManifestKind::Symlink { target })
                }
                EntryKind::File { size } => {
                    match file(
                        tree,
                        path,
                        entry,
                        size,
                        (changed.get(path), relocation.lists(path)),
                        &known,
                    ) {
                        Ok(kind) => with(REGULAR | entry.mode, kind),
                        Err(error) => {
                            failure = Some(error);
                            return;
                        }
                    }
                }
            };
            if matches!(listed.kind, ManifestKind::File { .. }) {
                files.insert(path.to_vec(), listed.clone());
            }
            manifest.entries.insert(at(prefix, path), listed);
        });
    }
    if let Some(error) = failure {
        return Err(error);
    }
    for (name, first) in names {
        if let Some(listed) = files.get(&first) {
            manifest.entries.insert(at(prefix, &name), listed.clone());
        }
    }
    undescribed(tree, prefix, &mut manifest)?;
    let mode = tree.mode()?;
    let root = ManifestEntry { mode, owner, group, kind: ManifestKind::Other };
    manifest.entries.insert(prefix.to_owned(), root);
    tree.write(FILE, manifest.render().as_bytes(), 0o644, 0)
}

/// Lists directories that no member of the archive describes, and that were made for what is in
/// them.
fn undescribed(tree: &StagedTree, prefix: &Path, manifest: &mut InstallManifest) -> io::Result<()> {
    let mut missing = BTreeSet::new();
    for path in manifest.entries.keys() {
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(prefix));
        let above = above.filter(|above| *above != prefix);
        missing.extend(
            above.take_while(|above| !manifest.entries.contains_key(*above)).map(Path::to_owned),
        );
    }
    let (owner, group) = tree.owner();
    for path in missing {
        let below = path.strip_prefix(prefix).unwrap_or(&path);
        let mode = fs_err::symlink_metadata(tree.top().join(below))?.mode();
        let entry = ManifestEntry { mode, owner, group, kind: ManifestKind::Other };
        manifest.entries.insert(path, entry);
    }
    Ok(())
}

fn at(prefix: &Path, path: &[u8]) -> PathBuf {
    prefix.join(OsStr::from_bytes(path))
}

/// What a file in the tree holds.
fn file(
    tree: &StagedTree,
    path: &[u8],
    entry: Entry<'_>,
    size: u64,
    (changed, is_listed): (Option<&Changed>, bool),
    known: &KnownHashes,
) -> io::Result<ManifestKind> {
    let time = manifest_time(entry.mtime, 0);
    if let Some(Changed { size, hash }) = changed {
        return Ok(ManifestKind::File { hash: hash.as_str().into(), time, size: *size });
    }
    let hash = match known.get(path) {
        Some((known_size, hash)) if *known_size == size && !is_listed => hash.clone(),
        _ => hash_of(tree.open(path)?)?.into(),
    };
    Ok(ManifestKind::File { hash, time, size })
}

/// The hash of what can be read from here.
pub(super) fn hash_of(mut file: impl Read) -> io::Result<String> {
    let mut sha1 = Sha1::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(manifest_digest(&sha1.finalize().into())),
            Ok(read) => sha1.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sizes and hashes in the list of the archive, by path below the prefix that it is about.
fn known_hashes(tree: &StagedTree) -> io::Result<KnownHashes> {
    let Some(bytes) = tree.read(FILE, LIMIT)? else { return Ok(HashMap::new()) };
    // A list that nobody can read helps nobody, and harms nobody.
    let Ok(manifest) = InstallManifest::parse(&bytes) else { return Ok(HashMap::new()) };
    // The prefix itself is listed, and everything else is below it.
    let Some(prefix) = manifest.entries.keys().next().cloned() else { return Ok(HashMap::new()) };
    let known = manifest.entries.into_iter().filter_map(|(path, entry)| {
        let ManifestKind::File { hash, size, .. } = entry.kind else { return None };
        let path = path.strip_prefix(&prefix).ok()?.as_os_str().as_bytes().to_vec();
        Some((path, (size, hash)))
    });
    Ok(known.collect())
}
