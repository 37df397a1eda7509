//! The verbs of Hod as a library: push, install, uninstall, index, list, show, check, unpack.
//!
//! Everything below this crate knows one thing: how to pack a tree, what a file is, how a mirror
//! lies on disk. Here they meet. Nothing here prints: what happens is told to a [`Reporter`] as
//! [`Event`]s, and what came of it is returned.
//!
//! ```no_run
//! use hod_cache::{Event, LocalStore, PushOptions, push};
//! use hod_mirror::{DirectoryMirror, Mirror};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mirror = Mirror::Directory(DirectoryMirror::ensure("./cache")?);
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
//!
//! One installed package alone, without what it depends on:
//!
//! ```
//! use hod_cache::{Event, LocalStore, Only, Package, PushOptions, Wanted, find_installed, push};
//! use hod_mirror::{DirectoryMirror, Mirror};
//! use hod_store::{OpenOptions, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = tempfile::tempdir()?;
//! # let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/spack/store.tar.zst");
//! # let file = std::io::BufReader::new(std::fs::File::open(fixture)?);
//! # tar::Archive::new(hod_archive::decoder(hod_archive::Codec::Zstd, file)?).unpack(&place)?;
//! # let (root, cache) = (place.path().join("store"), place.path().join("cache"));
//! let store = std::sync::Arc::new(Store::open(&root, &OpenOptions::default())?);
//! let zlib = find_installed(&store, &Wanted::new("zlib"))?;
//! let package = Package::installed(&store, zlib).expect("it is installed");
//! // Or `Mirror::Registry(Registry::open(Reference::parse("oci://ghcr.io/me/cache")?, …)?)`.
//! let mirror = Mirror::Directory(DirectoryMirror::ensure(&cache)?);
//! let options = PushOptions { only: Only::Package, ..PushOptions::default() };
//! let quiet = |_: Event<'_>| {};
//! let summary = push(&mirror, &[package], &LocalStore::none(), &options, &quiet)?;
//! assert!(summary.pushed().all(|(_, pushed)| pushed.image.is_some()));
//! # Ok(())
//! # }
//! ```

mod copy;
mod environment;
mod error;
mod facts;
mod find;
mod image;
mod index;
mod install;
mod layer;
mod package;
mod push;
mod relocatable;
mod report;
mod selection;
mod source;
mod store;
mod uninstall;
mod unpack;

pub use copy::{Copied, CopyOptions, CopyOutcome, CopySummary, Counted, copy, plan_copy};
pub use environment::{SearchPaths, SpackCommand, SpackError, search_paths};
pub use error::Error;
pub use find::{
    Found, FoundImage, ImageDocuments, Listing, Place, Wanted, closest, find, find_installed,
    installed, packages,
};
pub use image::{
    BaseImage, BaseReference, BaseReferenceError, EnvSource, ImageError, ImageOptions, Rendered,
    RunOptions, Tagged, copy_base, mountable, publish_tag,
};
pub use index::{IndexMode, IndexReport, News, index};
pub use install::{
    Absent, Dependencies, Graph, InstallError, InstallJob, InstallOptions, InstallOutcome,
    InstallPlan, InstallResult, InstallSource, InstallSummary, Installed as InstalledAs, LockError,
    PlainInstalled, PlainRequest, PlanOptions, RelocationError, Shortage, Step, install,
    install_plain, plan_install, resolve,
};
pub use package::{Installed, Package, PackageError};
pub use push::{
    Contents, Image, Only, Outcome, Planned, PushOptions, PushSummary, Pushed, Recipes, plan, push,
};
pub use relocatable::{Fit, Relocatable, Target, relocatable};
pub use report::{Event, Reporter};
pub use selection::{LeftOut, Reason, SelectOptions, Selected, select};
pub use store::{LocalStore, Pruned, StoreUsage};
pub use uninstall::{
    Dependents, Matching, UninstallError, UninstallOptions, UninstallOutcome, UninstallPlan,
    UninstallResult, UninstallStep, UninstallSummary, Uninstalled, plan_uninstall, removable,
    uninstall,
};
pub use unpack::{UnpackRequest, Unpacked, unpack};
