//! The verbs of Hod as a library: push, list, show, check, unpack.
//!
//! Everything below this crate knows one thing: how to pack a tree, what a file is, how a mirror
//! lies on disk. Here they meet. Nothing here prints: what happens is told to a [`Reporter`] as
//! [`Event`]s, and what came of it is returned.
//!
//! ```no_run
//! use hod_archive::{Cancel, Encoding};
//! use hod_cache::{LocalStore, PushOptions, push};
//! use hod_mirror::DirectoryMirror;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mirror = DirectoryMirror::ensure("./cache")?;
//! let store = LocalStore::open(LocalStore::default_path().as_deref())?;
//! let prefixes = [hod_cache::Package::at("/opt/zlib-1.3.1")?];
//! let summary = push(&mirror, &prefixes, &store, &PushOptions::default(), &|_| {})?;
//! for outcome in &summary.outcomes {
//!     println!("{} {:?}", outcome.package.name(), outcome.result);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod find;
mod package;
mod push;
mod report;
mod store;
mod unpack;

pub use error::Error;
pub use find::{Found, Query, find, packages};
pub use package::{Package, PackageError};
pub use push::{Contents, Outcome, Planned, PushOptions, PushSummary, Pushed, plan, push};
pub use report::{Event, Reporter};
pub use store::LocalStore;
pub use unpack::{UnpackRequest, Unpacked, unpack};
