//! Documents of a Spack build cache, as bytes and values; where they are is the mirror's matter.
//!
//! Layout 3 has one manifest for each package, which names two blobs: the install tree and the
//! spec. Layout 2 has one spec file for each package, which tells the checksum of its tarball.
//! Either may be clear-signed: that is seen here and never verified.

mod clearsign;
mod entry;
mod json;
mod known;
mod manifest;
mod name;
mod spec_file;
mod tree;

pub use clearsign::{ClearsignError, Signature};
pub use entry::{SpackContent, SpackEntry, SpackLayer, SpackLayout};
pub use manifest::{BlobKind, BlobRecord, Manifest, SpecManifest};
pub use name::{EntryName, EntryNameError, V2Name};
pub use spec_file::V2SpecFile;
pub use tree::{packed_name, packed_prefix};

pub(crate) use json::compact;
pub(crate) use known::KnownNodes;

/// A spec with all its dependencies has at most a few hundred KiB.
pub(crate) const SPEC_LIMIT: u64 = 64 << 20;
