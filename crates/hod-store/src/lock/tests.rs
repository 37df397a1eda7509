//! Locks between threads, between processes of ours, and between Python's `lockf`, which is what
//! Spack calls, and ours.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, mpsc};

use fs_err as fs;
use rstest::rstest;

use super::*;

const FAR: u64 = (1 << 62) + 12_345;
const LAST: u64 = i64::MAX as u64;
const OFFER: Patience<'static> =
    Patience { on_wait: &|_| {}, is_cancelled: &|| false, timeout: Some(Duration::ZERO) };

fn place() -> (tempfile::TempDir, LockFile) {
    let place = tempfile::tempdir().unwrap();
    let file = LockFile::open(&place.path().join("lock")).unwrap();
    (place, file)
}

fn is_free(file: &LockFile, span: Span, mode: Mode) -> bool {
    match file.lock(span, mode, &OFFER) {
        Ok(_) => true,
        Err(Error::Locked { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Another process that locks when told to: Python as Spack calls it, or this program again.
struct Other {
    child: Child,
    answers: BufReader<ChildStdout>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Python,
    Rust,
}

const SCRIPT: &str = r"
import fcntl, os, sys
f = os.fdopen(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), 'rb+')
for line in sys.stdin:
    op, length, start = line.split()
    op = {'shared': fcntl.LOCK_SH, 'exclusive': fcntl.LOCK_EX, 'unlock': fcntl.LOCK_UN}[op]
    try:
        fcntl.lockf(f.fileno(), op | (0 if op == fcntl.LOCK_UN else fcntl.LOCK_NB),
                    int(length), int(start), os.SEEK_SET)
        print('yes', flush=True)
    except (BlockingIOError, PermissionError):
        print('no', flush=True)
";

impl Other {
    /// `None` where there is no Python.
    fn start(kind: Kind, file: &LockFile) -> Option<Self> {
        let mut command = match kind {
            Kind::Python => {
                let mut command = Command::new("python3");
                command.args(["-c", SCRIPT]).arg(file.path());
                command
            }
            Kind::Rust => {
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["--exact", "lock::tests::the_other_process", "--nocapture"]);
                command.env("HOD_TEST_LOCK_FILE", file.path());
                command
            }
        };
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(_) if env::var_os("HOD_TEST_REQUIRE_ALL").is_none() => {
                println!("skipped: no python3");
                return None;
            }
            Err(error) => panic!("python3 is required: {error}"),
        };
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, answers })
    }

    fn ask(&mut self, what: &str, span: Span) -> bool {
        let (length, start) = match span {
            Span::Whole => (0, 0),
            Span::Byte(byte) => (1, byte),
        };
        writeln!(self.child.stdin.as_ref().unwrap(), "{what} {length} {start}").unwrap();
        loop {
            let mut answer = String::new();
            assert!(self.answers.read_line(&mut answer).unwrap() > 0, "the other process died");
            // The harness of a Rust child talks as well.
            match answer.trim_end().rsplit(' ').next() {
                Some("yes") => return true,
                Some("no") => return false,
                _ => {}
            }
        }
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// Not a test by itself: what [`Kind::Rust`] runs.
#[test]
fn the_other_process() {
    let Some(path) = env::var_os("HOD_TEST_LOCK_FILE") else { return };
    let file = LockFile::open(Path::new(&path)).unwrap();
    let mut held = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let start = words[2].parse().unwrap();
        let span = if words[1] == "0" { Span::Whole } else { Span::Byte(start) };
        let mode = match words[0] {
            "shared" => Mode::Shared,
            "exclusive" => Mode::Exclusive,
            _ => {
                held.retain(|lock: &Lock| lock.span() != span);
                println!("yes");
                continue;
            }
        };
        match file.lock(span, mode, &OFFER) {
            Ok(lock) => {
                held.push(lock);
                println!("yes");
            }
            Err(_) => println!("no"),
        }
    }
}

#[rstest]
fn processes_keep_each_other_out(
    #[values(Kind::Python, Kind::Rust)] kind: Kind,
    #[values(Span::Whole, Span::Byte(0), Span::Byte(FAR), Span::Byte(LAST))] span: Span,
) {
    let (_place, file) = place();
    let Some(mut other) = Other::start(kind, &file) else { return };

    // Ours first.
    let lock = file.lock(span, Mode::Shared, &OFFER).unwrap();
    assert!(!other.ask("exclusive", span));
    assert!(other.ask("shared", span));
    assert!(other.ask("unlock", span));
    drop(lock);
    let lock = file.lock(span, Mode::Exclusive, &OFFER).unwrap();
    assert!(!other.ask("shared", span));
    assert!(!other.ask("shared", Span::Whole));
    drop(lock);

    // The other's first.
    assert!(other.ask("exclusive", span));
    assert!(!is_free(&file, span, Mode::Shared));
    assert!(!is_free(&file, Span::Whole, Mode::Shared));
    let error = file.lock(span, Mode::Exclusive, &OFFER).unwrap_err();
    let text = format!("could not get the exclusive lock `{}`", file.path().display());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(error.to_string().ends_with(&format!("process {} holds it", other.pid())), "{error}");
    assert!(other.ask("unlock", span));
    assert!(other.ask("shared", span));
    assert!(is_free(&file, span, Mode::Shared));
    assert!(!is_free(&file, span, Mode::Exclusive));
    other.end();
    assert!(is_free(&file, span, Mode::Exclusive));
}

#[rstest]
fn bytes_are_locked_one_by_one(#[values(Kind::Python, Kind::Rust)] kind: Kind) {
    let (_place, file) = place();
    let Some(mut other) = Other::start(kind, &file) else { return };
    let lock = file.lock(Span::Byte(FAR), Mode::Exclusive, &OFFER).unwrap();
    assert!(other.ask("exclusive", Span::Byte(FAR + 1)));
    assert!(other.ask("exclusive", Span::Byte(FAR - 1)));
    assert!(!other.ask("shared", Span::Byte(FAR)));
    assert!(!is_free(&file, Span::Byte(FAR + 1), Mode::Shared));
    drop(lock);
    assert!(other.ask("shared", Span::Byte(FAR)));
    other.end();
}

#[rstest]
fn a_lock_changes_between_shared_and_exclusive(#[values(Kind::Python, Kind::Rust)] kind: Kind) {
    let (_place, file) = place();
    let Some(mut other) = Other::start(kind, &file) else { return };
    let span = Span::Byte(FAR);
    let mut lock = file.lock(span, Mode::Exclusive, &OFFER).unwrap();
    lock.downgrade().unwrap();
    assert_eq!(lock.mode(), Mode::Shared);
    assert!(other.ask("shared", span));
    assert!(!other.ask("exclusive", span));
    // While another shares it, it stays shared.
    assert!(matches!(lock.upgrade(&OFFER).unwrap_err(), Error::Locked { .. }));
    assert_eq!(lock.mode(), Mode::Shared);
    assert!(!other.ask("exclusive", span));
    assert!(other.ask("unlock", span));
    lock.upgrade(&OFFER).unwrap();
    assert!(!other.ask("shared", span));
    drop(lock);
    assert!(other.ask("exclusive", span));
    other.end();
}

#[rstest]
fn a_wait_for_another_process_is_told_and_ends_when_it_lets_go(
    #[values(Kind::Python, Kind::Rust)] kind: Kind,
) {
    let (_place, file) = place();
    let Some(mut other) = Other::start(kind, &file) else { return };
    assert!(other.ask("exclusive", Span::Whole));
    let pid = other.pid();
    let (told, hears) = mpsc::channel();
    thread::scope(|scope| {
        let file = &file;
        scope.spawn(move || {
            let on_wait = |waiting: &Waiting| told.send(waiting.clone()).unwrap();
            let patience = Patience { on_wait: &on_wait, ..Patience::default() };
            drop(file.lock(Span::Byte(FAR), Mode::Shared, &patience).unwrap());
        });
        let waiting = hears.recv().unwrap();
        assert_eq!((waiting.holder, waiting.mode), (Some(pid), Mode::Shared));
        assert!(other.ask("unlock", Span::Whole));
    });
    assert!(hears.recv().is_err(), "it is told once");
    other.end();
}

#[test]
fn a_second_handle_does_not_undo_a_lock_when_it_is_closed() {
    let (place, file) = place();
    let Some(mut other) = Other::start(Kind::Rust, &file) else { return };
    let lock = file.lock(Span::Whole, Mode::Exclusive, &OFFER).unwrap();
    let link = place.path().join("link");
    fs::hard_link(file.path(), &link).unwrap();
    drop(LockFile::open(file.path()).unwrap());
    drop(LockFile::open(&link).unwrap());
    drop(file.clone());
    assert!(!other.ask("shared", Span::Whole));
    // Not even the handle it was made from is needed.
    drop(file);
    assert!(!other.ask("shared", Span::Whole));
    drop(lock);
    assert!(other.ask("shared", Span::Whole));
    other.end();
}

#[test]
fn what_one_thread_lets_go_of_another_keeps() {
    let (_place, file) = place();
    let Some(mut other) = Other::start(Kind::Rust, &file) else { return };
    let whole = file.lock(Span::Whole, Mode::Shared, &OFFER).unwrap();
    let byte = file.lock(Span::Byte(7), Mode::Shared, &OFFER).unwrap();
    let same = file.lock(Span::Byte(7), Mode::Shared, &OFFER).unwrap();
    let last = file.lock(Span::Byte(LAST), Mode::Shared, &OFFER).unwrap();
    drop(whole);
    for (byte, is_free) in [(6, true), (7, false), (8, true), (LAST - 1, true), (LAST, false)] {
        assert_eq!(other.ask("exclusive", Span::Byte(byte)), is_free, "{byte}");
    }
    drop(byte);
    assert!(!other.ask("exclusive", Span::Byte(7)));
    drop(same);
    assert!(other.ask("exclusive", Span::Byte(7)));
    drop(last);
    assert!(other.ask("exclusive", Span::Byte(LAST)));
    other.end();
}

#[test]
fn threads_exclude_each_other() {
    let (_place, file) = place();
    let inside = AtomicI32::new(0);
    thread::scope(|scope| {
        for number in 0..4 {
            let (file, inside) = (&file, &inside);
            scope.spawn(move || {
                for round in 0..2 {
                    let is_writer = (number + round) % 2 == 0;
                    let mode = if is_writer { Mode::Exclusive } else { Mode::Shared };
                    let lock = file.lock(Span::Byte(FAR), mode, &Patience::default()).unwrap();
                    let step = if is_writer { -1000 } else { 1 };
                    let before = inside.fetch_add(step, Ordering::SeqCst);
                    assert!(before >= 0 && (!is_writer || before == 0), "{before}");
                    inside.fetch_sub(step, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
}

#[test]
fn a_thread_cannot_upgrade_while_another_shares() {
    let (_place, file) = place();
    let mut one = file.lock(Span::Byte(1), Mode::Shared, &OFFER).unwrap();
    let two = file.lock(Span::Byte(1), Mode::Shared, &OFFER).unwrap();
    assert!(matches!(one.upgrade(&OFFER).unwrap_err(), Error::Locked { .. }));
    drop(two);
    one.upgrade(&OFFER).unwrap();
    assert!(!is_free(&file, Span::Byte(1), Mode::Shared));
}

#[test]
fn a_wait_can_be_cancelled() {
    let (_place, file) = place();
    let _held = file.lock(Span::Whole, Mode::Exclusive, &OFFER).unwrap();
    let asked = Mutex::new(0);
    let is_cancelled = || {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        *asked > 3
    };
    let patience = Patience { is_cancelled: &is_cancelled, timeout: None, ..Patience::default() };
    assert!(matches!(
        file.lock(Span::Whole, Mode::Shared, &patience).unwrap_err(),
        Error::Cancelled
    ));
}

#[test]
fn a_missing_file_is_made_as_spack_makes_it() {
    use std::os::unix::fs::PermissionsExt;
    let (place, file) = place();
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    let python = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT))";
    let theirs = place.path().join("theirs");
    let ran = Command::new("python3").args(["-c", python]).arg(&theirs).status();
    if ran.is_ok_and(|status| status.success()) {
        assert_eq!(mode, fs::metadata(&theirs).unwrap().permissions().mode());
    } else {
        println!("skipped: no python3");
    }
    assert_eq!(mode & 0o700, 0o700);
    let nowhere = place.path().join("absent/lock");
    assert!(matches!(LockFile::open(&nowhere).unwrap_err(), Error::Lock { .. }));
}

#[test]
fn a_file_that_is_replaced_while_it_is_open_keeps_its_locks() {
    let (place, file) = place();
    let lock = file.lock(Span::Whole, Mode::Exclusive, &OFFER).unwrap();
    let path = file.path().to_owned();
    let moved = place.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    let replacement = LockFile::open(&path).unwrap();
    assert!(is_free(&replacement, Span::Whole, Mode::Exclusive));
    let same = LockFile::open(&moved).unwrap();
    assert!(!is_free(&same, Span::Whole, Mode::Shared));
    drop(lock);
    assert!(is_free(&same, Span::Whole, Mode::Exclusive));
}

#[rstest]
#[case(0, 100)]
#[case(19, 100)]
#[case(20, 200)]
#[case(59, 200)]
#[case(60, 500)]
#[case(1000, 500)]
fn attempts_are_made_when_spack_makes_them(#[case] attempt: u64, #[case] milliseconds: u64) {
    assert_eq!(interval(attempt), Duration::from_millis(milliseconds));
}
