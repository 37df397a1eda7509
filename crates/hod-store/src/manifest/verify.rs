//! What `spack verify manifest` does (`check_spec_manifest` in Spack's `verify.py`).

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{
    InstallManifest, MANIFEST, ManifestEntry, ManifestKind, TIMES, manifest_digest, manifest_time,
};
use sha1::{Digest, Sha1};

/// Something in a prefix is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// It, as the manifest has it or would have it.
    pub path: PathBuf,
    /// In what.
    pub mismatch: Mismatch,
}

/// In what something is not as it was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mismatch {
    /// The prefix has no manifest.
    ManifestMissing,
    /// The manifest cannot be read.
    ManifestCorrupted,
    /// It was not there.
    Added,
    /// It is not there.
    Deleted,
    /// Its user.
    Owner,
    /// Its group.
    Group,
    /// Its type or permissions; what is in it was not compared.
    Mode,
    /// Where the symlink leads.
    Link,
    /// Its size.
    Size,
    /// When it was changed last.
    Time,
    /// Its content.
    Hash,
}

/// The words Spack has for them.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ManifestMissing => "manifest missing",
            Self::ManifestCorrupted => "manifest corrupted",
            Self::Added => "added",
            Self::Deleted => "deleted",
            Self::Owner => "owner",
            Self::Group => "group",
            Self::Mode => "mode",
            Self::Link => "link",
            Self::Size => "size",
            Self::Time => "mtime",
            Self::Hash => "hash",
        })
    }
}

impl InstallManifest {
    /// Compares a package with the manifest in it. `prefix` is where it lies on this machine, and
    /// `recorded` what the manifest calls it: for a store in its place the same.
    ///
    /// Two manifests are the exception and not errors: one that is missing, or that is damaged, is
    /// a difference, as it is for Spack. An error is what cannot be read.
    pub fn verify(prefix: &Path, recorded: &Path) -> io::Result<Vec<Difference>> {
        let of_all = |mismatch| Ok(vec![Difference { path: recorded.to_owned(), mismatch }]);
        let bytes = match fs::read(prefix.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return of_all(Mismatch::ManifestMissing);
            }
            bytes => bytes?,
        };
        let Ok(Self { mut entries }) = Self::parse(&bytes) else {
            return of_all(Mismatch::ManifestCorrupted);
        };
        let mut differences = Vec::new();
        for path in walk(prefix) {
            if !is_checked(prefix, &path) {
                continue;
            }
            let name = match path.strip_prefix(prefix) {
                Ok(relative) if !relative.as_os_str().is_empty() => recorded.join(relative),
                _ => recorded.to_owned(),
            };
            let mismatches = match entries.remove(&name) {
                Some(entry) => entry.mismatches(&path)?,
                None => vec![Mismatch::Added],
            };
            let differs = |mismatch| Difference { path: name.clone(), mismatch };
            differences.extend(mismatches.into_iter().map(differs));
        }
        let deleted = |path| Difference { path, mismatch: Mismatch::Deleted };
        differences.extend(entries.into_keys().map(deleted));
        differences.sort_by(|a, b| a.path.cmp(&b.path).then(a.mismatch.cmp(&b.mismatch)));
        Ok(differences)
    }
}

impl ManifestEntry {
    /// What is at `path` on this machine.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let kind = if metadata.is_symlink() {
            ManifestKind::Symlink { target: fs::read_link(path)? }
        } else if metadata.is_file() {
            let time = manifest_time(metadata.mtime(), metadata.mtime_nsec());
            ManifestKind::File { hash: hash(path)?.into(), time, size: metadata.size() }
        } else {
            ManifestKind::Other
        };
        Ok(Self { mode: metadata.mode(), owner: metadata.uid(), group: metadata.gid(), kind })
    }

    /// In what the thing at `path` differs, in the order and with the omissions of Spack's
    /// `check_entry`: of a symlink the mode does not count, and what has another mode is not read.
    fn mismatches(&self, path: &Path) -> io::Result<Vec<Mismatch>> {
        let metadata = fs::symlink_metadata(path)?;
        let mut found = Vec::new();
        let mut expect = |is_same: bool, mismatch| {
            if !is_same {
                found.push(mismatch);
            }
        };
        expect(metadata.uid() == self.owner, Mismatch::Owner);
        expect(metadata.gid() == self.group, Mismatch::Group);
        if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            let is_same = matches!(&self.kind, ManifestKind::Symlink { target: t } if *t == target);
            expect(is_same, Mismatch::Link);
        } else if metadata.mode() != self.mode {
            expect(false, Mismatch::Mode);
        } else if metadata.is_file() {
            let (expected_hash, expected_time, expected_size) = match &self.kind {
                ManifestKind::File { hash, time, size } => (&**hash, *time, *size),
                _ => ("", f64::NAN, u64::MAX),
            };
            let time = manifest_time(metadata.mtime(), metadata.mtime_nsec());
            expect(metadata.size() == expected_size, Mismatch::Size);
            expect(time.to_bits() == expected_time.to_bits(), Mismatch::Time);
            expect(hash(path)? == expected_hash, Mismatch::Hash);
        }
        Ok(found)
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Sha1::new();
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(manifest_digest(&hasher.finalize().into())),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// The prefix and all that is in it; what symlinks lead to is not. As Python's `os.walk`, it passes
/// over directories that cannot be read.
pub(super) fn walk(prefix: &Path) -> Vec<PathBuf> {
    let mut found = vec![prefix.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next) {
        next += 1;
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) || next == 1 {
            let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
            let entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            found.extend(entries);
        }
    }
    found
}

/// Neither the manifest nor a file called as the times of installation is checked.
pub(super) fn is_checked(prefix: &Path, path: &Path) -> bool {
    path.file_name().is_none_or(|name| name != TIMES) && *path != prefix.join(MANIFEST)
}
