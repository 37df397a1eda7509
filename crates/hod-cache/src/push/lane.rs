//! One package on its way into a mirror: everything but its names.

use std::time::Instant;

use hod_archive::Encoders;
use hod_mirror::oci::{Descriptor, PackageFacts, Tag};
use hod_mirror::spack::{BlobKind, BlobRecord};
use hod_mirror::{DirectoryMirror, Publication, SpackPublication};

use super::describe::Contents;
use super::layer::{PackedLayer, Workshop};
use super::probe::{self, Probe, Tags, entry_name};
use super::{Image, Pushed};
use crate::image::{self, Layer, Rendered};
use crate::{Error, Event, Installed, Package, package};

/// A thread that prepares packages.
pub(super) struct Lane<'a> {
    pub(super) mirror: &'a DirectoryMirror,
    pub(super) tags: &'a Tags,
    pub(super) workshop: Workshop<'a>,
    pub(super) encoders: &'a Encoders,
}

/// A package whose blobs are in the mirror, perhaps still without a name.
pub(super) struct Prepared {
    pub(super) pushed: Pushed,
    pub(super) layer: Layer,
    pub(super) names: Names,
    start: Instant,
}

/// What is to be published of a package.
pub(super) enum Names {
    /// A prefix has an image of one layer. `None` if the mirror has it already.
    Plain(Option<Publication>),
    /// A spec has an entry in the build cache, unless it is there already, and an image that needs
    /// the layers of its dependencies.
    Spec { entry: Option<SpackPublication>, spec_text: String, facts: Option<Box<PackageFacts>> },
}

impl Prepared {
    /// After publication.
    pub(super) fn finish(self) -> Pushed {
        Pushed { took: self.start.elapsed(), ..self.pushed }
    }
}

impl Lane<'_> {
    pub(super) fn prepare(&self, package: &Package, probe: &Probe) -> Result<Prepared, Error> {
        let start = Instant::now();
        self.workshop.reporter.report(Event::Started { package: &package.label() });
        match package.as_installed() {
            None => self.prefix(package, start),
            Some(installed) => self.spec(package, installed, probe, start),
        }
    }

    fn packed(&self, package: &Package) -> Result<PackedLayer, Error> {
        let frame = self.workshop.frame(package);
        match self.workshop.known(self.mirror, package, &frame)? {
            Some(known) => Ok(known),
            None => self.workshop.pack(self.mirror, package, &frame, self.encoders),
        }
    }

    fn prefix(&self, package: &Package, start: Instant) -> Result<Prepared, Error> {
        let error = |source| Error::mirror(self.mirror, source);
        let PackedLayer { layer, facts, was_packed } = self.packed(package)?;
        let pushed = pushed(&layer, Some(&facts), facts.hash.clone(), was_packed);
        let tag = package::tag(package.name(), package.version(), &facts.hash);
        let manifest = put(self.mirror, &image::render_plain(&layer, facts)?)?;
        let tag = Tag::new(tag).expect("made of the characters a tag may have");
        // The tags of the beginning would do, if nobody else pushed.
        let named = self.mirror.entries().map_err(error)?.into_iter().any(|entry| {
            entry.tag.as_deref() == Some(tag.as_str()) && entry.descriptor.digest == manifest.digest
        });
        let image = Some(Image { tag: tag.to_string(), manifest: manifest.digest });
        let pushed = Pushed { image, was_there: named && !was_packed, ..pushed };
        let publication = (!named).then_some(Publication { tag, descriptor: manifest });
        Ok(Prepared { pushed, layer, names: Names::Plain(publication), start })
    }

    fn spec(
        &self,
        package: &Package,
        installed: &Installed,
        probe: &Probe,
        start: Instant,
    ) -> Result<Prepared, Error> {
        let error = |source| Error::mirror(self.mirror, source);
        let spec = installed.spec();
        // Before anything is packed: a prefix without its metadata is damaged.
        let metadata = installed.store().metadata(&spec.hash).map_err(|source| {
            Error::Installed { package: package.label(), source: Box::new(source) }
        })?;
        let is_forced = self.workshop.options.force;
        let there = if is_forced { None } else { probe::layer(self.mirror, self.tags, spec)? };
        let (layer, facts, was_packed) = if let Some((layer, facts)) = there {
            // An entry of the build cache says nothing of the tree; the last pack may.
            let recalled = || {
                let record = self.workshop.record(package, &self.workshop.frame(package))?;
                (record.digest() == Some(layer.digest)).then_some(record.facts)
            };
            (layer, facts.or_else(recalled), false)
        } else {
            let packed = self.packed(package)?;
            (packed.layer, Some(packed.facts), packed.was_packed)
        };
        let mut pushed = pushed(&layer, facts.as_ref(), spec.hash.to_string(), was_packed);
        let spec_text = metadata.spec_file.v5_spec_text().into_owned();
        // A forced push writes again what only looks as if it were there.
        let is_there = !is_forced && probe.entry.is_some_and(|blob| blob.digest == layer.digest);
        let entry = if is_there {
            None
        } else {
            if probe.is_signed {
                let message = "its entry was signed and is not any more".to_owned();
                let package = &package.label();
                self.workshop.reporter.report(Event::Warning { package, message });
            }
            self.mirror.share_with_spack(&layer.digest, layer.size).map_err(error)?;
            let spec_blob = self.mirror.put_spec_blob(&spec_text).map_err(error)?;
            let layer = BlobRecord::new(BlobKind::Layer, layer.digest, layer.size);
            Some(SpackPublication { name: entry_name(spec)?, layer, spec: spec_blob })
        };
        // The image stays as it is if it is of this very layer.
        let is_kept = !is_forced && probe.image_layer == Some(layer.digest);
        let image = probe.image.as_ref().filter(|_| is_kept);
        pushed.image =
            image.map(|image| Image { tag: package::spack_tag(spec), manifest: image.digest });
        pushed.was_there = is_there && image.is_some() && !was_packed;
        let names = Names::Spec { entry, spec_text, facts: facts.map(Box::new) };
        Ok(Prepared { pushed, layer, names, start })
    }
}

/// Stores the documents of an image and returns its descriptor, still without a name.
pub(super) fn put(mirror: &DirectoryMirror, image: &Rendered) -> Result<Descriptor, Error> {
    let put = |bytes: &[u8]| mirror.put_blob(bytes);
    put(&image.config)
        .and_then(|_| put(&image.manifest.bytes))
        .map_err(|source| Error::mirror(mirror, source))?;
    Ok(Descriptor { platform: Some(image.platform.clone()), ..image.manifest.descriptor() })
}

fn pushed(layer: &Layer, facts: Option<&PackageFacts>, hash: String, was_packed: bool) -> Pushed {
    Pushed {
        hash,
        image: None,
        held_back: None,
        digest: layer.digest,
        diff_id: Some(layer.diff_id),
        size: layer.size,
        uncompressed_size: facts.map(|facts| facts.uncompressed_size),
        contents: facts.map(Contents::from),
        was_there: false,
        was_packed,
        took: std::time::Duration::ZERO,
    }
}
