//! What installations leave behind that are killed: directories beside the packages, with names that
//! say whose they are.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hod_spec::DagHash;
use hod_store::{Mode, StoreWriter};

/// The private directory of a package; whoever uses it holds the package's lock.
pub(super) fn staging(location: &Path) -> PathBuf {
    beside(location, ".hod")
}

/// Where a prefix goes that is replaced, until it is known that it is.
pub(super) fn replaced(location: &Path) -> PathBuf {
    beside(location, ".hod-old")
}

fn beside(location: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(location.file_name().unwrap_or_default());
    name.push(ending);
    location.with_file_name(name)
}

/// Removes what was left behind of these packages, unless somebody is at work on them. Each
/// directory that packages lie in is listed once; what cannot be removed stays.
pub(super) fn sweep<'a>(
    packages: impl Iterator<Item = (&'a DagHash, PathBuf)>,
    writer: &StoreWriter,
) {
    let mut known: BTreeMap<PathBuf, HashMap<OsString, &DagHash>> = BTreeMap::new();
    for (hash, location) in packages {
        let Some(parent) = location.parent() else { continue };
        let names = known.entry(parent.to_owned()).or_default();
        for left in [staging(&location), replaced(&location)] {
            names.extend(left.file_name().map(|name| (name.to_owned(), hash)));
        }
    }
    for (parent, names) in known {
        for entry in fs_err::read_dir(&parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(hash) = names.get::<OsStr>(&name)
                && let Ok(_lock) = writer.try_lock_prefix(hash, Mode::Exclusive)
            {
                // Nobody waits for it, and the next installation tries again.
                let _ = fs_err::remove_dir_all(parent.join(name));
            }
        }
    }
}
