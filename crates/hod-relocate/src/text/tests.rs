use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn rewrite<'c>(map: &PrefixMap, chunks: impl Iterator<Item = &'c [u8]>) -> (Vec<u8>, bool) {
    let mut rewriter = TextRewriter::new(map);
    let mut out = Vec::new();
    chunks.for_each(|chunk| rewriter.push(chunk, &mut out));
    let has_changed = rewriter.finish(&mut out);
    (out, has_changed)
}

#[rstest]
#[case::package("/s/a-1/x", "/n/a-1/x")]
#[case::no_boundary_on_the_right("/s/a-12/x", "/n/a-12/x")]
#[case::glued_to_a_word("x/s/a-1", "x/n/a-1")]
#[case::glued_to_an_option("-I/s/a-1", "-I/n/a-1")]
#[case::glued_to_a_dash("dash-/s/a-1", "dash-/n/a-1")]
#[case::after_a_dot("a.b/s/a-1", "a.b/n/a-1")]
#[case::list("=/s/a-1:/s/b", "=/n/a-1:/n/b")]
#[case::parentheses("(/s)", "(/n)")]
#[case::root_without_boundary("/s2/x", "/n2/x")]
#[case::sbang("#!/bin/sh /s/bin/sbang\n", "#!/bin/sh /n/bin/sbang\n")]
#[case::doubled_slash("//s/a-1", "//s/a-1")]
#[case::address("file:///s/a-1", "file:///s/a-1")]
#[case::inside_another_path("/x/s/a-1", "/x/s/a-1")]
#[case::second_one_in_the_same_path("/s/a-1/lib//s/b", "/n/a-1/lib//s/b")]
#[case::after_a_path_with_a_dot("/s/a.b /s/c", "/n/a.b /n/c")]
#[case::path_goes_on_after_a_dot("/s/a.b/s/c", "/n/a.b/n/c")]
#[case::nothing("", "")]
fn what_spack_made_of_it(#[case] text: &str, #[case] expected: &str) {
    let map =
        PrefixMap::new([("/s/bin/sbang", "/n/bin/sbang"), ("/s/a-1", "/n/a-1"), ("/s", "/n")]);
    let whole = map.relocate_text(text.as_bytes());
    assert_eq!(whole.as_deref(), (text != expected).then_some(expected.as_bytes()));
    for size in 1..=text.len() {
        let (out, has_changed) = rewrite(&map, text.as_bytes().chunks(size));
        assert_eq!(String::from_utf8(out).unwrap(), expected, "chunks of {size}");
        assert_eq!(has_changed, text != expected);
    }
}

#[test]
fn the_order_of_the_map_decides_and_not_the_length() {
    let map = PrefixMap::new([("/s", "/n"), ("/s/a", "/other")]);
    assert_eq!(map.relocate_text(b"/s/a").unwrap(), b"/n/a");
}

#[test]
fn an_empty_map_changes_nothing() {
    let map = PrefixMap::new([("/s", "/s")]);
    assert_eq!(map.relocate_text(b"/s/a"), None);
    assert_eq!(rewrite(&map, [&b"/s"[..], b"/a"].into_iter()), (b"/s/a".to_vec(), false));
}

#[test]
fn little_is_held_however_long_the_stream_is() {
    let map = PrefixMap::new([("/store/a", "/n")]);
    let mut rewriter = TextRewriter::new(&map);
    let chunk = vec![b'/'; 1 << 16];
    let mut given = 0;
    for _ in 0..64 {
        let mut out = Vec::new();
        rewriter.push(&chunk, &mut out);
        given += out.len();
    }
    assert!(rewriter.held.len() < "/store/a".len());
    assert!(rewriter.held.capacity() <= 4 * BLOCK);
    assert_eq!(given + rewriter.held.len(), 64 << 16);
}

/// Spack's pattern, by the definition of regular expressions: each start in turn, the shortest first
/// group, the first alternative.
fn as_defined(map: &PrefixMap, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    'starts: while at < text.len() {
        if at == 0 || !(is_word(text[at - 1]) || text[at - 1] == b'/') {
            let mut end = at;
            loop {
                if let Some((new, rest)) = map.relocate_start(&text[end..]) {
                    out.extend_from_slice(&text[at..end]);
                    out.extend_from_slice(new);
                    let tail = rest.iter().take_while(|b| is_word(**b) || **b == b'/').count();
                    out.extend_from_slice(&rest[..tail]);
                    at = text.len() - rest.len() + tail;
                    continue 'starts;
                }
                if !text.get(end).is_some_and(|byte| is_word(*byte)) {
                    break;
                }
                end += 1;
            }
        }
        out.push(text[at]);
        at += 1;
    }
    out
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_the_pattern_is_spacks(
        text in "[/s.ab ]{0,60}",
        size in 1_usize..20,
        order in Just(["/s.a", "/s", "/a/s.b", "/a", "/b.s/s"]).prop_shuffle(),
        taken in 0_usize..6,
    ) {
        let pairs = order.iter().take(taken).map(|old| (*old, format!("/new{}", &old[1..])));
        let map = PrefixMap::new(pairs);
        let expected = as_defined(&map, text.as_bytes());
        let (out, has_changed) = rewrite(&map, text.as_bytes().chunks(size));
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(has_changed, out != text.as_bytes());
        prop_assert_eq!(map.relocate_text(text.as_bytes()), has_changed.then_some(out));
    }

    #[test]
    fn the_way_back_restores_what_held_the_new_prefix_nowhere(text in "[/sab. \n-]{0,80}") {
        let there = PrefixMap::new([("/s/a", "/N/a"), ("/s", "/M")]);
        let back = PrefixMap::new([("/N/a", "/s/a"), ("/M", "/s")]);
        let moved = there.relocate_text(text.as_bytes()).unwrap_or_else(|| text.clone().into());
        let restored = back.relocate_text(&moved).unwrap_or(moved);
        prop_assert_eq!(restored, text.as_bytes());
    }
}
