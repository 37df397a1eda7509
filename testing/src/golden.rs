//! Data that Spack made, kept with the project: stores, build caches, images.

use std::path::{Path, PathBuf};

/// Golden data of this name, which must stay as it is.
#[must_use]
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/spack").join(name)
}

/// Copies a directory of golden data to one that may be changed, which is created if need be.
///
/// # Panics
///
/// If something could not be copied.
pub fn copy_golden(name: &str, to: &Path) {
    copy(&golden(name), to);
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}
