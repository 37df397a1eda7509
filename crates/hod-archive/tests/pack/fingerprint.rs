//! The fingerprint: what changes it, what does not, and that a survey gives the same.

use std::time::Duration;

use hod_archive::{Fingerprint, PackOptions, survey};

use crate::tree::{Tree, chmod};
use crate::{LAST, pack_with, plain};

const TABLE: &str = r"
    .spack/spec.json 644 {}
    .spack/binary_distribution 644 old
    bin/tool 755 *300000
    bin/again = bin/tool
    lib/one 644 content
    lib/link -> one
    empty/
";

fn of(tree: &Tree) -> Fingerprint {
    let (fingerprint, _) = survey(tree.prefix(), &plain(), Some(LAST)).unwrap();
    fingerprint
}

#[test]
fn a_survey_gives_the_fingerprint_and_the_numbers_of_a_pack() {
    let tree = Tree::new(TABLE);
    for io_jobs in [1, 4] {
        let options = PackOptions { io_jobs, ..plain() };
        for last in [None, Some("")] {
            let name = last.map(|_| LAST);
            let (fingerprint, facts) = survey(tree.prefix(), &options, name).unwrap();
            let (packed, _) = pack_with(tree.prefix(), &options, last);
            assert_eq!(fingerprint, packed.fingerprint);
            assert_eq!((facts.hardlinks, facts.symlinks, facts.directories), (1, 1, 5));
            let last_entry = u64::from(last.is_some());
            assert_eq!(facts.files + last_entry, packed.facts.files);
            assert_eq!(facts.file_bytes, packed.facts.file_bytes);
            assert_eq!(facts.largest, packed.facts.largest);
        }
    }
}

#[test]
fn reading_a_tree_leaves_its_fingerprint() {
    let tree = Tree::new(TABLE);
    let before = of(&tree);
    fs_err::read(tree.path("lib/one")).unwrap();
    pack_with(tree.prefix(), &plain(), None);
    assert_eq!(of(&tree), before);
}

#[test]
fn the_last_entrys_file_is_not_part_of_it() {
    let tree = Tree::new(TABLE);
    let before = of(&tree);
    fs_err::write(tree.path(LAST), "something else").unwrap();
    assert_eq!(of(&tree), before);
}

#[test]
fn the_newest_change_is_the_latest_change_time_of_a_file() {
    let tree = Tree::new(TABLE);
    std::thread::sleep(Duration::from_millis(20));
    chmod(&tree.path("lib/one"), 0o600);
    let stat = rustix::fs::stat(tree.path("lib/one")).unwrap();
    #[expect(clippy::useless_conversion, reason = "widths vary by platform")]
    let changed = (stat.st_ctime.into(), stat.st_ctime_nsec.into());
    assert_eq!(of(&tree).newest, changed);
}

/// Something done to a tree, by its name.
type Change = (&'static str, fn(&Tree));

const CHANGES: [Change; 14] = [
    ("content of the same length", |tree| fs_err::write(tree.path("lib/one"), "CONTENT").unwrap()),
    ("content and the old time", |tree| {
        let path = tree.path("lib/one");
        let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
        fs_err::write(&path, "CONTENT").unwrap();
        let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
    }),
    ("longer content", |tree| fs_err::write(tree.path("lib/one"), "longer content").unwrap()),
    ("a replaced file", |tree| {
        fs_err::write(tree.path("lib/new"), "content").unwrap();
        fs_err::rename(tree.path("lib/new"), tree.path("lib/one")).unwrap();
    }),
    ("a renamed file", |tree| {
        fs_err::rename(tree.path("lib/one"), tree.path("lib/two")).unwrap();
    }),
    ("a file moved to another directory", |tree| {
        fs_err::rename(tree.path("lib/one"), tree.path("bin/one")).unwrap();
    }),
    ("a renamed directory", |tree| {
        fs_err::rename(tree.path("empty"), tree.path("vacant")).unwrap();
    }),
    ("a mode", |tree| chmod(&tree.path("lib/one"), 0o755)),
    ("an added file", |tree| tree.grow("lib/two 644")),
    ("an added directory", |tree| tree.grow("empty/more/")),
    ("a removed file", |tree| fs_err::remove_file(tree.path("lib/one")).unwrap()),
    ("a new hard link outside", |tree| {
        fs_err::hard_link(tree.path("lib/one"), tree.beside("outside")).unwrap();
    }),
    ("a new target of a link", |tree| {
        fs_err::remove_file(tree.path("lib/link")).unwrap();
        tree.grow("lib/link -> two");
    }),
    ("a link in place of a file", |tree| {
        fs_err::remove_file(tree.path("lib/one")).unwrap();
        tree.grow("lib/one -> ../bin/tool");
    }),
];

#[test]
fn whatever_happens_to_a_tree_changes_its_fingerprint() {
    for (what, change) in CHANGES {
        let tree = Tree::new(TABLE);
        let before = of(&tree);
        // Longer than the clock of any file system in use ticks.
        std::thread::sleep(Duration::from_millis(20));
        change(&tree);
        assert_ne!(of(&tree).digest, before.digest, "{what}");
    }
}
