//! Images: the same blobs, as container runtimes want them described.

use hod_archive::{Codec, DiffId, Digest};
use hod_mirror::oci::{
    Descriptor, Document, ImageConfig, Manifest, PackageFacts, Platform, RootFs, RunConfig,
    media_type,
};
use hod_mirror::registry::RawManifest;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::environment::{Inspected, environment};
use crate::{Error, Installed, package};

/// The number by which readers know that parent directories are in the layers. Spack 1.x writes 3
/// and reads all up to that; older ones refuse 3 (`spack-format` 5.3).
const LAYOUT_VERSION: u32 = 2;

/// One package in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) codec: Codec,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: DiffId,
}

impl Layer {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.codec.media_type(), self.digest, self.size)
    }
}

/// An image that is ready to be stored: config first, then the manifest that names it.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// Bytes of the config.
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: RawManifest,
    pub(crate) platform: Platform,
}

/// The image of a prefix: one layer.
pub(crate) fn render_plain(layer: &Layer, facts: PackageFacts) -> Result<Rendered, Error> {
    let label = package::label(&facts.name, &facts.version, &facts.hash);
    let annotations = [
        ("org.opencontainers.image.title", facts.name.clone()),
        ("org.opencontainers.image.version", facts.version.clone()),
    ];
    let mut config = ImageConfig::new(vec![layer.diff_id]);
    config.hod = Some(facts);
    let config = Document::render(config).map_err(document(&label))?;
    let mut manifest = Manifest::image(config.descriptor(), vec![layer.descriptor()]);
    manifest.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    let manifest = Document::render(manifest).map_err(document(&label))?;
    Ok(Rendered {
        config: config.bytes().to_vec(),
        manifest: RawManifest::from(&manifest),
        platform: Platform::host(),
    })
}

/// An image config as Spack writes it: what reads it as an image config ignores the spec, what
/// reads it as a spec file ignores the rest (`spack-format` 5.3). No clock is in it, so there is
/// no `archive_timestamp`, which nothing reads.
#[derive(Serialize)]
struct SpackConfig<'a> {
    architecture: &'a str,
    os: &'a str,
    config: RunConfig,
    rootfs: RootFs,
    #[serde(skip_serializing_if = "Option::is_none")]
    hod: Option<&'a PackageFacts>,
    spec: &'a RawValue,
    buildcache_layout_version: u32,
    binary_cache_checksum: Checksum,
    archive_size: u64,
    archive_compression: String,
}

#[derive(Serialize)]
struct Checksum {
    hash_algorithm: &'static str,
    hash: String,
}

/// The image of a spec with all it needs at run time. `layers`: those of its dependencies, lowest
/// first, its own last. `spec_text`: the value of `spec`.
pub(crate) fn render_spec(
    installed: &Installed,
    layers: &[Layer],
    spec_text: &str,
    facts: Option<&PackageFacts>,
    inspected: &mut Inspected,
) -> Result<Rendered, Error> {
    let (store, spec) = (installed.store(), installed.spec());
    let label = spec.label();
    let own = layers.last().expect("an image of a spec has its layer");
    let json = |source| document(&label)(hod_mirror::ParseError::Json(source));
    let platform = Platform {
        architecture: spec.target().goarch().to_owned(),
        os: "linux".to_owned(),
        ..Platform::host()
    };
    let config = SpackConfig {
        architecture: &platform.architecture,
        os: &platform.os,
        config: RunConfig { env: environment(store, spec, inspected), ..RunConfig::default() },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        },
        hod: facts,
        spec: serde_json::from_str(spec_text).map_err(json)?,
        buildcache_layout_version: LAYOUT_VERSION,
        binary_cache_checksum: Checksum { hash_algorithm: "sha256", hash: own.digest.hex() },
        archive_size: own.size,
        archive_compression: own.codec.to_string(),
    };
    let config = serde_json::to_vec(&config).map_err(json)?;
    let descriptor = Descriptor::new(media_type::CONFIG, Digest::of(&config), config.len() as u64);
    let mut manifest = Manifest::image(descriptor, layers.iter().map(Layer::descriptor).collect());
    manifest.annotations.insert("org.opencontainers.image.description".to_owned(), spec.describe());
    let manifest = Document::render(manifest).map_err(document(&label))?;
    Ok(Rendered { config, manifest: RawManifest::from(&manifest), platform })
}

fn document(label: &str) -> impl Fn(hod_mirror::ParseError) -> Error {
    move |source| Error::Document { package: label.to_owned(), source: Box::new(source) }
}
