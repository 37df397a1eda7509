//! The index of a build cache is what Spack writes for it.

use std::collections::BTreeSet;

use hod_spec::{Database, SpecFile, render_buildcache_index};
use rstest::rstest;
use serde_json::Value;

use crate::{Files, blobs, fixtures, read};

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
fn targets_splices_and_names_that_occur_twice_are_in_an_index_as_by_spack() {
    let file = SpecFile::parse(read("spec/v5.json")).unwrap();
    let rendered = render_buildcache_index(&BTreeSet::from([file.root().hash]), &file);
    let expected: Value = serde_json::from_slice(&read("spec/v5.index.json")).unwrap();
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
