//! The canonical listing of a tree, and its digest.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Counts of a tree, and the SHA-256 of its listing: one line per entry in byte order of its path,
/// `d MODE PATH`, `l TARGET PATH` or `f MODE SIZE SHA256 PATH`, fields parted and lines ended by NUL.
/// Hard links count as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) links: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Listing {
    /// Reads the whole tree below `root`; the root itself is not part of it.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut walk =
            Walk { listing: Self::default(), hasher: Sha256::new(), buffer: vec![0; 1 << 20] };
        walk.directory(root, &mut Vec::new())?;
        walk.listing.sha256 = HEXLOWER.encode(&walk.hasher.finalize());
        Ok(walk.listing)
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, directories, links, bytes, sha256 } = self;
        write!(
            f,
            "{files} files, {directories} directories, {links} links, {bytes} bytes, {sha256}"
        )
    }
}

struct Walk {
    listing: Listing,
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Walk {
    /// `relative` is the path of `at` below the root, with a trailing slash unless empty. Entries
    /// are sorted with the slash of directories, so the whole listing is in byte order.
    fn directory(&mut self, at: &Path, relative: &mut Vec<u8>) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs_err::read_dir(at)? {
            let entry = entry?;
            let mut name = entry.file_name().as_bytes().to_vec();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                name.push(b'/');
            }
            entries.push((name, kind, entry.path()));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind, path) in entries {
            let length = relative.len();
            relative.extend_from_slice(&name);
            if kind.is_dir() {
                self.listing.directories += 1;
                let mode = mode(&path)?;
                self.line(&[b"d", mode.as_bytes(), relative]);
                self.directory(&path, relative)?;
            } else if kind.is_symlink() {
                self.listing.links += 1;
                let target = fs_err::read_link(&path)?;
                self.line(&[b"l", target.as_os_str().as_bytes(), relative]);
            } else {
                let mode = mode(&path)?;
                let (size, digest) = self.content(&path)?;
                self.listing.files += 1;
                self.listing.bytes += size;
                let size = size.to_string();
                self.line(&[b"f", mode.as_bytes(), size.as_bytes(), digest.as_bytes(), relative]);
            }
            relative.truncate(length);
        }
        Ok(())
    }

    fn line(&mut self, fields: &[&[u8]]) {
        for field in fields {
            self.hasher.update(field);
            self.hasher.update([0]);
        }
        self.hasher.update([0]);
    }

    fn content(&mut self, path: &Path) -> io::Result<(u64, String)> {
        let mut file = fs_err::File::open(path)?;
        let (mut hasher, mut size) = (Sha256::new(), 0);
        loop {
            let read = file.read(&mut self.buffer)?;
            if read == 0 {
                return Ok((size, HEXLOWER.encode(&hasher.finalize())));
            }
            hasher.update(&self.buffer[..read]);
            size += read as u64;
        }
    }
}

fn mode(path: &Path) -> io::Result<String> {
    let mode = fs_err::symlink_metadata(path)?.permissions().mode();
    Ok(format!("{:04o}", mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(order: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in order {
            let at = root.path().join(path);
            if path.ends_with('/') {
                fs_err::create_dir_all(&at).unwrap();
                fs_err::set_permissions(&at, PermissionsExt::from_mode(0o755)).unwrap();
            } else if let Some((link, target)) = path.split_once("->") {
                fs_err::os::unix::fs::symlink(target, root.path().join(link)).unwrap();
            } else {
                fs_err::write(&at, path).unwrap();
                fs_err::set_permissions(&at, PermissionsExt::from_mode(0o644)).unwrap();
            }
        }
        root
    }

    #[test]
    fn the_digest_is_of_the_tree_and_not_of_its_making() {
        let one = tree(&["a/", "a/x", "a-b", "link->a/x"]);
        let two = tree(&["link->a/x", "a-b", "a/", "a/x"]);
        let listing = Listing::read(one.path()).unwrap();
        assert_eq!(listing, Listing::read(two.path()).unwrap());
        let counts = (listing.files, listing.directories, listing.links, listing.bytes);
        assert_eq!(counts, (2, 1, 1, 6));
        // Fixed: the committed digests depend on this form of the listing.
        assert_eq!(
            listing.sha256,
            "ed0b45ceead826a4d4df030d250a15834fa0f61ad79f896c64d9196cb98f2ec9"
        );
    }

    #[test]
    fn mode_content_target_and_name_matter() {
        let root = tree(&["a/", "a/x", "link->a/x"]);
        let mut seen = vec![Listing::read(root.path()).unwrap().sha256];
        let file = root.path().join("a/x");
        fs_err::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        seen.push(Listing::read(root.path()).unwrap().sha256);
        fs_err::write(&file, "a/y").unwrap();
        seen.push(Listing::read(root.path()).unwrap().sha256);
        fs_err::rename(&file, root.path().join("a/z")).unwrap();
        seen.push(Listing::read(root.path()).unwrap().sha256);
        fs_err::remove_file(root.path().join("link")).unwrap();
        fs_err::os::unix::fs::symlink("a/z", root.path().join("link")).unwrap();
        seen.push(Listing::read(root.path()).unwrap().sha256);
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }
}
