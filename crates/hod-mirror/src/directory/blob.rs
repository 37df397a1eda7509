//! Blobs come in under a temporary name and get their own when they are complete.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err::{self as fs, File};
use hod_archive::Digest;

use super::durable::Temporary;
use super::{DirectoryMirror, fault};
use crate::error::{Error, Written};

/// How much is written before the system is asked to start bringing it to disk.
const WRITE_BACK: u64 = 8 << 20;

/// What completing a blob did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The blob is new.
    New,
    /// It was there already; what was written is gone.
    Present,
    /// A damaged one, of another size, was there and is replaced.
    Repaired,
}

/// How [`DirectoryMirror::link_blob_from`] brought a blob in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It was there already.
    Present,
    /// By a second name for the same file.
    HardLink,
    /// By a file that shares the other's extents.
    Reflink,
    /// By copying its bytes.
    Copy,
}

/// A blob being written. Dropped before [`complete_as`](Self::complete_as), it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    mirror: DirectoryMirror,
    temporary: Temporary,
    written: u64,
    written_back: u64,
}

impl BlobWriter {
    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Gives the blob its name, when its content is on disk. The name itself is on disk when it
    /// is first needed, which is before anything is published: one wait for all blobs of a push
    /// instead of one for each.
    ///
    /// The digest is the caller's word, who has hashed the stream on its
    /// way here; the length is checked.
    pub fn complete_as(self, digest: Digest, size: u64) -> Result<Stored, Error> {
        if self.written != size {
            return Err(Error::SizeMismatch { digest, expected: size, found: self.written });
        }
        let stored = match self.mirror.blob_size(&digest)? {
            Some(found) if found == size => Stored::Present,
            Some(_) => Stored::Repaired,
            None => Stored::New,
        };
        // What is here is known to be good, what is there is only known by its length: so it is
        // replaced in any case, and pushing again mends a damaged mirror.
        let Self { mirror, temporary, .. } = self;
        temporary
            .rename_to(&mirror.blob_path(&digest))
            .map_err(mirror.write_error(Written::Blob(digest)))?;
        Ok(stored)
    }

    /// Asks the system to start writing what has come since the last time, so that the final
    /// `fsync` finds little left to do.
    fn start_write_back(&mut self) {
        // `sync_file_range` has no safe binding here; on Linux this advice starts the same
        // asynchronous write-back of the range, and drops only pages that are clean already.
        #[cfg(target_os = "linux")]
        {
            let length = std::num::NonZeroU64::new(self.written - self.written_back);
            let file = self.temporary.file.file();
            let advice = rustix::fs::Advice::DontNeed;
            let _ = rustix::fs::fadvise(file, self.written_back, length, advice);
        }
        self.written_back = self.written;
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.temporary.file.write(buf)?;
        self.written += written as u64;
        if self.written - self.written_back >= WRITE_BACK {
            self.start_write_back();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DirectoryMirror {
    /// Begins a blob.
    pub fn blob_writer(&self) -> Result<BlobWriter, Error> {
        self.prepare()?;
        let temporary = Temporary::create(&self.temporary_directory())
            .map_err(self.write_error(Written::NewBlob))?;
        Ok(BlobWriter { mirror: self.clone(), temporary, written: 0, written_back: 0 })
    }

    /// Stores bytes that fit in memory; returns their digest and length.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        // Small enough to be compared: a document of the right length may still be damaged.
        if !fs::read(self.blob_path(&digest)).is_ok_and(|there| there == bytes) {
            let mut writer = self.blob_writer()?;
            writer.write_all(bytes).map_err(self.write_error(Written::Blob(digest)))?;
            writer.complete_as(digest, size)?;
        }
        Ok((digest, size))
    }

    /// Brings in a file of another store of blobs on this machine, without reading it if the file
    /// systems allow. That its content has the digest is the other store's word; its size is
    /// checked. The two may then be one file: neither may ever be changed in place.
    pub fn link_blob_from(
        &self,
        source: &Path,
        digest: Digest,
        size: u64,
    ) -> Result<Linked, Error> {
        self.prepare()?;
        if self.has_blob(&digest, size)? {
            return Ok(Linked::Present);
        }
        let read_error = |error| Error::Read { path: source.to_owned(), source: error };
        // A hard link to a symbolic link would be another symbolic link.
        let source = fs::canonicalize(source).map_err(read_error)?;
        let mut file = File::open(&source).map_err(read_error)?;
        let found = file.metadata().map_err(read_error)?.len();
        if found != size {
            return Err(Error::SizeMismatch { digest, expected: size, found });
        }
        match self.hard_link(&file, &digest) {
            Ok(()) => Ok(Linked::HardLink),
            // Another process brought it in meanwhile.
            Err(_) if self.has_blob(&digest, size)? => Ok(Linked::Present),
            // Another file system, or one without links, or a file of somebody else
            // (fs.protected_hardlinks), or too many links to it already.
            Err(_) => self.copy_from(&mut file, digest, size),
        }
    }

    /// Whether the blob is there in its full length. Its digest is checked where it is read.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        Ok(self.blob_size(digest)? == Some(size))
    }

    /// Opens a blob for reading. Nothing of it is verified.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::MissingBlob { digest: *digest, path })
            }
            opened => opened.map_err(|source| Error::Read { path, source }),
        }
    }

    pub(super) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
            Ok(metadata) => Ok(Some(metadata.len())),
        }
    }

    fn hard_link(&self, source: &File, digest: &Digest) -> io::Result<()> {
        let target = self.blob_path(digest);
        // A private file must not become a blob that the other users of the mirror cannot read:
        // both would have one mode.
        let readable = |metadata: std::fs::Metadata| metadata.mode() & 0o444;
        let wanted = readable(fs::metadata(self.layout_path().join("oci-layout"))?);
        if readable(source.metadata()?) & wanted != wanted {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        source.sync_all()?;
        if target.exists() {
            // Of the wrong size, or we would not be here.
            fs::remove_file(&target)?;
            fault::step();
        }
        fs::hard_link(source.path(), &target)?;
        fault::step();
        Ok(())
    }

    fn copy_from(&self, source: &mut File, digest: Digest, size: u64) -> Result<Linked, Error> {
        let mut writer = self.blob_writer()?;
        let target = writer.temporary.file.file();
        #[cfg(target_os = "linux")]
        let is_cloned = rustix::fs::ioctl_ficlone(target, source.file()).is_ok();
        #[cfg(not(target_os = "linux"))]
        let is_cloned = false;
        writer.written = if is_cloned {
            writer.temporary.file.metadata().map(|metadata| metadata.len())
        } else {
            // Between two plain files, this is `copy_file_range`.
            io::copy(&mut source.file(), &mut { target })
        }
        .map_err(self.write_error(Written::Blob(digest)))?;
        Ok(match writer.complete_as(digest, size)? {
            Stored::Present => Linked::Present,
            _ if is_cloned => Linked::Reflink,
            _ => Linked::Copy,
        })
    }
}
