//! Decoded bytes on their way through the threads, within a budget.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes that may be in flight. What is taken is given back when the [`Chunk`] is dropped, by
/// whichever thread is done with it last; its buffer is used again.
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
}

/// What buffers may wait for the next chunk; more would only be cold memory.
const MOST_KEPT: usize = 8 << 20;
/// A chunk of no bytes still costs its place in the queues.
const LEAST: usize = 1 << 10;

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let state = State { available: bytes, buffers: Vec::new(), kept: 0 };
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
        let is_fit = state.buffers.last().is_some_and(|buffer| buffer.capacity() <= 2 * room);
        let buffer = if is_fit { state.buffers.pop() } else { None }.unwrap_or_default();
        state.kept -= buffer.capacity();
        Permit { bytes, buffer, budget: Arc::clone(self) }
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
        if size > 0 && state.kept + size <= MOST_KEPT {
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
