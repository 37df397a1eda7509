//! Which member follows which.

use std::os::unix::ffi::OsStrExt as _;

use hod_archive::{BeforeLast, Encoders, LastEntry, Mark, PackError, PackOptions, pack};

use crate::archive::{lines, members, stem};
use crate::tree::Tree;
use crate::{LAST, pack_with, plain, tar_of, try_pack};

#[test]
fn the_parents_of_the_prefix_come_first_outermost_first() {
    let tree = Tree::new("");
    let members = members(&tar_of(tree.prefix()));
    let mut expected: Vec<Vec<u8>> = tree
        .prefix()
        .ancestors()
        .map(|path| path.as_os_str().as_bytes())
        .filter(|path| *path != b"/")
        .map(|path| [&path[1..], b"/"].concat())
        .collect();
    expected.reverse();
    assert_eq!(members.iter().map(|member| member.name.clone()).collect::<Vec<_>>(), expected);
    assert!(members.iter().all(|member| member.kind == b'5' && member.mode == 0o755));
}

#[test]
fn files_of_a_directory_precede_its_directories_and_each_is_followed_to_its_leaves() {
    let tree = Tree::new(
        r"
        zfile 644 z
        .spack/spec.json 644 {}
        bin/tool 755 run
        bin/sub/deep/leaf 644 1
        bin/sub/file 644 2
        bin/zz 644 3
        empty/
        link-to-directory -> bin
        ",
    );
    let expected = [
        "d 755 ",
        "l 755 link-to-directory -> bin",
        "f 644 zfile (1)",
        "d 755 .spack/",
        "f 644 .spack/spec.json (2)",
        "d 755 bin/",
        "f 755 bin/tool (3)",
        "f 644 bin/zz (1)",
        "d 755 bin/sub/",
        "f 644 bin/sub/file (1)",
        "d 755 bin/sub/deep/",
        "f 644 bin/sub/deep/leaf (1)",
        "d 755 empty/",
    ];
    assert_eq!(lines(&tar_of(tree.prefix()), tree.prefix()), expected);
}

#[test]
fn names_are_sorted_by_their_bytes_and_a_directory_before_its_namesakes_with_an_ending() {
    let tree = Tree::new(
        r"
        a/x/y 644
        a/f 644
        a-b/f 644
        a.b/f 644
        a\x01/f 644
        a0/f 644
        B 644
        b 644
        b.c 644
        b-c 644
        \xc3\xa9 644
        \xe4\xb8\xad 644
        \xff 644
        \s 644
        ",
    );
    let expected = [
        "d 755 ",
        "f 644   (0)",
        "f 644 B (0)",
        "f 644 b (0)",
        "f 644 b-c (0)",
        "f 644 b.c (0)",
        r"f 644 \xc3\xa9 (0)",
        r"f 644 \xe4\xb8\xad (0)",
        r"f 644 \xff (0)",
        "d 755 a/",
        "f 644 a/f (0)",
        "d 755 a/x/",
        "f 644 a/x/y (0)",
        r"d 755 a\x01/",
        r"f 644 a\x01/f (0)",
        "d 755 a-b/",
        "f 644 a-b/f (0)",
        "d 755 a.b/",
        "f 644 a.b/f (0)",
        "d 755 a0/",
        "f 644 a0/f (0)",
    ];
    assert_eq!(lines(&tar_of(tree.prefix()), tree.prefix()), expected);
}

#[test]
fn hard_links_point_to_the_first_name_in_the_archive_also_across_directories() {
    let tree = Tree::new(
        r"
        deep/first 755 content
        deep/second = deep/first
        zzz = deep/first
        deep/er/third = deep/first
        large/b 644 *300001
        large/a = large/b
        other/c = large/b
        ",
    );
    let (packed, tar) = pack_with(tree.prefix(), &plain(), None);
    let expected = [
        "d 755 ",
        "f 755 zzz (7)",
        "d 755 deep/",
        "h 755 deep/first = zzz",
        "h 755 deep/second = zzz",
        "d 755 deep/er/",
        "h 755 deep/er/third = zzz",
        "d 755 large/",
        "f 644 large/a (300001)",
        "h 644 large/b = large/a",
        "d 755 other/",
        "h 644 other/c = large/a",
    ];
    assert_eq!(lines(&tar, tree.prefix()), expected);
    assert_eq!((packed.facts.files, packed.facts.hardlinks), (2, 5));
    assert_eq!(packed.facts.file_bytes, 7 + 300_001);
    let full = [stem(tree.prefix()), b"/zzz"].concat();
    assert_eq!(members(&tar).iter().find(|member| member.kind == b'1').unwrap().link, full);
}

#[test]
fn a_file_whose_other_name_is_outside_the_prefix_is_stored_with_its_content() {
    let tree = Tree::new("here 644 shared\nlarge 644 *300000");
    fs_err::hard_link(tree.path("here"), tree.beside("there")).unwrap();
    fs_err::hard_link(tree.path("large"), tree.beside("large")).unwrap();
    let expected = ["d 755 ", "f 644 here (6)", "f 644 large (300000)"];
    assert_eq!(lines(&tar_of(tree.prefix()), tree.prefix()), expected);
}

#[test]
fn fifos_and_sockets_are_left_out_and_reported() {
    let tree = Tree::new("file 644 x\ndir/");
    tree.fifo("dir/fifo");
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("a-socket")).unwrap();
    let (packed, tar) = pack_with(tree.prefix(), &plain(), None);
    assert_eq!(lines(&tar, tree.prefix()), ["d 755 ", "f 644 file (1)", "d 755 dir/"]);
    let skipped = [(b"a-socket".to_vec(), "socket"), (b"dir/fifo".to_vec(), "fifo")];
    assert_eq!(packed.facts.skipped, skipped);
}

#[test]
fn the_last_entry_is_last_and_replaces_the_file_of_its_name() {
    let tree = Tree::new(
        r"
        .spack/binary_distribution 755 old and longer
        .spack/spec.json 644 {}
        zz/file 644
        ",
    );
    let (packed, tar) = pack_with(tree.prefix(), &plain(), Some("new"));
    let expected = [
        "d 755 ",
        "d 755 .spack/",
        "f 644 .spack/spec.json (2)",
        "d 755 zz/",
        "f 644 zz/file (0)",
        "f 644 .spack/binary_distribution (3)",
    ];
    assert_eq!(lines(&tar, tree.prefix()), expected);
    assert_eq!(members(&tar).last().unwrap().content, b"new");
    assert_eq!((packed.facts.files, packed.facts.file_bytes), (3, 5));
}

#[test]
fn the_directory_of_the_last_entry_is_a_member_where_the_tree_has_none() {
    let tree = Tree::new("bin/tool 755 x\n.a/\n.z/");
    let (packed, tar) = pack_with(tree.prefix(), &plain(), Some("{}\n"));
    let expected = [
        "d 755 ",
        "d 755 .a/",
        "d 755 .spack/",
        "d 755 .z/",
        "d 755 bin/",
        "f 755 bin/tool (1)",
        "f 644 .spack/binary_distribution (3)",
    ];
    assert_eq!(lines(&tar, tree.prefix()), expected);
    assert_eq!(packed.facts.directories, 5);
    assert!(!tree.path(".spack").exists(), "packing does not touch the tree");
}

#[test]
fn what_stands_where_the_last_entrys_directory_must_be_is_an_error_that_names_it() {
    for table in [".spack 644 a file", ".spack -> elsewhere"] {
        let tree = Tree::new(table);
        let error = try_pack(tree.prefix(), &plain(), &(), Some("x")).unwrap_err();
        let PackError::InTheWay { path } = error else { panic!("{error:?}") };
        assert_eq!(path, tree.path(".spack"));
        try_pack(tree.prefix(), &plain(), &(), None).expect("without a last entry it may be there");
    }
}

#[test]
fn the_last_entry_is_told_what_came_before_it() {
    struct Every;
    impl hod_archive::Inspect for Every {
        type File<'a> = One;
        fn begin(&self, name: &[u8]) -> Option<One> {
            (name != b"boring").then_some(One(0))
        }
        fn link(&self, _: &[u8], target: &[u8]) -> Option<Mark> {
            (target == b"marked").then_some(Mark(7))
        }
    }
    struct One(usize);
    impl hod_archive::InspectFile for One {
        fn push(&mut self, content: &[u8]) {
            self.0 += content.len();
        }
        fn finish(self) -> Option<Mark> {
            (self.0 > 3).then_some(Mark(1))
        }
    }
    let tree = Tree::new(
        "zlib 644 long\nboring 644 long\nshort 644 ab\nlarge/file 644 *700000\nlarge/again = large/file
        link -> marked\nlink2 -> not",
    );
    let mut seen = None;
    let mut content = |before: BeforeLast<'_>| {
        seen = Some((before.digest, before.marks.to_vec(), before.facts.clone()));
        b"last".to_vec()
    };
    let last = Some(LastEntry { name: LAST, content: &mut content });
    let mut tar = Vec::new();
    pack(tree.prefix(), &mut tar, &Encoders::new(1), &plain(), &Every, last, &|_| {}).unwrap();
    let (digest, marks, facts) = seen.unwrap();
    let expected: [(Mark, &[u8]); 3] =
        [(Mark(7), b"link"), (Mark(1), b"zlib"), (Mark(1), b"large/again")];
    assert_eq!(marks, expected.map(|(mark, name)| (mark, name.to_vec())));
    assert_eq!((facts.files, facts.symlinks, facts.hardlinks), (4, 2, 1));
    let offset = members(&tar).last().unwrap().offset;
    assert_eq!(digest, hod_archive::Digest::of(&tar[..offset]));
}

/// Fills `directory` with so many names of the file `one`: many names cost least as hard links.
fn fill(tree: &Tree, directory: &str, names: usize) {
    tree.grow(&format!("{directory}/"));
    for number in 0..names {
        std::fs::hard_link(tree.path("one"), tree.path(&format!("{directory}/{number:05}")))
            .unwrap();
    }
}

#[test]
fn a_directory_of_thirty_thousand_files_is_listed_in_its_turn() {
    let tree = Tree::new("a/first 644 1\none 644 x\nz/last 644 2");
    fill(&tree, "many", 30_000);
    for io_jobs in [1, 8] {
        let (packed, tar) = pack_with(tree.prefix(), &PackOptions { io_jobs, ..plain() }, None);
        assert_eq!((packed.facts.files, packed.facts.hardlinks), (3, 30_000));
        let members = members(&tar);
        let names: Vec<_> = members.iter().map(|member| &member.name[..]).collect();
        let many = names.iter().position(|name| name.ends_with(b"/many/")).unwrap();
        assert!(names[many..].is_sorted());
        assert!(names.last().unwrap().ends_with(b"z/last"));
    }
}

#[test]
fn large_directories_in_a_row_are_put_off_and_none_is_forgotten() {
    let tree = Tree::new("0/x 644\none 644 x\n2/3/z 644");
    for directory in ["1", "2"] {
        fill(&tree, directory, 20_001);
    }
    let (packed, tar) = pack_with(tree.prefix(), &PackOptions { io_jobs: 4, ..plain() }, None);
    assert_eq!(packed.facts.hardlinks, 2 * 20_001);
    assert!(members(&tar).last().unwrap().name.ends_with(b"2/3/z"));
}

#[test]
fn many_small_and_nested_directories_come_out_in_order() {
    let tree = Tree::new("");
    for a in 0..12 {
        for b in 0..12 {
            tree.grow(&format!("d{a}/e{b}/f/g/\nd{a}/e{b}/f/g/leaf 644 x\nd{a}/e{b}/top 644 y"));
        }
    }
    let (packed, tar) = pack_with(tree.prefix(), &plain(), None);
    assert_eq!(packed.facts.directories, 1 + 12 + 12 * 12 * 3);
    assert_eq!(packed.facts.files, 2 * 144);
    // Here each directory's files sort before its directories anyway, but for `top` and `f/`.
    let names: Vec<_> = members(&tar).into_iter().map(|member| member.name).collect();
    let key = |name: &Vec<u8>| String::from_utf8(name.clone()).unwrap().replace("top", "a");
    assert!(names.is_sorted_by_key(key));
}

#[test]
fn names_reserved_by_container_images_are_refused() {
    for table in ["lib/.wh.gone 644", "lib/.wh..wh..opq/", "lib/.wh.link -> x"] {
        let error = try_pack(Tree::new(table).prefix(), &plain(), &(), None).unwrap_err();
        assert!(matches!(error, PackError::Whiteout { .. }), "{error:?}");
    }
    tar_of(Tree::new("lib/.whatever 644\nlib/x.wh. 644").prefix());
}

#[test]
fn only_an_absolute_path_below_the_root_is_a_prefix() {
    let tree = Tree::new("a 644");
    let up = tree.prefix().join("../prefix");
    for bad in ["relative/path", up.to_str().unwrap()] {
        let error = try_pack(bad.as_ref(), &plain(), &(), None).unwrap_err();
        assert!(matches!(error, PackError::NotAbsolute { .. }), "{error:?}");
    }
    let error = try_pack("/".as_ref(), &plain(), &(), None).unwrap_err();
    assert!(matches!(error, PackError::FileSystemRoot));
    let error = try_pack(&tree.beside("nothing"), &plain(), &(), None).unwrap_err();
    assert!(matches!(error, PackError::List { .. }), "{error:?}");
    let slashes = format!("{}///", tree.prefix().display());
    assert_eq!(tar_of(slashes.as_ref()), tar_of(tree.prefix()));
}
