//! The mirror as a build cache of Spack: `v3/` and `blobs/` at its root, and `build_cache/` of
//! the layout before (`spack-format` 4.1, 4.8).

mod blob;
mod entry;
mod index;
mod publish;

use std::path::PathBuf;
use std::time::SystemTime;

use hod_archive::Digest;

pub use entry::{SpackNames, V2Names};
pub(super) use entry::{children, parse_spec, read_file};
pub(crate) use index::is_newer;
pub use index::{IndexMode, IndexOptions, IndexReport, SkippedEntry, SpackIndex};
pub use publish::SpackPublication;

use super::DirectoryMirror;
use crate::spack::EntryName;

/// Room for several hundred thousand specs.
pub(super) const INDEX_LIMIT: u64 = 2 << 30;

impl DirectoryMirror {
    /// Where a blob of the Spack half is, or would be.
    pub fn spack_blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.spack_blob_directory().join(&hex[..2]).join(hex)
    }

    /// Where the manifest of an entry is, or would be.
    pub fn spack_manifest_path(&self, name: &EntryName) -> PathBuf {
        self.spack_manifest_directory().join(name.manifest_path())
    }

    /// When the index was last written; `None` if there is none.
    pub fn spack_index_time(&self) -> Option<SystemTime> {
        let path = self.path().join("v3/manifests/index/index.manifest.json");
        fs_err::metadata(path).ok()?.modified().ok()
    }

    fn spack_blob_directory(&self) -> PathBuf {
        self.path().join("blobs/sha256")
    }

    fn spack_manifest_directory(&self) -> PathBuf {
        self.path().join("v3/manifests/spec")
    }

    pub(super) fn v2_index_path(&self) -> PathBuf {
        self.v2_directory().join("index.json")
    }

    pub(super) fn v2_directory(&self) -> PathBuf {
        self.path().join("build_cache")
    }
}
