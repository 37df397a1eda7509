//! The index of a build cache is what Spack writes for it.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use hod_spec::{DagHash, Database, Nodes, Spec, SpecFile, render_buildcache_index};
use rstest::rstest;
use serde_json::Value;

use crate::{fixtures, read};

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
    (Files(files), index.expect("the build cache has an index"))
}

#[rstest]
#[case("spack/v3-unsigned", 6)]
#[case("spack/v3-padded", 5)]
#[case("spack/v3-signed", 5)]
fn an_index_is_as_by_spack(#[case] cache: &str, #[case] count: usize) {
    let (files, index) = blobs(cache);
    assert_eq!(files.roots().len(), count);
    let rendered = render_buildcache_index(&files.roots(), &files);
    assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), index);
}

#[test]
fn old_specs_are_in_an_index_as_by_spack() {
    let directory = fs_err::read_dir(fixtures().join("spack/v2-unsigned/build_cache")).unwrap();
    let paths = directory.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.to_str().unwrap().ends_with(".spec.json"));
    let files = files.map(|path| SpecFile::parse(fs_err::read(path).unwrap()).unwrap());
    let files = Files(files.collect());
    let rendered = render_buildcache_index(&files.roots(), &files);
    let expected: Value = serde_json::from_slice(&read("spec/v2-unsigned.index.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), expected);
}

#[test]
fn an_index_made_of_an_index_is_the_same() {
    let (files, _) = blobs("spack/v3-unsigned");
    let rendered = render_buildcache_index(&files.roots(), &files);
    let database = Database::parse(rendered.clone().into_bytes()).unwrap();
    assert_eq!(database.version(), Database::NEWEST);
    assert_eq!(render_buildcache_index(&files.roots(), &database), rendered);
    let available = database.records().filter(|record| record.in_buildcache);
    assert_eq!(available.map(|record| record.spec.hash).collect::<BTreeSet<_>>(), files.roots());
}

/// Built on purpose: two edges of one name, one marked direct; a build spec with its own edge.
#[test]
fn splices_and_marks_are_treated_as_by_spack() {
    let node = |hash: &str, rest: &str| {
        format!(r#"{{"name":"{hash}","version":"1",{rest}"hash":"{}"}}"#, hash.repeat(32))
    };
    let edge = |hash: &str, parameters: &str| {
        let hash = hash.repeat(32);
        format!(r#"{{"name":"b","hash":"{hash}","parameters":{{{parameters}}}}}"#)
    };
    let edges = [
        edge("b", r#""deptypes":["build"],"virtuals":["v"],"direct":true"#),
        edge("c", r#""deptypes":["link","run"],"virtuals":[]"#),
    ];
    let built = r#""build_spec":{"name":"d","hash":"dddddddddddddddddddddddddddddddd"},"#;
    let nodes = [
        node("a", &format!(r#""dependencies":[{}],{built}"#, edges.join(","))),
        node("b", ""),
        node("c", ""),
        node("d", &format!(r#""dependencies":[{}],"#, edge("b", r#""deptypes":["run"]"#))),
    ];
    let text = format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{}]}}}}"#, nodes.join(","));
    let file = SpecFile::parse(text.into_bytes()).unwrap();
    let rendered = render_buildcache_index(&BTreeSet::from([file.root().hash]), &file);
    let index: Value = serde_json::from_str(&rendered).unwrap();
    let installs = index["database"]["installs"].as_object().unwrap();
    let records: Vec<_> = installs
        .values()
        .map(|record| {
            let number = record["ref_count"].as_u64().unwrap();
            (record["spec"]["name"].as_str().unwrap(), number, record["in_buildcache"] == true)
        })
        .collect();
    assert_eq!(records, [("a", 0, true), ("b", 1, false), ("c", 1, false)]);
    let expected = format!(
        r#"{{"dependencies":[{},{}]}}"#,
        edges[1],
        edges[0].replace(r#","direct":true"#, "")
    );
    let expected: Value = serde_json::from_str(&expected).unwrap();
    assert_eq!(installs[&"a".repeat(32)]["spec"]["dependencies"], expected["dependencies"]);
    assert!(rendered.contains(r#""build_spec":{"name":"d""#));

    // In a spec file the build spec and its nodes come right after what was built.
    let document = hod_spec::render_spec(&file, file.root());
    let order: Vec<_> = document
        .match_indices("\"version\":\"1\"")
        .map(|(at, _)| &document[at - 3..at - 2])
        .collect();
    assert_eq!(order, ["a", "d", "b", "c"]);
}
