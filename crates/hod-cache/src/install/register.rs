//! Puts whole packages in their places and records them, dependencies first.
//!
//! The prefix gets its name a moment before the record is written. Who is killed between the two
//! leaves a prefix without a record, which the next installation replaces; never a record without
//! a prefix.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hod_spec::DagHash;
use hod_store::{Installation, Lock, Patience, StoreWriter, Transaction};

use super::ahead::Ahead;
use super::stage::Staged;
use super::{InstallError, Step, leftover, manifest};

/// A package that may be registered as soon as what it depends on is.
pub(super) struct Ready {
    pub(super) index: usize,
    pub(super) staged: Staged,
    pub(super) location: PathBuf,
    /// Held until it is recorded.
    pub(super) lock: Option<Lock>,
}

/// Registers packages, in the order in which they come; those that fail are told, the others are
/// recorded together.
pub(super) fn register(
    batch: Vec<Ready>,
    steps: &[Step],
    writer: &StoreWriter,
    patience: &Patience<'_>,
) -> Vec<(usize, Result<(), InstallError>)> {
    let mut results = Vec::new();
    let mut transaction = match writer.transaction(patience) {
        Ok(transaction) => transaction,
        Err(error) => return all(&batch, &Arc::new(error)),
    };
    let mut placed: Vec<Placed> = Vec::new();
    let mut locks = Vec::new();
    let mut failed: HashSet<DagHash> = HashSet::new();
    for Ready { index, staged, location, lock } in batch {
        let step = &steps[index];
        if let Some(edge) = step.needs().find(|edge| failed.contains(&edge.hash)) {
            let dependency = format!("{}/{}", edge.name, edge.hash.short());
            failed.insert(step.spec.hash);
            results.push((index, Err(InstallError::HeldBack { dependency })));
            continue;
        }
        match place(staged, step, &location, writer, &mut transaction) {
            Ok(old) => {
                placed.push(Placed { index, location, old });
                locks.push(lock);
            }
            Err(error) => {
                failed.insert(step.spec.hash);
                results.push((index, Err(error)));
            }
        }
    }
    let committed = transaction.commit().map_err(Arc::new);
    for Placed { index, location, old } in placed {
        match &committed {
            Ok(()) => {
                if let Some(old) = old {
                    // It has no name any more; what is left of it is in nobody's way.
                    let _ = fs_err::remove_dir_all(old);
                }
                results.push((index, Ok(())));
            }
            Err(error) => {
                undo(&location, old.as_deref());
                results.push((index, Err(InstallError::Record { source: error.clone() })));
            }
        }
    }
    drop(locks);
    results
}

struct Placed {
    index: usize,
    location: PathBuf,
    /// Where the prefix is now that was there before.
    old: Option<PathBuf>,
}

fn all(batch: &[Ready], error: &Arc<hod_store::Error>) -> Vec<(usize, Result<(), InstallError>)> {
    let record = || InstallError::Record { source: error.clone() };
    batch.iter().map(|ready| (ready.index, Err(record()))).collect()
}

/// Gives the tree its name and its record, and says where the one before it is now.
fn place(
    staged: Staged,
    step: &Step,
    location: &Path,
    writer: &StoreWriter,
    transaction: &mut Transaction,
) -> Result<Option<PathBuf>, InstallError> {
    let Staged { tree, specs, relocation } = staged;
    drop_rpaths(step, &tree, &relocation, writer)?;
    let old = taken(step, location)?;
    let placed = match &old {
        Some(old) => tree.replace(old),
        None => tree.publish(),
    };
    placed.map_err(|source| InstallError::Unpack {
        spec: step.spec.label(),
        source: source.into(),
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let installation = Installation {
        path: Some(step.prefix.clone()),
        explicit: Some(step.is_explicit),
        time: now.as_secs_f64(),
    };
    let added = transaction.add(&specs, &step.spec.hash, &installation);
    if let Err(error) = added {
        undo(location, old.as_deref());
        return Err(error.into());
    }
    Ok(old)
}

/// Takes a package away again, and puts back what was there before.
fn undo(location: &Path, old: Option<&Path>) {
    match old {
        // With another name for what goes, the place is empty at no moment.
        Some(old) => {
            let _ = hod_archive::exchange(old, location, &leftover::staging(location));
            let _ = fs_err::remove_dir_all(old);
        }
        None => {
            let _ = fs_err::remove_dir_all(location);
        }
    }
}

/// Where that goes which is in the place of a package: the same package, if it is to be replaced,
/// or what an installation left behind that did not come to its record. Anything else stays.
fn taken(step: &Step, location: &Path) -> Result<Option<PathBuf>, InstallError> {
    match fs_err::symlink_metadata(location) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = location.to_owned();
            return Err(InstallError::Place { action: "look at", path, source });
        }
        Ok(there) if there.is_dir() && is_ours(step, location) => {}
        Ok(_) => {
            let (spec, path) = (step.spec.label(), location.to_owned());
            return Err(InstallError::Occupied { spec, path });
        }
    }
    let old = leftover::replaced(location);
    let failed = |source| InstallError::Place { action: "remove", path: old.clone(), source };
    match fs_err::remove_dir_all(&old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(Some(old)),
    }
}

/// Whether a directory is a package of this hash, whole or not, or has nothing in it.
fn is_ours(step: &Step, location: &Path) -> bool {
    let is_empty = || fs_err::read_dir(location).is_ok_and(|mut entries| entries.next().is_none());
    let is_of = |hash: &DagHash| hod_store::SpecMetadata::read(location, Some(hash)).is_ok();
    let has_metadata = location.join(".spack").is_dir();
    is_empty()
        || is_of(&step.spec.hash)
        // An installation that was stopped before it had written what it is.
        || has_metadata && !location.join(".spack/spec.json").exists()
}

/// Drops directories that do not exist from search paths, as Spack does after an installation. All
/// that the package depends on is in its place by now.
fn drop_rpaths(
    step: &Step,
    tree: &hod_archive::StagedTree,
    relocation: &super::relocation::Relocation,
    writer: &StoreWriter,
) -> Result<(), InstallError> {
    let ahead = Ahead::new(vec![
        (step.prefix.clone(), tree.top()),
        (writer.root().to_owned(), writer.location().to_owned()),
    ]);
    let exists = |entry: &[u8]| {
        let path = Path::new(OsStr::from_bytes(entry));
        // Of a dependency that was left out for now, nothing is known.
        let is_missing = |prefix: &&PathBuf| path.starts_with(prefix) && !ahead.exists(prefix);
        entry.starts_with(b"$")
            || path.is_absolute()
                && (ahead.exists(path) || relocation.prefixes().iter().any(|p| is_missing(&p)))
    };
    let mut files: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut missing: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (entry, found_in) in relocation.rpaths() {
        if !exists(&entry) {
            files.extend(found_in);
            missing.insert(entry);
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let failed = |file: &[u8], source| InstallError::Finish {
        spec: step.spec.label(),
        file: String::from_utf8_lossy(file).into_owned(),
        source,
    };
    relocation
        .retain_rpaths(tree, &files, &|entry| !missing.contains(entry))
        .map_err(|(file, source)| failed(&file, source))?;
    manifest::write(tree, &step.prefix, relocation).map_err(|source| failed(manifest::FILE, source))
}
