//! Tags get their manifests: content before name, one writer at a time.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use hod_archive::Digest;

use super::check::Role;
use super::durable::{self, Temporary};
use super::{DirectoryMirror, Patience, fault, lock};
use crate::error::{Error, ParseError, Written};
use crate::oci::{Descriptor, Document, Index, Tag, media_type};

/// An index of images may hold indexes; no honest one goes deeper.
const NESTING_LIMIT: usize = 4;

/// A manifest and the name it is to be found under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The name.
    pub tag: Tag,
    /// The manifest, or an index of manifests; its blob and all it names must be in the mirror.
    pub descriptor: Descriptor,
}

impl DirectoryMirror {
    /// Publishes all of `publications` in one step. A tag that is there already gets its new
    /// manifest; of two publications with one tag the later counts. If anything a manifest names
    /// is missing, nothing is published.
    pub fn publish(
        &self,
        publications: &[Publication],
        patience: &Patience<'_>,
    ) -> Result<(), Error> {
        self.prepare()?;
        let mut seen = HashSet::new();
        let mut tagged = BTreeMap::new();
        for Publication { tag, descriptor } in publications {
            Content { mirror: self, tag, seen: &mut seen }.require_manifest(descriptor, 0)?;
            tagged.insert(tag.clone(), descriptor.clone());
        }
        if tagged.is_empty() {
            return Ok(());
        }
        // The names of blobs, ours and those other processes have just put there, go to disk
        // before the one that leads to them.
        durable::sync_directory(&self.blob_directory())
            .map_err(self.write_error(Written::Index))?;
        fault::step();
        self.update_index(&tagged, patience)
    }

    fn update_index(
        &self,
        tagged: &BTreeMap<Tag, Descriptor>,
        patience: &Patience<'_>,
    ) -> Result<(), Error> {
        loop {
            let lock = lock::acquire(self.path(), self.0.lock_method, patience)?;
            let before = self.read_index()?;
            let mut index = Index::clone(&before);
            let unparsable = |source| Error::Unparsable { path: self.index_path(), source };
            index.put(tagged).map_err(unparsable)?;
            let after = Document::render(index).map_err(unparsable)?;
            if after.bytes() == before.bytes() {
                return Ok(());
            }

            let mut temporary = Temporary::create(&self.temporary_directory())
                .map_err(self.write_error(Written::Index))?;
            temporary.file.write_all(after.bytes()).map_err(self.write_error(Written::Index))?;
            temporary.file.sync_all().map_err(self.write_error(Written::Index))?;
            // Tools that know nothing of our lock (skopeo) write this file as well, and an owner
            // file may have been judged stale: whoever came between is not overwritten.
            if lock.is_still_held() && self.read_index()?.bytes() == before.bytes() {
                return temporary
                    .rename_to(&self.index_path())
                    .and_then(|()| durable::sync_directory(&self.layout_path()))
                    .map_err(self.write_error(Written::Index));
            }
        }
    }
}

/// Looks for what one publication needs.
struct Content<'a> {
    mirror: &'a DirectoryMirror,
    tag: &'a Tag,
    seen: &'a mut HashSet<(Digest, u64)>,
}

impl Content<'_> {
    fn require_manifest(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), Error> {
        self.require(Role::Manifest, descriptor)?;
        if media_type::is_index(&descriptor.media_type) && depth < NESTING_LIMIT {
            let index: Document<Index> = self.mirror.read_document(descriptor)?;
            for child in index.descriptors() {
                let child = child.map_err(|error| Error::Document {
                    digest: descriptor.digest,
                    source: ParseError::Json(error),
                })?;
                self.require_manifest(&child, depth + 1)?;
            }
            return Ok(());
        }
        let manifest = self.mirror.read_manifest(descriptor)?;
        self.require(Role::Config, &manifest.config)?;
        for layer in &manifest.layers {
            if !media_type::may_be_absent(&layer.media_type) {
                self.require(Role::Layer, layer)?;
            }
        }
        Ok(())
    }

    fn require(&mut self, role: Role, descriptor: &Descriptor) -> Result<(), Error> {
        let Descriptor { digest, size: expected, .. } = *descriptor;
        if !self.seen.insert((digest, expected)) {
            return Ok(());
        }
        match self.mirror.blob_size(&digest)? {
            Some(found) if found == expected => Ok(()),
            found => {
                let tag = self.tag.to_string();
                Err(Error::MissingContent { tag, role, digest, expected, found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::layout::{Place, Shape};
    use super::*;
    use crate::oci::{ImageConfig, Manifest};

    #[test]
    fn nothing_is_lost_where_the_file_system_has_no_locks() {
        let place = tempfile::tempdir().unwrap();
        DirectoryMirror::ensure(place.path()).unwrap();
        let mirror = DirectoryMirror::new(
            Place { root: place.path().to_owned(), shape: Shape::Mirror },
            lock::Method::OwnerFile,
        );
        let config = Document::render(ImageConfig::new(Vec::new())).unwrap();
        mirror.put_blob(config.bytes()).unwrap();
        let manifest = Manifest::image(config.descriptor(), Vec::new());
        let manifest = Document::render(manifest).unwrap();
        mirror.put_blob(manifest.bytes()).unwrap();

        thread::scope(|scope| {
            for writer in 0..4 {
                let (mirror, manifest) = (&mirror, &manifest);
                scope.spawn(move || {
                    for image in 0..5 {
                        let tag = Tag::new(format!("image-{writer}-{image}")).unwrap();
                        let descriptor = manifest.descriptor();
                        let publication = Publication { tag, descriptor };
                        mirror.publish(&[publication], &Patience::default()).unwrap();
                    }
                });
            }
        });
        assert_eq!(mirror.entries().unwrap().len(), 20);
        assert!(!place.path().join(".hod/lock.owner").exists());
    }
}
