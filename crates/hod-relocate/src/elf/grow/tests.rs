use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::elf::sample::{NEEDED, RPATH, RUNPATH, SONAME, Sample};
use crate::elf::{Elf, rpaths};
use crate::{RelocateError, relocate_binary};

fn map() -> PrefixMap {
    PrefixMap::new([("/old", "/a/much/longer/place")])
}

fn moved(sample: &Sample) -> (Vec<u8>, Vec<u8>) {
    let before = sample.build();
    let mut image = before.clone();
    assert!(relocate_binary(b"x", &mut image, &map()).unwrap());
    (before, image)
}

fn interpreter(image: &Vec<u8>) -> Vec<u8> {
    Elf::parse(&View::new(image, &[]).unwrap()).unwrap().unwrap().interpreter.unwrap().text
}

#[rstest]
fn both_move_to_the_end_in_every_class_and_order(
    #[values(true, false)] is_wide: bool,
    #[values(true, false)] is_big: bool,
    #[values(RPATH, RUNPATH)] tag: u64,
) {
    let strings = vec![(NEEDED, "libc.so"), (tag, "/old/lib::$ORIGIN"), (SONAME, "libx.so")];
    let tags = vec![(DT_STRSZ, 1)];
    let sample = Sample { is_wide, is_big, strings, tags, ..Sample::default() };
    let (before, image) = moved(&sample);
    assert!(image.len() > before.len());
    let rpath = rpaths(&image).unwrap().unwrap();
    assert_eq!(rpath.entries, [&b"/a/much/longer/place/lib"[..], b"$ORIGIN"]);
    assert!(!rpath.is_runpath);
    assert!(rpath.offset > before.len() as u64);
    assert_eq!(interpreter(&image), b"/a/much/longer/place/lib/ld.so");
    // What remains of the old ones is no prefix, and what they end with is still there.
    assert!(!image.windows(4).any(|part| part == b"/old"));
    assert!(image.windows(17).any(|part| part == b"XXXX/lib::$ORIGIN"));
}

#[test]
fn what_fits_stays_where_it_is() {
    let map = PrefixMap::new([("/old/lib/ld.so", "/x"), ("/old", "/older")]);
    let before = Sample { tags: vec![(DT_STRSZ, 1)], ..Sample::default() }.build();
    let mut image = before.clone();
    assert!(relocate_binary(b"x", &mut image, &map).unwrap());
    assert_eq!(interpreter(&image), b"/x");
    let at = before.windows(4).position(|part| part == b"/old").unwrap();
    assert_eq!(&image[at..at + 15], b"/x\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(rpaths(&image).unwrap().unwrap().entries[0], b"/older/lib");
}

#[test]
fn without_the_size_of_the_string_table_there_is_no_room() {
    let before = Sample { interpreter: None, ..Sample::default() }.build();
    let mut image = before.clone();
    let error = relocate_binary(b"x", &mut image, &map()).unwrap_err();
    let RelocateError::Header { room: 16, ref new, .. } = error else { panic!("{error:?}") };
    assert_eq!(new, b"/a/much/longer/place/lib:$ORIGIN");
    assert_eq!(image, before);
}

#[test]
fn a_file_grows_again_and_again() {
    let mut image = Sample { tags: vec![(DT_STRSZ, 1)], ..Sample::default() }.build();
    let mut old = "/old".to_owned();
    for _ in 0..5 {
        let new = format!("/more{}", old.replace("old", "of"));
        let map = PrefixMap::new([(old.as_str(), new.as_str())]);
        assert!(relocate_binary(b"x", &mut image, &map).unwrap());
        assert_eq!(interpreter(&image), format!("{new}/lib/ld.so").as_bytes());
        old = new;
    }
    let rpath = rpaths(&image).unwrap().unwrap();
    assert_eq!(rpath.entries[0], format!("{old}/lib").as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn broken_files_never_panic_and_grow_only_at_their_end(
        is_wide: bool,
        is_big: bool,
        faults in prop::collection::vec((0_usize..600, any::<u8>()), 1..4),
    ) {
        let tags = vec![(DT_STRSZ, 1)];
        let mut bytes = Sample { is_wide, is_big, tags, ..Sample::default() }.build();
        let length = bytes.len();
        for (at, byte) in faults {
            bytes[at % length] = byte;
        }
        let before = bytes.clone();
        if relocate_binary(b"x", &mut bytes, &map()).is_ok() {
            prop_assert!(bytes.len() >= length);
        } else {
            prop_assert_eq!(bytes, before);
        }
    }
}
