//! What of a push is in the mirror already. Prefixes are not looked at: of a spec, the presence of
//! its hash decides, as in Spack.

use std::collections::HashMap;

use hod_archive::{Codec, read_layer};
use hod_mirror::DirectoryMirror;
use hod_mirror::oci::{Descriptor, PackageFacts};
use hod_mirror::spack::{EntryName, Signature, SpackEntry, packed_name};
use hod_spec::{Spec, runtime_closure};

use crate::image::Layer;
use crate::push::Only;
use crate::push::destination::{Blob, Probe};
use crate::{Error, Installed, package};

/// The tags of a mirror when a push began.
pub(super) type Tags = HashMap<String, Descriptor>;

/// Reads them.
pub(super) fn tags(mirror: &DirectoryMirror) -> Result<Tags, Error> {
    let entries = mirror.entries().map_err(|source| Error::mirror(mirror, source))?;
    Ok(entries.into_iter().filter_map(|entry| Some((entry.tag?, entry.descriptor))).collect())
}

/// The name of a spec in a Spack build cache.
pub(super) fn entry_name(spec: &Spec) -> Result<EntryName, Error> {
    EntryName::of(spec).map_err(|source| Error::Name { package: spec.label(), source })
}

/// The entry of a spec. One that cannot be read counts as absent: pushing mends it.
fn entry(mirror: &DirectoryMirror, spec: &Spec) -> Result<Option<SpackEntry>, Error> {
    Ok(mirror.read_spack_entry(&entry_name(spec)?).ok().flatten())
}

/// The blob of an entry, if that is complete.
fn blob(mirror: &DirectoryMirror, entry: &SpackEntry) -> Option<Blob> {
    let is_complete = mirror.is_spack_entry_complete(entry).unwrap_or(false);
    let digest = entry.layer.digest;
    entry.layer.size.filter(|_| is_complete).map(|size| Blob { digest, size })
}

/// Looks for one spec.
pub(super) fn probe(
    mirror: &DirectoryMirror,
    tags: &Tags,
    installed: &Installed,
    only: Only,
) -> Result<Probe, Error> {
    let spec = installed.spec();
    let found = entry(mirror, spec)?;
    let is_signed = found.as_ref().is_some_and(|entry| entry.signature != Signature::None);
    let layers = if only == Only::Package {
        1
    } else {
        let closure = runtime_closure(installed.store(), [spec]);
        closure.iter().filter(|spec| spec.external.is_none()).count()
    };
    let image = tags.get(&package::spack_tag(spec)).and_then(|descriptor| {
        let manifest = mirror.read_manifest(descriptor).ok()?;
        // The layers of others are looked at when it is their turn.
        let own = manifest.layers.last()?;
        let is_whole = manifest.layers.len() >= layers
            && mirror.has_blob(&manifest.config.digest, manifest.config.size).ok()?
            && mirror.has_blob(&own.digest, own.size).ok()?;
        is_whole.then(|| (descriptor.clone(), manifest))
    });
    let own = image.as_ref().and_then(|(_, manifest)| manifest.layers.last());
    let image_layer = own.map(|layer| layer.digest);
    if !mirror.has_spack_half() {
        let entry = own.map(|layer| Blob { digest: layer.digest, size: layer.size });
        let image = image.map(|(descriptor, _)| descriptor);
        return Ok(Probe { entry, image, image_layer, is_signed: false });
    }
    let image = image.map(|(descriptor, _)| descriptor);
    // Where nothing is left to do no content is read. Any other entry may be of another spec.
    let entry = found.and_then(|entry| {
        let is_done = image_layer == Some(entry.layer.digest);
        blob(mirror, &entry).filter(|_| is_done || mirror.read_spec(&entry).is_ok())
    });
    Ok(Probe { entry, image, image_layer, is_signed })
}

/// The layer of a spec that is in the mirror, from its image or, at the price of decompressing it,
/// from its entry in the build cache; and what the image knows of the tree in it. The blob is then
/// in both halves of the mirror.
pub(super) fn layer(
    mirror: &DirectoryMirror,
    tags: &Tags,
    spec: &Spec,
) -> Result<Option<(Layer, Option<PackageFacts>)>, Error> {
    let image = layer_of_image(mirror, tags, spec);
    // Where they differ, the entry counts, for it is what Spack installs, if it is of this spec.
    if let Some(entry) = entry(mirror, spec)?
        && image.as_ref().is_none_or(|(layer, _)| layer.digest != entry.layer.digest)
        && let Some(blob) = blob(mirror, &entry)
        && mirror.read_spec(&entry).is_ok()
        && let Some(layer) = layer_of_entry(mirror, spec, blob)?
    {
        return Ok(Some((layer, None)));
    }
    Ok(image)
}

/// The layer an entry names, if the install tree in it is that of `spec`.
fn layer_of_entry(
    mirror: &DirectoryMirror,
    spec: &Spec,
    Blob { digest, size }: Blob,
) -> Result<Option<Layer>, Error> {
    let error = |source| Error::mirror(mirror, source);
    mirror.share_with_oci(&digest, size).map_err(error)?;
    let blob = mirror.open_blob(&digest).map_err(error)?;
    let (found, packed) =
        read_layer(Codec::Gzip, blob, |tar| packed_name(tar)).map_err(|source| {
            let path = mirror.blob_path(&digest);
            error(hod_mirror::Error::Read { path, source })
        })?;
    if found.digest != digest {
        let found = found.digest;
        return Err(error(hod_mirror::Error::DigestMismatch { expected: digest, found }));
    }
    let is_its_own = matches!(packed, Ok(Some(name)) if name.hash() == spec.hash);
    let layer = Layer { codec: Codec::Gzip, digest, size, diff_id: found.diff_id };
    Ok(is_its_own.then_some(layer))
}

fn layer_of_image(
    mirror: &DirectoryMirror,
    tags: &Tags,
    spec: &Spec,
) -> Option<(Layer, Option<PackageFacts>)> {
    let manifest = mirror.read_manifest(tags.get(&package::spack_tag(spec))?).ok()?;
    let own = manifest.layers.last()?;
    if !mirror.has_blob(&own.digest, own.size).ok()? {
        return None;
    }
    let config = mirror.read_config(&manifest.config).ok()?;
    let layer = Layer {
        codec: Codec::from_media_type(&own.media_type)?,
        digest: own.digest,
        size: own.size,
        diff_id: *config.rootfs.diff_ids.last()?,
    };
    Some((layer, config.into_view().hod))
}
