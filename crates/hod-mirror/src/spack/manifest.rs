//! Manifests of layout 3: which blobs something consists of (`spack-format` 4.2).

use hod_archive::Digest;
use serde::{Deserialize, Serialize};

use super::clearsign::{Signature, cleartext};
use super::json;
use crate::error::ParseError;

const VERSION: u64 = 3;
const SHA256: &str = "sha256";

/// What a blob of a build cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BlobKind {
    /// The install tree of a package, as a compressed tar stream.
    Layer,
    /// Its spec.
    Spec,
    /// The database of all packages.
    Index,
    /// A public key.
    Key,
    /// The list of all public keys.
    KeyIndex,
}

impl BlobKind {
    /// The media type that is written. Spack compares media types exactly, so these are those of
    /// Spack 1.0 to 1.2.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Layer => "application/vnd.spack.install.v2.tar+gzip",
            Self::Spec => "application/vnd.spack.spec.v5+json",
            Self::Index => "application/vnd.spack.db.v8+json",
            Self::Key => "application/pgp-keys",
            Self::KeyIndex => "application/vnd.spack.keyindex.v1+json",
        }
    }

    /// What a media type stands for; any version is read.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let is = |start: &str, end: &str| {
            media_type
                .strip_prefix(start)
                .and_then(|rest| rest.strip_suffix(end))
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
        };
        Some(match media_type {
            _ if media_type == Self::Key.media_type() => Self::Key,
            _ if is("application/vnd.spack.install.v", ".tar+gzip") => Self::Layer,
            _ if is("application/vnd.spack.spec.v", "+json") => Self::Spec,
            _ if is("application/vnd.spack.db.v", "+json") => Self::Index,
            _ if is("application/vnd.spack.keyindex.v", "+json") => Self::KeyIndex,
            _ => return None,
        })
    }

    /// The word for a message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer => "install tree",
            Self::Spec => "spec",
            Self::Index => "index",
            Self::Key => "key",
            Self::KeyIndex => "key index",
        }
    }
}

/// What a manifest says of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobRecord {
    /// Bytes as stored. Spack does not compare it.
    pub content_length: u64,
    /// What it is.
    pub media_type: String,
    /// `gzip` or `none`.
    pub compression: String,
    /// `sha256`.
    pub checksum_algorithm: String,
    /// In hex, over the bytes as stored.
    pub checksum: String,
}

impl BlobRecord {
    /// A record as Spack writes it.
    pub fn new(kind: BlobKind, digest: Digest, size: u64) -> Self {
        let is_compressed = matches!(kind, BlobKind::Layer | BlobKind::Spec);
        Self {
            content_length: size,
            media_type: kind.media_type().to_owned(),
            compression: if is_compressed { "gzip" } else { "none" }.to_owned(),
            checksum_algorithm: SHA256.to_owned(),
            checksum: digest.hex(),
        }
    }

    /// What it is, as far as its media type is known.
    pub fn kind(&self) -> Option<BlobKind> {
        BlobKind::from_media_type(&self.media_type)
    }

    /// The checksum, if it is one that may become a path.
    pub fn digest(&self) -> Option<Digest> {
        (self.checksum_algorithm == SHA256).then(|| Digest::from_hex(&self.checksum).ok())?
    }
}

/// A manifest of any kind, with the bytes it was read from: what was signed is never written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    bytes: Vec<u8>,
    signature: Signature,
    records: Vec<BlobRecord>,
}

#[derive(Serialize, Deserialize)]
struct View<T> {
    version: u64,
    data: T,
}

impl Manifest {
    /// The most bytes an honest manifest has: its records are two, and a signature is short.
    pub const LIMIT: u64 = 1 << 20;

    /// Reads a manifest, signed or not. Records may be of any kind and number, and both they and
    /// the manifest may have keys unknown here.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(&bytes).map_err(ParseError::NotUtf8)?;
        let (text, signature) = cleartext(text).map_err(ParseError::Clearsign)?;
        let View { version, data: records } =
            serde_json::from_str(text).map_err(ParseError::Json)?;
        if version != VERSION {
            return Err(ParseError::Number { key: "version", expected: VERSION, found: version });
        }
        Ok(Self { bytes, signature, records })
    }

    /// Renders an unsigned manifest, byte for byte as Spack does.
    pub fn render(records: Vec<BlobRecord>) -> Self {
        let bytes = json::one_token_per_line(&View { version: VERSION, data: &records });
        Self { bytes, signature: Signature::None, records }
    }

    /// The bytes as stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is signed.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// All records.
    pub fn records(&self) -> &[BlobRecord] {
        &self.records
    }

    /// The first record of a kind, which is the one that counts, and its digest.
    pub fn first(&self, kind: BlobKind) -> Result<(&BlobRecord, Digest), ParseError> {
        let (position, digest) = self.position(kind)?;
        Ok((&self.records[position], digest))
    }

    fn position(&self, kind: BlobKind) -> Result<(usize, Digest), ParseError> {
        let position = self.records.iter().position(|record| record.kind() == Some(kind));
        let position = position.ok_or(ParseError::NoRecord { kind })?;
        let record = &self.records[position];
        let digest = record.digest().ok_or_else(|| ParseError::Checksum {
            algorithm: record.checksum_algorithm.chars().take(100).collect(),
            checksum: record.checksum.chars().take(100).collect(),
        })?;
        Ok((position, digest))
    }
}

/// The manifest of a package: it certainly has an install tree and a spec, and both have digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecManifest {
    manifest: Manifest,
    layer: (usize, Digest),
    spec: (usize, Digest),
}

impl SpecManifest {
    /// Reads the manifest of a package.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ParseError> {
        let manifest = Manifest::parse(bytes)?;
        let layer = manifest.position(BlobKind::Layer)?;
        let spec = manifest.position(BlobKind::Spec)?;
        Ok(Self { manifest, layer, spec })
    }

    /// Renders an unsigned manifest, byte for byte as Spack does.
    pub fn render(layer: BlobRecord, spec: BlobRecord) -> Result<Self, ParseError> {
        Self::parse(Manifest::render(vec![layer, spec]).bytes)
    }

    /// The install tree.
    pub fn layer(&self) -> &BlobRecord {
        &self.records()[self.layer.0]
    }

    /// The install tree's digest.
    pub fn layer_digest(&self) -> Digest {
        self.layer.1
    }

    /// The spec.
    pub fn spec(&self) -> &BlobRecord {
        &self.records()[self.spec.0]
    }

    /// The spec blob's digest.
    pub fn spec_digest(&self) -> Digest {
        self.spec.1
    }

    /// All records.
    pub fn records(&self) -> &[BlobRecord] {
        self.manifest.records()
    }

    /// The same without the certainty.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Whether it is signed.
    pub fn signature(&self) -> Signature {
        self.manifest.signature()
    }

    /// The bytes as stored.
    pub fn bytes(&self) -> &[u8] {
        self.manifest.bytes()
    }
}
