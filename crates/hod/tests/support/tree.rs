//! Trees are text tables: `path mode content`, `path -> target`, `path = path of a hard link`.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Makes what the table says. A path that ends in `/` is a directory, `*3000` stands for 3000
/// bytes that do not compress, `\n` and `\0` are what they are in Rust.
pub(crate) fn make(root: &Path, table: &str) {
    fs_err::create_dir_all(root).unwrap();
    set_mode(root, 0o755);
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        entry(root, line);
    }
}

fn entry(root: &Path, line: &str) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (kind, content) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let (path, content) = (root.join(name), content.trim_start());
    for parent in missing_parents(&path) {
        fs_err::create_dir(parent).unwrap();
        set_mode(parent, 0o755);
    }
    match kind {
        "->" => symlink(content, &path).unwrap(),
        "=" => fs_err::hard_link(root.join(content), &path).unwrap(),
        mode => {
            if name.ends_with('/') {
                fs_err::create_dir_all(&path).unwrap();
            } else {
                fs_err::write(&path, bytes(name, content)).unwrap();
            }
            set_mode(&path, u32::from_str_radix(mode, 8).expect("a mode in octal"));
        }
    }
}

fn missing_parents(path: &Path) -> Vec<&Path> {
    let mut parents: Vec<_> = path.ancestors().skip(1).take_while(|path| !path.exists()).collect();
    parents.reverse();
    parents
}

fn bytes(name: &str, content: &str) -> Vec<u8> {
    match content.strip_prefix('*') {
        Some(length) => noise(name, length.parse().expect("a length")),
        None => content.replace("\\n", "\n").replace("\\0", "\0").into_bytes(),
    }
}

/// Bytes that no codec makes smaller, the same for the same seed (xorshift64*).
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random(&mut state).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The next number after `state`, which must not be zero.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Whatever the umask is.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything below `root`, one line each: name, mode, and size or target.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut Vec<String>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            lines.push(format!("{name}/ {mode:o}"));
            list(root, &path, lines);
        } else if metadata.is_symlink() {
            lines.push(format!("{name} -> {}", fs_err::read_link(&path).unwrap().display()));
        } else {
            lines.push(format!("{name} {mode:o} {}", hex(&fs_err::read(&path).unwrap())));
        }
    }
}

/// Content short enough to read in a failure: length and a checksum (FNV-1a).
fn hex(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} {sum:016x}", bytes.len())
}
