//! Hashes can be computed again from what Spack wrote.

use hod_spec::{Database, SpecFile};
use rstest::rstest;

use crate::{blobs, read};

#[test]
fn every_golden_hash_is_computed_again() {
    let mut count = 0;
    for cache in ["spack/v3-unsigned", "spack/v3-padded", "spack/v3-signed"] {
        for spec in blobs(cache).0.0.iter().flat_map(SpecFile::nodes) {
            assert_eq!(spec.computed_hash(), Some(spec.hash), "{}", spec.label());
            count += 1;
        }
    }
    assert!(count > 80, "only {count}");
}

#[rstest]
#[case::version_1("spec/v1.json")]
#[case::version_4("spec/v4.json")]
#[case::rewritten("spec/v4.rewritten.json")]
fn old_hashes_cannot_be_computed(#[case] path: &str) {
    for spec in SpecFile::parse(read(path)).unwrap().nodes() {
        assert_eq!(spec.computed_hash(), None);
    }
    let index = Database::parse(read("spec/v2-unsigned.index.json")).unwrap();
    assert!(index.records().all(|record| record.spec.computed_hash().is_none()));
}

/// The vector of `spack-format` 13, as Spack writes it and as another program might.
#[rstest]
#[case::as_spack_writes_it(
    r#"{"name":"compiler-wrapper","version":"1.0","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v4"},"namespace":"builtin_mock","parameters":{"build_system":"generic","cflags":[],"cppflags":[],"cxxflags":[],"fflags":[],"ldflags":[],"ldlibs":[]},"package_hash":"elcfcxh3lvjghajqdieeu5kedvszrmiu7lpnjq3kn5pcknvl733q====","annotations":{"original_specfile_version":5},"hash":"HASH"}"#
)]
#[case::with_spaces_and_escapes(
    "{\"name\": \"compiler\\u002dwrapper\",\n \"hash\": \"HASH\", \"version\": \"1.0\",\"arch\":{\"platform\":\"linux\",\"platform_os\":\"debian12\",\
     \"target\":\"x86_64_v4\"},\"namespace\":\"builtin_mock\",\"parameters\":{\"build_system\":\"generic\",\"cflags\":[ ],\"cppflags\":[],\
     \"cxxflags\":[],\"fflags\":[],\"ldflags\":[],\"ldlibs\":[]},\"package_hash\":\
     \"elcfcxh3lvjghajqdieeu5kedvszrmiu7lpnjq3kn5pcknvl733q====\",\"annotations\":{\"original_specfile_version\":5}}"
)]
fn the_vector_of_the_reference(#[case] node: &str) {
    let node = node.replace("HASH", "7aar5zxhmxq43d36v6pp3a25dfyul25h");
    let file = format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{node}]}}}}"#);
    let file = SpecFile::parse(file.into_bytes()).unwrap();
    assert_eq!(file.root().computed_hash(), Some(file.root().hash));
}

/// With targets as objects, numbers and text that is not ASCII, and a splice.
#[test]
fn unusual_hashes_are_computed() {
    let file = SpecFile::parse(read("spec/v5.json")).unwrap();
    for spec in file.nodes() {
        assert_eq!(spec.computed_hash(), Some(spec.hash), "{}", spec.label());
    }
    let spliced = file.nodes().iter().find(|spec| spec.build_spec.is_some()).unwrap();
    let built = spliced.build_spec.unwrap();
    assert_ne!(spliced.hash, built);
    assert_eq!(spliced.hash.to_string()[25..], built.to_string()[25..]);
}

#[test]
fn a_change_changes_the_hash() {
    let text = String::from_utf8(read("spec/v5.json")).unwrap();
    let file = SpecFile::parse(text.replace("1e+16", "1e+17").into_bytes()).unwrap();
    let changed: Vec<_> =
        file.nodes().iter().filter(|spec| spec.computed_hash() != Some(spec.hash)).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(&*changed[0].name, "gcc");
}
