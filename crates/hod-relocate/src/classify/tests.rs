use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// The rules once more, over a whole buffer and without any cleverness.
mod naive {
    use super::super::FileKind;

    pub(super) fn classify(content: &[u8], prefixes: &[Vec<u8>]) -> FileKind {
        if content.len() < 8 {
            return FileKind::Unknown;
        }
        let word: [u8; 4] = content[4..8].try_into().unwrap();
        let magic = u32::from_be_bytes(content[..4].try_into().unwrap());
        if content.starts_with(b"\x7fELF")
            || [0xcffa_edfe, 0xfeed_facf, 0xcefa_edfe, 0xfeed_face].contains(&magic)
            || magic == 0xcafe_babe && u32::from_be_bytes(word) < 10
            || magic == 0xbeba_feca && u32::from_le_bytes(word) < 10
        {
            return FileKind::Binary;
        }
        let is_latin1 = !content.iter().any(|&b| b == 0 || (0x7f..=0x9f).contains(&b));
        if std::str::from_utf8(content).is_err() && !is_latin1 {
            return FileKind::Unknown;
        }
        FileKind::Text { holds_prefix: find(content, prefixes, 0).is_some() }
    }

    /// The pattern of a text file, tried at every place in turn: the end of group 1, the
    /// prefix that matched, and the end of group 3.
    fn find(text: &[u8], prefixes: &[Vec<u8>], from: usize) -> Option<(usize, usize, usize)> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        for start in from..text.len() {
            if start > 0 && (word(text[start - 1]) || text[start - 1] == b'/') {
                continue; // (?<![\w\-_/])
            }
            let mut at = start; // ([\w\-_]*?)
            loop {
                let matched = prefixes.iter().position(|p| text[at..].starts_with(p));
                if let Some(alternative) = matched {
                    let mut end = at + prefixes[alternative].len();
                    while end < text.len() && (word(text[end]) || text[end] == b'/') {
                        end += 1; // ([\w\-_/]*)
                    }
                    return Some((at, alternative, end));
                }
                if at == text.len() || !word(text[at]) {
                    break;
                }
                at += 1;
            }
        }
        None
    }

    /// Whole-file replacement, so that the pattern above is held against Spack's own results.
    pub(super) fn replace(text: &[u8], old: &[Vec<u8>], new: &[Vec<u8>]) -> Vec<u8> {
        let (mut out, mut from) = (Vec::new(), 0);
        while let Some((at, alternative, end)) = find(text, old, from) {
            out.extend_from_slice(&text[from..at]);
            out.extend_from_slice(&new[alternative]);
            out.extend_from_slice(&text[at + old[alternative].len()..end]);
            from = end;
        }
        out.extend_from_slice(&text[from..]);
        out
    }
}

fn vectors(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn scan<'c>(prefixes: &[Vec<u8>], chunks: impl IntoIterator<Item = &'c [u8]>) -> FileKind {
    let prefixes = Prefixes::new(prefixes);
    let mut scanner = Scanner::new(&prefixes);
    for chunk in chunks {
        scanner.push(chunk);
    }
    scanner.finish()
}

const TEXT: FileKind = FileKind::Text { holds_prefix: false };

/// The vectors made by Spack 1.2.0.dev0.
#[rstest]
#[case::empty(b"", FileKind::Unknown)]
#[case::seven_bytes(b"abcdefg", FileKind::Unknown)]
#[case::eight_bytes(b"abcdefgh", TEXT)]
#[case::nul_in_utf8(b"abc\0defgh", TEXT)]
#[case::byte_order_mark(b"\xef\xbb\xbfabcdefgh", TEXT)]
#[case::latin1(b"caf\xe9 au lait x", TEXT)]
#[case::latin1_with_control(b"caf\xe9 au lait \x81", FileKind::Unknown)]
#[case::control_early(b"caf\x81 au lait \xe9", FileKind::Unknown)]
#[case::surrogate(b"abcdefgh\xed\xa0\x80", FileKind::Unknown)]
#[case::cut_character_with_control(b"abcdefg\x7f\xe4\xb8", FileKind::Unknown)]
#[case::cut_character_as_latin1(b"abcdefgh\xe4\xb8", TEXT)]
#[case::utf16(b"\xff\xfea\0b\0c\0d\0e\0f\0", FileKind::Unknown)]
#[case::archive(b"!<arch>\n..\xff\x00", FileKind::Unknown)]
#[case::elf(b"\x7fELF....", FileKind::Binary)]
#[case::java_class(b"\xca\xfe\xba\xbe\0\0\0\x34", FileKind::Unknown)]
#[case::universal(b"\xca\xfe\xba\xbe\0\0\0\x02", FileKind::Binary)]
#[case::universal_little_endian(b"\xbe\xba\xfe\xca\x02\0\0\0", FileKind::Binary)]
#[case::macho_64(b"\xcf\xfa\xed\xfe\x07\0\0\x01", FileKind::Binary)]
fn classification(#[case] content: &[u8], #[case] expected: FileKind) {
    let prefixes = vectors(&["/s"]);
    assert_eq!(scan(&prefixes, [content]), expected);
    assert_eq!(scan(&prefixes, content.chunks(1)), expected, "byte by byte");
    assert_eq!(naive::classify(content, &prefixes), expected, "naive");
}

/// The text vectors made by Spack 1.2.0.dev0: a file is listed if something in it is replaced.
#[rstest]
#[case::whole("/s/a-1/x", "/n/a-1/x")]
#[case::root("/s/a-12/x", "/n/a-12/x")]
#[case::after_letter("x/s/a-1", "x/n/a-1")]
#[case::after_option("-I/s/a-1", "-I/n/a-1")]
#[case::after_dot("a.b/s/a-1", "a.b/n/a-1")]
#[case::list("=/s/a-1:/s/b", "=/n/a-1:/n/b")]
#[case::parentheses("(/s)", "(/n)")]
#[case::no_right_boundary("/s2/x", "/n2/x")]
#[case::double_slash("//s/a-1", "//s/a-1")]
#[case::url("file:///s/a-1", "file:///s/a-1")]
#[case::inside_another("/x/s/a-1", "/x/s/a-1")]
#[case::glued("/s/a-1/lib//s/b", "/n/a-1/lib//s/b")]
#[case::sbang("#!/bin/sh /s/bin/sbang", "#!/bin/sh /n/bin/sbang")]
fn text(#[case] before: &str, #[case] after: &str) {
    let old = vectors(&["/s/bin/sbang", "/s/a-1", "/s"]);
    let new = vectors(&["/n/bin/sbang", "/n/a-1", "/n"]);
    assert_eq!(naive::replace(before.as_bytes(), &old, &new), after.as_bytes());

    // Long enough to be a text, and preceded by what ends a path.
    let content = format!("........\n{before}");
    let expected = FileKind::Text { holds_prefix: before != after };
    assert_eq!(scan(&old, [content.as_bytes()]), expected);
    for size in 1..content.len() {
        assert_eq!(scan(&old, content.as_bytes().chunks(size)), expected, "chunks of {size}");
    }
}

#[rstest]
#[case::refused_by_a_slash("//", false)]
#[case::refused_by_a_path("/", false)]
#[case::accepted(" ", true)]
fn the_run_before_a_prefix_has_no_limit(#[case] start: &str, #[case] holds_prefix: bool) {
    let content = format!("{start}{}/s/a", "w-".repeat(100_000));
    for size in [1, 7, 4096, 1 << 20] {
        let kind = scan(&vectors(&["/s"]), content.as_bytes().chunks(size));
        assert_eq!(kind, FileKind::Text { holds_prefix }, "chunks of {size}");
    }
}

#[test]
fn an_occurrence_inside_a_refused_one_counts() {
    let prefixes = vectors(&["/x./x", "/t"]);
    let content = b"abcdefg //x./x./x";
    assert_eq!(scan(&prefixes, [&content[..]]), FileKind::Text { holds_prefix: true });
}

#[test]
fn decided_as_soon_as_possible() {
    let prefixes = Prefixes::new(["/s"]);
    let decided_after = |content: &[u8]| {
        let mut scanner = Scanner::new(&prefixes);
        content.iter().position(|&byte| {
            scanner.push(&[byte]);
            scanner.is_decided()
        })
    };
    assert_eq!(decided_after(b"\x7fELF\x02\x01\x01\0\0\0"), Some(7));
    assert_eq!(decided_after(b"abcdefgh\xff is no UTF-8, \0 is no text"), Some(23));
    assert_eq!(decided_after(b"after /s/a comes \xff and \0"), Some(23));
    assert_eq!(decided_after(b"a text is one only at its end"), None);
}

#[rstest]
#[case(FileKind::Binary, Some(RelocateList::Binaries))]
#[case(FileKind::Text { holds_prefix: true }, Some(RelocateList::TextFiles))]
#[case(TEXT, None)]
#[case(FileKind::Unknown, None)]
fn lists(#[case] kind: FileKind, #[case] list: Option<RelocateList>) {
    assert_eq!(kind.relocate_list(), list);
}

/// Content made of what matters: pieces of prefixes, word bytes, slashes, control bytes, bytes
/// above ASCII and whole characters.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => Just(b"/s".to_vec()),
        4 => Just(b"/s/a-1".to_vec()),
        4 => Just(b"/t.u/t".to_vec()),
        8 => prop::sample::select(b"/sa-1tu.x_ ".to_vec()).prop_map(|b| vec![b]),
        2 => prop::collection::vec(prop::sample::select(b"sa1_-".to_vec()), 0..20),
        2 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
    ];
    let rare = prop_oneof![
        20 => Just(Vec::new()),
        1 => prop::sample::select(vec![0, 0x7f, 0x80, 0x9f, 0xa0, 0xe9, 0xff]).prop_map(|b| vec![b]),
        1 => Just(vec![0xed, 0xa0, 0x80]),
    ];
    prop::collection::vec((piece, rare), 0..40)
        .prop_map(|parts| parts.into_iter().flat_map(|(a, b)| [a, b].concat()).collect())
}

fn prefix_lists() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let all = vectors(&["/s/a-1", "/s", "/t.u/t", "/t", "/s/a-1/1", "//s"]);
    prop::sample::subsequence(all, 0..=6).prop_shuffle()
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        content in content(),
        prefixes in prefix_lists(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let expected = naive::classify(&content, &prefixes);
        prop_assert_eq!(scan(&prefixes, [content.as_slice()]), expected);
        prop_assert_eq!(scan(&prefixes, content.chunks(1)), expected);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        cuts.extend([0, content.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &content[pair[0]..pair[1]]);
        prop_assert_eq!(scan(&prefixes, chunks), expected);
    }

    #[test]
    fn any_bytes(content in prop::collection::vec(any::<u8>(), 0..64), size in 1usize..9) {
        let prefixes = vectors(&["/s"]);
        let expected = naive::classify(&content, &prefixes);
        prop_assert_eq!(scan(&prefixes, content.chunks(size)), expected);
    }
}
