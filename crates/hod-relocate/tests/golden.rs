//! Classification against the relocate lists that Spack itself recorded in its tarballs.
#![expect(clippy::unwrap_used, reason = "clippy knows no tests in the helpers of a test file")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use hod_relocate::{Prefixes, RelocateList, Scanner};
use serde_json::Value;
use tar::EntryType;

/// The three lists by their key in `.spack/binary_distribution`, each in order of its names.
type Lists = BTreeMap<&'static str, Vec<String>>;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the full set of golden data is, if it is there.
fn golden() -> PathBuf {
    std::env::var_os("HOD_GOLDEN")
        .map_or_else(|| workspace().join("../shared/golden"), PathBuf::from)
}

/// What Spack calls the prefixes to relocate; their order is of no consequence here.
fn prefixes(buildinfo: &Value) -> Prefixes {
    let text = |value: &Value| value.as_str().expect("a path").to_owned();
    let mut list: Vec<String> =
        buildinfo["hash_to_prefix"].as_object().expect("a mapping").values().map(text).collect();
    list.push(text(&buildinfo["sbang_install_path"]));
    list.push(text(&buildinfo["buildpath"]));
    Prefixes::new(list)
}

/// Classifies every member of a tarball, with chunks of `chunk` bytes.
fn classify(tarball: &Path, package: &str, prefixes: &Prefixes, chunk: usize) -> Lists {
    let file = std::fs::File::open(tarball).unwrap();
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
    let mut lists: Lists = ["relocate_binaries", "relocate_links", "relocate_textfiles"]
        .map(|key| (key, Vec::new()))
        .into();
    let mut buffer = vec![0; chunk];
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let Some(name) = path.strip_prefix(package).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if name.starts_with(".spack/") {
            continue;
        }
        let listed = match entry.header().entry_type() {
            EntryType::Symlink => prefixes
                .link_points_inside(&entry.link_name_bytes().unwrap())
                .then_some("relocate_links"),
            EntryType::Regular => {
                let mut scanner = Scanner::new(prefixes);
                loop {
                    let length = entry.read(&mut buffer).unwrap();
                    if length == 0 || scanner.is_decided() {
                        break;
                    }
                    scanner.push(&buffer[..length]);
                }
                scanner.finish().relocate_list().map(|list| match list {
                    RelocateList::Binaries => "relocate_binaries",
                    RelocateList::TextFiles => "relocate_textfiles",
                })
            }
            _ => None,
        };
        if let Some(key) = listed {
            lists.get_mut(key).unwrap().push(name.to_owned());
        }
    }
    for names in lists.values_mut() {
        names.sort();
    }
    lists
}

fn expected(buildinfo: &Value) -> Lists {
    ["relocate_binaries", "relocate_links", "relocate_textfiles"]
        .map(|key| {
            let names = buildinfo[key].as_array().expect("a list");
            let mut names: Vec<String> =
                names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
            names.sort();
            (key, names)
        })
        .into()
}

#[test]
fn linkfarm() {
    let fixtures = workspace().join("fixtures/spack");
    let lists = std::fs::File::open(fixtures.join("linkfarm.lists.json")).unwrap();
    let lists: Value = serde_json::from_reader(lists).unwrap();
    let root = "opt/hpc/store/linux-x86_64";
    let package = format!("{root}/linkfarm-1.0-utvtp6r54rgdsbyrggnzqaijor6jc5jt");
    let prefixes = Prefixes::new([
        format!("/{package}"),
        format!("/{root}/gcc-runtime-12.2.0-alcuvrzw23yydxljwiq2witzeqzaz3fj"),
        format!("/{root}/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx"),
        format!("/{root}/bzip2-1.0.8-ues2iabfis2ybigcxnxyvc3lqj4ytfkj"),
        "/opt/hpc/store/bin/sbang".to_owned(),
        "/opt/hpc/store".to_owned(),
    ]);
    for chunk in [1, 13, 64 << 10] {
        let found = classify(&fixtures.join("linkfarm.tar.gz"), &package, &prefixes, chunk);
        assert_eq!(found, expected(&lists), "chunks of {chunk}");
    }
}

#[test]
fn every_golden_package() {
    let golden = golden();
    if !golden.is_dir() {
        println!("skipped: no golden data at `{}` (set HOD_GOLDEN)", golden.display());
        return;
    }
    let lists = std::fs::File::open(golden.join("relocated-lists.json")).unwrap();
    let lists: Value = serde_json::from_reader(lists).unwrap();
    let mut packages = 0;
    for (set, entries) in lists.as_object().unwrap() {
        for (name, entry) in entries.as_object().unwrap() {
            let digest = entry["tarball"].as_str().unwrap();
            let tarball = golden.join(set).join("blobs/sha256").join(&digest[..2]).join(digest);
            let member = entry["member"].as_str().unwrap();
            let package = member.strip_suffix("/.spack/binary_distribution").unwrap();
            let buildinfo = &entry["buildinfo"];
            let found = classify(&tarball, package, &prefixes(buildinfo), 64 << 10);
            assert_eq!(found, expected(buildinfo), "{set} {name}");
            packages += 1;
        }
    }
    println!("compared {packages} packages");
}
