//! `spec.json`: one spec with all its dependencies.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::spec::legacy::{LegacyNode, Single, Targets};
use crate::{DagHash, RawJson, Spec, graph};

/// A `spec.json`, or any JSON object with a `spec` in it: Spack's image configs and the spec files
/// of build caches are read the same way. Versions 1 to 5 of the format can be read
/// (`spack-format` 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFile {
    version: u32,
    nodes: Vec<Spec>,
    /// Where the node of each hash is, by hash.
    index: Vec<(DagHash, usize)>,
    spec: RawJson,
}

/// Why some bytes are no `spec.json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecFileError {
    /// Not the JSON it should be.
    #[error("not a spec file")]
    Json(#[from] serde_json::Error),
    /// The bytes are no text.
    #[error("a spec file is UTF-8")]
    NotUtf8(#[from] std::string::FromUtf8Error),
    /// There is no node in it.
    #[error("a spec file without a spec")]
    Empty,
    /// One node is not what it should be.
    #[error("{node} in the spec file is damaged")]
    Node {
        /// Which one.
        node: NodeName,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A node of an old format depends on one that is not there, and its hash cannot be known.
    #[error("`{dependent}` depends on `{dependency}`, which is not in the spec file")]
    Dangling {
        /// The node with the edge.
        dependent: Box<str>,
        /// Where the edge leads.
        dependency: Box<str>,
    },
}

/// How a node that cannot be read is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeName {
    /// By its name, if that much can be read.
    Name(Box<str>),
    /// By its place, the root being 0.
    Index(usize),
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the spec of `{}`", name.escape_debug()),
            Self::Index(0) => f.write_str("the root"),
            Self::Index(index) => write!(f, "node {index}"),
        }
    }
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(deserialize_with = "version")]
    version: u32,
}

/// A number, or one as text.
fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct VersionVisitor;
    impl Visitor<'_> for VersionVisitor {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the version of a spec file")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
            number.try_into().map_err(E::custom)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(VersionVisitor)
}

impl SpecFile {
    /// The version of the format that is written today.
    pub const NEWEST: u32 = 5;

    /// Reads the spec file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, SpecFileError> {
        let text = Arc::new(String::from_utf8(bytes)?);
        let outer: Outer<'_> = serde_json::from_str(&text)?;
        let (version, nodes) = if outer.spec.get().starts_with('[') {
            (1, serde_json::from_str(outer.spec.get())?)
        } else {
            let inner: Inner<'_> = serde_json::from_str(outer.spec.get())?;
            (inner.meta.version, inner.nodes)
        };
        // As in Spack, whatever is not an old version is read as the newest.
        let specs = match version {
            1 if outer.spec.get().starts_with('[') => legacy(&text, &nodes, 1)?,
            2..=4 => legacy(&text, &nodes, version)?,
            _ => newest(&text, &nodes)?,
        };
        let (nodes, index) = unique(specs);
        if nodes.is_empty() {
            return Err(SpecFileError::Empty);
        }
        Ok(Self { version, nodes, index, spec: RawJson::part(&text, outer.spec) })
    }

    /// The version of the format it was read from.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The spec the file is about.
    pub fn root(&self) -> &Spec {
        &self.nodes[0]
    }

    /// All of its specs, the root first, each hash once.
    pub fn nodes(&self) -> &[Spec] {
        &self.nodes
    }

    /// The spec of this hash.
    pub fn get(&self, hash: &DagHash) -> Option<&Spec> {
        let at = self.index.binary_search_by(|(known, _)| known.cmp(hash)).ok()?;
        Some(&self.nodes[self.index[at].1])
    }

    /// The value of `spec`, as it was written.
    pub fn spec_text(&self) -> &str {
        self.spec.as_str()
    }

    /// The value of `spec` in version 5 of the format: as it was written if it was in that one,
    /// else with the nodes as [`Spec::v5_text`] has them.
    pub fn v5_spec_text(&self) -> Cow<'_, str> {
        if self.version == Self::NEWEST {
            Cow::Borrowed(self.spec_text())
        } else {
            Cow::Owned(graph::render_spec(self, self.root()))
        }
    }
}

fn newest(text: &Arc<String>, nodes: &[&RawValue]) -> Result<Vec<Spec>, SpecFileError> {
    let nodes = nodes.iter().enumerate().map(|(index, node)| {
        Spec::parse_v5(RawJson::part(text, node), None)
            .map_err(|source| SpecFileError::Node { node: name_of(node, index), source })
    });
    nodes.collect()
}

fn legacy(
    text: &Arc<String>,
    nodes: &[&RawValue],
    version: u32,
) -> Result<Vec<Spec>, SpecFileError> {
    let read = |node: &RawValue| {
        if version > 1 {
            return LegacyNode::parse(RawJson::part(text, node), None, version, None);
        }
        let single: Single<'_> = serde_json::from_str(node.get())?;
        LegacyNode::parse(RawJson::part(text, single.value), Some(single.name.into()), 1, None)
    };
    let nodes = nodes.iter().enumerate().map(|(index, node)| {
        read(node).map_err(|source| SpecFileError::Node { node: name_of(node, index), source })
    });
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let targets = Targets::new(version, &nodes);
    let specs = nodes.into_iter().map(|node| {
        let dependent = node.name().into();
        node.into_spec(&targets)
            .map_err(|dependency| SpecFileError::Dangling { dependent, dependency })
    });
    specs.collect()
}

/// Of several nodes with one hash the last counts, at the place of the first: so does Spack.
fn unique(specs: Vec<Spec>) -> (Vec<Spec>, Vec<(DagHash, usize)>) {
    let mut index: Vec<_> = specs.iter().enumerate().map(|(at, spec)| (spec.hash, at)).collect();
    index.sort_unstable();
    if index.windows(2).all(|pair| pair[0].0 != pair[1].0) {
        return (specs, index);
    }
    let mut nodes: Vec<Spec> = Vec::new();
    let mut index = std::collections::BTreeMap::new();
    for spec in specs {
        let at = *index.entry(spec.hash).or_insert(nodes.len());
        if at == nodes.len() {
            nodes.push(spec);
        } else {
            nodes[at] = spec;
        }
    }
    (nodes, index.into_iter().collect())
}

/// For messages only.
fn name_of(node: &RawValue, index: usize) -> NodeName {
    #[derive(Deserialize)]
    struct Named {
        name: Box<str>,
    }
    let by_field = serde_json::from_str::<Named>(node.get()).map(|named| named.name);
    let by_key = || serde_json::from_str::<Single<'_>>(node.get()).map(|single| single.name.into());
    by_field.or_else(|_| by_key()).map_or(NodeName::Index(index), NodeName::Name)
}
