//! The local store: what was packed on this machine, so that it need not be packed again.
//!
//! ```text
//! <cache>/packed/<key>.json            the last pack of one prefix with one set of options
//! <cache>/merged/<64 hex>.json         what some layers became when they were merged
//! <cache>/blobs/sha256/<64 hex>        its blob, where it costs no room of its own; what was
//!                                      downloaded
//! <cache>/spool/                       blobs on their way
//! ```
//!
//! A record says: when the tree looked like this (its [`Fingerprint`]), packing it gave these
//! digests. Of a mirror that is a directory, a blob is kept only as a second name (hard link) of
//! the mirror's file; copying every blob into a home directory with a quota would cost more than
//! packing again. What came from a registry, or went there, is kept here alone.

mod blob;

mod merged;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hod_archive::{DiffId, Digest, Encoding, Fingerprint, Packed};
use hod_mirror::oci::PackageFacts;
use hod_mirror::registry::Spool;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Package;

pub(crate) use blob::Keeper;
pub use blob::{Pruned, StoreUsage};

/// Raised whenever the same tree and options would give other bytes than before: old records
/// then no longer match.
const FORMAT: u32 = 1;

/// The local store, or a stand-in that remembers nothing.
#[derive(Debug, Clone)]
pub struct LocalStore {
    directory: Option<PathBuf>,
    limit: u64,
    /// Whether blobs came since it was last shrunk.
    has_grown: Arc<AtomicBool>,
}

/// Names one record.
#[derive(Debug)]
pub(crate) struct Key(String);

/// One pack that was done on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    format: u32,
    fingerprint: String,
    digest: String,
    diff_id: String,
    /// Bytes of the blob.
    pub(crate) size: u64,
    /// What the image config says of the package.
    pub(crate) facts: PackageFacts,
    /// How many of its names relocation lists cannot hold.
    pub(crate) unlisted: u64,
}

impl Record {
    pub(crate) fn new(packed: &Packed, facts: PackageFacts, unlisted: u64) -> Self {
        Self {
            format: FORMAT,
            fingerprint: packed.fingerprint.digest.to_string(),
            digest: packed.digest.to_string(),
            diff_id: packed.diff_id.to_string(),
            size: packed.size,
            facts,
            unlisted,
        }
    }

    /// Of the blob; `None` in a damaged record.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest.parse().ok()
    }

    pub(crate) fn diff_id(&self) -> Option<DiffId> {
        self.diff_id.parse().ok().map(DiffId)
    }

    /// Whether the tree still looks as it did.
    pub(crate) fn matches(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == fingerprint.digest.to_string()
    }
}

impl LocalStore {
    /// Bytes of blobs that a store keeps unless it is told otherwise.
    pub const DEFAULT_LIMIT: u64 = 10 << 30;

    /// The store in `directory`, which is made if need be. Blobs are forgotten, least recently
    /// used first, beyond `limit` bytes.
    pub fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        fs_err::create_dir_all(directory.join("packed"))?;
        fs_err::create_dir_all(directory.join("blobs/sha256"))?;
        let directory = Some(directory.to_owned());
        Ok(Self { directory, limit, has_grown: Arc::default() })
    }

    /// A store that remembers nothing.
    pub fn none() -> Self {
        Self { directory: None, limit: 0, has_grown: Arc::default() }
    }

    /// The last pack of this prefix with these options, whatever the tree looked like then. What
    /// cannot be read counts as absent: the store only ever saves work.
    pub(crate) fn record(
        &self,
        package: &Package,
        encoding: Encoding,
        mtime: u64,
        context: &[u8],
    ) -> Option<Record> {
        let path = self.record_path(&Self::key(package, encoding, mtime, context))?;
        let record: Record = serde_json::from_slice(&fs_err::read(path).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// Remembers a pack that began at `began`, unless the tree was being changed at that time.
    pub(crate) fn remember(
        &self,
        key: &Key,
        record: &Record,
        newest: (i64, u64),
        began: SystemTime,
    ) -> io::Result<()> {
        let Some(path) = self.record_path(key) else { return Ok(()) };
        if !is_settled(newest, began) {
            return Ok(());
        }
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        fs_err::write(&temporary, text)?;
        fs_err::rename(&temporary, &path)
    }

    /// What a pack depends on besides the tree: where it is, the options, and what is said of the
    /// package in it (`context`, empty where that follows from the tree).
    pub(crate) fn key(package: &Package, encoding: Encoding, mtime: u64, context: &[u8]) -> Key {
        let mut key = Sha256::new();
        key.update(package.prefix().as_os_str().as_encoded_bytes());
        key.update(format!("\0{}\0{}\0", encoding.codec(), encoding.level()));
        key.update(format!("{}\0{mtime}", encoding.members()));
        if package.location() != package.prefix() {
            key.update(b"\0");
            key.update(package.location().as_os_str().as_encoded_bytes());
        }
        if !context.is_empty() {
            key.update(b"\0\0");
            key.update(context);
        }
        Key(Digest::from_bytes(key.finalize().into()).hex())
    }

    fn record_path(&self, key: &Key) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join("packed").join(&key.0).with_extension("json"))
    }

    fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join("blobs/sha256").join(digest.hex()))
    }

    /// A blob that is here and whole. It is read to make sure: the file has another name in some
    /// mirror, where anything may have happened to it.
    pub(crate) fn verified_blob(&self, digest: &Digest, size: u64) -> Option<PathBuf> {
        let path = self.blob_path(digest)?;
        if fs_err::metadata(&path).ok()?.len() != size {
            return None;
        }
        if !is_intact(&path, digest) {
            // Useless, and in the way of a good one.
            let _ = fs_err::remove_file(&path);
            return None;
        }
        let _ = touch(&path);
        Some(path)
    }

    /// Gives the mirror's file of a blob a second name here, if it is on the same file system.
    pub(crate) fn keep_blob(&self, digest: &Digest, file: &Path) {
        if let Some(path) = self.blob_path(digest) {
            let _ = fs_err::hard_link(file, path);
            self.has_grown.store(true, Ordering::Relaxed);
        }
    }

    /// Where blobs lie that are being packed for a mirror that is far away.
    pub(crate) fn spool_directory(&self) -> PathBuf {
        match &self.directory {
            Some(directory) => directory.join("spool"),
            None => std::env::temp_dir(),
        }
    }

    /// Keeps a blob that was packed for a mirror that is far away.
    pub(crate) fn keep_spool(&self, spool: &Spool, digest: &Digest) {
        if let Some(path) = self.blob_path(digest) {
            let _ = spool.keep(&path);
            self.has_grown.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets the least recently used blobs beyond the limit. Looks at nothing if nothing came.
    pub(crate) fn shrink(&self) -> io::Result<()> {
        if self.has_grown.swap(false, Ordering::Relaxed) {
            self.prune(self.limit, false)?;
        }
        Ok(())
    }
}

/// Whether the file has this digest; it is read to find out.
pub(crate) fn is_intact(path: &Path, digest: &Digest) -> bool {
    let Ok(file) = fs_err::File::open(path) else { return false };
    let mut hash = hod_archive::DigestWriter::new(io::sink());
    let copied = io::copy(&mut io::BufReader::with_capacity(1 << 20, file), &mut hash);
    copied.is_ok() && hash.complete().1 == *digest
}

fn touch(path: &Path) -> io::Result<()> {
    let file = fs_err::File::options().write(true).open(path)?;
    file.file().set_modified(SystemTime::now())
}

/// Whether the last change was so long before `began` that a later one must have another time:
/// file systems stamp changes with a coarse clock (a few milliseconds; whole seconds on some).
fn is_settled(newest: (i64, u64), began: SystemTime) -> bool {
    let (seconds, nanos) = newest;
    let Ok(seconds) = u64::try_from(seconds) else { return true };
    let tick = if nanos == 0 { Duration::from_secs(2) } else { Duration::from_millis(100) };
    let newest = SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanos).unwrap_or(0));
    newest + tick <= began
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A store that may keep `limit` bytes, and blobs of 100 bytes in it, oldest first.
    fn store(limit: u64, blobs: &[&[u8]]) -> (tempfile::TempDir, LocalStore, Vec<Digest>) {
        let place = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&place.path().join("store"), limit).unwrap();
        let mut digests = Vec::new();
        for (age, content) in blobs.iter().rev().enumerate() {
            let digest = Digest::of(content);
            let file = place.path().join(digest.hex());
            fs_err::write(&file, content).unwrap();
            store.keep_blob(&digest, &file);
            let then = SystemTime::now() - Duration::from_secs(60 * (1 + age as u64));
            let file = fs_err::File::options().write(true).open(file).unwrap();
            file.file().set_modified(then).unwrap();
            digests.insert(0, digest);
        }
        (place, store, digests)
    }

    #[test]
    fn the_least_recently_used_blobs_go_first() {
        let (_place, store, digests) = store(200, &[&[1; 100], &[2; 100], &[3; 100]]);
        // Using the oldest makes it the newest.
        assert!(store.verified_blob(&digests[0], 100).is_some());
        store.shrink().unwrap();
        let left = digests.iter().map(|digest| store.verified_blob(digest, 100).is_some());
        assert_eq!(left.collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_damaged_blob_is_not_used_and_makes_room_for_a_good_one() {
        let (place, store, digests) = store(200, &[&[1; 100]]);
        let file = place.path().join(digests[0].hex());
        fs_err::write(&file, [9; 100]).unwrap();
        assert_eq!(store.verified_blob(&digests[0], 100), None);
        fs_err::remove_file(&file).unwrap();
        fs_err::write(&file, [1; 100]).unwrap();
        store.keep_blob(&digests[0], &file);
        assert!(store.verified_blob(&digests[0], 100).is_some());
    }

    #[rstest]
    #[case::long_ago((1_000_000, 5), true)]
    #[case::half_a_second_before((1_999_999, 500_000_000), true)]
    #[case::a_moment_before((1_999_999, 999_000_000), false)]
    #[case::a_second_before_on_a_clock_of_seconds((1_999_999, 0), false)]
    #[case::three_seconds_before_on_a_clock_of_seconds((1_999_997, 0), true)]
    #[case::afterwards((2_000_001, 5), false)]
    fn a_tree_that_changed_a_moment_ago_is_not_remembered(
        #[case] newest: (i64, u64),
        #[case] expected: bool,
    ) {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000);
        assert_eq!(is_settled(newest, began), expected);
    }
}
