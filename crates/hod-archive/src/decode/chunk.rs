//! Decoded bytes on their way through the threads, within a budget.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::gzip::MOST_MEMBER;

/// Bytes that may be in flight. What is taken is given back when the [`Chunk`] is dropped, by
/// whichever thread is done with it last; its buffer is used again, since the first use of new memory
/// costs the system as much as inflating into it a tenth of the time.
///
/// Several pipelines may share one: whoever waits for bytes needs none of the other's progress to
/// give back its own.
#[derive(Debug)]
pub(crate) struct Budget {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    available: usize,
    buffers: Vec<Vec<u8>>,
    /// What the buffers hold together.
    kept: usize,
    /// What they may hold.
    most_kept: usize,
    /// For members as they are in the blob.
    packed: Vec<Vec<u8>>,
    most_packed: usize,
}

/// A chunk of no bytes still costs its place in the queues.
const LEAST: usize = 1 << 10;

impl Budget {
    /// For so many threads that inflate: at least the largest member twice, packed and unpacked, or
    /// nothing could ever start.
    pub(crate) fn new(jobs: usize) -> Arc<Self> {
        let available = 2 * (MOST_MEMBER + (1 << 20)) + jobs * (4 << 20);
        let (buffers, packed) = (Vec::new(), Vec::new());
        // More would only be cold memory.
        let (most_kept, most_packed) = ((jobs + 1) * (4 << 20), 2 * jobs + 2);
        let state = State { available, buffers, kept: 0, most_kept, packed, most_packed };
        Arc::new(Self { state: Mutex::new(state), freed: Condvar::new() })
    }

    /// Waits until `bytes` may be used, `room` of them for the chunk. Whoever takes must take in the order of the stream, so
    /// that the chunk everybody waits for always has its share already.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize, room: usize) -> Permit {
        let bytes = bytes.max(LEAST);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.available < bytes {
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.available -= bytes;
        // A buffer much larger than its chunk would hold more than was taken.
        let fits = |buffer: &Vec<u8>| (room..=2 * room).contains(&buffer.capacity());
        let found = state.buffers.iter().rposition(fits);
        let buffer = found.map(|at| state.buffers.swap_remove(at)).unwrap_or_default();
        state.kept -= buffer.capacity();
        Permit { bytes, buffer, budget: Arc::clone(self) }
    }
}

/// A used buffer that is larger is not kept for the next member.
const MOST_PACKED: usize = 2 << 20;

impl Budget {
    /// A buffer for a member, with whatever a former one left in it.
    pub(crate) fn spare(&self) -> Vec<u8> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).packed.pop().unwrap_or_default()
    }

    /// Takes such a buffer back.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.packed.len() < state.most_packed && buffer.capacity() <= MOST_PACKED {
            state.packed.push(buffer);
        }
    }
}

/// The right to hold some bytes, and a buffer for them.
pub(crate) struct Permit {
    bytes: usize,
    buffer: Vec<u8>,
    budget: Arc<Budget>,
}

impl Permit {
    /// `size` bytes of room, with whatever a former use left in them.
    pub(crate) fn room(&mut self, size: usize) -> &mut [u8] {
        // A used buffer is not cleared, only grown: clearing would cost as much as hashing half.
        if self.buffer.len() < size {
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        &mut self.buffer[..size]
    }

    /// The first `length` bytes of the room, as a chunk.
    pub(crate) fn into_chunk(self, length: usize) -> Chunk {
        debug_assert!(length <= self.buffer.len());
        Chunk(Arc::new(Filled { permit: self, length }))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.available += self.bytes;
        let size = self.buffer.capacity();
        if size > 0 && state.kept + size <= state.most_kept {
            state.kept += size;
            state.buffers.push(std::mem::take(&mut self.buffer));
        }
        drop(state);
        self.budget.freed.notify_all();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.bytes)
    }
}

/// Consecutive bytes of the tar stream, shared without copying.
#[derive(Debug, Clone)]
pub(crate) struct Chunk(Arc<Filled>);

#[derive(Debug)]
struct Filled {
    permit: Permit,
    length: usize,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.permit.buffer[..self.0.length]
    }
}

/// A part of a chunk, which keeps the whole chunk in memory.
#[derive(Debug)]
pub(crate) struct Slice {
    chunk: Chunk,
    range: Range<usize>,
}

impl Slice {
    pub(crate) fn new(chunk: Chunk, range: Range<usize>) -> Self {
        debug_assert!(range.end <= chunk.len());
        Self { chunk, range }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.chunk[self.range.clone()]
    }
}
