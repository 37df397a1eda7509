//! Blobs that came from a registry: kept when they are complete and verified, forgotten when
//! others were used more recently.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fs_err::{self as fs, File};
use hod_archive::Digest;
use hod_mirror::oci::Descriptor;
use hod_mirror::registry::Registry;

use super::{LocalStore, touch};

/// An index of a registry may be large, and nothing else that is read at once.
const DOCUMENT_LIMIT: u64 = 2 << 30;

/// What a process left behind in the spool is nobody's after this long.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// How much a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Where it is; `None` if it remembers nothing.
    pub directory: Option<PathBuf>,
    /// Blobs in it.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes it may keep.
    pub limit: u64,
}

/// What [`LocalStore::prune`] removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of blobs that stay.
    pub left: u64,
}

/// A blob on its way into the store. Dropped before [`complete`](Self::complete), it leaves
/// nothing.
#[derive(Debug)]
pub(crate) struct Keeper {
    file: File,
    target: PathBuf,
    has_grown: Arc<AtomicBool>,
    is_complete: bool,
}

impl Keeper {
    /// Gives it its name. That its content has the digest is the word of whoever wrote it.
    pub(crate) fn complete(mut self) -> io::Result<()> {
        // Not brought to disk: what a power cut leaves of it is verified before it is used.
        fs::rename(self.file.path(), &self.target)?;
        self.is_complete = true;
        self.has_grown.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Write for Keeper {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = fs::remove_file(self.file.path());
        }
    }
}

impl LocalStore {
    /// Begins to keep a blob; `None` if that is impossible or it would not be kept for long.
    pub(crate) fn keeper(&self, digest: &Digest, size: u64) -> Option<Keeper> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let target = self.blob_path(digest).filter(|_| size <= self.limit)?;
        let directory = self.spool_directory();
        fs::create_dir_all(&directory).ok()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}-{number}.part", std::process::id()));
        let file = File::create(path).ok()?;
        let has_grown = Arc::clone(&self.has_grown);
        Some(Keeper { file, target, has_grown, is_complete: false })
    }

    /// A small blob that is here and whole.
    pub(crate) fn read(&self, digest: &Digest, size: u64) -> Option<Vec<u8>> {
        let path = self.blob_path(digest)?;
        if fs::metadata(&path).ok()?.len() != size {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        if Digest::of(&bytes) != *digest {
            let _ = fs::remove_file(&path);
            return None;
        }
        let _ = touch(&path);
        Some(bytes)
    }

    /// A small blob of a registry, from here if it is here.
    pub(crate) fn read_or_fetch(
        &self,
        registry: &Registry,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, hod_mirror::Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        if let Some(bytes) = self.read(&digest, size) {
            return Ok(bytes);
        }
        let bytes = registry.read_blob(descriptor, DOCUMENT_LIMIT)?;
        self.keep_bytes(&digest, &bytes);
        Ok(bytes)
    }

    /// Keeps a small blob of this digest. What cannot be kept is not: the store only saves work.
    pub(crate) fn keep_bytes(&self, digest: &Digest, bytes: &[u8]) {
        if let Some(mut keeper) = self.keeper(digest, bytes.len() as u64)
            && keeper.write_all(bytes).is_ok()
        {
            let _ = keeper.complete();
        }
    }

    /// How much it holds.
    pub fn usage(&self) -> io::Result<StoreUsage> {
        let blobs = self.blobs()?;
        Ok(StoreUsage {
            directory: self.directory.clone(),
            blobs: blobs.len() as u64,
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            limit: self.limit,
        })
    }

    /// Forgets the least recently used blobs beyond `most_bytes`; says what that is, and does
    /// nothing, if `only_ask`.
    pub fn prune(&self, most_bytes: u64, only_ask: bool) -> io::Result<Pruned> {
        let mut blobs = self.blobs()?;
        blobs.sort();
        let mut pruned =
            Pruned { left: blobs.iter().map(|blob| blob.size).sum(), ..Pruned::default() };
        for blob in blobs {
            if pruned.left <= most_bytes {
                break;
            }
            if !only_ask {
                remove(&blob.path)?;
            }
            pruned.blobs += 1;
            pruned.bytes += blob.size;
            pruned.left -= blob.size;
        }
        if !only_ask && self.directory.is_some() {
            remove_stale(&self.spool_directory());
        }
        Ok(pruned)
    }

    fn blobs(&self) -> io::Result<Vec<Blob>> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let mut blobs = Vec::new();
        for entry in fs::read_dir(directory.join("blobs/sha256"))? {
            let entry = entry?;
            // Another process may be pruning as well.
            let Ok(metadata) = entry.metadata() else { continue };
            let (used, size, path) = (metadata.modified()?, metadata.len(), entry.path());
            blobs.push(Blob { used, size, path });
        }
        Ok(blobs)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Blob {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What processes that were killed had begun.
fn remove_stale(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let changed = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
        let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(limit: u64) -> (tempfile::TempDir, LocalStore) {
        let place = tempfile::tempdir().unwrap();
        let store = LocalStore::open(place.path(), limit).unwrap();
        (place, store)
    }

    #[test]
    fn what_is_kept_is_there_and_whole_or_not_there() {
        let (place, store) = store(100);
        let digest = Digest::of(b"blob");
        assert_eq!(store.read(&digest, 4), None);
        store.keep_bytes(&digest, b"blob");
        assert_eq!(store.read(&digest, 4).as_deref(), Some(&b"blob"[..]));
        assert_eq!(store.read(&digest, 5), None);

        fs::write(place.path().join("blobs/sha256").join(digest.hex()), b"blub").unwrap();
        assert_eq!(store.read(&digest, 4), None);
        assert_eq!(store.usage().unwrap().blobs, 0, "the damaged one is gone");

        // Larger than all the store may hold.
        store.keep_bytes(&Digest::of(&[0; 101]), &[0; 101]);
        drop(store.keeper(&digest, 4));
        assert_eq!(store.usage().unwrap().blobs, 0);
        assert_eq!(fs::read_dir(place.path().join("spool")).unwrap().count(), 0);
    }

    #[test]
    fn pruning_tells_what_it_does_before_it_does_it() {
        let (_place, store) = store(100);
        for blob in [&[1; 40], &[2; 40]] {
            store.keep_bytes(&Digest::of(blob), blob);
        }
        let pruned = store.prune(50, true).unwrap();
        assert_eq!((pruned.blobs, pruned.bytes, pruned.left), (1, 40, 40));
        assert_eq!(store.usage().unwrap().blobs, 2);
        assert_eq!(store.prune(50, false).unwrap(), pruned);
        assert_eq!(store.usage().unwrap().bytes, 40);
        assert_eq!(store.prune(0, false).unwrap().left, 0);
        assert_eq!(LocalStore::none().prune(0, false).unwrap(), Pruned::default());
    }

    #[test]
    fn nothing_is_looked_at_where_nothing_came() {
        let (place, store) = store(3);
        let other = place.path().join("blobs/sha256/other");
        fs::write(&other, "more than three bytes").unwrap();
        store.shrink().unwrap();
        assert!(other.exists());
        store.keep_bytes(&Digest::of(b"x"), b"x");
        store.shrink().unwrap();
        assert!(!other.exists());
    }
}
