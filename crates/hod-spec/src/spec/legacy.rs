//! Nodes of specfile versions 1 to 4 (`spack-format` 2.3).
//!
//! Their edges may name what they lead to by its name (version 1) or by other hashes than the one
//! the node is known by now (version 2). So a node is read in two steps: alone, then its edges,
//! when all nodes are known.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{ArchText, ExternalText};
use super::{Dependency, Spec, settle};
use crate::text::Text;
use crate::{DagHash, Deptypes, RawJson, version};

/// A node whose edges are not followed yet.
#[derive(Debug)]
pub(crate) struct LegacyNode {
    spec: Spec,
    hashes: Hashes,
    edges: Vec<LegacyEdge>,
    build_spec: Option<Reference>,
}

#[derive(Debug)]
struct LegacyEdge {
    to: Reference,
    deptypes: Deptypes,
    virtuals: Box<[Box<str>]>,
}

/// What an edge says about where it leads.
#[derive(Debug)]
struct Reference {
    name: Box<str>,
    key: (HashKind, DagHash),
}

/// The kinds of hashes specs have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HashKind {
    Dag,
    Full,
    Build,
}

/// The hashes by which a node was known, or an edge finds it.
#[derive(Debug, Clone, Copy)]
struct Hashes {
    dag: Option<DagHash>,
    full: Option<DagHash>,
    build: Option<DagHash>,
}

impl Hashes {
    /// An edge leads to the first of these.
    fn all(self) -> impl Iterator<Item = (HashKind, DagHash)> {
        let kinds = [HashKind::Dag, HashKind::Full, HashKind::Build];
        let hashes = [self.dag, self.full, self.build];
        kinds.into_iter().zip(hashes).filter_map(|(kind, hash)| Some((kind, hash?)))
    }
}

/// Where the edges of one file lead.
#[derive(Debug)]
pub(crate) enum Targets {
    /// In version 1, to the node of that name.
    Names(BTreeMap<Box<str>, DagHash>),
    /// In versions 2 to 4, to the node with that hash.
    Hashes(BTreeMap<(HashKind, DagHash), DagHash>),
    /// In databases, to the record of that key.
    Keys,
}

impl Targets {
    /// Those of a file with these nodes.
    pub(crate) fn new(format: u32, nodes: &[LegacyNode]) -> Self {
        if format == 1 {
            Self::Names(nodes.iter().map(|node| (node.spec.name.clone(), node.spec.hash)).collect())
        } else {
            let keys = nodes.iter().flat_map(|node| {
                node.hashes.all().map(|(kind, hash)| ((kind, hash), node.spec.hash))
            });
            Self::Hashes(keys.collect())
        }
    }

    fn find(&self, to: &Reference) -> Option<DagHash> {
        let (kind, hash) = to.key;
        match self {
            Self::Names(names) => names.get(&to.name).copied(),
            Self::Hashes(hashes) => hashes.get(&(kind, hash)).copied().or_else(|| {
                // Versions 3 and 4 know nodes by the hash they still have.
                (kind == HashKind::Dag).then_some(hash)
            }),
            Self::Keys => Some(hash),
        }
    }
}

impl LegacyNode {
    /// Reads a node of version 2, 3 or 4, or what is under `name` in one of version 1. In
    /// databases `key` is its hash.
    pub(crate) fn parse(
        raw: RawJson,
        name: Option<Box<str>>,
        format: u32,
        key: Option<DagHash>,
    ) -> Result<Self, serde_json::Error> {
        let node: Node<'_> = serde_json::from_str(raw.as_str())?;
        let Some(name) = name.or(node.name.map(Into::into)) else {
            return Err(serde::de::Error::missing_field("name"));
        };
        let Some(hash) = key.or(node.hash) else {
            return Err(serde::de::Error::missing_field("hash"));
        };
        let hashes = Hashes { dag: Some(hash), full: node.full_hash, build: node.build_hash };
        let build_spec = node.build_spec.map(ReferenceText::into_reference).transpose()?;
        let edges = node.dependencies.0;
        let edges = edges.into_iter().map(EdgeText::into_edge).collect::<Result<_, _>>()?;
        let spec = Spec {
            name,
            version: node.version.into(),
            hash,
            arch: node.arch.unwrap_or_default().into(),
            namespace: node.namespace.unwrap_or_default().into(),
            dependencies: Box::default(),
            external: node.external.and_then(ExternalText::into_external),
            build_spec: None,
            compiler: node.compiler.map(CompilerText::into_text),
            format,
            original_format: format,
            raw,
        };
        Ok(Self { spec, hashes, edges, build_spec })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Follows the edges; an error is the name of what is not there.
    pub(crate) fn into_spec(self, targets: &Targets) -> Result<Spec, Box<str>> {
        let mut dependencies = Vec::with_capacity(self.edges.len());
        for LegacyEdge { to, deptypes, virtuals } in self.edges {
            let Some(hash) = targets.find(&to) else { return Err(to.name) };
            dependencies.push(Dependency { name: to.name, hash, deptypes, virtuals, direct: true });
        }
        let build_spec = match self.build_spec {
            Some(to) => Some(targets.find(&to).ok_or(to.name)?),
            None => None,
        };
        let dependencies = settle(dependencies);
        Ok(Spec { dependencies, build_spec, ..self.spec })
    }
}

/// An object with one key, as nodes of version 1 are.
pub(crate) struct Single<'a> {
    /// The key.
    pub(crate) name: Text<'a>,
    /// What is under it.
    pub(crate) value: &'a RawValue,
}

impl<'de: 'a, 'a> Deserialize<'de> for Single<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = crate::text::Pairs::deserialize(deserializer)?.0;
        match (pairs.pop(), pairs.is_empty()) {
            (Some((name, value)), true) => Ok(Self { name, value }),
            _ => Err(serde::de::Error::custom("a node of this version is an object with one key")),
        }
    }
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow, default)]
    arch: Option<ArchText<'a>>,
    #[serde(borrow, default)]
    compiler: Option<CompilerText<'a>>,
    #[serde(borrow, default)]
    namespace: Option<Text<'a>>,
    #[serde(borrow, default)]
    external: Option<ExternalText<'a>>,
    #[serde(borrow, default)]
    dependencies: Edges<'a>,
    #[serde(borrow, default)]
    build_spec: Option<ReferenceText<'a>>,
    #[serde(default)]
    hash: Option<DagHash>,
    #[serde(default)]
    full_hash: Option<DagHash>,
    #[serde(default)]
    build_hash: Option<DagHash>,
}

#[derive(Deserialize)]
struct CompilerText<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    version: Option<Text<'a>>,
    #[serde(borrow, default)]
    versions: Vec<Text<'a>>,
}

impl CompilerText<'_> {
    /// As Spack writes it: an exact version has an equals sign, one from git has not.
    fn into_text(self) -> Box<str> {
        let text = match self.version {
            Some(version) if version::is_git(&version) => format!("{}@{}", &*self.name, &*version),
            Some(version) => format!("{}@={}", &*self.name, &*version),
            None if self.versions.is_empty() || *self.versions == [Text(":".into())] => {
                return self.name.into();
            }
            None => {
                let versions: Vec<&str> = self.versions.iter().map(|version| &**version).collect();
                format!("{}@{}", &*self.name, versions.join(","))
            }
        };
        text.into()
    }
}

#[derive(Deserialize)]
struct ReferenceText<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(default)]
    hash: Option<DagHash>,
    #[serde(default)]
    full_hash: Option<DagHash>,
    #[serde(default)]
    build_hash: Option<DagHash>,
}

impl ReferenceText<'_> {
    fn into_reference(self) -> Result<Reference, serde_json::Error> {
        let hashes = Hashes { dag: self.hash, full: self.full_hash, build: self.build_hash };
        reference(self.name, hashes)
    }
}

fn reference(name: Text<'_>, hashes: Hashes) -> Result<Reference, serde_json::Error> {
    let key = hashes.all().next().ok_or_else(|| serde::de::Error::missing_field("hash"))?;
    Ok(Reference { name: name.into(), key })
}

/// A list in versions 2 to 4, an object by name in version 1.
#[derive(Default)]
struct Edges<'a>(Vec<EdgeText<'a>>);

#[derive(Deserialize)]
struct EdgeText<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(rename = "type", default)]
    deptypes: Option<Deptypes>,
    #[serde(borrow, default)]
    parameters: Option<EdgeParameters<'a>>,
    #[serde(default)]
    hash: Option<DagHash>,
    #[serde(default)]
    full_hash: Option<DagHash>,
    #[serde(default)]
    build_hash: Option<DagHash>,
}

#[derive(Deserialize)]
struct EdgeParameters<'a> {
    #[serde(default)]
    deptypes: Deptypes,
    #[serde(borrow, default)]
    virtuals: Vec<Text<'a>>,
}

impl EdgeText<'_> {
    fn into_edge(self) -> Result<LegacyEdge, serde_json::Error> {
        let (deptypes, virtuals) = match (self.parameters, self.deptypes) {
            (Some(parameters), _) => (parameters.deptypes, parameters.virtuals),
            (None, Some(deptypes)) => (deptypes, Vec::new()),
            (None, None) => return Err(serde::de::Error::missing_field("type")),
        };
        let virtuals = virtuals.into_iter().map(Into::into).collect();
        let hashes = Hashes { dag: self.hash, full: self.full_hash, build: self.build_hash };
        let to = reference(self.name, hashes)?;
        Ok(LegacyEdge { to, deptypes, virtuals })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Edges<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EdgesVisitor;
        impl<'de> Visitor<'de> for EdgesVisitor {
            type Value = Edges<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dependencies")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut edges = Vec::new();
                while let Some(edge) = list.next_element()? {
                    edges.push(edge);
                }
                Ok(Edges(edges))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut edges = Vec::new();
                while let Some((name, edge)) = map.next_entry::<Text<'de>, EdgeText<'de>>()? {
                    edges.push(EdgeText { name, ..edge });
                }
                Ok(Edges(edges))
            }
        }
        deserializer.deserialize_any(EdgesVisitor)
    }
}
