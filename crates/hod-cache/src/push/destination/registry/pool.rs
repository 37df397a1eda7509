//! Threads that wait for a network, and the bytes that wait for them.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs in the order in which they come, so many at a time. Dropped, it ends when all of them
/// are done.
pub(super) struct Pool {
    most: usize,
    jobs: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { most: most.max(1), jobs: Some(jobs), queue, threads: Mutex::default() }
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // Threads come with the work: most pushes have none.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.len() < self.most {
            let queue = Arc::clone(&self.queue);
            threads.push(std::thread::spawn(move || work(&queue)));
        }
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        let _ = jobs.send(Box::new(job));
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Bytes that were packed and are not sent yet: packing waits where the network is slower.
pub(super) struct Budget {
    most: u64,
    taken: Mutex<u64>,
    changed: Condvar,
}

impl Budget {
    pub(super) fn new(most: u64) -> Self {
        Self { most, taken: Mutex::new(0), changed: Condvar::new() }
    }

    /// Waits until there is room for something.
    pub(super) fn wait(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= self.most {
            taken = self.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn take(&self, bytes: u64) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    pub(super) fn give_back(&self, bytes: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(bytes);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_pool_ends_when_its_work_is_done() {
        let done = Arc::new(AtomicUsize::new(0));
        let pool = Pool::new(3);
        for _ in 0..50 {
            let done = Arc::clone(&done);
            pool.run(move || {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        drop(pool);
        assert_eq!(done.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn packing_waits_for_room() {
        let budget = Arc::new(Budget::new(10));
        budget.take(10);
        let waiting = {
            let budget = Arc::clone(&budget);
            std::thread::spawn(move || budget.wait())
        };
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!waiting.is_finished());
        budget.give_back(1);
        waiting.join().unwrap();
    }
}
