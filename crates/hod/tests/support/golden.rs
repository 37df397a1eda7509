//! What Spack made: stores and build caches, kept with the project.

use std::path::Path;

use hod_testing::golden::golden;

/// Unpacks an archive of golden data.
pub(crate) fn unpack_fixture(name: &str, to: &Path) {
    let file = fs_err::File::open(golden(name)).unwrap();
    let stream = hod_archive::decoder(hod_archive::Codec::Zstd, std::io::BufReader::new(file));
    let mut archive = tar::Archive::new(stream.unwrap());
    archive.set_preserve_permissions(true);
    archive.unpack(to).unwrap();
}
