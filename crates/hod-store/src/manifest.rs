//! `.spack/install_manifest.json`: what was installed, by which `spack verify manifest` tells
//! whether it still is (`spack-format` 1.4).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE32;
use hod_spec::python::{write_float, write_string};
use sha1::{Digest, Sha1};

mod parse;
#[cfg(test)]
mod tests;
mod verify;

pub use verify::{Difference, Mismatch};

/// Where it is in a prefix.
const MANIFEST: &str = ".spack/install_manifest.json";
/// A file that Spack rewrites when it likes, and so looks at nowhere.
const TIMES: &str = "install_times.json";

/// What was installed, by absolute path: everything in a prefix, and the prefix.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InstallManifest {
    /// Sorted by path.
    pub entries: BTreeMap<PathBuf, ManifestEntry>,
}

/// One file, directory or symlink.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestEntry {
    /// All of `st_mode`, type included.
    pub mode: u32,
    /// Its user's number.
    pub owner: u32,
    /// Its group's number.
    pub group: u32,
    /// What it is.
    pub kind: ManifestKind,
}

/// What an entry is, as far as Spack tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestKind {
    /// A symlink.
    Symlink {
        /// Where it leads, as written in it.
        target: PathBuf,
    },
    /// A file.
    File {
        /// [`manifest_hash`] of its content.
        hash: Box<str>,
        /// When it was changed last, in seconds since 1970.
        time: f64,
        /// In bytes.
        size: u64,
    },
    /// A directory, or something rare.
    Other,
}

/// Why some bytes are no manifest.
#[derive(Debug, thiserror::Error)]
#[error("not a manifest of installed files")]
pub struct ManifestError(#[from] serde_json::Error);

impl InstallManifest {
    /// Reads a manifest. Paths may be of any bytes, for which Spack has an escape; what is not an
    /// entry as Spack writes it is left out.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        Ok(Self { entries: parse::entries(bytes)? })
    }

    /// Looks at all that is in `prefix`, a path on this machine, and writes it down for a package
    /// whose files are known to be in `recorded`. What Spack never checks is left out: the manifest
    /// and the times of installation, which it would miss if they were listed.
    pub fn survey(prefix: &Path, recorded: &Path) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        for path in verify::walk(prefix) {
            if verify::is_checked(prefix, &path) {
                let relative = path.strip_prefix(prefix).unwrap_or(&path);
                // Without this, the prefix itself would end with a separator.
                let name = if relative.as_os_str().is_empty() {
                    recorded.to_owned()
                } else {
                    recorded.join(relative)
                };
                entries.insert(name, ManifestEntry::of(&path)?);
            }
        }
        Ok(Self { entries })
    }

    /// The text of the file, as Spack writes it but for the order, which is by path.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(self.entries.len() * 256);
        out.push('{');
        for (index, (path, entry)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_path(&mut out, path);
            out.push(':');
            entry.render(&mut out);
        }
        out.push('}');
        out
    }
}

impl ManifestEntry {
    fn render(&self, out: &mut String) {
        let Self { mode, owner, group, kind } = self;
        write!(out, "{{\"mode\":{mode},\"owner\":{owner},\"group\":{group}")
            .expect("a string takes everything");
        match kind {
            ManifestKind::Symlink { target } => {
                out.push_str(",\"dest\":");
                write_path(out, target);
            }
            ManifestKind::File { hash, time, size } => {
                out.push_str(",\"hash\":");
                write_string(out, hash);
                out.push_str(",\"time\":");
                write_float(out, if time.is_finite() { *time } else { 0.0 });
                write!(out, ",\"size\":{size}").expect("a string takes everything");
            }
            ManifestKind::Other => {}
        }
        out.push('}');
    }
}

/// The time as Python has it, from whole seconds and nanoseconds: `spack verify` compares exactly.
#[allow(clippy::cast_precision_loss)]
pub fn manifest_time(seconds: i64, nanoseconds: i64) -> f64 {
    seconds as f64 + 1e-9 * nanoseconds as f64
}

/// The hash of a file's content, as the manifest has it.
pub fn manifest_hash(content: &[u8]) -> String {
    manifest_digest(&Sha1::digest(content).into())
}

/// The SHA-1 of a file's content, as the manifest has it: in base 32, upper case.
pub fn manifest_digest(sha1: &[u8; 20]) -> String {
    BASE32.encode(sha1)
}

/// A path as Python writes it: a byte that is not UTF-8 is one half of a pair of surrogates
/// (PEP 383).
fn write_path(out: &mut String, path: &Path) {
    out.push('"');
    let mut piece = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        piece.clear();
        write_string(&mut piece, chunk.valid());
        out.push_str(&piece[1..piece.len() - 1]);
        for byte in chunk.invalid() {
            write!(out, "\\udc{byte:02x}").expect("a string takes everything");
        }
    }
    out.push('"');
}

/// The way back, from text in which such halves are encoded like any character.
fn read_path(bytes: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        // U+DC80 to U+DCFF.
        if let [0xed, middle @ 0xb2..=0xb3, last @ 0x80..=0xbf, after @ ..] = rest {
            out.push((middle & 0x03) << 6 | last & 0x3f);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(out).into()
}
