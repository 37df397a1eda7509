//! Comparison with what Spack itself wrote: `fixtures/spack` and `fixtures/spec`.
#![expect(clippy::unwrap_used, reason = "clippy knows no tests in the helpers of a test file")]

mod database;
mod describe;
mod graph;
mod hash;
mod index;
mod legacy;
mod query;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use hod_spec::{DagHash, Nodes, Spec, SpecFile};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read(path: &str) -> Vec<u8> {
    fs_err::read(fixtures().join(path)).unwrap()
}

/// Several spec files at once.
struct Files(Vec<SpecFile>);

impl Nodes for Files {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.0.iter().find_map(|file| file.get(hash))
    }
}

impl Files {
    fn roots(&self) -> BTreeSet<DagHash> {
        self.0.iter().map(|file| file.root().hash).collect()
    }

    /// The spec of this name: each package is there once.
    fn named(&self, name: &str) -> &Spec {
        self.0.iter().flat_map(SpecFile::nodes).find(|spec| &*spec.name == name).unwrap()
    }
}

/// The spec blobs and the index blob of a build cache of layout 3, found by what is in them.
fn blobs(cache: &str) -> (Files, Value) {
    let mut files = Vec::new();
    let mut index = None;
    let places = fixtures().join(cache).join("blobs/sha256");
    for directory in fs_err::read_dir(places).unwrap() {
        for blob in fs_err::read_dir(directory.unwrap().path()).unwrap() {
            let bytes = fs_err::read(blob.unwrap().path()).unwrap();
            let mut text = Vec::new();
            if MultiGzDecoder::new(&*bytes).read_to_end(&mut text).is_err() {
                text = bytes;
            }
            if text.starts_with(b"{\"spec\"") {
                files.push(SpecFile::parse(text).unwrap());
            } else if text.starts_with(b"{\"database\"") {
                index = Some(serde_json::from_slice(&text).unwrap());
            }
        }
    }
    (Files(files), index.unwrap())
}
