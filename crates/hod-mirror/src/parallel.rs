//! A few threads, one queue, results in the order of the items.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hod_archive::Cancel;

use crate::error::Error;

/// Runs `work` on every item, on up to `jobs` threads.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    jobs: NonZeroUsize,
    cancel: &Cancel,
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>, Error> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let work_on_queue = || {
        while !cancel.is_cancelled() {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { break };
            let result = work(item);
            results.lock().expect("no thread panics while it pushes").push((position, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.get().min(items.len()) {
            scope.spawn(work_on_queue);
        }
        work_on_queue();
    });
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let mut results = results.into_inner().expect("no thread panics while it pushes");
    results.sort_by_key(|(position, _)| *position);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
