//! What is in a store by the look of its directories, for want of a database or to check one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use hod_spec::{DagHash, Record, Spec, SpecFile};

use super::tree::{Records, Tree};
use super::{DATABASE, Store, Warning};
use crate::{Error, SpecMetadata};

/// Threads that look through directories: they wait for the file system more than they compute.
const THREADS: usize = 8;

/// A package found on disk.
struct Package {
    prefix: PathBuf,
    spec_file: SpecFile,
}

/// A directory that is to be looked at, those that are being looked at, and what was found.
#[derive(Default)]
struct Search {
    directories: Vec<PathBuf>,
    busy: usize,
    packages: Vec<Package>,
    warnings: Vec<Warning>,
}

/// Finds the packages below `location`: directories with a `.spack/spec.json`, but none within
/// another, and none that only a symlink leads to (`specs_from_metadata_dirs` in
/// `directory_layout.py`). Sorted by prefix.
fn packages(location: &Path, warnings: &mut Vec<Warning>) -> Result<Vec<Package>, Error> {
    let read = |source| Error::Read { path: location.to_owned(), source };
    let directories = subdirectories(location).map_err(read)?;
    let search = Mutex::new(Search { directories, ..Search::default() });
    let news = Condvar::new();
    let threads = thread::available_parallelism().map_or(1, NonZero::get).clamp(2, THREADS);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| take_part(&search, &news));
        }
    });
    let mut search = search.into_inner().unwrap_or_else(PoisonError::into_inner);
    search.packages.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    search.warnings.sort_by_key(ToString::to_string);
    warnings.append(&mut search.warnings);
    Ok(search.packages)
}

fn take_part(search: &Mutex<Search>, news: &Condvar) {
    let mut state: MutexGuard<'_, Search> = search.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(directory) = state.directories.pop() {
            state.busy += 1;
            drop(state);
            let look = look(&directory);
            state = search.lock().unwrap_or_else(PoisonError::into_inner);
            state.busy -= 1;
            match look {
                Look::Package(spec_file) => {
                    state.packages.push(Package { prefix: directory, spec_file: *spec_file });
                }
                Look::Unreadable(warning) => state.warnings.push(warning),
                Look::Directories(mut more) => state.directories.append(&mut more),
            }
            news.notify_all();
        } else if state.busy == 0 {
            return;
        } else {
            state = news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What a directory turned out to be.
enum Look {
    Package(Box<SpecFile>),
    Unreadable(Warning),
    Directories(Vec<PathBuf>),
}

fn look(directory: &Path) -> Look {
    match SpecMetadata::read(directory, None) {
        Ok(metadata) => Look::Package(metadata.spec_file.into()),
        Err(Error::Read { source, .. }) if is_absence(&source) => {
            // Spack passes over what it may not read, too.
            Look::Directories(subdirectories(directory).unwrap_or_default())
        }
        Err(error) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            let path = directory.join(".spack/spec.json");
            Look::Unreadable(Warning::UnreadablePackage {
                path,
                reason: reason.unwrap_or_default(),
            })
        }
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn subdirectories(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != DATABASE {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Makes the records that `spack reindex` would make, reference counts included. What upstream
/// stores know and nobody installed here has no record here.
pub(super) fn records(
    location: &Path,
    upstreams: &[Tree],
    warnings: &mut Vec<Warning>,
) -> Result<(PathBuf, Records), Error> {
    let packages = packages(location, warnings)?;
    if packages.is_empty() && !location.join(DATABASE).is_dir() {
        return Err(Error::NotAStore { path: location.to_owned() });
    }
    let count = packages.len();
    warnings.push(Warning::DatabaseMissing { location: location.to_owned(), packages: count });

    let root = super::moved::manifest_root(location, packages.iter().map(|p| &*p.prefix));
    let mut records = BTreeMap::new();
    for package in &packages {
        let spec = package.spec_file.root();
        let relative = package.prefix.strip_prefix(location).unwrap_or(&package.prefix);
        let Some(path) = root.join(relative).to_str().map(Into::into) else {
            let path = package.prefix.join(".spack/spec.json");
            let reason = "its path is not UTF-8".to_owned();
            warnings.push(Warning::UnreadablePackage { path, reason });
            continue;
        };
        match records.entry(spec.hash) {
            Entry::Vacant(entry) => {
                entry.insert(installed(spec, path, &package.prefix));
            }
            Entry::Occupied(entry) => {
                let record: &Record = entry.get();
                let kept = record.path.as_deref().unwrap_or_default().into();
                let (spec, left_out) = (spec.label(), package.prefix.clone());
                warnings.push(Warning::SamePackageTwice { spec, kept, left_out });
            }
        }
    }
    for package in &packages {
        for spec in package.spec_file.nodes() {
            if !upstreams.iter().any(|tree| tree.record(&spec.hash).is_some()) {
                records.entry(spec.hash).or_insert_with(|| known(spec));
            }
        }
        add_deprecated(package, &mut records);
    }
    count_references(&mut records);
    Ok((root, Records::Walk(records)))
}

fn installed(spec: &Spec, path: Box<str>, prefix: &Path) -> Record {
    // When the directory was last changed is the best guess there is, as it is Spack's.
    #[allow(clippy::cast_precision_loss)]
    let time = fs_err::metadata(prefix)
        .map_or(0.0, |metadata| metadata.ctime() as f64 + metadata.ctime_nsec() as f64 / 1e9);
    Record {
        path: Some(path),
        installed: true,
        // Nobody knows; so nobody's package is taken for a mere dependency.
        explicit: true,
        installation_time: time,
        ..known(spec)
    }
}

/// A spec that is only referred to. Externals count as installed.
fn known(spec: &Spec) -> Record {
    Record {
        spec: spec.clone(),
        ref_count: 0,
        path: spec.external.as_ref().and_then(|external| external.path.clone()),
        installed: spec.external.is_some(),
        explicit: false,
        installation_time: 0.0,
        deprecated_for: None,
        origin: None,
        in_buildcache: false,
    }
}

/// Packages that were replaced by this one leave their spec files with it.
fn add_deprecated(package: &Package, records: &mut BTreeMap<DagHash, Record>) {
    let Ok(entries) = fs_err::read_dir(package.prefix.join(".spack/deprecated")) else { return };
    for entry in entries.filter_map(Result::ok) {
        let read = fs_err::read(entry.path()).ok();
        let Some(Ok(file)) = read.map(SpecFile::parse) else { continue };
        for spec in file.nodes() {
            records.entry(spec.hash).or_insert_with(|| known(spec));
        }
        if let Some(record) = records.get_mut(&file.root().hash) {
            record.deprecated_for = Some(package.spec_file.root().hash);
        }
    }
}

/// A record is referred to by each that depends on it directly, whatever for, and by each it
/// replaces (`spack-format` 1.5).
fn count_references(records: &mut BTreeMap<DagHash, Record>) {
    let mut referred = Vec::new();
    for record in records.values() {
        referred.extend(record.spec.dependencies.iter().map(|edge| edge.hash));
        referred.extend(record.deprecated_for);
    }
    for hash in referred {
        if let Some(record) = records.get_mut(&hash) {
            record.ref_count += 1;
        }
    }
}

/// What the database and the directories do not agree on.
pub(super) fn survey(store: &Store) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    let found = packages(store.location(), &mut warnings)?;
    let mut found: BTreeMap<DagHash, Vec<Package>> =
        found.into_iter().fold(BTreeMap::new(), |mut all: BTreeMap<_, Vec<_>>, package| {
            all.entry(package.spec_file.root().hash).or_default().push(package);
            all
        });
    for record in store.records() {
        for edge in record.spec.dependencies.iter().filter(|edge| !store.knows(&edge.hash)) {
            let dependency = format!("{}/{}", edge.name, edge.hash.short());
            let spec = record.spec.label();
            warnings.push(Warning::MissingDependency { spec, dependency });
        }
        let Some(prefix) = store.tree.prefix(record) else { continue };
        if !record.installed || record.spec.external.is_some() {
            continue;
        }
        let here = found.get_mut(&record.spec.hash);
        let index = here
            .as_ref()
            .and_then(|all| all.iter().position(|package| package.prefix == prefix.location));
        match (here, index) {
            (Some(all), Some(index)) => drop(all.swap_remove(index)),
            // What is outside the root was not walked.
            _ if SpecMetadata::read(&prefix.location, Some(&record.spec.hash)).is_ok() => {}
            _ => warnings.push(Warning::RecordWithoutPrefix {
                spec: record.spec.label(),
                path: prefix.location,
            }),
        }
    }
    for package in found.into_values().flatten() {
        let (spec, path) = (package.spec_file.root().label(), package.prefix);
        warnings.push(Warning::PrefixWithoutRecord { spec, path });
    }
    Ok(warnings)
}
