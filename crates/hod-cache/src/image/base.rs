//! Base images: found, checked, and brought to where images are to stand on them.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hod_archive::{Cancel, Codec, DiffId, Digest, DigestWriter};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, media_type};
use hod_mirror::registry::{BlobSource, RawManifest, Spool, SpoolWriter, UploadOptions};
use hod_mirror::{ImageMirror, Mirror};

use super::annotations::base_name;
use super::object::Object;
use super::{ImageError, platform_text};
use crate::Error;

/// Indexes inside indexes are followed this far, as Spack does (`spack-format` 5.5).
const NESTING_LIMIT: usize = 3;
/// Layers of a base that are copied at the same time.
const COPIES: usize = 4;

/// Whose media types an image has. All its parts have those of one family: Apptainer refuses
/// mixtures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Oci,
    Docker,
}

impl Family {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Oci => "OCI",
            Self::Docker => "Docker",
        }
    }

    pub(crate) const fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    pub(crate) const fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// The media type of a layer; Docker has none for zstd that its own tools know.
    pub(crate) const fn layer(self, codec: Codec) -> Option<&'static str> {
        match (self, codec) {
            (Self::Oci, codec) => Some(codec.media_type()),
            (Self::Docker, Codec::Gzip) => {
                Some("application/vnd.docker.image.rootfs.diff.tar.gzip")
            }
            (Self::Docker, Codec::None) => Some("application/vnd.docker.image.rootfs.diff.tar"),
            (Self::Docker, Codec::Zstd) => None,
        }
    }

    fn has_layer(self, media_type: &str) -> bool {
        [Codec::Gzip, Codec::Zstd, Codec::None]
            .into_iter()
            .any(|codec| self.layer(codec) == Some(media_type))
    }
}

/// An image for others to stand on: its documents, verified. Its layers are looked at by
/// [`copy_base`] alone.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// What it can be pulled by, if it is in a registry.
    pub(super) name: Option<String>,
    digest: Digest,
    manifest: Document<Manifest>,
    config: Document<ImageConfig>,
    platform: Platform,
    /// The config as it is written.
    pub(super) text: Object,
    pub(crate) family: Family,
}

impl BaseImage {
    /// The image `name` (a tag or a digest) for `platform`; of an index, the first for its
    /// operating system and architecture, whatever the variant.
    ///
    /// # Errors
    /// [`Error::BaseImage`] for what is not there, is for other machines or cannot be built upon.
    pub fn fetch(mirror: &dyn ImageMirror, name: &str, platform: &Platform) -> Result<Self, Error> {
        let location = mirror.location();
        let unusable = |error: Failure| error.of(&location, name);
        let raw = resolve(mirror, name, platform).map_err(unusable)?;
        let (digest, said) = (raw.digest, raw.media_type.clone());
        let manifest = raw.into_manifest().map_err(|error| unusable(error.into()))?;
        let family = family(&said, &manifest).map_err(|error| unusable(error.into()))?;
        let config = mirror.read_config(&manifest).map_err(|error| unusable(error.into()))?;
        let text = Object::parse(config.bytes())
            .map_err(|error| unusable(ImageError::Config(error).into()))?;
        let variant = text.get("variant").and_then(|text| serde_json::from_str(text).ok());
        let found = Platform {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            other: variant.map(|v| ("variant".to_owned(), v)).into_iter().collect(),
        };
        // Spack takes a plain manifest whatever it is for; nothing in it would run.
        if (&found.architecture, &found.os) != (&platform.architecture, &platform.os) {
            let (wanted, found) = (platform_text(platform), vec![platform_text(&found)]);
            return Err(unusable(ImageError::Platform { wanted, found }.into()));
        }
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(unusable(ImageError::LayerCount { layers, diff_ids }.into()));
        }
        let name = base_name(&location, name);
        Ok(Self { name, digest, manifest, config, platform: found, text, family })
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.manifest.layers
    }

    /// What it runs on.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    pub(super) fn diff_ids(&self) -> &[DiffId] {
        &self.config.rootfs.diff_ids
    }

    pub(super) fn env(&self) -> &[String] {
        &self.config.config.env
    }
}

/// Why a base image is none, before it is said which.
enum Failure {
    Image(ImageError),
    Mirror(hod_mirror::Error),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<hod_mirror::Error> for Failure {
    fn from(error: hod_mirror::Error) -> Self {
        Self::Mirror(error)
    }
}

impl Failure {
    fn of(self, location: &str, name: &str) -> Error {
        match self {
            Self::Image(source) => Error::BaseImage {
                image: base_name(location, name).unwrap_or_else(|| format!("{location}:{name}")),
                source: Box::new(source),
            },
            Self::Mirror(source) => Error::mirror(location, source),
        }
    }
}

/// The manifest of one image.
fn resolve(
    mirror: &dyn ImageMirror,
    name: &str,
    platform: &Platform,
) -> Result<RawManifest, Failure> {
    let mut raw = mirror.manifest(name)?.ok_or(ImageError::Missing)?;
    if let Ok(expected) = name.parse::<Digest>()
        && raw.digest != expected
    {
        return Err(ImageError::Digest { expected, found: raw.digest }.into());
    }
    for _ in 0..NESTING_LIMIT {
        if !media_type::is_index(&raw.media_type) {
            break;
        }
        let index: Document<Index> = raw.into_index()?;
        let entries: Vec<Descriptor> = index.descriptors().flatten().collect();
        let is_wanted = |entry: &&Descriptor| {
            entry.platform.as_ref().is_some_and(|found| {
                found.architecture == platform.architecture && found.os == platform.os
            })
        };
        let Some(entry) = entries.iter().find(is_wanted) else {
            // What belongs to an image and is none has a platform of `unknown` (BuildKit).
            let known = entries.iter().filter_map(|entry| entry.platform.as_ref());
            let mut found: Vec<String> =
                known.filter(|found| found.os != "unknown").map(platform_text).collect();
            found.dedup();
            return Err(ImageError::Platform { wanted: platform_text(platform), found }.into());
        };
        raw = mirror.manifest_by_digest(entry)?.ok_or(ImageError::Missing)?;
    }
    Ok(raw)
}

/// The family all parts of the image are of.
fn family(said: &str, manifest: &Manifest) -> Result<Family, ImageError> {
    let own = manifest.media_type.as_deref().unwrap_or(said);
    let family = if own == media_type::DOCKER_MANIFEST { Family::Docker } else { Family::Oci };
    let mixed = |part, media_type: &str| ImageError::MediaType {
        part,
        media_type: media_type.to_owned(),
        family: family.name(),
    };
    if said != family.manifest() {
        return Err(mixed("manifest", said));
    }
    if manifest.config.media_type != family.config() {
        return Err(mixed("config", &manifest.config.media_type));
    }
    for Descriptor { media_type, digest, .. } in &manifest.layers {
        if media_type.contains(".nondistributable.") || media_type.contains(".foreign.") {
            return Err(ImageError::NotDistributable { digest: *digest });
        }
        if !family.has_layer(media_type) {
            return Err(mixed("layer", media_type));
        }
    }
    Ok(family)
}

/// The repositories from which a registry can mount what is in `from` into `to`.
pub fn mountable(from: &Mirror, to: &Mirror) -> Vec<String> {
    match (from.as_registry(), to.as_registry()) {
        (Some(from), Some(to)) => {
            let (from, to) = (from.reference(), to.reference());
            let is_same = from.host == to.host && from.is_plain == to.is_plain;
            let mounted = is_same && from.repository != to.repository;
            mounted.then(|| from.repository.clone()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Brings the layers of a base image to where images are to stand on it: what is there stays,
/// what can be mounted (`mount_from`: repositories of the same registry) is mounted, and the rest
/// is sent while it comes in, several at a time, verified on its way. `spool`: a directory for
/// what is on its way.
///
/// # Errors
/// The first that came up; what was copied by then stays.
pub fn copy_base(
    base: &BaseImage,
    from: &dyn ImageMirror,
    to: &dyn ImageMirror,
    mount_from: &[String],
    spool: &Path,
    cancel: &Cancel,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let layers: Vec<&Descriptor> =
        base.layers().iter().filter(|layer| seen.insert(layer.digest)).collect();
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..COPIES.min(layers.len()) {
            scope.spawn(|| {
                while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if has_failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let copied = if cancel.is_cancelled() {
                        Err(Error::Cancelled)
                    } else {
                        copy(layer, from, to, mount_from, spool)
                    };
                    if let Err(error) = copied {
                        has_failed.store(true, Ordering::Relaxed);
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

fn copy(
    layer: &Descriptor,
    from: &dyn ImageMirror,
    to: &dyn ImageMirror,
    mount_from: &[String],
    spool: &Path,
) -> Result<(), Error> {
    let target = |source| Error::mirror(to.location(), source);
    if to.has_blob(&layer.digest, layer.size).map_err(target)?
        || to.mount_blob(layer, mount_from).map_err(target)?
    {
        return Ok(());
    }
    let (shared, writer) = Spool::create(spool).map_err(|source| Error::BaseImage {
        image: layer.digest.to_string(),
        source: Box::new(ImageError::Spool { directory: spool.to_owned(), source }),
    })?;
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(layer, from, writer));
        let sent = to.put_blob(BlobSource::Spool(&shared), UploadOptions::default());
        // What breaks the source breaks the upload as well, and is the better story.
        fetching.join().expect("it does not panic")?;
        sent.map(|_| ()).map_err(target)
    })
}

/// Reads a blob into a spool, which is complete only if the blob is the one it should be.
fn fetch(layer: &Descriptor, from: &dyn ImageMirror, writer: SpoolWriter) -> Result<(), Error> {
    let Descriptor { digest: expected, size, .. } = *layer;
    let error = |source| Error::mirror(from.location(), source);
    let mut reader = from.open_blob(layer).map_err(error)?.take(size + 1);
    let mut hash = DigestWriter::new(writer);
    let copied = io::copy(&mut reader, &mut hash).and_then(|bytes| hash.flush().map(|()| bytes));
    let bytes = copied.map_err(|source| error(unread(expected, source)))?;
    if bytes != size {
        return Err(error(hod_mirror::Error::SizeMismatch {
            digest: expected,
            expected: size,
            found: bytes,
        }));
    }
    let (writer, found, _) = hash.complete();
    if found != expected {
        return Err(error(hod_mirror::Error::DigestMismatch { expected, found }));
    }
    writer.complete_as(expected);
    Ok(())
}

/// What a reader of a blob says, as the mirror's error where it is one.
pub(super) fn unread(digest: Digest, source: io::Error) -> hod_mirror::Error {
    match source.downcast::<hod_mirror::Error>() {
        Ok(error) => error,
        Err(source) => hod_mirror::Error::Read { path: digest.to_string().into(), source },
    }
}
