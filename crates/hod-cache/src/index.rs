//! The index of a mirror, from which Spack knows what there is.

use std::num::NonZeroUsize;

use hod_archive::Cancel;
use hod_mirror::oci::Descriptor;
use hod_mirror::registry::{Registry, RegistryIndexOptions};
pub use hod_mirror::{IndexMode, IndexReport};
use hod_mirror::{IndexOptions, Mirror, Patience, Waiting};
use hod_spec::SpecFile;

use crate::{Error, Event, LocalStore, Reporter};

/// What an update of an index begins with.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// All entries are looked at.
    All(IndexMode),
    /// These packages have just been published. A directory is looked at all the same, which costs
    /// little; a registry is not asked for what else there is.
    Published(&'a [SpecFile]),
}

/// Brings the index up to date with the entries of the mirror.
///
/// `store`: where what is read of a registry is kept. `jobs`: threads that read entries of a
/// directory.
pub fn index(
    mirror: &Mirror,
    news: News<'_>,
    store: &LocalStore,
    jobs: NonZeroUsize,
    cancel: &Cancel,
    reporter: &dyn Reporter,
) -> Result<IndexReport, Error> {
    let on_wait = |waiting: &Waiting| reporter.report(Event::Waiting { waiting });
    let patience = Patience { cancel: cancel.clone(), on_wait: &on_wait, ..Patience::default() };
    let on_progress = |done, total| reporter.report(Event::Indexing { done, total });
    let report = match mirror {
        Mirror::Directory(directory) => {
            let mode = match news {
                News::All(mode) => mode,
                News::Published(_) => IndexMode::Incremental,
            };
            directory.update_spack_index(&IndexOptions {
                mode,
                jobs,
                patience: &patience,
                on_progress: &on_progress,
            })
        }
        Mirror::Registry(registry) => {
            let (added, discover) = match news {
                News::All(mode) => (&[][..], Some(mode)),
                News::Published(added) => (added, None),
            };
            let read = |registry: &Registry, descriptor: &Descriptor| {
                store.read_or_fetch(registry, descriptor)
            };
            registry.update_index(&RegistryIndexOptions {
                added,
                discover,
                connections: NonZeroUsize::new(registry.connections()).unwrap_or(jobs),
                patience: &patience,
                on_progress: &on_progress,
                read: &read,
            })
        }
    };
    report.map_err(|source| Error::mirror(mirror, source))
}
