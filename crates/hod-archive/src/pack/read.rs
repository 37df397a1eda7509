//! A run of files of one directory becomes a stretch of the tar stream: headers, content and
//! padding, written where the content is read to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, Stat, fstat};
use rustix::io::{read, retry_on_intr};

use super::list::{Entry, EntryKind, Listing};
use super::path::{open_path, read_link, stat_path};
use super::{Inspect, InspectFile, Mark, PackError, Root};
use crate::tar::{padding, write};

/// Files above this size are read by the stream itself, into its blocks.
const STREAMED: u64 = 256 << 10;
/// A batch ends when it holds this much.
const BATCH_BYTES: usize = 512 << 10;
const BATCH_FILES: u64 = 128;
/// What an open file counts: 32 of them are as much as may be ahead of the stream.
const OPEN_FILE: usize = 256 << 10;
/// How long a batch should take: long enough to be worth a hand-over, short enough to share a
/// slow directory among many threads.
const BATCH_TIME: Duration = Duration::from_millis(8);

/// What of a file's metadata decides whether it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStat {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) links: u64,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: (i64, u64),
    pub(super) ctime: (i64, u64),
}

/// Tells a file from one that was given its inode number after it: size, modification time, mode.
pub(super) type Identity = (u64, (i64, u64), u32);

impl FileStat {
    #[expect(
        clippy::useless_conversion,
        clippy::cast_sign_loss,
        reason = "widths vary by platform"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev.into(),
            ino: stat.st_ino.into(),
            links: stat.st_nlink.into(),
            mode: stat.st_mode.into(),
            size: stat.st_size as u64,
            mtime: (stat.st_mtime.into(), stat.st_mtime_nsec),
            ctime: (stat.st_ctime.into(), stat.st_ctime_nsec),
        }
    }

    /// The same for all names of one file, whoever adds or removes names meanwhile.
    pub(super) const fn identity(&self) -> Identity {
        (self.size, self.mtime, self.mode)
    }

    /// Many reads are not one moment: had the file been written to in between, its parts would not
    /// belong together.
    pub(super) fn must_still_hold(&self, file: &OwnedFd, path: &[u8]) -> Result<(), PackError> {
        let now = fstat(file).map_err(|errno| PackError::read(path, errno))?;
        let now = Self::of(&now);
        if (now.size, now.mtime, now.ctime) == (self.size, self.mtime, self.ctime) {
            Ok(())
        } else {
            Err(PackError::changed(path, "changed while it was read"))
        }
    }

    pub(super) const fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// One file of a batch.
#[derive(Debug)]
pub(super) enum Item {
    /// Header, content and padding are in the batch.
    File { stat: FileStat, mark: Option<Mark> },
    /// The header is in the batch, the content still in the file.
    Streamed { stat: FileStat, file: OwnedFd },
    /// Another name of a file that is in the archive already: nothing was read.
    Linked { stat: FileStat },
    /// The header is in the batch.
    Symlink { target: Vec<u8>, mark: Option<Mark> },
    /// Left out.
    Special(EntryKind),
}

/// Files of one directory, from `from` on, as far as they were read.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) listing: Arc<Listing>,
    from: usize,
    /// Tar bytes of all items, in order.
    pub(super) bytes: Vec<u8>,
    /// Each with the end of its bytes.
    pub(super) items: Vec<(usize, Item)>,
}

impl Batch {
    /// A batch of nothing that was read.
    #[cfg(test)]
    pub(super) fn of(listing: &Arc<Listing>, from: usize, count: usize, bytes: usize) -> Self {
        let items = (0..count).map(|_| (0, Item::Special(EntryKind::Fifo))).collect();
        Self { listing: Arc::clone(listing), from, bytes: Vec::with_capacity(bytes), items }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The listing's entries of the items.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.listing.files[self.from..].iter()
    }

    /// Memory it holds, as the schedule counts it. A file that waits for the stream counts as
    /// though its content were held: a process may have few descriptors, often 1024.
    pub(super) fn weight(&self) -> usize {
        let open = self.items.iter().filter(|(_, item)| matches!(item, Item::Streamed { .. }));
        self.bytes.capacity()
            + self.items.capacity() * size_of::<(usize, Item)>()
            + open.count() * OPEN_FILE
    }

    /// What to count for a batch of so many files before it is read.
    pub(super) fn reserve(files: usize) -> usize {
        (files * (16 << 10)).clamp(64 << 10, BATCH_BYTES)
    }
}

/// First names of files with several links, known to the stream and to all readers.
#[derive(Debug, Default)]
pub(super) struct LinkTable(Mutex<HashMap<(u64, u64), FirstName>>);

#[derive(Debug)]
struct FirstName {
    member: Arc<[u8]>,
    identity: Identity,
    /// Names still to come, as far as the link count says.
    left: u64,
}

impl LinkTable {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(u64, u64), FirstName>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn has(&self, stat: &FileStat) -> bool {
        self.lock().contains_key(&(stat.dev, stat.ino))
    }

    /// The member that holds this file's data, with what it looked like, if an earlier name of it
    /// is in the archive; otherwise `member()` becomes that name.
    pub(super) fn first_name(
        &self,
        stat: &FileStat,
        member: impl FnOnce() -> Vec<u8>,
    ) -> Option<(Arc<[u8]>, Identity)> {
        let mut table = self.lock();
        let key = (stat.dev, stat.ino);
        if let Some(first) = table.get_mut(&key) {
            first.left = first.left.saturating_sub(1);
            let name = (Arc::clone(&first.member), first.identity);
            if first.left == 0 {
                table.remove(&key);
            }
            return Some(name);
        }
        let (member, identity) = (member().into(), stat.identity());
        table.insert(key, FirstName { member, identity, left: stat.links - 1 });
        None
    }
}

/// How many files make a batch, from how long files have taken lately.
#[derive(Debug)]
pub(super) struct Pace {
    nanos_per_file: AtomicU64,
    bytes_per_file: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { nanos_per_file: AtomicU64::new(100_000), bytes_per_file: AtomicU64::new(4096) }
    }
}

/// Three parts of what was and one of what is. Racing threads may lose a sample; it is a guess.
fn settle(average: &AtomicU64, sample: u64) {
    let before = average.load(Ordering::Relaxed);
    average.store((3 * before + sample.min(1 << 40)) / 4, Ordering::Relaxed);
}

impl Pace {
    #[expect(clippy::cast_possible_truncation, reason = "a millisecond in nanoseconds")]
    pub(super) fn batch(&self) -> usize {
        let budget = BATCH_TIME.as_nanos() as u64;
        let each = self.nanos_per_file.load(Ordering::Relaxed).max(1);
        (budget / each).clamp(1, BATCH_FILES) as usize
    }

    /// About how many tar bytes so many files make.
    fn expected_bytes(&self, files: usize) -> usize {
        let each = self.bytes_per_file.load(Ordering::Relaxed);
        usize::try_from(each).unwrap_or(BATCH_BYTES).saturating_mul(files).min(BATCH_BYTES)
    }

    fn note(&self, took: Duration, files: usize, bytes: usize) {
        let files = files.max(1) as u64;
        settle(&self.nanos_per_file, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / files);
        settle(&self.bytes_per_file, bytes as u64 / files);
    }
}

/// Buffers that were read into and have been written out. Taking one again spares the system
/// from clearing fresh pages, which costs more than copying into them.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// Most buffers kept.
const BUFFERS: usize = 16;

impl Buffers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An empty buffer for about `expected` bytes. One that is far too large is left for others:
    /// it would count in full against what may be read ahead.
    fn take(&self, expected: usize) -> Vec<u8> {
        let mut buffers = self.lock();
        let fits = |buffer: &Vec<u8>| {
            (expected / 2..=expected.saturating_mul(4)).contains(&buffer.capacity())
        };
        match buffers.iter().position(fits) {
            Some(at) => buffers.swap_remove(at),
            None => Vec::with_capacity(expected),
        }
    }

    /// Takes back a buffer that is no longer needed.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.lock();
        if buffers.len() < BUFFERS && buffer.capacity() > 0 {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// What the readers and the stream of one pack both use.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) links: LinkTable,
    pub(super) buffers: Buffers,
}

/// Reads batches for one pack.
pub(super) struct Reader<'a, I> {
    pub(super) root: &'a Root,
    /// `None`: look at metadata only.
    pub(super) inspect: Option<&'a I>,
    pub(super) shared: &'a Shared,
    pub(super) pace: Pace,
    pub(super) mtime: u64,
}

impl<I: Inspect> Reader<'_, I> {
    /// Reads files `from..to` of `listing`, or fewer if they grow large.
    pub(super) fn batch(
        &self,
        listing: &Arc<Listing>,
        from: usize,
        to: usize,
    ) -> Result<Batch, PackError> {
        let start = Instant::now();
        let mut bytes = match self.inspect {
            Some(_) => self.shared.buffers.take(self.pace.expected_bytes(to - from)),
            None => Vec::new(),
        };
        let mut items = Vec::with_capacity(to - from);
        let mut path = self.root.full_path(&listing.path);
        path.push(b'/');
        let directory = path.len();
        for entry in &listing.files[from..to] {
            path.truncate(directory);
            path.extend_from_slice(listing.name(*entry));
            let item = match entry.kind {
                EntryKind::Regular => self.file(&path, &mut bytes)?,
                EntryKind::Symlink => self.symlink(&path, &mut bytes)?,
                special => Item::Special(special),
            };
            let ends = matches!(item, Item::Streamed { .. }) || bytes.len() > BATCH_BYTES;
            items.push((bytes.len(), item));
            if ends {
                break;
            }
        }
        self.pace.note(start.elapsed(), items.len(), bytes.len());
        if bytes.capacity() / 2 > bytes.len() {
            bytes.shrink_to_fit();
        }
        Ok(Batch { listing: Arc::clone(listing), from, bytes, items })
    }

    fn file(&self, path: &[u8], bytes: &mut Vec<u8>) -> Result<Item, PackError> {
        let Some(inspect) = self.inspect else {
            let stat = stat_path(path).map_err(|errno| PackError::read(path, errno))?;
            return Ok(Item::File { stat: FileStat::of(&stat), mark: None });
        };
        // NONBLOCK: should a fifo have taken the file's place, opening it must not wait.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = open_path(path, flags).map_err(|errno| PackError::read(path, errno))?;
        let stat = fstat(&file).map_err(|errno| PackError::read(path, errno))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(PackError::changed(path, "is no longer a regular file"));
        }
        let stat = FileStat::of(&stat);
        if stat.links > 1 && self.shared.links.has(&stat) {
            return Ok(Item::Linked { stat });
        }
        let kind = write::Kind::Regular { size: stat.size, executable: stat.is_executable() };
        write::header(bytes, &self.root.member(path), kind, self.mtime);
        if stat.size > STREAMED {
            return Ok(Item::Streamed { stat, file });
        }
        let start = bytes.len();
        if stat.size > 0 {
            read_small(&file, path, &stat, bytes)?;
        }
        let name = self.root.relative(path);
        let mark = inspect.begin(name).and_then(|mut scan| {
            scan.push(&bytes[start..]);
            scan.finish()
        });
        bytes.resize(bytes.len() + padding(stat.size), 0);
        Ok(Item::File { stat, mark })
    }

    fn symlink(&self, path: &[u8], bytes: &mut Vec<u8>) -> Result<Item, PackError> {
        let target = read_link(path).map_err(|errno| PackError::read(path, errno))?;
        let mut mark = None;
        if let Some(inspect) = self.inspect {
            let kind = write::Kind::Symlink { target: &target };
            write::header(bytes, &self.root.member(path), kind, self.mtime);
            mark = inspect.link(self.root.relative(path), &target);
        }
        Ok(Item::Symlink { target, mark })
    }
}

/// Reads the whole file, normally with one call: a regular file gives less than was asked for
/// only at its end, and more than its size is asked for.
fn read_small(
    file: &OwnedFd,
    path: &[u8],
    stat: &FileStat,
    bytes: &mut Vec<u8>,
) -> Result<(), PackError> {
    let size = usize::try_from(stat.size).expect("small files fit in memory");
    let end = bytes.len() + size;
    bytes.reserve(size + 1);
    for calls in 1.. {
        let got = retry_on_intr(|| read(file, spare_capacity(bytes)))
            .map_err(|errno| PackError::read(path, errno))?;
        if bytes.len() > end {
            return Err(PackError::changed(path, "grew while it was read"));
        }
        if bytes.len() == end {
            return if calls == 1 { Ok(()) } else { stat.must_still_hold(file, path) };
        }
        if got == 0 {
            return Err(PackError::changed(path, "shrank while it was read"));
        }
    }
    unreachable!("a file has no endless number of bytes")
}
