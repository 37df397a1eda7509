//! Which packages there are, and what their manifests say.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err::{self as fs, File};
use hod_archive::{Codec, Digest, decoder};
use hod_spec::{Database, SpecFile};

use super::INDEX_LIMIT;

use crate::DirectoryMirror;
use crate::error::{Error, ParseError};
use crate::spack::{
    BlobRecord, EntryName, Manifest, SPEC_LIMIT, Signature, SpackContent, SpackEntry, SpackLayer,
    SpackLayout, SpecManifest, V2Name, V2SpecFile,
};

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// The entries of layout 3 by their manifests' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpackNames {
    /// Sorted.
    pub names: Vec<EntryName>,
    /// Manifests under names or in directories where Spack does not look, sorted.
    pub unknown: Vec<PathBuf>,
}

/// The entries of layout 2 by their spec files' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct V2Names {
    /// Sorted. Of a spec file with and one without signature, only the signed one is here: it is
    /// the one Spack reads.
    pub names: Vec<V2Name>,
    /// Spec files with other names, sorted.
    pub unknown: Vec<PathBuf>,
}

impl DirectoryMirror {
    /// Lists the entries of layout 3. Reads no manifest.
    pub fn spack_names(&self) -> Result<SpackNames, Error> {
        let mut all = SpackNames::default();
        if !self.has_spack_half() {
            return Ok(all);
        }
        for (directory, is_directory) in children(&self.spack_manifest_directory())? {
            if !is_directory {
                all.unknown.extend(is_spec_manifest(&directory).then_some(directory));
                continue;
            }
            let package = directory.file_name().and_then(|name| name.to_str());
            for (path, is_directory) in children(&directory)? {
                let file = path.file_name().and_then(|name| name.to_str());
                let name = package.zip(file).and_then(|(p, f)| EntryName::parse(p, f));
                match name {
                    _ if is_directory => collect_manifests(&path, &mut all.unknown)?,
                    Some(name) => all.names.push(name),
                    None => all.unknown.extend(is_spec_manifest(&path).then_some(path)),
                }
            }
        }
        all.names.sort();
        all.unknown.sort();
        Ok(all)
    }

    /// Reads the manifest of an entry; `None` if there is none.
    pub fn read_spack_entry(&self, name: &EntryName) -> Result<Option<SpackEntry>, Error> {
        let path = self.spack_manifest_path(name);
        let Some(bytes) = read_file(&path, Manifest::LIMIT)? else { return Ok(None) };
        let manifest = SpecManifest::parse(bytes)
            .map_err(|source| Error::Unparsable { path: path.clone(), source })?;
        let digest = manifest.layer_digest();
        Ok(Some(SpackEntry {
            name: name.clone(),
            layout: SpackLayout::V3,
            signature: manifest.signature(),
            layer: SpackLayer {
                digest,
                size: Some(manifest.layer().content_length),
                path: self.spack_blob_path(&digest),
            },
            path,
            content: SpackContent::Manifest(manifest),
        }))
    }

    /// Lists the entries of layout 2. Reads no spec file.
    pub fn spack_v2_names(&self) -> Result<V2Names, Error> {
        let mut all = V2Names::default();
        if !self.has_spack_half() {
            return Ok(all);
        }
        for (path, is_directory) in children(&self.v2_directory())? {
            let file = path.file_name().and_then(|name| name.to_str());
            let name = file.filter(|_| !is_directory).and_then(V2Name::parse);
            match (name, file) {
                (Some(name), _) => all.names.push(name),
                (None, Some(file)) if V2Name::is_spec_file(file) => all.unknown.push(path),
                _ => {}
            }
        }
        // The signed one first.
        all.names
            .sort_by(|a, b| a.stem().cmp(b.stem()).then_with(|| b.signature().cmp(&a.signature())));
        all.names.dedup_by(|b, a| a.stem() == b.stem());
        all.unknown.sort();
        Ok(all)
    }

    /// Reads the spec file of an entry of layout 2; `None` if there is none. That it holds the spec
    /// its name tells is checked.
    pub fn read_spack_v2_entry(&self, name: &V2Name) -> Result<Option<SpackEntry>, Error> {
        let path = self.v2_directory().join(name.file_name());
        let Some(bytes) = read_file(&path, V2SpecFile::LIMIT)? else { return Ok(None) };
        let unparsable = |source| Error::Unparsable { path: path.clone(), source };
        let file = V2SpecFile::parse(&bytes).map_err(unparsable)?;
        if name.signature() == Signature::NotVerified && file.signature() == Signature::None {
            return Err(unparsable(ParseError::NotSigned));
        }
        let root = file.spec().root();
        let Some(tarball) = name.tarball_path(root) else {
            let (expected, found) = (name.stem().to_owned(), EntryName::text_of(root));
            return Err(Error::WrongSpec { path, expected, found });
        };
        let entry_name = EntryName::of(root).map_err(|e| unparsable(ParseError::Name(e)))?;
        let tarball = self.v2_directory().join(tarball);
        Ok(Some(SpackEntry {
            name: entry_name,
            layout: SpackLayout::V2,
            signature: file.signature(),
            layer: SpackLayer { digest: file.tarball(), size: file_size(&tarball)?, path: tarball },
            path,
            content: SpackContent::SpecFile(file),
        }))
    }

    /// Reads the index of layout 2; `None` if there is none.
    pub fn read_spack_v2_index(&self) -> Result<Option<Database>, Error> {
        if !self.has_spack_half() {
            return Ok(None);
        }
        let path = self.v2_index_path();
        let Some(bytes) = read_file(&path, INDEX_LIMIT)? else { return Ok(None) };
        let database = Database::parse(bytes)
            .map_err(|error| Error::Unparsable { path, source: ParseError::Database(error) })?;
        Ok(Some(database))
    }

    /// Whether everything the entry names is there in its full length. No content is read.
    pub fn is_spack_entry_complete(&self, entry: &SpackEntry) -> Result<bool, Error> {
        match &entry.content {
            SpackContent::Manifest(manifest) => Ok(self
                .has_spack_blob(&manifest.spec_digest(), manifest.spec().content_length)?
                && self.has_spack_blob(&entry.layer.digest, manifest.layer().content_length)?),
            SpackContent::SpecFile(_) => Ok(file_size(&entry.layer.path)?.is_some()),
        }
    }

    /// Reads the spec of an entry. Its digest is verified, and that it is the spec the entry is
    /// named by: nothing else ties a manifest to its name (`spack-format` 4.4).
    pub fn read_spec(&self, entry: &SpackEntry) -> Result<SpecFile, Error> {
        let manifest = match &entry.content {
            SpackContent::SpecFile(file) => return Ok(file.spec().clone()),
            SpackContent::Manifest(manifest) => manifest,
        };
        let digest = manifest.spec_digest();
        let spec = parse_spec(digest, self.read_spack_blob(&digest, manifest.spec(), SPEC_LIMIT)?)?;
        if EntryName::of(spec.root()).is_ok_and(|found| found == entry.name) {
            return Ok(spec);
        }
        let (expected, found) = (entry.name.to_string(), EntryName::text_of(spec.root()));
        Err(Error::WrongSpec { path: entry.path.clone(), expected, found })
    }

    /// The bytes of a blob of the Spack half, as long as its record says; the digest is verified.
    pub(super) fn read_spack_blob(
        &self,
        digest: &Digest,
        record: &BlobRecord,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let (digest, size) = (*digest, record.content_length);
        if size > limit {
            return Err(Error::TooLarge { digest, size, limit });
        }
        let path = self.spack_blob_path(&digest);
        let Some(bytes) = read_up_to(&path, size + 1)? else {
            return Err(Error::MissingBlob { digest, path });
        };
        match Digest::of(&bytes) {
            // Spack does not compare lengths, so a wrong one alone is no reason not to read.
            found if found == digest => Ok(bytes),
            _ if bytes.len() as u64 != size => {
                Err(Error::SizeMismatch { digest, expected: size, found: bytes.len() as u64 })
            }
            found => Err(Error::DigestMismatch { expected: digest, found }),
        }
    }

    pub(super) fn has_spack_blob(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        Ok(file_size(&self.spack_blob_path(digest))? == Some(size))
    }
}

/// A spec blob: JSON, compressed or not, which Spack tells by its first bytes.
pub(in crate::directory) fn parse_spec(digest: Digest, bytes: Vec<u8>) -> Result<SpecFile, Error> {
    let text = if bytes.starts_with(GZIP_MAGIC) { gunzip(digest, &bytes)? } else { bytes };
    SpecFile::parse(text)
        .map_err(|error| Error::Document { digest, source: ParseError::SpecFile(error) })
}

fn gunzip(digest: Digest, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    decoder(Codec::Gzip, BufReader::new(bytes))
        .and_then(|stream| stream.take(SPEC_LIMIT + 1).read_to_end(&mut text))
        .map_err(|error| Error::Document { digest, source: ParseError::Gzip(error) })?;
    if text.len() as u64 > SPEC_LIMIT {
        return Err(Error::TooLarge { digest, size: text.len() as u64, limit: SPEC_LIMIT });
    }
    Ok(text)
}

/// What is in a directory, and whether it is a directory itself. Where there is no directory,
/// nothing is in it.
pub(in crate::directory) fn children(directory: &Path) -> Result<Vec<(PathBuf, bool)>, Error> {
    let error = |source| Error::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(error)?;
        let kind = entry.file_type().map_err(error)?;
        let path = entry.path();
        let is_directory = kind.is_dir() || (kind.is_symlink() && path.is_dir());
        children.push((path, is_directory));
    }
    Ok(children)
}

/// Spack takes manifests from any depth; it never installs those.
fn collect_manifests(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for (path, is_directory) in children(&directory)? {
            if is_directory && !path.is_symlink() {
                directories.push(path);
            } else if is_spec_manifest(&path) {
                found.push(path);
            }
        }
    }
    Ok(())
}

fn is_spec_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| EntryName::is_manifest(&name.to_string_lossy()))
}

/// The bytes of a small file; `None` if it does not exist.
pub(in crate::directory) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let bytes = read_up_to(path, limit + 1)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > limit) {
        let source = ParseError::TooLong { limit };
        return Err(Error::Unparsable { path: path.to_owned(), source });
    }
    Ok(bytes)
}

fn read_up_to(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
        Ok(_) => Ok(Some(bytes)),
    }
}

pub(super) fn file_size(path: &Path) -> Result<Option<u64>, Error> {
    match fs::metadata(path) {
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
        Ok(metadata) => Ok(Some(metadata.len())),
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
