//! The threads that encode blocks, shared by all packs of a run, and the sequence in which their
//! results come back.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{Block, BlockEncoder, Encoded, Encoding};

struct Job {
    encoding: Encoding,
    block: Block,
    out: Vec<u8>,
    reply: Sender<io::Result<Encoded>>,
}

/// Encoding threads. One set serves any number of packs at once.
#[derive(Debug)]
pub struct Encoders {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Encoders {
    /// Starts `jobs` threads (at least one).
    pub fn new(jobs: usize) -> Self {
        let (sender, receiver) = unbounded::<Job>();
        let threads = (0..jobs.max(1))
            .map(|_| {
                let receiver = receiver.clone();
                std::thread::spawn(move || serve(&receiver))
            })
            .collect();
        Self { jobs: sender, threads }
    }

    /// How many threads encode.
    pub fn jobs(&self) -> usize {
        self.threads.len()
    }
}

impl Drop for Encoders {
    fn drop(&mut self) {
        let (closed, _) = bounded(0);
        drop(std::mem::replace(&mut self.jobs, closed));
        for thread in self.threads.drain(..) {
            // A panic there has already reached the pack that waited for the reply.
            let _ = thread.join();
        }
    }
}

fn serve(jobs: &Receiver<Job>) {
    let mut current: Option<(Encoding, BlockEncoder)> = None;
    for Job { encoding, block, out, reply } in jobs {
        let encoder = match &mut current {
            Some((of, encoder)) if *of == encoding => Ok(encoder),
            stale => BlockEncoder::new(encoding).map(|new| &mut stale.insert((encoding, new)).1),
        };
        // A pack that has given up no longer listens.
        let _ = reply.send(encoder.and_then(|encoder| encoder.encode(block, out)));
    }
}

/// A block under way: its result comes through here.
pub(crate) type Pending = Receiver<io::Result<Encoded>>;

/// One pack's way through the pool: hands out buffers and sends blocks.
#[derive(Debug)]
pub(crate) struct Sequence<'e> {
    encoders: &'e Encoders,
    encoding: Encoding,
    spent: Receiver<(Block, Vec<u8>)>,
}

impl<'e> Sequence<'e> {
    /// `spent` returns used buffers from whoever writes the results.
    pub(crate) fn new(
        encoders: &'e Encoders,
        encoding: Encoding,
        spent: Receiver<(Block, Vec<u8>)>,
    ) -> Self {
        Self { encoders, encoding, spent }
    }

    /// Sends `block` and gives an empty one in exchange.
    pub(crate) fn encode(&self, block: Block) -> (Pending, Block) {
        let (reply, pending) = bounded(1);
        let (mut next, out) = self.spent.try_recv().unwrap_or_default();
        let job = Job { encoding: self.encoding, block, out, reply };
        // Fails only if every encoder thread died; the waiting writer then sees a closed channel.
        let _ = self.encoders.jobs.send(job);
        next.bytes.clear();
        next.window.clear();
        (pending, next)
    }
}
