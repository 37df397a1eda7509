//! Where a piece of work stands in the archive.

use std::sync::Arc;

/// Sorts in archive order: the components of a directory's path, each preceded by a NUL (which no
/// name holds, so `a` and all below it precede `a.b`). Files of a directory follow the directory
/// and precede its children: two NULs and their position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Arc<[u8]>);

impl Key {
    /// Of the prefix.
    pub(super) fn root() -> Self {
        Self(Arc::from([]))
    }

    /// Of a directory in this one.
    pub(super) fn child(&self, name: &[u8]) -> Self {
        Self([&self.0, &[0][..], name].concat().into())
    }

    /// Of this directory's files from a position on.
    pub(super) fn files(&self, from: usize) -> Self {
        // Listings are bounded by memory far below u64, and big-endian numbers sort.
        Self([&self.0, &[0, 0][..], &(from as u64).to_be_bytes()].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_the_archive_does() {
        let root = Key::root();
        let (a, a_b) = (root.child(b"a"), root.child(b"a.b"));
        let order =
            [&root, &root.files(0), &root.files(70_000), &a, &a.files(3), &a.child(b"z"), &a_b];
        assert!(order.is_sorted());
    }
}
