//! What the packer recorded for relocation: `.spack/binary_distribution`.
//!
//! Written exactly as Spack writes it, so that a package packed here and there has one diff id;
//! read leniently, since it comes from all versions of Spack and from other tools.

use std::str::Utf8Error;

use saphyr_parser::ScanError;
use thiserror::Error;

mod read;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use read::shield;

/// The content of `.spack/binary_distribution`, fields in the order in which Spack writes them
/// (`get_buildinfo_dict` in `binary_distribution.py`).
///
/// All text is UTF-8: a name that is not cannot be written, and whoever fills the lists leaves it
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// `<unpadded store root>/bin/sbang` of the store the package was built in. Not written by
    /// the oldest versions.
    pub sbang_install_path: Option<String>,
    /// The store root, with its padding.
    pub buildpath: String,
    /// Where Spack itself was. No reader of today uses it.
    pub spackprefix: String,
    /// The prefix relative to the store root. Unused today, required up to Spack 0.23.
    pub relative_prefix: String,
    /// Whether hard links are listed once; if not, a reader must look for them itself.
    pub hardlinks_deduped: bool,
    /// The DAG hash and the prefix of the package and its link and run dependencies. The order
    /// is that of the alternatives in relocation, and therefore kept.
    pub hash_to_prefix: Vec<(String, String)>,
    /// ELF and Mach-O files, relative to the prefix.
    pub relocate_binaries: Vec<String>,
    /// Absolute symlinks that point into the store.
    pub relocate_links: Vec<String>,
    /// Text files that hold a prefix.
    pub relocate_textfiles: Vec<String>,
}

/// Why some bytes are no build information.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseBuildInfoError {
    /// The bytes are no text.
    #[error("build information is not UTF-8")]
    NotUtf8(#[from] Utf8Error),
    /// The text is neither YAML nor JSON.
    #[error("build information is not YAML")]
    Syntax(#[from] ScanError),
    /// There is something else where the outermost mapping should be.
    #[error("build information is not a mapping")]
    NotAMapping,
    /// A key holds something of another shape.
    #[error("build information has no {expected} as its `{key}`")]
    Mismatch {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A key without which no reader can relocate is not there.
    #[error("build information lacks `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl BuildInfo {
    /// Reads what any version of Spack wrote, or the same as JSON.
    ///
    /// Required are `buildpath`, `hash_to_prefix` (or the inverted `prefix_to_hash` of old
    /// versions), `relocate_binaries` and `relocate_textfiles`; the rest has defaults, and unknown
    /// keys are skipped. Scalars are taken as they are written: a prefix named `1.0` is text.
    ///
    /// # Errors
    /// See [`ParseBuildInfoError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseBuildInfoError> {
        read::build_info(std::str::from_utf8(bytes)?)
    }

    /// The bytes that Spack would write: a YAML flow mapping on one line, and a line feed.
    pub fn render(&self) -> Vec<u8> {
        let mut out = String::from("{");
        if let Some(path) = &self.sbang_install_path {
            out.push_str("sbang_install_path: ");
            scalar::write(&mut out, path);
            out.push_str(", ");
        }
        for (key, text) in [
            ("buildpath", &self.buildpath),
            ("spackprefix", &self.spackprefix),
            ("relative_prefix", &self.relative_prefix),
        ] {
            out.push_str(key);
            out.push_str(": ");
            scalar::write(&mut out, text);
            out.push_str(", ");
        }
        out.push_str("hardlinks_deduped: ");
        out.push_str(if self.hardlinks_deduped { "true" } else { "false" });
        out.push_str(", hash_to_prefix: {");
        separated(&mut out, &self.hash_to_prefix, |out, (hash, prefix)| {
            scalar::write_key(out, hash);
            scalar::write(out, prefix);
        });
        out.push('}');
        for (key, names) in [
            ("relocate_binaries", &self.relocate_binaries),
            ("relocate_links", &self.relocate_links),
            ("relocate_textfiles", &self.relocate_textfiles),
        ] {
            out.push_str(", ");
            out.push_str(key);
            out.push_str(": [");
            separated(&mut out, names, |out, name| scalar::write(out, name));
            out.push(']');
        }
        out.push_str("}\n");
        out.into_bytes()
    }
}

fn separated<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
}
