//! A mirror, read through the local store: what was downloaded once is here the next time.

use std::io::{self, Read, Write as _};

use fs_err::File;
use hod_archive::Cancel;
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest};
use hod_mirror::registry::RawManifest;
use hod_mirror::{ImageMirror, Mirror};

use crate::store::Keeper;
use crate::{Error, LocalStore};

/// The largest manifest anybody writes (`docs/formats/directory-mirror.md`).
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The largest config anybody writes: that of Spack holds the whole spec.
pub(crate) const CONFIG_LIMIT: u64 = 64 << 20;

/// A mirror, and where what was read from it is kept. Files of this machine are not kept again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) mirror: &'a Mirror,
    pub(crate) store: &'a LocalStore,
}

impl<'a> Source<'a> {
    pub(crate) fn new(mirror: &'a Mirror, store: &'a LocalStore) -> Self {
        Self { mirror, store }
    }

    pub(crate) fn error(&self, source: hod_mirror::Error) -> Error {
        Error::mirror(self.mirror, source)
    }

    pub(crate) fn images(&self) -> &'a dyn ImageMirror {
        self.mirror.images()
    }

    fn is_far(&self) -> bool {
        self.mirror.as_registry().is_some()
    }

    /// How many things are worth being read at the same time.
    pub(crate) fn threads(&self) -> usize {
        self.mirror.as_registry().map_or(16, hod_mirror::registry::Registry::connections)
    }

    /// A small blob, verified; no more than `limit` bytes.
    pub(crate) fn read_blob(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, hod_mirror::Error> {
        let Some(registry) = self.mirror.as_registry() else {
            return self.images().read_blob(descriptor, limit);
        };
        let Descriptor { digest, size, .. } = *descriptor;
        if size > limit {
            return Err(hod_mirror::Error::TooLarge { digest, size, limit });
        }
        if let Some(bytes) = self.store.read(&digest, size) {
            return Ok(bytes);
        }
        let bytes = registry.read_blob(descriptor, limit)?;
        self.store.keep_bytes(&digest, &bytes);
        Ok(bytes)
    }

    /// What stands behind a tag; no request if `known` says what that is and it was read before.
    pub(crate) fn manifest(
        &self,
        tag: &str,
        known: Option<&Descriptor>,
    ) -> Result<Option<RawManifest>, hod_mirror::Error> {
        if let Some(descriptor) = known {
            return self.manifest_by_digest(descriptor);
        }
        let raw = self.images().manifest(tag)?;
        if let Some(raw) = raw.as_ref().filter(|_| self.is_far()) {
            self.store.keep_bytes(&raw.digest, &raw.bytes);
        }
        Ok(raw)
    }

    /// A manifest by its digest, verified.
    pub(crate) fn manifest_by_digest(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<RawManifest>, hod_mirror::Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if self.is_far()
            && size <= MANIFEST_LIMIT
            && let Some(bytes) = self.store.read(&digest, size)
        {
            let media_type = descriptor.media_type.clone();
            return Ok(Some(RawManifest { media_type, digest, bytes }));
        }
        let raw = self.images().manifest_by_digest(descriptor)?;
        if let Some(raw) = raw.as_ref().filter(|_| self.is_far()) {
            self.store.keep_bytes(&raw.digest, &raw.bytes);
        }
        Ok(raw)
    }

    /// The config that a manifest names, verified.
    pub(crate) fn config(
        &self,
        manifest: &Manifest,
    ) -> Result<Document<ImageConfig>, hod_mirror::Error> {
        let descriptor = &manifest.config;
        if !hod_mirror::oci::media_type::is_config(&descriptor.media_type) {
            // Says so.
            return self.images().read_config(manifest);
        }
        let bytes = self.read_blob(descriptor, CONFIG_LIMIT)?;
        let digest = descriptor.digest;
        Document::parse(bytes).map_err(|source| hod_mirror::Error::Document { digest, source })
    }

    /// Opens a blob. From a registry it is verified while it is read, and kept when it was read to
    /// its end; a file of this machine is for the reader to verify.
    pub(crate) fn open_blob(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Box<dyn Read + Send + 'a>, hod_mirror::Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if !self.is_far() {
            return self.images().open_blob(descriptor);
        }
        if let Some(file) =
            self.store.verified_blob(&digest, size).and_then(|path| File::open(path).ok())
        {
            return Ok(Box::new(file));
        }
        let inner = self.images().open_blob(descriptor)?;
        let keeper = self.store.keeper(&digest, size);
        Ok(Box::new(Keeping { inner, keeper, left: size }))
    }
}

/// Keeps what passes through it.
struct Keeping {
    inner: Box<dyn Read + Send>,
    keeper: Option<Keeper>,
    left: u64,
}

impl Read for Keeping {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buf)?;
        // With no room left, the blob is read all the same.
        if self.keeper.as_mut().is_some_and(|keeper| keeper.write_all(&buf[..read]).is_err()) {
            self.keeper = None;
        }
        self.left = self.left.saturating_sub(read as u64);
        // Its end is where the download says whether it is what it should be. Who knows how long
        // the blob is may never ask for it.
        if read > 0 && self.left == 0 && self.inner.read(&mut [0])? != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than it should be"));
        }
        if self.left == 0
            && let Some(keeper) = self.keeper.take()
        {
            let _ = keeper.complete();
        }
        Ok(read)
    }
}

/// Runs `work` on every item, on up to `threads` threads; results in the order of the items. Ends
/// early when the caller wants to.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    cancel: &Cancel,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while !cancel.is_cancelled() {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { break };
            let result = work(item);
            results.lock().expect("no thread panics while it pushes").push((position, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut results = results.into_inner().expect("no thread panics while it pushes");
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}
