//! One archive per known attack, named after the advisory. Each must fail, and touch nothing.

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use hod_archive::{Codec, DecodeError, Limits, TarError, UnpackError, UnpackOptions, unpack};

use crate::Sandbox;
use crate::archive::Archive;

#[rstest::rstest]
#[case::parent("../outside/new")]
#[case::parent_after_a_while("a/b/../../../outside/new")]
#[case::just_the_parent("..")]
#[case::absolute("/tmp/hod-must-not-write-this")]
#[case::doubly_absolute("//tmp/hod-must-not-write-this")]
fn cve_2007_4559_a_name_leads_out(#[case] name: &str) {
    for archive in [
        Archive::new().file(name, "evil"),
        Archive::new().directory(name),
        Archive::new().symlink(name, "x"),
        Archive::new().file("a", "").hardlink(name, "a"),
        Archive::new().pax(&[("path", name.as_bytes())]).file("a", "evil"),
        Archive::new().extension(b'L', name).file("a", "evil"),
    ] {
        let error = Sandbox::new().assert_refused(&archive);
        assert!(matches!(error, UnpackError::Name { .. }), "{error}");
    }
}

#[test]
fn zip_slip_of_other_systems_is_an_ordinary_name_here() {
    let sandbox = Sandbox::new();
    sandbox.unpack(&Archive::new().file("..\\..\\x", "1").file("C:\\y", "2")).unwrap();
    assert_eq!(crate::names(&sandbox.tree()), ["..\\..\\x", "C:\\y"]);
}

#[test]
fn cve_2021_38511_a_directory_is_made_through_a_link() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let archive =
        Archive::new().symlink("out", outside.to_str().unwrap()).directory("out/new-directory");
    sandbox.assert_refused(&archive);
}

#[test]
fn cve_2025_4517_a_file_is_written_through_a_chain_of_links() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .directory("a")
        .symlink("a/up", "..")
        .symlink("out", "a/up/../outside")
        .file("out/victim", "evil");
    let error = sandbox.assert_refused(&archive);
    let expected =
        matches!(error, UnpackError::BelowNonDirectory { .. } | UnpackError::Collision { .. });
    assert!(expected, "{error}");
}

#[test]
fn cve_2026_33056_a_directory_entry_chmods_what_a_link_of_its_name_points_to() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let archive = Archive::new()
        .symlink("out", outside.to_str().unwrap())
        .member(|member| member.name("out").kind(b'5').mode(0o777));
    let error = sandbox.assert_refused(&archive);
    assert!(matches!(error, UnpackError::Collision { .. }), "{error}");
}

#[test]
fn cve_2021_29136_a_link_takes_the_place_of_the_root() {
    for name in [".", "./", "a/.."] {
        Sandbox::new().assert_refused(&Archive::new().symlink(name, "/").file("x", "evil"));
    }
    Sandbox::new().assert_refused(&Archive::new().file(".", "evil"));
}

#[test]
fn cve_2018_20990_a_hard_link_to_outside_is_overwritten() {
    let sandbox = Sandbox::new();
    let victim = sandbox.outside().join("victim");
    let victim = victim.to_str().unwrap();
    for target in [victim, "../outside/victim"] {
        sandbox.assert_refused(&Archive::new().hardlink("x", target).file("x", "evil"));
    }
    // The same by way of a link: neither end is followed.
    let outside = sandbox.outside();
    let by_link = Archive::new()
        .symlink("out", outside.to_str().unwrap())
        .symlink("direct", victim)
        .hardlink("y", "out/victim");
    let error = sandbox.assert_refused(&by_link);
    assert!(matches!(error, UnpackError::LinkTarget { .. }), "{error}");
    let error = sandbox.assert_refused(&Archive::new().symlink("s", victim).hardlink("y", "s"));
    assert!(matches!(error, UnpackError::LinkTarget { .. }), "{error}");
    let name_below = Archive::new()
        .file("f", "x")
        .symlink("out", outside.to_str().unwrap())
        .hardlink("out/new", "f");
    sandbox.assert_refused(&name_below);
}

#[test]
fn cve_2025_62518_tarmageddon_an_inner_archive_is_smuggled_out() {
    // The size in the header is zero, that in the extension is right: a reader that believes the
    // header takes the inner archive's members for its own.
    let inner = Archive::new().file("smuggled", "evil").unfinished();
    let size = inner.len().to_string();
    let archive = Archive::new()
        .pax(&[("size", size.as_bytes())])
        .member(|member| member.name("inner.tar").size(0).unannounced(inner));
    let error = Sandbox::new().assert_refused(&archive);
    let expected = matches!(
        error,
        UnpackError::Tar(TarError::ContradictorySize { header: 0, extended: 1024, .. })
    );
    assert!(expected, "{error}");
}

#[test]
fn rustsec_2026_0112_two_sizes_that_differ() {
    let archive = Archive::new().pax(&[("size", b"512")]).file("f", vec![b'x'; 1024]);
    Sandbox::new().assert_refused(&archive);
    // The same number twice is what careful writers write.
    let agreeing = Archive::new().pax(&[("size", b"3")]).file("f", "abc");
    Sandbox::new().unpack(&agreeing).unwrap();
}

#[rstest::rstest]
#[case::unterminated(b"13 path=abcd")]
#[case::empty_name(b"8 path=\n")]
#[case::empty(b"")]
#[case::no_records(b"garbage")]
#[case::nul_in_name(b"13 path=a\0bc\n")]
#[case::sparse(b"22 GNU.sparse.major=1\n")]
fn astral_tokio_tar_malformed_pax_is_an_error_not_skipped(#[case] payload: &[u8]) {
    let archive = Archive::new().extension(b'x', payload).file("f", "x");
    let error = Sandbox::new().assert_refused(&archive);
    assert!(matches!(error, UnpackError::Tar(TarError::Extension { .. })), "{error}");
}

#[rstest::rstest]
#[case::at_the_end(Archive::new().pax(&[("path", b"a")]))]
#[case::long_name_at_the_end(Archive::new().extension(b'L', "a"))]
#[case::two_pax(Archive::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("f", ""))]
#[case::two_long(Archive::new().extension(b'L', "a").extension(b'L', "b").file("f", ""))]
#[case::both(Archive::new().extension(b'L', "a").pax(&[("path", b"b")]).file("f", ""))]
#[case::both_links(
    Archive::new().pax(&[("linkpath", b"b")]).extension(b'K', "a").symlink("f", "c")
)]
#[case::global_between(
    Archive::new().pax(&[("path", b"a")]).extension(b'g', "9 comment=\n").file("f", "")
)]
#[case::global_rename(Archive::new().extension(b'g', "9 path=a\n").file("f", ""))]
#[case::nul_in_long_name(Archive::new().extension(b'L', "a\0b\0").file("f", ""))]
#[case::empty_long_name(Archive::new().extension(b'L', "\0").file("f", ""))]
fn an_extension_that_two_readers_would_apply_differently(#[case] archive: Archive) {
    let error = Sandbox::new().assert_refused(&archive);
    assert!(matches!(error, UnpackError::Tar(TarError::Extension { .. })), "{error}");
}

#[test]
fn cpython_151498_a_512_byte_file_claims_gigabytes() {
    for kind in [b'x', b'g', b'L', b'K'] {
        let archive = Archive::new().member(|member| member.kind(kind).size(8 << 29));
        let error = Sandbox::new().assert_refused(&archive);
        let expected = matches!(error, UnpackError::Tar(TarError::ExtensionTooLarge { .. }));
        assert!(expected, "{error}");
    }
    let huge = Archive::new().member(|member| {
        member.name("huge").field(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")
    });
    let error = Sandbox::new().assert_refused(&huge);
    assert!(matches!(error, UnpackError::Limit { what: "bytes", .. }), "{error}");
    let cut = Archive::new().member(|member| member.name("cut").size(1 << 30));
    let error = Sandbox::new().assert_refused(&cut);
    assert!(matches!(error, UnpackError::Tar(TarError::Truncated { .. })), "{error}");
}

#[test]
fn cve_2022_36114_a_bomb_stops_at_the_size_or_the_ratio() {
    let limits = Limits { max_bytes: 10 << 20, ..Limits::default() };
    let by_size = UnpackOptions { limits, ..Default::default() };
    let sandbox = Sandbox::new();
    // Whether one file says so or many add up to it.
    for archive in [
        Archive::new().file("bomb", vec![0; 11 << 20]),
        (0..12).fold(Archive::new(), |it, n| it.file(&format!("{n}"), vec![0; 1 << 20])),
    ] {
        let error = sandbox.unpack_with(&archive, &by_size).unwrap_err();
        sandbox.assert_untouched();
        assert!(matches!(error, UnpackError::Limit { what: "bytes", .. }), "{error}");
    }

    let limits = Limits { ratio_free_bytes: 1 << 20, ..Limits::default() };
    let by_ratio = UnpackOptions { limits, ..Default::default() };
    let bomb = Archive::new().file("bomb", vec![0; 16 << 20]).finish();
    let blob = zstd::bulk::compress(&bomb, 1).unwrap();
    let result = unpack(&blob[..], Codec::Zstd, &sandbox.tree(), &by_ratio);
    sandbox.assert_untouched();
    assert!(matches!(result, Err(UnpackError::Ratio { limit: 250, .. })), "{result:?}");
    // By default a little emptiness is no bomb.
    unpack(&blob[..], Codec::Zstd, &sandbox.tree(), &UnpackOptions::default()).unwrap();
}

#[test]
fn more_members_or_deeper_ones_than_the_limit() {
    let limits = Limits { max_entries: 3, max_depth: 3, ..Limits::default() };
    let options = UnpackOptions { limits, ..Default::default() };
    let sandbox = Sandbox::new();
    let many = (0..4).fold(Archive::new(), |it, n| it.file(&format!("{n}"), ""));
    let error = sandbox.unpack_with(&many, &options).unwrap_err();
    assert!(matches!(error, UnpackError::Limit { what: "members", .. }), "{error}");
    let error = sandbox.unpack_with(&Archive::new().file("a/b/c/d", ""), &options).unwrap_err();
    assert!(matches!(error, UnpackError::Name { .. }), "{error}");
    sandbox.assert_untouched();
}

#[rstest::rstest]
#[case::files(Archive::new().file("a", "1").file("a", "2"))]
#[case::another_spelling(Archive::new().file("a", "1").file("./a", "2"))]
#[case::file_then_directory(Archive::new().file("a", "1").directory("a"))]
#[case::directory_then_file(Archive::new().directory("a").file("a", "1"))]
#[case::directory_then_link(Archive::new().directory("a").symlink("a", "/"))]
#[case::link_then_file(Archive::new().symlink("a", "b").file("a", "1"))]
#[case::link_to_itself(Archive::new().file("a", "1").hardlink("a", "a"))]
#[case::below_a_file(Archive::new().file("a", "1").file("a/b", "2"))]
#[case::below_a_link(Archive::new().directory("d").symlink("a", "d").file("a/b", "2"))]
fn two_members_of_one_name_are_one_too_many(#[case] archive: Archive) {
    let error = Sandbox::new().assert_refused(&archive);
    let expected =
        matches!(error, UnpackError::Collision { .. } | UnpackError::BelowNonDirectory { .. });
    assert!(expected, "{error}");
}

#[rstest::rstest]
#[case::character_device(b'3')]
#[case::block_device(b'4')]
#[case::fifo(b'6')]
#[case::sparse(b'S')]
#[case::volume(b'V')]
#[case::unknown(b'Z')]
fn a_member_no_package_has_is_named(#[case] kind: u8) {
    let archive = Archive::new().member(|member| member.name("dev/x").kind(kind));
    let error = Sandbox::new().assert_refused(&archive);
    assert!(error.to_string().starts_with("member `dev/x` is "), "{error}");
}

#[rstest::rstest]
#[case::checksum(Archive::new().member(|it| it.name("a").checksum(b"000000\0 ")))]
#[case::nul_version(Archive::new().member(|it| it.name("a").field(257, b"ustar\0\0\0")))]
#[case::other_magic(Archive::new().member(|it| it.name("a").field(257, b"USTAR\x0000")))]
#[case::size(Archive::new().member(|it| it.name("a").field(124, b"00000000009\0")))]
#[case::negative_size(Archive::new().member(|it| it.name("a").field(124, &[0xff; 12])))]
#[case::no_name(Archive::new().member(|it| it))]
#[case::link_to_nothing(Archive::new().member(|it| it.name("a").kind(b'2')))]
#[case::directory_with_content(Archive::new().member(|it| it.name("a").content("x").kind(b'5')))]
#[case::link_with_content(
    Archive::new().member(|it| it.name("a").link("b").content("x").kind(b'2'))
)]
#[case::after_the_end(Archive::new().raw(&[0; 1024]).file("hidden", "x"))]
#[case::after_one_zero_block(Archive::new().raw(&[0; 512]).file("hidden", "x"))]
#[case::half_a_header(Archive::new().raw(b"half"))]
fn a_stream_that_is_not_quite_tar(#[case] archive: Archive) {
    let error = Sandbox::new().assert_refused(&archive);
    assert!(matches!(error, UnpackError::Tar(_)), "{error}");
}

/// A source that looks at the staging directory as it grows, then fails.
struct Watching<'a>(&'a [u8], std::path::PathBuf, bool);
impl Read for Watching<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for entry in fs_err::read_dir(&self.1)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".tree.hod-") {
                assert_eq!(entry.metadata()?.mode() & 0o777, 0o700);
                self.2 = true;
            }
        }
        if self.0.len() < 1 << 20 {
            assert!(self.2, "the staging directory was not where it should be");
            return Err(std::io::Error::other("the network is gone"));
        }
        self.0.read(buffer)
    }
}

#[test]
fn cve_2025_52992_a_failed_unpack_was_never_open_to_others() {
    let sandbox = Sandbox::new();
    let home = sandbox.home.path().to_owned();
    let archive = Archive::new()
        .member(|member| member.name("./").kind(b'5').mode(0o777))
        .file("f", vec![1; 4 << 20])
        .finish();
    let source = Watching(&archive, home, false);
    let result = unpack(source, Codec::None, &sandbox.tree(), &UnpackOptions::default());
    assert!(matches!(result, Err(UnpackError::Decode(DecodeError::Read(_)))), "{result:?}");
    sandbox.assert_untouched();
}

#[test]
fn setuid_setgid_and_sticky_do_not_survive() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .member(|member| member.name("su").mode(0o6755).content("x"))
        .member(|member| member.name("tmp").kind(b'5').mode(0o1777))
        .member(|member| member.name("writable").mode(0o666).content("x"));
    sandbox.unpack(&archive).unwrap();
    let mode = |name| fs_err::metadata(sandbox.tree().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("su"), mode("tmp"), mode("writable")), (0o755, 0o777, 0o666));
}
