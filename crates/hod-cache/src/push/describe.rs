//! What a packed tree says of itself: its hash, its build information, its image.

use hod_archive::{BeforeLast, Digest, Encoding, Inspect, InspectFile, Mark, Packed, TreeFacts};
use hod_mirror::oci::{
    Descriptor, Document, ImageConfig, Manifest, PackageFacts, Platform, encode_path,
};
use hod_relocate::{Prefixes, RelocateList, Scanner};
use hod_store::BuildInfo;

use super::one::mirror_error;
use crate::{Error, Package, package};
use hod_mirror::DirectoryMirror;

/// `.spack/binary_distribution`: where Spack looks for build information.
pub(super) const BUILD_INFO: &str = ".spack/binary_distribution";

const BINARY: Mark = Mark(0);
const TEXT: Mark = Mark(1);
const LINK: Mark = Mark(2);

/// A tree in numbers, as they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// Regular files, the build information included.
    pub files: u64,
    /// Directories, the prefix included.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub hardlinks: u64,
    /// Devices, fifos and sockets, which were left out.
    pub skipped: u64,
    /// Bytes in regular files.
    pub file_bytes: u64,
}

impl From<&PackageFacts> for Contents {
    fn from(facts: &PackageFacts) -> Self {
        Self {
            files: facts.files,
            directories: facts.directories,
            symlinks: facts.symlinks,
            hardlinks: facts.hardlinks,
            skipped: facts.skipped,
            file_bytes: facts.file_bytes,
        }
    }
}

impl From<&TreeFacts> for Contents {
    fn from(facts: &TreeFacts) -> Self {
        Self {
            files: facts.files,
            directories: facts.directories,
            symlinks: facts.symlinks,
            hardlinks: facts.hardlinks,
            skipped: facts.skipped.len() as u64,
            file_bytes: facts.file_bytes,
        }
    }
}

/// Sorts files and links into the lists of the build information while they are packed.
#[derive(Debug)]
pub(super) struct Classifier(Prefixes);

impl Classifier {
    /// For a prefix that depends on no other: only its own path is worth relocating.
    pub(super) fn new(package: &Package) -> Self {
        Self(Prefixes::new([package.prefix().as_os_str().as_encoded_bytes()]))
    }
}

impl Inspect for Classifier {
    type File<'a> = FileScanner<'a>;

    fn begin(&self, name: &[u8]) -> Option<FileScanner<'_>> {
        // Spack classifies nothing in its metadata directory (`spack-format` 3.6).
        (!name.starts_with(b".spack/")).then(|| FileScanner(Scanner::new(&self.0)))
    }

    fn link(&self, name: &[u8], target: &[u8]) -> Option<Mark> {
        let listed = !name.starts_with(b".spack/") && self.0.link_points_inside(target);
        listed.then_some(LINK)
    }
}

/// Looks at one file.
#[derive(Debug)]
pub(super) struct FileScanner<'a>(Scanner<'a>);

impl InspectFile for FileScanner<'_> {
    fn push(&mut self, content: &[u8]) {
        self.0.push(content);
    }

    fn finish(self) -> Option<Mark> {
        match self.0.finish().relocate_list()? {
            RelocateList::Binaries => Some(BINARY),
            RelocateList::TextFiles => Some(TEXT),
        }
    }
}

/// The name of a build that Spack did not make: 160 bits of the digest of everything that was
/// packed, in the 32 letters and digits that Spack writes its hashes with.
pub(super) fn hash_of(tree: &Digest) -> String {
    data_encoding::BASE32_NOPAD.encode(&tree.as_bytes()[..20]).to_lowercase()
}

/// Build information for a prefix that Spack did not make. Returned with the number of names it
/// cannot hold because they are not UTF-8.
///
/// `buildpath`, which Spack relocates as "the store", is the prefix itself: what lies beside it is
/// not part of the package, and paths to it must stay.
pub(super) fn build_info(package: &Package, hash: &str, seen: &BeforeLast<'_>) -> (BuildInfo, u64) {
    let prefix = package.prefix().to_string_lossy().into_owned();
    let mut unlisted = 0;
    let mut info = BuildInfo {
        buildpath: prefix.clone(),
        relative_prefix: ".".to_owned(),
        hardlinks_deduped: true,
        hash_to_prefix: vec![(hash.to_owned(), prefix)],
        ..BuildInfo::default()
    };
    for (mark, name) in seen.marks {
        let Ok(name) = String::from_utf8(name.clone()) else {
            unlisted += 1;
            continue;
        };
        match *mark {
            BINARY => info.relocate_binaries.push(name),
            TEXT => info.relocate_textfiles.push(name),
            _ => info.relocate_links.push(name),
        }
    }
    (info, unlisted)
}

/// What the image config says of the package, less its name.
pub(super) fn facts(
    package: &Package,
    hash: String,
    packed: &Packed,
    encoding: Encoding,
    mtime: u64,
) -> PackageFacts {
    let tree = &packed.facts;
    let path = |path: &[u8]| {
        use std::os::unix::ffi::OsStrExt as _;
        encode_path(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))
    };
    PackageFacts {
        name: package.name().to_owned(),
        version: package.version().to_owned(),
        hash,
        prefix: encode_path(package.prefix()),
        codec: encoding.codec().to_string(),
        level: i32::from(encoding.level()),
        members: encoding.members().to_string(),
        mtime: i64::try_from(mtime).unwrap_or(i64::MAX),
        files: tree.files,
        directories: tree.directories,
        symlinks: tree.symlinks,
        hardlinks: tree.hardlinks,
        skipped: tree.skipped.len() as u64,
        file_bytes: tree.file_bytes,
        uncompressed_size: packed.uncompressed_size,
        largest: tree.largest.iter().map(|(name, size)| (path(name), *size)).collect(),
        ..PackageFacts::default()
    }
}

/// Puts the image of one layer into the mirror and returns its descriptor, still without a name.
pub(super) fn put_image(
    mirror: &DirectoryMirror,
    layer: Descriptor,
    diff_id: hod_archive::DiffId,
    facts: PackageFacts,
) -> Result<Descriptor, Error> {
    let error = |source| mirror_error(mirror, source);
    let facts_label = package::label(&facts.name, &facts.version, &facts.hash);
    let document = |source| Error::Document { package: facts_label.clone(), source };
    let annotations = [
        ("org.opencontainers.image.title", facts.name.clone()),
        ("org.opencontainers.image.version", facts.version.clone()),
    ];
    let mut config = ImageConfig::new(vec![diff_id]);
    config.hod = Some(facts);
    let config = Document::render(config).map_err(document)?;
    mirror.put_blob(config.bytes()).map_err(error)?;
    let mut manifest = Manifest::image(config.descriptor(), vec![layer]);
    manifest.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    let manifest = Document::render(manifest).map_err(document)?;
    mirror.put_blob(manifest.bytes()).map_err(error)?;
    Ok(Descriptor { platform: Some(Platform::host()), ..manifest.descriptor() })
}
