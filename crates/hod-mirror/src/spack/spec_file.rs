//! The spec file of layout 2, which is its manifest as well (`spack-format` 4.8).

use hod_archive::Digest;
use hod_spec::SpecFile;
use serde::Deserialize;

use super::clearsign::{Signature, cleartext};
use crate::error::ParseError;

/// Spack reads up to this; a missing version is 0.
const NEWEST: u64 = 2;

/// A spec file of layout 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V2SpecFile {
    signature: Signature,
    spec: SpecFile,
    tarball: Digest,
}

#[derive(Deserialize)]
struct View {
    #[serde(default)]
    buildcache_layout_version: u64,
    binary_cache_checksum: Checksum,
}

#[derive(Deserialize)]
struct Checksum {
    hash_algorithm: String,
    hash: String,
}

impl V2SpecFile {
    /// The most bytes an honest spec file has.
    pub const LIMIT: u64 = 64 << 20;

    /// Reads a spec file, signed or not.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(bytes).map_err(ParseError::NotUtf8)?;
        let (text, signature) = cleartext(text).map_err(ParseError::Clearsign)?;
        let View { buildcache_layout_version: found, binary_cache_checksum: checksum } =
            serde_json::from_str(text).map_err(ParseError::Json)?;
        if found > NEWEST {
            let key = "buildcache_layout_version";
            return Err(ParseError::Number { key, expected: NEWEST, found });
        }
        let digest = (checksum.hash_algorithm == "sha256")
            .then(|| Digest::from_hex(&checksum.hash).ok())
            .flatten();
        let tarball = digest.ok_or_else(|| ParseError::Checksum {
            algorithm: checksum.hash_algorithm.chars().take(100).collect(),
            checksum: checksum.hash.chars().take(100).collect(),
        })?;
        let spec = SpecFile::parse(text.as_bytes().to_vec()).map_err(ParseError::SpecFile)?;
        Ok(Self { signature, spec, tarball })
    }

    /// Whether it is signed.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// The spec.
    pub fn spec(&self) -> &SpecFile {
        &self.spec
    }

    /// The digest of the tarball.
    pub fn tarball(&self) -> Digest {
        self.tarball
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOLDEN: &str = include_str!(
        "../../../../fixtures/spack/v2-unsigned/build_cache/linux-debian12-x86_64-gcc-12.2.0-\
         bzip2-1.0.8-qgtzefbgbexq5fr6wfgeg6fg2s2t6bva.spec.json"
    );

    #[test]
    fn a_spec_file_of_spack_is_read() {
        let file = V2SpecFile::parse(GOLDEN.as_bytes()).unwrap();
        assert_eq!(file.signature(), Signature::None);
        assert_eq!(&*file.spec().root().name, "bzip2");
        // A missing version is an old one.
        let old = GOLDEN.replace("\"buildcache_layout_version\"", "\"something\"");
        assert_eq!(V2SpecFile::parse(old.as_bytes()).unwrap(), file);
    }

    #[rstest]
    #[case::newer("layout_version\":2", "layout_version\":3", "is 3, expected 2")]
    #[case::no_checksum("\"binary_cache_checksum\"", "\"other\"", "not the expected JSON")]
    #[case::algorithm("\"sha256\"", "\"md5\"", "is not a SHA-256 checksum")]
    #[case::checksum("\"hash\":\"4", "\"hash\":\"/", "is not a SHA-256 checksum")]
    #[case::no_spec("\"spec\":", "\"other\":", "not a spec")]
    fn what_is_no_spec_file_is_refused(
        #[case] what: &str,
        #[case] becomes: &str,
        #[case] expected: &str,
    ) {
        let changed = GOLDEN.replacen(what, becomes, 1);
        assert_ne!(changed, GOLDEN);
        let error = V2SpecFile::parse(changed.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
