//! The thread that reads the archive: it checks every member, makes the directories, and hands
//! all else to the writers.

use std::mem;
use std::thread;

use super::deferred::Deferred;
use super::entry::{Entries, Entry, EntryKind};
use super::name::{self, Place};
use super::tree::{Parents, Tree};
use super::write::{Attributes, Batch, Content, Failure, Item, LargeFile, making};
use super::writers::Writers;
use super::{UnpackError, UnpackOptions};
use crate::decode::Chunks;
use crate::tar::shown;
use crate::{DecodeError, Member, MemberKind, TarError, TarReader};

/// Files up to this size that lie across two chunks are put together; larger ones are written in
/// parts.
const MOST_JOINED: u64 = 256 << 10;
/// Files up to this size are rewritten in memory; larger ones after they were written.
const MOST_REWRITTEN: u64 = 1 << 20;
/// Members handed over at once. Small enough to spread, large enough to keep threads awake.
const BATCH: usize = 64;
/// What directories and hard links may take until the end, each: half a million of the former,
/// a quarter million of the latter.
const MOST_DEFERRED: usize = 16 << 20;

/// What the archive turned out to hold.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) symlinks: u64,
    pub(super) hardlinks: u64,
    pub(super) file_bytes: u64,
}

/// What is left to do when all files are written.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) counts: Counts,
    /// Mode and time of the destination itself, where a member describes it.
    pub(super) root: Option<Attributes>,
    directories: Deferred,
    hardlinks: Deferred,
    /// Threads that do it.
    pub(super) finishers: usize,
    /// All of it, where that is asked for.
    pub(super) entries: Option<Entries>,
}

/// Reads the archive to its end.
pub(super) struct Planner<'a> {
    options: &'a UnpackOptions<'a>,
    prefix: Option<Vec<u8>>,
    tree: &'a Tree,
    parents: Parents<'a>,
    writers: Writers<'a>,
    failure: &'a Failure,
    batch: Batch,
    planned: Planned,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        options: &'a UnpackOptions<'a>,
        prefix: Option<Vec<u8>>,
        tree: &'a Tree,
        writers: Writers<'a>,
        failure: &'a Failure,
    ) -> Self {
        let planned = Planned {
            counts: Counts::default(),
            root: None,
            directories: Deferred::new("bytes of directory names", MOST_DEFERRED),
            hardlinks: Deferred::new("bytes of hard link names", MOST_DEFERRED),
            finishers: 1,
            entries: options.lists_entries.then(Entries::default),
        };
        let parents = tree.parents();
        Self { options, prefix, tree, parents, writers, failure, batch: Batch::new(), planned }
    }

    /// Errors of writers are left in `failure`, where they came first.
    pub(super) fn run(mut self, chunks: &mut Chunks) -> Result<Planned, UnpackError> {
        let most_extension = self.options.limits.max_header_bytes;
        let mut reader = TarReader::new(Metered { chunks, options: self.options }, most_extension);
        let mut members: u64 = 0;
        while let Some(member) = reader.next_member()? {
            members += 1;
            if members > self.options.limits.max_entries {
                let limit = self.options.limits.max_entries;
                return Err(UnpackError::Limit { what: "members", limit });
            }
            self.member(member, &mut reader)?;
            // Batches never outlive their chunk by waiting here for another one.
            if self.batch.len() >= BATCH || reader.source_mut().chunks.available() == 0 {
                self.flush()?;
            }
        }
        self.flush()?;
        match &self.prefix {
            Some(prefix) if !prefix.is_empty() && self.planned.root.is_none() => {
                Err(UnpackError::PrefixMissing { prefix: shown(prefix) })
            }
            _ => Ok(self.planned),
        }
    }

    fn member(
        &mut self,
        member: Member,
        reader: &mut TarReader<Metered<'_>>,
    ) -> Result<(), UnpackError> {
        let is_directory = member.kind == MemberKind::Directory;
        let refuse = |problem| UnpackError::Name { member: shown(&member.name), problem };
        if member.name.ends_with(b"/") && !is_directory {
            return Err(refuse("a name that ends in `/` and is no directory"));
        }
        let mode = self.options.ownership.modes.map_or(member.mode & 0o777, |modes| {
            if is_directory { modes.directory & 0o777 } else { modes.of_file(member.mode) }
        });
        let attributes = Attributes { mode, mtime: member.mtime };
        let path = name::relative(&member.name, &self.options.limits)?;
        let path = match name::place(path, self.prefix.as_deref()) {
            Place::Below(path) => path,
            Place::Outside => return Err(self.outside(&member.name)),
            Place::Root | Place::AbovePrefix if !is_directory => {
                return Err(match &self.prefix {
                    Some(prefix) => UnpackError::PrefixMissing { prefix: shown(prefix) },
                    None => refuse("no name of its own"),
                });
            }
            Place::AbovePrefix => return Ok(()),
            Place::Root => {
                self.planned.root = Some(attributes);
                return Ok(());
            }
        };
        match member.kind {
            MemberKind::Directory => self.directory(&path, attributes),
            MemberKind::Regular => self.file(path, attributes, member.size, reader),
            MemberKind::Symlink(target) => {
                self.planned.counts.symlinks += 1;
                let rewritten = self.options.rewrite.and_then(|r| r.symlink(&path, &target));
                let target = rewritten.unwrap_or(target);
                self.planned.list(&path, EntryKind::Symlink(&target), attributes)?;
                self.batch.push(Item::Symlink { path, target, mtime: member.mtime });
                Ok(())
            }
            MemberKind::Hardlink(target) => self.hardlink(&path, &target),
        }
    }

    fn outside(&self, member: &[u8]) -> UnpackError {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        UnpackError::OutsidePrefix { member: shown(member), prefix: shown(prefix) }
    }

    /// Made at once, so that no writer waits for its parent. A directory its owner could not
    /// enter could be neither filled, moved nor removed: he always may.
    fn directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), UnpackError> {
        let mode = attributes.mode | 0o700;
        let is_new = self
            .parents
            .make_directory(path, mode)
            .map_err(|error| making(error, "make the directory", path))?;
        self.planned.counts.directories += 1;
        let whole = Attributes { mode: self.tree.directory_mode(mode), ..attributes };
        self.planned.list(path, EntryKind::Directory, whole)?;
        let mode_to_set = if is_new && self.tree.makes_directory(mode) { u32::MAX } else { mode };
        let mut note = [0; 12];
        note[..4].copy_from_slice(&mode_to_set.to_le_bytes());
        note[4..].copy_from_slice(&attributes.mtime.to_le_bytes());
        self.planned.directories.push(path, &note)
    }

    fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), UnpackError> {
        let relative = name::relative(target, &self.options.limits)?;
        match name::place(relative, self.prefix.as_deref()) {
            Place::Below(target) => {
                self.planned.counts.hardlinks += 1;
                // A name has no attributes of its own.
                let nothing = Attributes { mode: 0, mtime: 0 };
                self.planned.list(path, EntryKind::Hardlink(&target), nothing)?;
                // Both ends are mostly in one directory, which is noted once.
                let shared = path.iter().zip(&target).take_while(|(a, b)| a == b).count();
                let shared_bytes = u32::try_from(shared).unwrap_or(u32::MAX).to_le_bytes();
                let note = [&shared_bytes, &target[shared..]].concat();
                self.planned.hardlinks.push(path, &note)
            }
            Place::Outside | Place::AbovePrefix => Err(self.outside(target)),
            Place::Root => {
                Err(UnpackError::LinkTarget { member: shown(path), target: shown(target) })
            }
        }
    }

    fn file(
        &mut self,
        path: Vec<u8>,
        attributes: Attributes,
        size: u64,
        reader: &mut TarReader<Metered<'_>>,
    ) -> Result<(), UnpackError> {
        let limit = self.options.limits.max_bytes;
        if size > limit {
            return Err(UnpackError::Limit { what: "bytes", limit });
        }
        self.planned.counts.files += 1;
        self.planned.counts.file_bytes += size;
        self.planned.list(&path, EntryKind::File { size }, attributes)?;
        if self.options.rewrite.is_some_and(|rewrite| rewrite.concerns(&path)) {
            self.flush()?;
            if size > MOST_REWRITTEN {
                return self.parts(path, attributes, true, reader);
            }
            let content = joined(reader)?;
            self.batch.push(Item::Rewritten { path, attributes, content });
            return Ok(());
        }
        let available = reader.source_mut().chunks.available() as u64;
        let content = if size == 0 {
            Content::Empty
        } else if size <= available {
            let slice = reader.source_mut().chunks.take(size).ok_or_else(|| reader.truncated())?;
            reader.content_taken(size);
            Content::Slice(slice)
        } else {
            self.flush()?;
            if size > MOST_JOINED {
                return self.parts(path, attributes, false, reader);
            }
            Content::Owned(joined(reader)?)
        };
        self.batch.push(Item::File { path, attributes, content });
        Ok(())
    }

    fn parts(
        &mut self,
        path: Vec<u8>,
        attributes: Attributes,
        is_rewritten: bool,
        reader: &mut TarReader<Metered<'_>>,
    ) -> Result<(), UnpackError> {
        let file = LargeFile::make(&mut self.parents, self.tree, path, attributes, is_rewritten)?;
        let mut offset = 0;
        while reader.remaining() > 0 {
            if reader.source_mut().chunks.available() == 0 && !reader.source_mut().advance()? {
                return Err(reader.truncated().into());
            }
            let most = reader.remaining();
            let Some(content) = reader.source_mut().chunks.take(most) else { continue };
            let length = content.len() as u64;
            reader.content_taken(length);
            self.batch.push(Item::Part { file: file.clone(), offset, content });
            offset += length;
            self.flush()?;
        }
        file.release(self.options.rewrite)
    }

    /// Hands the batch over, waiting where the writers are behind.
    fn flush(&mut self) -> Result<(), UnpackError> {
        if self.options.cancel.is_cancelled() || self.failure.is_set() {
            // Where a writer failed first, its error is the one that will be told.
            return Err(UnpackError::Cancelled);
        }
        if !self.batch.is_empty() {
            let batch = mem::replace(&mut self.batch, Batch::with_capacity(BATCH));
            self.writers.send(batch).map_err(|_| UnpackError::Cancelled)?;
        }
        Ok(())
    }
}

/// The content of a small file that lies across chunks.
fn joined(reader: &mut TarReader<Metered<'_>>) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    while reader.remaining() > 0 {
        if reader.source_mut().chunks.available() == 0 && !reader.source_mut().advance()? {
            return Err(reader.truncated().into());
        }
        let most = reader.remaining();
        if let Some(slice) = reader.source_mut().chunks.take(most) {
            reader.content_taken(slice.len() as u64);
            bytes.extend_from_slice(&slice);
        }
    }
    Ok(bytes)
}

impl Planned {
    /// Notes an entry, where all are wanted.
    fn list(
        &mut self,
        path: &[u8],
        kind: EntryKind<'_>,
        Attributes { mode, mtime }: Attributes,
    ) -> Result<(), UnpackError> {
        match &mut self.entries {
            Some(entries) => entries.push(&Entry { path, kind, mode, mtime }),
            None => Ok(()),
        }
    }

    /// Links and settles; all files must be there, and nothing may be made after.
    pub(super) fn finish(&self, tree: &Tree) -> Result<(), UnpackError> {
        self.shared(|turn| {
            let (mut parents, mut targets) = (tree.parents(), tree.parents());
            self.hardlinks.for_each(|path, note| {
                if !turn.is_mine() {
                    return Ok(());
                }
                let (shared, suffix) = number(note);
                let target = [&path[..shared as usize], suffix].concat();
                match parents.make_hardlink(path, &mut targets, &target) {
                    Ok(true) => Ok(()),
                    Ok(false) => {
                        Err(UnpackError::LinkTarget { member: shown(path), target: shown(&target) })
                    }
                    Err(error) => Err(making(error, "link", path)),
                }
            })
        })?;
        self.shared(|turn| {
            let mut parents = tree.parents();
            self.directories.for_each(|path, note| {
                if !turn.is_mine() {
                    return Ok(());
                }
                let (mode, mtime) = number(note);
                // Eight bytes, as `directory` wrote them.
                let mtime = mtime.try_into().map_or(0, i64::from_le_bytes);
                let mode = (mode != u32::MAX).then_some(mode);
                parents.settle(path, mode, mtime).map_err(|error| making(error, "settle", path))
            })
        })
    }

    /// Does something on all threads that finish, each in its turn.
    fn shared(
        &self,
        work: impl Fn(&mut Turn) -> Result<(), UnpackError> + Sync,
    ) -> Result<(), UnpackError> {
        let count = self.finishers.max(1);
        let turn = |own| Turn { at: 0, own, count };
        if count == 1 {
            return work(&mut turn(0));
        }
        let work = &work;
        thread::scope(|scope| {
            let started = (0..count).map(|own| scope.spawn(move || work(&mut turn(own))));
            let started: Vec<_> = started.collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            // The first error by the order of threads; all are joined in any case.
            started.into_iter().map(join).fold(Ok(()), Result::and)
        })
    }
}

/// Which of the many things all threads go through are one thread's own: some after each other, that
/// are mostly in one directory.
struct Turn {
    at: usize,
    own: usize,
    count: usize,
}

impl Turn {
    const LENGTH: usize = 8;

    fn is_mine(&mut self) -> bool {
        let turn = self.at / Self::LENGTH % self.count;
        self.at += 1;
        turn == self.own
    }
}

/// The four bytes a note begins with, and what follows.
fn number(note: &[u8]) -> (u32, &[u8]) {
    let (number, rest) = note.split_at(4);
    (number.try_into().map_or(u32::MAX, u32::from_le_bytes), rest)
}

/// The chunks, with an eye on how much they have become.
struct Metered<'a> {
    chunks: &'a mut Chunks,
    options: &'a UnpackOptions<'a>,
}

impl Metered<'_> {
    fn advance(&mut self) -> Result<bool, UnpackError> {
        let is_more = self.chunks.advance()?;
        let limits = &self.options.limits;
        let (unpacked, read) = (self.chunks.decoded(), self.chunks.blob_bytes());
        if unpacked > limits.max_bytes {
            return Err(UnpackError::Limit { what: "bytes", limit: limits.max_bytes });
        }
        if unpacked > limits.ratio_free_bytes && unpacked / read.max(1) >= limits.max_ratio {
            return Err(UnpackError::Ratio { limit: limits.max_ratio, read, unpacked });
        }
        Ok(is_more)
    }
}

impl std::io::Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunks.available() == 0 {
            if !self.advance().map_err(std::io::Error::other)? {
                return Ok(0);
            }
        }
        self.chunks.read(buffer)
    }
}

impl UnpackError {
    /// The error itself, where a tar reader passed it on as that of its source.
    pub(super) fn unwrapped(self) -> Self {
        match self {
            Self::Tar(TarError::Read(error)) => match error.downcast::<Self>() {
                Ok(inner) => inner.unwrapped(),
                Err(error) => match error.downcast::<DecodeError>() {
                    Ok(inner) => Self::Decode(inner).unwrapped(),
                    Err(error) => Self::Tar(TarError::Read(error)),
                },
            },
            Self::Decode(DecodeError::Cancelled) => Self::Cancelled,
            other => other,
        }
    }
}
