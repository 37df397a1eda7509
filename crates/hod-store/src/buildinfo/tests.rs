use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The `.spack/binary_distribution` of a tarball.
fn recorded(tarball: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(tarball).unwrap();
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.path_bytes().ends_with(b"/.spack/binary_distribution") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return Some(bytes);
        }
    }
    None
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_spack_wrote_is_written_again() {
    let bytes = recorded(&workspace().join("fixtures/spack/linkfarm.tar.gz")).unwrap();
    let info = BuildInfo::parse(&bytes).unwrap();
    assert_eq!(info.sbang_install_path.as_deref(), Some("/opt/hpc/store/bin/sbang"));
    assert_eq!(info.buildpath, "/opt/hpc/store");
    assert_eq!(info.spackprefix, "/opt/spack");
    assert!(info.hardlinks_deduped);
    assert_eq!(info.hash_to_prefix.len(), 4);
    assert_eq!(info.hash_to_prefix[0].0, "utvtp6r54rgdsbyrggnzqaijor6jc5jt");
    assert_eq!(info.relocate_links, ["bin/farm-abs", "lib/libz-dep.so"]);
    assert_eq!(info.relocate_textfiles[5], "share/doc/utf8-é中.txt");
    assert_eq!(text(&info.render()), text(&bytes));
}

#[test]
fn every_golden_tarball_is_written_again() {
    let golden = std::env::var_os("HOD_GOLDEN")
        .map_or_else(|| workspace().join("../shared/golden"), PathBuf::from);
    if !golden.is_dir() {
        println!("skipped: no golden data at `{}` (set HOD_GOLDEN)", golden.display());
        return;
    }
    let sets = ["v2-unsigned", "v2-signed", "v3-unsigned", "v3-signed", "v3-padded"];
    let mut directories: Vec<PathBuf> = sets.map(|set| golden.join(set)).into();
    let mut compared = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(bytes) = recorded(&path) {
                let info = BuildInfo::parse(&bytes).unwrap();
                assert_eq!(text(&info.render()), text(&bytes), "{}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "only {compared} tarballs were found");
}

/// `[text, as an element of a list, as a key]`, written by ruamel.yaml.
#[test]
fn scalars_as_the_emitter_of_spack_writes_them() {
    let vectors = std::fs::File::open(workspace().join("fixtures/spack/yaml-scalars.json"));
    let vectors: Vec<[String; 3]> = serde_json::from_reader(vectors.unwrap()).unwrap();
    for [text, element, key] in &vectors {
        let mut written = String::new();
        scalar::write(&mut written, text);
        assert_eq!(&written, element, "{text:?} in a list");
        written.clear();
        scalar::write_key(&mut written, text);
        assert_eq!(&written, key, "{text:?} as a key");
    }
}

/// Where the emitter's own output would be read as something else, we differ from it.
#[rstest]
#[case("? a", "'? a'")]
#[case(": a", "': a'")]
#[case("a\u{85}b", r#""a\Nb""#)]
#[case("\u{2028}", r#""\L""#)]
#[case("\u{2029} a", r#""\P a""#)]
fn scalars_that_the_emitter_would_spoil(#[case] text: &str, #[case] expected: &str) {
    let mut written = String::new();
    scalar::write(&mut written, text);
    assert_eq!(written, expected);
}

fn small() -> BuildInfo {
    BuildInfo {
        sbang_install_path: Some("/s/bin/sbang".into()),
        buildpath: "/s".into(),
        spackprefix: "/spack".into(),
        relative_prefix: "linux/a-1.0-abc".into(),
        hardlinks_deduped: true,
        hash_to_prefix: vec![("abc".into(), "/s/linux/a-1.0-abc".into())],
        relocate_binaries: vec!["bin/a".into(), "lib/😀.so".into()],
        relocate_links: vec![],
        relocate_textfiles: vec!["1.0".into(), "null".into()],
    }
}

#[test]
fn empty() {
    let expected = "{buildpath: '', spackprefix: '', relative_prefix: '', hardlinks_deduped: false, \
        hash_to_prefix: {}, relocate_binaries: [], relocate_links: [], relocate_textfiles: []}\n";
    assert_eq!(text(&BuildInfo::default().render()), expected);
    assert_eq!(BuildInfo::parse(expected.as_bytes()).unwrap(), BuildInfo::default());
}

#[rstest]
#[case::json(
    r#"{"buildpath":"/s","spackprefix":"/spack","relative_prefix":"linux\/a-1.0-abc","hardlinks_deduped":true,
    "sbang_install_path":"/s/bin/sbang","hash_to_prefix":{"abc":"/s/linux/a-1.0-abc"},"relocate_links":[],
    "relocate_binaries":["bin/a","lib/\ud83d\ude00.so"],"relocate_textfiles":["1.0","null"]}"#
)]
#[case::block(
    "---\nbuildpath: /s\nhardlinks_deduped: true\nprefix_to_hash:\n  /s/linux/a-1.0-abc: abc\n\
    relative_prefix: linux/a-1.0-abc\nrelative_rpaths: false\nrelocate_binaries:\n- bin/a\n- lib/😀.so\n\
    relocate_links: []\nrelocate_textfiles:\n- '1.0'\n- 'null'\nsbang_install_path: /s/bin/sbang\n\
    spackprefix: /spack\nuser: {defined: [1, {2: 3}], more: []}\n"
)]
#[case::unquoted(
    "{sbang_install_path: /s/bin/sbang, buildpath: /s, spackprefix: /spack, hardlinks_deduped: True, \
    relative_prefix: linux/a-1.0-abc, hash_to_prefix: {abc: /s/linux/a-1.0-abc}, relocate_links: , \
    prefix_to_hash: {/other: def}, relocate_binaries: [bin/a, lib/😀.so], relocate_textfiles: [1.0, null]}"
)]
fn other_forms(#[case] form: &str) {
    assert_eq!(BuildInfo::parse(form.as_bytes()).unwrap(), small());
    assert_eq!(BuildInfo::parse(format!("\u{feff}{form}\n").as_bytes()).unwrap(), small());
}

#[rstest]
#[case::empty("", "build information is not a mapping")]
#[case::list("[a]", "build information is not a mapping")]
#[case::complex_key("{[a]: b}", "build information is not a mapping")]
#[case::cut("{buildpath: /s, hash_to", "build information is not YAML")]
#[case::no_root("{hash_to_prefix: {}}", "build information lacks `buildpath`")]
#[case::no_hashes("{buildpath: /s}", "build information lacks `hash_to_prefix`")]
#[case::no_binaries(
    "{buildpath: /s, hash_to_prefix: {}, relocate_textfiles: []}",
    "build information lacks `relocate_binaries`"
)]
#[case::no_textfiles(
    "{buildpath: /s, hash_to_prefix: {}, relocate_binaries: []}",
    "build information lacks `relocate_textfiles`"
)]
#[case::root_is_a_list("{buildpath: []}", "build information has no text as its `buildpath`")]
#[case::nested(
    "{relocate_links: [[a]]}",
    "build information has no list of names as its `relocate_links`"
)]
#[case::one_name(
    "{relocate_links: a}",
    "build information has no list of names as its `relocate_links`"
)]
#[case::hashes_in_a_list(
    "{hash_to_prefix: [a, b]}",
    "build information has no mapping of texts as its `hash_to_prefix`"
)]
fn refused(#[case] form: &str, #[case] message: &str) {
    assert_eq!(BuildInfo::parse(form.as_bytes()).unwrap_err().to_string(), message);
}

#[test]
fn hostile_texts_end_in_errors() {
    assert!(matches!(BuildInfo::parse(b"\xff"), Err(ParseBuildInfoError::NotUtf8(_))));
    let deep = [&b"{x: "[..], &vec![b'['; 1 << 20]].concat();
    assert!(BuildInfo::parse(&deep).is_err());
    let block = ["x:\n".to_owned(), "- ".repeat(10_000)].concat();
    assert!(BuildInfo::parse(block.as_bytes()).is_err());
    let aliases = b"{a: &a [x, x], relocate_links: [*a, *a]}";
    assert!(BuildInfo::parse(aliases).is_err());
}

/// Strings full of what YAML might take for something else.
fn string() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "/",
        "-",
        ".",
        ":",
        "?",
        "#",
        " ",
        ",",
        "'",
        "\"",
        "\\",
        "[",
        "]",
        "{",
        "}",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "~",
        "=",
        "<<",
        "null",
        "true",
        "0",
        "1",
        "e",
        "_",
        "0x",
        "0o",
        "inf",
        "2001-12-14",
        "T12:00:00Z",
        " -",
        "\u{10fffd}",
        "\n",
        "\t",
        "\r",
        "\0",
        "\x1b",
        "\x7f",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{fffe}",
        "é",
        "中",
        "😀",
    ];
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(pieces), 0..6).prop_map(|p| p.concat()),
        1 => any::<String>(),
        1 => prop::collection::vec(prop::sample::select(vec!["k", "k "]), 100..140)
            .prop_map(|p| p.concat()),
    ]
}

#[test]
fn a_name_that_ends_in_a_lone_dash_is_read_back() {
    let names = ["a -", "b - c -", "-", "d -,", "e -]"].map(str::to_owned).to_vec();
    let info = BuildInfo { relocate_links: names, ..BuildInfo::default() };
    assert_eq!(BuildInfo::parse(&info.render()).unwrap(), info);
}

prop_compose! {
    fn build_info()(
        sbang_install_path in prop::option::of(string()),
        [buildpath, spackprefix, relative_prefix] in prop::array::uniform3(string()),
        hardlinks_deduped in any::<bool>(),
        hash_to_prefix in prop::collection::vec((string(), string()), 0..4),
        [relocate_binaries, relocate_links, relocate_textfiles] in
            prop::array::uniform3(prop::collection::vec(string(), 0..4)),
    ) -> BuildInfo {
        BuildInfo {
            sbang_install_path, buildpath, spackprefix, relative_prefix, hardlinks_deduped,
            hash_to_prefix, relocate_binaries, relocate_links, relocate_textfiles,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reading_undoes_writing(info in build_info()) {
        let bytes = info.render();
        let line_feed = bytes.iter().position(|&byte| byte == b'\n');
        prop_assert_eq!(line_feed, Some(bytes.len() - 1), "one line");
        let read = BuildInfo::parse(&bytes).map_err(|error| {
            TestCaseError::fail(format!("{error:?} in {}", String::from_utf8_lossy(&bytes)))
        })?;
        prop_assert_eq!(read, info, "{}", String::from_utf8_lossy(&bytes));
    }
}
