use proptest::prelude::*;

use super::*;
use crate::{PrefixMap, RelocateError, StringError, relocate_strings};

fn needs<'c>(prefixes: &Prefixes, chunks: impl Iterator<Item = &'c [u8]>) -> Vec<Need> {
    let mut forecast = Forecast::new(prefixes);
    chunks.for_each(|chunk| forecast.push(chunk));
    forecast.finish()
}

fn need(prefix: usize, shortest_suffix: Option<u8>) -> Need {
    Need { prefix, shortest_suffix }
}

#[test]
fn the_nearest_end_of_a_string_counts_for_each_prefix() {
    let prefixes = Prefixes::new(["/store/a", "/store/b", "/store/c", "/store"]);
    let content = b"/store/a/lib\0/store/a/libexec/x\0/store/a\n/store/c/libraries\0/store\0";
    let expected = [need(0, Some(4)), need(2, None), need(3, Some(0))];
    for size in 1..content.len() {
        assert_eq!(needs(&prefixes, content.chunks(size)), expected, "chunks of {size}");
    }
}

#[test]
fn a_need_says_which_places_fit_and_why_others_do_not() {
    let near = need(0, Some(0));
    let old = b"/old/store/pkg-1.0-hash";
    assert_eq!(near.fits(old, b"/n/pkg-1.0-hash"), Ok(()));
    assert_eq!(near.fits(old, b"/n/other-name"), Ok(()));
    assert_eq!(near.fits(old, old), Ok(()));
    assert_eq!(near.fits(old, b"/new/store/other"), Err(Misfit::OtherEnd { limit: 15, need: 16 }));
    assert_eq!(need(0, None).fits(old, b"/new/store/other"), Ok(()));
    assert_eq!(need(0, None).fits(b"/old", b"/longer"), Err(Misfit::TooLong { room: 4, need: 7 }));
}

#[test]
fn without_prefixes_nothing_is_needed() {
    assert_eq!(needs(&Prefixes::new([""; 0]), [&b"/x\0"[..]].into_iter()), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_forecast_fits_exactly_where_relocation_succeeds(
        text in "[/ab.]{0,40}",
        places in prop::collection::vec((0_usize..60, 0_usize..4), 0..5),
        new in prop::collection::vec("/[xy]{1,14}(ab)?", 4),
        size in 1_usize..30,
    ) {
        let old = ["/a/bababababab", "/a", "/bb", "/bbbbbbbbbbbbbbbbb"];
        let mut text = text.replace('.', "\0").into_bytes();
        for (at, which) in places {
            let at = at.min(text.len());
            text.splice(at..at, old[which].bytes());
        }
        let needs = needs(&Prefixes::new(old), text.chunks(size));
        let fits = needs.iter().all(|need| {
            need.fits(old[need.prefix].as_bytes(), new[need.prefix].as_bytes()).is_ok()
        });
        let map = PrefixMap::new(old.into_iter().zip(new));
        match relocate_strings(&mut text, &map) {
            Ok(has_changed) => {
                prop_assert!(fits);
                prop_assert_eq!(has_changed, !needs.is_empty());
            }
            Err(RelocateError::String(StringError::CannotGrow { .. } | StringError::CannotShrink { .. })) => {
                prop_assert!(!fits);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}
