//! What holds for any tree and any bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hod_archive::{Codec, TarReader, UnpackOptions, decoder, unpack};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    File { content: Vec<u8>, mode: u32, mtime: u64 },
    Symlink(String),
    Directory { children: BTreeMap<String, Node>, mode: u32, mtime: u64 },
}

fn node() -> impl Strategy<Value = Node> {
    let mode = (0_u32..0o1000).prop_map(|mode| mode | 0o400);
    let file = (proptest::collection::vec(any::<u8>(), 0..20), 0_usize..6, mode, 0_u64..1 << 33)
        .prop_map(|(seed, repeat, mode, mtime)| {
            let content = seed.repeat(10_usize.pow(u32::try_from(repeat).unwrap()));
            Node::File { content, mode, mtime }
        });
    // The `tar` crate tidies link targets, so they are tidy here.
    let leaf = prop_oneof![file, "[a-z]{1,60}(/[a-z]{1,50}){0,2}".prop_map(Node::Symlink)];
    leaf.prop_recursive(4, 30, 6, |inner| directory(inner.boxed()))
}

fn directory(inner: BoxedStrategy<Node>) -> impl Strategy<Value = Node> {
    let name = prop_oneof!["[a-zA-Z0-9_. ä\\\\-]{1,20}", "[a-z]{101,140}"]
        .prop_filter("a name of its own", |name| name != "." && name != "..");
    let children = proptest::collection::btree_map(name, inner, 0..6);
    (children, 0_u32..0o1000, 0_u64..1 << 33).prop_map(|(children, mode, mtime)| Node::Directory {
        children,
        mode: mode | 0o700,
        mtime,
    })
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &Path, node: &Node) {
    let mut header = tar::Header::new_gnu();
    match node {
        Node::File { content, mode, mtime } => {
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            header.set_mtime(*mtime);
            tar.append_data(&mut header, path, &content[..]).unwrap();
        }
        Node::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            header.set_mtime(0);
            tar.append_link(&mut header, path, target).unwrap();
        }
        Node::Directory { children, mode, mtime } => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(*mode);
            header.set_mtime(*mtime);
            if path.as_os_str().is_empty() {
                tar.append_data(&mut header, "./", std::io::empty()).unwrap();
            } else {
                tar.append_data(&mut header, path, std::io::empty()).unwrap();
            }
            for (name, child) in children {
                append(tar, &path.join(name), child);
            }
        }
    }
}

fn read(path: &Path) -> Node {
    let metadata = fs_err::symlink_metadata(path).unwrap();
    let mode = metadata.mode() & 0o7777;
    let mtime = u64::try_from(metadata.mtime()).unwrap();
    if metadata.is_symlink() {
        return Node::Symlink(fs_err::read_link(path).unwrap().to_str().unwrap().to_owned());
    }
    if metadata.is_dir() {
        let children = fs_err::read_dir(path).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().to_str().unwrap().to_owned(), read(&entry.path()))
        });
        return Node::Directory { children: children.collect(), mode, mtime };
    }
    Node::File { content: fs_err::read(path).unwrap(), mode, mtime }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads all members and counts what they hold, whatever the bytes are.
fn read_all(bytes: &[u8]) {
    let mut reader = TarReader::new(bytes, 4096);
    let mut content = [0; 100];
    while let Ok(Some(member)) = reader.next_member() {
        assert!(member.name.len() <= 4096);
        let _ = reader.read(&mut content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_survives(root in directory(node().boxed()), jobs in 1_usize..4) {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, Path::new(""), &root);
        let blob = gzip(&tar.into_inner().unwrap());
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        unpack(&blob[..], Codec::Gzip, &tree, &UnpackOptions { jobs, ..Default::default() })
            .unwrap();
        prop_assert_eq!(read(&tree), root);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        read_all(&bytes);
        let _ = decoder(Codec::Gzip, &bytes[..]).unwrap().read_to_end(&mut Vec::new());
    }

    #[test]
    fn no_change_of_an_archive_makes_the_reader_panic(
        changes in proptest::collection::vec((0_usize..3072, any::<u8>()), 1..8),
        is_resealed in any::<bool>(),
    ) {
        let mut bytes = crate::archive::Archive::new()
            .pax(&[("path", b"a/b"), ("size", b"3")])
            .file("b", "abc")
            .hardlink("c", "a/b")
            .finish();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if is_resealed {
            for block in bytes.chunks_exact_mut(512) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        read_all(&bytes);
    }
}
