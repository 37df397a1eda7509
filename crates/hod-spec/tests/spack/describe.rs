//! Texts about specs are Spack's.

use hod_spec::{Nodes, SpecFile};
use serde_json::Value;

use crate::{blobs, read};

#[test]
fn descriptions_of_images_are_as_spack_pushed_them() {
    let images: Value = serde_json::from_slice(&read("spec/images.json")).unwrap();
    let (files, _) = blobs("spack/v3-unsigned");
    let descriptions = images["descriptions"].as_object().unwrap();
    assert_eq!(descriptions.len(), 5);
    for (hash, description) in descriptions {
        let spec = files.node(&hash.parse().unwrap()).unwrap();
        assert_eq!(spec.describe(), description.as_str().unwrap());
    }
}

#[test]
fn all_kinds_of_parameters_are_described_as_by_spack() {
    let described: Value = serde_json::from_slice(&read("spec/described.json")).unwrap();
    let mut count = 0;
    for path in ["spec/v5.json", "spec/v1.json", "spec/v4.json", "spec/v1.rewritten.json"] {
        let file = SpecFile::parse(read(path)).unwrap();
        for spec in file.nodes() {
            // A second package of one name, of which only the hash is known to Spack's walk.
            let Some(expected) = described.get(spec.hash.to_string()) else { continue };
            assert_eq!(spec.describe(), expected["description"], "{path}");
            assert_eq!(spec.summary(), expected["summary"], "{path}");
            count += 1;
        }
    }
    assert_eq!(count, 6 + 5 + 5 + 5);
}

#[test]
fn compilers_are_dependencies_or_recorded() {
    let file = SpecFile::parse(read("spec/v5.json")).unwrap();
    let of = |hash: &str| {
        let spec = file.nodes().iter().find(|spec| spec.hash.to_string().starts_with(hash));
        spec.unwrap().compiler_of(&file)
    };
    assert_eq!(of("a7pif3w"), None);
    assert_eq!(of("v62dyuk"), Some(("gcc", "1.0")));
    let file = SpecFile::parse(read("spec/v4.json")).unwrap();
    assert_eq!(file.root().compiler_of(&file), Some(("gcc", "9.4.0")));
    let without = file.nodes().iter().find(|spec| &*spec.name == "checker").unwrap();
    assert_eq!(without.compiler_of(&file), None);
}
