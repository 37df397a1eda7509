//! `spec.json`: one spec with all its dependencies.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{RawJson, Spec};

/// A `spec.json`, or any JSON object with a `spec` in it: Spack's image configs and the spec files
/// of build caches are read the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFile {
    nodes: Vec<Spec>,
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
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
}

impl SpecFile {
    /// Reads the spec file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, SpecFileError> {
        let text = Arc::new(String::from_utf8(bytes)?);
        let outer: Outer<'_> = serde_json::from_str(&text)?;
        let inner: Inner<'_> = serde_json::from_str(outer.spec.get())?;
        let nodes = inner
            .nodes
            .into_iter()
            .map(|node| Spec::parse_v5(RawJson::part(&text, node)))
            .collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(SpecFileError::Empty);
        }
        Ok(Self { nodes, spec: RawJson::part(&text, outer.spec) })
    }

    /// The spec the file is about.
    pub fn root(&self) -> &Spec {
        &self.nodes[0]
    }

    /// All of its specs, the root first.
    pub fn nodes(&self) -> &[Spec] {
        &self.nodes
    }

    /// The value of `spec`, as it was written.
    pub fn spec_text(&self) -> &str {
        self.spec.as_str()
    }
}
