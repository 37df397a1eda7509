//! Images: the same blobs, as container runtimes want them described
//! (`docs/formats/images.md`).

mod annotations;
mod base;
pub(crate) mod budget;
mod error;
mod index;
mod object;
mod options;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hod_archive::{Codec, DiffId, Digest};
use hod_mirror::oci::{
    Descriptor, Document, ImageConfig, Manifest, PackageFacts, Platform, RootFs,
};
use hod_mirror::registry::RawManifest;
use hod_spec::Spec;
use hod_store::Store;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub use base::{BaseImage, copy_base, mountable};
pub use error::ImageError;
pub use options::{BaseReference, BaseReferenceError, EnvSource, ImageOptions, RunOptions};
pub use publish::{Tagged, publish_tag};

use annotations::annotations;
use base::Family;
use object::Object;

use crate::environment::{Inspected, Scene, environment, prefix_environment};
use crate::{Error, Installed, Package, package};

/// The number by which readers know that parent directories are in the layers. Spack 1.x writes 3
/// and reads all up to that; older ones refuse 3 (`spack-format` 5.3).
const LAYOUT_VERSION: u32 = 2;

/// Keys that say which package an image is of. A base image that is a package is no longer that
/// one with others on top.
const PACKAGE_KEYS: [&str; 7] = [
    "hod",
    "spec",
    "buildcache_layout_version",
    "binary_cache_checksum",
    "archive_size",
    "archive_timestamp",
    "archive_compression",
];

/// One package in an image, or several that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) codec: Codec,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: DiffId,
}

impl Layer {
    fn descriptor(&self, family: Family) -> Result<Descriptor, ImageError> {
        let codec = self.codec;
        let media_type = family.layer(codec).ok_or(ImageError::Codec { codec })?;
        Ok(Descriptor::new(media_type, self.digest, self.size))
    }
}

/// An image that is ready to be stored: config first, then the manifest that names it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Bytes of the config.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: RawManifest,
    /// What it runs on.
    pub platform: Platform,
}

/// What images stand on, and how they start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) base: Option<&'a BaseImage>,
    pub(crate) run: &'a RunOptions,
}

impl<'a> Ground<'a> {
    fn base_env(&self) -> &'a [String] {
        self.base.map_or(&[], BaseImage::env)
    }
}

/// An image of one layer, and nothing said of running it.
pub(crate) fn render_bare(layer: &Layer, facts: PackageFacts) -> Result<Rendered, Error> {
    let label = package::label(&facts.name, &facts.version, &facts.hash);
    let annotations = plain_annotations(&facts);
    let mut config = ImageConfig::new(vec![layer.diff_id]);
    config.hod = Some(facts);
    let config = Document::render(config).map_err(document(&label))?;
    let layer = layer.descriptor(Family::Oci).expect("has names for all codecs");
    let mut manifest = Manifest::image(config.descriptor(), vec![layer]);
    manifest.annotations.extend(annotations);
    let manifest = Document::render(manifest).map_err(document(&label))?;
    Ok(Rendered {
        config: config.bytes().to_vec(),
        manifest: RawManifest::from(&manifest),
        platform: Platform::host(),
    })
}

/// The image of a prefix: one layer, on a base image and with what the user says of running it.
/// With either it has an environment, from what is in the prefix.
pub(crate) fn render_plain(
    ground: Ground<'_>,
    package: &Package,
    layer: &Layer,
    facts: PackageFacts,
) -> Result<Rendered, Error> {
    let Ground { base, run } = ground;
    if base.is_none() && *run == RunOptions::default() {
        return render_bare(layer, facts);
    }
    let platform = base.map_or_else(Platform::host, |base| base.platform().clone());
    let mut notes: BTreeMap<String, String> = plain_annotations(&facts).into();
    annotations::ground_notes(ground, &mut notes);
    let env = prefix_environment(package, ground.base_env(), run);
    let label = package::label(&facts.name, &facts.version, &facts.hash);
    let picture = Picture { ground, layers: &[*layer], label: &label, platform, env, notes };
    picture.render(|config| config.set("hod", &facts))
}

fn plain_annotations(facts: &PackageFacts) -> [(String, String); 2] {
    [
        ("org.opencontainers.image.title".to_owned(), facts.name.clone()),
        ("org.opencontainers.image.version".to_owned(), facts.version.clone()),
    ]
}

#[derive(Serialize)]
struct Checksum {
    hash_algorithm: &'static str,
    hash: String,
}

/// The image of a spec with all it needs at run time. `layers`: those of its dependencies, lowest
/// first, its own last. `spec_text`: the value of `spec`.
/// On a base image, and with what the user says of running it.
///
/// What reads the config as an image config ignores the spec in it, what reads it as a spec file
/// ignores the rest (`spack-format` 5.3). No clock is in it, so there is no `archive_timestamp`,
/// which nothing reads.
pub(crate) fn render_spec(
    ground: Ground<'_>,
    installed: &Installed,
    layers: &[Layer],
    spec_text: &str,
    facts: Option<&PackageFacts>,
    inspected: &mut Inspected,
) -> Result<Rendered, Error> {
    let (store, spec) = (installed.store(), installed.spec());
    let own = layers.last().expect("an image of a spec has its layer");
    let label = spec.label();
    let scene = Scene { store, roots: &[spec], label: &label };
    let notes = annotations(store, &[spec], true, ground);
    Picture::of_specs(ground, scene, layers, notes, inspected)?.render(|config| {
        if let Some(facts) = facts {
            config.set("hod", facts)?;
        }
        config.set("spec", serde_json::from_str::<&RawValue>(spec_text)?)?;
        config.set("buildcache_layout_version", &LAYOUT_VERSION)?;
        let checksum = Checksum { hash_algorithm: "sha256", hash: own.digest.hex() };
        config.set("binary_cache_checksum", &checksum)?;
        config.set("archive_size", &own.size)?;
        config.set("archive_compression", &own.codec.to_string())
    })
}

/// One image of several roots and all they need at run time (`spack-format` 5.7). `layers`: those
/// of the closure, dependencies first. It is no package: no `spec` is in it.
///
/// # Errors
/// [`Error::Image`] if the roots are for different kinds of machine.
pub(crate) fn render_roots(
    ground: Ground<'_>,
    store: &Store,
    roots: &[&Spec],
    layers: &[Layer],
    inspected: &mut Inspected,
) -> Result<Rendered, Error> {
    let labels: Vec<String> = roots.iter().map(|root| root.label()).collect();
    let label = labels.join(" ");
    let wrong = |source| Error::Image { image: label.clone(), source: Box::new(source) };
    let Some(first) = roots.first() else { return Err(wrong(ImageError::Empty)) };
    let architecture = |spec: &Spec| (spec.label(), spec.target().goarch().to_owned());
    let expected = architecture(first);
    if let Some(second) = roots.iter().map(|root| architecture(root)).find(|it| it.1 != expected.1)
    {
        return Err(wrong(ImageError::Architectures { first: expected, second }));
    }
    let scene = Scene { store, roots, label: &label };
    let notes = annotations(store, roots, false, ground);
    Picture::of_specs(ground, scene, layers, notes, inspected)?.render(|_| Ok(()))
}

/// The platform that the image of a spec is for, and that its base image must be for.
pub(crate) fn platform_of(spec: &Spec) -> Platform {
    // Spack says so of all specs (`spack-format` 5.3).
    let (architecture, os) = (spec.target().goarch().to_owned(), "linux".to_owned());
    Platform { architecture, os, other: serde_json::Map::new() }
}

/// `linux/amd64`, as people write platforms.
fn platform_text(platform: &Platform) -> String {
    let variant = platform.other.get("variant").and_then(Value::as_str);
    let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

/// An image that is to be.
struct Picture<'a> {
    ground: Ground<'a>,
    layers: &'a [Layer],
    label: &'a str,
    platform: Platform,
    env: Vec<String>,
    notes: BTreeMap<String, String>,
}

impl<'a> Picture<'a> {
    fn of_specs(
        ground: Ground<'a>,
        scene: Scene<'a>,
        layers: &'a [Layer],
        notes: BTreeMap<String, String>,
        inspected: &mut Inspected,
    ) -> Result<Self, Error> {
        let env = environment(scene, inspected, ground.base_env(), ground.run)?;
        let own = || platform_of(scene.roots[0]);
        let platform = ground.base.map_or_else(own, |base| base.platform().clone());
        Ok(Self { ground, layers, label: scene.label, platform, env, notes })
    }

    /// `more`: what else the config says.
    fn render(
        self,
        more: impl FnOnce(&mut Object) -> Result<(), serde_json::Error>,
    ) -> Result<Rendered, Error> {
        let base = self.ground.base;
        let json = |source| document(self.label)(hod_mirror::ParseError::Json(source));
        let family = base.map_or(Family::Oci, |base| base.family);
        let config = self.config().and_then(|mut config| {
            more(&mut config)?;
            serde_json::to_vec(&config)
        });
        let config = config.map_err(json)?;
        let (digest, size) = (Digest::of(&config), config.len() as u64);
        let descriptor = Descriptor::new(family.config(), digest, size);
        let own = self.layers.iter().map(|layer| layer.descriptor(family));
        let own: Vec<Descriptor> = own.collect::<Result<_, _>>().map_err(|source| {
            Error::Image { image: self.label.to_owned(), source: Box::new(source) }
        })?;
        let mut layers = base.map(|base| base.layers().to_vec()).unwrap_or_default();
        layers.extend(own);
        let mut manifest = Manifest::image(descriptor, layers);
        manifest.media_type = Some(family.manifest().to_owned());
        if family == Family::Oci {
            manifest.annotations = self.notes;
        }
        let manifest = Document::render(manifest).map_err(document(self.label))?;
        Ok(Rendered { config, manifest: RawManifest::from(&manifest), platform: self.platform })
    }

    /// The config of the base, or one that says no more than it must, with what is new in it.
    fn config(&self) -> Result<Object, serde_json::Error> {
        let Ground { base, run } = self.ground;
        let mut config = base.map(|base| base.text.clone()).unwrap_or_default();
        for key in PACKAGE_KEYS {
            config.remove(key);
        }
        if base.is_none() {
            config.set("architecture", &self.platform.architecture)?;
            config.set("os", &self.platform.os)?;
        }
        let mut start = config.object("config");
        if let Some(user) = &run.user {
            start.set("User", user)?;
        }
        start.set("Env", &self.env)?;
        if let Some(entrypoint) = &run.entrypoint {
            start.set("Entrypoint", entrypoint)?;
            // The arguments of another program.
            start.remove("Cmd");
        }
        if let Some(cmd) = &run.cmd {
            start.set("Cmd", cmd)?;
        }
        if let Some(workdir) = &run.workdir {
            start.set("WorkingDir", workdir)?;
        }
        if !run.labels.is_empty() {
            let mut labels = start.object("Labels");
            for (key, value) in &run.labels {
                labels.set(key, value)?;
            }
            start.set("Labels", &labels)?;
        }
        config.set("config", &start)?;
        let mut diff_ids = base.map(|base| base.diff_ids().to_vec()).unwrap_or_default();
        diff_ids.extend(self.layers.iter().map(|layer| layer.diff_id));
        config.set("rootfs", &RootFs { kind: "layers".to_owned(), diff_ids })?;
        Ok(config)
    }
}

fn document(label: &str) -> impl Fn(hod_mirror::ParseError) -> Error {
    move |source| Error::Document { package: label.to_owned(), source: Box::new(source) }
}
