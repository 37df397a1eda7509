//! `cpython`: the installed Python's own prefix without `site-packages`, and replicas of its
//! smaller library files until there are 45,000 files.
//!
//! A replica lies in a directory of its own, tens of megabytes of tar stream away from its model,
//! so no gzip window and no zstd window of the usual levels sees both.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::Made;
use super::synthetic::Random;

const FILES: usize = 45_000;
/// Larger files are not replicated, so that the mean size stays that of a real prefix with its
/// site-packages (15 kB).
const REPLICATED_BELOW: u64 = 48 << 10;
/// Bytes between two misspellings in a replica, beside four. Chosen so that gzip -6
/// makes 26 to 27 % of the tar, as of a real prefix with its site-packages.
const STRIDE: usize = 16;

struct Python {
    version: String,
    prefix: PathBuf,
    library: PathBuf,
    include: PathBuf,
}

/// Copies and replicates what `HOD_PYTHON` (or `python3`) has installed.
pub(super) fn make(root: &Path) -> anyhow::Result<Made> {
    let program = std::env::var_os("HOD_PYTHON").unwrap_or_else(|| "python3".into());
    let python = match find(&program) {
        Ok(python) => python,
        Err(error) => return Ok(Made::Skipped(format!("no usable Python: {error:#}"))),
    };
    let mut entries = Vec::new();
    for top in [&python.library, &python.include] {
        collect(&python.prefix, top, &mut entries)?;
    }
    collect_own(&python.prefix, "bin", &mut entries)?;
    collect_own(&python.prefix, "lib", &mut entries)?;
    collect_own(&python.prefix, "lib/pkgconfig", &mut entries)?;
    collect_own(&python.prefix, "share/man/man1", &mut entries)?;
    entries.sort();
    entries.dedup();

    let mut files = 0;
    for relative in &entries {
        files += usize::from(copy(&python.prefix, relative, root)?);
    }
    let library = python.library.strip_prefix(&python.prefix)?;
    let mut number = 0;
    while files < FILES {
        number += 1;
        let before = files;
        let replica = root.join(library).join(format!("replica-{number}"));
        for relative in &entries {
            let Ok(below) = relative.strip_prefix(library) else { continue };
            let source = root.join(relative);
            if files == FILES || source.is_symlink() {
                continue;
            }
            if fs_err::metadata(&source)?.len() < REPLICATED_BELOW {
                vary(&source, &replica.join(below), &format!("{number}/{}", below.display()))?;
                files += 1;
            }
        }
        if files == before {
            bail!("{} has no library files to replicate", python.prefix.display());
        }
    }
    normalise_modes(root)?;
    Ok(Made::From(format!("CPython {}", python.version)))
}

fn find(program: &std::ffi::OsStr) -> anyhow::Result<Python> {
    let script = "import sys, sysconfig as s; p = s.get_paths(); \
                  print(sys.version.replace('\\n', ' '), sys.base_prefix, p['stdlib'], \
                  p['include'], sep='\\n')";
    let output = Command::new(program)
        .args(["-I", "-S", "-c", script])
        .output()
        .with_context(|| format!("could not run {}", program.display()))?;
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().map(str::to_owned);
    let mut next = || lines.next().context("it printed too little");
    let python = Python {
        version: next()?,
        prefix: next()?.into(),
        library: next()?.into(),
        include: next()?.into(),
    };
    if !python.library.starts_with(&python.prefix) || !python.include.starts_with(&python.prefix) {
        bail!("its library is not below {}", python.prefix.display());
    }
    Ok(python)
}

/// Everything below `at` that Python itself installed, as paths below `prefix`.
fn collect(prefix: &Path, at: &Path, entries: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs_err::read_dir(at)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let is_foreign = ["site-packages", "dist-packages"].iter().any(|foreign| name == *foreign);
        if is_foreign {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(prefix, &path, entries)?;
        } else {
            entries.push(path.strip_prefix(prefix)?.to_owned());
        }
    }
    Ok(())
}

/// The files directly in `directory` that Python itself installs there: by name, because the scripts of
/// installed packages share these directories with it.
fn collect_own(prefix: &Path, directory: &str, entries: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let at = prefix.join(directory);
    if !at.is_dir() {
        return Ok(());
    }
    for entry in fs_err::read_dir(&at)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_own = ["python", "libpython", "2to3", "idle", "pydoc"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_own && !entry.file_type()?.is_dir() {
            entries.push(Path::new(directory).join(&*name));
        }
    }
    Ok(())
}

/// Copies one file or link; says whether it was a regular file.
fn copy(prefix: &Path, relative: &Path, root: &Path) -> anyhow::Result<bool> {
    let (source, target) = (prefix.join(relative), root.join(relative));
    fs_err::create_dir_all(target.parent().expect("below the root"))?;
    if source.is_symlink() {
        fs_err::os::unix::fs::symlink(fs_err::read_link(&source)?, &target)?;
        return Ok(false);
    }
    fs_err::copy(&source, &target)?;
    Ok(true)
}

/// Writes `target` as a copy of `source` with other spellings.
fn vary(source: &Path, target: &Path, seed: &str) -> anyhow::Result<()> {
    let mut content = fs_err::read(source)?;
    misspell(&mut content, &mut Random::of(seed));
    fs_err::create_dir_all(target.parent().expect("below the root"))?;
    fs_err::write(target, content)?;
    if fs_err::metadata(source)?.permissions().mode() & 0o100 != 0 {
        fs_err::set_permissions(target, PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// Puts another letter for a small letter now and then: text stays text, a `.pyc` or shared object
/// keeps its shape, and the replica compresses about as badly as the packages it stands for.
fn misspell(content: &mut [u8], random: &mut Random) {
    let mut at = 16;
    while let Some(byte) = content.get_mut(at) {
        if byte.is_ascii_lowercase() {
            *byte = b'a' + u8::try_from(random.below(26)).expect("a letter");
        }
        at += 4 + random.below(STRIDE);
    }
}

/// 0755 for directories and what its owner may execute, 0644 for the rest: whatever the umask.
fn normalise_modes(at: &Path) -> anyhow::Result<()> {
    fs_err::set_permissions(at, PermissionsExt::from_mode(0o755))?;
    for entry in fs_err::read_dir(at)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            normalise_modes(&entry.path())?;
        } else if kind.is_file() {
            let is_executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if is_executable { 0o755 } else { 0o644 };
            fs_err::set_permissions(entry.path(), PermissionsExt::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variations_differ_and_repeat() {
        let text = "\u{7f}ELF import os, sys\n".repeat(100).into_bytes();
        let vary = |name| {
            let mut content = text.clone();
            misspell(&mut content, &mut Random::of(name));
            content
        };
        assert_eq!(vary("1"), vary("1"));
        assert_ne!(vary("1"), vary("2"));
        assert_eq!(vary("1")[..16], text[..16]);
        let changed = vary("1").iter().zip(&text).filter(|(a, b)| a != b).count();
        assert!((text.len() / 40..text.len() / 5).contains(&changed), "{changed}");
        assert!(String::from_utf8(vary("1")).is_ok());
    }
}
