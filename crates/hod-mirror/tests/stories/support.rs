//! Images of one small layer, for stories about mirrors.

use std::io::Write;
use std::path::Path;

use hod_archive::{Cancel, Codec, DiffId, Digest};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, PackageFacts, Tag};
use hod_mirror::{CheckReport, DirectoryMirror, Patience, Publication};

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
