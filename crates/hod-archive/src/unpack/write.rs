//! The threads that make files, fed with batches of members that came together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Receiver;
use rustix::fs::{self, Mode, OFlags};

use super::tree::{Parents, Tree, is_no_directory, times};
use super::writers::Pace;
use super::{Rewrite, UnpackError};
use crate::Cancel;
use crate::decode::Slice;
use crate::tar::shown;

/// Members for one writer, mostly of one directory.
pub(super) type Batch = Vec<Item>;

/// One thing to write.
pub(super) enum Item {
    /// A file, whole.
    File { path: Vec<u8>, attributes: Attributes, content: Content },
    /// A file, whole, that may have to be changed.
    Rewritten { path: Vec<u8>, attributes: Attributes, content: Vec<u8> },
    /// A part of a large file; any writer may write any part.
    Part { file: Arc<LargeFile>, offset: u64, content: Slice },
    /// A symbolic link.
    Symlink { path: Vec<u8>, target: Vec<u8>, mtime: i64 },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

/// The bytes of a small file.
pub(super) enum Content {
    /// In a chunk of the stream, not copied.
    Slice(Slice),
    /// Put together, because it lay across chunks.
    Owned(Vec<u8>),
    /// None.
    Empty,
}

/// A file that is written in parts. Whoever lets go of it last has it changed, if that may be
/// needed, and gives it its time.
#[derive(Debug)]
pub(super) struct LargeFile {
    file: File,
    path: Vec<u8>,
    attributes: Attributes,
    is_rewritten: bool,
}

impl LargeFile {
    pub(super) fn make(
        parents: &mut Parents<'_>,
        tree: &Tree,
        path: Vec<u8>,
        attributes: Attributes,
        is_rewritten: bool,
    ) -> Result<Arc<Self>, UnpackError> {
        let access = if is_rewritten { OFlags::RDWR } else { OFlags::WRONLY };
        let file = parents
            .make_file(&path, attributes.mode, access)
            .map_err(|error| making(error, "write", &path))?;
        let file = File::from(file);
        if !tree.lets_through(attributes.mode) {
            fs::fchmod(&file, Mode::from_raw_mode(attributes.mode))
                .map_err(|error| making(error.into(), "set the mode of", &path))?;
        }
        Ok(Arc::new(Self { file, path, attributes, is_rewritten }))
    }

    /// Gives up this share of the file.
    pub(super) fn release(
        self: Arc<Self>,
        rewrite: Option<&dyn Rewrite>,
    ) -> Result<(), UnpackError> {
        let Some(mut whole) = Arc::into_inner(self) else { return Ok(()) };
        if let Some(rewrite) = rewrite.filter(|_| whole.is_rewritten) {
            rewrite
                .file(&whole.path, &mut whole.file)
                .map_err(|error| rewriting(error, &whole.path))?;
        }
        fs::futimens(&whole.file, &times(whole.attributes.mtime))
            .map_err(|error| making(error.into(), "set the time of", &whole.path))
    }
}

/// The first error of any thread, and the signal to stop.
#[derive(Debug, Default)]
pub(super) struct Failure {
    is_set: AtomicBool,
    error: Mutex<Option<UnpackError>>,
}

impl Failure {
    pub(super) fn set(&self, error: UnpackError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.is_set.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    pub(super) fn into_error(self) -> Option<UnpackError> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes batches until there are no more. After a failure anywhere, batches are only dropped.
pub(super) fn write_all(
    batches: &Receiver<Batch>,
    tree: &Tree,
    rewrite: Option<&dyn Rewrite>,
    failure: &Failure,
    cancel: &Cancel,
    pace: &Pace,
) {
    let _drain = Drain { batches, failure };
    let mut parents = tree.parents();
    for batch in batches {
        pace.watch(batch.len(), || {
            for item in batch {
                if failure.is_set() {
                    break;
                }
                if cancel.is_cancelled() {
                    failure.set(UnpackError::Cancelled);
                    break;
                }
                if let Err(error) = write(item, &mut parents, tree, rewrite) {
                    failure.set(error);
                }
            }
        });
    }
}

/// Of a thread that panics: takes what still comes, so that nobody waits for ever to hand it over.
struct Drain<'a> {
    batches: &'a Receiver<Batch>,
    failure: &'a Failure,
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failure.is_set.store(true, Ordering::Release);
            self.batches.iter().for_each(drop);
        }
    }
}

fn write(
    item: Item,
    parents: &mut Parents<'_>,
    tree: &Tree,
    rewrite: Option<&dyn Rewrite>,
) -> Result<(), UnpackError> {
    match item {
        Item::File { path, attributes, content } => {
            let content: &[u8] = match &content {
                Content::Slice(slice) => slice,
                Content::Owned(bytes) => bytes,
                Content::Empty => &[],
            };
            write_file(&path, attributes, content, parents, tree)
                .map_err(|error| making(error, "write", &path))
        }
        Item::Rewritten { path, attributes, mut content } => {
            if let Some(rewrite) = rewrite {
                rewrite
                    .content(&path, attributes.mode & 0o111 != 0, &mut content)
                    .map_err(|error| rewriting(error, &path))?;
            }
            write_file(&path, attributes, &content, parents, tree)
                .map_err(|error| making(error, "write", &path))
        }
        Item::Part { file, offset, content } => {
            file.file
                .write_all_at(&content, offset)
                .map_err(|error| making(error, "write", &file.path))?;
            file.release(rewrite)
        }
        Item::Symlink { path, target, mtime } => parents
            .make_symlink(&path, &target, mtime)
            .map_err(|error| making(error, "link", &path)),
    }
}

/// Open, write, time, close: four calls, and a fifth where the umask is in the way.
pub(super) fn write_file(
    path: &[u8],
    attributes: Attributes,
    content: &[u8],
    parents: &mut Parents<'_>,
    tree: &Tree,
) -> io::Result<()> {
    let file = File::from(parents.make_file(path, attributes.mode, OFlags::WRONLY)?);
    if !content.is_empty() {
        io::Write::write_all(&mut &file, content)?;
    }
    if !tree.lets_through(attributes.mode) {
        fs::fchmod(&file, Mode::from_raw_mode(attributes.mode))?;
    }
    Ok(fs::futimens(&file, &times(attributes.mtime))?)
}

/// A member that cannot be what it has to become.
pub(super) fn rewriting(
    source: Box<dyn std::error::Error + Send + Sync>,
    path: &[u8],
) -> UnpackError {
    UnpackError::Rewrite { member: shown(path), source }
}

/// What the system's refusal to make a member means.
pub(super) fn making(error: io::Error, action: &'static str, path: &[u8]) -> UnpackError {
    let member = shown(path);
    if error.kind() == io::ErrorKind::AlreadyExists {
        UnpackError::Collision { member }
    } else if is_no_directory(&error) {
        UnpackError::BelowNonDirectory { member }
    } else {
        UnpackError::Member { action, member, source: error }
    }
}
