//! What leads where: from tags over manifests to configs and layers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use hod_archive::{Codec, DiffId, Digest};

use super::blob::Facts;
use super::problem::with_sources;
use super::{Problem, Role, Run, Tags};
use crate::error::Error;
use crate::oci::{Descriptor, Document, ImageConfig, Index, Kind, Manifest, media_type};
use crate::parallel;

/// Indexes inside indexes are followed this far.
const NESTING_LIMIT: usize = 8;

/// An entry of the index.
pub(super) struct Root {
    pub(super) descriptor: Descriptor,
    pub(super) tags: Tags,
}

/// All documents of a mirror, without their bytes.
#[derive(Default)]
pub(super) struct Graph {
    nodes: BTreeMap<Digest, Node>,
    configs: BTreeMap<Digest, ConfigFacts>,
    /// What the documents are as blobs; they need not be read again.
    pub(super) read: BTreeMap<Digest, Result<Facts, Problem>>,
    pub(super) unchecked: u64,
    /// Whether all that may name blobs was understood.
    pub(super) is_complete: bool,
}

enum Node {
    Manifest { config: Box<Descriptor>, layers: Vec<Descriptor>, subject: Option<Box<Descriptor>> },
    Index { children: Vec<Descriptor> },
}

struct ConfigFacts {
    diff_ids: Vec<DiffId>,
    uncompressed_size: Option<u64>,
}

/// Everything said of one blob.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) role: Role,
    pub(super) tags: Tags,
    /// Each size some descriptor names, and who relies on it.
    pub(super) sizes: BTreeMap<u64, Tags>,
    pub(super) layers: Vec<LayerClaim>,
    /// It is a compressed archive, of which nothing more is said.
    pub(super) is_archive: bool,
    /// What is wrong with it as a config, whatever its bytes.
    pub(super) problems: BTreeMap<Problem, Tags>,
    pub(super) may_be_absent: bool,
}

/// What a config says of a layer.
pub(super) struct LayerClaim {
    pub(super) codec: Codec,
    pub(super) tags: Tags,
    diff_id: DiffId,
    uncompressed_size: Option<u64>,
}

impl LayerClaim {
    pub(super) fn compare(&self, facts: &Facts) -> Option<Problem> {
        match facts.stream {
            Some((codec, found, _)) if codec == self.codec && found != self.diff_id => {
                Some(Problem::WrongDiffId { expected: self.diff_id, found })
            }
            Some((codec, _, found)) if codec == self.codec => self
                .uncompressed_size
                .filter(|expected| *expected != found)
                .map(|expected| Problem::WrongUncompressedSize { expected, found }),
            _ => None,
        }
    }
}

/// Reads all manifests, level by level, and then their configs.
pub(super) fn read(run: &Run<'_>, roots: &[Root]) -> Result<Graph, Error> {
    let mut graph = Graph { is_complete: true, ..Graph::default() };
    let mut level: Vec<Descriptor> = roots.iter().map(|root| root.descriptor.clone()).collect();
    for depth in 0..=NESTING_LIMIT {
        level.retain(|descriptor| is_node(&descriptor.media_type));
        level.sort_by_key(|descriptor| descriptor.digest);
        level.dedup_by_key(|descriptor| descriptor.digest);
        level.retain(|descriptor| !graph.read.contains_key(&descriptor.digest));
        if level.is_empty() {
            break;
        }
        if depth == NESTING_LIMIT {
            graph.is_complete = false;
            break;
        }
        let read =
            parallel::map(&level, run.jobs, run.cancel, |descriptor| read_node(run, descriptor))?;
        let mut next = Vec::new();
        for (descriptor, DocumentRead { blob, view, is_foreign }) in level.iter().zip(read) {
            graph.unchecked += u64::from(is_foreign);
            // Of an image copied sparsely, the other platforms are absent with all they name.
            let is_sparse = depth > 0 && matches!(blob, Err(Problem::Missing { .. }));
            graph.is_complete &= view.is_some() || is_sparse;
            graph.read.insert(descriptor.digest, blob);
            if let Some(node) = view {
                if let Node::Index { children } = &node {
                    next.extend(children.iter().cloned());
                }
                graph.nodes.insert(descriptor.digest, node);
            }
        }
        level = next;
    }
    let unknown = roots.iter().filter(|root| !is_node(&root.descriptor.media_type)).count();
    graph.unchecked += unknown as u64;
    graph.is_complete &= unknown == 0;
    graph.read_configs(run)?;
    Ok(graph)
}

impl Graph {
    pub(super) fn manifest_count(&self) -> u64 {
        self.nodes.values().filter(|node| matches!(node, Node::Manifest { .. })).count() as u64
    }

    /// Follows every root and collects what is said of each blob on the way.
    pub(super) fn expectations(&self, roots: &[Root]) -> BTreeMap<Digest, Expected> {
        let mut expected = BTreeMap::new();
        for Root { descriptor, tags } in roots {
            let role = if is_node(&descriptor.media_type) { Role::Manifest } else { Role::Other };
            let mut visit = Visit { graph: self, tags, expected: &mut expected };
            visit.descriptor(descriptor, role, false, 0);
        }
        expected
    }

    fn read_configs(&mut self, run: &Run<'_>) -> Result<(), Error> {
        let configs: BTreeSet<Digest> = (self.nodes.values())
            .filter_map(|node| match node {
                Node::Manifest { config, .. } => Some(config),
                Node::Index { .. } => None,
            })
            .filter(|config| media_type::is_config(&config.media_type))
            .map(|config| config.digest)
            .filter(|digest| !self.read.contains_key(digest))
            .collect();
        let configs: Vec<Digest> = configs.into_iter().collect();
        let read = parallel::map(&configs, run.jobs, run.cancel, |digest| {
            read_document::<ImageConfig>(run, digest, is_foreign_config).map(ConfigFacts::of)
        })?;
        for (digest, DocumentRead { blob, view, is_foreign }) in configs.into_iter().zip(read) {
            self.unchecked += u64::from(is_foreign);
            self.read.insert(digest, blob);
            if let Some(facts) = view {
                self.configs.insert(digest, facts);
            }
        }
        Ok(())
    }
}

impl ConfigFacts {
    fn of(config: Document<ImageConfig>) -> Self {
        let ImageConfig { rootfs, hod, .. } = config.into_view();
        Self {
            diff_ids: rootfs.diff_ids,
            uncompressed_size: hod.map(|facts| facts.uncompressed_size).filter(|size| *size > 0),
        }
    }
}

struct Visit<'a> {
    graph: &'a Graph,
    tags: &'a Tags,
    expected: &'a mut BTreeMap<Digest, Expected>,
}

impl Visit<'_> {
    fn descriptor(&mut self, it: &Descriptor, role: Role, may_be_absent: bool, depth: usize) {
        self.expect(it, role, may_be_absent);
        match self.graph.nodes.get(&it.digest) {
            // A tool that copies one platform of an image keeps the whole index (skopeo's sparse
            // copies), so the others may be absent.
            Some(Node::Index { children }) if depth < NESTING_LIMIT => {
                for child in children {
                    let role =
                        if is_node(&child.media_type) { Role::Manifest } else { Role::Other };
                    self.descriptor(child, role, true, depth + 1);
                }
            }
            Some(Node::Manifest { config, layers, subject }) => {
                self.expect(config, Role::Config, false);
                for layer in layers {
                    self.expect(layer, Role::Layer, media_type::may_be_absent(&layer.media_type));
                }
                if let Some(subject) = subject {
                    self.expect(subject, Role::Other, true);
                }
                if let Some(facts) = self.graph.configs.get(&config.digest) {
                    self.diff_ids(config, layers, facts);
                }
            }
            _ => {}
        }
    }

    fn expect(&mut self, it: &Descriptor, role: Role, may_be_absent: bool) -> &mut Expected {
        let fresh = || Expected { role, may_be_absent, ..Expected::default() };
        let expected = self.expected.entry(it.digest).or_insert_with(fresh);
        expected.may_be_absent &= may_be_absent;
        if expected.role == Role::Other {
            expected.role = role;
        }
        expected.tags.extend(self.tags.iter().cloned());
        expected.sizes.entry(it.size).or_default().extend(self.tags.iter().cloned());
        expected
    }

    fn diff_ids(&mut self, config: &Descriptor, layers: &[Descriptor], facts: &ConfigFacts) {
        if facts.diff_ids.len() != layers.len() {
            let (expected, found) = (layers.len(), facts.diff_ids.len());
            let problem = Problem::WrongDiffIdCount { expected, found };
            let tags = self.tags;
            let config = self.expect(config, Role::Config, false);
            config.problems.entry(problem).or_default().extend(tags.iter().cloned());
            return;
        }
        let last = layers.len().saturating_sub(1);
        for (position, (layer, &diff_id)) in layers.iter().zip(&facts.diff_ids).enumerate() {
            let Some(codec) = Codec::from_media_type(&layer.media_type) else { continue };
            // The package itself is always the last layer; what Hod knows is of it alone.
            let uncompressed_size = facts.uncompressed_size.filter(|_| position == last);
            let Some(expected) = self.expected.get_mut(&layer.digest) else { continue };
            let same = |it: &&mut LayerClaim| {
                (it.codec, it.diff_id, it.uncompressed_size) == (codec, diff_id, uncompressed_size)
            };
            match expected.layers.iter_mut().find(same) {
                Some(claim) => claim.tags.extend(self.tags.iter().cloned()),
                None => expected.layers.push(LayerClaim {
                    codec,
                    tags: self.tags.clone(),
                    diff_id,
                    uncompressed_size,
                }),
            }
        }
    }
}

/// One document read: what it is as a blob, and what it says.
struct DocumentRead<T> {
    blob: Result<Facts, Problem>,
    view: Option<T>,
    is_foreign: bool,
}

impl<T> DocumentRead<T> {
    fn map<U>(self, view: impl FnOnce(T) -> U) -> DocumentRead<U> {
        DocumentRead { blob: self.blob, view: self.view.map(view), is_foreign: self.is_foreign }
    }
}

fn is_node(media_type: &str) -> bool {
    media_type::is_manifest(media_type) || media_type::is_index(media_type)
}

fn read_node(run: &Run<'_>, descriptor: &Descriptor) -> DocumentRead<Node> {
    let digest = &descriptor.digest;
    if media_type::is_index(&descriptor.media_type) {
        read_document::<Index>(run, digest, names_other_algorithms)
            .map(|index| Node::Index { children: index.descriptors().flatten().collect() })
    } else {
        read_document::<Manifest>(run, digest, names_other_algorithms).map(|manifest| {
            let Manifest { config, layers, subject, .. } = manifest.into_view();
            Node::Manifest { config: Box::new(config), layers, subject: subject.map(Box::new) }
        })
    }
}

/// Reads a document whatever size its descriptors name: that is compared later, with all of them.
fn read_document<T: Kind>(
    run: &Run<'_>,
    digest: &Digest,
    is_foreign: impl Fn(&serde_json::Value) -> bool,
) -> DocumentRead<Document<T>> {
    let failed = |error: &Error| DocumentRead {
        blob: Err(Problem::from_error(error)),
        view: None,
        is_foreign: false,
    };
    let mut bytes = Vec::new();
    let file = match run.mirror.open_blob(digest) {
        Ok(file) => file,
        Err(error) => return failed(&error),
    };
    if let Err(source) = file.take(T::LIMIT + 1).read_to_end(&mut bytes) {
        return failed(&Error::Read { path: run.mirror.blob_path(digest), source });
    }
    let size = bytes.len() as u64;
    run.advance(1, size);
    if size > T::LIMIT {
        return failed(&Error::TooLarge { digest: *digest, size, limit: T::LIMIT });
    }

    let mut facts = Facts::new(Digest::of(&bytes), size);
    if facts.digest != *digest {
        return DocumentRead { blob: Ok(facts), view: None, is_foreign: false };
    }
    let value = serde_json::from_slice(&bytes);
    match Document::parse(bytes) {
        Ok(document) => DocumentRead { blob: Ok(facts), view: Some(document), is_foreign: false },
        Err(error) => {
            let is_foreign = value.is_ok_and(|value| is_foreign(&value));
            if !is_foreign {
                facts.problem = Some(Problem::Unparsable { reason: with_sources(&error) });
            }
            DocumentRead { blob: Ok(facts), view: None, is_foreign }
        }
    }
}

/// Whether a document names content by anything but SHA-256, which the image spec allows.
fn names_other_algorithms(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| match value.as_str() {
            Some(text) => key == "digest" && crate::oci::is_other_algorithm(text),
            None => names_other_algorithms(value),
        }),
        serde_json::Value::Array(items) => items.iter().any(names_other_algorithms),
        _ => false,
    }
}

/// Whether a config is somebody else's idea of one: Spack's index has `{}` under this media type.
fn is_foreign_config(value: &serde_json::Value) -> bool {
    value.as_object().is_some_and(|config| !config.contains_key("hod"))
}
