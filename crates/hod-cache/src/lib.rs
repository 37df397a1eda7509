//! The verbs of Hod as a library: push, index, list, show, check, unpack.
//!
//! Everything below this crate knows one thing: how to pack a tree, what a file is, how a mirror
//! lies on disk. Here they meet. Nothing here prints: what happens is told to a [`Reporter`] as
//! [`Event`]s, and what came of it is returned.
//!
//! ```no_run
//! use hod_cache::{Event, LocalStore, PushOptions, push};
//! use hod_mirror::DirectoryMirror;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mirror = DirectoryMirror::ensure("./cache")?;
//! let store = LocalStore::open("./store".as_ref(), LocalStore::DEFAULT_LIMIT)?;
//! let prefixes = [hod_cache::Package::at("/opt/zlib-1.3.1")?];
//! let quiet = |_: Event<'_>| {};
//! let summary = push(&mirror, &prefixes, &store, &PushOptions::default(), &quiet)?;
//! for outcome in &summary.outcomes {
//!     println!("{} {:?}", outcome.package.name(), outcome.result);
//! }
//! # Ok(())
//! # }
//! ```

mod environment;
mod error;
mod find;
#[cfg_attr(not(test), expect(dead_code, reason = "push does not call all of it yet"))]
mod image;
mod index;
mod package;
mod push;
mod report;
mod selection;
mod store;
mod unpack;

pub use environment::{SpackCommand, SpackError};
pub use error::Error;
pub use find::{
    Found, FoundImage, Listing, Place, Wanted, find, find_installed, installed, packages,
};
pub use image::{
    BaseImage, BaseReference, BaseReferenceError, EnvSource, ImageError, ImageOptions, Rendered,
    RunOptions, Tagged, copy_base, mountable, publish_tag,
};
pub use index::{IndexMode, IndexReport, index};
pub use package::{Installed, Package, PackageError};
pub use push::{
    Contents, Image, Outcome, Planned, PushOptions, PushSummary, Pushed, Recipes, plan, push,
};
pub use report::{Event, Reporter};
pub use selection::{LeftOut, Reason, SelectOptions, Selected, select};
pub use store::LocalStore;
pub use unpack::{UnpackRequest, Unpacked, unpack};
