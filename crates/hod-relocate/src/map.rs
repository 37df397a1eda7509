//! Which prefix becomes which.

use std::fmt;
use std::sync::Arc;

use crate::search::Search;

/// Old prefixes and what they become, in the order of their priority: where several match at one
/// place, the first does (`spack-format` 7.3).
///
/// Spack's order is: the path of `sbang`, the prefixes of the package and its link and run
/// dependencies, the store root. Never sorted, never longest first, but for Mach-O load commands.
///
/// It is compiled for search when it is made; clones and threads share that.
#[derive(Clone)]
pub struct PrefixMap {
    /// The old ones.
    search: Arc<Search>,
    /// What each becomes, in the same order.
    new: Vec<Vec<u8>>,
}

impl PrefixMap {
    /// Of pairs of one old prefix the first says the place and the last the value, as in Python's
    /// dictionaries. Those that change nothing are dropped afterwards, and so are old prefixes that
    /// are not absolute: Spack's patterns only hold absolute paths.
    pub fn new<O: Into<Vec<u8>>, N: Into<Vec<u8>>>(
        pairs: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        let mut known: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (old, new) in pairs {
            let (old, new) = (old.into(), new.into());
            match known.iter_mut().find(|(known, _)| *known == old) {
                Some((_, value)) => *value = new,
                None => known.push((old, new)),
            }
        }
        known.retain(|(old, new)| old != new && old.first() == Some(&b'/'));
        let (old, new) = known.into_iter().unzip();
        Self { search: Arc::new(Search::new(old)), new }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty()
    }

    /// Old and new, in order of priority.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.search.listed().iter().zip(&self.new).map(|(old, new)| (&old[..], &new[..]))
    }

    /// Where old prefixes occur.
    pub(crate) fn search(&self) -> &Search {
        &self.search
    }

    /// The pair of this place in the order.
    pub(crate) fn pair(&self, index: usize) -> (&[u8], &[u8]) {
        (&self.search.listed()[index], &self.new[index])
    }

    /// The new beginning of a text that begins with an old prefix, and what follows it. No boundary
    /// is needed: `/opt/store2` begins with `/opt/store`.
    pub fn relocate_start<'a>(&self, text: &'a [u8]) -> Option<(&[u8], &'a [u8])> {
        self.iter().find_map(|(old, new)| Some((new, text.strip_prefix(old)?)))
    }

    /// What the target of a symbolic link becomes, if it changes (`spack-format` 7.8).
    pub fn relocate_link(&self, target: &[u8]) -> Option<Vec<u8>> {
        self.relocate_start(target).map(|(new, rest)| [new, rest].concat())
    }
}

impl PartialEq for PrefixMap {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PrefixMap {}

impl fmt::Debug for PrefixMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path| String::from_utf8_lossy(path);
        f.debug_map().entries(self.iter().map(|(old, new)| (shown(old), shown(new)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_and_the_last_value_count() {
        let map = PrefixMap::new([("/a", "/x"), ("/b", "/b"), ("/a", "/y"), ("c", "/z")]);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&b"/a"[..], &b"/y"[..])]);
        assert!(PrefixMap::new([("/a", "/x"), ("/a", "/a")]).is_empty());
    }

    #[rstest::rstest]
    #[case::package("/s/a-1/lib", Some("/n/a-1/lib"))]
    #[case::root_without_boundary("/s2/x", Some("/n2/x"))]
    #[case::relative("../s/a-1", None)]
    #[case::elsewhere("/x/s", None)]
    fn a_link_is_relocated_by_the_first_prefix_it_begins_with(
        #[case] target: &str,
        #[case] expected: Option<&str>,
    ) {
        let map = PrefixMap::new([("/s/a-1", "/n/a-1"), ("/s", "/n")]);
        let found = map.relocate_link(target.as_bytes());
        assert_eq!(found.as_deref(), expected.map(str::as_bytes));
    }
}
