//! One package of a build cache, whatever its layout.

use std::path::PathBuf;

use hod_archive::Digest;

use super::{EntryName, Signature, SpecManifest, V2SpecFile};

/// Version of a build cache's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SpackLayout {
    /// Spack 0.18 to 0.24; only read.
    V2,
    /// Spack 1.0 and later.
    V3,
}

/// One package of a build cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpackEntry {
    /// What it is called.
    pub name: EntryName,
    /// The layout it is in.
    pub layout: SpackLayout,
    /// Whether it is signed.
    pub signature: Signature,
    /// Its install tree.
    pub layer: SpackLayer,
    /// The file it was read from: a manifest, or a spec file.
    pub path: PathBuf,
    /// What that file says.
    pub content: SpackContent,
}

/// The install tree of an entry: a compressed tar stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpackLayer {
    /// Its digest.
    pub digest: Digest,
    /// Its size, as the manifest tells it; layout 2 does not tell, so there it is that of the file.
    /// `None` if there is no such file.
    pub size: Option<u64>,
    /// Where it is.
    pub path: PathBuf,
}

/// The document of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpackContent {
    /// Layout 3: a manifest. The spec is a blob of its own.
    Manifest(SpecManifest),
    /// Layout 2: the spec and the checksum of the tarball in one file.
    SpecFile(V2SpecFile),
}
