//! The prefixes a package may mention, compiled for search.
//!
//! Two questions are answered here: does a link point into one of them, and does a text hold one
//! in a place where Spack would replace it.

use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

/// An ordered list of absolute prefixes, built once and shared by all threads.
///
/// Spack's list is: the prefixes of the package and its link and run dependencies, then the path
/// of `sbang`, then the store root (`get_buildinfo_dict`, `prefixes_to_relocate`).
pub struct Prefixes {
    listed: Vec<Vec<u8>>,
    search: Search,
    longest: usize,
}

/// How occurrences are found. The choice is by number: nearly always the store root is a string
/// prefix of all the others and the only one left to look for.
enum Search {
    Nothing,
    One(Box<memmem::Finder<'static>>),
    Many(AhoCorasick),
}

impl Prefixes {
    /// Compiles the list. Entries that are not absolute are left out: Spack's patterns only ever
    /// hold absolute paths, and an empty alternative would match everywhere.
    pub fn new<I>(prefixes: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let listed: Vec<Vec<u8>> = prefixes
            .into_iter()
            .map(|prefix| prefix.as_ref().to_vec())
            .filter(|prefix| prefix.first() == Some(&b'/'))
            .collect();
        let sought = shortest_of_each(&listed);
        let longest = sought.iter().map(Vec::len).max().unwrap_or(0);
        let search = match sought.as_slice() {
            [] => Search::Nothing,
            [one] => Search::One(Box::new(memmem::Finder::new(one).into_owned())),
            many => Search::Many(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(many)
                    .expect("a list of paths is far below the automaton's limit of states"),
            ),
        };
        Self { listed, search, longest }
    }

    /// The prefixes in the order given, which is the order of Spack's alternatives.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.listed.iter().map(Vec::as_slice)
    }

    /// Whether a symlink target belongs in the list of links to relocate: absolute, and one of
    /// the prefixes is a string prefix of it. There is no boundary: `/opt/store2` starts with
    /// `/opt/store`.
    pub fn link_points_inside(&self, target: &[u8]) -> bool {
        self.listed.iter().any(|prefix| target.starts_with(prefix))
    }

    /// The number of bytes a caller must see together to recognise any occurrence.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether there is anything to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// Whether `text` holds, starting before `limit`, a prefix that Spack would replace.
    ///
    /// `before` is what precedes the text. Spack's pattern is
    /// `(?<![\w\-_/])([\w\-_]*?)(P1|P2|...)([\w\-_/]*)`; as every alternative starts with a slash,
    /// group 1 must reach back over all word bytes, so an occurrence counts unless the byte before
    /// that run is a slash.
    pub(crate) fn occur_in(&self, text: &[u8], limit: usize, before: Context) -> bool {
        let mut from = 0;
        // Occurrences may overlap, so the search goes on one byte after a refused one.
        while let Some(at) = self.find_from(text, from) {
            if at >= limit {
                return false;
            }
            if before.after(&text[..at]) == Context::Open {
                return true;
            }
            from = at + 1;
        }
        false
    }

    fn find_from(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = &text[from..];
        let at = match &self.search {
            Search::Nothing => None,
            Search::One(finder) => finder.find(rest),
            Search::Many(automaton) => automaton.find(rest).map(|found| found.start()),
        }?;
        Some(from + at)
    }
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// What stands before a position, as far as it matters to a prefix that starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// The run of word bytes ends at the start of the file or at a byte that is not a slash.
    Open,
    /// The run of word bytes (which may be empty) follows a slash: the position is inside another path.
    InPath,
}

impl Context {
    /// The context after `text`, if this is the context before it. Only the last byte that is not
    /// a word byte matters, so the run is never stored, however long it is.
    pub(crate) fn after(self, text: &[u8]) -> Self {
        match text.iter().rposition(|&byte| !is_word(byte)) {
            None => self,
            Some(at) if text[at] == b'/' => Self::InPath,
            Some(_) => Self::Open,
        }
    }
}

/// `[\w\-]` of a byte pattern: ASCII only.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Drops each prefix that starts with another one: for the question whether *any* occurs, the
/// shorter one answers for both.
fn shortest_of_each(prefixes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sorted = prefixes.to_vec();
    sorted.sort();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for prefix in sorted {
        if !kept.last().is_some_and(|last| prefix.starts_with(last)) {
            kept.push(prefix);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::dependency("/s/a-1/lib", true)]
    #[case::root("/s", true)]
    #[case::no_boundary("/s2/x", true)]
    #[case::elsewhere("/x/s/a-1", false)]
    #[case::relative("../s/a-1", false)]
    #[case::doubled_slash("//s/a-1", false)]
    #[case::empty("", false)]
    fn links(#[case] target: &str, #[case] inside: bool) {
        let prefixes = Prefixes::new(["/s/a-1", "/s"]);
        assert_eq!(prefixes.link_points_inside(target.as_bytes()), inside);
    }

    #[test]
    fn entries_that_are_not_absolute_are_left_out() {
        let prefixes = Prefixes::new(["", "relative", "/a"]);
        assert_eq!(prefixes.iter().collect::<Vec<_>>(), [b"/a"]);
        assert!(!prefixes.link_points_inside(b"relative/x"));
        assert!(Prefixes::new([""; 0]).is_empty());
    }

    #[test]
    fn only_the_shortest_are_sought() {
        let list = ["/s/b", "/s", "/t/c", "/s/a", "/t/cc", "/s"].map(|p| p.as_bytes().to_vec());
        assert_eq!(shortest_of_each(&list), [b"/s".to_vec(), b"/t/c".to_vec()]);
    }
}
