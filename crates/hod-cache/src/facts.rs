//! What the config of an image knows of the relocation of its package, read without the rest of it:
//! most of a config is the spec with all that it depends on.

use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, RelocationFacts};
use serde::Deserialize;

use crate::layer::Layer;
use crate::source::{CONFIG_LIMIT, Source};

#[derive(Deserialize)]
struct Config {
    hod: Option<Facts>,
}

#[derive(Deserialize)]
struct Facts {
    relocation: Option<RelocationFacts>,
}

/// What the image knows, if it is of this very layer: Spack may have replaced one without the other.
/// What cannot be read is not known.
pub(crate) fn beside(
    source: Source<'_>,
    image: &Descriptor,
    layer: &Layer,
) -> Option<RelocationFacts> {
    let manifest = source.manifest_by_digest(image).ok()??.into_manifest().ok()?;
    let own: Digest = manifest.layers.last()?.digest;
    if own != layer.digest {
        return None;
    }
    let config = source.read_blob(&manifest.config, CONFIG_LIMIT).ok()?;
    serde_json::from_slice::<Config>(&config).ok()?.hod?.relocation
}
