//! What mirrors of all kinds have in common: images under tags, made of blobs.

use std::fmt;
use std::io::{self, Read};

use hod_archive::Digest;

use crate::error::{Error, Written};
use crate::oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, Tag, media_type};
use crate::registry::{BlobSource, RawManifest, Registry, UploadOptions, Uploaded};
use crate::{DirectoryMirror, Patience, Publication};

/// Images under tags, and the blobs they are made of.
pub trait ImageMirror: fmt::Debug + Send + Sync {
    /// Where it is, as it is written on a command line.
    fn location(&self) -> String;

    /// All tags, sorted.
    fn tags(&self) -> Result<Vec<String>, Error>;

    /// What stands behind a tag; `None` if there is no such tag.
    fn manifest(&self, tag: &str) -> Result<Option<RawManifest>, Error>;

    /// A manifest that an index names, verified; `None` if it is not there.
    fn manifest_by_digest(&self, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error>;

    /// Opens a blob. Whoever reads it must verify it: not every mirror does.
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error>;

    /// Whether a blob is there in its full length.
    fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error>;

    /// Brings a blob in.
    fn put_blob(
        &self,
        source: BlobSource<'_>,
        options: UploadOptions<'_>,
    ) -> Result<Uploaded, Error>;

    /// Has a blob brought in from another repository of the same registry, without sending it.
    /// `false` if that is not possible, which it is in registries alone.
    fn mount_blob(&self, descriptor: &Descriptor, from: &[String]) -> Result<bool, Error>;

    /// Stores manifests, each under its tag; without one, for an index that will name it. All that
    /// they name must be there. Those of one call are published together if the mirror can.
    fn put_manifests(&self, manifests: &[NamedManifest]) -> Result<(), Error>;
}

/// A manifest on its way into a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedManifest {
    /// Its name; `None` if only an index will name it.
    pub tag: Option<Tag>,
    /// What is to be stored.
    pub manifest: RawManifest,
    /// What it runs on, which the index of a layout says of each of its images.
    pub platform: Option<Platform>,
}

/// What can be read of an image on any mirror.
impl dyn ImageMirror + '_ {
    /// A small blob, verified; no more than `limit` bytes.
    pub fn read_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > limit {
            return Err(Error::TooLarge { digest, size, limit });
        }
        let mut bytes = Vec::new();
        let reader = self.open_blob(descriptor)?;
        reader.take(size + 1).read_to_end(&mut bytes).map_err(|source| unread(digest, source))?;
        if bytes.len() as u64 != size {
            return Err(Error::SizeMismatch { digest, expected: size, found: bytes.len() as u64 });
        }
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(Error::DigestMismatch { expected: digest, found }),
        }
    }

    /// The config that a manifest names, verified.
    pub fn read_config(&self, manifest: &Manifest) -> Result<Document<ImageConfig>, Error> {
        use crate::oci::Kind as _;
        let descriptor = &manifest.config;
        let digest = descriptor.digest;
        if !media_type::is_config(&descriptor.media_type) {
            let (expected, found) = (ImageConfig::NAME, descriptor.media_type.clone());
            return Err(Error::MediaType { digest, expected, found });
        }
        let bytes = self.read_blob(descriptor, ImageConfig::LIMIT)?;
        Document::parse(bytes).map_err(|source| Error::Document { digest, source })
    }

    /// The manifest of the image behind a tag: that for `wanted` where the tag is of an index.
    /// `None` if there is no such tag, or no image for that platform behind it.
    pub fn image(
        &self,
        tag: &str,
        wanted: &Platform,
    ) -> Result<Option<(RawManifest, Document<Manifest>)>, Error> {
        let Some(mut raw) = self.manifest(tag)? else { return Ok(None) };
        // An index of an index of indexes is nobody's honest work.
        for _ in 0..3 {
            if !media_type::is_index(&raw.media_type) {
                return Ok(Some((raw.clone(), raw.into_manifest()?)));
            }
            let index: Document<Index> = raw.into_index()?;
            let of_platform = |descriptor: &Descriptor| {
                descriptor.platform.as_ref().is_some_and(|platform| {
                    platform.architecture == wanted.architecture && platform.os == wanted.os
                })
            };
            let Some(found) = index.descriptors().flatten().find(of_platform) else {
                return Ok(None);
            };
            let Some(next) = self.manifest_by_digest(&found)? else { return Ok(None) };
            raw = next;
        }
        Ok(None)
    }
}

/// What a reader of a blob says, as an error of this crate where it is one.
fn unread(digest: Digest, source: io::Error) -> Error {
    match source.downcast::<Error>() {
        Ok(error) => error,
        Err(source) => match source.downcast::<crate::registry::RegistryError>() {
            Ok(error) => error.into(),
            Err(source) => Error::Read { path: digest.to_string().into(), source },
        },
    }
}

impl ImageMirror for Registry {
    fn location(&self) -> String {
        self.reference().url()
    }

    fn tags(&self) -> Result<Vec<String>, Error> {
        self.tags()
    }

    fn manifest(&self, tag: &str) -> Result<Option<RawManifest>, Error> {
        self.manifest(tag)
    }

    fn manifest_by_digest(&self, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error> {
        self.manifest_by_digest(&descriptor.digest)
    }

    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.open_blob(descriptor.digest, descriptor.size)?))
    }

    fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        self.has_blob(digest, size)
    }

    fn put_blob(
        &self,
        source: BlobSource<'_>,
        options: UploadOptions<'_>,
    ) -> Result<Uploaded, Error> {
        Ok(self.upload(source, options)?.0)
    }

    fn mount_blob(&self, descriptor: &Descriptor, from: &[String]) -> Result<bool, Error> {
        self.mount(descriptor.digest, descriptor.size, from)
    }

    fn put_manifests(&self, manifests: &[NamedManifest]) -> Result<(), Error> {
        manifests.iter().try_for_each(|NamedManifest { tag, manifest, .. }| match tag {
            Some(tag) => self.put_manifest(tag, manifest),
            None => self.put_untagged(manifest),
        })
    }
}

impl ImageMirror for DirectoryMirror {
    fn location(&self) -> String {
        self.to_string()
    }

    fn tags(&self) -> Result<Vec<String>, Error> {
        let mut tags: Vec<String> = self.entries()?.into_iter().filter_map(|e| e.tag).collect();
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    fn manifest(&self, tag: &str) -> Result<Option<RawManifest>, Error> {
        let entry = self.entries()?.into_iter().find(|entry| entry.tag.as_deref() == Some(tag));
        match entry {
            Some(entry) => self.manifest_by_digest(&entry.descriptor),
            None => Ok(None),
        }
    }

    fn manifest_by_digest(&self, descriptor: &Descriptor) -> Result<Option<RawManifest>, Error> {
        use crate::oci::Kind as _;
        if !self.has_blob(&descriptor.digest, descriptor.size)? {
            return Ok(None);
        }
        let bytes = <dyn ImageMirror>::read_blob(self, descriptor, Index::LIMIT)?;
        let (media_type, digest) = (descriptor.media_type.clone(), descriptor.digest);
        Ok(Some(RawManifest { media_type, digest, bytes }))
    }

    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(self.open_blob(&descriptor.digest)?))
    }

    fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        self.has_blob(digest, size)
    }

    fn put_blob(
        &self,
        source: BlobSource<'_>,
        _options: UploadOptions<'_>,
    ) -> Result<Uploaded, Error> {
        let (digest, size) = source.digest_and_size()?;
        if self.has_blob(&digest, size)? {
            return Ok(Uploaded::Present);
        }
        match source {
            BlobSource::Bytes(bytes) => {
                self.put_blob(bytes)?;
            }
            BlobSource::File { path, .. } => {
                self.link_blob_from(path, digest, size)?;
            }
            BlobSource::Spool(spool) => {
                let mut writer = self.blob_writer()?;
                spool
                    .reader(0)
                    .and_then(|mut reader| io::copy(&mut reader, &mut writer))
                    .map_err(self.write_error(Written::Blob(digest)))?;
                writer.complete_as(digest, size)?;
            }
        }
        Ok(Uploaded::Sent)
    }

    fn mount_blob(&self, _descriptor: &Descriptor, _from: &[String]) -> Result<bool, Error> {
        Ok(false)
    }

    fn put_manifests(&self, manifests: &[NamedManifest]) -> Result<(), Error> {
        let mut publications = Vec::new();
        for NamedManifest { tag, manifest, platform } in manifests {
            self.put_blob(&manifest.bytes)?;
            let descriptor = Descriptor { platform: platform.clone(), ..manifest.descriptor() };
            publications.extend(tag.clone().map(|tag| Publication { tag, descriptor }));
        }
        self.publish(&publications, &Patience::default())
    }
}

/// A mirror of any kind.
#[derive(Debug, Clone)]
pub enum Mirror {
    /// A directory; a build cache of Spack as well, unless it is a bare image layout.
    Directory(DirectoryMirror),
    /// A repository of a registry.
    Registry(Registry),
}

impl Mirror {
    /// Its images.
    pub fn images(&self) -> &dyn ImageMirror {
        match self {
            Self::Directory(directory) => directory,
            Self::Registry(registry) => registry,
        }
    }

    /// Set if it is a directory.
    pub fn as_directory(&self) -> Option<&DirectoryMirror> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Registry(_) => None,
        }
    }

    /// Set if it is a repository.
    pub fn as_registry(&self) -> Option<&Registry> {
        match self {
            Self::Directory(_) => None,
            Self::Registry(registry) => Some(registry),
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.images().location())
    }
}
