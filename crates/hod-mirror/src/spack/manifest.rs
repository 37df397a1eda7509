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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::spack::ClearsignError;

    fn record(kind: BlobKind) -> BlobRecord {
        BlobRecord::new(kind, Digest::of(kind.name().as_bytes()), 7)
    }

    fn text() -> String {
        let manifest = SpecManifest::render(record(BlobKind::Layer), record(BlobKind::Spec));
        String::from_utf8(manifest.unwrap().bytes().to_vec()).unwrap()
    }

    /// From the fixture that Spack made.
    #[test]
    fn what_is_rendered_is_what_spack_writes() {
        let golden = include_bytes!(
            "../../../../fixtures/spack/v3-unsigned/v3/manifests/spec/hello/\
             hello-2.10-arbvturvzrczc6dyodbycjav7qqhraus.spec.manifest.json"
        );
        let parsed = SpecManifest::parse(golden.to_vec()).unwrap();
        let rendered = SpecManifest::render(parsed.layer().clone(), parsed.spec().clone()).unwrap();
        assert_eq!(rendered.bytes(), golden);
        assert_eq!(rendered, parsed);
    }

    #[test]
    fn the_first_record_of_a_kind_counts_and_unknown_keys_and_kinds_are_kept() {
        let mut records = vec![record(BlobKind::Key), record(BlobKind::Layer)];
        records.extend([record(BlobKind::Spec), record(BlobKind::Layer)]);
        records[0].media_type = "text/plain".to_owned();
        records[3].checksum = Digest::of(b"another").hex();
        let text = String::from_utf8(Manifest::render(records).bytes).unwrap();
        let text = text.replace("\"version\":3", "\"new\":[1],\"version\":3");
        let text = text.replace("\"compression\"", "\"newer\":null,\"compression\"");
        let manifest = SpecManifest::parse(text.clone().into_bytes()).unwrap();
        assert_eq!(manifest.layer_digest(), Digest::of(b"install tree"));
        assert_eq!(manifest.spec().kind(), Some(BlobKind::Spec));
        assert_eq!(manifest.records().len(), 4);
        assert_eq!(manifest.bytes(), text.as_bytes());
    }

    #[rstest]
    #[case("application/vnd.spack.spec.v6+json", Some(BlobKind::Spec))]
    #[case("application/vnd.spack.install.v10.tar+gzip", Some(BlobKind::Layer))]
    #[case("application/vnd.spack.db.v8+json", Some(BlobKind::Index))]
    #[case("application/vnd.spack.spec.v+json", None)]
    #[case("application/vnd.spack.spec.v5+yaml", None)]
    #[case("application/vnd.spack.spec.v-5+json", None)]
    fn any_version_of_a_media_type_is_read(
        #[case] media_type: &str,
        #[case] kind: Option<BlobKind>,
    ) {
        assert_eq!(BlobKind::from_media_type(media_type), kind);
    }

    #[test]
    fn a_signed_manifest_is_read_and_kept_as_it_is() {
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n\
             -----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n",
            text()
        );
        let manifest = SpecManifest::parse(signed.clone().into_bytes()).unwrap();
        assert_eq!(manifest.signature(), Signature::NotVerified);
        assert_eq!(manifest.bytes(), signed.as_bytes());
        let cut = signed.replace("Hash: SHA512\n", "").into_bytes();
        let error = SpecManifest::parse(cut).unwrap_err();
        assert!(matches!(error, ParseError::Clearsign(ClearsignError::NoHash)), "{error:?}");
    }

    #[rstest]
    #[case::older("\"version\":3", "\"version\":2", "`version` is 2, expected 3")]
    #[case::no_version("\"version\":3,", "", "not the expected JSON")]
    #[case::twice("\"version\":3", "\"version\":3,\"version\":3", "not the expected JSON")]
    #[case::no_layer("install.v2", "other.v2", "it has no install tree")]
    #[case::no_spec("spec.v5", "other.v5", "it has no spec")]
    #[case::negative(":7,", ":-7,", "not the expected JSON")]
    #[case::no_length("\"contentLength\":7,\n", "", "not the expected JSON")]
    #[case::algorithm("\"sha256\"", "\"md5\"", "is not a SHA-256 checksum")]
    #[case::algorithm_path("\"sha256\"", "\"..\"", "is not a SHA-256 checksum")]
    #[case::checksum("\"checksum\":\"", "\"checksum\":\"../", "is not a SHA-256 checksum")]
    #[case::more("]\n}", "]\n}{}", "not the expected JSON")]
    fn what_is_no_manifest_is_refused(
        #[case] what: &str,
        #[case] becomes: &str,
        #[case] expected: &str,
    ) {
        let changed = text().replacen(what, becomes, 1);
        assert_ne!(changed, text());
        let error = SpecManifest::parse(changed.into_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        SpecManifest::parse(vec![0xff]).unwrap_err();
    }
}
