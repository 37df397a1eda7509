//! Packages get their manifests: content before name. No lock is needed, since each has a file
//! of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::blob::touch;
use super::entry::file_size;
use crate::directory::{durable, fault};
use crate::error::{Error, Written};
use crate::spack::{BlobRecord, EntryName, SpecManifest};
use crate::{DirectoryMirror, Role};

/// The content of `layout.json`, with the spaces Python writes (`spack-format` 4.1).
const LAYOUT: &[u8] = br#"{"signing": "gpg"}"#;

/// A package and what it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpackPublication {
    /// What it is to be called.
    pub name: EntryName,
    /// Its install tree, a blob of the Spack half.
    pub layer: BlobRecord,
    /// Its spec, a blob of the Spack half.
    pub spec: BlobRecord,
}

impl DirectoryMirror {
    /// Gives each package its manifest, unsigned; one that was there is replaced, be it signed or
    /// not. If a blob is missing, nothing is published. The index is another matter: Spack finds a package by
    /// its manifest alone.
    pub fn publish_spack(&self, publications: &[SpackPublication]) -> Result<(), Error> {
        if publications.is_empty() {
            return Ok(());
        }
        self.require_spack_half()?;
        self.prepare()?;
        let mut manifests = Vec::new();
        let mut blobs = BTreeSet::new();
        for publication in publications {
            let path = self.spack_manifest_path(&publication.name);
            manifests.push((path, self.require_content(publication, &mut blobs)?));
        }
        // The names of blobs, ours and those Spack put there, go to disk before those that lead
        // to them.
        self.sync_up_to_root(blobs)?;

        self.ensure_spack_layout()?;
        for (path, manifest) in &manifests {
            if !fs::read(path).is_ok_and(|there| there == manifest.bytes()) {
                self.put_file(path, manifest.bytes())
                    .map_err(self.write_error(Written::Manifest))?;
            }
        }
        self.sync_up_to_root(manifests.into_iter().map(|(path, _)| path))
    }

    /// Without this file, Spack warns before each push. Its name is on disk when that of a
    /// manifest is.
    pub(super) fn ensure_spack_layout(&self) -> Result<(), Error> {
        let path = self.path().join("v3/layout.json");
        if path.exists() {
            return Ok(());
        }
        self.put_file(&path, LAYOUT).map_err(self.write_error(Written::Manifest))
    }

    fn require_content(
        &self,
        SpackPublication { name, layer, spec }: &SpackPublication,
        blobs: &mut BTreeSet<PathBuf>,
    ) -> Result<SpecManifest, Error> {
        let manifest = SpecManifest::render(layer.clone(), spec.clone())
            .map_err(|source| Error::Unparsable { path: self.spack_manifest_path(name), source })?;
        let wanted = [
            (Role::Layer, manifest.layer_digest(), layer.content_length),
            (Role::Spec, manifest.spec_digest(), spec.content_length),
        ];
        for (role, digest, expected) in wanted {
            let path = self.spack_blob_path(&digest);
            let mut found = file_size(&path)?;
            if found != Some(expected) && self.has_blob(&digest, expected)? {
                // Spack may have pruned it since: what has no manifest is waste to it.
                self.share_with_spack(&digest, expected)?;
                found = file_size(&path)?;
            }
            if found != Some(expected) {
                let tag = name.to_string();
                return Err(Error::MissingContent { tag, role, digest, expected, found });
            }
            touch(&path);
            blobs.insert(path);
        }
        Ok(manifest)
    }

    /// Brings the names of `files` to disk, and those of all directories above them in the mirror.
    pub(super) fn sync_up_to_root(
        &self,
        files: impl IntoIterator<Item = PathBuf>,
    ) -> Result<(), Error> {
        let mut directories = BTreeSet::new();
        for file in files {
            let above = file.ancestors().skip(1).take_while(|path| path.starts_with(self.path()));
            directories.extend(above.map(Path::to_owned));
        }
        // The deepest first, so that a name is there only with what it leads to.
        for directory in directories.iter().rev() {
            durable::sync_directory(directory).map_err(self.write_error(Written::Manifest))?;
        }
        fault::step();
        Ok(())
    }
}
