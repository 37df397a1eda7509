//! The kind of a file does not depend on how its content is cut.
#![no_main]

use hod_relocate::{FileKind, Prefixes, Scanner};
use libfuzzer_sys::fuzz_target;

fn scan<'c>(prefixes: &Prefixes, chunks: impl Iterator<Item = &'c [u8]>) -> FileKind {
    let mut scanner = Scanner::new(prefixes);
    chunks.for_each(|chunk| scanner.push(chunk));
    scanner.finish()
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, content) = input;
    let size = usize::from(size) + 1;
    for prefixes in [Prefixes::new(["/s"]), Prefixes::new(["/s/a", "/t.u", "/t.u/s"])] {
        let whole = scan(&prefixes, std::iter::once(content));
        assert_eq!(scan(&prefixes, content.chunks(size)), whole);
    }
});
