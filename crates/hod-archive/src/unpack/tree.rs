//! A directory beneath which, and nowhere else, files are made.
//!
//! Nothing here joins paths and hopes: a parent directory is opened beneath the root without
//! following any link, and what is made in it is named by a single component.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::Ownership;
use super::name::split;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const SETGID: u32 = 0o2000;
/// A longer path is opened in pieces: the kernel takes 4096 bytes at once.
const MOST_PIECE: usize = 4000;

/// The root, shared by all threads.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The kernel resolves beneath a directory by itself (Linux 5.6, unless a sandbox forbids).
    has_openat2: AtomicBool,
    /// Mode bits that a newly made file keeps: what umask and default ACLs leave.
    through: u32,
    /// The setgid bit that directories are to have.
    setgid: u32,
    /// Whether new directories have it, or lack it, by themselves.
    setgid_comes: bool,
    /// Who owns what is made here.
    pub(super) owner: u32,
    /// The group of what is made here.
    pub(super) group: u32,
}

impl Tree {
    /// Takes the directory `root`, whose mode must already be that of a private directory, and makes
    /// it one in which all that is made gets the group that `ownership` says.
    pub(super) fn new(root: OwnedFd, ownership: Ownership) -> io::Result<Self> {
        let wanted = ownership.modes.map(|modes| modes.directory & SETGID);
        if let Some(group) = ownership.group {
            fs::fchown(&root, None, Some(fs::Gid::from_raw(group)))?;
        }
        if ownership.group.is_some() || wanted == Some(SETGID) {
            fs::fchmod(&root, Mode::from_raw_mode(0o700 | SETGID))?;
        }
        // Asked of the file system instead of the process: umask is per process and not readable
        // without changing it, and a default ACL replaces it anyway.
        let probe = c".hod-mode";
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = fs::openat(&root, probe, flags, Mode::from_raw_mode(0o777))?;
        let made = fs::fstat(&file)?;
        fs::unlinkat(&root, probe, AtFlags::empty())?;
        // Linux passes the bit on to new directories, other systems do not.
        let inherits = fs::fstat(&root)?.st_mode & SETGID;
        let comes = if cfg!(target_os = "linux") { inherits } else { 0 };
        let setgid = wanted.unwrap_or(inherits);
        Ok(Self {
            root,
            has_openat2: AtomicBool::new(true),
            through: made.st_mode & 0o777,
            setgid,
            setgid_comes: comes == setgid,
            owner: made.st_uid,
            group: made.st_gid,
        })
    }

    /// The root, for a thread that makes things in it.
    pub(super) fn parents(&self) -> Parents<'_> {
        Parents { tree: self, path: Vec::new(), levels: Vec::new() }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether a new file has the permissions `mode` if it is made with them.
    pub(super) fn lets_through(&self, mode: u32) -> bool {
        mode & !self.through == 0
    }

    /// The same for a new directory, with what else directories are to have.
    pub(super) fn makes_directory(&self, mode: u32) -> bool {
        self.lets_through(mode) && self.setgid_comes
    }

    /// `mode` as far as the umask allows it, for what no member describes.
    pub(super) fn customary(&self, mode: u32) -> u32 {
        mode & self.through
    }

    /// Sets a directory's mode by its descriptor.
    pub(super) fn set_mode(&self, directory: impl AsFd, mode: u32) -> io::Result<()> {
        Ok(fs::fchmod(directory, Mode::from_raw_mode(self.directory_mode(mode)))?)
    }

    /// The whole mode of a directory with these permissions.
    pub(super) fn directory_mode(&self, mode: u32) -> u32 {
        (mode & 0o777) | self.setgid
    }

    /// Opens the regular file at `path`, for reading and writing, without following any link.
    pub(super) fn open_file(&self, path: &[u8]) -> io::Result<std::fs::File> {
        let (parent, name) = split(path);
        let parent = self.open(parent)?;
        // Without waiting: what is no regular file is found out below, and not waited for here.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = std::fs::File::from(fs::openat(&parent, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(file)
    }

    /// Opens the directory at `path`, which must be there without any link on the way.
    pub(super) fn open(&self, path: &[u8]) -> io::Result<OwnedFd> {
        if path.is_empty() {
            return Ok(fs::openat(&self.root, c".", DIRECTORY, Mode::empty())?);
        }
        self.open_from(self.root(), path)
    }

    /// The same from a directory within the tree; `path` is not empty.
    fn open_from(&self, at: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        let (first, mut rest) = piece(path);
        let mut directory = self.open_piece(at, first)?;
        while !rest.is_empty() {
            let (next, after) = piece(rest);
            directory = self.open_piece(directory.as_fd(), next)?;
            rest = after;
        }
        Ok(directory)
    }

    fn open_piece(&self, at: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        if self.has_openat2.load(Ordering::Relaxed) {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match fs::openat2(at, path, DIRECTORY, Mode::empty(), resolve) {
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.has_openat2.store(false, Ordering::Relaxed);
                }
                result => return Ok(result?),
            }
        }
        open_by_components(at, path)
    }

    /// For tests of the path taken on old kernels.
    #[cfg(test)]
    pub(super) fn forbid_openat2(&self) {
        self.has_openat2.store(false, Ordering::Relaxed);
    }
}

fn open_by_components(at: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let mut current: Option<OwnedFd> = None;
    for component in path.split(|&byte| byte == b'/') {
        // Lists in a package may name anything; the kernel says the same where it has openat2.
        if component == b".." {
            return Err(Errno::XDEV.into());
        }
        let at = current.as_ref().map_or(at, AsFd::as_fd);
        current = Some(fs::openat(at, component, DIRECTORY, Mode::empty())?);
    }
    current.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// As many leading components as one call takes, and the others.
fn piece(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= MOST_PIECE {
        return (path, &[]);
    }
    let cut = path[..MOST_PIECE].iter().rposition(|&byte| byte == b'/');
    // A component without a slash in 4000 bytes is too long anyway; the kernel says so.
    cut.map_or((path, &[]), |at| (&path[..at], &path[at + 1..]))
}

/// One thread's way through the tree: the last parent directory and some above it stay open,
/// because consecutive members mostly share them.
#[derive(Debug)]
pub(super) struct Parents<'t> {
    tree: &'t Tree,
    /// Where the last level is.
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// An open directory on the way.
#[derive(Debug)]
struct Level {
    /// How much of the path names it.
    length: usize,
    directory: OwnedFd,
}

/// How many directories one thread keeps open. Few, since a process has some 1024 in all.
const MOST_LEVELS: usize = 4;

impl Parents<'_> {
    /// The open parent of `path` and the name in it. Parents no member describes are made.
    pub(super) fn of<'p>(&mut self, path: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        let (parent, name) = split(path);
        if parent != self.path {
            self.go_to(parent, true)?;
        }
        Ok((self.here(), name))
    }

    /// The same where the parent must be there.
    fn of_present<'p>(&mut self, path: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        let (parent, name) = split(path);
        if parent != self.path {
            self.go_to(parent, false)?;
        }
        Ok((self.here(), name))
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.levels.last().map_or(self.tree.root(), |level| level.directory.as_fd())
    }

    fn go_to(&mut self, path: &[u8], makes_parents: bool) -> io::Result<()> {
        while let Some(level) = self.levels.last() {
            let is_above = path.starts_with(&self.path[..level.length])
                && matches!(path.get(level.length), None | Some(b'/'));
            if is_above {
                break;
            }
            self.levels.pop();
        }
        let shared = self.levels.last().map_or(0, |level| level.length);
        self.path.truncate(shared);
        let rest = path[shared..].strip_prefix(b"/").unwrap_or(&path[shared..]);
        if rest.is_empty() {
            return Ok(());
        }
        let directory = match self.tree.open_from(self.here(), rest) {
            Err(error) if makes_parents && error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(rest)?
            }
            opened => opened?,
        };
        if self.levels.len() == MOST_LEVELS {
            self.levels.remove(0);
        }
        self.levels.push(Level { length: path.len(), directory });
        self.path.extend_from_slice(&path[shared..]);
        Ok(())
    }

    /// `mkdir -p` from here, a component at a time and through no link.
    fn make_parents(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut current: Option<OwnedFd> = None;
        for component in path.split(|&byte| byte == b'/') {
            let at = current.as_ref().map_or(self.here(), AsFd::as_fd);
            match fs::mkdirat(at, component, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            current = Some(fs::openat(at, component, DIRECTORY, Mode::empty())?);
        }
        current.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Makes a directory; whether it was not yet there. What is there must be a directory.
    pub(super) fn make_directory(&mut self, path: &[u8], mode: u32) -> io::Result<bool> {
        let (at, name) = self.of(path)?;
        match fs::mkdirat(at, name, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => {
                let there = fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
                match FileType::from_raw_mode(there.st_mode) {
                    FileType::Directory => Ok(false),
                    _ => Err(Errno::EXIST.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a new, empty file and opens it, for writing at least.
    pub(super) fn make_file(
        &mut self,
        path: &[u8],
        mode: u32,
        access: OFlags,
    ) -> io::Result<OwnedFd> {
        let (at, name) = self.of(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | access;
        Ok(fs::openat(at, name, flags, Mode::from_raw_mode(mode))?)
    }

    /// Makes a symbolic link, which nothing here will ever follow.
    pub(super) fn make_symlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        mtime: i64,
    ) -> io::Result<()> {
        let (at, name) = self.of(path)?;
        fs::symlinkat(target, at, name)?;
        Ok(fs::utimensat(at, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Removes a file or link.
    pub(super) fn remove(&mut self, path: &[u8]) -> io::Result<()> {
        let (at, name) = self.of(path)?;
        Ok(fs::unlinkat(at, name, AtFlags::empty())?)
    }

    /// Gives the regular file `target` a second name; false where `target` is none. The way to targets
    /// is one of its own: names and targets are mostly each in the directory of the one before.
    pub(super) fn make_hardlink(
        &mut self,
        path: &[u8],
        targets: &mut Self,
        target: &[u8],
    ) -> io::Result<bool> {
        let (target_parent, target_name) = match targets.of_present(target) {
            Err(error) if is_no_directory(&error) => return Ok(false),
            opened => opened?,
        };
        match fs::statat(target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::RegularFile => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let (at, name) = self.of(path)?;
        fs::linkat(target_parent, target_name, at, name, AtFlags::empty())?;
        Ok(true)
    }

    /// Sets a directory's time, and its mode where one is given, after all was made in it.
    pub(super) fn settle(&mut self, path: &[u8], mode: Option<u32>, mtime: i64) -> io::Result<()> {
        let tree = self.tree;
        let (at, name) = self.of(path)?;
        if let Some(mode) = mode {
            let directory = fs::openat(at, name, DIRECTORY, Mode::empty())?;
            tree.set_mode(&directory, mode)?;
        }
        Ok(fs::utimensat(at, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Whether opening a directory failed because it, or one above it, is none.
pub(super) fn is_no_directory(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOTDIR | Errno::LOOP | Errno::NOENT))
}

/// Both times of a file; the archive knows only one.
pub(super) fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(root: &std::path::Path) -> Tree {
        let flags = DIRECTORY;
        Tree::new(fs::openat(fs::CWD, root, flags, Mode::empty()).unwrap(), Ownership::default())
            .unwrap()
    }

    #[rstest::rstest]
    #[case::openat2(false)]
    #[case::by_components(true)]
    fn no_directory_is_reached_through_a_link(#[case] is_old_kernel: bool) {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let tree = tree(root.path());
        if is_old_kernel {
            tree.forbid_openat2();
        }
        symlink(elsewhere.path(), root.path().join("out")).unwrap();
        symlink(".", root.path().join("here")).unwrap();
        fs_err::create_dir_all(root.path().join("a/b")).unwrap();
        assert!(tree.open(b"a/b").is_ok());
        assert!(tree.open(b"out").is_err());
        assert!(tree.open(b"here/a").is_err());
        assert!(tree.open(b"../").is_err());
        assert!(tree.open_file(b"a/../../x").is_err());
        assert!(tree.open_file(b"/etc/passwd").is_err());
        assert!(tree.parents().make_file(b"out/x", 0o644, OFlags::WRONLY).is_err());
        assert!(tree.parents().make_file(b"new/deep/x", 0o644, OFlags::WRONLY).is_ok());
        assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn whatever_way_is_taken_the_parent_is_the_right_one() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path());
        let mut parents = tree.parents();
        let paths = ["a/b/c/d/e/f/g/1", "a/b/c/d/e/2", "a/b/cc/3", "a/b/4", "ab/5", "6", "a/b/c/7"];
        for path in paths {
            parents.make_file(path.as_bytes(), 0o644, OFlags::WRONLY).unwrap();
            assert!(root.path().join(path).is_file(), "{path}");
            assert!(parents.levels.len() <= MOST_LEVELS);
        }
    }

    #[test]
    fn a_long_path_is_cut_at_a_slash() {
        let path = b"abc/".repeat(1500);
        let (first, after) = piece(&path);
        assert!(first.len() <= MOST_PIECE && first.ends_with(b"abc"));
        assert_eq!(first.len() + 1 + after.len(), path.len());
    }
}
