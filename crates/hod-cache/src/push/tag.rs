//! `--tag`: one more image, of all that was asked for.

use std::collections::HashMap;
use std::io::Read;

use hod_archive::Encoders;
use hod_mirror::Mirror;
use hod_mirror::oci::{Descriptor, ImageConfig, Kind as _, Tag};
use hod_spec::{DagHash, Spec, Topological};

use super::destination::Destination;
use super::ground::Grounds;
use super::{Outcome, PushOptions};
use crate::environment::Inspected;
use crate::image::budget::LayerBudget;
use crate::image::{self, Layer, Rendered, Tagged, platform_of, publish_tag};
use crate::{Error, Installed, LocalStore, Package};

/// All that a tagged image is made from.
pub(super) struct Tagging<'a> {
    pub(super) mirror: &'a Mirror,
    pub(super) destination: &'a dyn Destination,
    pub(super) outcomes: &'a [Outcome],
    /// Layers that are known from this push.
    pub(super) layers: &'a HashMap<DagHash, Option<Layer>>,
    pub(super) grounds: &'a Grounds<'a>,
    pub(super) store: &'a LocalStore,
    pub(super) options: &'a PushOptions,
}

impl Tagging<'_> {
    pub(super) fn publish(&self, tag: &Tag) -> Result<Tagged, Error> {
        let image = match self.roots()[..] {
            [] => self.of_prefix(tag)?,
            ref roots => self.of_specs(tag, roots)?,
        };
        self.grounds.wait()?;
        publish_tag(self.mirror.images(), tag, &image)
    }

    /// What the image is of: what was asked for, else everything.
    fn roots(&self) -> Vec<&Installed> {
        let asked = &self.options.roots;
        let specs = self.outcomes.iter().filter_map(|outcome| outcome.package.as_installed());
        specs.filter(|spec| asked.is_empty() || asked.contains(&spec.hash())).collect()
    }

    fn of_specs(&self, tag: &Tag, roots: &[&Installed]) -> Result<Rendered, Error> {
        let store = roots[0].store();
        let specs: Vec<&Spec> = roots.iter().map(|root| root.spec()).collect();
        let order = Topological::new(store, specs.iter().copied());
        let mut layers = Vec::new();
        for spec in order.dependencies_first().filter(|spec| spec.external.is_none()) {
            let known = self.layers.get(&spec.hash).copied().flatten();
            let layer = match known {
                Some(layer) => Some(layer),
                None => self.destination.layer(spec)?.map(|(layer, _)| layer),
            };
            let missing = || Error::TagLacks { tag: tag.to_string(), package: spec.label() };
            layers.push(layer.ok_or_else(missing)?);
        }
        let ground = self.grounds.of(&platform_of(specs[0]));
        let encoders = Encoders::new(self.options.jobs.get());
        let budget = LayerBudget {
            mirror: self.mirror.images(),
            store: self.store,
            spool: &self.store.spool_directory(),
            encoders: &encoders,
            encoding: self.options.encoding,
            max_layers: self.options.images.max_layers,
            cancel: &self.options.cancel,
        };
        let layers = budget.fit(tag.as_str(), layers, ground.base, &|layer| self.open(layer))?;
        image::render_roots(ground, store, &specs, &layers, &mut Inspected::default())
    }

    /// The image of the one prefix that was pushed, which is in the mirror already.
    fn of_prefix(&self, tag: &Tag) -> Result<Rendered, Error> {
        let error = |source| Error::mirror(self.mirror, source);
        let lacks = |package: String| Error::TagLacks { tag: tag.to_string(), package };
        let [Outcome { package, result: Ok(pushed) }] = self.outcomes else {
            return Err(Error::TagOfPrefixes { tag: tag.to_string() });
        };
        let images = self.mirror.images();
        let name = pushed.image.as_ref().ok_or_else(|| lacks(package.label()))?;
        let manifest = images.manifest(&name.tag).map_err(error)?;
        let manifest = manifest.ok_or_else(|| lacks(package.label()))?;
        let config = manifest.clone().into_manifest().map_err(error)?.config.clone();
        let config = images.read_blob(&config, ImageConfig::LIMIT).map_err(error)?;
        Ok(Rendered { config, manifest, platform: super::ground::platform(package) })
    }

    /// A layer's blob, from here if it is here.
    fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
        if let Some(path) = self.store.verified_blob(&layer.digest, layer.size)
            && let Ok(file) = fs_err::File::open(path)
        {
            return Ok(Box::new(file));
        }
        let descriptor = Descriptor::new(layer.codec.media_type(), layer.digest, layer.size);
        let images = self.mirror.images();
        images.open_blob(&descriptor).map_err(|source| Error::mirror(self.mirror, source))
    }
}

/// Whether a tag can be of these packages: of specs, or of one prefix.
pub(super) fn suits(packages: &[Package]) -> bool {
    let prefixes = packages.iter().filter(|package| package.as_installed().is_none()).count();
    prefixes == 0 || packages.len() == 1
}
