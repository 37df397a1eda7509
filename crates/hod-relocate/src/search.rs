//! Where any of a list of prefixes occurs, and which of them.

use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

/// An ordered list of absolute prefixes, compiled once and shared by all threads.
pub(crate) struct Search {
    listed: Vec<Vec<u8>>,
    finder: Finder,
    longest: usize,
    longest_sought: usize,
}

/// How occurrences are found. The choice is by number: nearly always the store root is a string
/// prefix of all the others and the only one left to look for.
enum Finder {
    Nothing,
    One(Box<memmem::Finder<'static>>),
    Many(AhoCorasick),
}

/// A listed prefix in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occurrence {
    /// Where it starts.
    pub(crate) at: usize,
    /// Which of the list it is: the first in order of those that match here.
    pub(crate) index: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl Search {
    /// Compiles a list of which no element is empty.
    pub(crate) fn new(listed: Vec<Vec<u8>>) -> Self {
        let sought = shortest_of_each(&listed);
        let longest_of = |list: &[Vec<u8>]| list.iter().map(Vec::len).max().unwrap_or(0);
        let (longest, longest_sought) = (longest_of(&listed), longest_of(&sought));
        let finder = match sought.as_slice() {
            [] => Finder::Nothing,
            [one] => Finder::One(Box::new(memmem::Finder::new(one).into_owned())),
            many => Finder::Many(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(many)
                    .expect("a list of paths is far below the automaton's limit of states"),
            ),
        };
        Self { listed, finder, longest, longest_sought }
    }

    /// The prefixes in the order given.
    pub(crate) fn listed(&self) -> &[Vec<u8>] {
        &self.listed
    }

    /// The length of the longest prefix, 0 if there is none: what must be seen together to say which
    /// one occurs.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The number of bytes that must be seen together to say that any occurs.
    pub(crate) fn longest_sought(&self) -> usize {
        self.longest_sought
    }

    /// Where the next one starts, whichever it is.
    pub(crate) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        let at = match &self.finder {
            Finder::Nothing => None,
            Finder::One(finder) => finder.find(rest),
            Finder::Many(automaton) => automaton.find(rest).map(|found| found.start()),
        }?;
        Some(from + at)
    }

    /// The next one that starts before `limit`: of the leftmost, the first of the list. Bytes up to
    /// [`longest`](Self::longest) after the limit must be there, unless the text ends before.
    pub(crate) fn next(&self, text: &[u8], from: usize, limit: usize) -> Option<Occurrence> {
        let at = self.find(text, from).filter(|at| *at < limit)?;
        let here = &text[at..];
        let index = self.listed.iter().position(|prefix| here.starts_with(prefix))?;
        Some(Occurrence { at, index, end: at + self.listed[index].len() })
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.listed.iter().map(|p| String::from_utf8_lossy(p))).finish()
    }
}

/// Drops each prefix that starts with another one: for the question where *any* occurs, the
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

/// What stands before a position, as far as it matters to a prefix in a text that starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// The run of word bytes ends at the start of the file or at a byte that is not a slash.
    Open,
    /// The run of word bytes (which may be empty) follows a slash: the position is inside another
    /// path.
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
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(prefixes: &[&str]) -> Vec<Vec<u8>> {
        prefixes.iter().map(|prefix| prefix.as_bytes().to_vec()).collect()
    }

    #[test]
    fn only_the_shortest_are_sought() {
        let given = list(&["/s/b", "/s", "/t/c", "/s/a", "/t/cc", "/s"]);
        assert_eq!(shortest_of_each(&given), list(&["/s", "/t/c"]));
    }

    #[test]
    fn of_those_at_the_leftmost_place_the_first_of_the_list_is_found() {
        let search = Search::new(list(&["/s/a-1", "/t", "/s", "/s/a-12"]));
        let text = b"x/s/a-12 /s/b /t";
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(next) = search.next(text, from, text.len()) {
            found.push((next.at, next.index));
            from = next.end;
        }
        assert_eq!(found, [(1, 0), (9, 2), (14, 1)]);
        assert_eq!(search.next(text, 2, 9), None);
    }
}
