//! Files that appear whole or not at all, and stay after a power cut.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::{self as fs, File};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::fault;

/// A temporary file without a lock is left alone for this long: its writer may be about to lock it.
const YOUNG: Duration = Duration::from_secs(60);
/// Where the file system has no locks, only age tells a dead writer from a slow one.
const OLD_WITHOUT_LOCKS: Duration = Duration::from_secs(24 * 60 * 60);

/// A file without a name in the mirror yet. It is locked as long as its writer lives, and removed
/// when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    is_renamed: bool,
}

impl Temporary {
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        loop {
            let random = RandomState::new().hash_one(std::process::id());
            let path = directory.join(format!("{}-{random:016x}", std::process::id()));
            let file = match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Somebody tidied up.
                    fs::create_dir_all(directory)?;
                    File::create_new(&path)?
                }
                created => created?,
            };
            // Waits for nobody but one who, with a clock ahead of ours, is judging this very file.
            // Where locks do not exist, the age of the file must do.
            while flock(file.file(), FlockOperation::LockExclusive) == Err(Errno::INTR) {}
            fault::step();
            if path.exists() {
                return Ok(Self { file, is_renamed: false });
            }
        }
    }

    /// Brings the content to disk and gives it its name. The name is on disk after
    /// [`sync_directory`].
    pub(super) fn rename_to(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fault::step();
        fs::rename(self.file.path(), target)?;
        self.is_renamed = true;
        fault::step();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(self.file.path());
        }
    }
}

/// Brings the names in a directory to disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network file systems cannot, and do not need to.
        Err(error) if is_unsupported(&error) => Ok(()),
        synced => synced,
    }
}

/// Removes temporary files whose writers are gone. What cannot be removed is left: it is in
/// nobody's way.
pub(super) fn remove_stale(directory: &Path) {
    for Stale { path, .. } in stale(directory) {
        let _ = fs::remove_file(path);
    }
}

/// A temporary file nobody writes to any more. Holding it keeps others from judging it as well.
#[derive(Debug)]
pub(super) struct Stale {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    _locked: File,
}

pub(super) fn stale(directory: &Path) -> impl Iterator<Item = Stale> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let file = File::open(entry.path()).ok()?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        // A time in the future, from the clock of another machine, counts as young.
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        if age <= YOUNG {
            return None;
        }
        let is_stale = match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(_) => age > OLD_WITHOUT_LOCKS,
        };
        is_stale.then(|| Stale { path: entry.path(), size: metadata.len(), _locked: file })
    })
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_files_of_dead_writers_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - 2 * YOUNG;
        let alive = Temporary::create(place.path()).unwrap();
        alive.file.set_modified(long_ago).unwrap();
        fs::write(place.path().join("young"), "").unwrap();
        fs::write(place.path().join("dead"), "left").unwrap();
        let dead = File::options().write(true).open(place.path().join("dead")).unwrap();
        dead.set_modified(long_ago).unwrap();

        assert_eq!(stale(place.path()).map(|stale| stale.size).collect::<Vec<_>>(), [4]);
        remove_stale(place.path());

        assert!(alive.file.path().exists());
        assert!(place.path().join("young").exists());
        assert!(!place.path().join("dead").exists());
    }

    #[test]
    fn a_dropped_file_is_gone_and_a_renamed_one_is_whole() {
        use std::io::Write as _;
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("tmp");
        drop(Temporary::create(&directory).unwrap());
        let mut kept = Temporary::create(&directory).unwrap();
        kept.file.write_all(b"content").unwrap();
        kept.rename_to(&place.path().join("name")).unwrap();

        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        assert_eq!(fs::read(place.path().join("name")).unwrap(), b"content");
    }
}
