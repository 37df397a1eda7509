//! Specs from all over a build cache, each kept once: what an index is made of.

use std::collections::HashMap;
use std::sync::Mutex;

use hod_archive::Digest;
use hod_spec::{DagHash, Database, Nodes, Spec, SpecFile};

use crate::error::{Error, ParseError};

/// Specs by hash. A spec is in the file of each package that depends on it; its own file is
/// believed first. So no file changes what another package is said to be, and the index is the
/// same whichever thread came first.
#[derive(Debug, Default)]
pub(crate) struct KnownNodes(HashMap<DagHash, (Source, Spec)>);

/// Where a spec comes from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    OwnFile,
    OldIndex,
    /// The file of the package with this hash.
    FileOf(DagHash),
    /// The old index, where it was only a dependency.
    OldDependency,
}

impl Nodes for KnownNodes {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.0.get(hash).map(|(_, spec)| spec)
    }
}

impl KnownNodes {
    /// What an index tells.
    pub(crate) fn add_index(&mut self, database: &Database) {
        for record in database.records() {
            let hash = record.spec.hash;
            let source =
                if record.in_buildcache { Source::OldIndex } else { Source::OldDependency };
            if self.is_wanted(&hash, source) {
                self.0.insert(hash, (source, record.spec.clone()));
            }
        }
    }

    /// What the file of one package tells; shared with others who add.
    pub(crate) fn add_file(nodes: &Mutex<Self>, file: &SpecFile) -> Result<(), Error> {
        let nodes = || nodes.lock().expect("no thread panics while it adds");
        let own = file.root().hash;
        for (position, spec) in file.nodes().iter().enumerate() {
            let source = if position == 0 { Source::OwnFile } else { Source::FileOf(own) };
            if nodes().is_wanted(&spec.hash, source) {
                let alone = detach(spec)?;
                let mut nodes = nodes();
                if nodes.is_wanted(&spec.hash, source) {
                    nodes.0.insert(spec.hash, (source, alone));
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, hash: &DagHash, source: Source) -> bool {
        self.0.get(hash).is_none_or(|(known, _)| source < *known)
    }
}

/// The same spec without the rest of its file. Each file has all dependencies of its package, and
/// a spec keeps the text of its file alive: a cache of ten thousand packages would be in memory
/// as ten thousand whole graphs.
fn detach(spec: &Spec) -> Result<Spec, Error> {
    // Before, dependencies were found by name, in the file alone. Nobody has many of those.
    if spec.format() < 4 {
        return Ok(spec.clone());
    }
    let text = format!(
        r#"{{"spec":{{"_meta":{{"version":{}}},"nodes":[{}]}}}}"#,
        spec.format(),
        spec.text()
    );
    let file = SpecFile::parse(text.into_bytes()).map_err(|error| Error::Document {
        digest: Digest::of(spec.text().as_bytes()),
        source: ParseError::SpecFile(error),
    })?;
    Ok(file.root().clone())
}
