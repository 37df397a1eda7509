//! What the headers say: modes, owners, times, long and foreign names; and the content after them.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use hod_archive::{PackOptions, survey};

use crate::archive::{Member, lines, members, stem};
use crate::tree::{Tree, chmod, noise};
use crate::{pack_with, plain, tar_of};

/// The members whose names end so, below the prefix.
fn ending<'m>(members: &'m [Member], end: &str) -> &'m Member {
    members.iter().find(|member| member.name.ends_with(end.as_bytes())).unwrap()
}

#[test]
fn modes_are_reduced_to_the_owners_execute_bit() {
    let tree = Tree::new(
        "a 644\nb 600\nc 755\nd 700\ne 611\nf 666\ng 4755\nh 2644\ni 1777\nj 444\nk 500\nl -> a\nm/",
    );
    chmod(&tree.path("m"), 0o3700);
    let modes: Vec<String> =
        lines(&tar_of(tree.prefix()), tree.prefix())[1..].iter().map(|l| l[..7].into()).collect();
    let expected = [
        "f 644 a", "f 644 b", "f 755 c", "f 755 d", "f 644 e", "f 644 f", "f 755 g", "f 644 h",
        "f 755 i", "f 644 j", "f 755 k", "l 755 l", "d 755 m",
    ];
    assert_eq!(modes, expected);
}

#[test]
fn every_member_has_the_time_that_was_asked_for_and_zero_by_default() {
    let tree = Tree::new("dir/file 644 x\nlink -> dir\nother = dir/file");
    assert!(members(&tar_of(tree.prefix())).iter().all(|member| member.mtime == 0));
    for mtime in [1, 1_700_000_000, (1 << 33) - 1] {
        let (_, tar) = pack_with(tree.prefix(), &PackOptions { mtime, ..plain() }, Some("x"));
        assert!(members(&tar).iter().all(|member| member.mtime == mtime));
    }
}

#[test]
fn a_name_of_a_hundred_bytes_fits_and_one_more_needs_an_extended_header() {
    let tree = Tree::new("");
    let before = stem(tree.prefix()).len() + 1;
    for length in [99, 100, 101] {
        tree.grow(&format!("{} 644 x", "f".repeat(length - before)));
        tree.grow(&format!("{}/", "d".repeat(length - before - 1)));
    }
    let members = members(&tar_of(tree.prefix()));
    for member in &members {
        let long = member.name.len() > 100;
        assert_eq!(!member.records.is_empty(), long, "{}", member.name.escape_ascii());
        assert_eq!(
            member.block[..member.name.len().min(100)],
            member.name[..member.name.len().min(100)]
        );
    }
    let lengths: Vec<_> = members.iter().rev().take(6).map(|member| member.name.len()).collect();
    assert_eq!(lengths, [101, 100, 99, 101, 100, 99]);
}

#[test]
fn a_link_target_of_a_hundred_bytes_fits_and_one_more_needs_an_extended_header() {
    let table: String = [100, 101].map(|n| format!("l{n} -> {}\n", "t".repeat(n))).concat();
    let tree = Tree::new(&table);
    let members = members(&tar_of(tree.prefix()));
    assert_eq!(ending(&members, "l100").records, []);
    assert_eq!(
        ending(&members, "l101").records,
        [("linkpath".to_owned(), "t".repeat(101).into_bytes())]
    );
}

#[test]
fn long_hard_links_name_both_path_and_target_in_this_order() {
    let long = "n".repeat(200);
    let tree = Tree::new(&format!("{long}/a 644 x\n{long}/b = {long}/a"));
    let members = members(&tar_of(tree.prefix()));
    let link = members.last().unwrap();
    let keys: Vec<_> = link.records.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!((link.kind, &keys[..]), (b'1', &["path", "linkpath"][..]));
    assert!(link.link.ends_with(b"/a") && link.link.starts_with(stem(tree.prefix())));
    assert!(link.content.is_empty());
}

#[test]
fn names_that_are_not_ascii_are_carried_as_they_are() {
    let tree = Tree::new("\\xc3\\xa9 644 x\n\\xff 644 y\nlink -> \\xff\\xfe\nu -> \\xc3\\xa9");
    let members = members(&tar_of(tree.prefix()));
    let names = |member: &Member| {
        member.records.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(ending(&members, "\u{e9}")), "path");
    assert_eq!(names(ending(&members, "u")), "linkpath");
    let link = ending(&members, "link");
    assert_eq!(names(link), "hdrcharset linkpath");
    assert_eq!(link.link, b"\xff\xfe");
    let raw = members.iter().find(|member| member.name.ends_with(b"/\xff")).unwrap();
    assert_eq!(names(raw), "hdrcharset path");
    assert!(raw.block.starts_with(&[stem(tree.prefix()), b"/?\0"].concat()));
}

#[test]
fn symbolic_links_are_carried_verbatim() {
    let prefix = Tree::new("");
    let inside = prefix.path("x").to_str().unwrap().to_owned();
    let targets = ["x", "./x", "../x//y/", "/etc/hostname", "a b", &inside, &"y".repeat(4095)];
    for (number, target) in targets.iter().enumerate() {
        rustix::fs::symlink(*target, prefix.path(&number.to_string())).unwrap();
    }
    let members = members(&tar_of(prefix.prefix()));
    for (number, target) in targets.iter().enumerate() {
        assert_eq!(ending(&members, &format!("/{number}")).link, target.as_bytes());
    }
}

#[test]
fn content_of_every_length_around_a_boundary_is_stored_whole() {
    let lengths = [
        0,
        1,
        511,
        512,
        513,
        1023,
        1025,
        65_535,
        65_536,
        65_537,
        (256 << 10) - 1,
        256 << 10,
        (256 << 10) + 1,
        (512 << 10) + 1,
        (1 << 20) - 513,
        (1 << 20) - 512,
        (1 << 20) - 511,
        1 << 20,
        (1 << 20) + 1,
        (2 << 20) - 1,
        2 << 20,
        (2 << 20) + 1,
        (5 << 20) + 12_345,
    ];
    let table = lengths.map(|n| format!("f{n} 644 *{n}\n")).concat();
    let tree = Tree::new(&table);
    let tar = tar_of(tree.prefix());
    let members = members(&tar);
    for length in lengths {
        let content = &ending(&members, &format!("/f{length}")).content;
        assert!(*content == noise(length), "{length}");
    }
}

#[test]
fn a_sparse_file_is_stored_as_the_zeros_it_reads_as() {
    let tree = Tree::new("");
    let file = fs_err::File::create(tree.path("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(file.file(), b"end", 3_000_000).unwrap();
    let members = members(&tar_of(tree.prefix()));
    let content = &members.last().unwrap().content;
    assert_eq!(content.len(), 3_000_003);
    assert!(content.ends_with(b"\0end") && content[..3_000_000].iter().all(|&byte| byte == 0));
}

#[test]
fn names_of_255_bytes_are_carried() {
    let tree = Tree::new(&format!("{0}/{0} 644 x", "n".repeat(255)));
    let members = members(&tar_of(tree.prefix()));
    assert_eq!(members.last().unwrap().name.len(), stem(tree.prefix()).len() + 512);
}

/// Makes directories `dddd…/` one in the other, `deep` of them, and a file, a link and a large
/// file at the bottom, each through a descriptor: no call could name them.
fn dig(tree: &Tree, deep: usize) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
    let name = "d".repeat(250);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = openat(CWD, tree.prefix(), flags, Mode::empty()).unwrap();
    for _ in 0..deep {
        mkdirat(&at, &name, Mode::from_raw_mode(0o755)).unwrap();
        at = openat(&at, &name, flags, Mode::empty()).unwrap();
    }
    symlinkat("target", &at, "link").unwrap();
    for (name, length) in [("file", 5), ("large", 300_000)] {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = openat(&at, name, flags, Mode::from_raw_mode(0o644)).unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(file), &noise(length)).unwrap();
    }
}

#[test]
fn what_lies_deeper_than_one_call_can_name_is_packed_too() {
    let tree = Tree::new("");
    dig(&tree, 40);
    let (packed, tar) = pack_with(tree.prefix(), &plain(), None);
    assert_eq!((packed.facts.files, packed.facts.symlinks), (2, 1));
    let members = members(&tar);
    let [.., file, large, link] = &members[..] else { panic!("three entries at the bottom") };
    assert!(file.name.len() > 10_000 && file.name.ends_with(b"d/file"));
    assert_eq!(file.content, noise(5));
    assert!(large.content == noise(300_000));
    assert_eq!(link.link, b"target");
    let mut archive = tar::Archive::new(&tar[..]);
    assert_eq!(archive.entries().unwrap().count(), members.len());
}

#[test]
fn a_survey_reaches_what_lies_deeper_than_one_call_can_name() {
    let tree = Tree::new("");
    dig(&tree, 20);
    let (fingerprint, facts) = survey(tree.prefix(), &plain(), None).unwrap();
    let (packed, _) = pack_with(tree.prefix(), &plain(), None);
    assert_eq!((fingerprint, facts), (packed.fingerprint, packed.facts));
}

#[test]
fn an_independent_reader_sees_the_same_members() {
    let tree = Tree::new(&format!(
        "bin/tool 755 run\nbin/again = bin/tool\nlib -> lib64\nlib64/{} 644 *300000\n{}/\\xff 600 y
        empty/\nzero 644",
        "n".repeat(120),
        "d".repeat(150)
    ));
    let tar = tar_of(tree.prefix());
    let members = members(&tar);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut seen = 0;
    for (entry, member) in archive.entries().unwrap().zip(&members) {
        let mut entry = entry.unwrap();
        assert_eq!(entry.path_bytes(), &member.name[..]);
        assert_eq!(entry.link_name_bytes().unwrap_or_default(), &member.link[..]);
        let header = entry.header();
        assert_eq!(header.entry_type().as_byte(), member.kind);
        assert_eq!(u64::from(header.mode().unwrap()), member.mode);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(
            (header.username_bytes(), header.groupname_bytes()),
            (Some(&b""[..]), Some(&b""[..]))
        );
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(content == member.content);
        seen += 1;
    }
    assert_eq!(seen, members.len());
    assert!(members[0].name.starts_with(&tree.prefix().as_os_str().as_bytes()[1..2]));
}
