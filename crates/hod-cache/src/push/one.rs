//! One package on its way into a mirror.

use std::io::Write as _;
use std::time::{Instant, SystemTime};

use hod_archive::{
    BeforeLast, DiffId, Digest, Encoders, Fingerprint, LastEntry, PackError, PackOptions,
    TreeFacts, pack, survey,
};
use hod_mirror::oci::{Descriptor, PackageFacts, Tag};
use hod_mirror::{DirectoryMirror, Publication};

use super::describe::{self, BUILD_INFO, Classifier, Contents};
use super::{Planned, PushOptions, Pushed};
use crate::store::Record;
use crate::{Error, Event, LocalStore, Package, Reporter, package};

/// Everything a thread needs to push packages.
pub(super) struct Lane<'a> {
    pub(super) mirror: Option<&'a DirectoryMirror>,
    pub(super) store: &'a LocalStore,
    pub(super) options: &'a PushOptions,
    pub(super) encoders: Option<&'a Encoders>,
    pub(super) shares: usize,
    pub(super) reporter: &'a dyn Reporter,
}

/// A package whose blobs are in the mirror, perhaps still without a name.
pub(super) struct Prepared {
    /// `None` if the mirror has that name already.
    pub(super) publication: Option<Publication>,
    pushed: Pushed,
    start: Instant,
}

impl Prepared {
    /// After publication.
    pub(super) fn finish(self) -> Pushed {
        Pushed { took: self.start.elapsed(), ..self.pushed }
    }
}

/// The layer of a package, in the mirror.
struct Layer {
    digest: Digest,
    diff_id: DiffId,
    size: u64,
    facts: PackageFacts,
    unlisted: u64,
    was_packed: bool,
}

/// Whether the mirror has the packed tree of `record` under the name of `package`.
fn is_named(mirror: &DirectoryMirror, package: &Package, record: &Record) -> Result<bool, Error> {
    let error = |source| Error::mirror(mirror, source);
    let tag = package::tag(package.name(), package.version(), &record.facts.hash);
    for entry in mirror.entries().map_err(error)? {
        if entry.tag.as_deref() == Some(&tag) {
            let manifest = mirror.read_manifest(&entry.descriptor).map_err(error)?;
            let layer = manifest.layers.first().map(|layer| layer.digest);
            return Ok(layer.is_some() && layer == record.digest());
        }
    }
    Ok(false)
}

fn pack_error(package: &Package, source: PackError) -> Error {
    match source {
        PackError::Cancelled => Error::Cancelled,
        source => Error::Pack { package: package.label(), source: Box::new(source) },
    }
}

impl Lane<'_> {
    fn pack_options(&self) -> PackOptions {
        PackOptions {
            encoding: self.options.encoding,
            mtime: self.options.mtime,
            io_jobs: self.options.io_jobs.get(),
            shares: self.shares,
            named: None,
            cancel: self.options.cancel.clone(),
        }
    }

    fn survey(&self, package: &Package) -> Result<(Fingerprint, TreeFacts), Error> {
        survey(package.prefix(), &self.pack_options(), Some(BUILD_INFO))
            .map_err(|source| pack_error(package, source))
    }

    /// The record of the last pack, if the tree still looks as it did then.
    fn current_record(&self, package: &Package) -> Result<Option<Record>, Error> {
        let PushOptions { encoding, mtime, force, .. } = self.options;
        if *force {
            return Ok(None);
        }
        let Some(record) = self.store.record(package, *encoding, *mtime) else { return Ok(None) };
        let (fingerprint, _) = self.survey(package)?;
        Ok(record.matches(&fingerprint).then_some(record))
    }

    pub(super) fn plan(&self, package: &Package) -> Result<Planned, Error> {
        let (fingerprint, facts) = self.survey(package)?;
        let record = if self.options.force {
            None
        } else {
            self.store.record(package, self.options.encoding, self.options.mtime)
        };
        let record = record.filter(|record| record.matches(&fingerprint));
        let is_there = match (self.mirror, &record) {
            (Some(mirror), Some(record)) => is_named(mirror, package, record)?,
            _ => false,
        };
        Ok(Planned {
            package: package.clone(),
            hash: record.map(|record| record.facts.hash),
            is_there,
            contents: Contents::from(&facts),
        })
    }

    pub(super) fn prepare(&self, package: &Package) -> Result<Prepared, Error> {
        let start = Instant::now();
        let mirror = self.mirror.expect("a push has a mirror");
        let error = |source| Error::mirror(mirror, source);
        self.reporter.report(Event::Started { package: &package.label() });
        let layer = match self.known_layer(mirror, package)? {
            Some(layer) => layer,
            None => self.pack(mirror, package)?,
        };
        self.warn(package, &layer);

        let codec = self.options.encoding.codec();
        let descriptor = Descriptor::new(codec.media_type(), layer.digest, layer.size);
        let contents = Contents::from(&layer.facts);
        let (hash, uncompressed_size) = (layer.facts.hash.clone(), layer.facts.uncompressed_size);
        let manifest = describe::put_image(mirror, descriptor, layer.diff_id, layer.facts)?;
        let tag = package::tag(package.name(), package.version(), &hash);
        let tag = Tag::new(tag).expect("made of the characters a tag may have");
        let named = mirror.entries().map_err(error)?.into_iter().any(|entry| {
            entry.tag.as_deref() == Some(tag.as_str()) && entry.descriptor.digest == manifest.digest
        });
        let pushed = Pushed {
            hash,
            tag: tag.to_string(),
            manifest: manifest.digest,
            digest: layer.digest,
            diff_id: layer.diff_id,
            size: layer.size,
            uncompressed_size,
            contents,
            was_there: named && !layer.was_packed,
            was_packed: layer.was_packed,
            took: start.elapsed(),
        };
        let publication = (!named).then_some(Publication { tag, descriptor: manifest });
        Ok(Prepared { publication, pushed, start })
    }

    /// A layer that need not be packed: the tree is as it was, and its blob is at hand.
    fn known_layer(
        &self,
        mirror: &DirectoryMirror,
        package: &Package,
    ) -> Result<Option<Layer>, Error> {
        let error = |source| Error::mirror(mirror, source);
        let Some(record) = self.current_record(package)? else { return Ok(None) };
        let (Some(digest), Some(diff_id)) = (record.digest(), record.diff_id()) else {
            return Ok(None);
        };
        if !mirror.has_blob(&digest, record.size).map_err(error)? {
            let Some(blob) = self.store.verified_blob(&digest, record.size) else {
                return Ok(None);
            };
            mirror.link_blob_from(&blob, digest, record.size).map_err(error)?;
        }
        let name = package.name().to_owned();
        let version = package.version().to_owned();
        Ok(Some(Layer {
            digest,
            diff_id,
            size: record.size,
            facts: PackageFacts { name, version, ..record.facts },
            unlisted: record.unlisted,
            was_packed: false,
        }))
    }

    /// Packs the tree straight into the mirror.
    fn pack(&self, mirror: &DirectoryMirror, package: &Package) -> Result<Layer, Error> {
        let error = |source| Error::mirror(mirror, source);
        let began = SystemTime::now();
        let (encoding, mtime) = (self.options.encoding, self.options.mtime);
        let label = package.label();
        let (mut hash, mut unlisted) = (String::new(), 0);
        let mut content = |seen: BeforeLast<'_>| {
            hash = describe::hash_of(&seen.digest);
            let (info, left_out) = describe::build_info(package, &hash, &seen);
            unlisted = left_out;
            info.render()
        };
        let mut blob = mirror.blob_writer().map_err(error)?;
        let packed = pack(
            package.prefix(),
            &mut blob,
            self.encoders.expect("a push has encoders"),
            &self.pack_options(),
            &Classifier::new(package),
            Some(LastEntry { name: BUILD_INFO, content: &mut content }),
            &|bytes| {
                self.reporter.report(Event::Progress { package: &label, bytes, total: None });
            },
        )
        .map_err(|source| pack_error(package, source))?;
        blob.flush().map_err(|source| pack_error(package, PackError::Write { source }))?;
        blob.complete_as(packed.digest, packed.size).map_err(error)?;

        for (name, what) in &packed.facts.skipped {
            let name = String::from_utf8_lossy(name);
            let message = format!("left out `{name}`, a {what}");
            self.reporter.report(Event::Warning { package: &label, message });
        }
        let facts = describe::facts(package, hash, &packed, encoding, mtime);
        let record = Record::new(&packed, facts.clone(), unlisted);
        // That the store cannot remember costs time the next time, no more.
        let newest = packed.fingerprint.newest;
        let _ = self.store.remember(package, encoding, mtime, &record, newest, began);
        self.store.keep_blob(&packed.digest, &mirror.blob_path(&packed.digest));
        Ok(Layer {
            digest: packed.digest,
            diff_id: packed.diff_id,
            size: packed.size,
            facts,
            unlisted,
            was_packed: true,
        })
    }

    fn warn(&self, package: &Package, layer: &Layer) {
        let label = package.label();
        let warn = |message| self.reporter.report(Event::Warning { package: &label, message });
        if layer.unlisted > 0 {
            warn(format!(
                "{} files hold the prefix but cannot be relocated: their names are not UTF-8",
                layer.unlisted
            ));
        }
    }
}
