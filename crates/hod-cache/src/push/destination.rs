//! Where a push goes: what differs between a directory and a registry.

mod directory;
mod registry;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, PackageFacts, Tag};
use hod_mirror::{Mirror, Patience, SpackPublication};
use hod_spec::Spec;

use super::lane::Prepared;
use super::{Image, Only, Pushed};
use crate::image::{Layer, Rendered};
use crate::{Error, Installed, LocalStore, Package, package};

pub(super) use directory::Directory;
pub(super) use registry::Repository;

/// A mirror that is being pushed to.
pub(super) trait Destination: Sync {
    /// As it is written on a command line.
    fn place(&self) -> String;

    /// How many look-ups go on at the same time, for so many packages.
    fn lookups(&self, packages: usize) -> usize;

    /// Whether what is ready waits a moment for company, to be published together.
    fn gathers(&self) -> bool;

    /// What is there of one spec.
    fn probe(&self, installed: &Installed, only: Only) -> Result<Probe, Error>;

    /// The layer of a spec that is there, and what its image knows of the tree in it.
    fn layer(&self, spec: &Spec) -> Result<Option<(Layer, Option<PackageFacts>)>, Error>;

    /// Whether the image of a prefix has its name already.
    fn is_named(&self, tag: &str, manifest: &Digest) -> Result<bool, Error>;

    /// Looks for a blob that was packed before: it is there, or it is at hand here.
    fn recall(
        &self,
        digest: &Digest,
        size: u64,
        store: &LocalStore,
        is_forced: bool,
    ) -> Result<Recalled, Error>;

    /// Begins to bring in a blob that lies here. What came of it is a [`Message::Uploaded`].
    fn bring(&self, index: usize, blob: PathBuf, digest: Digest, size: u64, to: &Sender<Message>);

    /// Begins a blob that is being packed. If something goes on after it is complete, its end is a
    /// [`Message::Uploaded`].
    fn sink<'a>(
        &'a self,
        index: usize,
        store: &'a LocalStore,
        to: &Sender<Message>,
    ) -> Result<Box<dyn Sink + 'a>, Error>;

    /// What has to be published of a spec besides its image, and before it.
    fn entry(
        &self,
        spec: &Spec,
        spec_text: &str,
        layer: &Layer,
    ) -> Result<Option<SpackPublication>, Error>;

    /// Publishes such entries.
    fn publish_entries(&self, entries: &[SpackPublication]) -> Result<(), hod_mirror::Error>;

    /// Begins to bring in what can be brought in of an image before its own layer has arrived.
    fn prepare(&self, image: &ReadyImage);

    /// Begins to publish images. What came of each is a [`Message::Published`].
    fn publish(&self, images: Vec<ReadyImage>, patience: &Patience<'_>, to: &Sender<Message>);

    /// Ends whatever is under way; called once somebody wants to stop.
    fn abort(&self);
}

/// Where a blob goes while it is being packed.
pub(super) trait Sink: Write + Send {
    /// All of it was written. Whether its way ends here; otherwise a message will come.
    fn complete(self: Box<Self>, digest: Digest, size: u64) -> Result<Arrived, Error>;
}

/// Whether a blob is where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is.
    Already,
    /// A [`Message::Uploaded`] will say so.
    Later,
}

/// Where a blob is that was packed before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recalled {
    /// In the mirror.
    There,
    /// In a file here.
    Here(PathBuf),
    /// Nowhere.
    Lost,
}

/// An image on its way to its name.
pub(super) struct ReadyImage {
    pub(super) index: usize,
    pub(super) tag: Tag,
    pub(super) image: Rendered,
    /// Some of it may be there from a push that was interrupted.
    pub(super) may_be_there: bool,
}

/// What threads tell the one who publishes.
pub(super) enum Message {
    /// Packing is done, and whether the layer is in the mirror as well.
    Prepared(usize, Result<(Box<Prepared>, Arrived), Error>),
    /// The layer is in the mirror.
    Uploaded(usize, Result<(), Error>),
    /// The image has its name.
    Published(usize, Result<(), Error>),
    /// A thread that packs has ended, as it should or by a panic.
    LaneEnded { has_panicked: bool },
}

/// What a mirror has of one spec.
#[derive(Debug, Clone, Default)]
pub(super) struct Probe {
    /// The blob of what a reader would install.
    pub(super) entry: Option<Blob>,
    /// Its image, if it has the layers it should have.
    pub(super) image: Option<Descriptor>,
    /// The last layer of that image.
    pub(super) image_layer: Option<Digest>,
    /// Somebody has signed the entry.
    pub(super) is_signed: bool,
}

/// A blob by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl Probe {
    /// The package as it is in the mirror, if nothing is left to do for it.
    pub(super) fn there(&self, package: &Package, is_forced: bool) -> Option<Pushed> {
        let (Some(entry), Some(image), false) = (self.entry, &self.image, is_forced) else {
            return None;
        };
        // Spack may have replaced the one without the other.
        if self.image_layer != Some(entry.digest) {
            return None;
        }
        let installed = package.as_installed()?;
        let image = Image { tag: package::spack_tag(installed.spec()), manifest: image.digest };
        Some(Pushed {
            hash: installed.hash().to_string(),
            image: Some(image),
            held_back: None,
            digest: entry.digest,
            diff_id: None,
            size: entry.size,
            uncompressed_size: None,
            contents: None,
            was_there: true,
            was_packed: false,
            took: Duration::ZERO,
        })
    }
}

/// Gets a mirror ready for a push.
pub(super) fn open<'a>(
    mirror: &'a Mirror,
    store: &'a LocalStore,
    connections: NonZeroUsize,
) -> Result<Box<dyn Destination + 'a>, Error> {
    Ok(match mirror {
        Mirror::Directory(directory) => Box::new(Directory::open(directory, connections)?),
        Mirror::Registry(registry) => Box::new(Repository::open(registry, store)),
    })
}

/// Looks for all packages, several at a time.
pub(super) fn probe_all(
    destination: &dyn Destination,
    packages: &[Package],
    only: Only,
) -> Result<Vec<Probe>, Error> {
    let one = |package: &Package| match package.as_installed() {
        Some(installed) => destination.probe(installed, only),
        None => Ok(Probe::default()),
    };
    let threads = destination.lookups(packages.len()).max(1);
    let share = packages.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = packages
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(one).collect::<Result<Vec<_>, _>>()))
            .collect();
        let mut probes = Vec::with_capacity(packages.len());
        for thread in threads {
            probes.extend(thread.join().expect("looking does not panic")?);
        }
        Ok(probes)
    })
}
