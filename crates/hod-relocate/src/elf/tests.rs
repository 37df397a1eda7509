use proptest::prelude::*;
use rstest::rstest;

use super::sample::{NEEDED, RPATH, RUNPATH, SONAME, Sample};
use super::*;

fn map() -> PrefixMap {
    PrefixMap::new([("/old/lib", "/n/lib"), ("/old", "/new")])
}

/// What relocation does to the headers alone; `None` if it leaves them.
fn substitute(bytes: &[u8], map: &PrefixMap) -> Option<Result<Vec<u8>, ElfText>> {
    let mut image = bytes.to_vec();
    let substitution = Substitution::of(&View::new(&image, &[]).unwrap(), map).unwrap()?;
    if let Some((which, ..)) = substitution.misfit() {
        return Some(Err(which));
    }
    for patch in substitution.patches() {
        image.write_at(patch.offset, &patch.bytes).unwrap();
    }
    Some(Ok(image))
}

/// The same file with one text in place of another of the same length.
fn with(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|part| part == old.as_bytes()).unwrap();
    [&bytes[..at], new.as_bytes(), &bytes[at + new.len()..]].concat()
}

#[rstest]
fn search_path_and_interpreter_are_changed_in_place(
    #[values(true, false)] is_wide: bool,
    #[values(true, false)] is_big: bool,
    #[values(2, 3)] kind: u16,
    #[values(RPATH, RUNPATH)] tag: u64,
) {
    let strings = vec![(NEEDED, "libc.so"), (tag, "/old/lib:$ORIGIN:/old2"), (SONAME, "x")];
    let bytes = Sample { is_wide, is_big, kind, strings, ..Sample::default() }.build();
    let rpath = rpaths(&bytes).unwrap().unwrap();
    assert_eq!(rpath.entries, [&b"/old/lib"[..], b"$ORIGIN", b"/old2"]);
    assert_eq!(rpath.is_runpath, tag == RUNPATH);
    let at = usize::try_from(rpath.offset).unwrap();
    assert!(bytes[at..].starts_with(b"/old/lib:$ORIGIN:/old2\0"));

    let moved = substitute(&bytes, &map()).unwrap().unwrap();
    let expected = with(&bytes, "/old/lib/ld.so", "/n/lib/ld.so\0\0");
    let expected = with(&expected, "/old/lib:$ORIGIN:/old2", "/n/lib:$ORIGIN:/new2\0\0");
    assert_eq!(moved, expected);
}

#[rstest]
#[case::and_make_room("/a:::::", "/a-long")]
#[case::but_not_enough("/a:::::", "/a-longer")]
#[case::between("::/a::/b", "/aa:/b")]
fn empty_entries_are_dropped_when_something_changes(
    #[case] old: &'static str,
    #[case] expected: &str,
) {
    let sample = Sample { strings: vec![(RPATH, old)], interpreter: None, ..Sample::default() };
    let bytes = sample.build();
    assert!(substitute(&bytes, &PrefixMap::new([("/c", "/d")])).is_none());
    let new = expected.split(':').next().unwrap();
    let done = substitute(&bytes, &PrefixMap::new([("/a", new)])).unwrap();
    if expected.len() > old.len() {
        assert_eq!(done, Err(ElfText::Rpath));
    } else {
        let padded = format!("{expected}{}", "\0".repeat(old.len() - expected.len()));
        assert_eq!(done.unwrap(), with(&bytes, old, &padded));
    }
}

#[test]
fn if_one_does_not_fit_neither_is_changed() {
    let bytes = Sample::default().build();
    let map = PrefixMap::new([("/old/lib/ld.so", "/a/much/longer/place"), ("/old", "/n")]);
    assert_eq!(substitute(&bytes, &map), Some(Err(ElfText::Interpreter)));
}

fn sample() -> Sample {
    Sample::default()
}

#[rstest]
#[case::object_file(Sample { kind: 1, ..sample() })]
#[case::core_file(Sample { kind: 4, ..sample() })]
#[case::no_section_headers(Sample { has_sections: false, ..sample() })]
#[case::no_string_table(Sample { tables: 0, ..sample() })]
#[case::two_string_tables(Sample { tables: 2, ..sample() })]
#[case::both_kinds_of_path(Sample { strings: vec![(RPATH, "/old"), (RUNPATH, "/old")], ..sample() })]
#[case::two_of_one_kind(Sample { strings: vec![(RPATH, "/old"), (RPATH, "/old")], ..sample() })]
#[case::needed_outside_the_table(Sample { tags: vec![(NEEDED, 1 << 20)], ..sample() })]
#[case::needed_far_outside(Sample { tags: vec![(NEEDED, u64::MAX)], ..sample() })]
fn what_spack_refuses_is_left_alone(#[case] sample: Sample) {
    assert!(substitute(&Sample::default().build(), &map()).is_some());
    assert!(substitute(&sample.build(), &map()).is_none());
}

#[test]
fn without_a_string_table_the_interpreter_is_changed_only_if_none_is_needed() {
    // Without strings Spack does not look for the table.
    let bytes = Sample { strings: vec![], has_sections: false, ..sample() }.build();
    let moved = substitute(&bytes, &map()).unwrap().unwrap();
    assert_eq!(moved, with(&bytes, "/old/lib/ld.so", "/n/lib/ld.so\0\0"));
    let bytes = Sample { strings: vec![(SONAME, "x")], has_sections: false, ..sample() }.build();
    assert!(substitute(&bytes, &map()).is_none());
}

#[test]
fn what_the_dynamic_linker_would_not_read_is_not_read() {
    // Behind the end of the dynamic section another search path may stand.
    let mut elf = sample();
    elf.strings.clear();
    elf.tags = vec![(0, 0), (RPATH, 1)];
    assert_eq!(rpaths(&elf.build()).unwrap(), None);
}

#[test]
fn directories_that_are_not_kept_are_dropped_and_zeros_fill_their_place() {
    let strings = vec![(RPATH, "/a/lib::$ORIGIN/../lib:/b/lib")];
    let before = Sample { strings, ..sample() }.build();
    let mut image = before.clone();
    let keep = |path: &[u8]| path.starts_with(b"$") || path == b"/b/lib";
    assert!(retain_rpaths(&mut image, &keep).unwrap());
    let expected = "$ORIGIN/../lib:/b/lib\0\0\0\0\0\0\0\0";
    assert_eq!(image, with(&before, "/a/lib::$ORIGIN/../lib:/b/lib", expected));
    assert!(!retain_rpaths(&mut image, &keep).unwrap());

    assert!(retain_rpaths(&mut image, &|_| false).unwrap());
    assert_eq!(rpaths(&image).unwrap().unwrap().entries, [b""]);
    assert_eq!(image.len(), before.len());
    assert!(!retain_rpaths(&mut image, &|_| false).unwrap());
}

#[test]
fn a_broken_interpreter_is_no_reason_to_keep_a_search_path() {
    let mut bytes = sample().build();
    let at = bytes.windows(15).position(|part| part == b"/old/lib/ld.so\0").unwrap();
    bytes[at + 14] = b'x';
    assert!(substitute(&bytes, &map()).is_none());
    assert!(retain_rpaths(&mut bytes, &|path| path != b"/old/lib").unwrap());
}

#[test]
fn no_file_at_all_and_every_beginning_of_one() {
    let bytes = sample().build();
    for length in 0..bytes.len() {
        let mut part = bytes[..length].to_vec();
        assert!(substitute(&part, &map()).is_none(), "{length} bytes");
        assert!(!retain_rpaths(&mut part, &|_| false).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn broken_files_never_panic_and_keep_their_length(
        is_wide: bool,
        is_big: bool,
        faults in prop::collection::vec((0_usize..600, any::<u8>()), 1..6),
        long in prop::option::of((0_usize..600, prop_oneof![Just(u64::MAX), Just(1 << 63), any::<u64>()])),
    ) {
        let mut bytes = Sample { is_wide, is_big, ..sample() }.build();
        let length = bytes.len();
        if let Some((at, number)) = long {
            let at = at % (length - 8);
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        for (at, byte) in faults {
            bytes[at % length] = byte;
        }
        if let Some(Ok(moved)) = substitute(&bytes, &map()) {
            prop_assert_eq!(moved.len(), length);
        }
        rpaths(&bytes).unwrap();
        retain_rpaths(&mut bytes, &|path| path.starts_with(b"$")).unwrap();
        prop_assert_eq!(bytes.len(), length);
    }
}
