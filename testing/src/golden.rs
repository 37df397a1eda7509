//! Data that Spack made, kept with the project: stores, build caches, images.

use std::path::{Path, PathBuf};

/// Golden data of this name, which must stay as it is.
#[must_use]
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/spack").join(name)
}

/// Data of this name in the larger set that is not kept with the project: in `HOD_GOLDEN`, or where
/// developers have it. Says so where there is none, which is no fault of the machine.
#[must_use]
pub fn larger_golden(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let path = std::env::var_os("HOD_GOLDEN").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    crate::machine::skip(&format!("no golden data at `{}` (set HOD_GOLDEN)", path.display()));
    None
}

/// Copies a directory of golden data to one that may be changed, which is created if need be.
///
/// # Panics
///
/// If something could not be copied.
pub fn copy_golden(name: &str, to: &Path) {
    copy_tree(&golden(name), to);
}

/// Copies a directory of files and directories.
///
/// # Panics
///
/// If something could not be copied.
pub fn copy_tree(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}
