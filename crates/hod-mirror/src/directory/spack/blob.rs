//! Blobs of the Spack half. Layers are second names of the OCI half's files; all others are
//! only here.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use flate2::{Compression, GzBuilder};
use fs_err::{self as fs, File};
use hod_archive::Digest;
use serde::de::IgnoredAny;

use crate::directory::durable::Temporary;
use crate::directory::fault;
use crate::error::{Error, ParseError, Written};
use crate::spack::{BlobKind, BlobRecord, compact};
use crate::{DirectoryMirror, Linked};

/// What Spack compresses specs with (`spack-format` 4.2).
const SPEC_LEVEL: u32 = 6;
/// In the header: from no system in particular, as Python writes it (`spack-format` 3.4).
const UNKNOWN_SYSTEM: u8 = 255;

impl DirectoryMirror {
    /// Gives a blob of the OCI half its name in the Spack half, without a second copy where the
    /// file system has links. A copy that was there is replaced by the link, so that
    /// one stays.
    pub fn share_with_spack(&self, digest: &Digest, size: u64) -> Result<Linked, Error> {
        self.require_spack_half()?;
        self.prepare()?;
        self.share(&self.blob_path(digest), &self.spack_blob_path(digest), digest, size)
    }

    /// Gives a blob of the Spack half its name in the OCI half: for a package that Spack pushed.
    pub fn share_with_oci(&self, digest: &Digest, size: u64) -> Result<Linked, Error> {
        self.require_spack_half()?;
        self.prepare()?;
        self.share(&self.spack_blob_path(digest), &self.blob_path(digest), digest, size)
    }

    /// Stores a spec: `{"spec":…,"buildcache_layout_version":2}` in compact JSON, compressed as
    /// Spack does (`spack-format` 4.2). `spec` is the value of `spec`; its tokens stay as they are.
    pub fn put_spec_blob(&self, spec: &str) -> Result<BlobRecord, Error> {
        let digest = Digest::of(spec.as_bytes());
        serde_json::from_str::<IgnoredAny>(spec)
            .map_err(|error| Error::Document { digest, source: ParseError::Json(error) })?;
        let text = format!(r#"{{"spec":{},"buildcache_layout_version":2}}"#, compact(spec));
        let mut gzip = GzBuilder::new()
            .operating_system(UNKNOWN_SYSTEM)
            .write(Vec::new(), Compression::new(SPEC_LEVEL));
        let bytes = gzip
            .write_all(text.as_bytes())
            .and_then(|()| gzip.finish())
            .map_err(self.write_error(Written::NewBlob))?;
        let (digest, size) = self.put_spack_blob(&bytes)?;
        Ok(BlobRecord::new(BlobKind::Spec, digest, size))
    }

    /// Stores bytes among the blobs of the Spack half; returns their digest and length.
    pub(super) fn put_spack_blob(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        let path = self.spack_blob_path(&digest);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            touch(&path);
            return Ok((digest, size));
        }
        self.require_spack_half()?;
        self.prepare()?;
        self.put_file(&path, bytes).map_err(self.write_error(Written::Blob(digest)))?;
        Ok((digest, size))
    }

    /// Writes a whole file under its name; the name is on disk when its directory is.
    pub(super) fn put_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = Temporary::create(&self.temporary_directory())?;
        temporary.file.write_all(bytes)?;
        create_parent(path)?;
        temporary.rename_to(path)
    }

    fn share(&self, from: &Path, to: &Path, digest: &Digest, size: u64) -> Result<Linked, Error> {
        // A hard link to a symbolic link would be another symbolic link.
        let file = match fs::canonicalize(from).and_then(File::open) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::MissingBlob { digest: *digest, path: from.to_owned() });
            }
            opened => opened.map_err(|source| Error::Read { path: from.to_owned(), source })?,
        };
        let read_error = |source| Error::Read { path: from.to_owned(), source };
        let metadata = file.metadata().map_err(read_error)?;
        if metadata.len() != size {
            let found = metadata.len();
            return Err(Error::SizeMismatch { digest: *digest, expected: size, found });
        }
        // Spack's `prune` spares blobs younger than the index (`spack-format` 4.7). One that is
        // about to be named again must be as young as a new one.
        touch(from);
        let is_same = |there: std::fs::Metadata| {
            (there.dev(), there.ino()) == (metadata.dev(), metadata.ino())
        };
        if fs::metadata(to).is_ok_and(is_same) {
            return Ok(Linked::Present);
        }
        match self.link(&file, to) {
            Ok(()) => Ok(Linked::HardLink),
            Err(_) if fs::metadata(to).is_ok_and(|there| there.len() == size) => {
                Ok(Linked::Present)
            }
            // A file of somebody else (fs.protected_hardlinks), or a file system without links.
            Err(_) => self.copy(&file, to).map_err(self.write_error(Written::Blob(*digest))),
        }
    }

    /// By a temporary name, because a link cannot replace a file and the old one may be in use.
    fn link(&self, file: &File, to: &Path) -> io::Result<()> {
        // What Spack brought may never have been brought to disk.
        file.sync_all()?;
        create_parent(to)?;
        match fs::hard_link(file.path(), to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let temporary = Temporary::create(&self.temporary_directory())?;
                let aside = temporary.file.path().with_extension("link");
                fs::hard_link(file.path(), &aside)?;
                fault::step();
                let renamed = fs::rename(&aside, to);
                // It is still there if another process made the same link meanwhile: then the
                // rename has nothing to do.
                let _ = fs::remove_file(&aside);
                renamed?;
            }
            linked => linked?,
        }
        fault::step();
        Ok(())
    }

    fn copy(&self, source: &File, to: &Path) -> io::Result<Linked> {
        let mut temporary = Temporary::create(&self.temporary_directory())?;
        let target = temporary.file.file();
        #[cfg(target_os = "linux")]
        let is_cloned = rustix::fs::ioctl_ficlone(target, source.file()).is_ok();
        #[cfg(not(target_os = "linux"))]
        let is_cloned = false;
        if !is_cloned {
            io::copy(&mut source.file(), &mut temporary.file)?;
        }
        create_parent(to)?;
        temporary.rename_to(to)?;
        Ok(if is_cloned { Linked::Reflink } else { Linked::Copy })
    }
}

pub(super) fn create_parent(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent)?;
        fault::step();
    }
    Ok(())
}

/// Makes a file as young as a new one, if it is ours to do so.
pub(super) fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.file().set_modified(SystemTime::now());
    }
}
