//! The same tree through Python's `tarfile`, used as Spack uses it, gives the same bytes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::tree::{Tree, chmod};
use crate::{skip, tar_of};

/// Spack's `reproducible_tarfile_from_prefix` in short (spack-format 3.1 to 3.3), for the prefix
/// given; the archive goes to standard output.
const SCRIPT: &str = r#"
import os, stat, sys, tarfile

prefix = sys.argv[1]
tar = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT,
                   encoding="utf-8", errors="surrogateescape")
first_names = {}

def info(path, kind, mode):
    member = tarfile.TarInfo(path[1:])
    member.type, member.mode = kind, mode
    member.uid = member.gid = member.mtime = 0
    return member

def add_file(path, status):
    member = info(path, tarfile.REGTYPE, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
    key = status.st_dev, status.st_ino
    if status.st_nlink > 1 and key in first_names:
        member.type, member.linkname = tarfile.LNKTYPE, first_names[key]
        return tar.addfile(member)
    first_names[key] = member.name
    member.size = status.st_size
    with open(path, "rb") as content:
        tar.addfile(member, content)

def add_directory(path):
    tar.addfile(info(path, tarfile.DIRTYPE, 0o755))
    entries = sorted(os.scandir(path), key=lambda entry: os.fsencode(entry.name))
    directories = [e for e in entries if e.is_dir(follow_symlinks=False)]
    for entry in entries:
        if entry.is_symlink():
            member = info(entry.path, tarfile.SYMTYPE, 0o755)
            member.linkname = os.readlink(entry.path)
            tar.addfile(member)
        elif entry.is_file(follow_symlinks=False):
            add_file(entry.path, os.lstat(entry.path))
    for entry in directories:
        add_directory(entry.path)

ancestors = []
parent = os.path.dirname(prefix)
while parent != "/":
    ancestors.append(parent)
    parent = os.path.dirname(parent)
for parent in reversed(ancestors):
    tar.addfile(info(parent, tarfile.DIRTYPE, 0o755))
add_directory(prefix)
tar.close()
"#;

/// The Python to ask; `None` if there is none that writes what Spack writes today (before 3.9,
/// `tarfile` wrote device numbers).
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    // Its own path, once: `python3` itself may be a script that searches for it.
    let path = PYTHON.get_or_init(|| {
        let check = "import sys; print(sys.executable if sys.version_info >= (3, 9) else '')";
        let output = Command::new("python3").args(["-I", "-S", "-c", check]).output().ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        (!path.trim().is_empty()).then(|| path.trim().into())
    });
    if path.is_none() {
        skip("there is no python3 of version 3.9 or later");
    }
    path.as_deref()
}

/// The archive Python makes of `prefix`.
fn python_tar(python: &Path, prefix: &Path) -> Vec<u8> {
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-X", "utf8", "-c", SCRIPT]).arg(prefix);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {said}");
    output.stdout
}

fn assert_same(python: &Path, prefix: &Path) {
    let theirs = python_tar(python, prefix);
    let ours = tar_of(prefix);
    let differs = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
    if let Some(at) = differs {
        let block = at & !511;
        let show = |tar: &[u8]| tar[block..block + 512].escape_ascii().to_string();
        panic!("byte {at} differs:\nours   {}\npython {}", show(&ours), show(&theirs));
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn a_tree_with_every_oddity_is_the_same_archive_as_pythons() {
    let Some(python) = python() else { return };
    let long = "long-name-".repeat(12);
    let tree = Tree::new(&format!(
        r"
        a/file 4755 x
        a.b 644 *513
        a-b/
        bin/first 755 *300000
        bin/second = bin/first
        abin = bin/first
        empty 600
        \xff/\xc3\xa9 644 latin
        \xff/\xed\xa0\x80 644 a surrogate is not UTF-8
        \xff/\xf0\x9f\x98\x80 644 four bytes are one character
        {long}/{long} 644 long
        {long}/hard = {long}/{long}
        {long}/{long}-\xe4 = {long}/{long}
        short -> {long}
        exact -> {exact}
        over -> {exact}x
        raw -> \xfe/\xc3\xa9
        zz/.hidden -> ../empty
        ",
        exact = "e".repeat(100),
    ));
    assert_same(python, tree.prefix());
}

#[test]
fn names_around_a_hundred_bytes_and_characters_are_the_same_as_pythons() {
    let Some(python) = python() else { return };
    let tree = Tree::new("");
    let before = tree.prefix().as_os_str().len();
    for length in 97..=102 {
        let rest = length - before;
        tree.grow(&format!("{} 644 x", "a".repeat(rest)));
        tree.grow(&format!("{}/", "b".repeat(rest)));
        // More than a hundred bytes in fewer characters, and the other way round.
        tree.grow(&format!("{}{} 644 y", "\\xc3\\xa9".repeat(2), "c".repeat(rest - 2)));
        tree.grow(&format!("{}\\xff 644 z", "d".repeat(rest - 1)));
        tree.grow(&format!("l{length} -> {}", "t".repeat(length)));
    }
    assert_same(python, tree.prefix());
}

/// What a random tree is made of.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    File {
        length: usize,
        mode: u32,
    },
    Symlink(Vec<u8>),
    /// A further name of one of the files made so far.
    Again(usize),
    Directory(BTreeMap<Vec<u8>, Node>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let letters: Vec<&[u8]> = vec![
        b"a",
        b"b",
        b"A",
        b".",
        b"-",
        b"_",
        b" ",
        b"0",
        b"~",
        b"\x01",
        b"\n",
        b"\\",
        b"=",
        "é".as_bytes(),
        "中".as_bytes(),
        "😀".as_bytes(),
        b"\xff",
        b"\xc3",
        b"\xed\xb2\x80",
    ];
    proptest::collection::vec(proptest::sample::select(letters), 1..12)
        .prop_map(|letters| letters.concat())
        .prop_filter("a name of its own", |name| {
            name != b"." && name != b".." && !name.starts_with(b".wh.")
        })
}

pub(crate) fn children(
    inner: BoxedStrategy<Node>,
) -> impl Strategy<Value = BTreeMap<Vec<u8>, Node>> {
    proptest::collection::btree_map(name(), inner, 0..7)
}

pub(crate) fn node() -> impl Strategy<Value = Node> {
    let mode = (0_u32..0o10000).prop_map(|mode| mode | 0o400);
    let length = prop_oneof![0_usize..2000, Just(512), Just(262_145)];
    let target = proptest::collection::vec(name(), 1..16).prop_map(|parts| parts.join(&b"/"[..]));
    let leaf = prop_oneof![
        4 => (length, mode).prop_map(|(length, mode)| Node::File { length, mode }),
        2 => target.prop_map(Node::Symlink),
        1 => any::<usize>().prop_map(Node::Again),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| children(inner.boxed()).prop_map(Node::Directory))
}

pub(crate) fn plant(directory: &Path, nodes: &BTreeMap<Vec<u8>, Node>, files: &mut Vec<PathBuf>) {
    for (name, node) in nodes {
        let path = directory.join(OsString::from_vec(name.clone()));
        match node {
            Node::File { length, mode } => {
                fs_err::write(&path, crate::tree::noise(*length)).unwrap();
                chmod(&path, *mode);
                files.push(path);
            }
            Node::Symlink(target) => rustix::fs::symlink(&target[..], &path).unwrap(),
            Node::Again(which) if !files.is_empty() => {
                fs_err::hard_link(&files[which % files.len()], &path).unwrap();
            }
            Node::Again(_) => fs_err::write(&path, "first").unwrap(),
            Node::Directory(nodes) => {
                fs_err::create_dir(&path).unwrap();
                plant(&path, nodes, files);
            }
        }
    }
}

#[test]
fn any_tree_is_the_same_archive_as_pythons() {
    let Some(python) = python() else { return };
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&children(node().boxed()), |nodes| {
        let tree = Tree::new("");
        plant(tree.prefix(), &nodes, &mut Vec::new());
        assert_same(python, tree.prefix());
        Ok(())
    });
    result.unwrap();
}
