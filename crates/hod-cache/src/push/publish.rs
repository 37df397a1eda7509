//! Names for what is complete: of a prefix its image, of a spec its entry in the build cache at
//! once and its image as soon as the layers of its dependencies are in the mirror.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use hod_mirror::oci::{PackageFacts, Tag};
use hod_mirror::{Patience, SpackPublication, Waiting};
use hod_spec::{DagHash, Spec, Topological};

use super::destination::{Arrived, Destination, Message, ReadyImage};
use super::ground::Grounds;
use super::lane::{Names, Prepared};
use super::{Image, Only, Outcome, PushOptions, Pushed};
use crate::environment::Inspected;
use crate::image::{self, Layer, Rendered, platform_of};
use crate::{Error, Event, Installed, Package, Reporter, package};

/// The one who publishes. Works in the order in which packages become ready.
pub(super) struct Publisher<'a> {
    destination: &'a dyn Destination,
    packages: &'a [Package],
    grounds: &'a Grounds<'a>,
    options: &'a PushOptions,
    reporter: &'a dyn Reporter,
    /// All specs of this push.
    pushed: HashSet<DagHash>,
    /// Specs of this push whose layer is neither in the mirror nor given up.
    open: HashSet<DagHash>,
    /// Layers of specs; `None`: there is none, and there will be none.
    layers: HashMap<DagHash, Option<Layer>>,
    /// Packages of which one half is known: what was packed, or that it was uploaded.
    halves: HashMap<usize, Half>,
    /// Images whose own layer is still on its way.
    early: HashMap<usize, ReadyImage>,
    /// Packages that wait for the layers of others, and for how many.
    waiting: HashMap<usize, (Prepared, usize)>,
    /// Which packages wait for a layer.
    dependents: HashMap<DagHash, Vec<usize>>,
    /// Packages that wait for nothing any more.
    ready: Vec<(usize, Prepared)>,
    /// Packages whose images are on their way to their names.
    publishing: HashMap<usize, Prepared>,
    inspected: Inspected,
    outcomes: Vec<Option<Outcome>>,
    /// How many packages have no outcome yet.
    unsettled: usize,
}

enum Half {
    Prepared(Box<Prepared>),
    Uploaded(Result<(), Error>),
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        destination: &'a dyn Destination,
        packages: &'a [Package],
        grounds: &'a Grounds<'a>,
        options: &'a PushOptions,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let pushed = packages.iter().filter_map(Package::as_installed);
        Self {
            destination,
            packages,
            grounds,
            options,
            reporter,
            pushed: pushed.map(Installed::hash).collect(),
            open: HashSet::new(),
            layers: HashMap::new(),
            halves: HashMap::new(),
            early: HashMap::new(),
            waiting: HashMap::new(),
            dependents: HashMap::new(),
            ready: Vec::new(),
            publishing: HashMap::new(),
            inspected: Inspected::default(),
            outcomes: packages.iter().map(|_| None).collect(),
            unsettled: 0,
        }
    }

    /// This package will come.
    pub(super) fn expect(&mut self, index: usize) {
        self.open.extend(self.hash(index));
        self.unsettled += 1;
    }

    /// Nothing has to be done for this one.
    pub(super) fn settle(&mut self, index: usize, pushed: Pushed) {
        self.unsettled += 1;
        self.end(index, Ok(pushed));
    }

    /// Whether something is still to come.
    pub(super) fn is_open(&self) -> bool {
        self.unsettled > 0
    }

    /// What came of the packages, in their order; and the layers that are known.
    pub(super) fn into_parts(self) -> (Vec<Outcome>, HashMap<DagHash, Option<Layer>>) {
        (self.outcomes.into_iter().flatten().collect(), self.layers)
    }

    /// Goes on with what `batch` tells.
    pub(super) fn take(&mut self, mut batch: Vec<Message>, messages: &Sender<Message>) {
        let mut arrived = Vec::new();
        // What was published together is told in the order of the packages.
        batch.sort_by_key(|message| match message {
            Message::Published(index, _) => Some(*index),
            _ => None,
        });
        for message in batch {
            match message {
                Message::Prepared(index, Ok((prepared, Arrived::Already))) => {
                    arrived.push((index, *prepared));
                }
                Message::Prepared(index, Ok((prepared, Arrived::Later))) => {
                    let half = Half::Prepared(prepared);
                    arrived.extend(self.join(index, half));
                }
                Message::Uploaded(index, result) => {
                    arrived.extend(self.join(index, Half::Uploaded(result)));
                }
                Message::Prepared(index, Err(error)) => self.fail(index, error),
                Message::Published(index, result) => self.published(index, result),
                Message::LaneEnded { .. } => {}
            }
        }
        for (index, prepared) in self.entries(arrived) {
            let layer = prepared.layer;
            if let Some(hash) = self.hash(index) {
                self.close(hash, Some(layer));
            }
            self.wait(index, prepared);
        }
        self.images(messages);
    }

    /// Both halves of a package, once they are there.
    fn join(&mut self, index: usize, half: Half) -> Option<(usize, Prepared)> {
        let other = self.halves.remove(&index);
        match (half, other) {
            // A package that failed while it was packed has had its outcome.
            (Half::Uploaded(_), None) if self.outcomes[index].is_some() => None,
            (Half::Prepared(prepared), Some(Half::Uploaded(result)))
            | (Half::Uploaded(result), Some(Half::Prepared(prepared))) => match result {
                Ok(()) => Some((index, *prepared)),
                Err(error) => {
                    self.fail(index, error);
                    None
                }
            },
            (half, _) => {
                if let Half::Prepared(prepared) = &half
                    && let Some(image) = self.anticipated(index, prepared)
                {
                    self.destination.prepare(&image);
                    self.early.insert(index, image);
                }
                self.halves.insert(index, half);
                None
            }
        }
    }

    /// The image of a package whose layer is on its way, if all others it needs are in the mirror:
    /// much of it can be sent meanwhile.
    fn anticipated(&mut self, index: usize, prepared: &Prepared) -> Option<ReadyImage> {
        let Names::Spec { spec_text, facts, .. } = &prepared.names else { return None };
        let installed = self.packages[index].as_installed()?;
        let layer = |spec: &Spec| {
            let is_own = spec.hash == installed.hash();
            if is_own { Some(prepared.layer) } else { *self.layers.get(&spec.hash)? }
        };
        let layers: Option<Vec<Layer>> = needed(installed).map(layer).collect();
        let layers = layers.filter(|_| prepared.pushed.image.is_none())?;
        let facts = facts.as_deref();
        let (tag, image) = self.render(installed, &layers, spec_text, facts).ok()?;
        let may_be_there = !prepared.pushed.was_packed;
        Some(ReadyImage { index, tag, image, may_be_there })
    }

    fn render(
        &mut self,
        installed: &Installed,
        layers: &[Layer],
        spec_text: &str,
        facts: Option<&PackageFacts>,
    ) -> Result<(Tag, Rendered), Error> {
        let ground = self.grounds.of(&platform_of(installed.spec()));
        let inspected = &mut self.inspected;
        let image = image::render_spec(ground, installed, layers, spec_text, facts, inspected)?;
        let tag = package::spack_tag(installed.spec());
        let tag = Tag::for_spack_entry(tag).expect("made of the characters a tag may have");
        Ok((tag, image))
    }

    /// Publishes the entries of the build cache; returns what has them.
    fn entries(&mut self, prepared: Vec<(usize, Prepared)>) -> Vec<(usize, Prepared)> {
        let publications: Vec<SpackPublication> = prepared
            .iter()
            .filter_map(|(_, ready)| match &ready.names {
                Names::Spec { entry, .. } => entry.as_deref().cloned(),
                Names::Plain(_) => None,
            })
            .collect();
        if publications.is_empty() {
            return prepared;
        }
        let Err(source) = self.destination.publish_entries(&publications) else {
            return prepared;
        };
        let source = Arc::new(source);
        let mut rest = Vec::new();
        for (index, ready) in prepared {
            match ready.names {
                Names::Spec { entry: Some(_), .. } => {
                    self.fail(index, Error::publish(self.destination.place(), &source));
                }
                _ => rest.push((index, ready)),
            }
        }
        rest
    }

    /// Keeps a package until the layers of all that it needs are in the mirror.
    fn wait(&mut self, index: usize, prepared: Prepared) {
        let needed = match (&prepared.names, self.packages[index].as_installed()) {
            (Names::Spec { .. }, Some(installed)) if prepared.pushed.image.is_none() => {
                needed(installed).map(|spec| spec.hash).collect()
            }
            _ => Vec::new(),
        };
        let mut open = 0;
        for hash in needed {
            if self.open.contains(&hash) {
                self.dependents.entry(hash).or_default().push(index);
                open += 1;
            }
        }
        if open == 0 {
            self.ready.push((index, prepared));
        } else {
            self.waiting.insert(index, (prepared, open));
        }
    }

    /// The layer of a spec is in the mirror, or will never be.
    fn close(&mut self, hash: DagHash, layer: Option<Layer>) {
        self.layers.insert(hash, layer);
        self.open.remove(&hash);
        for index in self.dependents.remove(&hash).unwrap_or_default() {
            let Some((_, open)) = self.waiting.get_mut(&index) else { continue };
            *open -= 1;
            if *open == 0 {
                self.ready.extend(self.waiting.remove(&index).map(|(ready, _)| (index, ready)));
            }
        }
    }

    /// Publishes the images of whatever waits for nothing any more.
    fn images(&mut self, messages: &Sender<Message>) {
        let mut images = Vec::new();
        for (index, mut prepared) in std::mem::take(&mut self.ready) {
            match self.image(index, &mut prepared) {
                Ok(Some((tag, image))) => {
                    let may_be_there = !prepared.pushed.was_packed;
                    images.push(ReadyImage { index, tag, image, may_be_there });
                    self.publishing.insert(index, prepared);
                }
                Ok(None) => {
                    self.publishing.insert(index, prepared);
                    let _ = messages.send(Message::Published(index, Ok(())));
                }
                Err(error) => self.end(index, Err(error)),
            }
        }
        if images.is_empty() {
            return;
        }
        let on_wait = |waiting: &Waiting| self.reporter.report(Event::Waiting { waiting });
        let cancel = self.options.cancel.clone();
        let patience = Patience { cancel, on_wait: &on_wait, ..Patience::default() };
        self.destination.publish(images, &patience, messages);
    }

    fn published(&mut self, index: usize, result: Result<(), Error>) {
        let prepared = self.publishing.remove(&index).expect("what is published was prepared");
        self.end(index, result.map(|()| prepared.finish()));
    }

    /// What to publish as the image of a package; nothing if it is there, or if something it needs
    /// is missing.
    fn image(
        &mut self,
        index: usize,
        prepared: &mut Prepared,
    ) -> Result<Option<(Tag, Rendered)>, Error> {
        let (spec_text, facts) = match &mut prepared.names {
            Names::Plain(image) => {
                return Ok(image.take().map(|(tag, image)| (tag, *image)));
            }
            Names::Spec { spec_text, facts, .. } => (&*spec_text, facts.as_deref()),
        };
        if prepared.pushed.image.is_some() {
            return Ok(None);
        }
        if let Some(ReadyImage { tag, image, .. }) = self.early.remove(&index) {
            return self.named(prepared, tag, image);
        }
        let package = &self.packages[index];
        let installed = package.as_installed().expect("specs have specs");
        let mut layers = Vec::new();
        for spec in needed(installed) {
            match self.layer(spec)? {
                Some(layer) => layers.push(layer),
                None if self.options.only == Only::Package => {}
                None => {
                    prepared.pushed.held_back = Some(spec.label());
                    return Ok(None);
                }
            }
        }
        let (tag, image) = self.render(installed, &layers, spec_text, facts)?;
        self.named(prepared, tag, image)
    }

    /// An image that gets its name as soon as what it stands on is there.
    fn named(
        &self,
        prepared: &mut Prepared,
        tag: Tag,
        image: Rendered,
    ) -> Result<Option<(Tag, Rendered)>, Error> {
        self.grounds.wait()?;
        let (name, manifest) = (tag.to_string(), image.manifest.digest);
        prepared.pushed.image = Some(Image { tag: name, manifest });
        Ok(Some((tag, image)))
    }

    /// The layer of a dependency: of this push, or one that is in the mirror.
    fn layer(&mut self, spec: &Spec) -> Result<Option<Layer>, Error> {
        if let Some(known) = self.layers.get(&spec.hash) {
            return Ok(*known);
        }
        let layer = if self.options.only == Only::Package && !self.pushed.contains(&spec.hash) {
            None
        } else {
            self.destination.layer(spec)?.map(|(layer, _)| layer)
        };
        self.layers.insert(spec.hash, layer);
        Ok(layer)
    }

    fn fail(&mut self, index: usize, error: Error) {
        self.halves.remove(&index);
        self.early.remove(&index);
        if let Some(hash) = self.hash(index) {
            self.close(hash, None);
        }
        self.end(index, Err(error));
    }

    fn end(&mut self, index: usize, result: Result<Pushed, Error>) {
        let outcome = Outcome { package: self.packages[index].clone(), result };
        let label = outcome.package.label();
        self.reporter.report(Event::Ended { package: &label, outcome: &outcome });
        self.outcomes[index] = Some(outcome);
        self.unsettled -= 1;
    }

    fn hash(&self, index: usize) -> Option<DagHash> {
        Some(self.packages[index].as_installed()?.hash())
    }
}

/// What is in the image of a spec, lowest first, itself last.
fn needed(installed: &Installed) -> impl Iterator<Item = &Spec> {
    let order = Topological::new(installed.store(), [installed.spec()]);
    let needed: Vec<&Spec> =
        order.dependencies_first().filter(|spec| spec.external.is_none()).collect();
    needed.into_iter()
}
