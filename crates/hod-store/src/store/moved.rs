//! Stores that lie elsewhere than their records say.

use std::path::{Path, PathBuf};

use hod_spec::Record;

use super::tree::Records;
use crate::Error;

/// The root that the records mean by the directory at `location`.
///
/// A record means this store if what follows some root in its path is a prefix below `location`.
/// Records of other places, such as upstream stores of old, have no say.
pub(super) fn recorded_root(location: &Path, records: &Records) -> Result<PathBuf, Error> {
    let mut agreed: Option<PathBuf> = None;
    for record in records.iter() {
        let Some(path) = installed_path(record) else { continue };
        let holds =
            |root: &Path| path.strip_prefix(root).is_ok_and(|rest| is_prefix(location, rest));
        match &agreed {
            // The root is known by its own name: nothing was moved.
            None if path.starts_with(location) && holds(location) => return Ok(location.to_owned()),
            Some(root) if path.starts_with(root) => {}
            None => agreed = roots(location, path).next(),
            Some(root) => {
                if let Some(found) = roots(location, path).next() {
                    return Err(Error::InconsistentRoots {
                        location: location.to_owned(),
                        expected: root.clone(),
                        found,
                        spec: record.spec.label(),
                    });
                }
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
