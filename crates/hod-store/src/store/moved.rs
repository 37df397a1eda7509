//! Stores that lie elsewhere than their records say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hod_spec::Record;
use serde::de::IgnoredAny;

use super::tree::Records;
use crate::Error;

/// How many packages are asked where the store was.
const SAMPLE: usize = 4;

/// The root that the records mean by the directory at `location`.
///
/// A record means this store if what follows some root in its path is a prefix below `location`.
/// Records of other places have no say, and none has once one calls the store by the name it has.
pub(super) fn recorded_root(location: &Path, records: &Records) -> Result<PathBuf, Error> {
    let installed = || records.iter().filter_map(|record| Some((record, installed_path(record)?)));
    let is_in_place = |path: &Path| {
        path.strip_prefix(location).is_ok_and(|relative| is_prefix(location, relative))
    };
    if installed().any(|(_, path)| is_in_place(path)) {
        return Ok(location.to_owned());
    }
    let mut agreed: Option<PathBuf> = None;
    for (record, path) in installed() {
        if agreed.as_ref().is_some_and(|root| path.starts_with(root)) {
            continue;
        }
        match (&agreed, roots(location, path).next()) {
            (_, None) => {}
            (None, found) => agreed = found,
            (Some(expected), Some(found)) => {
                return Err(Error::InconsistentRoots {
                    location: location.to_owned(),
                    expected: expected.clone(),
                    found,
                    spec: record.spec.label(),
                });
            }
        }
    }
    Ok(agreed.unwrap_or_else(|| location.to_owned()))
}

fn installed_path(record: &Record) -> Option<&Path> {
    let path = Path::new(record.path.as_deref()?);
    (record.installed && record.spec.external.is_none() && path.is_absolute()).then_some(path)
}

fn is_prefix(location: &Path, relative: &Path) -> bool {
    location.join(relative).join(".spack").is_dir()
}

/// The roots that `path` may have meant, the shortest first.
fn roots<'a>(location: &'a Path, path: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .filter(move |root| {
            path.strip_prefix(root).is_ok_and(|relative| is_prefix(location, relative))
        })
        .map(Path::to_owned)
}

/// The root of a store without database: what packages that were built in it recorded of their
/// files (`spack-format` 1.4). Packages from a build cache carry the list of their builder.
pub(super) fn manifest_root<'a>(
    location: &Path,
    prefixes: impl Iterator<Item = &'a Path>,
) -> PathBuf {
    let built_here = prefixes.filter(|prefix| !prefix.join(".spack/binary_distribution").exists());
    let mut roots = built_here.filter_map(|prefix| Some((prefix, listed_paths(prefix)?)));
    let root =
        roots.by_ref().take(SAMPLE).try_fold(None, |agreed: Option<PathBuf>, (prefix, paths)| {
            let relative = prefix.strip_prefix(location).ok()?;
            // The prefix itself is listed.
            let own = paths.iter().find(|path| path.ends_with(relative))?;
            let depth = relative.components().count();
            let root = own.ancestors().nth(depth)?.to_owned();
            (agreed.as_ref().is_none_or(|agreed| *agreed == root)).then_some(Some(root))
        });
    root.flatten().unwrap_or_else(|| location.to_owned())
}

fn listed_paths(prefix: &Path) -> Option<Vec<PathBuf>> {
    let bytes = fs_err::read(prefix.join(".spack/install_manifest.json")).ok()?;
    #[allow(clippy::zero_sized_map_values)]
    let entries: BTreeMap<PathBuf, IgnoredAny> = serde_json::from_slice(&bytes).ok()?;
    Some(entries.into_keys().filter(|path| path.is_absolute()).collect())
}
