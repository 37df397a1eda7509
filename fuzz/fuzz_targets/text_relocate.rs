//! How a text is cut changes nothing of what it becomes.
#![no_main]

use hod_relocate::{PrefixMap, TextRewriter};
use libfuzzer_sys::fuzz_target;

fn rewrite<'c>(map: &PrefixMap, chunks: impl Iterator<Item = &'c [u8]>) -> Option<Vec<u8>> {
    let mut rewriter = TextRewriter::new(map);
    let mut out = Vec::new();
    chunks.for_each(|chunk| rewriter.push(chunk, &mut out));
    rewriter.finish(&mut out).then_some(out)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, content) = input;
    let size = usize::from(size) + 1;
    for map in [
        PrefixMap::new([("/s", "/new")]),
        PrefixMap::new([("/s/a", "/b"), ("/t.u", "/s/a/longer"), ("/t.u/s", "/c"), ("/s", "/n")]),
    ] {
        let whole = map.relocate_text(content);
        assert_eq!(rewrite(&map, content.chunks(size)), whole);
        assert!(whole.is_none_or(|whole| whole != content));
    }
});
