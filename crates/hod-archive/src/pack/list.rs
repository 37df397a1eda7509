//! One directory becomes its sorted names.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;

use super::key::Key;
use super::path::{open_path, stat_path};
use super::{PackError, Root};

/// A listing made ahead of its turn is given up beyond this many names.
const NAMES_AHEAD: usize = 20_000;
/// Large enough for a few thousand names a call.
pub(super) const BUFFER: usize = 64 << 10;

/// What a directory says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum EntryKind {
    Regular,
    Symlink,
    Directory,
    Fifo,
    Socket,
    Device,
}

/// A name in a [`Listing`]. Eight bytes: a directory may have a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    start: u32,
    length: u16,
    pub(super) kind: EntryKind,
}

/// The names of one directory in archive order.
#[derive(Debug)]
pub(super) struct Listing {
    /// Where the directory stands in the archive.
    pub(super) key: Key,
    /// Relative to the prefix, without slashes at either end; empty for the prefix itself.
    pub(super) path: Vec<u8>,
    names: Vec<u8>,
    /// All that is not a directory, sorted by name.
    pub(super) files: Vec<Entry>,
    /// Sorted by name.
    pub(super) directories: Vec<Entry>,
}

impl Listing {
    pub(super) fn name(&self, entry: Entry) -> &[u8] {
        let start = entry.start as usize;
        &self.names[start..start + usize::from(entry.length)]
    }

    /// The path of one of its entries, relative to the prefix.
    pub(super) fn path_of(&self, entry: Entry) -> Vec<u8> {
        join(&self.path, self.name(entry))
    }

    /// A listing of no directory.
    #[cfg(test)]
    pub(super) fn of(
        key: Key,
        path: Vec<u8>,
        entries: impl Iterator<Item = (String, EntryKind)>,
    ) -> Self {
        let (names, files, directories) = Default::default();
        let mut listing = Self { key, path, names, files, directories };
        entries.for_each(|(name, kind)| listing.push(name.as_bytes(), kind));
        listing.sort();
        listing
    }

    fn push(&mut self, name: &[u8], kind: EntryKind) {
        // Names have at most 255 bytes, and four gigabytes of names in one directory do not fit
        // any file system's limits that matter.
        let entry = Entry {
            start: u32::try_from(self.names.len()).expect("under 4 GiB of names"),
            length: u16::try_from(name.len()).expect("names have at most 255 bytes"),
            kind,
        };
        self.names.extend_from_slice(name);
        match kind {
            EntryKind::Directory => self.directories.push(entry),
            _ => self.files.push(entry),
        }
    }

    fn sort(&mut self) {
        let names = std::mem::take(&mut self.names);
        let name = |entry: &Entry| {
            let start = entry.start as usize;
            &names[start..start + usize::from(entry.length)]
        };
        self.files.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.directories.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.names = names;
    }
}

pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Lists the directory `path` of `root`. `None` if it is so large that it should be listed only
/// in its turn, and this is not its turn (`urgent`).
pub(super) fn list(
    root: &Root,
    key: &Key,
    path: &[u8],
    urgent: bool,
    buffer: &mut [MaybeUninit<u8>],
) -> Result<Option<Listing>, PackError> {
    let mut listing = Listing {
        key: key.clone(),
        path: path.to_vec(),
        names: Vec::new(),
        files: Vec::new(),
        directories: Vec::new(),
    };
    let error = |source: Errno| PackError::List { path: root.display(path), source: source.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = match open_path(&root.full_path(path), flags) {
        Ok(directory) => directory,
        Err(Errno::NOENT) if root.is_made_up(path) => return Ok(Some(listing)),
        Err(source) => return Err(error(source)),
    };
    let mut entries = RawDir::new(&directory, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(error)?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || root.is_last_entry(path, name) {
            continue;
        }
        let mut file_type = entry.file_type();
        if file_type == FileType::Unknown {
            // Some file systems do not say; this is the one metadata call more they cost.
            let stat = stat_path(&root.full_path(&join(path, name))).map_err(error)?;
            file_type = FileType::from_raw_mode(stat.st_mode);
        }
        let kind = match file_type {
            FileType::RegularFile => EntryKind::Regular,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Directory => EntryKind::Directory,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            _ => EntryKind::Device,
        };
        if name.starts_with(b".wh.") {
            return Err(PackError::Whiteout { path: root.display(&join(path, name)) });
        }
        listing.push(name, kind);
        if !urgent && listing.files.len() + listing.directories.len() > NAMES_AHEAD {
            return Ok(None);
        }
    }
    if path.is_empty()
        && let Some(parent) = root.last_parent()
        && !listing.directories.iter().any(|entry| listing.name(*entry) == parent)
    {
        if listing.files.iter().any(|entry| listing.name(*entry) == parent) {
            return Err(PackError::InTheWay { path: root.display(parent) });
        }
        root.last_parent_is_missing.store(true, Ordering::Relaxed);
        listing.push(parent, EntryKind::Directory);
    }
    listing.sort();
    Ok(Some(listing))
}
