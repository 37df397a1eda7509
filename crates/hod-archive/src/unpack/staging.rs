//! The private directory a tree grows in, until it is whole and takes its place.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::UnpackError;

/// A directory beside the destination, removed with all it holds unless it is published.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    destination: PathBuf,
    is_published: bool,
}

impl Staging {
    /// Makes the directory, mode 0700, and the parents of `destination` where they are missing.
    ///
    /// With `at`, that is the directory: one of that name was left behind by somebody who was
    /// killed, and is removed first. Whether the destination is free shows when it is taken: whoever
    /// names the directory may mean to replace what is there.
    pub(super) fn make(
        destination: &Path,
        at: Option<&Path>,
    ) -> Result<(Self, OwnedFd), UnpackError> {
        let nameless = || UnpackError::DestinationNameless { path: destination.to_owned() };
        let name = destination.file_name().ok_or_else(nameless)?;
        let parent = match destination.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(nameless()),
        };
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| UnpackError::Staging { action, path, source }
        };
        fs_err::create_dir_all(parent).map_err(failed("make the directory", parent))?;
        if at.is_none() {
            check_free(destination)?;
        }
        if let Some(path) = at {
            match fs_err::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove what was left behind in", path)(error));
                }
                _ => {}
            }
        }
        let made = loop {
            let path = match at {
                Some(path) => path.to_owned(),
                None => parent.join(staging_name(name.as_bytes())),
            };
            match fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o700)) {
                Ok(()) => break path,
                Err(Errno::EXIST) if at.is_none() => {}
                Err(error) => return Err(failed("make the directory", &path)(error.into())),
            }
        };
        let staging = Self { path: made, destination: destination.to_owned(), is_published: false };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = fs::openat(CWD, &staging.path, flags, Mode::empty())
            .map_err(|error| failed("open", &staging.path)(error.into()))?;
        Ok((staging, root))
    }

    /// An error about this directory.
    pub(super) fn failed(&self, action: &'static str, source: io::Error) -> UnpackError {
        UnpackError::Staging { action, path: self.path.clone(), source }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `top`, which is the directory or in it, in the place of the destination, and what is
    /// there at `aside`.
    pub(super) fn replace(mut self, top: &Path, aside: &Path) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Staging {
            action: "replace",
            path: self.destination.clone(),
            source,
        };
        exchange(top, &self.destination, aside).map_err(failed)?;
        self.is_published = top == self.path;
        fs_err::rename(top, aside).map_err(failed)?;
        Ok(())
    }

    /// Puts the tree in its place, at once. An empty directory there is replaced; whatever else
    /// came there meanwhile stays.
    ///
    /// With `part`, an open directory in the tree and a name in it, only that is put there.
    pub(super) fn publish(mut self, part: Option<(&OwnedFd, &[u8])>) -> Result<(), UnpackError> {
        let renamed = match &part {
            None => fs::renameat(CWD, &self.path, CWD, &self.destination),
            Some((at, name)) => fs::renameat(*at, *name, CWD, &self.destination),
        };
        match renamed {
            Ok(()) => {
                // Of a part, the directories around it are left, to be removed.
                self.is_published = part.is_none();
                Ok(())
            }
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {
                Err(UnpackError::DestinationExists { path: self.destination.clone() })
            }
            Err(error) => Err(UnpackError::Staging {
                action: "rename the unpacked tree to",
                path: self.destination.clone(),
                source: error.into(),
            }),
        }
    }
}

/// Lets two directories change places. Where the file system can, there is something at both names
/// at every moment; where not, nothing may be at `spare`, and for a moment nothing is at `there`.
///
/// # Errors
/// What the system says; both are as they were.
pub fn exchange(here: &Path, there: &Path, spare: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    match fs::renameat_with(CWD, here, CWD, there, fs::RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(()),
        // Not all file systems can, nor all kernels.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    fs::renameat(CWD, there, CWD, spare)?;
    if let Err(error) = fs::renameat(CWD, here, CWD, there) {
        // As it was, as far as that goes; the first error says more.
        let _ = fs::renameat(CWD, spare, CWD, there);
        return Err(error.into());
    }
    Ok(fs::renameat(CWD, spare, CWD, here)?)
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_published {
            // Never follows a link: it opens directories one by one without. A failure here has
            // nobody to go to; the error that led here is the one to report.
            let _ = fs_err::remove_dir_all(&self.path);
        }
    }
}

/// The destination must not be there, or be an empty directory; not a link to one, which the
/// final rename would replace.
fn check_free(destination: &Path) -> Result<(), UnpackError> {
    let taken = || UnpackError::DestinationExists { path: destination.to_owned() };
    let looking =
        |source| UnpackError::Staging { action: "look at", path: destination.to_owned(), source };
    match fs_err::symlink_metadata(destination) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(looking(error)),
        Ok(there) if !there.is_dir() => return Err(taken()),
        Ok(_) => {}
    }
    let mut entries = fs_err::read_dir(destination).map_err(looking)?;
    if entries.next().is_some() { Err(taken()) } else { Ok(()) }
}

/// `.<name>.hod-<random>`; a long name is cut, since 255 bytes is all a file system takes.
fn staging_name(name: &[u8]) -> OsString {
    let random = RandomState::new().hash_one(std::process::id());
    let mut staging = b".".to_vec();
    staging.extend_from_slice(&name[..name.len().min(200)]);
    staging.extend_from_slice(format!(".hod-{random:016x}").as_bytes());
    OsString::from_vec(staging)
}
