//! The index of a build cache: one database of all its packages, so that Spack need not read
//! each manifest (`spack-format` 4.5).
//!
//! Specs are read in parallel before the lock is taken; under it, the list is made again and only
//! what has come meanwhile is read. Whoever publishes first and then updates is in the index,
//! however many do so at once.

mod gather;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use hod_spec::{Database, DatabaseError};

use self::gather::Gathered;
use super::INDEX_LIMIT;
use super::entry::read_file;
use crate::DirectoryMirror;
use crate::directory::durable::Temporary;
use crate::directory::{Patience, lock};
use crate::error::{Error, ParseError, Written};
use crate::spack::{BlobKind, BlobRecord, Manifest};

/// What an update reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexMode {
    /// The packages the index does not have yet. What it has is taken from it as long as the
    /// manifest exists.
    #[default]
    Incremental,
    /// All packages.
    Rebuild,
}

/// How to update an index.
#[derive(Clone, Copy)]
pub struct IndexOptions<'a> {
    /// What to read.
    pub mode: IndexMode,
    /// On how many threads.
    pub jobs: NonZeroUsize,
    /// For the lock; its `cancel` ends the whole update.
    pub patience: &'a Patience<'a>,
    /// Called with how many packages are read and how many are to be.
    pub on_progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl std::fmt::Debug for IndexOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexOptions")
            .field("mode", &self.mode)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

/// What an update did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct IndexReport {
    /// Packages that are available by the index now.
    pub entries: u64,
    /// Packages read, because they were not in the index or all were to be read.
    pub read: u64,
    /// Packages that were in the index and are not any more.
    pub dropped: u64,
    /// What could not be read.
    pub skipped: Vec<SkippedEntry>,
    /// Whether a new index was written; one that would be the same is not.
    pub is_changed: bool,
}

/// Something an update could not read.
#[derive(Debug)]
#[non_exhaustive]
pub struct SkippedEntry {
    /// The manifest.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
    /// The package stays in the index as it was. So it is where the system did not let it be read,
    /// which says nothing of the package; what is known to be damaged is taken out, since an
    /// index that offers it would only turn a missing package into a failing installation.
    pub is_kept: bool,
}

/// The index of a build cache.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpackIndex {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its packages, and the specs they depend on.
    pub database: Database,
}

impl DirectoryMirror {
    /// Reads the index of layout 3; `None` if there is none. Its digest is verified.
    pub fn read_spack_index(&self) -> Result<Option<SpackIndex>, Error> {
        match self.read_index_manifest()? {
            Some(bytes) => self.read_index_of(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Brings the index up to date. Entries that cannot be read are skipped and reported.
    ///
    /// Manifests in places where Spack does not look for them are not in the index: it could not
    /// install what they name.
    pub fn update_spack_index(&self, options: &IndexOptions<'_>) -> Result<IndexReport, Error> {
        self.require_spack_half()?;
        self.prepare()?;
        let mut work = Gathered::new(self, options);
        work.adopt(self.read_index_manifest()?)?;
        work.read(self.spack_names()?)?;
        loop {
            let lock = lock::acquire(self.path(), self.0.lock_method, options.patience)?;
            let before = self.read_index_manifest()?;
            work.adopt(before.clone())?;
            work.read(self.spack_names()?)?;

            let Some(database) = work.render() else { return Ok(work.into_report(false)) };
            let (digest, size) = self.put_spack_blob(database.as_bytes())?;
            let record = BlobRecord::new(BlobKind::Index, digest, size);
            let manifest = Manifest::render(vec![record]);
            self.sync_up_to_root([self.spack_blob_path(&digest)])?;
            self.ensure_spack_layout()?;

            let path = self.spack_index_path();
            let mut temporary = Temporary::create(&self.temporary_directory())
                .map_err(self.write_error(Written::Index))?;
            temporary.file.write_all(manifest.bytes()).map_err(self.write_error(Written::Index))?;
            temporary.file.sync_all().map_err(self.write_error(Written::Index))?;
            super::blob::create_parent(&path).map_err(self.write_error(Written::Index))?;
            // Spack knows nothing of our lock.
            if lock.is_still_held() && self.read_index_manifest()? == before {
                temporary.rename_to(&path).map_err(self.write_error(Written::Index))?;
                self.sync_up_to_root([path])?;
                return Ok(work.into_report(true));
            }
        }
    }

    pub(in crate::directory) fn spack_index_path(&self) -> PathBuf {
        self.path().join("v3/manifests/index/index.manifest.json")
    }

    fn read_index_manifest(&self) -> Result<Option<Vec<u8>>, Error> {
        read_file(&self.spack_index_path(), Manifest::LIMIT)
    }

    fn read_index_of(&self, manifest: Vec<u8>) -> Result<SpackIndex, Error> {
        let unparsable = |source| Error::Unparsable { path: self.spack_index_path(), source };
        let manifest = Manifest::parse(manifest).map_err(unparsable)?;
        let (record, digest) = manifest.first(BlobKind::Index).map_err(unparsable)?;
        let bytes = self.read_spack_blob(&digest, record, INDEX_LIMIT)?;
        let database = Database::parse(bytes)
            .map_err(|error| Error::Document { digest, source: ParseError::Database(error) })?;
        Ok(SpackIndex { manifest, database })
    }
}

/// Whether an index is of a version this program does not know: it is not replaced by one of an
/// older version, which whoever wrote it may not read.
pub(crate) fn is_newer(error: &Error) -> bool {
    let Error::Document { source: ParseError::Database(error), .. } = error else { return false };
    matches!(
        error,
        DatabaseError::Version { found, newest, .. }
            if found.parse::<u64>().is_ok_and(|found| found > u64::from(*newest))
    )
}
