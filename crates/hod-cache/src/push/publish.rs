//! Names for what is complete: of a prefix its image, of a spec its entry in the build cache at
//! once and its image as soon as the layers of its dependencies are known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hod_mirror::oci::Tag;
use hod_mirror::{DirectoryMirror, Patience, Publication, SpackPublication, Waiting};
use hod_spec::{DagHash, Spec, Topological};

use super::lane::{self, Names, Prepared};
use super::probe::{self, Tags};
use super::{Image, Outcome, PushOptions, Pushed};
use crate::environment::Inspected;
use crate::image::{self, Layer};
use crate::{Error, Event, Installed, Package, Reporter, package};

/// The one who publishes. Works in the order in which packages become ready.
pub(super) struct Publisher<'a> {
    mirror: &'a DirectoryMirror,
    tags: &'a Tags,
    packages: &'a [Package],
    options: &'a PushOptions,
    reporter: &'a dyn Reporter,
    /// All specs of this push.
    pushed: HashSet<DagHash>,
    /// Specs of this push whose outcome is still open.
    open: HashSet<DagHash>,
    /// Layers of specs; `None`: there is none, and there will be none.
    layers: HashMap<DagHash, Option<Layer>>,
    waiting: Vec<(usize, Prepared)>,
    inspected: Inspected,
    outcomes: Vec<Option<Outcome>>,
}

/// What came of the image of a package.
enum Imaged {
    /// A dependency is still open.
    Waits,
    /// There is none to publish: it is there, or something it needs is missing.
    Nothing,
    /// It is in the mirror and needs its name.
    Publish(Box<Publication>),
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        mirror: &'a DirectoryMirror,
        tags: &'a Tags,
        packages: &'a [Package],
        options: &'a PushOptions,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let outcomes = packages.iter().map(|_| None).collect();
        let pushed = packages.iter().filter_map(Package::as_installed);
        let pushed = pushed.map(Installed::hash).collect();
        let (open, layers, waiting) = (HashSet::new(), HashMap::new(), Vec::new());
        let inspected = Inspected::default();
        Self {
            mirror,
            tags,
            packages,
            options,
            reporter,
            pushed,
            open,
            layers,
            waiting,
            inspected,
            outcomes,
        }
    }

    /// This package will come.
    pub(super) fn expect(&mut self, index: usize) {
        self.open.extend(self.hash(index));
    }

    /// Nothing has to be done for this one.
    pub(super) fn settle(&mut self, index: usize, pushed: Pushed) {
        self.end(index, Ok(pushed));
    }

    /// In the order of the packages.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().flatten().collect()
    }

    /// Publishes what can be published of `batch` and of what waits.
    pub(super) fn take(&mut self, batch: Vec<(usize, Result<Prepared, Error>)>) {
        let mut prepared = Vec::new();
        for (index, result) in batch {
            match result {
                Ok(ready) => prepared.push((index, ready)),
                Err(error) => self.fail(index, error),
            }
        }
        for (index, ready) in self.entries(prepared) {
            if let Some(hash) = self.hash(index) {
                self.layers.insert(hash, Some(ready.layer));
                self.open.remove(&hash);
            }
            self.waiting.push((index, ready));
        }
        self.images();
    }

    /// Publishes the entries of the build cache; returns what has them.
    fn entries(&mut self, prepared: Vec<(usize, Prepared)>) -> Vec<(usize, Prepared)> {
        let publications: Vec<SpackPublication> = prepared
            .iter()
            .filter_map(|(_, ready)| match &ready.names {
                Names::Spec { entry, .. } => entry.clone(),
                Names::Plain(_) => None,
            })
            .collect();
        if publications.is_empty() {
            return prepared;
        }
        let Err(source) = self.mirror.publish_spack(&publications) else { return prepared };
        let source = Arc::new(source);
        let mut rest = Vec::new();
        for (index, ready) in prepared {
            match ready.names {
                Names::Spec { entry: Some(_), .. } => self.fail(index, self.unpublished(&source)),
                _ => rest.push((index, ready)),
            }
        }
        rest
    }

    /// Publishes the images of whatever waits for nothing any more.
    fn images(&mut self) {
        let mut publications = Vec::new();
        let mut ready = Vec::new();
        for (index, mut prepared) in std::mem::take(&mut self.waiting) {
            match self.image(index, &mut prepared) {
                Ok(Imaged::Waits) => {
                    self.waiting.push((index, prepared));
                    continue;
                }
                Ok(Imaged::Nothing) => {}
                Ok(Imaged::Publish(publication)) => publications.push(*publication),
                Err(error) => {
                    self.fail(index, error);
                    continue;
                }
            }
            ready.push((index, prepared));
        }
        let on_wait = |waiting: &Waiting| self.reporter.report(Event::Waiting { waiting });
        let cancel = self.options.cancel.clone();
        let patience = Patience { cancel, on_wait: &on_wait, ..Patience::default() };
        // One failure concerns all of the batch, and each of its packages tells it.
        let failure = self.mirror.publish(&publications, &patience).err().map(Arc::new);
        for (index, prepared) in ready {
            let result = match &failure {
                Some(source) if !prepared.pushed.was_there => Err(self.unpublished(source)),
                _ => Ok(prepared.finish()),
            };
            self.end(index, result);
        }
    }

    /// What to publish as the image of a package.
    fn image(&mut self, index: usize, prepared: &mut Prepared) -> Result<Imaged, Error> {
        let package = &self.packages[index];
        let (spec_text, facts) = match &prepared.names {
            Names::Plain(publication) => {
                let publication = publication.clone().map(Box::new);
                return Ok(publication.map_or(Imaged::Nothing, Imaged::Publish));
            }
            Names::Spec { spec_text, facts, .. } => (spec_text, facts.as_deref()),
        };
        if prepared.pushed.image.is_some() {
            return Ok(Imaged::Nothing);
        }
        let installed = package.as_installed().expect("specs have specs");
        let store = installed.store();
        let order = Topological::new(store, [installed.spec()]);
        let needed: Vec<&Spec> =
            order.dependencies_first().filter(|spec| spec.external.is_none()).collect();
        if needed.iter().any(|spec| self.open.contains(&spec.hash)) {
            return Ok(Imaged::Waits);
        }
        let mut layers = Vec::with_capacity(needed.len());
        for spec in needed {
            match self.layer(spec)? {
                Some(layer) => layers.push(layer),
                None if self.options.partial_images => {}
                None => {
                    prepared.pushed.held_back = Some(spec.label());
                    return Ok(Imaged::Nothing);
                }
            }
        }
        let descriptor =
            image::render_spec(installed, &layers, spec_text, facts, &mut self.inspected)?;
        let descriptor = lane::put(self.mirror, &descriptor)?;
        let tag = package::spack_tag(installed.spec());
        prepared.pushed.image = Some(Image { tag: tag.clone(), manifest: descriptor.digest });
        let tag = Tag::for_spack_entry(tag).expect("made of the characters a tag may have");
        Ok(Imaged::Publish(Box::new(Publication { tag, descriptor })))
    }

    /// The layer of a dependency: of this push, or one that is in the mirror.
    fn layer(&mut self, spec: &Spec) -> Result<Option<Layer>, Error> {
        if let Some(known) = self.layers.get(&spec.hash) {
            return Ok(*known);
        }
        let layer = if self.options.partial_images && !self.pushed.contains(&spec.hash) {
            None
        } else {
            probe::layer(self.mirror, self.tags, spec)?.map(|(layer, _)| layer)
        };
        self.layers.insert(spec.hash, layer);
        Ok(layer)
    }

    fn fail(&mut self, index: usize, error: Error) {
        if let Some(hash) = self.hash(index) {
            self.layers.insert(hash, None);
            self.open.remove(&hash);
        }
        self.end(index, Err(error));
    }

    fn end(&mut self, index: usize, result: Result<Pushed, Error>) {
        let outcome = Outcome { package: self.packages[index].clone(), result };
        let label = outcome.package.label();
        self.reporter.report(Event::Ended { package: &label, outcome: &outcome });
        self.outcomes[index] = Some(outcome);
    }

    fn hash(&self, index: usize) -> Option<DagHash> {
        Some(self.packages[index].as_installed()?.hash())
    }

    fn unpublished(&self, source: &Arc<hod_mirror::Error>) -> Error {
        match **source {
            hod_mirror::Error::Cancelled => Error::Cancelled,
            _ => Error::Publish { mirror: self.mirror.to_string(), source: Arc::clone(source) },
        }
    }
}
