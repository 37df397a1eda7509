//! What is made of files, against what Spack made of them when it installed them elsewhere.
#![expect(clippy::unwrap_used, reason = "clippy knows no tests in the helpers of a test file")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use hod_relocate::{
    FileKind, PrefixMap, Prefixes, Scanner, TextRewriter, relocate_binary, retain_rpaths,
};
use tar::EntryType;

#[derive(PartialEq, Eq)]
enum Entry {
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Directory,
}

/// The entries below one directory of an archive, by their names from there; hard links by their
/// first name alone.
type Tree = BTreeMap<String, Entry>;

fn read(archive: &Path, top: &str) -> Tree {
    let file = std::fs::File::open(archive).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let mut tree = Tree::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let Some(name) = path.strip_prefix(top).and_then(|name| name.strip_prefix('/')) else {
            continue;
        };
        let name = name.trim_end_matches('/').to_owned();
        let value = match entry.header().entry_type() {
            EntryType::Regular => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                Entry::File(content)
            }
            EntryType::Symlink => Entry::Symlink(entry.link_name_bytes().unwrap().into_owned()),
            EntryType::Directory => Entry::Directory,
            _ => continue,
        };
        tree.insert(name, value);
    }
    assert!(!tree.is_empty(), "{top}");
    tree
}

/// A store and where Spack put it.
struct Case {
    original: PathBuf,
    /// The store's directory in the archive, and where it was.
    top: &'static str,
    old_root: &'static str,
    old_sbang: &'static str,
    relocated: PathBuf,
    relocated_top: &'static str,
    new_root: &'static str,
}

/// The directory of the package that a file belongs to.
fn package(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("linux-x86_64/")?;
    let length = rest.find('/').unwrap_or(rest.len());
    Some(&name[..name.len() - rest.len() + length])
}

impl Case {
    /// Spack's map: the helper for long shebangs, the packages, the root.
    fn map(&self, original: &Tree) -> PrefixMap {
        let packages: BTreeSet<&str> = original.keys().filter_map(|name| package(name)).collect();
        let pair =
            |name| (format!("{}/{name}", self.old_root), format!("{}/{name}", self.new_root));
        let sbang = (self.old_sbang.to_owned(), format!("{}/bin/sbang", self.new_root));
        let root = (self.old_root.to_owned(), self.new_root.to_owned());
        PrefixMap::new(std::iter::once(sbang).chain(packages.into_iter().map(pair)).chain([root]))
    }

    /// Relocates all that Spack has relocated and compares every file and link.
    fn compare(&self) -> Counts {
        let original = read(&self.original, self.top);
        let relocated = read(&self.relocated, self.relocated_top);
        let map = self.map(&original);
        let prefixes = Prefixes::new(map.iter().map(|(old, _)| old));
        let there: BTreeSet<Vec<u8>> =
            original.keys().map(|name| format!("{}/{name}", self.new_root).into_bytes()).collect();
        let keep = |path: &[u8]| {
            path.starts_with(b"$") || there.contains(path) || path.starts_with(b"/usr/")
        };
        let mut counts = Counts::default();
        for (name, expected) in &relocated {
            if name.contains("/.spack/") || package(name).is_none() {
                continue;
            }
            let is_equal = match &original[name] {
                Entry::Directory => *expected == Entry::Directory,
                Entry::Symlink(target) => {
                    let moved = map.relocate_link(target);
                    counts.links += usize::from(moved.is_some());
                    *expected == Entry::Symlink(moved.unwrap_or_else(|| target.clone()))
                }
                Entry::File(content) => {
                    let moved = relocate(name, content, &map, &prefixes, &keep, &mut counts);
                    *expected == Entry::File(moved)
                }
            };
            assert!(is_equal, "`{name}` is not what Spack made of it");
        }
        counts
    }
}

/// How many were changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    texts: usize,
    binaries: usize,
    links: usize,
}

fn relocate(
    name: &str,
    content: &[u8],
    map: &PrefixMap,
    prefixes: &Prefixes,
    keep: &dyn Fn(&[u8]) -> bool,
    counts: &mut Counts,
) -> Vec<u8> {
    let mut scanner = Scanner::new(prefixes);
    scanner.push(content);
    let mut out = Vec::new();
    match scanner.finish() {
        FileKind::Binary => {
            out.extend_from_slice(content);
            counts.binaries +=
                usize::from(relocate_binary(name.as_bytes(), &mut out, map).unwrap());
            // Spack did so when it built them, and what was there then is there now.
            assert!(!retain_rpaths(&mut out, keep).unwrap(), "{name}");
        }
        FileKind::Text { holds_prefix } => {
            let mut rewriter = TextRewriter::new(map);
            content.chunks(1000).for_each(|chunk| rewriter.push(chunk, &mut out));
            let has_changed = rewriter.finish(&mut out);
            assert_eq!(has_changed, holds_prefix, "{name}");
            assert_eq!(map.relocate_text(content).unwrap_or_else(|| content.to_vec()), out);
            counts.texts += usize::from(has_changed);
        }
        FileKind::Unknown => out.extend_from_slice(content),
    }
    out
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack")
}

fn short(relocated: PathBuf, relocated_top: &'static str) -> Case {
    Case {
        original: fixtures().join("store.tar.zst"),
        top: "store",
        old_root: "/opt/hpc/store",
        old_sbang: "/opt/hpc/store/bin/sbang",
        relocated,
        relocated_top,
        new_root: "/tmp/gs",
    }
}

fn long(relocated: PathBuf, relocated_top: &'static str) -> Case {
    let old_root = "/opt/padded/__spack_path_placeholder__/__spack_path_placeholder__\
        /__spack_path_placeholder__/__spack_path_placeholder__/__spack_";
    Case {
        original: fixtures().join("store-padded.tar.zst"),
        top: old_root.strip_prefix("/opt/").unwrap(),
        old_root,
        old_sbang: "/opt/padded/bin/sbang",
        relocated,
        relocated_top,
        new_root: "/opt/a-much-longer-place-than-before/store",
    }
}

#[test]
fn a_package_in_a_shorter_place() {
    let counts = short(fixtures().join("relocated.tar.zst"), "short").compare();
    assert_eq!(counts, Counts { texts: 6, binaries: 2, links: 2 });
}

#[test]
fn a_padded_package_in_another_place() {
    let counts = long(fixtures().join("relocated.tar.zst"), "long").compare();
    assert_eq!(counts, Counts { texts: 6, binaries: 2, links: 2 });
}

#[test]
fn whole_stores() {
    let golden = std::env::var_os("HOD_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden"),
        PathBuf::from,
    );
    let golden = golden.join("store");
    if !golden.is_dir() {
        println!("skipped: no golden data at `{}` (set HOD_GOLDEN)", golden.display());
        return;
    }
    for case in [
        short(golden.join("reloc-short-from-v3-unsigned.tar.zst"), "gs"),
        long(golden.join("reloc-long-from-v3-padded.tar.zst"), "store"),
    ] {
        let counts = case.compare();
        println!("{}: {counts:?}", case.new_root);
        assert!(counts.binaries > 5 && counts.texts > 5 && counts.links > 5);
    }
}
