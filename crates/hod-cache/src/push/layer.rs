//! Getting the layer of a package into a mirror: from what was packed before, or by packing.

use std::sync::mpsc::Sender;
use std::time::SystemTime;

use hod_archive::{
    BeforeLast, Encoders, Fingerprint, LastEntry, PackError, PackOptions, TreeFacts, pack, survey,
};
use hod_mirror::oci::PackageFacts;

use super::PushOptions;
use super::classify::Classifier;
use super::describe;
use super::destination::{Arrived, Destination, Message, Recalled};
use super::frame::Frame;
use crate::image::Layer;
use crate::store::Record;
use crate::{Error, Event, LocalStore, Package, Reporter};

/// `.spack/binary_distribution`: where Spack looks for build information.
const BUILD_INFO: &str = ".spack/binary_distribution";

/// Everything a thread needs to pack.
#[derive(Clone, Copy)]
pub(super) struct Workshop<'a> {
    pub(super) store: &'a LocalStore,
    pub(super) options: &'a PushOptions,
    /// How many packages are packed at the same time.
    pub(super) shares: usize,
    pub(super) reporter: &'a dyn Reporter,
}

/// The layer of a package, and what is known of the tree in it.
pub(super) struct PackedLayer {
    pub(super) layer: Layer,
    pub(super) facts: PackageFacts,
    pub(super) was_packed: bool,
    /// Whether it is in the mirror by now.
    pub(super) arrived: Arrived,
}

/// A package on its way to a mirror.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) index: usize,
    pub(super) package: &'a Package,
    pub(super) destination: &'a dyn Destination,
    pub(super) messages: &'a Sender<Message>,
}

fn pack_error(package: &Package, source: PackError) -> Error {
    match source {
        PackError::Cancelled => Error::Cancelled,
        source => Error::Pack { package: package.label(), source: Box::new(source) },
    }
}

impl Workshop<'_> {
    fn pack_options(&self, package: &Package) -> PackOptions {
        let is_moved = package.location() != package.prefix();
        PackOptions {
            encoding: self.options.encoding,
            mtime: self.options.mtime,
            io_jobs: self.options.io_jobs.get(),
            shares: self.shares,
            named: is_moved.then(|| package.prefix().to_owned()),
            cancel: self.options.cancel.clone(),
        }
    }

    /// The frame of the package's build information.
    pub(super) fn frame(&self, package: &Package) -> Frame {
        Frame::new(package, self.options.spack_prefix.as_deref())
    }

    /// What the tree looks like now.
    pub(super) fn survey(&self, package: &Package) -> Result<(Fingerprint, TreeFacts), Error> {
        survey(package.location(), &self.pack_options(package), Some(BUILD_INFO))
            .map_err(|source| pack_error(package, source))
    }

    /// The record of the last pack with these options, whatever the tree looked like then.
    pub(super) fn record(&self, package: &Package, frame: &Frame) -> Option<Record> {
        let PushOptions { encoding, mtime, force, .. } = self.options;
        // Whoever forces the push of a prefix distrusts its metadata. That of a spec is looked
        // at only when it is forced: otherwise its hash has decided before.
        let is_trusted = !force || package.as_installed().is_some();
        is_trusted.then(|| self.store.record(package, *encoding, *mtime, &frame.context()))?
    }

    /// A layer that need not be packed: the tree is as it was, and its blob is at hand.
    pub(super) fn known(&self, way: Way<'_>, frame: &Frame) -> Result<Option<PackedLayer>, Error> {
        let Way { index, package, destination, messages } = way;
        let Some(record) = self.record(package, frame) else { return Ok(None) };
        let (fingerprint, _) = self.survey(package)?;
        if !record.matches(&fingerprint) {
            return Ok(None);
        }
        let (Some(digest), Some(diff_id)) = (record.digest(), record.diff_id()) else {
            return Ok(None);
        };
        let is_forced = self.options.force;
        let arrived = match destination.recall(&digest, record.size, self.store, is_forced)? {
            Recalled::There => Arrived::Already,
            Recalled::Here(blob) => {
                destination.bring(index, blob, digest, record.size, messages);
                Arrived::Later
            }
            Recalled::Lost => return Ok(None),
        };
        self.warn(package, record.unlisted);
        let codec = self.options.encoding.codec();
        let layer = Layer { codec, digest, size: record.size, diff_id };
        let name = package.name().to_owned();
        let version = package.version().to_owned();
        let facts = PackageFacts { name, version, ..record.facts };
        Ok(Some(PackedLayer { layer, facts, was_packed: false, arrived }))
    }

    /// Packs the tree straight to where it belongs.
    pub(super) fn pack(
        &self,
        way: Way<'_>,
        frame: &Frame,
        encoders: &Encoders,
    ) -> Result<PackedLayer, Error> {
        let Way { index, package, destination, messages } = way;
        let began = SystemTime::now();
        let (encoding, mtime) = (self.options.encoding, self.options.mtime);
        let label = package.label();
        let (mut hash, mut unlisted) = (String::new(), 0);
        let mut content = |seen: BeforeLast<'_>| {
            let filled = frame.fill(package, &seen);
            (hash, unlisted) = (filled.hash, filled.unlisted);
            filled.bytes
        };
        let classifier = Classifier::new(frame.prefixes());
        let mut sink = destination.sink(index, self.store, messages)?;
        let packed = pack(
            package.location(),
            &mut sink,
            encoders,
            &self.pack_options(package),
            &classifier,
            Some(LastEntry { name: BUILD_INFO, content: &mut content }),
            &|bytes| {
                self.reporter.report(Event::Progress { package: &label, bytes, total: None });
            },
        )
        .map_err(|source| pack_error(package, source))?;
        sink.flush().map_err(|source| pack_error(package, PackError::Write { source }))?;

        for (name, what) in &packed.facts.skipped {
            let name = String::from_utf8_lossy(name);
            let message = format!("left out `{name}`, a {what}");
            self.reporter.report(Event::Warning { package: &label, message });
        }
        self.warn(package, unlisted);
        let relocation = Some(frame.relocation(classifier));
        let facts = describe::facts(package, hash, &packed, encoding, mtime);
        let facts = PackageFacts { relocation, ..facts };
        let record = Record::new(&packed, facts.clone(), unlisted);
        // That the store cannot remember costs time the next time, no more.
        let newest = packed.fingerprint.newest;
        let key = LocalStore::key(package, encoding, mtime, &frame.context());
        let _ = self.store.remember(&key, &record, newest, began);
        // Only now may the blob arrive: what has arrived is remembered, whenever this ends.
        let arrived = sink.complete(packed.digest, packed.size)?;
        let layer = Layer {
            codec: encoding.codec(),
            digest: packed.digest,
            size: packed.size,
            diff_id: packed.diff_id,
        };
        Ok(PackedLayer { layer, facts, was_packed: true, arrived })
    }

    fn warn(&self, package: &Package, unlisted: u64) {
        if unlisted > 0 {
            let message = format!(
                "{unlisted} files hold the prefix but cannot be relocated: their names are not \
                 UTF-8"
            );
            self.reporter.report(Event::Warning { package: &package.label(), message });
        }
    }
}
