//! Trees as text tables.
//!
//! ```text
//! directory/
//! path 644 content of the file
//! path 755 *300000            so many bytes that do not repeat
//! path -> target of a symbolic link
//! path = other                a further name of `other`; `../x` is a file beside the prefix
//! ```
//!
//! `\xNN` is a byte and `\s` a space, in names and targets. Directories on the way are made.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A prefix of its own, removed in the end.
pub(crate) struct Tree {
    home: TempDir,
    prefix: PathBuf,
}

impl Tree {
    pub(crate) fn new(table: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let prefix = home.path().canonicalize().unwrap().join("prefix");
        fs_err::create_dir(&prefix).unwrap();
        grow(&prefix, table);
        Self { home, prefix }
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.prefix.join(unescape(name))
    }

    /// A place beside the prefix.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn fifo(&self, name: &str) {
        let status = std::process::Command::new("mkfifo").arg(self.path(name)).status();
        assert!(status.unwrap().success());
    }

    /// Adds to the tree.
    pub(crate) fn grow(&self, table: &str) {
        grow(&self.prefix, table);
    }
}

/// Makes what `table` says below `prefix`.
pub(crate) fn grow(prefix: &Path, table: &str) {
    for line in table.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(unescape(target), ready(prefix, path)).unwrap();
        } else if let Some((path, other)) = line.split_once(" = ") {
            fs_err::hard_link(prefix.join(unescape(other)), ready(prefix, path)).unwrap();
        } else if let Some(path) = line.strip_suffix('/') {
            fs_err::create_dir_all(prefix.join(unescape(path))).unwrap();
        } else {
            let (path, rest) = line.split_once(' ').expect("a path and a mode");
            let (mode, content) = rest.split_once(' ').unwrap_or((rest, ""));
            let content = match content.strip_prefix('*') {
                Some(length) => noise(length.trim().parse().unwrap()),
                None => content.as_bytes().to_vec(),
            };
            let path = ready(prefix, path);
            fs_err::write(&path, content).unwrap();
            chmod(&path, u32::from_str_radix(mode, 8).unwrap());
        }
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The full path, with a directory to hold it.
fn ready(prefix: &Path, path: &str) -> PathBuf {
    let path = prefix.join(unescape(path));
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

pub(crate) fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        match (byte, more) {
            (b'\\', [b'x', high, low, more @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = more;
            }
            (b'\\', [b's', more @ ..]) => {
                bytes.push(b' ');
                rest = more;
            }
            _ => bytes.push(byte),
        }
    }
    OsString::from_vec(bytes)
}

/// Bytes that look like nothing in particular and can be compressed a little; the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&(state & 0x0f0f_ffff_0f0f_ffff).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
