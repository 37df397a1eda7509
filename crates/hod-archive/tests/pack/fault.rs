//! Trees that do not hold still, sinks that fail, callers that change their minds: an error that
//! names its cause or a correct archive, never a wrong one, and never silence.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use hod_archive::{
    Cancel, Codec, Encoders, Inspect, InspectFile, LastEntry, Level, Mark, PackError, PackOptions,
    pack,
};

use crate::archive::members;
use crate::tree::{Tree, chmod, noise};
use crate::{LAST, encoding, note, plain, try_pack};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the whole test run should `then` hang: a thread that waits for ever cannot be failed.
pub(crate) fn watched<T>(then: impl FnOnce() -> T) -> T {
    let (done, watch) = channel::<()>();
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    std::thread::spawn(move || {
        if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            last_words(&name);
            std::process::abort();
        }
    });
    let result = then();
    drop(done);
    result
}

#[expect(clippy::print_stderr, reason = "the last words before the run is ended")]
fn last_words(name: &str) {
    eprintln!("{name} hangs");
}

/// Does something at the moment a file of the tree is looked at.
struct At<F>(&'static [u8], F);

impl<F: Fn() + Sync> Inspect for At<F> {
    type File<'a>
        = ()
    where
        F: 'a;

    fn begin(&self, name: &[u8]) -> Option<()> {
        if name == self.0 {
            (self.1)();
        }
        None
    }

    fn link(&self, name: &[u8], _: &[u8]) -> Option<Mark> {
        self.begin(name);
        None
    }
}

/// One reader takes files in archive order, so what `act` does at `name` is before what follows.
fn disturbed(
    tree: &Tree,
    name: &'static [u8],
    act: impl Fn() + Sync,
) -> Result<Vec<u8>, PackError> {
    let options = PackOptions { io_jobs: 1, ..plain() };
    let at = At(name, act);
    watched(|| try_pack(tree.prefix(), &options, &at, Some("{}")).map(|(_, tar)| tar))
}

/// Something that happens to a tree.
type Change = fn(&Tree);

/// The file an error names.
fn named(error: &PackError) -> PathBuf {
    match error {
        PackError::List { path, .. }
        | PackError::Read { path, .. }
        | PackError::Vanished { path }
        | PackError::Changed { path, .. } => path.clone(),
        other => panic!("{other:?} names no file"),
    }
}

#[test]
fn a_file_that_vanishes_after_it_was_listed_is_an_error_that_names_it() {
    for length in [10, 300_000] {
        let tree = Tree::new(&format!("a 644 x\nb 644 *{length}"));
        let error = disturbed(&tree, b"a", || fs_err::remove_file(tree.path("b")).unwrap());
        let error = error.unwrap_err();
        assert!(matches!(error, PackError::Vanished { .. }), "{error:?}");
        assert_eq!(named(&error), tree.path("b"));
    }
}

#[test]
fn a_link_that_vanishes_or_becomes_a_file_is_an_error_that_names_it() {
    for becomes_file in [false, true] {
        let tree = Tree::new("a 644 x\nb -> a");
        let act = || {
            fs_err::remove_file(tree.path("b")).unwrap();
            if becomes_file {
                tree.grow("b 644 x");
            }
        };
        assert_eq!(named(&disturbed(&tree, b"a", act).unwrap_err()), tree.path("b"));
    }
}

#[test]
fn a_file_that_becomes_something_else_is_an_error_that_names_it() {
    let becomes: [Change; 3] =
        [|tree| tree.grow("b -> /etc/hostname"), |tree| tree.grow("b/"), |tree| tree.fifo("b")];
    for become_other in becomes {
        let tree = Tree::new("a 644 x\nb 644 y");
        let act = || {
            fs_err::remove_file(tree.path("b")).unwrap();
            become_other(&tree);
        };
        assert_eq!(named(&disturbed(&tree, b"a", act).unwrap_err()), tree.path("b"));
    }
}

#[test]
fn a_directory_that_vanishes_after_it_was_listed_is_an_error_that_names_it() {
    for directory in ["sub", ".spack"] {
        let tree = Tree::new(&format!("a 644 x\n{directory}/file 644 x"));
        let act = || fs_err::remove_dir_all(tree.path(directory)).unwrap();
        let Err(error) = disturbed(&tree, b"a", act) else { panic!("{directory}") };
        assert_eq!(named(&error), tree.path(directory));
    }
}

#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    let tree = Tree::new("a 644 x\nsub/file 644 x\nz/other 644 y");
    let act = || {
        fs_err::remove_dir_all(tree.path("sub")).unwrap();
        tree.grow("sub -> z");
    };
    assert_eq!(named(&disturbed(&tree, b"a", act).unwrap_err()), tree.path("sub"));
}

#[test]
fn a_file_that_grows_before_it_is_opened_is_packed_as_it_is_then() {
    let tree = Tree::new("a 644 x\nb 644 y");
    let act = || fs_err::write(tree.path("b"), noise(400_000)).unwrap();
    let tar = disturbed(&tree, b"a", act).unwrap();
    let members = members(&tar);
    let grown = members.iter().find(|member| member.name.ends_with(b"/b")).unwrap();
    assert!(grown.content == noise(400_000));
}

/// Does something when the first piece of a large file was read.
struct Midway<F>(AtomicBool, F);

struct Piece<'a, F>(&'a Midway<F>);

impl<F: Fn() + Sync> Inspect for Midway<F> {
    type File<'a>
        = Piece<'a, F>
    where
        F: 'a;

    fn begin(&self, name: &[u8]) -> Option<Piece<'_, F>> {
        (name == b"large").then_some(Piece(self))
    }

    fn link(&self, _: &[u8], _: &[u8]) -> Option<Mark> {
        None
    }
}

impl<F: Fn() + Sync> InspectFile for Piece<'_, F> {
    fn push(&mut self, _: &[u8]) {
        if !self.0.0.swap(true, Ordering::Relaxed) {
            (self.0.1)();
        }
    }

    fn finish(self) -> Option<Mark> {
        None
    }
}

#[test]
fn a_large_file_that_changes_while_it_is_read_is_an_error_that_names_it() {
    let changes: [(&str, Change); 4] = [
        ("shrank", |tree| resize(tree, 2_000_000)),
        ("grew", |tree| resize(tree, 6_000_001)),
        ("changed", |tree| {
            let file = fs_err::OpenOptions::new().write(true).open(tree.path("large")).unwrap();
            std::os::unix::fs::FileExt::write_all_at(file.file(), b"other", 5_000_000).unwrap();
        }),
        ("is another's", |tree| chmod(&tree.path("large"), 0o755)),
    ];
    for (what, change) in changes {
        let tree = Tree::new("large 644 *6000000");
        std::thread::sleep(Duration::from_millis(20));
        let midway = Midway(AtomicBool::new(false), || change(&tree));
        let error = watched(|| try_pack(tree.prefix(), &plain(), &midway, None)).expect_err(what);
        assert!(matches!(error, PackError::Changed { .. }), "{what}: {error:?}");
        assert_eq!(named(&error), tree.path("large"));
    }
}

fn resize(tree: &Tree, length: u64) {
    let file = fs_err::OpenOptions::new().write(true).open(tree.path("large")).unwrap();
    file.set_len(length).unwrap();
}

#[test]
fn whatever_a_writer_does_meanwhile_the_archive_holds_what_was_there_at_one_moment() {
    let tree = Tree::new("dir/small 644 aaaa\nlarge 644 x\nzz/after 644 x");
    let fill = |letter: u8| vec![letter; 300_000 + usize::from(letter) * 1000];
    fs_err::write(tree.path("large"), fill(b'a')).unwrap();
    let over = AtomicBool::new(false);
    let (mut packed, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for letter in (b'a'..=b'z').cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                fs_err::write(tree.path("large"), fill(letter)).unwrap();
                fs_err::write(tree.path("dir/small"), vec![letter; usize::from(letter)]).unwrap();
                std::thread::sleep(Duration::from_micros(u64::from(letter) * 20));
            }
        });
        for _ in 0..150 {
            match watched(|| try_pack(tree.prefix(), &plain(), &(), None)) {
                Ok((_, tar)) => {
                    packed += 1;
                    for member in members(&tar).iter().filter(|member| member.kind == b'0') {
                        let first = member.content.first();
                        let same = member.content.iter().all(|byte| Some(byte) == first);
                        assert!(same, "{} is of two moments", member.name.escape_ascii());
                    }
                }
                Err(error) => {
                    refused += 1;
                    let file = named(&error);
                    assert!(
                        file == tree.path("large") || file == tree.path("dir/small"),
                        "{error:?}"
                    );
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(packed + refused, 150);
}

#[test]
fn a_file_that_takes_the_inode_of_a_linked_one_is_not_taken_for_it() {
    let tree = Tree::new("1/first 644 first\n2/m 644 x\n3/z 644 placeholder");
    fs_err::hard_link(tree.path("1/first"), tree.beside("outside")).unwrap();
    let inode = |path: PathBuf| rustix::fs::lstat(path).unwrap().st_ino;
    let old = inode(tree.path("1/first"));
    let position = AtomicU64::new(0);
    let reused = AtomicBool::new(false);
    let act = || {
        // Until the first file is in the archive.
        let start = Instant::now();
        while position.load(Ordering::Relaxed)
            < 512 * tree.prefix().components().count() as u64 + 1024
        {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        fs_err::remove_file(tree.path("1/first")).unwrap();
        fs_err::remove_file(tree.path("3/z")).unwrap();
        fs_err::remove_file(tree.beside("outside")).unwrap();
        for number in 0..200 {
            let candidate = tree.beside(&format!("new{number}"));
            fs_err::write(&candidate, "SECOND").unwrap();
            if inode(candidate.clone()) == old {
                fs_err::hard_link(&candidate, tree.path("3/z")).unwrap();
                return reused.store(true, Ordering::Relaxed);
            }
        }
        tree.grow("3/z 644 SECOND");
    };
    let options = PackOptions { io_jobs: 1, ..plain() };
    let progress = |bytes: u64| position.store(bytes, Ordering::Relaxed);
    let mut tar = Vec::new();
    let at = At(b"2/m", act);
    let encoders = Encoders::new(1);
    let result =
        watched(|| pack(tree.prefix(), &mut tar, &encoders, &options, &at, None, &progress));
    if !reused.load(Ordering::Relaxed) {
        note("this file system does not use an inode number again soon");
    }
    match result {
        Err(error) => assert_eq!(named(&error), tree.path("3/z")),
        Ok(_) => assert_eq!(members(&tar).last().unwrap().content, b"SECOND"),
    }
}

/// Takes so many bytes, then says that the disk is full.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_is_full_after_any_number_of_bytes_is_a_write_error() {
    let tree = Tree::new("a 644 *700000\nb/large 644 *5000000\nc 644 *200000\nd/e/f 644 x");
    let encoders = Encoders::new(2);
    for encoding in [encoding(Codec::None, Level::Default), encoding(Codec::Gzip, Level::Fast)] {
        let options = PackOptions { encoding, ..PackOptions::default() };
        let mut whole = Vec::new();
        pack(tree.prefix(), &mut whole, &encoders, &options, &(), None, &|_| {}).unwrap();
        let many = (0..9).map(|step| step * whole.len() / 9).chain([1, 9, 19, 20, 21]);
        for room in many.chain((1..4).map(|before| whole.len() - before)) {
            let error = watched(|| {
                pack(tree.prefix(), Full(room), &encoders, &options, &(), None, &|_| {})
            });
            let PackError::Write { source } = error.unwrap_err() else { panic!("{room}") };
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        let exact = Full(whole.len());
        watched(|| pack(tree.prefix(), exact, &encoders, &options, &(), None, &|_| {})).unwrap();
    }
}

#[test]
fn a_full_sink_is_the_story_even_when_the_tree_fails_too() {
    let tree = Tree::new("a 644 *9000000\nz 644 x");
    let act = || fs_err::remove_file(tree.path("z")).unwrap();
    let at = At(b"a", act);
    let error =
        watched(|| pack(tree.prefix(), Full(0), &Encoders::new(1), &plain(), &at, None, &|_| {}));
    assert!(matches!(error, Err(PackError::Write { .. })), "{error:?}");
}

#[test]
fn a_pack_that_is_cancelled_at_any_moment_ends_soon() {
    let tree = Tree::new("a 644 *700000\nb/large 644 *5000000\nc 644 *200000");
    for number in 0..400 {
        tree.grow(&format!("many/{}/{number} 644 x", number % 20));
    }
    let encoders = Encoders::new(2);
    let mut cancelled = 0;
    for step in 0..25 {
        let options = PackOptions { cancel: Cancel::default(), ..PackOptions::default() };
        let cancel = options.cancel.clone();
        let result = watched(|| {
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(step * step * 100));
                    cancel.cancel();
                });
                pack(tree.prefix(), io::sink(), &encoders, &options, &(), None, &|_| {})
            })
        });
        match result {
            Err(PackError::Cancelled) => cancelled += 1,
            result => assert!(result.is_ok(), "{result:?}"),
        }
    }
    assert!(cancelled > 0);
}

#[test]
fn a_pack_in_the_middle_of_a_large_file_can_be_cancelled() {
    let tree = Tree::new("large 644");
    resize(&tree, 1 << 30);
    let options = plain();
    let cancel = options.cancel.clone();
    let midway = Midway(AtomicBool::new(false), move || cancel.cancel());
    let seen = AtomicU64::new(0);
    let progress = |bytes| seen.store(bytes, Ordering::Relaxed);
    let encoders = Encoders::new(1);
    let written = Mutex::new(0_u64);
    let sink = Count(&written);
    let result =
        watched(|| pack(tree.prefix(), sink, &encoders, &options, &midway, None, &progress));
    assert!(matches!(result, Err(PackError::Cancelled)), "{result:?}");
    let written = *written.lock().unwrap();
    assert!(written < 64 << 20, "{written} bytes were packed after the caller said stop");
}

/// Counts bytes and nothing more.
struct Count<'a>(&'a Mutex<u64>);

impl Write for Count<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0.lock().unwrap() += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_of_whoever_looks_at_the_files_reaches_the_caller() {
    let tree = Tree::new("a 644 x\nb/c 644 y\nlarge 644 *3000000\nlink -> a\nz/1 644\nz/2 644");
    for name in [&b"a"[..], b"b/c", b"large", b"link", b"z/2"] {
        for io_jobs in [1, 8] {
            let options = PackOptions { io_jobs, ..plain() };
            let at = At(name, || panic!("a fault of the inspector (this is a test)"));
            let result = watched(|| {
                catch_unwind(AssertUnwindSafe(|| try_pack(tree.prefix(), &options, &at, None)))
            });
            assert!(result.is_err(), "{}", name.escape_ascii());
        }
    }
}

#[test]
fn a_panic_of_whoever_makes_the_last_entry_or_hears_of_progress_reaches_the_caller() {
    let tree = Tree::new("a 644 x\nlarge 644 *3000000");
    let encoders = Encoders::new(1);
    let silent = |_: u64| {};
    let loud = |_: u64| panic!("a fault of the listener (this is a test)");
    let run = |progress: &(dyn Fn(u64) + Sync), broken: bool| {
        let mut content = |_: hod_archive::BeforeLast<'_>| {
            assert!(!broken, "a fault of the author (this is a test)");
            Vec::new()
        };
        let last = Some(LastEntry { name: LAST, content: &mut content });
        pack(tree.prefix(), io::sink(), &encoders, &plain(), &(), last, progress)
    };
    watched(|| {
        assert!(catch_unwind(AssertUnwindSafe(|| run(&silent, true))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| run(&loud, false))).is_err());
        run(&silent, false).unwrap();
    });
}

#[test]
fn readers_without_room_to_read_ahead_get_through_in_order() {
    let tree = Tree::new("a 644 *700000\nz/large 644 *900000");
    for number in 0..300 {
        tree.grow(&format!("d{}/e{}/{number} 644 *{}", number % 7, number % 3, number * 40));
    }
    let encoders = Encoders::new(2);
    let expected = crate::tar_of(tree.prefix());
    // Each pack has its share of the memory: of a share this small, no byte is left.
    for shares in [100, 1000, usize::MAX] {
        for round in 0..30 {
            let options = PackOptions { shares, io_jobs: 1 + round, ..plain() };
            let mut tar = Vec::with_capacity(expected.len());
            let slow = At(b"d3/e1/10", || std::thread::sleep(Duration::from_millis(2)));
            watched(|| pack(tree.prefix(), &mut tar, &encoders, &options, &slow, None, &|_| {}))
                .unwrap();
            assert!(tar == expected, "{shares} shares, {} readers", 1 + round);
        }
    }
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_that_names_it() {
    if rustix::process::geteuid().is_root() {
        return note("root may read everything");
    }
    for (table, path) in [("a 644 x\nsecret 0 y", "secret"), ("a 644 x\nd/e 644 x", "d")] {
        let tree = Tree::new(table);
        chmod(&tree.path(path), 0);
        let error = try_pack(tree.prefix(), &plain(), &(), None).unwrap_err();
        assert_eq!(named(&error), tree.path(path));
        chmod(&tree.path(path), 0o700);
    }
}
