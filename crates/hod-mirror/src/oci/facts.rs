//! What Hod knows of a package, in the `hod` key of its image config.

mod relocation;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use relocation::{RelocationFacts, RoomNeeded};

/// One package as it was packed. All numbers are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackageFacts {
    /// The package's name.
    pub name: String,
    /// Its version, as written.
    pub version: String,
    /// The 32 characters (base 32) that tell this build from others of the same version.
    pub hash: String,
    /// Where it was installed, absolute, as [`encode_path`] writes it.
    pub prefix: String,
    /// The codec of its layer.
    pub codec: String,
    /// The level the codec worked at.
    pub level: i32,
    /// How a gzip layer is cut into members.
    pub members: String,
    /// The modification time of every entry of the layer, in seconds since 1970.
    pub mtime: i64,
    /// Regular files, each hard-linked inode counted once.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files counted before.
    pub hardlinks: u64,
    /// What no archive can hold: sockets, devices.
    pub skipped: u64,
    /// Bytes in the files.
    pub file_bytes: u64,
    /// Bytes of the uncompressed tar stream.
    pub uncompressed_size: u64,
    /// The largest files, largest first, up to ten: path as [`encode_path`] writes it, and bytes.
    pub largest: Vec<(String, u64)>,
    /// What its binaries need of the place it goes to. Unknown of what was packed by a Hod that did
    /// not look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relocation: Option<RelocationFacts>,
    /// Keys this program does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A path as text: bytes that are not UTF-8, and `%` itself, become `%XX`. JSON has no byte
/// strings, and a path must come back exactly.
pub fn encode_path(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;

    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The path [`encode_path`] wrote. A `%` without two hex digits stands for itself.
pub fn decode_path(text: &str) -> PathBuf {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain(b"/opt/zlib", "/opt/zlib")]
    #[case::not_ascii("/opt/ü".as_bytes(), "/opt/ü")]
    #[case::not_utf_8(b"/opt/\xff\xfe", "/opt/%FF%FE")]
    #[case::a_percent_sign(b"/opt/100%25", "/opt/100%2525")]
    fn a_path_survives_json(#[case] path: &[u8], #[case] text: &str) {
        let path = Path::new(OsStr::from_bytes(path));
        assert_eq!(encode_path(path), text);
        assert_eq!(decode_path(text), path);
    }

    #[test]
    fn facts_keep_large_numbers_and_the_keys_of_a_newer_hod() {
        let text = r#"{"name":"zlib","version":"1.3.1","hash":"abc","prefix":"/opt/zlib","codec":"gzip","level":6,"members":"independent","mtime":0,"files":3,"directories":2,"symlinks":1,"hardlinks":0,"skipped":0,"fileBytes":9007199254740993,"uncompressedSize":18446744073709551615,"largest":[["lib/libz.a",9007199254740993]],"colour":"red"}"#;
        let facts: PackageFacts = serde_json::from_str(text).unwrap();
        assert_eq!(facts.uncompressed_size, u64::MAX);
        assert_eq!(facts.other["colour"], "red");
        assert_eq!(serde_json::to_string(&facts).unwrap(), text);
    }
}
