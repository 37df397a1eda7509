//! One writer of the index at a time (`docs/decisions/0003-directory-mirror-locks.md`).

use std::fmt;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs_err::{self as fs, File};
use hod_archive::Cancel;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::durable::Temporary;
use super::fault;
use crate::error::{Error, Written};

/// After this long, the caller is told that it is being kept waiting.
const SILENCE: Duration = Duration::from_secs(1);
/// Nobody holds the lock for more than the time of writing one file.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What file systems without `flock` answer, Lustre without its mount option among them.
const NO_FLOCK: [Errno; 4] = [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOLCK];

/// How to wait for another process.
#[derive(Clone)]
pub struct Patience<'a> {
    /// Called once, when waiting has taken a second.
    pub on_wait: &'a dyn Fn(&Waiting),
    /// Ends the wait.
    pub cancel: Cancel,
    /// The wait ends with [`Error::Locked`] after this long; two minutes by default.
    pub give_up_after: Duration,
}

impl Default for Patience<'_> {
    fn default() -> Self {
        Self { on_wait: &|_| {}, cancel: Cancel::default(), give_up_after: GIVE_UP }
    }
}

impl fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience")
            .field("cancel", &self.cancel)
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}

/// What a caller is told when it is kept waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The mirror's directory.
    pub mirror: PathBuf,
    /// Who is being waited for, if that is known.
    pub holder: Option<LockHolder>,
}

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LockHolder {
    /// Its machine.
    pub host: String,
    /// Its number there.
    pub pid: i32,
    /// Which numbering of processes that is: containers on one machine may share its name and
    /// still not see each other's processes.
    #[serde(default)]
    pub pid_namespace: String,
}

impl LockHolder {
    fn me() -> Self {
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            pid_namespace: namespace.to_string_lossy().into_owned(),
        }
    }

    /// Whether this process is certainly gone. Of other machines nothing is certain: their clocks
    /// differ, and a process that sleeps for an hour still believes in its lock.
    fn is_dead(&self) -> bool {
        let me = Self::me();
        (&self.host, &self.pid_namespace) == (&me.host, &me.pid_namespace)
            && Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// How processes exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `flock` on `.hod/lock`: the system frees it when its holder dies. Falls back to the other
    /// where the file system has no such lock.
    Flock,
    /// The existence of `.hod/lock.owner`, which names its holder.
    OwnerFile,
}

/// The right to replace the index. Dropping it gives it back.
#[derive(Debug)]
pub(super) enum Lock {
    Flock(File),
    OwnerFile { path: PathBuf, content: Vec<u8> },
}

impl Lock {
    /// Whether nobody took the lock for stale meanwhile.
    pub(super) fn is_still_held(&self) -> bool {
        match self {
            Self::Flock(_) => true,
            Self::OwnerFile { path, content } => {
                fs::read(path).is_ok_and(|found| found == *content)
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let is_still_held = self.is_still_held();
        match self {
            // Closing the file frees it; the next holder need not read about this one.
            Self::Flock(file) => drop(file.set_len(0)),
            Self::OwnerFile { path, .. } if is_still_held => drop(fs::remove_file(path)),
            Self::OwnerFile { .. } => {}
        }
    }
}

/// Waits for the lock of the mirror at `root`.
pub(super) fn acquire(root: &Path, method: Method, patience: &Patience<'_>) -> Result<Lock, Error> {
    let since = Instant::now();
    let (mut method, mut is_told, mut pause) = (method, false, Duration::from_millis(1));
    let fail = |source| Error::Write { what: Written::Lock, path: root.to_owned(), source };
    loop {
        let attempt = match method {
            Method::Flock => match try_flock(&root.join(".hod/lock")).map_err(fail)? {
                Flock::Unsupported => {
                    method = Method::OwnerFile;
                    continue;
                }
                Flock::Held => None,
                Flock::Taken(file) => Some(Lock::Flock(file)),
            },
            Method::OwnerFile => try_owner_file(root).map_err(fail)?,
        };
        if let Some(lock) = attempt {
            fault::step();
            return Ok(lock);
        }

        let lock = match method {
            Method::Flock => root.join(".hod/lock"),
            Method::OwnerFile => owner_path(root),
        };
        let holder = || serde_json::from_slice(&fs::read(&lock).ok()?).ok();
        if patience.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if since.elapsed() >= patience.give_up_after {
            return Err(Error::Locked { mirror: root.to_owned(), holder: holder(), lock });
        }
        if !is_told && since.elapsed() >= SILENCE {
            (patience.on_wait)(&Waiting { mirror: root.to_owned(), holder: holder() });
            is_told = true;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn owner_path(root: &Path) -> PathBuf {
    root.join(".hod/lock.owner")
}

enum Flock {
    Taken(File),
    Held,
    Unsupported,
}

fn try_flock(path: &Path) -> io::Result<Flock> {
    let mut options = File::options();
    let file = match options.read(true).write(true).create(true).truncate(false).open(path) {
        // A colleague's file in a shared directory: a lock needs no right to write.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path)?,
        opened => opened?,
    };
    match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Flock::Held),
        Err(error) if NO_FLOCK.contains(&error) => return Ok(Flock::Unsupported),
        Err(error) => return Err(error.into()),
    }
    // Whoever was told to remove the file may have done so between opening and locking.
    let is_current = fs::metadata(path).is_ok_and(|now| {
        file.metadata().is_ok_and(|mine| (mine.dev(), mine.ino()) == (now.dev(), now.ino()))
    });
    if !is_current {
        return Ok(Flock::Held);
    }
    // Only to tell those who wait; the lock itself does not depend on it.
    let mut writer = file.file();
    let _ = file.set_len(0);
    let _ = writer.rewind();
    let _ = writer.write_all(&serde_json::to_vec(&LockHolder::me()).unwrap_or_default());
    Ok(Flock::Taken(file))
}

fn try_owner_file(root: &Path) -> io::Result<Option<Lock>> {
    let path = owner_path(root);
    match fs::read(&path) {
        Ok(found) => {
            if serde_json::from_slice(&found).is_ok_and(|holder: LockHolder| holder.is_dead()) {
                put_aside(&path, &found);
            }
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let content = serde_json::to_vec(&LockHolder::me())?;
    // By a link, so that whoever dies at this moment has already said who it was.
    let mut temporary = Temporary::create(&root.join(".hod/tmp"))?;
    temporary.file.write_all(&content)?;
    let created = match fs::hard_link(temporary.file.path(), &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            File::create_new(&path).and_then(|mut file| file.write_all(&content))
        }
        created => created,
    };
    match created {
        Ok(()) => Ok(Some(Lock::OwnerFile { path, content })),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a stale owner file out of the way. Moved before it is removed, because another process
/// may have judged the same file and already replaced it with its own: then it goes back.
fn put_aside(path: &Path, stale: &[u8]) {
    let aside = path.with_extension(format!("stale-{}", std::process::id()));
    if fs::rename(path, &aside).is_ok() {
        if fs::read(&aside).is_ok_and(|found| found != stale) {
            let _ = fs::hard_link(&aside, path);
        }
        let _ = fs::remove_file(aside);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use rstest::rstest;

    use super::*;

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join(".hod")).unwrap();
        place
    }

    #[rstest]
    #[case::flock(Method::Flock)]
    #[case::owner_file(Method::OwnerFile)]
    fn whoever_waits_is_told_for_whom_and_then_gets_the_lock(#[case] method: Method) {
        let place = place();
        let root = place.path();
        let held = acquire(root, method, &Patience::default()).unwrap();
        let (told, hears) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let on_wait = |waiting: &Waiting| told.send(waiting.holder.clone()).unwrap();
                let patience = Patience { on_wait: &on_wait, ..Patience::default() };
                acquire(root, method, &patience).unwrap();
            });
            let holder = hears.recv().unwrap().unwrap();
            assert_eq!(holder, LockHolder::me());
            drop(held);
        });
    }

    #[rstest]
    #[case::flock(Method::Flock)]
    #[case::owner_file(Method::OwnerFile)]
    fn a_lock_that_stays_is_an_error_that_names_its_file(#[case] method: Method) {
        let place = place();
        let held = acquire(place.path(), method, &Patience::default()).unwrap();
        let impatient = Patience { give_up_after: Duration::ZERO, ..Patience::default() };
        let error = acquire(place.path(), method, &impatient).unwrap_err();
        assert!(matches!(&error, Error::Locked { holder: Some(_), lock, .. } if lock.exists()));
        impatient.cancel.cancel();
        assert!(matches!(acquire(place.path(), method, &impatient), Err(Error::Cancelled)));
        drop(held);
    }

    #[rstest]
    #[case::flock(Method::Flock)]
    #[case::owner_file(Method::OwnerFile)]
    fn threads_exclude_each_other(#[case] method: Method) {
        let place = place();
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let lock = acquire(place.path(), method, &Patience::default()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert!(lock.is_still_held());
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn the_owner_file_of_a_dead_process_gives_way_and_that_of_another_machine_does_not() {
        let place = place();
        // No process has this number: it is above the system's limit of 2^22.
        let dead = LockHolder { pid: 1 << 24, ..LockHolder::me() };
        fs::write(owner_path(place.path()), serde_json::to_vec(&dead).unwrap()).unwrap();
        drop(acquire(place.path(), Method::OwnerFile, &Patience::default()).unwrap());
        assert!(!owner_path(place.path()).exists());

        let elsewhere = LockHolder { host: "elsewhere".to_owned(), ..dead };
        fs::write(owner_path(place.path()), serde_json::to_vec(&elsewhere).unwrap()).unwrap();
        let impatient = Patience { give_up_after: Duration::ZERO, ..Patience::default() };
        let error = acquire(place.path(), Method::OwnerFile, &impatient).unwrap_err();
        assert!(error.to_string().contains("by process 16777216 on elsewhere"), "{error}");
    }

    #[test]
    fn an_owner_file_that_is_not_the_one_judged_goes_back() {
        let place = place();
        let owner = owner_path(place.path());
        fs::write(&owner, "a live process").unwrap();
        put_aside(&owner, b"a dead process");
        assert_eq!(fs::read(&owner).unwrap(), b"a live process");
        put_aside(&owner, b"a live process");
        assert_eq!(fs::read_dir(place.path().join(".hod")).unwrap().count(), 0);
    }
}
