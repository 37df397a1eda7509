//! What stands behind one tag: manifests, and the blobs they name.

use std::sync::Arc;

use hod_archive::Codec;
use hod_mirror::oci::{Descriptor, Manifest, Platform, media_type};
use hod_mirror::registry::RawManifest;
use hod_mirror::spack::{BlobKind, BlobRecord, EntryName};
use hod_mirror::{DirectoryMirror, Error, Mirror, ParseError, SpackPublication};
use hod_spec::SpecFile;

use super::Results;
use crate::source::Source;

/// An index of images may hold indexes; no honest one goes deeper.
const NESTING_LIMIT: usize = 4;

/// All of an image, or of several under one index.
pub(super) struct Image {
    /// What the tag leads to.
    pub(super) manifest: RawManifest,
    /// What that names if it is an index, deepest first.
    pub(super) children: Vec<RawManifest>,
    /// Configs and layers of all of them.
    pub(super) blobs: Vec<Descriptor>,
}

/// What Spack knows of an image.
pub(super) struct SpackHalf {
    pub(super) file: SpecFile,
    name: EntryName,
    layer: Descriptor,
}

impl Image {
    pub(super) fn read(source: Source<'_>, tag: &str) -> Result<Self, Error> {
        let missing = || Error::MissingTag { tag: tag.to_owned() };
        let manifest = source.manifest(tag, None)?.ok_or_else(missing)?;
        let mut image =
            Self { manifest: manifest.clone(), children: Vec::new(), blobs: Vec::new() };
        image.follow(source, manifest, 0)?;
        Ok(image)
    }

    fn follow(
        &mut self,
        source: Source<'_>,
        manifest: RawManifest,
        depth: usize,
    ) -> Result<(), Error> {
        if !media_type::is_index(&manifest.media_type) || depth >= NESTING_LIMIT {
            let manifest = manifest.into_manifest()?.into_view();
            let Manifest { config, layers, .. } = manifest;
            let may_be_absent = |blob: &Descriptor| media_type::may_be_absent(&blob.media_type);
            let layers = layers.into_iter().filter(|layer| !may_be_absent(layer));
            self.blobs.extend(std::iter::once(config).chain(layers));
            return Ok(());
        }
        let digest = manifest.digest;
        let index = manifest.into_index()?;
        for child in index.descriptors() {
            let child = child
                .map_err(|error| Error::Document { digest, source: ParseError::Json(error) })?;
            let missing = || Error::MissingTag { tag: child.digest.to_string() };
            let raw = source.manifest_by_digest(&child)?.ok_or_else(missing)?;
            self.follow(source, raw.clone(), depth + 1)?;
            self.children.push(raw);
        }
        Ok(())
    }

    /// Whether the target has it under this tag, whole.
    pub(super) fn is_at(&self, to: &Mirror, tag: &str) -> Result<bool, Error> {
        match to {
            // It does not take a manifest whose blobs it lacks.
            Mirror::Registry(registry) => Ok(registry.resolve(tag)? == Some(self.manifest.digest)),
            Mirror::Directory(directory) => {
                let entries = directory.entries()?;
                let is_same = entries.iter().any(|entry| {
                    entry.tag.as_deref() == Some(tag)
                        && entry.descriptor.digest == self.manifest.digest
                });
                if !is_same {
                    return Ok(false);
                }
                let children = self.children.iter().map(RawManifest::descriptor);
                for blob in self.blobs.iter().cloned().chain(children) {
                    if !directory.has_blob(&blob.digest, blob.size)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Why a blob of it is not at the target.
    pub(super) fn missing<'m>(&self, moved: &'m Results) -> Option<&'m Arc<Error>> {
        let mut results = self.blobs.iter().filter_map(|blob| moved.get(&blob.digest));
        results.find_map(|result| result.as_ref().err())
    }

    fn manifest(&self) -> Option<Manifest> {
        Some(self.manifest.clone().into_manifest().ok()?.into_view())
    }

    /// What it runs on, if it is one image that says so.
    pub(super) fn platform(&self, source: Source<'_>) -> Option<Platform> {
        let config = source.config(&self.manifest()?).ok()?;
        let (architecture, os) = (config.architecture.clone(), config.os.clone());
        let other = serde_json::Map::new();
        (!os.is_empty()).then_some(Platform { architecture, os, other })
    }

    /// The package it is to Spack, if its config holds a spec.
    pub(super) fn spack(&self, source: Source<'_>, tag: &str) -> Option<SpackHalf> {
        if !tag.as_bytes().ends_with(b".spack") {
            return None;
        }
        let manifest = self.manifest()?;
        let config = source.config(&manifest).ok()?;
        let file = SpecFile::parse(config.bytes().to_vec()).ok()?;
        let name = EntryName::of(file.root()).ok()?;
        let layer = manifest.layers.last()?.clone();
        // Spack reads nothing else.
        let is_gzip = Codec::from_media_type(&layer.media_type) == Some(Codec::Gzip);
        is_gzip.then_some(SpackHalf { file, name, layer })
    }
}

/// Makes the entries of a build cache, if the directory is one. An entry that is there and whole
/// stays as it is, as it may be signed.
pub(super) fn publish_entries(
    directory: &DirectoryMirror,
    packages: &[&SpackHalf],
) -> Result<(), Error> {
    if !directory.has_spack_half() {
        return Ok(());
    }
    let mut publications = Vec::new();
    for SpackHalf { file, name, layer } in packages {
        let there = directory.read_spack_entry(name).ok().flatten();
        if let Some(entry) = there
            && entry.layer.digest == layer.digest
            && directory.is_spack_entry_complete(&entry)?
        {
            continue;
        }
        directory.share_with_spack(&layer.digest, layer.size)?;
        publications.push(SpackPublication {
            name: name.clone(),
            layer: BlobRecord::new(BlobKind::Layer, layer.digest, layer.size),
            spec: directory.put_spec_blob(&file.v5_spec_text())?,
        });
    }
    directory.publish_spack(&publications)
}
