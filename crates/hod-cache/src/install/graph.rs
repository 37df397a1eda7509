//! Specs that are wanted, and all they depend on.

use std::collections::HashMap;

use hod_spec::{DagHash, Nodes, Spec, SpecFile, SpecFileError};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Roots, and the specs of everything that can be reached from them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: HashMap<DagHash, Spec>,
    /// What was asked for, each once.
    pub roots: Vec<DagHash>,
}

/// Why a file does not say what to install.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Neither a `spack.lock` nor a `spec.json`.
    #[error("neither a `spack.lock` nor a `spec.json`")]
    Json(#[from] serde_json::Error),
    /// The file is no text.
    #[error("the file is not UTF-8")]
    NotUtf8(#[from] std::string::FromUtf8Error),
    /// Its specs cannot be understood.
    #[error("the specs in it cannot be read")]
    Specs(#[from] SpecFileError),
    /// A root that the file does not have.
    #[error("the root `/{hash}` is not among its specs")]
    NoRoot {
        /// The root.
        hash: DagHash,
    },
}

impl Nodes for Graph {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.nodes.get(hash)
    }
}

#[derive(Deserialize)]
struct LockFile<'a> {
    #[serde(rename = "_meta")]
    meta: Meta,
    roots: Vec<Root>,
    #[serde(borrow)]
    concrete_specs: HashMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "specfile-version", default = "before_versions")]
    version: u32,
}

/// Lock files said so from their fourth version on.
fn before_versions() -> u32 {
    2
}

#[derive(Deserialize)]
struct Root {
    hash: DagHash,
}

impl Graph {
    /// Adds the specs of a file; one that is known already stays as it is.
    pub fn add(&mut self, file: &SpecFile) {
        for spec in file.nodes() {
            self.nodes.entry(spec.hash).or_insert_with(|| spec.clone());
        }
    }

    /// Adds a spec that others know, and all it depends on.
    pub fn add_from(&mut self, nodes: &dyn Nodes, hash: DagHash) {
        let mut queue = vec![hash];
        while let Some(hash) = queue.pop() {
            if !self.nodes.contains_key(&hash)
                && let Some(spec) = nodes.node(&hash)
            {
                queue.extend(spec.dependencies.iter().map(|edge| edge.hash));
                self.nodes.insert(hash, spec.clone());
            }
        }
    }

    /// Wants a spec that is here.
    pub fn want(&mut self, hash: DagHash) {
        if !self.roots.contains(&hash) {
            self.roots.push(hash);
        }
    }

    /// Reads a `spack.lock` (`spack-format` 6.4) or a `spec.json`, and wants what it is about.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn add_lock(&mut self, bytes: Vec<u8>) -> Result<(), LockError> {
        let text = String::from_utf8(bytes)?;
        let Ok(lock) = serde_json::from_str::<LockFile<'_>>(&text) else {
            // What a spec file lacks says more than what a lock file lacks.
            let outer: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
            if outer.contains_key("concrete_specs") || !outer.contains_key("spec") {
                let missing: Result<LockFile<'_>, _> = serde_json::from_str(&text);
                return missing.map(drop).map_err(LockError::from);
            }
            let file = SpecFile::parse(text.into_bytes())?;
            self.add(&file);
            self.want(file.root().hash);
            return Ok(());
        };
        if lock.concrete_specs.is_empty() {
            return match lock.roots.first() {
                Some(root) => Err(LockError::NoRoot { hash: root.hash }),
                None => Ok(()),
            };
        }
        let nodes: Vec<&str> = lock.concrete_specs.values().map(|node| node.get()).collect();
        let file = format!(
            r#"{{"spec":{{"_meta":{{"version":{}}},"nodes":[{}]}}}}"#,
            lock.meta.version,
            nodes.join(",")
        );
        self.add(&SpecFile::parse(file.into_bytes())?);
        for Root { hash } in lock.roots {
            if self.node(&hash).is_none() {
                return Err(LockError::NoRoot { hash });
            }
            self.want(hash);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZLIB: &str =
        r#"{"name":"zlib","version":"1.2.13","hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx"}"#;

    #[test]
    fn a_lock_file_and_a_spec_file_say_what_is_wanted() {
        let lock = format!(
            r#"{{"_meta":{{"file-type":"spack-lockfile","lockfile-version":6,"specfile-version":5}},
                "spack":{{"version":"1.0"}},
                "roots":[{{"hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx","spec":"zlib"}}],
                "concrete_specs":{{"yox7nsrab6dhdlxlapu6hg33h4atwgrx":{ZLIB}}}}}"#
        );
        let spec = format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{ZLIB}]}}}}"#);
        for text in [lock, spec] {
            let mut graph = Graph::default();
            graph.add_lock(text.into_bytes()).unwrap();
            let root = graph.roots[0];
            assert_eq!(graph.node(&root).unwrap().label(), "zlib@1.2.13/yox7nsr");
        }
    }

    #[rstest::rstest]
    #[case::no_json("# a comment", "neither a")]
    #[case::another_file(r#"{"mirrors":{}}"#, "neither a")]
    #[case::root_missing(
        r#"{"_meta":{"specfile-version":5},"roots":[{"hash":"yox7nsrab6dhdlxlapu6hg33h4atwgrx"}],"concrete_specs":{}}"#,
        "is not among"
    )]
    #[case::damaged_spec(
        r#"{"_meta":{"specfile-version":5},"roots":[],"concrete_specs":{"a":{"name":5}}}"#,
        "cannot be read"
    )]
    fn another_file_is_refused(#[case] text: &str, #[case] expected: &str) {
        let error = Graph::default().add_lock(text.into()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
