//! From a blob to its tar stream on all cores, with both digests on the way.
//!
//! ```text
//! caller: read, hash, cut ─▶ workers: inflate members ─▶ consumer: chunks in order ─▶ hasher
//! ```

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use libdeflater::Decompressor;

use super::DecodeError;
use super::chunk::{Budget, Chunk, Permit, Slice};
use super::gzip::{self, Members, Start};
use super::source::BlobReader;
use crate::{Cancel, Codec, DiffId, Digest, DigestWriter};

/// How much a stream decoder puts into one chunk.
const STREAM_CHUNK: usize = 512 << 10;

/// Small, because most of a member is read past this buffer into its own.
const BUFFER: usize = 32 << 10;
/// How much is read at a time of what is one stream.
const STREAM_BUFFER: usize = 256 << 10;

/// How a blob is read.
pub(crate) struct Pipeline<'a> {
    pub(crate) codec: Codec,
    pub(crate) jobs: usize,
    /// What it may hold, with others or alone.
    pub(crate) budget: Arc<Budget>,
    pub(crate) cancel: Cancel,
    /// Where the caller knows the size, not one byte more is read.
    pub(crate) most_bytes: Option<u64>,
    /// Told the bytes of the blob read so far.
    pub(crate) progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Whether the tar stream is hashed, which costs as much as reading the blob and more.
    pub(crate) hashes_tar: bool,
}

/// What a pipeline found, once all chunks were taken.
pub(crate) struct Decoded {
    /// Of the blob.
    pub(crate) digest: Digest,
    /// Bytes of the blob.
    pub(crate) size: u64,
    /// Of the tar stream, if that was wanted.
    pub(crate) diff_id: Option<DiffId>,
    /// Bytes of the tar stream.
    pub(crate) uncompressed_size: u64,
}

type Slot = Receiver<Result<Chunk, DecodeError>>;

struct Work {
    member: Vec<u8>,
    header: usize,
    size: usize,
    permit: Permit,
    offset: u64,
    done: Sender<Result<Chunk, DecodeError>>,
}

impl Pipeline<'_> {
    /// Reads the blob in this thread while `consume` runs in another and takes the chunks. If it
    /// took all of them, the digests are those of the whole blob and the whole tar.
    pub(crate) fn run<T: Send>(
        &self,
        source: impl Read,
        consume: impl FnOnce(&mut Chunks) -> T + Send,
    ) -> (T, Decoded) {
        let jobs = self.jobs.clamp(1, 256);
        let (slots_in, slots) = bounded::<Slot>(4 * jobs + 4);
        let (work_in, work) = bounded::<Work>(2 * jobs);
        let (tap, tapped) = bounded::<Chunk>(4);
        let blob_bytes = Arc::new(AtomicU64::new(0));
        let decoded = Arc::new(AtomicU64::new(0));
        let mut chunks = Chunks {
            slots,
            tap: self.hashes_tar.then_some(tap),
            current: None,
            at: 0,
            decoded: Arc::clone(&decoded),
            blob_bytes: Arc::clone(&blob_bytes),
        };
        thread::scope(|scope| {
            let hasher = self.hashes_tar.then(|| {
                scope.spawn(move || {
                    let mut hash = DigestWriter::new(io::sink());
                    for chunk in tapped {
                        // A sink takes everything.
                        let _ = io::Write::write_all(&mut hash, &chunk);
                    }
                    DiffId(hash.complete().1)
                })
            });
            let consumer = scope.spawn(move || {
                let result = consume(&mut chunks);
                drop(chunks);
                result
            });
            let blob = BlobReader::new(source, self, &blob_bytes);
            let budget = Arc::clone(&self.budget);
            let mut cutter = Cutter { budget, slots: slots_in, work: work_in, blob_offset: 0 };
            // One for the first member, others while members wait: a small blob needs one.
            let mut started = 0;
            let start_worker = |is_behind: bool| {
                if started == 0 || is_behind && started < jobs {
                    let (work, budget) = (work.clone(), &self.budget);
                    scope.spawn(move || inflate_all(&work, budget));
                    started += 1;
                }
            };
            let (digest, size) = cutter.run(self.codec, blob, start_worker);
            drop((cutter, work));
            let consumed = consumer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let join = |hasher: thread::ScopedJoinHandle<'_, DiffId>| {
                hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let diff_id = hasher.map(join);
            let uncompressed_size = decoded.load(Ordering::Relaxed);
            (consumed, Decoded { digest, size, diff_id, uncompressed_size })
        })
    }
}

fn inflate_all(work: &Receiver<Work>, budget: &Budget) {
    let mut decompressor = Decompressor::new();
    for Work { member, header, size, mut permit, offset, done } in work {
        let result = gzip::inflate(&mut decompressor, &member, header, permit.room(size))
            .map(|()| permit.into_chunk(size))
            .ok_or(DecodeError::Damaged { codec: Codec::Gzip, offset, source: None });
        budget.give_back(member);
        // Nobody listens any more where the consumer gave up.
        let _ = done.send(result);
    }
}

/// The consumer went away: nothing more is wanted.
struct Gone;

/// Cuts a blob into chunks, or into members for the workers to make chunks of.
struct Cutter {
    budget: Arc<Budget>,
    slots: Sender<Slot>,
    work: Sender<Work>,
    blob_offset: u64,
}

impl Cutter {
    /// Everything, up to the digest and size of the blob.
    fn run<R: Read>(
        &mut self,
        codec: Codec,
        blob: BlobReader<'_, R>,
        start_worker: impl FnMut(bool),
    ) -> (Digest, u64) {
        let mut blob = BufReader::with_capacity(BUFFER, blob);
        let result = match codec {
            Codec::Gzip => self.gzip(&mut blob, start_worker),
            Codec::Zstd => match zstd::stream::read::Decoder::with_buffer(&mut blob) {
                Ok(decoder) => self.stream(decoder),
                Err(error) => Ok(Err(error)),
            },
            Codec::None => self.stream(&mut blob),
        };
        if let Ok(Err(error)) = result {
            let error = blob.get_mut().classify(error, codec, self.blob_offset);
            // The consumer is told in its turn, after the chunks before.
            let _ = self.push(Err(error));
        }
        blob.into_inner().complete()
    }

    fn gzip<R: Read>(
        &mut self,
        blob: &mut BufReader<BlobReader<'_, R>>,
        mut start_worker: impl FnMut(bool),
    ) -> Result<io::Result<()>, Gone> {
        loop {
            let step = match self.gzip_member(blob) {
                Ok(step) => step,
                Err(error) => return Ok(Err(error)),
            };
            match step {
                Step::End => return Ok(Ok(())),
                Step::Stream(read) => {
                    let whole = io::Cursor::new(read).chain(blob);
                    let whole = BufReader::with_capacity(STREAM_BUFFER, whole);
                    return self.stream(Members::new(whole));
                }
                Step::Member { member, header, size } => {
                    start_worker(!self.work.is_empty());
                    let permit = self.budget.take(size + member.len(), size);
                    let (done, slot) = bounded(1);
                    self.slots.send(slot).map_err(|_| Gone)?;
                    let offset = self.blob_offset;
                    self.blob_offset += member.len() as u64;
                    let work = Work { member, header, size, permit, offset, done };
                    self.work.send(work).map_err(|_| Gone)?;
                }
            }
        }
    }

    /// The next member whole, if it says its size and that is bearable.
    fn gzip_member<R: Read>(&mut self, blob: &mut BufReader<R>) -> io::Result<Step> {
        if self.blob_offset > 0 {
            match first_byte(blob)? {
                None => return Ok(Step::End),
                Some(0x1f) => {}
                Some(0) if gzip::skip_padding(blob)? => return Ok(Step::End),
                Some(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, gzip::Garbage));
                }
            }
        }
        let (read, header, size) = match gzip::read_start(blob)? {
            Start::Sized { read, header, size } => (read, header, size),
            Start::Stream(read) => return Ok(Step::Stream(read)),
        };
        // A used buffer is cut, and hardly ever grown: what is in it needs no clearing.
        let mut member = self.budget.spare();
        member.resize(size, 0);
        member[..read.len()].copy_from_slice(&read);
        blob.read_exact(&mut member[read.len()..])?;
        match gzip::claimed_size(&member) {
            claimed if claimed > gzip::MOST_MEMBER => Ok(Step::Stream(member)),
            claimed => Ok(Step::Member { member, header, size: claimed }),
        }
    }

    /// Fills chunks from a decoder until it ends.
    fn stream(&mut self, mut decoder: impl Read) -> Result<io::Result<()>, Gone> {
        loop {
            let mut permit = self.budget.take(STREAM_CHUNK, STREAM_CHUNK);
            let room = permit.room(STREAM_CHUNK);
            let mut filled = 0;
            let end = loop {
                match decoder.read(&mut room[filled..]) {
                    Ok(0) => break Some(Ok(())),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Some(Err(error)),
                }
                if filled == STREAM_CHUNK {
                    break None;
                }
            };
            if filled > 0 {
                self.push(Ok(permit.into_chunk(filled)))?;
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn push(&mut self, chunk: Result<Chunk, DecodeError>) -> Result<(), Gone> {
        let (done, slot) = bounded(1);
        // A channel of one holds one.
        let _ = done.send(chunk);
        self.slots.send(slot).map_err(|_| Gone)
    }
}

enum Step {
    End,
    Stream(Vec<u8>),
    Member { member: Vec<u8>, header: usize, size: usize },
}

fn first_byte(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match source.fill_buf() {
            Ok(buffer) => return Ok(buffer.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The tar stream, chunk by chunk and in order. As a [`Read`], its errors carry a
/// [`DecodeError`].
#[derive(Debug)]
pub(crate) struct Chunks {
    slots: Receiver<Slot>,
    tap: Option<Sender<Chunk>>,
    current: Option<Chunk>,
    at: usize,
    decoded: Arc<AtomicU64>,
    blob_bytes: Arc<AtomicU64>,
}

impl Chunks {
    /// Bytes of tar in all chunks so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// Bytes of the blob that were read so far, those not yet decoded included.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.blob_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the current chunk not yet taken. At zero, the next read waits for a new chunk.
    pub(crate) fn available(&self) -> usize {
        self.current.as_ref().map_or(0, |chunk| chunk.len() - self.at)
    }

    /// Waits for the next chunk; false at the end. The current one must be used up.
    pub(crate) fn advance(&mut self) -> Result<bool, DecodeError> {
        debug_assert_eq!(self.available(), 0);
        // Dropped before waiting: its bytes may be what the next chunk waits for.
        self.current = None;
        self.at = 0;
        let Ok(slot) = self.slots.recv() else { return Ok(false) };
        // A worker that panicked drops its end; the panic itself surfaces when it is joined.
        let chunk = slot.recv().map_err(|_| DecodeError::Cancelled)??;
        self.decoded.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if let Some(tap) = &self.tap {
            // The hasher lives as long as this end of its channel.
            let _ = tap.send(chunk.clone());
        }
        self.current = Some(chunk);
        Ok(true)
    }

    /// Up to `most` bytes of the current chunk, without a copy.
    pub(crate) fn take(&mut self, most: u64) -> Option<Slice> {
        let available = self.available();
        let chunk = self.current.as_ref().filter(|_| available > 0)?;
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(available);
        let slice = Slice::new(chunk.clone(), self.at..self.at + count);
        self.at += count;
        Some(slice)
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.available() == 0 {
            if !self.advance().map_err(|error| io::Error::new(error.io_kind(), error))? {
                return Ok(0);
            }
        }
        let Some(chunk) = &self.current else { return Ok(0) };
        let count = buffer.len().min(chunk.len() - self.at);
        buffer[..count].copy_from_slice(&chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
