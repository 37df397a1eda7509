//! A Spack install tree: layout, metadata, database, locks.
//!
//! A [`Store`] is a directory of packages that Spack installed, with a database of what they are.
//! It may lie elsewhere than its records say: a mounted container, an unpacked backup. Then
//! [`root`](Store::root) is what files inside refer to, and [`location`](Store::location) where
//! they are on this machine.
//!
//! Where the store is, and which mirrors there are, says Spack's configuration ([`SpackConfig`],
//! [`find_store`]). Nothing here reads the process's environment: the caller passes an
//! [`Environment`].
//!
//! Also what a packer records for relocation: [`BuildInfo`], the content of
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
mod config;
mod environment;
mod error;
mod find;
mod lock;
mod metadata;
mod mirror;
mod padding;
mod recipe;
mod store;
mod yaml;

pub use buildinfo::{BuildInfo, ParseBuildInfoError};
pub use config::{ConfigWarning, InstallTree, SpackConfig};
pub use environment::Environment;
pub use error::Error;
pub use find::{Found, How, StoreRequest, find_store};
pub use lock::{Lock, LockFile, Mode, Patience, Span, Waiting};
pub use metadata::SpecMetadata;
pub use mirror::{AccessPair, Connection, MirrorConfig, Secret};
pub use padding::{PLACEHOLDER, pad, unpadded};
pub use recipe::Redistribution;
pub use store::{OpenOptions, Prefix, Store, Warning};
pub use yaml::YamlError;
