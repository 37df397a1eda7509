//! What can go wrong with a mirror, as data.

use std::fmt;
use std::io;
use std::path::PathBuf;

use hod_archive::Digest;
use hod_spec::{DatabaseError, SpecFileError};

use crate::directory::LockHolder;
use crate::spack::{BlobKind, ClearsignError, EntryNameError};

/// Everything a mirror call can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the path.
    #[error("there is no mirror at `{}`: the directory does not exist", path.display())]
    DoesNotExist {
        /// Where a mirror was expected.
        path: PathBuf,
    },

    /// The path names something other than a directory.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// Where a mirror was expected.
        path: PathBuf,
    },

    /// The directory is no mirror.
    #[error("`{}` is not a mirror: it {found}", path.display())]
    NotAMirror {
        /// The directory.
        path: PathBuf,
        /// What is there instead.
        found: Found,
    },

    /// The directory is a bare image layout, where nothing of Spack's can be.
    #[error("`{}` is an image layout, not a build cache of Spack", path.display())]
    NoSpackHalf {
        /// The directory.
        path: PathBuf,
    },

    /// The mirror's layout number is above the one this program knows.
    #[error(
        "the mirror was made by a newer hod: the layout version in `{}` is {found}, this program \
         reads up to {supported}",
        path.display()
    )]
    NewerLayout {
        /// The file that says so.
        path: PathBuf,
        /// The version it names.
        found: u64,
        /// The highest version this program reads.
        supported: u64,
    },

    /// The OCI layout in the mirror follows another major version of the image spec.
    #[error(
        "the OCI layout `{}` has version {found:?}, this program reads {supported:?}",
        path.display()
    )]
    UnsupportedOciLayout {
        /// The `oci-layout` file.
        path: PathBuf,
        /// The version it names.
        found: String,
        /// The version this program writes; others of the same major number are read.
        supported: &'static str,
    },

    /// A small file of the layout is not what it should be.
    #[error("cannot understand `{}`", path.display())]
    Unparsable {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: ParseError,
    },

    /// A file of the layout is missing although the rest is there.
    #[error("`{}` is missing", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },

    /// Something could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// Something could not be written.
    #[error("cannot write {what} in the mirror `{}`", path.display())]
    Write {
        /// What was being written.
        what: Written,
        /// The mirror's directory; the source names the file.
        path: PathBuf,
        /// The system's answer; `StorageFull` and `PermissionDenied` are the usual kinds.
        source: io::Error,
    },

    /// A tag is not in the mirror, or not any more.
    #[error("there is no image `{tag}`")]
    MissingTag {
        /// The tag.
        tag: String,
    },

    /// A blob is not in the mirror.
    #[error("the blob {digest} is missing")]
    MissingBlob {
        /// Which blob.
        digest: Digest,
        /// Where it was looked for.
        path: PathBuf,
    },

    /// A publication names content that is not in the mirror, or not in the size it names.
    #[error("cannot publish `{tag}`: its {role} {digest} {}", presence(*found, *expected))]
    MissingContent {
        /// The tag that was to be published.
        tag: String,
        /// What the blob is to the image.
        role: crate::Role,
        /// Which blob.
        digest: Digest,
        /// The size its descriptor names.
        expected: u64,
        /// The size of the blob there, if any.
        found: Option<u64>,
    },

    /// A blob or a stream has another length than was said.
    #[error("the content of {digest} should have {expected} bytes, found {found}")]
    SizeMismatch {
        /// Which blob.
        digest: Digest,
        /// Bytes named by whoever refers to it.
        expected: u64,
        /// Bytes there.
        found: u64,
    },

    /// A blob's bytes do not have the digest it is named by.
    #[error("a blob should have the digest {expected}, found {found}")]
    DigestMismatch {
        /// Its name.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },

    /// A document is larger than any honest one.
    #[error("the document {digest} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Which document.
        digest: Digest,
        /// The size its descriptor names.
        size: u64,
        /// The limit for its kind.
        limit: u64,
    },

    /// A document's bytes cannot be understood.
    #[error("cannot understand the document {digest}")]
    Document {
        /// Which document.
        digest: Digest,
        /// What the parser says.
        source: ParseError,
    },

    /// A file of a build cache is named by one spec and holds another.
    #[error("`{}` should be of the spec {expected}, found {found}", path.display())]
    WrongSpec {
        /// The manifest or spec file.
        path: PathBuf,
        /// The file's name.
        expected: String,
        /// The name of the spec it leads to.
        found: String,
    },

    /// A descriptor leads to something of another kind than was asked for.
    #[error("{digest} has the media type `{found}`, expected {expected}")]
    MediaType {
        /// Which document.
        digest: Digest,
        /// The kind that was asked for.
        expected: &'static str,
        /// The media type the descriptor names.
        found: String,
    },

    /// Another process keeps the index locked. A `lock.owner` whose process died on another
    /// machine has to be removed by hand; a `lock` is free as soon as its process is gone.
    #[error(
        "the index of `{}` is locked{} through `{}`",
        mirror.display(),
        holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default(),
        lock.display()
    )]
    Locked {
        /// The mirror's directory.
        mirror: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// Who holds it, if that is known.
        holder: Option<LockHolder>,
    },

    /// Others wrote the same tag again and again.
    #[error("could not write `{tag}`: others wrote it at the same time, {rounds} times in a row")]
    Contended {
        /// The tag.
        tag: String,
        /// How often it was tried.
        rounds: u32,
    },

    /// A registry did not do what it was asked for.
    #[error(transparent)]
    Registry(Box<crate::registry::RegistryError>),

    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Why bytes are not the document they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Not JSON, or not of the expected shape.
    #[error("not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A number that must be there has another value.
    #[error("`{key}` is {found}, expected {expected}")]
    Number {
        /// The key.
        key: &'static str,
        /// The only value understood.
        expected: u64,
        /// The value there.
        found: u64,
    },
    /// `mediaType` inside the document contradicts its kind.
    #[error("its media type is `{found}`, expected {expected}")]
    MediaType {
        /// The kind of document.
        expected: &'static str,
        /// What the document says of itself.
        found: String,
    },
    /// The bytes are no text.
    #[error("not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// There are more bytes than any honest document of its kind has.
    #[error("it is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit for its kind.
        limit: u64,
    },
    /// It cannot be decompressed.
    #[error("it cannot be decompressed")]
    Gzip(#[source] io::Error),
    /// It looks like a clear-signed text and is none that Spack would accept.
    #[error("it is not properly clear-signed")]
    Clearsign(#[source] ClearsignError),
    /// Its name says that it is signed, and it is not.
    #[error("it is not signed, though its name says so")]
    NotSigned,
    /// A manifest lacks something.
    #[error("it has no {}", kind.name())]
    NoRecord {
        /// What is missing.
        kind: BlobKind,
    },
    /// A checksum that is not SHA-256 in 64 lower-case hex digits.
    #[error("`{algorithm}` `{checksum}` is not a SHA-256 checksum")]
    Checksum {
        /// The algorithm, cut to 100 characters.
        algorithm: String,
        /// The checksum, cut to 100 characters.
        checksum: String,
    },
    /// The manifest of an index names none.
    #[error("it names no index")]
    NoIndexLayer,
    /// Not a spec.
    #[error("not a spec")]
    SpecFile(#[source] SpecFileError),
    /// Not a database of specs.
    #[error("not a database")]
    Database(#[source] DatabaseError),
    /// The spec has a name or version that no package has.
    #[error("its spec has no usable name")]
    Name(#[source] EntryNameError),
    /// A document that could be read as manifest and as index (CVE-2021-41190).
    #[error("it has both `{first}` and `{second}`, so readers may disagree on what it is")]
    Ambiguous {
        /// A key of the kind it was read as.
        first: &'static str,
        /// A key of the other kind.
        second: &'static str,
    },
}

/// What was found where a mirror was expected; completes "`DIR` is not a mirror: it …".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Nothing at all.
    Empty,
    /// An OCI image layout without the directory around it.
    OciLayout,
    /// A mirror, where a bare image layout was expected.
    Mirror,
    /// Files of somebody else.
    Files {
        /// How many entries the directory has.
        count: usize,
        /// The first of them by name.
        first: PathBuf,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::OciLayout => f.write_str("is a bare OCI image layout"),
            Self::Mirror => f.write_str("is more than a bare OCI image layout"),
            Self::Files { count: 1, first } => write!(f, "holds `{}`", first.display()),
            Self::Files { count, first } => {
                write!(f, "holds `{}` and {} more", first.display(), count - 1)
            }
        }
    }
}

/// What was being written; completes "cannot write …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// The directories and marker files of a new mirror.
    Layout,
    /// A blob whose digest is not known yet.
    NewBlob,
    /// A blob.
    Blob(Digest),
    /// `index.json`.
    Index,
    /// The lock file.
    Lock,
    /// A manifest of the Spack half.
    Manifest,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout => f.write_str("the layout"),
            Self::NewBlob => f.write_str("a new blob"),
            Self::Blob(digest) => write!(f, "the blob {digest}"),
            Self::Index => f.write_str("the index"),
            Self::Lock => f.write_str("the lock"),
            Self::Manifest => f.write_str("a manifest"),
        }
    }
}

fn presence(found: Option<u64>, expected: u64) -> String {
    match found {
        None => "is not in the mirror".to_owned(),
        Some(found) => format!("should have {expected} bytes, found {found}"),
    }
}
