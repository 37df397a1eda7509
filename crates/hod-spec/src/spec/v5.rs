//! Nodes of specfile version 5, the newest.

use serde::Deserialize;

use super::field::{ArchText, ExternalText};
use super::{Dependency, Spec, field, settle};
use crate::python::{write_compact, write_string};
use crate::text::{Pairs, Text};
use crate::{DagHash, Deptypes, RawJson};

impl Spec {
    /// From a node of specfile version 5. In databases the key of a record is the hash of its
    /// spec, whatever the node says, and the node may say nothing.
    pub(crate) fn parse_v5(raw: RawJson, key: Option<DagHash>) -> Result<Self, serde_json::Error> {
        let node: Node<'_> = serde_json::from_str(raw.as_str())?;
        let Some(hash) = key.or(node.hash) else {
            return Err(serde::de::Error::missing_field("hash"));
        };
        let is_complete = node.hash == Some(hash);
        let notes = node.annotations.unwrap_or_default();
        let mut spec = Self {
            name: node.name.into(),
            version: node.version.into(),
            hash,
            arch: node.arch.unwrap_or_default().into(),
            namespace: node.namespace.unwrap_or_default().into(),
            dependencies: settle(
                node.dependencies.into_iter().map(Edge::into_dependency).collect(),
            ),
            external: node.external.and_then(ExternalText::into_external),
            build_spec: node.build_spec.map(|build_spec| build_spec.hash),
            // The text of Python's None is what Spack writes for a spec without compiler.
            compiler: notes.compiler.filter(|name| &**name != "None").map(Into::into),
            format: 5,
            original_format: notes.original_specfile_version.unwrap_or(5),
            raw,
        };
        if !is_complete {
            spec.raw = with_hash(spec.raw.as_str(), hash)?;
        }
        Ok(spec)
    }
}

/// The node with this hash as its own.
fn with_hash(node: &str, hash: DagHash) -> Result<RawJson, serde_json::Error> {
    let pairs: Pairs<'_> = serde_json::from_str(node)?;
    let mut out = String::with_capacity(node.len() + 44);
    for (key, value) in pairs.0.iter().filter(|(key, _)| &**key != "hash") {
        write_compact(field(&mut out, key), value.get());
    }
    write_string(field(&mut out, "hash"), &hash.to_string());
    out.push('}');
    Ok(RawJson::new(out))
}

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow, default)]
    arch: Option<ArchText<'a>>,
    #[serde(borrow, default)]
    namespace: Option<Text<'a>>,
    #[serde(borrow, default)]
    external: Option<ExternalText<'a>>,
    #[serde(borrow, default)]
    dependencies: Vec<Edge<'a>>,
    #[serde(default)]
    build_spec: Option<Reference>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
    #[serde(default)]
    hash: Option<DagHash>,
}

#[derive(Deserialize)]
struct Edge<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    hash: DagHash,
    #[serde(borrow)]
    parameters: EdgeParameters<'a>,
}

#[derive(Deserialize)]
struct EdgeParameters<'a> {
    #[serde(default)]
    deptypes: Deptypes,
    #[serde(borrow, default)]
    virtuals: Vec<Text<'a>>,
    #[serde(default)]
    direct: bool,
}

impl Edge<'_> {
    fn into_dependency(self) -> Dependency {
        Dependency {
            name: self.name.into(),
            hash: self.hash,
            deptypes: self.parameters.deptypes,
            virtuals: self.parameters.virtuals.into_iter().map(Into::into).collect(),
            direct: self.parameters.direct,
        }
    }
}

#[derive(Deserialize)]
struct Reference {
    hash: DagHash,
}

#[derive(Deserialize, Default)]
struct Annotations<'a> {
    #[serde(default)]
    original_specfile_version: Option<u32>,
    #[serde(borrow, default)]
    compiler: Option<Text<'a>>,
}
