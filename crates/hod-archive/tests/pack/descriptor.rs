//! How many files of the tree are open at once, as `/proc` says.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hod_archive::{Encoders, PackOptions, pack};

use crate::fault::watched;
use crate::plain;
use crate::tree::Tree;

/// A sink that begins late, so that readers get as far ahead as they may.
struct Late<'a> {
    tree: &'a Tree,
    open: &'a AtomicUsize,
}

impl Write for Late<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(200));
            let descriptors = fs_err::read_dir("/proc/self/fd").unwrap();
            let prefix = self.tree.prefix().as_os_str().as_bytes();
            let of_tree = descriptors.filter(|entry| {
                let target = std::fs::read_link(entry.as_ref().unwrap().path());
                target.is_ok_and(|target| target.as_os_str().as_bytes().starts_with(prefix))
            });
            self.open.store(of_tree.count().max(1), Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn large_files_that_wait_for_their_turn_do_not_use_up_the_descriptors() {
    let tree = Tree::new("");
    for number in 0..600 {
        let file = fs_err::File::create(tree.path(&format!("{number:03}"))).unwrap();
        file.set_len((256 << 10) + 1).unwrap();
    }
    let open = AtomicUsize::new(0);
    let sink = Late { tree: &tree, open: &open };
    let options = PackOptions { io_jobs: 4, ..plain() };
    watched(|| pack(tree.prefix(), sink, &Encoders::new(1), &options, &(), None, &|_| {})).unwrap();
    // Many systems allow 1024 of a process, for everything it does.
    let open = open.load(Ordering::Relaxed);
    assert!(open <= 128, "{open} files were open at once");
}
