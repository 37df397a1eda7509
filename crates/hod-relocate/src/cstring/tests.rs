use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Vectors write a dot for NUL.
fn bytes(text: &str) -> Vec<u8> {
    text.replace('.', "\0").into_bytes()
}

fn relocate(text: &str, pairs: &[(&str, &str)]) -> Result<String, StringError> {
    let map = PrefixMap::new(pairs.iter().copied());
    let before = bytes(text);
    let mut image = before.clone();
    match relocate_strings(&mut image, &map) {
        Ok(has_changed) => {
            assert_eq!(image.len(), before.len());
            assert_eq!(has_changed, image != before);
            Ok(String::from_utf8(image).unwrap().replace('\0', "."))
        }
        Err(RelocateError::String(error)) => {
            assert_eq!(image, before, "nothing is written if anything fails");
            Err(error)
        }
        Err(other) => panic!("{other:?}"),
    }
}

const LONG: &str = "/aaaaaaaaaaaaaaaa";

#[rstest]
#[case::bare("/aaaaaaaaaaaaaaaa.ZZZ", "/bb.aaaaaaaaaaaaa.ZZZ")]
#[case::short_suffix("/aaaaaaaaaaaaaaaa/lib.Z", "/bb/lib.aaaaaaaaa/lib.Z")]
#[case::suffix_of_seven("/aaaaaaaaaaaaaaaa/lib/xx.Z", "///////////////bb/lib/xx.Z")]
#[case::list("/aaaaaaaaaaaaaaaa/l:/aaaaaaaaaaaaaaaa.", "///////////////bb/l:/bb.aaaaaaaaaaaaa.")]
#[case::no_nul_before_the_end("/aaaaaaaaaaaaaaaa/lib", "///////////////bb/lib")]
#[case::inside_a_path("/x/aaaaaaaaaaaaaaaa/library.", "/x///////////////bb/library.")]
#[case::elsewhere("/aaaaaaaaaaaaaaa.", "/aaaaaaaaaaaaaaa.")]
fn much_shorter(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(relocate(text, &[(LONG, "/bb")]).unwrap(), expected);
}

#[rstest]
#[case::far_from_the_end("/aaaaaaaa", "/bbb", "/aaaaaaaa/libfoo.", "//////bbb/libfoo.")]
#[case::same_end(
    "/aaaaaaaaaaaaaaaa/pkg-1-0",
    "/bb/pkg-1-0",
    "/aaaaaaaaaaaaaaaa/pkg-1-0.",
    "///////////////bb/pkg-1-0."
)]
#[case::same_length("/aaa/hash-abc", "/bbb/hash-abc", "/aaa/hash-abc/x.", "/bbb/hash-abc/x.")]
#[case::shorter_by_eight("/123456789", "/x", "/123456789.", "/x.3456789.")]
fn vectors(#[case] old: &str, #[case] new: &str, #[case] text: &str, #[case] expected: &str) {
    assert_eq!(relocate(text, &[(old, new)]).unwrap(), expected);
}

#[rstest]
#[case::bare("/aaaaaaaa", "/bbb", "/aaaaaaaa.ZZZ", "/aaaaaaaa")]
#[case::short_suffix("/aaaaaaaa", "/bbb", "/aaaaaaaa/lib.", "/aaaaaaaa/lib")]
#[case::same_length("/aaa", "/bbb", "/aaa.", "/aaa")]
#[case::shorter_by_seven("/12345678", "/x", "/12345678.", "/12345678")]
fn too_little_shorter(
    #[case] old: &str,
    #[case] new: &str,
    #[case] text: &str,
    #[case] string: &str,
) {
    let error = relocate(text, &[(old, new)]).unwrap_err();
    let (old, new, string) = (old.into(), new.into(), string.into());
    assert_eq!(error, StringError::CannotShrink { offset: 0, old, new, string });
}

#[test]
fn longer_fails_and_what_came_before_it_is_not_written() {
    let pairs = [("/long-enough/x", "/s/enough/x"), ("/aaa", "/bbbb")];
    let error = relocate("/long-enough/x/and/more../aaa.", &pairs).unwrap_err();
    let expected = StringError::CannotGrow { offset: 25, old: "/aaa".into(), new: "/bbbb".into() };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "the string at offset 25 has 4 bytes for `/bbbb`, which has 5");
}

/// <https://github.com/spack/spack/pull/32253>: a linker stores `/old/prefix/lib` once, and whoever
/// needs `lib` or `fix/lib` points into its end. If a shorter string were written at the start and
/// the rest overwritten, those pointers would meet garbage.
#[test]
fn a_string_that_others_point_into_keeps_its_end() {
    let old = "/old/store/padding/package-1.0-abcdefg";
    let text = format!("{old}.{old}/lib.{old}/share/data.");
    for new in ["/n/package-1.0-abcdefg", "/n/other", "/n"] {
        let moved = relocate(&text, &[(old, new)]).unwrap();
        let (before, after) = (bytes(&text), bytes(&moved));
        let ends = before.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
        for end in ends {
            // Every NUL is where it was, and so are the seven bytes before it.
            assert_eq!(after[end - SAFE_SUFFIX..=end], before[end - SAFE_SUFFIX..=end], "{new}");
        }
        let shared =
            |tail: &str| bytes(&text).windows(tail.len()).position(|w| w == tail.as_bytes());
        let at = shared("/lib\0").unwrap();
        assert_eq!(&after[at..at + 5], b"/lib\0");
    }
}

#[test]
fn the_first_of_the_map_wins_where_several_match() {
    let pairs = [("/store/package", "/s/package"), ("/store", "/s")];
    assert_eq!(relocate("/store/package/file..", &pairs).unwrap(), "/////s/package/file..");
    let pairs = [("/store", "/s"), ("/store/package", "/X")];
    assert_eq!(relocate("/store/package/file..", &pairs).unwrap(), "/////s/package/file..");
}

#[test]
fn what_crosses_the_border_of_windows_is_found_as_elsewhere() {
    let map = PrefixMap::new([(LONG, "/bb")]);
    let string = b"/aaaaaaaaaaaaaaaa/lib\0";
    let expected = b"/bb/lib\0aaaaaaaaa/lib\0";
    let border = usize::try_from(WINDOW).unwrap();
    for start in border - 60..border + 3 {
        let mut image = vec![b'x'; border + 100];
        image[start..start + string.len()].copy_from_slice(string);
        assert!(relocate_strings(&mut image, &map).unwrap());
        assert_eq!(&image[start..start + expected.len()], expected, "at {start}");
        assert!(image[..start].iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn more_edits_than_are_remembered() {
    let map = PrefixMap::new([("/abcdefghi", "/x")]);
    let count = 2 * EDITS + 5;
    let mut image = b"/abcdefghi\0-".repeat(count);
    assert!(relocate_strings(&mut image, &map).unwrap());
    assert!(image == b"/x\0cdefghi\0-".repeat(count));

    let mut image = b"/abcdefghi\0-".repeat(count);
    image.extend_from_slice(b"/z\0");
    let before = image.clone();
    let map = PrefixMap::new([("/abcdefghi", "/x"), ("/z", "/zz")]);
    assert!(relocate_strings(&mut image, &map).is_err());
    assert!(image == before);
}

/// Spack's loop over its pattern, in one piece.
fn as_spack(map: &PrefixMap, text: &[u8]) -> Option<Vec<u8>> {
    let mut out = text.to_vec();
    let mut at = 0;
    while at < text.len() {
        let Some((old, new)) = map.iter().find(|(old, _)| text[at..].starts_with(old)) else {
            at += 1;
            continue;
        };
        let end = at + old.len();
        let suffix = text[end..].iter().take(8).position(|byte| *byte == 0);
        let shorter = old.len().checked_sub(new.len())?;
        let kept = |s: usize| {
            let tail = |p: &[u8]| p[p.len().saturating_sub(7 - s)..].to_vec();
            tail(old) == tail(new)
        };
        let replacement = match suffix {
            Some(s) if s < 7 && !kept(s) => {
                if shorter <= 7 {
                    return None;
                }
                [new, &text[end..=end + s]].concat()
            }
            _ => [&b"/".repeat(shorter)[..], new].concat(),
        };
        out[at..at + replacement.len()].copy_from_slice(&replacement);
        at = end + suffix.map_or(0, |s| s + 1);
    }
    Some(out)
}

proptest! {
    #[test]
    fn equal_to_spacks_loop(
        text in "[/ab.]{0,60}",
        places in prop::collection::vec((0_usize..60, 0_usize..4), 0..6),
        new in prop::collection::vec("/[ab]{1,14}", 4),
    ) {
        let old = ["/a/bababababab", "/a", "/bb", "/bbbbbbbbbbbbbbbbb"];
        let map = PrefixMap::new(old.into_iter().zip(new));
        let mut text = bytes(&text);
        for (at, which) in places {
            let at = at.min(text.len());
            text.splice(at..at, old[which].bytes());
        }
        let mut image = text.clone();
        let done = relocate_strings(&mut image, &map);
        if let Some(expected) = as_spack(&map, &text) {
            prop_assert_eq!(done.unwrap(), expected != text);
            prop_assert_eq!(image, expected);
        } else {
            prop_assert!(matches!(done, Err(RelocateError::String(_))));
            prop_assert_eq!(image, text);
        }
    }

    #[test]
    fn with_equal_lengths_the_way_back_restores(text in "[/ab.]{0,80}") {
        let text = bytes(&text);
        let there = PrefixMap::new([("/a/bbbbbbbb", "/X/bbbbbbbb"), ("/a-bbbbbbbb", "/Y-bbbbbbbb")]);
        let back = PrefixMap::new([("/X/bbbbbbbb", "/a/bbbbbbbb"), ("/Y-bbbbbbbb", "/a-bbbbbbbb")]);
        let mut image = text.clone();
        relocate_strings(&mut image, &there).unwrap();
        prop_assert_eq!(image.len(), text.len());
        relocate_strings(&mut image, &back).unwrap();
        prop_assert_eq!(image, text);
    }
}
