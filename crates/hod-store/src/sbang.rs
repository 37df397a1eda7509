//! Scripts whose first line is longer than the system reads: a helper reads it instead
//! (`hooks/sbang.py` in Spack, `spack-format` 1.8).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

use crate::Error;

#[cfg(test)]
mod tests;

/// How much of a first line all systems read, its end included.
const SYSTEM_LIMIT: usize = if cfg!(target_os = "macos") { 511 } else { 127 };
/// The longest first line that Spack takes for one.
const LONGEST: usize = 4096;

/// The helper. Spack replaces it by its own as soon as it installs something; both understand the
/// same scripts.
const HELPER: &str = include_str!("sbang/sbang.sh");

/// A script that runs with the `sbang` at this path, if its own first line is too long for the
/// system. `None` for all that can stay as it is.
///
/// The old first line comes second, in a form that is a comment in the script's language.
pub fn wrap_shebang(content: &[u8], is_executable: bool, sbang: &Path) -> Option<Vec<u8>> {
    let head = &content[..content.len().min(LONGEST)];
    if !is_executable || !head.starts_with(b"#!") {
        return None;
    }
    let end = head.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    if end.is_none() && head.len() == LONGEST {
        return None;
    }
    let (line, rest) = content.split_at(end.unwrap_or(head.len()));
    if line.len() <= SYSTEM_LIMIT {
        return None;
    }
    let first = [b"#!/bin/sh ", sbang.as_os_str().as_bytes(), b"\n"].concat();
    if line == first {
        return None;
    }
    let second: &[&[u8]] = match interpreter(line)? {
        lua if lua.ends_with(b"/lua") || lua.ends_with(b"/luajit") => &[b"--!", &line[2..]],
        node if node.ends_with(b"/node") => &[b"//!", &line[2..]],
        php if php.ends_with(b"/php") => &[b"<?php ", line, b" ?>"],
        _ => &[line],
    };
    Some([&first, &second.concat(), rest].concat())
}

/// The first word, which ends where C would see an end.
fn interpreter(line: &[u8]) -> Option<&[u8]> {
    let start = line[2..].iter().position(|byte| !matches!(byte, b' ' | b'\t'))? + 2;
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\0' | b'\n');
    let length = line[start..].iter().position(is_end).unwrap_or(line.len() - start);
    (length > 0).then(|| &line[start..start + length])
}

/// Several threads may find at the same time that there is no helper.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Writes the helper to `bin/sbang` of a root without padding, if there is none. Whether it was
/// written. A root that is too deep for it is an error, as it is for Spack.
pub fn ensure_sbang(unpadded_root: &Path) -> Result<bool, Error> {
    let path = unpadded_root.join("bin/sbang");
    if path.as_os_str().len() > SYSTEM_LIMIT {
        return Err(Error::SbangPath { path, limit: SYSTEM_LIMIT });
    }
    if fs::symlink_metadata(&path).is_ok() {
        return Ok(false);
    }
    let directory = unpadded_root.join("bin");
    let host = nix::unistd::gethostname().unwrap_or_default();
    let host = host.to_string_lossy().replace('/', "_");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let temporary = directory.join(format!(".sbang.{host}.{process}.{count}.tmp"));
    let written = fs::create_dir_all(&directory)
        .and_then(|()| write(&temporary))
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|source| {
        // What is left is of no use, and the first error says more.
        let _ = fs::remove_file(&temporary);
        Error::Write { path, source }
    })?;
    Ok(true)
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o755).open(path)?;
    io::Write::write_all(&mut file, HELPER.as_bytes())?;
    // Whatever the umask is, all who can read scripts can run them.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path, mode)
}
