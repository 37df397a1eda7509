//! A directory tree becomes a layer blob, in one pass over its files.
//!
//! ```text
//! list, read, inspect (many threads) ─▶ order ─▶ tar, diff id ─▶ encode (jobs) ─▶ digest ─▶ sink
//! ```
//!
//! Each file is opened once, asked for its metadata once and read once. Directories are not held
//! open while their children are packed, and users and groups are never looked up: on a shared
//! file system each such call is a round trip. Bytes depend on the tree and the options alone.

mod emit;
mod error;
mod key;
mod list;
mod path;
mod read;
mod schedule;
pub(crate) mod stream;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::encode::{Encoders, Encoding};
use crate::{Cancel, DiffId, Digest};
use emit::Emitter;
pub use error::PackError;
use read::{Pace, Reader, Shared};
use schedule::{Next, Schedule, Work};

/// What [`pack`] was asked for besides the tree.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Codec, level and member layout.
    pub encoding: Encoding,
    /// Modification time of every member, in seconds since 1970.
    pub mtime: u64,
    /// Most threads that list directories and read files at once. They are started only while
    /// the file system is slower than the encoders.
    pub io_jobs: usize,
    /// How many packs run at the same time; each takes its share of the memory.
    pub shares: usize,
    /// Where the tree says it is, if that is not where it lies: a store that is mounted elsewhere
    /// or unpacked from a backup still belongs where its files say. Members are named after it.
    pub named: Option<PathBuf>,
    /// Stops the pack with [`PackError::Cancelled`].
    pub cancel: Cancel,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            mtime: 0,
            io_jobs: 32,
            shares: 1,
            named: None,
            cancel: Cancel::default(),
        }
    }
}

/// A caller's own class for a file or link it has looked at. The number is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(pub u8);

/// Looks at every file while it is packed, so that nobody has to read it again.
pub trait Inspect: Sync {
    /// Looks at one file.
    type File<'a>: InspectFile
    where
        Self: 'a;

    /// A file that is stored with its content; `name` is relative to the prefix. `None`: not of
    /// interest.
    fn begin(&self, name: &[u8]) -> Option<Self::File<'_>>;

    /// A symbolic link.
    fn link(&self, name: &[u8], target: &[u8]) -> Option<Mark>;
}

/// The look at one file: all of its content in order, in pieces of any size.
pub trait InspectFile {
    /// The next piece.
    fn push(&mut self, content: &[u8]);
    /// The verdict after the last piece.
    fn finish(self) -> Option<Mark>;
}

/// Looks at nothing.
impl Inspect for () {
    type File<'a> = ();

    fn begin(&self, _: &[u8]) -> Option<()> {
        None
    }

    fn link(&self, _: &[u8], _: &[u8]) -> Option<Mark> {
        None
    }
}

impl InspectFile for () {
    fn push(&mut self, _: &[u8]) {}

    fn finish(self) -> Option<Mark> {
        None
    }
}

/// A tree in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeFacts {
    /// Regular files stored with content.
    pub files: u64,
    /// Directories, the prefix included, its parents not.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files that are stored already.
    pub hardlinks: u64,
    /// Bytes in regular files, each counted once.
    pub file_bytes: u64,
    /// The ten largest files, relative to the prefix, largest first.
    pub largest: Vec<(Vec<u8>, u64)>,
    /// Devices, fifos and sockets, which are left out, with what they are.
    pub skipped: Vec<(Vec<u8>, &'static str)>,
}

/// A tree's metadata in one digest: equal as long as no file was written, replaced, renamed,
/// added or removed and no mode changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Over names, types, inode numbers, modes, sizes, modification and change times.
    pub digest: Digest,
    /// The latest change time seen, in seconds and nanoseconds since 1970. A file system's clock
    /// ticks coarsely: a fingerprint taken within a tick of this moment may miss a change.
    pub newest: (i64, u64),
}

/// A packed tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Of the blob that was written.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Of the tar stream inside.
    pub diff_id: DiffId,
    /// Bytes of the tar stream.
    pub uncompressed_size: u64,
    /// What was packed.
    pub facts: TreeFacts,
    /// What it looked like from outside.
    pub fingerprint: Fingerprint,
}

/// Everything but the last entry has been packed.
#[derive(Debug)]
pub struct BeforeLast<'a> {
    /// SHA-256 of the tar stream so far.
    pub digest: Digest,
    /// Marked files and links, relative to the prefix, in archive order.
    pub marks: &'a [(Mark, Vec<u8>)],
    /// What was packed so far.
    pub facts: &'a TreeFacts,
}

/// A last entry that is made from what was seen in the tree.
pub struct LastEntry<'a> {
    /// `directory/file`, relative to the prefix. The directory becomes a member even where the
    /// tree has none; a file of this name in the tree is left out.
    pub name: &'a str,
    /// Gives the content.
    pub content: &'a mut dyn FnMut(BeforeLast<'_>) -> Vec<u8>,
}

impl std::fmt::Debug for LastEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The tree to pack.
#[derive(Debug)]
struct Root {
    /// Absolute, without a trailing slash.
    path: Vec<u8>,
    /// The same of the path after which members are named, where it is another.
    named: Option<Vec<u8>>,
    /// Directory and file name of the last entry.
    last: Option<(Vec<u8>, Vec<u8>)>,
    /// The tree has no such directory. Known once the prefix was listed.
    last_parent_is_missing: AtomicBool,
}

impl Root {
    fn new(prefix: &Path, named: Option<&Path>, last: Option<&str>) -> Result<Self, PackError> {
        let path = Self::plain(prefix)?;
        let named = named.map(Self::plain).transpose()?.filter(|named| *named != path);
        let last = last.map(|name| {
            let (directory, file) = name.split_once('/').expect("a last entry has a directory");
            (directory.as_bytes().to_vec(), file.as_bytes().to_vec())
        });
        Ok(Self { path, named, last, last_parent_is_missing: AtomicBool::new(false) })
    }

    /// A path that members can be named after, without a trailing slash.
    fn plain(prefix: &Path) -> Result<Vec<u8>, PackError> {
        let plain = prefix
            .components()
            .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
        if !prefix.is_absolute() || !plain {
            return Err(PackError::NotAbsolute { path: prefix.to_owned() });
        }
        let path: PathBuf = prefix.components().collect();
        if path.parent().is_none() {
            return Err(PackError::FileSystemRoot);
        }
        let reserved = |name: Component<'_>| name.as_os_str().as_bytes().starts_with(b".wh.");
        if path.components().any(reserved) {
            return Err(PackError::Whiteout { path });
        }
        Ok(path.as_os_str().as_bytes().to_vec())
    }

    fn full_path(&self, relative: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + relative.len() + 300);
        path.extend_from_slice(&self.path);
        if !relative.is_empty() {
            path.push(b'/');
            path.extend_from_slice(relative);
        }
        path
    }

    fn display(&self, relative: &[u8]) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.full_path(relative)))
    }

    /// The member name of what lies at `full`.
    fn member<'p>(&self, full: &'p [u8]) -> Cow<'p, [u8]> {
        match &self.named {
            None => Cow::Borrowed(&full[1..]),
            Some(named) => Cow::Owned([&named[1..], &full[self.path.len()..]].concat()),
        }
    }

    /// Undoes [`Self::full_path`].
    fn relative<'p>(&self, full: &'p [u8]) -> &'p [u8] {
        &full[(self.path.len() + 1).min(full.len())..]
    }

    fn last_parent(&self) -> Option<&[u8]> {
        self.last.as_ref().map(|(directory, _)| &directory[..])
    }

    /// Whether this directory is a member although the tree has none of its name.
    fn is_made_up(&self, directory: &[u8]) -> bool {
        self.last_parent() == Some(directory) && self.last_parent_is_missing.load(Ordering::Relaxed)
    }

    fn is_last_entry(&self, directory: &[u8], name: &[u8]) -> bool {
        self.last.as_ref().is_some_and(|(d, n)| d == directory && n == name)
    }
}

/// Packs the tree at `prefix` (absolute) into `sink`: plain tar entries with rootfs names, through
/// the codec of `options`.
///
/// `progress` is told how many bytes of the tar stream are done.
///
/// # Errors
///
/// Whatever cannot be read, listed or opened, or changes while it is packed, ends the pack with an
/// error that names it. What was written to `sink` until then is worthless.
pub fn pack<I: Inspect>(
    prefix: &Path,
    sink: impl Write + Send,
    encoders: &Encoders,
    options: &PackOptions,
    inspect: &I,
    last: Option<LastEntry<'_>>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Packed, PackError> {
    let named = options.named.as_deref();
    let root = Root::new(prefix, named, last.as_ref().map(|last| last.name))?;
    let depth = (encoders.jobs() / options.shares.max(1)).max(1) + 1;
    let (stream, writer) = stream::stream(encoders, options.encoding, depth);
    let (emitted, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || writer.run(sink));
        let shared = Shared::default();
        let mut emitter = Emitter::new(&root, &shared, options, Some(stream), inspect, progress);
        let emitted = walk(&root, Some(inspect), &shared, options, |next| emitter.take(next));
        let emitted = emitted.and_then(|()| emitter.finish(last));
        (emitted, writer.join().expect("the writer does not panic"))
    });
    // A failed sink is why the stream stopped, and so the better story.
    let (digest, size) = match (&emitted, written) {
        (_, Err(source)) => return Err(PackError::Write { source }),
        (Err(_), Ok(_)) => (Digest::of(b""), 0),
        (Ok(_), Ok(written)) => written,
    };
    let emitted = emitted?;
    Ok(Packed {
        digest,
        size,
        diff_id: emitted.diff_id,
        uncompressed_size: emitted.uncompressed_size,
        facts: emitted.facts,
        fingerprint: emitted.fingerprint,
    })
}

/// Looks at the tree's metadata alone: its fingerprint, the same as [`pack`] gives with the same
/// last entry's name, and its numbers (`hardlinks` and `file_bytes` included). No file is opened.
pub fn survey(
    prefix: &Path,
    options: &PackOptions,
    last: Option<&str>,
) -> Result<(Fingerprint, TreeFacts), PackError> {
    let root = Root::new(prefix, options.named.as_deref(), last)?;
    let shared = Shared::default();
    let mut emitter = Emitter::new(&root, &shared, options, None, &(), &|_| {});
    walk(&root, None::<&()>, &shared, options, |next| emitter.take(next))?;
    Ok(emitter.into_survey())
}

/// Has the tree read by as many threads as it needs, and hands the results to `take` in order.
fn walk<I: Inspect>(
    root: &Root,
    inspect: Option<&I>,
    shared: &Shared,
    options: &PackOptions,
    mut take: impl FnMut(schedule::Output) -> Result<(), PackError>,
) -> Result<(), PackError> {
    let schedule = Schedule::new(options.shares.max(1));
    let reader = Reader { root, inspect, shared, pace: Pace::default(), mtime: options.mtime };
    std::thread::scope(|scope| {
        // However this ends, the threads must be sent home before the scope waits for them.
        let schedule = schedule::CloseOnDrop(&schedule);
        let mut threads = 0;
        let mut start = |count: usize| {
            for _ in 0..count.min(options.io_jobs.max(1) - threads) {
                threads += 1;
                let (reader, schedule) = (&reader, schedule.0);
                scope.spawn(move || serve(schedule, reader));
            }
            threads
        };
        let mut running = start(1);
        loop {
            if options.cancel.is_cancelled() {
                return Err(PackError::Cancelled);
            }
            match schedule.0.next(running < options.io_jobs)? {
                Next::Output(output) => take(output)?,
                // Doubling reaches any number in a few waits, and a fast file system never waits.
                Next::Waited { starved: true } => running = start(running),
                Next::Waited { starved: false } => {}
                Next::End => return Ok(()),
            }
        }
    })
}

fn serve<I: Inspect>(schedule: &Schedule, reader: &Reader<'_, I>) {
    // Should this thread panic, the consumer must not wait for it.
    let _close = schedule::CloseOnPanic(schedule);
    let mut buffer = Vec::new();
    while let Some(task) = schedule.take(reader.pace.batch()) {
        match &task.work {
            Work::List { path } => {
                buffer.reserve(list::BUFFER);
                let room = buffer.spare_capacity_mut();
                match list::list(reader.root, &task.key, path, task.urgent, room) {
                    Ok(Some(listing)) => schedule.listed(&task, listing),
                    Ok(None) => schedule.postpone(task),
                    Err(error) => schedule.failed(&task, error),
                }
            }
            Work::Files { listing, from, to } => match reader.batch(listing, *from, *to) {
                Ok(batch) => schedule.read(&task, batch),
                Err(error) => schedule.failed(&task, error),
            },
        }
    }
}
