//! What a packed tree says of itself.

use hod_archive::{Encoding, Packed, TreeFacts};
use hod_mirror::oci::{PackageFacts, encode_path};

use crate::Package;

/// A tree in numbers, as they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// Regular files, the build information included.
    pub files: u64,
    /// Directories, the prefix included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub hardlinks: u64,
    /// Devices, fifos and sockets, which were left out.
    pub skipped: u64,
    /// Bytes in regular files.
    pub file_bytes: u64,
}

impl From<&PackageFacts> for Contents {
    fn from(facts: &PackageFacts) -> Self {
        Self {
            files: facts.files,
            directories: facts.directories,
            symlinks: facts.symlinks,
            hardlinks: facts.hardlinks,
            skipped: facts.skipped,
            file_bytes: facts.file_bytes,
        }
    }
}

impl From<&TreeFacts> for Contents {
    fn from(facts: &TreeFacts) -> Self {
        Self {
            files: facts.files,
            directories: facts.directories,
            symlinks: facts.symlinks,
            hardlinks: facts.hardlinks,
            skipped: facts.skipped.len() as u64,
            file_bytes: facts.file_bytes,
        }
    }
}

/// What the image config says of the package, less its name.
pub(super) fn facts(
    package: &Package,
    hash: String,
    packed: &Packed,
    encoding: Encoding,
    mtime: u64,
) -> PackageFacts {
    let tree = &packed.facts;
    let path = |path: &[u8]| {
        use std::os::unix::ffi::OsStrExt as _;
        encode_path(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))
    };
    PackageFacts {
        name: package.name().to_owned(),
        version: package.version().to_owned(),
        hash,
        prefix: encode_path(package.prefix()),
        codec: encoding.codec().to_string(),
        level: i32::from(encoding.level()),
        members: encoding.members().to_string(),
        mtime: i64::try_from(mtime).unwrap_or(i64::MAX),
        files: tree.files,
        directories: tree.directories,
        symlinks: tree.symlinks,
        hardlinks: tree.hardlinks,
        skipped: tree.skipped.len() as u64,
        file_bytes: tree.file_bytes,
        uncompressed_size: packed.uncompressed_size,
        largest: tree.largest.iter().map(|(name, size)| (path(name), *size)).collect(),
        ..PackageFacts::default()
    }
}
