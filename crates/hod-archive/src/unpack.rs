//! A layer blob, possibly hostile, becomes a tree.
//!
//! The tree grows in a private directory beside the destination and takes its place only when the
//! whole blob was read and is the one asked for. Nothing outside that directory is written,
//! changed, followed or removed, whatever the archive says.
//!
//! * Regular files and hard links to them, directories and symbolic links are made; symbolic link
//!   targets are kept as they are and never followed. Any other member is an error, and so are
//!   two members of one name (but for a directory repeated) and members below a link.
//! * Permission bits are the archive's, without setuid, setgid and sticky; a directory's owner
//!   can always enter it. Owners are not restored. Times are, to the second.
//! * Directories no member describes are made as `mkdir` would.
//! * Nothing is synced to the disk: the rename is atomic, its durability is the file system's.

mod deferred;
mod entry;
mod error;
mod name;
mod plan;
mod rewrite;
mod staged;
mod staging;
mod tree;
mod write;
mod writers;

pub use entry::{Entries, Entry, EntryKind};
pub use error::UnpackError;
pub use rewrite::{Modes, Ownership, Rewrite};
pub use staged::StagedTree;
pub use staging::exchange;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::bounded;

use crate::decode::{Budget, Decoded, Pipeline};
use crate::tar::shown;
use crate::{Cancel, Codec, DiffId, Digest};
use plan::{Planned, Planner};
use staging::Staging;
use tree::Tree;
use write::Failure;
use writers::{Pace, Writers};

/// How an archive is unpacked.
#[derive(Clone)]
pub struct UnpackOptions<'a> {
    /// A member name prefix without leading `/`, such as `opt/x/python`, that becomes the
    /// destination. It must be a directory member; its parents may be, and are ignored; all else
    /// must lie below it. `None` keeps all names.
    pub strip_prefix: Option<Vec<u8>>,
    /// What no archive may exceed.
    pub limits: Limits,
    /// How many threads inflate, and how many write.
    pub jobs: usize,
    /// What this archive may hold together with others that are unpacked at the same time, instead of
    /// as much for each.
    pub memory: Option<Memory>,
    /// Stops the work at the next read or member. A read that waits for ever is the source's to end.
    pub cancel: Cancel,
    /// The blob's digest and size; not one byte beyond that size is read.
    pub expected: Option<(Digest, u64)>,
    /// What is done about the diff id.
    pub diff_id: DiffIdCheck,
    /// Told, again and again, how many bytes of the blob were read.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Changes files on their way.
    pub rewrite: Option<&'a dyn Rewrite>,
    /// Whose the tree is to be.
    pub ownership: Ownership,
    /// The private directory, instead of one beside the destination with a name that nobody has.
    /// It must be on the same file system; one that is there is removed first, because whoever
    /// gives a name here makes sure that nobody else uses it.
    pub staging: Option<PathBuf>,
    /// Whether [`StagedTree::entries`] are wanted.
    pub lists_entries: bool,
}

/// Memory for several archives that are unpacked at the same time, or one after the other: what is
/// in flight between reading and writing. Clones are the same memory.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Budget>);

impl Memory {
    /// For so many threads that inflate, of all archives together: 18 MiB and 4 for each.
    pub fn new(jobs: usize) -> Self {
        Self(Budget::new(jobs.clamp(1, 256)))
    }
}

/// Hashing a tar stream costs about as much as inflating half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiffIdCheck {
    /// It is not derived. Enough where the blob's digest is known.
    Skip,
    /// It is derived.
    #[default]
    Derive,
    /// It is derived, and must be this.
    Expect(DiffId),
}

impl Default for UnpackOptions<'_> {
    fn default() -> Self {
        Self {
            strip_prefix: None,
            limits: Limits::default(),
            jobs: thread::available_parallelism().map_or(1, usize::from),
            memory: None,
            cancel: Cancel::default(),
            expected: None,
            diff_id: DiffIdCheck::default(),
            progress: None,
            rewrite: None,
            ownership: Ownership::default(),
            staging: None,
            lists_entries: false,
        }
    }
}

impl fmt::Debug for UnpackOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnpackOptions")
            .field("strip_prefix", &self.strip_prefix.as_deref().map(shown))
            .field("limits", &self.limits)
            .field("jobs", &self.jobs)
            .field("expected", &self.expected)
            .field("diff_id", &self.diff_id)
            .field("ownership", &self.ownership)
            .field("staging", &self.staging)
            .finish_non_exhaustive()
    }
}

/// What no archive may exceed: the difference between a large package and a bomb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members.
    pub max_entries: u64,
    /// Bytes of the tar stream.
    pub max_bytes: u64,
    /// How many bytes one byte of the blob may become, on the whole.
    pub max_ratio: u64,
    /// Bytes of tar below which the ratio does not matter.
    pub ratio_free_bytes: u64,
    /// Bytes of one extension header: a long name.
    pub max_header_bytes: u64,
    /// Bytes of one path below the destination, the prefix to strip included.
    pub max_path_bytes: usize,
    /// Components of one path.
    pub max_depth: usize,
}

impl Default for Limits {
    /// A terabyte in sixteen million members, and 250:1 after the first 16 GiB.
    ///
    /// Gzip cannot do better than 1032:1 and zstd does 30,000:1, both on nothing but zeros, so no
    /// ratio tells a bomb from one file of 10 GB that happens to be empty space. What does is how
    /// much disk it may cost: such a file passes by the free bytes, in either codec; a bomb stops
    /// after 16 GiB, which a machine that installs packages can spare for a moment.
    fn default() -> Self {
        Self {
            max_entries: 1 << 24,
            max_bytes: 1 << 40,
            max_ratio: 250,
            ratio_free_bytes: 16 << 30,
            max_header_bytes: 1 << 20,
            max_path_bytes: 32 << 10,
            max_depth: 256,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Of the tar stream, unless that was to be skipped.
    pub diff_id: Option<DiffId>,
    /// Bytes of the tar stream.
    pub uncompressed_size: u64,
    /// Regular files, hard links not counted.
    pub files: u64,
    /// Directory members, the destination itself not counted.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Hard links.
    pub hardlinks: u64,
    /// Bytes of content in regular files.
    pub file_bytes: u64,
}

/// Unpacks the blob `source` to `destination`, which must not exist or be an empty directory;
/// missing parents of it are made. On any error nothing is left behind (but such parents).
pub fn unpack(
    source: impl Read,
    codec: Codec,
    destination: &Path,
    options: &UnpackOptions<'_>,
) -> Result<Unpacked, UnpackError> {
    let staged = stage(source, codec, destination, options)?;
    if options.cancel.is_cancelled() {
        return Err(UnpackError::Cancelled);
    }
    staged.publish()
}

/// As [`unpack`], up to the moment in which the tree takes its place.
pub fn stage(
    source: impl Read,
    codec: Codec,
    destination: &Path,
    options: &UnpackOptions<'_>,
) -> Result<StagedTree, UnpackError> {
    let prefix = options.strip_prefix.as_deref();
    let prefix = prefix.map(|prefix| staged::below(prefix, &options.limits)).transpose()?;
    let (staging, root) = Staging::make(destination, options.staging.as_deref())?;
    let tree =
        Tree::new(root, options.ownership).map_err(|error| staging.failed("write in", error))?;
    let (mut planned, decoded) = write_tree(source, codec, prefix, &tree, options)?;
    verify(&decoded, options)?;
    planned.finish(&tree)?;
    let mode = options.ownership.modes.map(|modes| modes.directory);
    staged::settle_root(&tree, &planned, mode).map_err(|error| staging.failed("settle", error))?;
    let Decoded { digest, size, diff_id, uncompressed_size } = decoded;
    let plan::Counts { files, directories, symlinks, hardlinks, file_bytes } = planned.counts;
    let unpacked = Unpacked {
        digest,
        size,
        diff_id,
        uncompressed_size,
        files,
        directories,
        symlinks,
        hardlinks,
        file_bytes,
    };
    let entries = planned.entries.take();
    Ok(StagedTree { staging, tree, unpacked, entries, part: Vec::new() })
}

/// Reads the blob to its end and writes all but what must wait for the end.
fn write_tree(
    source: impl Read,
    codec: Codec,
    prefix: Option<Vec<u8>>,
    tree: &Tree,
    options: &UnpackOptions<'_>,
) -> Result<(Planned, Decoded), UnpackError> {
    let jobs = options.jobs.clamp(1, 64);
    let budget = match &options.memory {
        Some(Memory(budget)) => Arc::clone(budget),
        None => Budget::new(jobs),
    };
    let pipeline = Pipeline {
        codec,
        jobs,
        budget,
        cancel: options.cancel.clone(),
        most_bytes: options.expected.map(|(_, size)| size),
        progress: options.progress,
        hashes_tar: options.diff_id != DiffIdCheck::Skip,
    };
    let (failure, pace) = (Failure::default(), Pace::default());
    let (planned, digests) = thread::scope(|scope| {
        let (batches_in, batches) = bounded(2 * jobs);
        let (failure, pace) = (&failure, &pace);
        let start = move || {
            let batches = batches.clone();
            scope.spawn(move || {
                write::write_all(&batches, tree, options.rewrite, failure, &options.cancel, pace);
            });
        };
        let writers = Writers::new(batches_in, jobs, pace, &start);
        let planner = Planner::new(options, prefix, tree, writers, failure);
        pipeline.run(source, |chunks| planner.run(chunks))
    });
    match (failure.into_error(), planned) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.unwrapped()),
        (None, Ok(mut planned)) => {
            planned.finishers = pace.threads(1);
            Ok((planned, digests))
        }
    }
}

fn verify(decoded: &Decoded, options: &UnpackOptions<'_>) -> Result<(), UnpackError> {
    if let Some((digest, size)) = options.expected {
        if decoded.size != size {
            return Err(UnpackError::Size { expected: size, found: decoded.size });
        }
        if decoded.digest != digest {
            return Err(UnpackError::Digest { expected: digest, found: decoded.digest });
        }
    }
    match (options.diff_id, decoded.diff_id) {
        (DiffIdCheck::Expect(expected), Some(found)) if expected != found => {
            Err(UnpackError::DiffId { expected, found })
        }
        _ => Ok(()),
    }
}
