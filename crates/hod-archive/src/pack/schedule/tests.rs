//! The schedule alone, with readers that do nothing but take their time, give batches back half
//! done and put listings off whenever they may. In unit tests few names are known ahead.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::list::{EntryKind, Listing, join};
use super::*;

/// A tree that exists as numbers only: what a directory holds depends on its path alone.
fn listing(key: &Key, path: &[u8]) -> Listing {
    let depth = if path.is_empty() { 0 } else { path.split(|&byte| byte == b'/').count() };
    let sum: usize = path.iter().map(|&byte| usize::from(byte)).sum();
    let (files, directories) = match depth {
        0 => (3, 9),
        1 => (sum % 40, sum % 6),
        2 => (sum % 7, sum % 3),
        _ => (sum % 30, 0),
    };
    let files = (0..files).map(|n| (format!("f{n:03}"), EntryKind::Regular));
    let directories = (0..directories).map(|n| (format!("d{n}"), EntryKind::Directory));
    Listing::of(key.clone(), path.to_vec(), files.chain(directories))
}

/// What should come out.
fn expected(path: &[u8], out: &mut Vec<Vec<u8>>) {
    let listing = listing(&Key::root(), path);
    out.push(path.to_vec());
    out.extend(listing.files.iter().map(|file| listing.path_of(*file)));
    for directory in &listing.directories {
        expected(&listing.path_of(*directory), out);
    }
}

/// Numbers that differ from call to call.
struct Dice(AtomicUsize);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let step = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        ((step ^ (step >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % sides
    }

    fn dawdle(&self) {
        match self.roll(8) {
            0 => std::thread::sleep(Duration::from_micros(self.roll(400) as u64)),
            1..4 => std::thread::yield_now(),
            _ => {}
        }
    }
}

fn serve(schedule: &Schedule, dice: &Dice, fail_at: Option<&[u8]>) {
    while let Some(task) = schedule.take(1 + dice.roll(9)) {
        dice.dawdle();
        match &task.work {
            Work::List { path } if fail_at == Some(path) => {
                schedule.failed(&task, PackError::FileSystemRoot);
            }
            // As a directory does that turns out to be large.
            Work::List { .. } if !task.urgent && dice.roll(3) == 0 => schedule.postpone(task),
            Work::List { path } => schedule.listed(&task, listing(&task.key, path)),
            Work::Files { listing, from, to } => {
                let count = 1 + dice.roll(to - from);
                schedule.read(&task, Batch::of(listing, *from, count, dice.roll(200_000)));
            }
        }
    }
}

/// Everything the schedule gives, with its end.
fn run(shares: usize, readers: usize, seed: usize, fail_at: Option<&[u8]>) -> (Vec<Vec<u8>>, bool) {
    let schedule = Schedule::new(shares);
    let dice = Dice(AtomicUsize::new(seed));
    let mut out = Vec::new();
    let ended = std::thread::scope(|scope| {
        let _close = CloseOnDrop(&schedule);
        let mut running = 0;
        loop {
            match schedule.next(running < readers) {
                Ok(Next::Output(Output::Directory(listing))) => out.push(listing.path.clone()),
                Ok(Next::Output(Output::Batch(batch))) => {
                    let names = batch.entries().take(batch.len());
                    out.extend(
                        names.map(|name| join(&batch.listing.path, batch.listing.name(*name))),
                    );
                    dice.dawdle();
                }
                Ok(Next::Waited { starved: true }) if running < readers => {
                    running += 1;
                    scope.spawn(|| serve(&schedule, &dice, fail_at));
                }
                Ok(Next::Waited { .. }) => {}
                Ok(Next::End) => break true,
                Err(_) => break false,
            }
        }
    });
    if ended {
        let state = schedule.lock();
        assert_eq!(state.bytes_ahead, 0, "every byte that was counted is counted off");
        assert_eq!(state.names_ahead, 0, "so is every name");
        assert!(state.ready.is_empty() && state.slots.is_empty());
    }
    (out, ended)
}

/// Ends the whole run if `then` hangs.
fn watched(then: impl FnOnce()) {
    let (done, watch) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let waited = watch.recv_timeout(Duration::from_secs(60));
        if waited == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the schedule hangs");
            std::process::abort();
        }
    });
    then();
    drop(done);
}

#[test]
fn whatever_the_readers_do_results_come_out_once_and_in_order() {
    let mut everything = Vec::new();
    expected(b"", &mut everything);
    watched(|| {
        for seed in 0..60 {
            let shares = [1, 64, 1000, usize::MAX][seed % 4];
            let (out, ended) = run(shares, 1 + seed % 9, seed * 7919, None);
            assert!(ended && out == everything, "seed {seed}");
        }
    });
}

#[test]
fn a_failure_comes_in_its_turn_and_ends_everything() {
    let mut everything = Vec::new();
    expected(b"", &mut everything);
    let directory = b"d5".as_slice();
    let turn = everything.iter().position(|path| path == directory).expect("it is in the tree");
    watched(|| {
        for seed in 0..40 {
            let (out, ended) = run([1, 1000][seed % 2], 1 + seed % 9, seed, Some(directory));
            assert!(!ended && out == everything[..turn], "seed {seed}");
        }
    });
}
