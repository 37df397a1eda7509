//! What a blob may come from.

use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

use fs_err::File;
use hod_archive::Digest;

use super::error::RegistryError;
use super::spool::Spool;

/// What is to be uploaded.
#[derive(Debug, Clone, Copy)]
pub enum BlobSource<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, whose digest and size are known.
    File {
        /// The file.
        path: &'a Path,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// Still being written, perhaps.
    Spool(&'a Spool),
}

impl<'s> BlobSource<'s> {
    /// Digest and size; waits for what is still being written.
    pub(crate) fn digest_and_size(&self) -> Result<(Digest, u64), RegistryError> {
        self.known()
    }

    /// Digest and size, as soon as they are known or `bytes` are there.
    pub(super) fn known_or(&self, bytes: u64) -> io::Result<Option<(Digest, u64)>> {
        match self {
            Self::Bytes(content) => Ok(Some((Digest::of(content), content.len() as u64))),
            Self::File { digest, size, .. } => Ok(Some((*digest, *size))),
            Self::Spool(spool) => spool.wait_for(bytes),
        }
    }

    pub(super) fn known(&self) -> Result<(Digest, u64), RegistryError> {
        let known = self.known_or(u64::MAX).map_err(RegistryError::Source)?;
        Ok(known.expect("waits until it is known"))
    }

    pub(super) fn reader(self, offset: u64) -> Result<Box<dyn Read + 's>, RegistryError> {
        let open = || -> io::Result<Box<dyn Read + 's>> {
            Ok(match self {
                Self::Bytes(content) => {
                    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                    Box::new(&content[from..])
                }
                Self::File { path, .. } => {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(offset))?;
                    Box::new(file)
                }
                Self::Spool(spool) => Box::new(spool.reader(offset)?),
            })
        };
        open().map_err(RegistryError::Source)
    }
}
