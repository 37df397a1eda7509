//! The layer of a package: its install tree as a blob, wherever that is.

use std::io::{self, Read};
use std::path::PathBuf;

use hod_archive::{Codec, DiffId, Digest};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, decode_path};
use hod_mirror::spack::SpackEntry;

use crate::source::Source;
use crate::{Error, Found};

/// The blob with a package's own files.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) blob: Blob,
    pub(crate) codec: Codec,
    pub(crate) digest: Digest,
    /// `None` if the blob is not there.
    pub(crate) size: Option<u64>,
    pub(crate) diff_id: Option<DiffId>,
    pub(crate) original_prefix: Option<PathBuf>,
}

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) enum Blob {
    /// A file of a build cache.
    File(PathBuf),
    /// A blob of a mirror's images.
    Image(Box<Descriptor>),
}

impl Layer {
    /// Of an entry of a build cache.
    pub(crate) fn of_entry(entry: &SpackEntry) -> Self {
        Self {
            blob: Blob::File(entry.layer.path.clone()),
            codec: Codec::Gzip,
            digest: entry.layer.digest,
            size: entry.layer.size,
            diff_id: None,
            original_prefix: None,
        }
    }

    /// Of an image that is one package: that of a spec holds all it needs, and the spec itself last
    /// (`spack-format` 5.4).
    pub(crate) fn of_image(
        manifest: &Document<Manifest>,
        config: &Document<ImageConfig>,
        package: &str,
        is_spec: bool,
    ) -> Result<Self, Error> {
        let package = || package.to_owned();
        let (Some(own), Some(diff_id), true) = (
            manifest.layers.last(),
            config.rootfs.diff_ids.last(),
            is_spec || manifest.layers.len() == 1,
        ) else {
            return Err(Error::ManyLayers { package: package(), layers: manifest.layers.len() });
        };
        let Some(codec) = Codec::from_media_type(&own.media_type) else {
            let media_type = own.media_type.clone();
            return Err(Error::UnknownLayer { package: package(), media_type });
        };
        Ok(Self {
            blob: Blob::Image(Box::new(own.clone())),
            codec,
            digest: own.digest,
            size: Some(own.size),
            diff_id: Some(*diff_id),
            original_prefix: config.hod.as_ref().map(|facts| decode_path(&facts.prefix)),
        })
    }

    /// Of a package that was found.
    pub(crate) fn of(source: Source<'_>, found: &Found) -> Result<Self, Error> {
        let Some(image) = &found.image else {
            let entry = found.entry.as_ref().expect("what is found has an entry or an image");
            return Ok(Self::of_entry(entry));
        };
        let documents = image.documents(source).map_err(|error| source.error(error))?;
        let label = found.label();
        Self::of_image(&documents.manifest, &documents.config, &label, found.spec.is_some())
    }

    /// Opens it; whoever reads it must verify it.
    pub(crate) fn open<'a>(&self, source: Source<'a>) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let path = match &self.blob {
            Blob::Image(descriptor) => {
                return source.open_blob(descriptor).map_err(|error| source.error(error));
            }
            Blob::File(path) => path,
        };
        let digest = self.digest;
        match fs_err::File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                let path = path.clone();
                Err(source.error(match error.kind() {
                    io::ErrorKind::NotFound => hod_mirror::Error::MissingBlob { digest, path },
                    _ => hod_mirror::Error::Read { path, source: error },
                }))
            }
        }
    }
}
