//! A disk that is soon full.

use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use crate::machine::{is_root, lacks, skip};

/// A file system of a few bytes, in memory.
///
/// A registry whose storage is on it answers 500 when it is full, as real ones do; one that says
/// 507 needs a rule of a proxy.
#[derive(Debug)]
pub struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// So many bytes, in whole pages. None, with the reason printed, if this test is not root.
    pub fn mount(bytes: u64) -> Option<Self> {
        if !is_root() {
            skip("only root mounts a small disk");
            return None;
        }
        // A short path, into which more can be relocated.
        let builder = tempfile::Builder::new().prefix("d").rand_bytes(4).tempdir_in("/tmp");
        let directory = builder.unwrap();
        let size = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        let path = directory.path();
        if let Err(error) =
            rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), size.as_c_str())
        {
            lacks(&format!("a small disk cannot be mounted: {error}"));
            return None;
        }
        Some(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also when somebody still has a file open in it: then it goes with the last of them.
        let _ = rustix::mount::unmount(self.path(), UnmountFlags::DETACH);
    }
}
