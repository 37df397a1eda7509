//! The prefixes a package may mention, compiled for search.
//!
//! Two questions are answered here: does a link point into one of them, and does a text hold one
//! in a place where Spack would replace it.

use std::fmt;

use crate::search::{Context, Search};

/// An ordered list of absolute prefixes, built once and shared by all threads.
///
/// Spack's list is: the prefixes of the package and its link and run dependencies, then the path
/// of `sbang`, then the store root (`get_buildinfo_dict`, `prefixes_to_relocate`).
pub struct Prefixes {
    search: Search,
}

impl Prefixes {
    /// Compiles the list. Entries that are not absolute are left out: Spack's patterns only ever
    /// hold absolute paths, and an empty alternative would match everywhere.
    pub fn new<I>(prefixes: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let listed = prefixes
            .into_iter()
            .map(|prefix| prefix.as_ref().to_vec())
            .filter(|prefix| prefix.first() == Some(&b'/'))
            .collect();
        Self { search: Search::new(listed) }
    }

    /// The prefixes in the order given, which is the order of Spack's alternatives.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.search.listed().iter().map(Vec::as_slice)
    }

    /// Whether a symlink target belongs in the list of links to relocate: absolute, and one of
    /// the prefixes is a string prefix of it. There is no boundary: `/opt/store2` starts with
    /// `/opt/store`.
    pub fn link_points_inside(&self, target: &[u8]) -> bool {
        self.iter().any(|prefix| target.starts_with(prefix))
    }

    /// Where they occur.
    pub(crate) fn search(&self) -> &Search {
        &self.search
    }

    /// The number of bytes a caller must see together to recognise any occurrence.
    pub(crate) fn longest(&self) -> usize {
        self.search.longest_sought()
    }

    /// Whether there is anything to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.search.listed().is_empty()
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
        while let Some(at) = self.search.find(text, from) {
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
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
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
}
