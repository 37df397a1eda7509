//! A directory: blobs are written into it, names are given in batches, nothing is ever under way.

mod probe;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, PackageFacts};
use hod_mirror::spack::{BlobKind, BlobRecord};
use hod_mirror::{BlobWriter, DirectoryMirror, Entry, Patience, Publication, SpackPublication};
use hod_spec::Spec;

use super::{Arrived, Destination, Message, Probe, ReadyImage, Recalled, Sink};
use crate::image::{Layer, Rendered};
use crate::push::Only;
use crate::store::is_intact;
use crate::{Error, Installed, LocalStore};
use probe::{Tags, entry_name};

/// How many look-ups are worth a thread on a local disk.
const FEW: usize = 32;

/// A directory that is being pushed to.
pub(in crate::push) struct Directory<'a> {
    mirror: &'a DirectoryMirror,
    /// Its tags when the push began.
    tags: Tags,
    /// Most look-ups at the same time.
    connections: NonZeroUsize,
}

impl<'a> Directory<'a> {
    pub(super) fn open(
        mirror: &'a DirectoryMirror,
        connections: NonZeroUsize,
    ) -> Result<Self, Error> {
        Ok(Self { mirror, tags: probe::tags(mirror)?, connections })
    }

    fn error(&self, source: hod_mirror::Error) -> Error {
        Error::mirror(self.mirror, source)
    }

    /// Stores the documents of an image; its descriptor, still without a name.
    fn put(&self, image: &Rendered) -> Result<Descriptor, hod_mirror::Error> {
        self.mirror.put_blob(&image.config)?;
        self.mirror.put_blob(&image.manifest.bytes)?;
        Ok(Descriptor { platform: Some(image.platform.clone()), ..image.manifest.descriptor() })
    }
}

impl Destination for Directory<'_> {
    fn place(&self) -> String {
        self.mirror.to_string()
    }

    fn lookups(&self, packages: usize) -> usize {
        packages.div_ceil(FEW).min(self.connections.get())
    }

    fn gathers(&self) -> bool {
        true
    }

    fn probe(&self, installed: &Installed, only: Only) -> Result<Probe, Error> {
        probe::probe(self.mirror, &self.tags, installed, only)
    }

    fn layer(&self, spec: &Spec) -> Result<Option<(Layer, Option<PackageFacts>)>, Error> {
        probe::layer(self.mirror, &self.tags, spec)
    }

    fn is_named(&self, tag: &str, manifest: &Digest) -> Result<bool, Error> {
        // The tags of the beginning would do, if nobody else pushed.
        let entries = self.mirror.entries().map_err(|source| self.error(source))?;
        let is_meant = |entry: &Entry| {
            entry.tag.as_deref() == Some(tag) && entry.descriptor.digest == *manifest
        };
        let Some(entry) = entries.into_iter().find(is_meant) else { return Ok(false) };
        // A name whose documents were lost is given again.
        let Ok(manifest) = self.mirror.read_manifest(&entry.descriptor) else { return Ok(false) };
        let config = &manifest.config;
        self.mirror.has_blob(&config.digest, config.size).map_err(|source| self.error(source))
    }

    fn recall(
        &self,
        digest: &Digest,
        size: u64,
        store: &LocalStore,
        is_forced: bool,
    ) -> Result<Recalled, Error> {
        let error = |source| self.error(source);
        if is_forced {
            // Whoever forces a push may be about to mend the mirror: its word is not enough.
            let is_good = is_intact(&self.mirror.blob_path(digest), digest);
            return Ok(if is_good { Recalled::There } else { Recalled::Lost });
        }
        if !self.mirror.has_blob(digest, size).map_err(error)? {
            let Some(blob) = store.verified_blob(digest, size) else {
                return Ok(Recalled::Lost);
            };
            self.mirror.link_blob_from(&blob, *digest, size).map_err(error)?;
        }
        Ok(Recalled::There)
    }

    fn bring(&self, index: usize, blob: PathBuf, digest: Digest, size: u64, to: &Sender<Message>) {
        let linked = self.mirror.link_blob_from(&blob, digest, size);
        let _ = to
            .send(Message::Uploaded(index, linked.map(drop).map_err(|source| self.error(source))));
    }

    fn sink<'s>(
        &'s self,
        _index: usize,
        store: &'s LocalStore,
        _to: &Sender<Message>,
    ) -> Result<Box<dyn Sink + 's>, Error> {
        let writer = self.mirror.blob_writer().map_err(|source| self.error(source))?;
        Ok(Box::new(File { writer, mirror: self.mirror, store }))
    }

    fn entry(
        &self,
        spec: &Spec,
        spec_text: &str,
        layer: &Layer,
    ) -> Result<Option<SpackPublication>, Error> {
        // A bare image layout has images and nothing else.
        if !self.mirror.has_spack_half() {
            return Ok(None);
        }
        let error = |source| self.error(source);
        self.mirror.share_with_spack(&layer.digest, layer.size).map_err(error)?;
        let spec_blob = self.mirror.put_spec_blob(spec_text).map_err(error)?;
        let layer = BlobRecord::new(BlobKind::Layer, layer.digest, layer.size);
        Ok(Some(SpackPublication { name: entry_name(spec)?, layer, spec: spec_blob }))
    }

    fn publish_entries(&self, entries: &[SpackPublication]) -> Result<(), hod_mirror::Error> {
        self.mirror.publish_spack(entries)
    }

    fn prepare(&self, _image: &ReadyImage) {
        // Nothing here waits for anything.
    }

    fn publish(&self, images: Vec<ReadyImage>, patience: &Patience<'_>, to: &Sender<Message>) {
        let mut publications = Vec::with_capacity(images.len());
        let mut indexes = Vec::with_capacity(images.len());
        for ReadyImage { index, tag, image, .. } in images {
            match self.put(&image) {
                Ok(descriptor) => {
                    publications.push(Publication { tag, descriptor });
                    indexes.push(index);
                }
                Err(source) => {
                    let _ = to.send(Message::Published(index, Err(self.error(source))));
                }
            }
        }
        // One failure concerns all of the batch, and each of its packages tells it.
        let failure = self.mirror.publish(&publications, patience).err().map(Arc::new);
        for index in indexes {
            let result = match &failure {
                Some(source) => Err(Error::publish(self.mirror, source)),
                None => Ok(()),
            };
            let _ = to.send(Message::Published(index, result));
        }
    }

    fn abort(&self) {}
}

/// A blob that is being packed into the directory.
struct File<'a> {
    writer: BlobWriter,
    mirror: &'a DirectoryMirror,
    store: &'a LocalStore,
}

impl Write for File<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Sink for File<'_> {
    fn complete(self: Box<Self>, digest: Digest, size: u64) -> Result<Arrived, Error> {
        let Self { writer, mirror, store } = *self;
        writer.complete_as(digest, size).map_err(|source| Error::mirror(mirror, source))?;
        store.keep_blob(&digest, &mirror.blob_path(&digest));
        Ok(Arrived::Already)
    }
}
