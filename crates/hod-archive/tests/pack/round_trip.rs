//! Unpacking what was packed gives the tree again, up to what packing normalises.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hod_archive::{
    Codec, DiffIdCheck, Encoding, Level, Limits, Members, PackOptions, UnpackOptions, unpack,
};
use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::archive::stem;
use crate::python::{children, node, plant};
use crate::tree::Tree;
use crate::{encoding, pack_with};

/// What of a path is kept: its type with what belongs to it, and which path it is a name of.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Directory,
    Link(Vec<u8>),
    File { executable: bool, content: Vec<u8>, first_name: Vec<u8> },
}

fn look(directory: &Path, root: &Path, seen: &mut BTreeMap<Vec<u8>, (u64, Kept)>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let kept = if metadata.is_dir() {
            look(&path, root, seen);
            Kept::Directory
        } else if metadata.is_symlink() {
            Kept::Link(fs_err::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
        } else {
            let content = fs_err::read(&path).unwrap();
            let executable = metadata.mode() & 0o100 != 0;
            Kept::File { executable, content, first_name: Vec::new() }
        };
        seen.insert(name, (metadata.ino(), kept));
    }
}

/// Every path of a tree, hard links with the first name of their file.
fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Kept> {
    let mut seen = BTreeMap::new();
    look(root, root, &mut seen);
    let mut first_names = BTreeMap::new();
    let with_names = seen.into_iter().map(|(name, (inode, mut kept))| {
        if let Kept::File { first_name, .. } = &mut kept {
            first_name.clone_from(first_names.entry(inode).or_insert_with(|| name.clone()));
        }
        (name, kept)
    });
    with_names.collect()
}

#[test]
fn unpacking_what_was_packed_gives_the_tree_again() {
    let encodings = [
        encoding(Codec::Gzip, Level::Fast),
        Encoding::new(Codec::Gzip, Level::Fast, Members::Single).unwrap(),
        encoding(Codec::Zstd, Level::Fast),
        encoding(Codec::None, Level::Default),
    ];
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(&children(node().boxed()), |nodes| {
        let tree = Tree::new("");
        plant(tree.prefix(), &nodes, &mut Vec::new());
        let expected = snapshot(tree.prefix());
        for (number, encoding) in encodings.into_iter().enumerate() {
            let options = PackOptions { encoding, ..PackOptions::default() };
            let (packed, blob) = pack_with(tree.prefix(), &options, None);
            let unpack_options = UnpackOptions {
                strip_prefix: Some(stem(tree.prefix()).to_vec()),
                limits: Limits::default(),
                jobs: 2,
                expected: Some((packed.digest, packed.size)),
                diff_id: DiffIdCheck::Expect(packed.diff_id),
                ..UnpackOptions::default()
            };
            let to = tree.beside(&number.to_string());
            let unpacked = unpack(&blob[..], encoding.codec(), &to, &unpack_options).unwrap();
            proptest::prop_assert_eq!(&snapshot(&to), &expected);
            let facts = packed.facts;
            proptest::prop_assert_eq!(unpacked.files, facts.files);
            proptest::prop_assert_eq!(unpacked.hardlinks, facts.hardlinks);
            proptest::prop_assert_eq!(unpacked.file_bytes, facts.file_bytes);
        }
        Ok(())
    });
    result.unwrap();
}
