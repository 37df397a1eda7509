//! Which prefix becomes which.

use std::fmt;

/// Old prefixes and what they become, in the order of their priority: where several match at one
/// place, the first does (`spack-format` 7.3).
///
/// Spack's order is: the path of `sbang`, the prefixes of the package and its link and run
/// dependencies, the store root. Never sorted, never longest first, but for Mach-O load commands.
#[derive(Clone, PartialEq, Eq)]
pub struct PrefixMap {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
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
        Self { pairs: known }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Old and new, in order of priority.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(old, new)| (&old[..], &new[..]))
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
