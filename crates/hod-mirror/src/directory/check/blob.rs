//! Every blob is read to its end.

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;

use fs_err::File;
use hod_archive::{Codec, DiffId, Digest, DigestWriter, LayerDigests, decoder, read_layer};

use super::problem::with_sources;
use super::{Problem, Run};
use crate::error::Error;
use crate::parallel;
use crate::spack::{EntryName, packed_name};

/// How Spack's databases begin.
const INDEX_START: &[u8] = br#"{"database":"#;

/// What a blob turned out to be.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// The tar stream of a layer, as this codec decodes it.
    pub(super) stream: Option<(Codec, DiffId, u64)>,
    /// It was read as a compressed archive, member by member.
    pub(super) is_archive: bool,
    /// Whose install tree it holds, if it is a layer that says so.
    pub(super) packed: Option<EntryName>,
    /// It begins as Spack's databases do.
    pub(super) is_index: bool,
    /// What is wrong with it although its digest is right.
    pub(super) problem: Option<Problem>,
}

impl Facts {
    pub(super) fn new(digest: Digest, size: u64) -> Self {
        Self {
            digest,
            size,
            stream: None,
            is_archive: false,
            packed: None,
            is_index: false,
            problem: None,
        }
    }

    /// Whether it is known to be a gzip stream, or known not to be.
    pub(super) fn is_gzip_decided(&self) -> bool {
        self.is_archive || matches!(self.stream, Some((Codec::Gzip, ..)))
    }
}

/// A blob to be read.
pub(super) struct Task {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    /// Bytes there, if it is there.
    pub(super) size: Option<u64>,
    pub(super) reading: Reading,
}

/// How a blob is read. It is hashed in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Plain,
    /// Down to the stream inside, which is hashed as well.
    Stream(Codec),
    /// Down to the members of the archive inside, for which nobody tells a digest of the stream.
    Archive,
}

/// A blob and what it turned out to be, or why that cannot be said.
pub(super) struct Examined {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    pub(super) outcome: Result<Facts, Problem>,
}

impl Examined {
    /// Whose install tree it is, if it is one and the blob its name says.
    pub(super) fn take_packed(&mut self) -> Option<(Digest, EntryName)> {
        let facts = self.outcome.as_mut().ok().filter(|facts| facts.digest == self.digest)?;
        Some((self.digest, facts.packed.take()?))
    }
}

/// Reads all blobs, the largest first so that no thread is left with a large one at the end.
pub(super) fn examine(run: &Run<'_>, mut tasks: Vec<Task>) -> Result<Vec<Examined>, Error> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.size));
    let outcomes = parallel::map(&tasks, run.jobs, run.cancel, |task| examine_one(run, task))?;
    let examined = tasks.into_iter().zip(outcomes);
    Ok(examined
        .map(|(Task { digest, path, .. }, outcome)| Examined { digest, path, outcome })
        .collect())
}

fn examine_one(run: &Run<'_>, task: &Task) -> Result<Facts, Problem> {
    let unreadable = |error: io::Error| Problem::Unreadable { reason: error.to_string() };
    let open = || match File::open(&task.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Problem::Missing { role: super::Role::Other })
        }
        opened => opened.map_err(unreadable),
    };
    let (mut undecodable, mut counted) = (None, 0);
    match task.reading {
        Reading::Plain => {}
        Reading::Archive => return examine_archive(Observed::new(open()?, run)),
        Reading::Stream(codec) => {
            let mut source = Observed::new(open()?, run);
            match read_layer(codec, &mut source, |tar| packed_name(tar)) {
                Ok((LayerDigests { digest, size, diff_id, uncompressed_size }, packed)) => {
                    run.advance(1, 0);
                    let stream = Some((codec, diff_id, uncompressed_size));
                    // Of an image, other things may be layers.
                    let packed = packed.ok().flatten();
                    return Ok(Facts { stream, packed, ..Facts::new(digest, size) });
                }
                Err(error) if source.has_failed => return Err(unreadable(error)),
                Err(error) => {
                    undecodable = Some(Problem::Undecodable { reason: error.to_string() });
                    counted = source.read;
                }
            }
        }
    }
    let mut source = Hashed::new(Observed { counted, ..Observed::new(open()?, run) });
    io::copy(&mut source, &mut io::sink()).map_err(unreadable)?;
    Ok(Facts { problem: undecodable, ..source.complete() })
}

fn examine_archive(source: Observed<'_>) -> Result<Facts, Problem> {
    let mut source = Hashed::new(source);
    let archive = decoder(Codec::Gzip, BufReader::with_capacity(1 << 18, &mut source))
        .map_err(|error| with_sources(&error))
        .and_then(|stream| packed_name(stream).map_err(|error| with_sources(&error)));
    if !source.source.has_failed {
        // What is behind the damage counts for the digest.
        let _ = io::copy(&mut source, &mut io::sink());
    }
    match archive {
        Err(reason) if source.source.has_failed => Err(Problem::Unreadable { reason }),
        archive => {
            let (packed, problem) = match archive {
                Ok(packed) => (packed, None),
                Err(reason) => (None, Some(Problem::Undecodable { reason })),
            };
            Ok(Facts { is_archive: true, packed, problem, ..source.complete() })
        }
    }
}

/// Hashes what is read through it.
struct Hashed<'a> {
    source: Observed<'a>,
    digest: DigestWriter<io::Sink>,
    start: Vec<u8>,
}

impl<'a> Hashed<'a> {
    fn new(source: Observed<'a>) -> Self {
        Self { source, digest: DigestWriter::new(io::sink()), start: Vec::new() }
    }

    fn complete(self) -> Facts {
        self.source.run.advance(1, 0);
        let (_, digest, size) = self.digest.complete();
        Facts { is_index: self.start == INDEX_START, ..Facts::new(digest, size) }
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        let rest = INDEX_START.len() - self.start.len();
        self.start.extend_from_slice(&buf[..read.min(rest)]);
        self.digest.write_all(&buf[..read])?;
        Ok(read)
    }
}

/// Counts what is read, ends when the check is cancelled, and tells a failing disk from a stream
/// that cannot be decoded.
struct Observed<'a> {
    file: File,
    run: &'a Run<'a>,
    has_failed: bool,
    read: u64,
    /// So much was read and counted in a first attempt.
    counted: u64,
}

impl<'a> Observed<'a> {
    fn new(file: File, run: &'a Run<'a>) -> Self {
        Self { file, run, has_failed: false, read: 0, counted: 0 }
    }
}

impl Read for Observed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.run.cancel.is_cancelled() {
            // Not `Interrupted`, which would be tried again.
            return Err(io::Error::other("cancelled"));
        }
        let read = self.file.read(buf);
        match &read {
            Ok(read) => {
                let before = self.read.max(self.counted);
                self.read += *read as u64;
                self.run.advance(0, self.read.saturating_sub(before));
            }
            Err(error) => self.has_failed = error.kind() != io::ErrorKind::Interrupted,
        }
        read
    }
}
