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
//! ```no_run
//! use hod_store::{Environment, Patience, Store, StoreRequest, find_store};
//!
//! let environment = Environment {
//!     variables: std::env::vars_os()
//!         .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
//!         .collect(),
//!     home: std::env::home_dir(),
//!     cwd: std::env::current_dir()?,
//!     user: None,
//! };
//! let found = find_store(&StoreRequest::default(), &environment)?;
//! let store = Store::open(&found.path, &found.options(Patience::default()))?;
//! for record in store.records().filter(|record| record.installed) {
//!     if let Some(prefix) = store.prefix(&record.spec.hash) {
//!         println!("{} in {}", record.spec.label(), prefix.location.display());
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Also here is what a packer records for relocation: [`BuildInfo`], the content of
//! `.spack/binary_distribution`.
//!
//! Who changes a store has a [`StoreWriter`]: it locks packages, and its [`Transaction`] changes the
//! database by Spack's rules. Where a package goes says the [`Layout`]; what is in it, the
//! [`InstallManifest`].
//!
//! What this crate does not do: it writes no prefix, runs no Python, and what only a running Spack
//! knows (the host's architecture, recipes' conditions) it leaves open and says so.
//! Rules cite the reference document "Spack binary build-cache format" by section, or a function
//! of Spack's source.

mod buildinfo;
mod config;
mod environment;
mod error;
mod find;
mod layout;
mod lock;
mod manifest;
mod metadata;
mod mirror;
mod padding;
mod permission;
mod recipe;
mod sbang;
mod store;
mod yaml;

pub use buildinfo::{BuildInfo, ParseBuildInfoError};
pub use config::{ConfigWarning, InstallTree, SpackConfig};
pub use environment::Environment;
pub use error::Error;
pub use find::{Found, How, StoreRequest, find_store};
pub use layout::{Layout, LayoutError};
pub use lock::{Lock, LockFile, Mode, Patience, Span, Waiting};
pub use manifest::{
    Difference, InstallManifest, ManifestEntry, ManifestError, ManifestKind, Mismatch,
    manifest_digest, manifest_hash, manifest_time,
};
pub use metadata::SpecMetadata;
pub use mirror::{
    AccessPair, Connection, EditMirrorsError, MirrorConfig, MirrorDirection, MirrorFile,
    MirrorHolds, MirrorSettings, MirrorUrlError, Secret, written_url,
};
pub use padding::{PLACEHOLDER, pad, unpadded};
pub use permission::Permissions;
pub use recipe::Redistribution;
pub use sbang::{ensure_sbang, wrap_shebang};
pub use store::{
    Installation, OpenOptions, Prefix, Registered, Removed, Store, StoreWriter, Transaction,
    Warning, WriteOptions,
};
pub use yaml::YamlError;
