//! The index of a mirror's Spack build cache, from which Spack knows what there is.

use std::num::NonZeroUsize;

use hod_archive::Cancel;
use hod_mirror::{DirectoryMirror, IndexOptions, Patience, Waiting};
pub use hod_mirror::{IndexMode, IndexReport};

use crate::{Error, Event, Reporter};

/// Brings the index up to date with the entries of the mirror.
///
/// `jobs`: threads that read entries.
pub fn index(
    mirror: &DirectoryMirror,
    mode: IndexMode,
    jobs: NonZeroUsize,
    cancel: &Cancel,
    reporter: &dyn Reporter,
) -> Result<IndexReport, Error> {
    let on_wait = |waiting: &Waiting| reporter.report(Event::Waiting { waiting });
    let patience = Patience { cancel: cancel.clone(), on_wait: &on_wait, ..Patience::default() };
    let on_progress = |done, total| reporter.report(Event::Indexing { done, total });
    let options = IndexOptions { mode, jobs, patience: &patience, on_progress: &on_progress };
    mirror.update_spack_index(&options).map_err(|source| Error::mirror(mirror, source))
}
