//! What is published, and the documents behind it.

use std::io::{self, Read};

use fs_err::File;
use hod_archive::Digest;

use super::DirectoryMirror;
use crate::error::{Error, ParseError};
use crate::oci::{Descriptor, Document, ImageConfig, Index, Kind, Manifest, media_type};

/// One line of `index.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name it is published under. Entries of other tools may have none, or one that is no
    /// [`Tag`](crate::oci::Tag).
    pub tag: Option<String>,
    /// What it leads to: a manifest, an index of manifests, or something unknown.
    pub descriptor: Descriptor,
}

impl DirectoryMirror {
    /// All entries this program understands, untagged ones first, then by tag. What it does not
    /// understand is passed over here and named by [`check`](Self::check).
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let entry = |descriptor: Descriptor| Entry {
            tag: descriptor.ref_name().map(str::to_owned),
            descriptor,
        };
        Ok(self.read_index()?.descriptors().flatten().map(entry).collect())
    }

    /// Reads an image manifest; its size and digest are verified.
    pub fn read_manifest(&self, descriptor: &Descriptor) -> Result<Document<Manifest>, Error> {
        if media_type::is_manifest(&descriptor.media_type) {
            self.read_document(descriptor)
        } else {
            Err(wrong_media_type::<Manifest>(descriptor))
        }
    }

    /// Reads an image config; its size and digest are verified.
    pub fn read_config(&self, descriptor: &Descriptor) -> Result<Document<ImageConfig>, Error> {
        if media_type::is_config(&descriptor.media_type) {
            self.read_document(descriptor)
        } else {
            Err(wrong_media_type::<ImageConfig>(descriptor))
        }
    }

    pub(super) fn read_document<T: Kind>(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Document<T>, Error> {
        let Descriptor { digest, size, .. } = *descriptor;
        let bytes = self.read_blob::<T>(digest, size)?;
        Document::parse(bytes).map_err(|source| Error::Document { digest, source })
    }

    /// The bytes of a document, no more than its kind may have; the digest is verified. A wrong
    /// size is told before a wrong digest, because it says more.
    fn read_blob<T: Kind>(&self, digest: Digest, size: u64) -> Result<Vec<u8>, Error> {
        if size > T::LIMIT {
            return Err(Error::TooLarge { digest, size, limit: T::LIMIT });
        }
        let file = self.open_blob(&digest)?;
        let mut bytes = Vec::new();
        file.take(T::LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Read { path: self.blob_path(&digest), source })?;
        if bytes.len() as u64 != size {
            return Err(Error::SizeMismatch { digest, expected: size, found: bytes.len() as u64 });
        }
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(Error::DigestMismatch { expected: digest, found }),
        }
    }

    /// `index.json`. Where the layout was never completed, it is empty.
    pub(super) fn read_index(&self) -> Result<Document<Index>, Error> {
        let path = self.index_path();
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(Index::LIMIT).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.has_oci_layout() {
                    return Err(Error::MissingFile { path });
                }
                bytes = serde_json::to_vec(&Index::empty()).map_err(|error| Error::Unparsable {
                    path: path.clone(),
                    source: ParseError::Json(error),
                })?;
            }
            Err(source) => return Err(Error::Read { path, source }),
            Ok(_) => {}
        }
        Document::parse(bytes).map_err(|source| Error::Unparsable { path, source })
    }
}

fn wrong_media_type<T: Kind>(descriptor: &Descriptor) -> Error {
    Error::MediaType {
        digest: descriptor.digest,
        expected: T::NAME,
        found: descriptor.media_type.clone(),
    }
}
