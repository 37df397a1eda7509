//! Old spec files are read, and written again as Spack writes them.

use hod_spec::{Deptypes, Nodes, SpecFile, SpecFileError};
use rstest::rstest;

use crate::read;

const LINKFARM: &str = "spack/v2-unsigned/build_cache/\
    linux-debian12-x86_64-gcc-12.2.0-linkfarm-1.0-vpcqqzmbgzmaqabh6nymuni5aq2k5cpx.spec.json";
const LIBPNG: &str = "spack/v2-unsigned/build_cache/\
    linux-debian12-x86_64-gcc-12.2.0-libpng-1.6.39-am525g3tzhdb524slm4jn4r2lxbjkww4.spec.json";

#[rstest]
#[case::version_1("spec/v1.json", "spec/v1.rewritten.json")]
#[case::version_2("spec/v2.json", "spec/v2.rewritten.json")]
#[case::version_3("spec/v3.json", "spec/v3.rewritten.json")]
#[case::version_4("spec/v4.json", "spec/v4.rewritten.json")]
#[case::version_4_by_spack(LINKFARM, "spec/linkfarm.rewritten.json")]
#[case::another_version_4_by_spack(LIBPNG, "spec/libpng.rewritten.json")]
fn an_old_spec_file_is_rewritten_as_by_spack(#[case] old: &str, #[case] rewritten: &str) {
    let file = SpecFile::parse(read(old)).unwrap();
    let expected = String::from_utf8(read(rewritten)).unwrap();
    assert_eq!(format!("{{\"spec\":{}}}", file.v5_spec_text()), expected);

    // What was rewritten reads as the same, and is not rewritten again.
    let again = SpecFile::parse(expected.clone().into_bytes()).unwrap();
    assert_eq!(format!("{{\"spec\":{}}}", again.v5_spec_text()), expected);
    assert_eq!(again.version(), 5);
    for spec in again.nodes() {
        let old = file.get(&spec.hash).unwrap();
        assert_eq!(old.dependencies, spec.dependencies, "{}", spec.name);
        assert_eq!(old.compiler, spec.compiler, "{}", spec.name);
        assert_eq!(old.external, spec.external, "{}", spec.name);
        assert_eq!(old.arch, spec.arch, "{}", spec.name);
        assert_eq!(old.original_format(), spec.original_format(), "{}", spec.name);
        assert_eq!(spec.v5_text(), spec.text());
    }
}

#[rstest]
#[case::version_1(1)]
#[case::version_2(2)]
#[case::version_3(3)]
#[case::version_4(4)]
fn all_versions_give_the_same_view(#[case] version: u32) {
    let file = SpecFile::parse(read(&format!("spec/v{version}.json"))).unwrap();
    assert_eq!(file.version(), version);
    let app = file.root();
    assert_eq!((&*app.name, &*app.version, &*app.namespace), ("app", "2.1-rc1", "builtin"));
    assert_eq!((&*app.arch.os, &*app.arch.target), ("ubuntu20.04", "x86_64_v3"));
    assert_eq!(app.compiler.as_deref(), Some("gcc@=9.4.0"));
    assert_eq!(app.original_format(), version);
    let names: Vec<_> = app.dependencies.iter().map(|edge| &*edge.name).collect();
    assert_eq!(names, ["checker", "lib", "ompi", "tool"]);
    let ompi = &app.dependencies[2];
    assert_eq!(ompi.deptypes, Deptypes::BUILD | Deptypes::LINK | Deptypes::RUN);
    assert_eq!(ompi.virtuals.len(), usize::from(version == 4));
    let ompi = file.node(&ompi.hash).unwrap().external.as_ref().unwrap();
    assert_eq!(ompi.path, None);
    assert_eq!(*ompi.modules, ["openmpi/4.1.5".into(), "ucx".into()]);
}

const HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A v4 file with these nodes.
fn file(version: u32, nodes: &str) -> Result<SpecFile, SpecFileError> {
    let text = format!("{{\"spec\":{{\"_meta\":{{\"version\":{version}}},\"nodes\":[{nodes}]}}}}");
    SpecFile::parse(text.replace("HASH", HASH).into_bytes())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[rstest]
#[case::no_hash(
    5,
    r#"{"name":"a","version":"1"}"#,
    "the spec of `a` in the spec file is damaged: missing field `hash`"
)]
#[case::no_old_hash(
    4,
    r#"{"name":"a","version":"1"}"#,
    "the spec of `a` in the spec file is damaged: missing field `hash`"
)]
#[case::no_name(
    5,
    r#"{"version":"1","hash":"HASH"}"#,
    "the root in the spec file is damaged: missing field `name`"
)]
#[case::second_node(
    4,
    r#"{"name":"a","version":"1","hash":"HASH"},7"#,
    "node 1 in the spec file is damaged: invalid type: integer `7`, expected struct Node"
)]
#[case::unknown_type(
    5,
    r#"{"name":"a","version":"1","dependencies":[{"name":"b","hash":"HASH","parameters":{"deptypes":["deploy"]}}],"hash":"HASH"}"#,
    "the spec of `a` in the spec file is damaged: unknown dependency type `deploy`"
)]
#[case::unknown_old_type(
    3,
    r#"{"name":"a","version":"1","dependencies":[{"name":"b","hash":"HASH","type":["deploy"]}],"hash":"HASH"}"#,
    "the spec of `a` in the spec file is damaged: unknown dependency type `deploy`"
)]
#[case::edge_without_hash(
    2,
    r#"{"name":"a","version":"1","dependencies":[{"name":"b","type":["link"]}],"hash":"HASH"}"#,
    "the spec of `a` in the spec file is damaged: missing field `hash`"
)]
#[case::dangling_build_hash(
    2,
    r#"{"name":"a","version":"1","dependencies":[{"name":"b","build_hash":"HASH","type":["link"]}],"hash":"HASH"}"#,
    "`a` depends on `b`, which is not in the spec file"
)]
#[case::no_nodes(4, "", "a spec file without a spec")]
fn an_error_says_what_and_where(#[case] version: u32, #[case] nodes: &str, #[case] message: &str) {
    let error = file(version, nodes).unwrap_err();
    let found = chain(&error);
    assert!(found.starts_with(message), "{found}");
}

#[test]
fn a_dangling_hash_is_kept() {
    let edge = r#"{"name":"b","hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","parameters":{"deptypes":["link"]}}"#;
    for version in [4, 5] {
        let node = format!(r#"{{"name":"a","version":"1","dependencies":[{edge}],"hash":"HASH"}}"#);
        let file = file(version, &node).unwrap();
        assert_eq!(file.root().dependencies.len(), 1);
        assert_eq!(hod_spec::runtime_closure(&file, [file.root()]).len(), 1);
        assert!(file.v5_spec_text().contains("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"));
    }
}

#[test]
fn of_two_nodes_with_one_hash_the_last_counts() {
    let file = file(
        5,
        r#"{"name":"a","version":"1","hash":"HASH"},
           {"name":"b","version":"1","hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
           {"name":"a","version":"2","hash":"HASH"}"#,
    )
    .unwrap();
    let versions: Vec<_> = file.nodes().iter().map(hod_spec::Spec::label).collect();
    assert_eq!(versions, ["a@2/aaaaaaa", "b@1/bbbbbbb"]);
}

#[test]
fn an_unknown_newer_version_is_read_as_version_5() {
    let file = file(7, r#"{"name":"a","version":"1","hash":"HASH"}"#).unwrap();
    assert_eq!(file.version(), 7);
    assert_eq!(
        file.v5_spec_text(),
        format!(
            r#"{{"_meta":{{"version":5}},"nodes":[{{"name":"a","version":"1","hash":"{HASH}"}}]}}"#
        )
    );
}
