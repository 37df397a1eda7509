//! Images of one small layer, for stories about mirrors.

use std::io::Write;
use std::path::Path;

use hod_archive::{Cancel, Codec, DiffId, Digest};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, PackageFacts, Tag};
use hod_mirror::spack::{BlobKind, BlobRecord, EntryName};
use hod_mirror::{
    CheckReport, DirectoryMirror, IndexMode, IndexOptions, IndexReport, Patience, Publication,
    SpackPublication,
};
use hod_spec::DagHash;

/// An image whose blobs are in a mirror.
pub(crate) struct Image {
    pub(crate) layer: Digest,
    pub(crate) config: Digest,
    pub(crate) manifest: Document<Manifest>,
}

impl Image {
    pub(crate) fn publication(&self, tag: &str) -> Publication {
        Publication { tag: Tag::new(tag).unwrap(), descriptor: self.manifest.descriptor() }
    }
}

/// Puts all blobs of an image, publishes nothing. The same text gives the same image.
pub(crate) fn put_image(mirror: &DirectoryMirror, text: &str) -> Image {
    let tar = text.repeat(1000).into_bytes();
    let config = image_config(&tar);
    put_image_with(mirror, &tar, config)
}

pub(crate) fn image_config(tar: &[u8]) -> ImageConfig {
    let mut config = ImageConfig::new(vec![DiffId(Digest::of(tar))]);
    let uncompressed_size = tar.len() as u64;
    config.hod = Some(PackageFacts { uncompressed_size, ..PackageFacts::default() });
    config
}

pub(crate) fn put_image_with(mirror: &DirectoryMirror, tar: &[u8], config: ImageConfig) -> Image {
    let mut writer = mirror.blob_writer().unwrap();
    writer.write_all(tar).unwrap();
    let (layer, size) = (Digest::of(tar), tar.len() as u64);
    writer.complete_as(layer, size).unwrap();
    let config = Document::render(config).unwrap();
    mirror.put_blob(config.bytes()).unwrap();
    let layers = vec![Descriptor::new(Codec::None.media_type(), layer, size)];
    let manifest = Document::render(Manifest::image(config.descriptor(), layers)).unwrap();
    mirror.put_blob(manifest.bytes()).unwrap();
    Image { layer, config: config.digest(), manifest }
}

pub(crate) fn publish(mirror: &DirectoryMirror, text: &str) -> Image {
    let image = put_image(mirror, text);
    mirror.publish(&[image.publication(text)], &Patience::default()).unwrap();
    image
}

/// A package of Spack, with `dependencies`, of all of which nothing is real but the form.
pub(crate) struct Package {
    pub(crate) name: EntryName,
    /// The value of `spec` in its spec file.
    pub(crate) spec: String,
}

pub(crate) fn package(name: &str, dependencies: &[&str]) -> Package {
    let hash = |name: &str| {
        let digest = Digest::of(name.as_bytes());
        DagHash::from_bytes(digest.as_bytes()[..20].try_into().unwrap())
    };
    let node = |name: &str, edges: &str| {
        let arch = r#"{"platform":"linux","platform_os":"debian12","target":"x86_64"}"#;
        let hash = hash(name);
        format!(
            r#"{{"name":"{name}","version":"1.0","arch":{arch},"namespace":"test","parameters":{{}}{edges},"annotations":{{"original_specfile_version":5}},"hash":"{hash}"}}"#
        )
    };
    let edges: Vec<String> = dependencies
        .iter()
        .map(|name| {
            let parameters = r#"{"deptypes":["build","link"],"virtuals":[]}"#;
            format!(r#"{{"name":"{name}","hash":"{}","parameters":{parameters}}}"#, hash(name))
        })
        .collect();
    let mut edges = edges.join(",");
    if !edges.is_empty() {
        edges = format!(r#","dependencies":[{edges}]"#);
    }
    let nodes: Vec<String> = std::iter::once(node(name, &edges))
        .chain(dependencies.iter().map(|name| node(name, "")))
        .collect();
    Package {
        name: EntryName::new(name, "1.0", hash(name)).unwrap(),
        spec: format!(r#"{{"_meta":{{"version":5}},"nodes":[{}]}}"#, nodes.join(",")),
    }
}

/// A gzip stream of nothing but zeros: an empty archive.
pub(crate) const EMPTY_LAYER: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 99, 96, 24, 5, 163, 96, 20, 140, 84, 0, 0, 46, 175, 181,
    239, 0, 4, 0, 0,
];

/// Publishes a package in the Spack half, without updating the index.
pub(crate) fn publish_package(mirror: &DirectoryMirror, package: &Package) {
    let (digest, size) = mirror.put_blob(EMPTY_LAYER).unwrap();
    mirror.share_with_spack(&digest, size).unwrap();
    let spec = mirror.put_spec_blob(&package.spec).unwrap();
    let layer = BlobRecord::new(BlobKind::Layer, digest, size);
    let publication = SpackPublication { name: package.name.clone(), layer, spec };
    mirror.publish_spack(&[publication]).unwrap();
}

pub(crate) fn update(mirror: &DirectoryMirror, mode: IndexMode) -> IndexReport {
    mirror
        .update_spack_index(&IndexOptions {
            mode,
            jobs: 2.try_into().unwrap(),
            patience: &Patience::default(),
            on_progress: &|_, _| {},
        })
        .unwrap()
}

/// Labels of what the index says is there.
pub(crate) fn indexed(mirror: &DirectoryMirror) -> Vec<String> {
    let index = mirror.read_spack_index().unwrap().unwrap();
    let records = index.database.records().filter(|record| record.in_buildcache);
    let mut labels: Vec<String> = records.map(|record| record.spec.label()).collect();
    labels.sort();
    labels
}

pub(crate) fn check(mirror: &DirectoryMirror) -> CheckReport {
    mirror.check(2.try_into().unwrap(), &Cancel::default(), &|_| {}).unwrap()
}

pub(crate) fn tags(mirror: &DirectoryMirror) -> Vec<String> {
    mirror.entries().unwrap().into_iter().filter_map(|entry| entry.tag).collect()
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs_err::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|it| name(it).into_string().unwrap()).collect();
    names.sort();
    names
}
