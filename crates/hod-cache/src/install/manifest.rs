//! Writes the list of files of a package anew: the one in the archive says where they were.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hod_archive::{Entries, Entry, EntryKind, StagedTree};
use hod_store::{InstallManifest, ManifestEntry, ManifestKind, manifest_digest, manifest_time};
use sha1::{Digest as _, Sha1};

use super::known_list;
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
pub(super) type KnownHashes = HashMap<Vec<u8>, (u64, Box<str>)>;

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
    // Almost in order: sorting that at the end takes a tenth of the comparisons of a map, and those of
    // paths are slow.
    let mut listing: Vec<(PathBuf, ManifestEntry)> = Vec::new();
    let mut names: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    // Of each file that has further names, what is listed: the same for them.
    let mut files: HashMap<Vec<u8>, Option<ManifestEntry>> = HashMap::new();
    let mut undescribed = BTreeSet::new();
    let mut failure = None;
    if let Some(entries) = tree.entries() {
        undescribed = self::undescribed(tree, entries);
        entries.for_each(|entry| {
            if let EntryKind::Hardlink(first) = entry.kind
                && let (Some(path), Some(first)) = (tree.relative(entry.path), tree.relative(first))
            {
                names.push((path.to_vec(), first.to_vec()));
                files.entry(first.to_vec()).or_default();
            }
        });
        entries.for_each(|entry| {
            let Some(path) = tree.relative(entry.path) else { return };
            if path == FILE || path == TIMES || failure.is_some() {
                return;
            }
            let with = |mode, kind| ManifestEntry { mode, owner, group, kind };
            let listed = match entry.kind {
                EntryKind::Hardlink(_) => return,
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
            if matches!(listed.kind, ManifestKind::File { .. })
                && let Some(file) = files.get_mut(path)
            {
                *file = Some(listed.clone());
            }
            listing.push((at(prefix, path), listed));
        });
    }
    if let Some(error) = failure {
        return Err(error);
    }
    for (name, first) in names {
        if let Some(Some(listed)) = files.get(&first) {
            listing.push((at(prefix, &name), listed.clone()));
        }
    }
    for path in undescribed {
        let mode = fs_err::symlink_metadata(tree.top().join(OsStr::from_bytes(&path)))?.mode();
        let entry = ManifestEntry { mode, owner, group, kind: ManifestKind::Other };
        listing.push((at(prefix, &path), entry));
    }
    let mode = tree.mode()?;
    let root = ManifestEntry { mode, owner, group, kind: ManifestKind::Other };
    listing.push((prefix.to_owned(), root));
    let manifest = InstallManifest { entries: listing.into_iter().collect() };
    tree.write(FILE, manifest.render().as_bytes(), 0o644, 0)
}

/// Directories that no member of the archive describes, and that were made for what is in them.
fn undescribed(tree: &StagedTree, entries: &Entries) -> BTreeSet<Vec<u8>> {
    let mut described: HashSet<Vec<u8>> = HashSet::new();
    let mut parents: Vec<Vec<u8>> = Vec::new();
    entries.for_each(|entry| {
        let Some(path) = tree.relative(entry.path) else { return };
        if entry.kind == EntryKind::Directory {
            described.insert(path.to_vec());
        }
        let parent = parent(path);
        // Neighbours mostly share it.
        if parents.last().is_none_or(|last| last != parent) {
            parents.push(parent.to_vec());
        }
    });
    let mut missing = BTreeSet::new();
    for found in &parents {
        let mut path = &found[..];
        while !path.is_empty() && !described.contains(path) && missing.insert(path.to_vec()) {
            path = parent(path);
        }
    }
    missing
}

/// The path without its last component.
fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |at| &path[..at])
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
    Ok(known_list::parse(&bytes).unwrap_or_default())
}
