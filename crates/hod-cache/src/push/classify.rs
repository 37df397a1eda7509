//! Sorts files and links into the lists of the build information while they are packed.

use hod_archive::{Inspect, InspectFile, Mark};
use hod_relocate::{Prefixes, RelocateList, Scanner};

pub(super) const BINARY: Mark = Mark(0);
pub(super) const TEXT: Mark = Mark(1);
const LINK: Mark = Mark(2);

/// Looks for these prefixes.
#[derive(Debug)]
pub(super) struct Classifier(pub(super) Prefixes);

impl Inspect for Classifier {
    type File<'a> = FileScanner<'a>;

    fn begin(&self, name: &[u8]) -> Option<FileScanner<'_>> {
        // Spack classifies nothing in its metadata directory (`spack-format` 3.6).
        (!name.starts_with(b".spack/")).then(|| FileScanner(Scanner::new(&self.0)))
    }

    fn link(&self, name: &[u8], target: &[u8]) -> Option<Mark> {
        let listed = !name.starts_with(b".spack/") && self.0.link_points_inside(target);
        listed.then_some(LINK)
    }
}

/// Looks at one file.
#[derive(Debug)]
pub(super) struct FileScanner<'a>(Scanner<'a>);

impl InspectFile for FileScanner<'_> {
    fn push(&mut self, content: &[u8]) {
        self.0.push(content);
    }

    fn finish(self) -> Option<Mark> {
        match self.0.finish().relocate_list()? {
            RelocateList::Binaries => Some(BINARY),
            RelocateList::TextFiles => Some(TEXT),
        }
    }
}
