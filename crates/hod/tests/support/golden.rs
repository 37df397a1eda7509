//! What Spack made: stores and build caches, kept with the project.

use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack").join(name)
}

/// Copies a directory of golden data, which must stay as it is.
pub(crate) fn copy_fixture(name: &str, to: &Path) {
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
    copy(&golden(name), to);
}

/// Unpacks an archive of golden data.
pub(crate) fn unpack_fixture(name: &str, to: &Path) {
    let file = fs_err::File::open(golden(name)).unwrap();
    let stream = hod_archive::decoder(hod_archive::Codec::Zstd, std::io::BufReader::new(file));
    let mut archive = tar::Archive::new(stream.unwrap());
    archive.set_preserve_permissions(true);
    archive.unpack(to).unwrap();
}
