//! What a tree holds, kept in a few bytes an entry.

use super::UnpackError;
use super::deferred::Deferred;

/// What all entries of one tree may take: some million of them.
const MOST: usize = 64 << 20;

/// All entries of a tree, in the order of its archive.
#[derive(Debug)]
pub struct Entries(Deferred);

/// One of them, as it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Below the destination.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind<'a>,
    /// Permissions, and the setgid bit of directories; 0 for a hard link, which has none of its own.
    pub mode: u32,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File {
        /// Its bytes in the archive; rewriting it may have changed that.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link, to this.
    Symlink(&'a [u8]),
    /// A further name of this file.
    Hardlink(&'a [u8]),
}

impl Default for Entries {
    fn default() -> Self {
        Self(Deferred::new("bytes of names", MOST))
    }
}

impl Entries {
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<(), UnpackError> {
        let (kind, size, target): (u8, u64, &[u8]) = match entry.kind {
            EntryKind::File { size } => (0, size, b""),
            EntryKind::Directory => (1, 0, b""),
            EntryKind::Symlink(target) => (2, 0, target),
            EntryKind::Hardlink(target) => (3, 0, target),
        };
        let mode = entry.mode.to_le_bytes();
        let fixed = [&[kind][..], &mode, &entry.mtime.to_le_bytes(), &size.to_le_bytes()].concat();
        self.0.push(entry.path, &[&fixed, target].concat())
    }

    /// Hands every entry to `each`.
    pub fn for_each(&self, mut each: impl FnMut(Entry<'_>)) {
        let told = self.0.for_each(|path, note| {
            // As `push` wrote it.
            let (fixed, target) = note.split_at(FIXED);
            let number = |at: usize| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&fixed[at..at + 8]);
                u64::from_le_bytes(bytes)
            };
            let mode = u32::from_le_bytes([fixed[1], fixed[2], fixed[3], fixed[4]]);
            let kind = match fixed[0] {
                0 => EntryKind::File { size: number(13) },
                1 => EntryKind::Directory,
                2 => EntryKind::Symlink(target),
                _ => EntryKind::Hardlink(target),
            };
            each(Entry { path, kind, mode, mtime: number(5).cast_signed() });
            Ok(())
        });
        debug_assert!(told.is_ok(), "nothing above fails");
    }
}

/// Kind, mode, time and size.
const FIXED: usize = 1 + 4 + 8 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let entry = |path, kind, mode, mtime| Entry { path, kind, mode, mtime };
        let listed = [
            entry(b"bin", EntryKind::Directory, 0o2755, 0),
            entry(b"bin/a", EntryKind::File { size: 1 << 40 }, 0o755, -5),
            entry(b"bin/b", EntryKind::Symlink(b"a"), 0o777, 1),
            entry(b"bin/c", EntryKind::Hardlink(b"bin/a"), 0, 0),
        ];
        let mut entries = Entries::default();
        for entry in &listed {
            entries.push(entry).unwrap();
        }
        let mut seen = 0;
        entries.for_each(|entry| {
            assert_eq!(entry, listed[seen]);
            seen += 1;
        });
        assert_eq!(seen, listed.len());
    }
}
