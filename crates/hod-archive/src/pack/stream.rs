//! The tar stream: hashed as it grows, cut into blocks, encoded by other threads, written in
//! order.

use std::io::{self, Write};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, retry_on_intr};
use sha2::{Digest as _, Sha256};

use crate::encode::{Block, Encoders, Encoding, Framing, Pending, Sequence, window_of};
use crate::tar::RECORD;
use crate::{DiffId, Digest, DigestWriter};

/// The writing thread has given up; its error is the one to report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterGone;

/// A block on its way to the writer; with its offset if the last entry begins with it.
type InFlight = (Pending, Option<u64>);

/// The writing end.
pub(crate) struct TarStream<'e> {
    sequence: Sequence<'e>,
    block: Block,
    block_size: usize,
    wants_window: bool,
    sha256: Sha256,
    /// Bytes of the block that are hashed already.
    hashed: usize,
    /// Offset in the stream at which the block begins.
    begins: u64,
    last_entry: Option<u64>,
    in_flight: Sender<InFlight>,
}

/// The blob's end: to be run by a thread of its own.
pub(crate) struct BlobWriter {
    framing: Framing,
    in_flight: Receiver<InFlight>,
    spent: Sender<(Block, Vec<u8>)>,
}

/// Connects both ends. `depth` blocks may be between them.
pub(crate) fn stream(
    encoders: &Encoders,
    encoding: Encoding,
    depth: usize,
) -> (TarStream<'_>, BlobWriter) {
    let (in_flight, receiver) = bounded(depth);
    let (spent, returned) = unbounded();
    let framing = Framing::new(encoding);
    let mut stream = TarStream {
        sequence: Sequence::new(encoders, encoding, returned),
        block: Block::default(),
        block_size: encoding.block_size(),
        wants_window: framing.wants_window(),
        sha256: Sha256::new(),
        hashed: 0,
        begins: 0,
        last_entry: None,
        in_flight,
    };
    stream.block.bytes.reserve_exact(stream.block_size);
    (stream, BlobWriter { framing, in_flight: receiver, spent })
}

impl TarStream<'_> {
    /// Bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.begins + self.block.bytes.len() as u64
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriterGone> {
        while !bytes.is_empty() {
            let room = self.block_size - self.block.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.bytes.extend_from_slice(now);
            bytes = later;
            if self.block.bytes.len() == self.block_size {
                self.send()?;
            }
        }
        Ok(())
    }

    pub(crate) fn zeros(&mut self, count: usize) -> Result<(), WriterGone> {
        const ZEROS: [u8; 1024] = [0; 1024];
        let mut left = count;
        while left > 0 {
            let now = left.min(ZEROS.len());
            self.write(&ZEROS[..now])?;
            left -= now;
        }
        Ok(())
    }

    /// Reads once from `file`, straight into the block, and shows `look` what came. Gives the
    /// number of bytes, 0 at the end of the file.
    pub(crate) fn read_from(
        &mut self,
        file: &OwnedFd,
        look: impl FnOnce(&[u8]),
    ) -> Result<Result<usize, Errno>, WriterGone> {
        let start = self.block.bytes.len();
        let got = retry_on_intr(|| read(file, spare_capacity(&mut self.block.bytes)));
        look(&self.block.bytes[start..]);
        if self.block.bytes.len() >= self.block_size {
            // An allocator may give more than was asked for; blocks have one size all the same.
            let excess = self.block.bytes.split_off(self.block_size);
            self.send()?;
            self.block.bytes.extend_from_slice(&excess);
        }
        Ok(got)
    }

    fn hash(&mut self) {
        self.sha256.update(&self.block.bytes[self.hashed..]);
        self.hashed = self.block.bytes.len();
    }

    fn send(&mut self) -> Result<(), WriterGone> {
        self.hash();
        self.begins += self.block.bytes.len() as u64;
        self.hashed = 0;
        let window =
            if self.wants_window { window_of(&self.block.bytes).to_vec() } else { Vec::new() };
        let (pending, mut next) = self.sequence.encode(std::mem::take(&mut self.block));
        next.bytes.reserve_exact(self.block_size);
        next.window = window;
        self.block = next;
        self.in_flight.send((pending, self.last_entry.take())).map_err(|_| WriterGone)
    }

    /// The digest of everything so far.
    pub(crate) fn digest(&mut self) -> Digest {
        self.hash();
        Digest::from_bytes(self.sha256.clone().finalize().into())
    }

    /// Ends the block, so that the last entry begins with one of its own.
    pub(crate) fn begin_last_entry(&mut self) -> Result<(), WriterGone> {
        if !self.block.bytes.is_empty() {
            self.send()?;
        }
        self.last_entry = Some(self.begins);
        Ok(())
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> Result<(DiffId, u64), WriterGone> {
        let end = (self.position() + 1024).next_multiple_of(RECORD);
        self.zeros(usize::try_from(end - self.position()).expect("at most two records"))?;
        if !self.block.bytes.is_empty() {
            self.send()?;
        }
        Ok((DiffId(Digest::from_bytes(self.sha256.finalize().into())), self.begins))
    }
}

impl BlobWriter {
    /// Writes blocks as they become ready, until the stream ends. Returns the blob's digest and
    /// size.
    pub(crate) fn run(mut self, sink: impl Write) -> io::Result<(Digest, u64)> {
        let mut blob = DigestWriter::new(sink);
        blob.write_all(&self.framing.begin())?;
        for (pending, last_entry) in &self.in_flight {
            let encoded = pending
                .recv()
                .map_err(|_| io::Error::other("an encoder thread ended unexpectedly"))??;
            self.framing.block(&encoded, last_entry);
            blob.write_all(encoded.bytes())?;
            // The stream may have ended and no longer wants its buffers.
            let _ = self.spent.send(encoded.into_buffers());
        }
        blob.write_all(&self.framing.end())?;
        blob.flush()?;
        let (_, digest, size) = blob.complete();
        Ok((digest, size))
    }
}
