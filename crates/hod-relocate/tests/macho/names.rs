//! The names of libraries and the rpaths.

use std::fs::File;
use std::os::unix::fs::FileExt;

use hod_relocate::macho::{MachOError, relocate_load_commands};
use proptest::prelude::*;
use rstest::rstest;

use crate::build::{ARM64, Form, ID, LAZY, LOAD, POWERPC, REEXPORT, RPATH, UPWARD, WEAK, X86_64};
use crate::build::{slices, universal};
use crate::judge::{Names, names};
use crate::{fixture, map, relocated, resigned};

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[rstest]
#[case::shorter("/n")]
#[case::as_long("/mnt/abc")]
#[case::longer("/a/rather/long/new/place/for/system/libraries")]
fn a_real_library_gets_new_names_in_every_architecture(#[case] new: &str) {
    let image = fixture("markupsafe.universal.so");
    let relocated = relocated(&image, &[("/usr/lib", new)]).unwrap().unwrap();
    assert_eq!(slices(&relocated).len(), 2);
    for (before, after) in slices(&image).into_iter().zip(slices(&relocated)) {
        assert_eq!(names(before).libraries, ["/usr/lib/libSystem.B.dylib"]);
        assert_eq!(names(after).libraries, [format!("{new}/libSystem.B.dylib")]);
    }
}

#[test]
fn a_real_library_keeps_what_is_relative_and_changes_its_own_name() {
    let image = fixture("webpdemux.arm64.dylib");
    let relocated = relocated(&image, &[("/DLC/PIL/.dylibs", "/opt/store/webp-1.5/lib")]);
    let expected = Names {
        id: Some("/opt/store/webp-1.5/lib/libwebpdemux.2.dylib".to_owned()),
        libraries: list(&["@loader_path/libwebp.7.dylib", "/usr/lib/libSystem.B.dylib"]),
        rpaths: vec![],
    };
    assert_eq!(names(&relocated.unwrap().unwrap()), expected);
}

#[test]
fn a_real_rpath_changes_and_nothing_but_the_commands_does() {
    let image = fixture("geos.arm64.so");
    let new = "/opt/somewhere/else/altogether";
    let relocated = relocated(&image, &[("/Users/runner", new)]).unwrap().unwrap();
    let rpaths = names(&relocated).rpaths;
    let rpath = rpaths[0].strip_prefix(new).unwrap();
    assert!(rpaths.len() == 1 && rpath.ends_with("/_temp/geos-3.14.1/lib"), "{rpaths:?}");
    // Its text begins here.
    assert!(relocated[0xa90..] == image[0xa90..]);
}

#[rstest]
#[case::wide_little(true, false, X86_64)]
#[case::wide_big(true, true, X86_64)]
#[case::narrow_little(false, false, X86_64)]
#[case::narrow_big(false, true, POWERPC)]
fn every_form_of_image_and_every_kind_of_command(
    #[case] wide: bool,
    #[case] big: bool,
    #[case] cpu: u32,
) {
    let commands = [
        (ID, "/s/a/lib/liba.dylib"),
        (LOAD, "/s/b/lib/libb.dylib"),
        (WEAK, "/s/c/lib/libc.dylib"),
        (REEXPORT, "/s/d/lib/libd.dylib"),
        (LAZY, "/s/e/lib/libe.dylib"),
        (UPWARD, "/s/f/lib/libf.dylib"),
        (LOAD, "@rpath/libg.dylib"),
        (LOAD, "/usr/lib/libSystem.B.dylib"),
        (RPATH, "/s/a/lib"),
        (RPATH, "@loader_path/../s/a"),
        (RPATH, "/elsewhere/s/a"),
    ];
    let image = Form { big, wide, cpu, ..Form::named(&commands) }.build();
    for new in ["/n", "/a/longer/place"] {
        let relocated = relocated(&image, &[("/s", new)]).unwrap().unwrap();
        let moved = |names: &[&str]| names.iter().map(|name| format!("{new}{name}")).collect();
        let mut libraries: Vec<String> = moved(&[
            "/b/lib/libb.dylib",
            "/c/lib/libc.dylib",
            "/d/lib/libd.dylib",
            "/e/lib/libe.dylib",
            "/f/lib/libf.dylib",
        ]);
        libraries.extend(list(&["@rpath/libg.dylib", "/usr/lib/libSystem.B.dylib"]));
        let mut rpaths: Vec<String> = moved(&["/a/lib"]);
        rpaths.extend(list(&["@loader_path/../s/a", "/elsewhere/s/a"]));
        let id = Some(format!("{new}/a/lib/liba.dylib"));
        assert_eq!(names(&relocated), Names { id, libraries, rpaths });
        assert_eq!(relocated.len(), image.len());
    }
}

#[rstest]
#[case::fat(false)]
#[case::fat_with_64_bits(true)]
fn architectures_that_differ_are_each_relocated(#[case] wide: bool) {
    let images = [
        (POWERPC, Form { big: true, wide: false, ..Form::named(&[(LOAD, "/s/p")]) }.build()),
        (7, b"!<arch>\nan archive for another processor".to_vec()),
        (X86_64, Form::named(&[(LOAD, "/s/x"), (RPATH, "/s")]).build()),
        (ARM64, Form::named(&[(RPATH, "@rpath")]).build()),
    ];
    let file = universal(wide, 12, &images);
    let relocated = relocated(&file, &[("/s", "/new")]).unwrap().unwrap();
    let after = slices(&relocated);
    assert_eq!(names(after[0]).libraries, ["/new/p"]);
    assert_eq!(after[1], images[1].1);
    assert_eq!(names(after[2]).libraries, ["/new/x"]);
    assert_eq!(names(after[2]).rpaths, ["/new"]);
    assert_eq!(after[3], images[3].1);
}

#[rstest]
#[case::longest_though_last(&[("/s", "/n"), ("/s/a", "/m")], "/s/a/lib", "/m/lib")]
#[case::no_boundary(&[("/s", "/n")], "/s2/lib", "/n2/lib")]
#[case::each_occurrence(&[("/s", "/n")], "/s/a/s/b", "/n/a/n/b")]
#[case::of_one_prefix_only(&[("/s", "/n"), ("/t", "/m")], "/s/a/t", "/n/a/t")]
fn prefixes_are_chosen_as_spack_does(
    #[case] pairs: &[(&str, &str)],
    #[case] old: &str,
    #[case] new: &str,
) {
    let image = Form::named(&[(RPATH, old)]).build();
    let relocated = relocated(&image, pairs).unwrap().unwrap();
    assert_eq!(names(&relocated).rpaths, [new]);
}

#[test]
fn files_that_spack_leaves_alone_are_left_alone() {
    let mut image = Form::named(&[(LOAD, "/s/a")]).build();
    let before = image.clone();
    let map = map(&[("/s", "/n")]);
    for name in ["lib/crt1.o", "lib/libgcc_s.1.1.dylib"] {
        assert!(!relocate_load_commands(name.as_bytes(), &mut image, &map).unwrap());
    }
    assert_eq!(image, before);
    assert!(relocate_load_commands(b"lib/libo", &mut image, &map).unwrap());
}

#[rstest]
#[case::empty(b"")]
#[case::script(b"#!/bin/sh\nexec /s/a\n")]
#[case::elf(b"\x7fELF\x02\x01\x01\0 /s/a and so on and on and on")]
#[case::java_class(b"\xca\xfe\xba\xbe\0\0\0\x34 /s/a and so on and on")]
#[case::header_only(b"\xcf\xfa\xed\xfe\x07\0\0\x01")]
fn other_files_are_no_concern(#[case] file: &[u8]) {
    assert!(relocated(file, &[("/s", "/n")]).unwrap().is_none());
    assert!(resigned(file).unwrap().is_none());
}

#[test]
fn names_that_do_not_fit_are_refused_with_the_numbers() {
    // The name needs 24 more bytes than the old one, with its NUL.
    let form = Form { padding: 24, ..Form::named(&[(LOAD, "/s/abcd"), (RPATH, "/s")]) };
    let new = "/s345678901234567890123456";
    let fits = relocated(&form.build(), &[("/s/", "/s345678901234567890123456/")]);
    assert_eq!(names(&fits.unwrap().unwrap()).libraries, [format!("{new}/abcd")]);

    let tight = Form { padding: 16, ..form };
    let error = relocated(&tight.build(), &[("/s/", &format!("{new}/"))]).unwrap_err();
    let MachOError::NoRoom { room, need } = error else { panic!("{error}") };
    assert_eq!(need - room, 8);
    // What becomes shorter makes room.
    let pairs = [("/s/", "/sss/"), ("/long/and/more/of/it", "/s")];
    let form = Form { padding: 0, ..Form::named(&[(LOAD, "/s/abcd"), (RPATH, pairs[1].0)]) };
    let relocated = relocated(&form.build(), &pairs).unwrap().unwrap();
    assert_eq!(names(&relocated).libraries, ["/sss/abcd"]);
}

#[test]
fn nothing_is_written_when_only_one_architecture_has_no_room() {
    let roomy = Form::named(&[(LOAD, "/s/a")]);
    let tight = Form { padding: 0, ..roomy.clone() };
    let file = universal(false, 12, &[(X86_64, roomy.build()), (ARM64, tight.build())]);
    let error = relocated(&file, &[("/s", "/a/longer/place")]).unwrap_err();
    assert!(matches!(error, MachOError::NoRoom { .. }));
}

#[test]
fn room_is_kept_for_the_signature_that_arm64_will_need() {
    let form = Form { padding: 24, cpu: ARM64, ..Form::named(&[(LOAD, "/s/abcd")]) };
    let pairs = [("/s", "/s345678901234567890123456")];
    let error = relocated(&form.build(), &pairs).unwrap_err();
    assert!(matches!(error, MachOError::NoRoom { .. }), "{error}");
    let form = Form { padding: 40, ..form };
    let relocated = relocated(&form.build(), &pairs).unwrap().unwrap();
    assert!(resigned(&relocated).unwrap().is_some());
}

#[rstest]
#[case::two_become_one(&["/s/a", "@x", "/t/a", "/t/b"], &["/n/a", "@x", "/n/b"])]
#[case::one_becomes_another(&["/s/a", "/n/a"], &["/n/a"])]
#[case::another_was_there_before(&["/n/a", "/s/a"], &["/n/a"])]
#[case::not_made_here(&["@x", "@x", "/s/a"], &["@x", "@x", "/n/a"])]
fn rpaths_that_become_equal_are_dropped_but_for_the_first(
    #[case] before: &[&str],
    #[case] after: &[&str],
) {
    let commands: Vec<_> = before.iter().map(|&path| (RPATH, path)).collect();
    let image = Form { padding: 0, ..Form::named(&commands) }.build();
    let relocated = relocated(&image, &[("/s", "/n"), ("/t", "/n")]).unwrap().unwrap();
    assert_eq!(names(&relocated).rpaths, after);
    assert_eq!(relocated.len(), image.len());
}

#[test]
fn a_file_on_disk_is_changed_as_one_in_memory() {
    let image = fixture("markupsafe.universal.so");
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all_at(&image, 0).unwrap();
    let map = map(&[("/usr/lib", "/opt/store/lib")]);
    assert!(relocate_load_commands(b"x.so", &mut file, &map).unwrap());
    assert!(hod_relocate::macho::resign(b"x.so", &mut file).unwrap());
    let mut read = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut read, 0).unwrap();
    let relocated = relocated(&image, &[("/usr/lib", "/opt/store/lib")]).unwrap().unwrap();
    assert!(read == resigned(&relocated).unwrap().unwrap());
}

proptest! {
    /// Of any length: names are no longer than they need to be, before and after.
    #[test]
    fn there_and_back_again(
        tails in prop::collection::vec("[a-z/]{0,40}", 1..6),
        new in "/[A-Z]{1,30}",
        wide: bool,
        big: bool,
    ) {
        let kinds = [LOAD, RPATH, WEAK, REEXPORT, UPWARD, LAZY];
        let mut names: Vec<(u32, String)> = vec![(ID, "/OLD/id".to_owned())];
        for (index, tail) in tails.iter().enumerate() {
            names.push((kinds[index], format!("/OLD/{tail}")));
        }
        let image = Form { big, wide, names, ..Form::default() }.build();
        prop_assume!(new != "/OLD");
        let there = relocated(&image, &[("/OLD", &new)]).unwrap().unwrap();
        let back = relocated(&there, &[(&new, "/OLD")]).unwrap().unwrap();
        prop_assert!(back == image);
    }
}

#[test]
fn a_real_image_that_goes_there_and_back_is_the_same() {
    for name in ["markupsafe.universal.so", "webpdemux.arm64.dylib", "z.x86_64.dylib"] {
        let image = fixture(name);
        for new in ["/new/lib", "/n", "/quite/a/bit/longer"] {
            let there = relocated(&image, &[("/usr/lib", new)]).unwrap().unwrap();
            let back = relocated(&there, &[(new, "/usr/lib")]).unwrap().unwrap();
            assert!(back == image, "{name} by {new}");
        }
    }
}
