//! What the images of a push stand on: a base image for each platform, brought to the mirror while
//! packages are packed, and how containers start.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, OnceLock};

use hod_mirror::Mirror;
use hod_mirror::oci::Platform;

use super::PushOptions;
use crate::image::{BaseImage, Ground, RunOptions, copy_base, mountable, platform_of};
use crate::{Error, LocalStore, Package};

/// Base images and run options of one push.
pub(super) struct Grounds<'a> {
    run: &'a RunOptions,
    /// By architecture and operating system.
    bases: BTreeMap<(String, String), BaseImage>,
    from: Option<&'a Mirror>,
    to: &'a Mirror,
    /// What came of copying.
    copied: OnceLock<Result<(), Arc<Error>>>,
}

impl<'a> Grounds<'a> {
    /// Reads the base images that `packages` need. Nothing is copied yet.
    pub(super) fn open(
        mirror: &'a Mirror,
        packages: &[&Package],
        options: &'a PushOptions,
    ) -> Result<Self, Error> {
        let mut bases = BTreeMap::new();
        let from = options.base_mirror.as_ref();
        if let (Some(from), Some(base)) = (from, &options.images.base) {
            for package in packages {
                let platform = platform(package);
                let key = (platform.architecture.clone(), platform.os.clone());
                if let Entry::Vacant(vacant) = bases.entry(key) {
                    vacant.insert(BaseImage::fetch(from.images(), &base.name(), &platform)?);
                }
            }
        }
        let copied = OnceLock::new();
        Ok(Self { run: &options.images.run, bases, from, to: mirror, copied })
    }

    /// Brings the base images to the mirror; done once, by one thread.
    pub(super) fn copy(&self, store: &LocalStore, options: &PushOptions) {
        let copy = || {
            let Some(from) = self.from else { return Ok(()) };
            let mount_from = mountable(from, self.to);
            let (source, target) = (from.images(), self.to.images());
            let spool = store.spool_directory();
            self.bases.values().try_for_each(|base| {
                copy_base(base, source, target, &mount_from, &spool, &options.cancel)
            })
        };
        let _ = self.copied.set(copy().map_err(Arc::new));
    }

    /// Waits until the base images are in the mirror.
    pub(super) fn wait(&self) -> Result<(), Error> {
        match self.copied.wait() {
            Ok(()) => Ok(()),
            Err(source) if matches!(**source, Error::Cancelled) => Err(Error::Cancelled),
            Err(source) => Err(Error::BaseCopy { source: Arc::clone(source) }),
        }
    }

    /// What an image for this platform stands on.
    pub(super) fn of(&self, platform: &Platform) -> Ground<'_> {
        let key = (platform.architecture.clone(), platform.os.clone());
        Ground { base: self.bases.get(&key), run: self.run }
    }
}

/// What a package runs on.
pub(super) fn platform(package: &Package) -> Platform {
    package.as_installed().map_or_else(Platform::host, |installed| platform_of(installed.spec()))
}
