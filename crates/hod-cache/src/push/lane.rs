//! One package on its way into a mirror: everything but its names.

use std::time::Instant;

use hod_archive::Encoders;
use hod_mirror::SpackPublication;
use hod_mirror::oci::{PackageFacts, Tag};

use super::describe::Contents;
use super::destination::{Arrived, Probe};
use super::ground::{self, Grounds};
use super::layer::{PackedLayer, Way, Workshop};
use super::{Image, Pushed};
use crate::image::{self, Layer, Rendered};
use crate::{Error, Event, Installed, package};

/// A thread that prepares packages.
pub(super) struct Lane<'a> {
    pub(super) workshop: Workshop<'a>,
    pub(super) encoders: &'a Encoders,
    pub(super) grounds: &'a Grounds<'a>,
}

/// A package whose layer is packed, perhaps still without a name.
pub(super) struct Prepared {
    pub(super) pushed: Pushed,
    pub(super) layer: Layer,
    pub(super) names: Names,
    start: Instant,
}

/// What is to be published of a package.
pub(super) enum Names {
    /// A prefix has an image of one layer. `None` if the mirror has it already.
    Plain(Option<(Tag, Box<Rendered>)>),
    /// A spec has an entry in the build cache, unless it is there already, and an image that needs
    /// the layers of its dependencies.
    Spec {
        entry: Option<Box<SpackPublication>>,
        spec_text: String,
        facts: Option<Box<PackageFacts>>,
    },
}

impl Prepared {
    /// After publication.
    pub(super) fn finish(self) -> Pushed {
        Pushed { took: self.start.elapsed(), ..self.pushed }
    }
}

impl Lane<'_> {
    pub(super) fn prepare(
        &self,
        way: Way<'_>,
        probe: &Probe,
    ) -> Result<(Prepared, Arrived), Error> {
        let start = Instant::now();
        self.workshop.reporter.report(Event::Started { package: &way.package.label() });
        match way.package.as_installed() {
            None => self.prefix(way, start),
            Some(installed) => self.spec(way, installed, probe, start),
        }
    }

    fn packed(&self, way: Way<'_>) -> Result<PackedLayer, Error> {
        let frame = self.workshop.frame(way.package);
        match self.workshop.known(way, &frame)? {
            Some(known) => Ok(known),
            None => self.workshop.pack(way, &frame, self.encoders),
        }
    }

    fn prefix(&self, way: Way<'_>, start: Instant) -> Result<(Prepared, Arrived), Error> {
        let PackedLayer { layer, facts, was_packed, arrived } = self.packed(way)?;
        let pushed = pushed(&layer, Some(&facts), facts.hash.clone(), was_packed);
        let tag = package::tag(way.package.name(), way.package.version(), &facts.hash);
        let image = image::render_plain(
            self.grounds.of(&ground::platform(way.package)),
            way.package,
            &layer,
            facts,
        )?;
        let tag = Tag::new(tag).expect("made of the characters a tag may have");
        let manifest = image.manifest.digest;
        // A forced push writes again what only looks as if it were there.
        let is_forced = self.workshop.options.force;
        let named = !is_forced && way.destination.is_named(tag.as_str(), &manifest)?;
        let named_image = Some(Image { tag: tag.to_string(), manifest });
        let pushed = Pushed { image: named_image, was_there: named && !was_packed, ..pushed };
        let names = Names::Plain((!named).then(|| (tag, Box::new(image))));
        Ok((Prepared { pushed, layer, names, start }, arrived))
    }

    fn spec(
        &self,
        way: Way<'_>,
        installed: &Installed,
        probe: &Probe,
        start: Instant,
    ) -> Result<(Prepared, Arrived), Error> {
        let Way { package, destination, .. } = way;
        let spec = installed.spec();
        // Before anything is packed: a prefix without its metadata is damaged.
        let metadata = installed.store().metadata(&spec.hash).map_err(|source| {
            Error::Installed { package: package.label(), source: Box::new(source) }
        })?;
        let is_forced = self.workshop.options.force;
        let there = if is_forced { None } else { destination.layer(spec)? };
        let (layer, facts, was_packed, arrived) = if let Some((layer, facts)) = there {
            // An entry of the build cache says nothing of the tree; the last pack may.
            let recalled = || {
                let record = self.workshop.record(package, &self.workshop.frame(package))?;
                (record.digest() == Some(layer.digest)).then_some(record.facts)
            };
            (layer, facts.or_else(recalled), false, Arrived::Already)
        } else {
            let packed = self.packed(way)?;
            (packed.layer, Some(packed.facts), packed.was_packed, packed.arrived)
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
            destination.entry(spec, &spec_text, &layer)?.map(Box::new)
        };
        // The image stays as it is if it is of this very layer.
        let is_kept = !is_forced && probe.image_layer == Some(layer.digest);
        let image = probe.image.as_ref().filter(|_| is_kept);
        pushed.image =
            image.map(|image| Image { tag: package::spack_tag(spec), manifest: image.digest });
        pushed.was_there = is_there && image.is_some() && !was_packed;
        let names = Names::Spec { entry, spec_text, facts: facts.map(Box::new) };
        Ok((Prepared { pushed, layer, names, start }, arrived))
    }
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
