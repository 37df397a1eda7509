//! A registry: everything goes on at once. Packing fills files, requests empty them, and images
//! follow as soon as their layers are there.

mod pool;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hod_archive::{Codec, Digest};
use hod_mirror::oci::{Document, ImageConfig, Manifest, PackageFacts, media_type};
use hod_mirror::registry::{BlobSource, RawManifest, Registry, Spool, SpoolWriter, UploadOptions};
use hod_mirror::{Patience, SpackPublication};
use hod_spec::{Spec, runtime_closure};

use super::{Arrived, Blob, Destination, Message, Probe, ReadyImage, Recalled, Sink};
use crate::image::Layer;
use crate::push::Only;
use crate::{Error, Installed, LocalStore, package};
use pool::{Budget, Pool};

/// Most bytes that lie here packed and are not sent yet.
const MOST_WAITING: u64 = 1 << 30;

/// A repository that is being pushed to.
pub(in crate::push) struct Repository<'a> {
    registry: &'a Registry,
    store: &'a LocalStore,
    /// Manifests that were looked at, by their tag.
    manifests: Mutex<HashMap<String, Option<RawManifest>>>,
    /// Configs that are on their way before their images, by package.
    early: Mutex<HashMap<usize, Arc<Early>>>,
    budget: Arc<Budget>,
    pool: Pool,
}

/// What came of a config that was sent before its image; `None`: it has to be sent again.
type Early = OnceLock<Option<()>>;

impl<'a> Repository<'a> {
    pub(super) fn open(registry: &'a Registry, store: &'a LocalStore) -> Self {
        Self {
            registry,
            store,
            manifests: Mutex::default(),
            early: Mutex::default(),
            budget: Arc::new(Budget::new(MOST_WAITING)),
            pool: Pool::new(registry.connections()),
        }
    }

    fn error(&self, source: hod_mirror::Error) -> Error {
        Error::mirror(self.place(), source)
    }

    /// What stands behind the tag of a spec; asked for once.
    fn manifest(&self, spec: &Spec) -> Result<Option<Document<Manifest>>, Error> {
        let tag = package::spack_tag(spec);
        let known =
            self.manifests.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).cloned();
        let raw = if let Some(raw) = known {
            raw
        } else {
            let raw = self.registry.manifest(&tag).map_err(|source| self.error(source))?;
            let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
            manifests.insert(tag, raw.clone());
            raw
        };
        // One that cannot be read counts as absent: pushing mends it.
        Ok(raw.and_then(|raw| raw.into_manifest().ok()))
    }
}

impl Destination for Repository<'_> {
    fn place(&self) -> String {
        self.registry.reference().url()
    }

    fn lookups(&self, packages: usize) -> usize {
        packages.min(self.registry.connections())
    }

    fn gathers(&self) -> bool {
        false
    }

    fn probe(&self, installed: &Installed, only: Only) -> Result<Probe, Error> {
        let spec = installed.spec();
        let Some(manifest) = self.manifest(spec)? else { return Ok(Probe::default()) };
        let layers = if only == Only::Package {
            1
        } else {
            let closure = runtime_closure(installed.store(), [spec]);
            closure.iter().filter(|spec| spec.external.is_none()).count()
        };
        // A registry holds what its manifests name: it looks when they come.
        let Some(own) = manifest.layers.last().filter(|_| manifest.layers.len() >= layers) else {
            return Ok(Probe::default());
        };
        let entry = Some(Blob { digest: own.digest, size: own.size });
        let image_layer = Some(own.digest);
        Ok(Probe { entry, image: Some(manifest.descriptor()), image_layer, is_signed: false })
    }

    fn layer(&self, spec: &Spec) -> Result<Option<(Layer, Option<PackageFacts>)>, Error> {
        let Some(manifest) = self.manifest(spec)? else { return Ok(None) };
        if !media_type::is_config(&manifest.config.media_type) {
            return Ok(None);
        }
        let bytes = self
            .store
            .read_or_fetch(self.registry, &manifest.config)
            .map_err(|source| self.error(source))?;
        let Ok(config) = Document::<ImageConfig>::parse(bytes) else { return Ok(None) };
        let layer = |own: &hod_mirror::oci::Descriptor| {
            Some(Layer {
                codec: Codec::from_media_type(&own.media_type)?,
                digest: own.digest,
                size: own.size,
                diff_id: *config.rootfs.diff_ids.last()?,
            })
        };
        let Some(layer) = manifest.layers.last().and_then(layer) else { return Ok(None) };
        Ok(Some((layer, config.into_view().hod)))
    }

    fn is_named(&self, tag: &str, manifest: &Digest) -> Result<bool, Error> {
        let found = self.registry.resolve(tag).map_err(|source| self.error(source))?;
        Ok(found == Some(*manifest))
    }

    fn recall(
        &self,
        digest: &Digest,
        size: u64,
        store: &LocalStore,
        _is_forced: bool,
    ) -> Result<Recalled, Error> {
        if let Some(blob) = store.verified_blob(digest, size) {
            return Ok(Recalled::Here(blob));
        }
        let is_there = self.registry.has_blob(digest, size).map_err(|source| self.error(source))?;
        Ok(if is_there { Recalled::There } else { Recalled::Lost })
    }

    fn bring(&self, index: usize, blob: PathBuf, digest: Digest, size: u64, to: &Sender<Message>) {
        let (registry, to) = (self.registry.clone(), to.clone());
        self.pool.run(move || {
            let source = BlobSource::File { path: &blob, digest, size };
            let options = UploadOptions { ask_first: true, ..UploadOptions::default() };
            let result = registry.upload(source, options).map(drop);
            let place = registry.reference().url();
            let result = result.map_err(|source| Error::mirror(place, source));
            let _ = to.send(Message::Uploaded(index, result));
        });
    }

    fn sink<'s>(
        &'s self,
        index: usize,
        store: &'s LocalStore,
        to: &Sender<Message>,
    ) -> Result<Box<dyn Sink + 's>, Error> {
        self.budget.wait();
        let directory = store.spool_directory();
        let (spool, writer) = Spool::create(&directory)
            .map_err(|source| Error::Spool { path: directory.clone(), source })?;
        let (registry, to, budget) = (self.registry.clone(), to.clone(), Arc::clone(&self.budget));
        let sent = Arc::clone(&spool);
        self.pool.run(move || {
            let result = registry.upload(BlobSource::Spool(&sent), UploadOptions::default());
            if let Ok(Some((_, size))) = sent.wait_for(u64::MAX) {
                budget.give_back(size);
            }
            let place = registry.reference().url();
            let result = result.map(drop).map_err(|source| Error::mirror(place, source));
            let _ = to.send(Message::Uploaded(index, result));
        });
        Ok(Box::new(Spooled { writer, spool, store, budget: Arc::clone(&self.budget) }))
    }

    fn entry(
        &self,
        _spec: &Spec,
        _spec_text: &str,
        _layer: &Layer,
    ) -> Result<Option<SpackPublication>, Error> {
        // The image is all there is.
        Ok(None)
    }

    fn publish_entries(&self, _entries: &[SpackPublication]) -> Result<(), hod_mirror::Error> {
        Ok(())
    }

    fn prepare(&self, image: &ReadyImage) {
        let early = Arc::new(Early::new());
        let mut all = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(image.index, Arc::clone(&early));
        let (registry, config) = (self.registry.clone(), image.image.config.clone());
        let options = UploadOptions { ask_first: image.may_be_there, ..UploadOptions::default() };
        self.pool.run(move || {
            let sent = registry.upload(BlobSource::Bytes(&config), options);
            let _ = early.set(sent.ok().map(drop));
        });
    }

    fn publish(&self, images: Vec<ReadyImage>, _patience: &Patience<'_>, to: &Sender<Message>) {
        for ReadyImage { index, tag, image, may_be_there } in images {
            // Whoever makes the index next on this machine need not fetch it.
            self.store.keep_bytes(&Digest::of(&image.config), &image.config);
            let (registry, to) = (self.registry.clone(), to.clone());
            let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
            self.pool.run(move || {
                // Jobs begin in their order: this one has begun, if it is not done already.
                let is_sent = early.is_some_and(|early| early.wait().is_some());
                let options = UploadOptions { ask_first: may_be_there, ..UploadOptions::default() };
                let config = if is_sent {
                    Ok(())
                } else {
                    registry.upload(BlobSource::Bytes(&image.config), options).map(drop)
                };
                let result = config.and_then(|()| registry.put_manifest(&tag, &image.manifest));
                let place = registry.reference().url();
                let result = result.map_err(|source| Error::mirror(place, source));
                let _ = to.send(Message::Published(index, result));
            });
        }
    }

    fn abort(&self) {
        self.registry.abort();
    }
}

/// A blob that is being packed into a file, and sent from there.
struct Spooled<'a> {
    writer: SpoolWriter,
    spool: Arc<Spool>,
    store: &'a LocalStore,
    budget: Arc<Budget>,
}

impl Spooled<'_> {
    /// Says that it is not the package that cannot be written, but what is on its way.
    fn lacking_room(&self, source: io::Error) -> io::Error {
        let kind = source.kind();
        io::Error::new(kind, Error::Spool { path: self.store.spool_directory(), source })
    }
}

impl Write for Spooled<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf).map_err(|error| self.lacking_room(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| self.lacking_room(error))
    }
}

impl Sink for Spooled<'_> {
    fn complete(self: Box<Self>, digest: Digest, size: u64) -> Result<Arrived, Error> {
        let Self { writer, spool, store, budget } = *self;
        budget.take(size);
        writer.complete_as(digest);
        store.keep_spool(&spool, &digest);
        Ok(Arrived::Later)
    }
}
