//! A Spack install tree: layout, metadata, database, locks.
//!
//! So far it holds what a packer records for relocation: [`BuildInfo`], the content of
//! `.spack/binary_distribution`.
//!
//! ```
//! use hod_store::BuildInfo;
//!
//! let text = b"{buildpath: /opt/store, hash_to_prefix: {abc: /opt/store/zlib-abc}, \
//!     relocate_binaries: [lib/libz.so.1], relocate_textfiles: []}";
//! let info = BuildInfo::parse(text)?;
//! assert_eq!(info.relocate_binaries, ["lib/libz.so.1"]);
//! # Ok::<(), hod_store::ParseBuildInfoError>(())
//! ```

mod buildinfo;

pub use buildinfo::{BuildInfo, ParseBuildInfoError};
