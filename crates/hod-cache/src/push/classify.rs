//! Sorts files and links into the lists of the build information while they are packed, and finds
//! out what the binaries need of the place they go to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hod_archive::{Inspect, InspectFile, Mark};
use hod_relocate::{FileKind, Forecast, Need, Prefixes, RelocateList, Scanner};

pub(super) const BINARY: Mark = Mark(0);
pub(super) const TEXT: Mark = Mark(1);
const LINK: Mark = Mark(2);

/// Files are classified by their first eight bytes.
const MAGIC: usize = 8;

/// Looks for prefixes. They must be in the order in which they are replaced.
#[derive(Debug)]
pub(super) struct Classifier {
    prefixes: Prefixes,
    /// What is known so far. Neither the order of the files nor the number of threads matters.
    needs: Mutex<Needs>,
}

/// By prefix (its place in the list): the shortest suffix, none being the longest, and the first
/// by name of the files with it.
pub(super) type Needs = BTreeMap<usize, (u8, Vec<u8>)>;

impl Classifier {
    pub(super) fn new(prefixes: Prefixes) -> Self {
        Self { prefixes, needs: Mutex::default() }
    }

    /// What the binaries need, each prefix with its text.
    pub(super) fn needs(self) -> Vec<(Vec<u8>, Option<u8>, Vec<u8>)> {
        let needs = self.needs.into_inner().unwrap_or_else(PoisonError::into_inner);
        let prefixes: Vec<&[u8]> = self.prefixes.iter().collect();
        let need = |(prefix, (suffix, file)): (usize, (u8, Vec<u8>))| {
            (prefixes[prefix].to_vec(), Some(suffix).filter(|suffix| *suffix != u8::MAX), file)
        };
        needs.into_iter().map(need).collect()
    }

    fn merge(&self, file: &[u8], found: &[Need]) {
        if found.is_empty() {
            return;
        }
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        for need in found {
            let suffix = need.shortest_suffix.unwrap_or(u8::MAX);
            match needs.get_mut(&need.prefix) {
                Some((shortest, first)) => {
                    if (suffix, file) < (*shortest, &**first) {
                        (*shortest, *first) = (suffix, file.to_vec());
                    }
                }
                None => {
                    needs.insert(need.prefix, (suffix, file.to_vec()));
                }
            }
        }
    }
}

impl Inspect for Classifier {
    type File<'a> = FileScanner<'a>;

    fn begin(&self, name: &[u8]) -> Option<FileScanner<'_>> {
        // Spack classifies nothing in its metadata directory (`spack-format` 3.6).
        let is_listed = !name.starts_with(b".spack/");
        is_listed.then(|| FileScanner {
            classifier: self,
            name: name.to_vec(),
            scanner: Scanner::new(&self.prefixes),
            head: Vec::new(),
            forecast: None,
        })
    }

    fn link(&self, name: &[u8], target: &[u8]) -> Option<Mark> {
        let listed = !name.starts_with(b".spack/") && self.prefixes.link_points_inside(target);
        listed.then_some(LINK)
    }
}

/// Looks at one file.
#[derive(Debug)]
pub(super) struct FileScanner<'a> {
    classifier: &'a Classifier,
    name: Vec<u8>,
    scanner: Scanner<'a>,
    /// What came before the kind of the file was known; fewer bytes than say it.
    head: Vec<u8>,
    /// Of an object file.
    forecast: Option<Forecast<'a>>,
}

impl InspectFile for FileScanner<'_> {
    fn push(&mut self, content: &[u8]) {
        if let Some(forecast) = &mut self.forecast {
            forecast.push(content);
            return;
        }
        self.scanner.push(content);
        if self.scanner.decided() == Some(FileKind::Binary) {
            let mut forecast = Forecast::new(&self.classifier.prefixes);
            forecast.push(&self.head);
            forecast.push(content);
            self.forecast = Some(forecast);
        } else if self.head.len() + content.len() < MAGIC {
            self.head.extend_from_slice(content);
        }
    }

    fn finish(self) -> Option<Mark> {
        if let Some(forecast) = self.forecast {
            self.classifier.merge(&self.name, &forecast.finish());
        }
        match self.scanner.finish().relocate_list()? {
            RelocateList::Binaries => Some(BINARY),
            RelocateList::TextFiles => Some(TEXT),
        }
    }
}

#[cfg(test)]
mod tests;
