//! What machine an image is for, in the words of Go, which the image spec uses.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A platform as an index and an image config name it (image-spec `image-index.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// GOARCH.
    pub architecture: String,
    /// GOOS.
    pub os: String,
    /// `variant`, `os.version` and whatever else is there.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Platform {
    /// The machine this program was built for.
    pub fn host() -> Self {
        Self {
            architecture: go_arch(std::env::consts::ARCH, cfg!(target_endian = "little"))
                .to_owned(),
            os: go_os(std::env::consts::OS).to_owned(),
            other: Map::new(),
        }
    }
}

/// The GOARCH of a Rust architecture name; names unknown here are the same in both or passed on.
pub fn go_arch(rust: &str, is_little_endian: bool) -> &str {
    match (rust, is_little_endian) {
        ("x86_64", _) => "amd64",
        ("x86", _) => "386",
        ("aarch64", _) => "arm64",
        ("powerpc64", true) => "ppc64le",
        ("powerpc64", false) => "ppc64",
        ("powerpc", _) => "ppc",
        ("loongarch64", _) => "loong64",
        ("mips64" | "mips64r6", true) => "mips64le",
        ("mips64" | "mips64r6", false) => "mips64",
        ("mips" | "mips32r6", true) => "mipsle",
        ("mips" | "mips32r6", false) => "mips",
        (same, _) => same,
    }
}

/// The GOOS of a Rust operating system name.
pub fn go_os(rust: &str) -> &str {
    match rust {
        "macos" => "darwin",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x86_64", true, "amd64")]
    #[case("aarch64", true, "arm64")]
    #[case("x86", true, "386")]
    #[case("powerpc64", true, "ppc64le")]
    #[case("powerpc64", false, "ppc64")]
    #[case("riscv64", true, "riscv64")]
    #[case("s390x", false, "s390x")]
    fn architectures_have_their_names_in_go(
        #[case] rust: &str,
        #[case] is_little_endian: bool,
        #[case] go: &str,
    ) {
        assert_eq!(go_arch(rust, is_little_endian), go);
        assert_eq!(go_os("macos"), "darwin");
        assert_eq!(go_os("linux"), "linux");
    }
}
