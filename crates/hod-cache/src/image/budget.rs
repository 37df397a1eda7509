//! The layer budget: an image of more packages than a runtime mounts layers gets its first ones
//! merged to one (`docs/decisions/0009-layer-budget.md`).

use std::io::{self, Read};
use std::path::Path;

use hod_archive::{Cancel, Encoders, Encoding, LayerBlob, MergeError, MergeOptions, merge};
use hod_mirror::ImageMirror;
use hod_mirror::registry::{BlobSource, Spool, UploadOptions};

use super::{BaseImage, ImageError, Layer};
use crate::{Error, LocalStore};

/// What it takes to keep an image within its budget.
#[derive(Clone, Copy)]
pub(crate) struct LayerBudget<'a> {
    /// Where the image goes.
    pub(crate) mirror: &'a dyn ImageMirror,
    pub(crate) store: &'a LocalStore,
    /// A directory for what is on its way.
    pub(crate) spool: &'a Path,
    pub(crate) encoders: &'a Encoders,
    pub(crate) encoding: Encoding,
    /// Most layers, those of the base image counted.
    pub(crate) max_layers: usize,
    pub(crate) cancel: &'a Cancel,
}

/// Opens the blob of a layer.
pub(crate) type OpenLayer<'a> = &'a dyn Fn(&Layer) -> Result<Box<dyn Read + Send>, Error>;

impl LayerBudget<'_> {
    /// The layers of an image within its budget. If `layers` (dependencies first) are too many,
    /// the first of them are one now, and its blob is in the mirror. Those before it in the order
    /// change least: what everything needs, and what nobody pushes anew every day.
    ///
    /// What was merged before is not read again; with its blob still in the mirror, nothing is
    /// sent. `label` names the image in errors.
    ///
    /// # Errors
    /// [`Error::Image`] if a layer cannot be read or merged, or the base image leaves no room.
    pub(crate) fn fit(
        &self,
        label: &str,
        layers: Vec<Layer>,
        base: Option<&BaseImage>,
        open: OpenLayer<'_>,
    ) -> Result<Vec<Layer>, Error> {
        let wrong = |source| Error::Image { image: label.to_owned(), source: Box::new(source) };
        let base = base.map_or(0, |base| base.layers().len());
        let count = surplus(layers.len(), base, self.max_layers).map_err(wrong)?;
        if count == 0 {
            return Ok(layers);
        }
        let (merged, kept) = layers.split_at(count);
        let one = match self.known(merged)? {
            Some(known) => known,
            None => self.merge(label, merged, open)?,
        };
        Ok(std::iter::once(one).chain(kept.iter().copied()).collect())
    }

    /// What these layers became before, once more in the mirror.
    fn known(&self, layers: &[Layer]) -> Result<Option<Layer>, Error> {
        let error = |source| Error::mirror(self.mirror.location(), source);
        let Some(known) = self.store.merged(layers, self.encoding) else { return Ok(None) };
        let Layer { digest, size, .. } = known;
        if self.mirror.has_blob(&digest, size).map_err(error)? {
            return Ok(Some(known));
        }
        let Some(path) = self.store.verified_blob(&digest, size) else { return Ok(None) };
        let source = BlobSource::File { path: &path, digest, size };
        self.mirror.put_blob(source, UploadOptions::default()).map_err(error)?;
        Ok(Some(known))
    }

    /// Merges the layers, and sends the result while it grows.
    fn merge(&self, label: &str, layers: &[Layer], open: OpenLayer<'_>) -> Result<Layer, Error> {
        let wrong = |source| Error::Image { image: label.to_owned(), source: Box::new(source) };
        let directory = || self.spool.to_owned();
        let (spool, mut writer) = Spool::create(self.spool)
            .map_err(|source| wrong(ImageError::Spool { directory: directory(), source }))?;
        let blobs: Vec<LayerBlob> = layers
            .iter()
            .map(|&Layer { codec, digest, diff_id, .. }| LayerBlob { codec, digest, diff_id })
            .collect();
        let options = MergeOptions { encoding: self.encoding, cancel: self.cancel.clone() };
        let open = |index: usize| open(&layers[index]).map_err(io::Error::other);
        let (merged, sent) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                self.mirror.put_blob(BlobSource::Spool(&spool), UploadOptions::default())
            });
            let merged = merge(&blobs, &open, &mut writer, self.encoders, &options);
            match &merged {
                Ok(merged) => writer.complete_as(merged.digest),
                // Whoever sends it must not wait for more.
                Err(_) => drop(writer),
            }
            (merged, sending.join().expect("it does not panic"))
        });
        let merged = merged.map_err(|source| self.unmerged(label, layers.len(), source))?;
        sent.map_err(|source| Error::mirror(self.mirror.location(), source))?;
        let layer = Layer {
            codec: self.encoding.codec(),
            digest: merged.digest,
            size: merged.size,
            diff_id: merged.diff_id,
        };
        self.store.remember_merged(layers, self.encoding, &layer, &spool);
        Ok(layer)
    }

    fn unmerged(&self, label: &str, layers: usize, source: MergeError) -> Error {
        let source = match source {
            MergeError::Cancelled => return Error::Cancelled,
            // The opener's own error says more.
            MergeError::Read { digest, source } => match source.downcast::<Error>() {
                Ok(error) => return error,
                Err(source) => MergeError::Read { digest, source },
            },
            MergeError::Write(source) => {
                let directory = self.spool.to_owned();
                let source = Box::new(ImageError::Spool { directory, source });
                return Error::Image { image: label.to_owned(), source };
            }
            source => source,
        };
        let source = Box::new(ImageError::Merge { layers, source });
        Error::Image { image: label.to_owned(), source }
    }
}

/// How many of `packages` layers, from the first, become one, so that with those of the base
/// there are no more than `limit`: so many that there are `limit` then.
fn surplus(packages: usize, base: usize, limit: usize) -> Result<usize, ImageError> {
    let room = limit.saturating_sub(base);
    match (packages <= room, room) {
        (true, _) => Ok(0),
        (false, 0) => Err(ImageError::TooManyLayers { limit, base }),
        (false, _) => Ok(packages - room + 1),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::enough_room(120, 0, 120, 0)]
    #[case::one_too_many(121, 0, 120, 2)]
    #[case::many(300, 0, 120, 181)]
    #[case::on_a_base(300, 20, 120, 201)]
    #[case::room_for_one(300, 119, 120, 300)]
    #[case::nothing_to_put_on_a_large_base(0, 130, 120, 0)]
    fn as_many_are_merged_as_must_be(
        #[case] packages: usize,
        #[case] base: usize,
        #[case] limit: usize,
        #[case] expected: usize,
    ) {
        let count = surplus(packages, base, limit).unwrap();
        assert_eq!(count, expected);
        let layers = base + packages - count + usize::from(count > 0);
        assert!(layers <= limit || packages == 0, "{layers} layers");
    }

    #[test]
    fn a_base_without_room_is_refused() {
        let error = surplus(1, 120, 120).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it may have no more layers than 120, and its base image has 120 already"
        );
    }
}
