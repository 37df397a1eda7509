//! Images behind tags, and what of a package they tell.

use hod_mirror::Mirror;
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest};
use hod_spec::SpecFile;

use super::mirrored::{Found, compiler};
use crate::source::Source;
use crate::{Error, LocalStore};

/// An image in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    /// Its tag.
    pub tag: String,
    /// Of its manifest; `None` if only an index was asked, which does not say.
    pub descriptor: Option<Descriptor>,
}

/// The documents of an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImageDocuments {
    /// Of its manifest.
    pub descriptor: Descriptor,
    /// Its layers and its config.
    pub manifest: Document<Manifest>,
    /// What is in the layers, and how it is run.
    pub config: Document<ImageConfig>,
}

impl FoundImage {
    /// Reads its documents; from a registry, only what is not in `store`.
    pub fn read(&self, mirror: &Mirror, store: &LocalStore) -> Result<ImageDocuments, Error> {
        let source = Source::new(mirror, store);
        self.documents(source).map_err(|error| source.error(error))
    }

    pub(crate) fn documents(
        &self,
        source: Source<'_>,
    ) -> Result<ImageDocuments, hod_mirror::Error> {
        let missing = || hod_mirror::Error::MissingTag { tag: self.tag.clone() };
        let raw = source.manifest(&self.tag, self.descriptor.as_ref())?.ok_or_else(missing)?;
        let descriptor = self.descriptor.clone().unwrap_or_else(|| raw.descriptor());
        let manifest = raw.into_manifest()?;
        let config = source.config(&manifest)?;
        Ok(ImageDocuments { descriptor, manifest, config })
    }
}

/// Reads an image and the spec in its config, if it has one; `None` for what is no package.
pub(super) fn read(
    source: Source<'_>,
    image: FoundImage,
) -> Result<Option<(Found, Option<SpecFile>)>, hod_mirror::Error> {
    let documents = match image.documents(source) {
        // Indexes of several images and artifacts are no packages.
        Err(hod_mirror::Error::MediaType { .. }) => return Ok(None),
        documents => documents?,
    };
    let ImageDocuments { descriptor, manifest, config } = documents;
    let digest = descriptor.digest;
    let image = FoundImage { tag: image.tag, descriptor: Some(descriptor) };
    // What was pushed to a registry, or what was pruned from the build cache.
    if let Some(file) = spec_of(&image.tag, &config) {
        let spec = file.root();
        let found = Found {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            hash: spec.hash.to_string(),
            compiler: compiler(spec, &file),
            spec: Some(spec.clone()),
            size: manifest.layers.last().map(|layer| layer.size),
            entry: None,
            image: Some(image),
            facts: None,
            platform: None,
        };
        return Ok(Some((found, Some(file))));
    }
    let facts = config.hod.clone();
    let (name, version, hash) = match &facts {
        Some(facts) => (facts.name.clone(), facts.version.clone(), facts.hash.clone()),
        // An image of another tool is known by its tag.
        None => (image.tag.clone(), "image".to_owned(), digest.hex()),
    };
    let found = Found {
        name,
        version,
        hash,
        spec: None,
        entry: None,
        image: Some(image),
        facts,
        compiler: None,
        platform: Some(format!("{}/{}", config.os, config.architecture)),
        size: Some(manifest.layers.iter().map(|layer| layer.size).sum()),
    };
    Ok(Some((found, None)))
}

/// The spec in the config of an image that Spack would take for one of its packages.
fn spec_of(tag: &str, config: &Document<ImageConfig>) -> Option<SpecFile> {
    SpecFile::parse(config.bytes().to_vec()).ok().filter(|_| tag.as_bytes().ends_with(b".spack"))
}
