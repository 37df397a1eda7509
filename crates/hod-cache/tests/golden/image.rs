//! The images beside the build cache: what Spack pushes to a registry.

use hod_mirror::oci::{Descriptor, ImageConfig};
use hod_mirror::{DirectoryMirror, oci::Document, oci::Manifest};
use hod_testing::golden::golden;
use serde_json::Value;

use crate::place::{Place, assert_pushed, json, options};

fn image(mirror: &DirectoryMirror, tag: &str) -> (Document<Manifest>, Document<ImageConfig>) {
    let entry = mirror.entries().unwrap().into_iter().find(|e| e.tag.as_deref() == Some(tag));
    let descriptor: Descriptor = entry.unwrap_or_else(|| panic!("no image {tag}")).descriptor;
    let manifest = mirror.read_manifest(&descriptor).unwrap();
    let config = mirror.read_config(&manifest.config).unwrap();
    (manifest, config)
}

/// Without what Spack finds in the `/usr` of the machine it pushes from, and each directory once.
fn deduced(env: &Value) -> Vec<String> {
    let lines = env.as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    lines
        .filter_map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            let mut kept: Vec<&str> = Vec::new();
            for directory in value.split(':') {
                let is_host = directory.starts_with("/usr/") && directory != "/usr/bin";
                if !is_host && !kept.contains(&directory) {
                    kept.push(directory);
                }
            }
            (!kept.is_empty()).then(|| format!("{name}={}", kept.join(":")))
        })
        .collect()
}

#[test]
fn an_image_has_the_layers_and_the_environment_spack_gives_it() {
    let place = Place::plain();
    assert_pushed(&place.push(&["linkfarm", "hello"], &options()));
    let mirror = place.mirror();
    let expected = json(&golden("images.json"));
    for (tag, expected) in expected.as_object().unwrap() {
        let (manifest, config) = image(&mirror, tag);
        let diff_ids: Vec<String> =
            config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        assert_eq!(serde_json::json!(diff_ids), expected["diff_ids"], "{tag}");
        assert_eq!(config.architecture, expected["architecture"], "{tag}");
        assert_eq!(config.os, expected["os"], "{tag}");
        assert_eq!(config.config.env, deduced(&expected["env"]), "{tag}");
        // Spack says no more than what it is.
        for (key, note) in expected["annotations"].as_object().unwrap() {
            assert_eq!(manifest.annotations[key], *note, "{tag}");
        }
        let ours = ["created", "description", "title", "version"];
        let keys = ours.map(|key| format!("org.opencontainers.image.{key}"));
        assert!(manifest.annotations.keys().eq(&keys), "{tag}: {:?}", manifest.annotations);

        // What Spack reads of it.
        let own = manifest.layers.last().unwrap();
        assert_eq!(config.other["buildcache_layout_version"], 2);
        assert_eq!(config.other["binary_cache_checksum"]["hash"], own.digest.hex());
        assert_eq!(config.other["archive_size"], own.size);
        let root = &config.other["spec"]["nodes"][0];
        let name =
            format!("{}-{}", root["name"].as_str().unwrap(), root["version"].as_str().unwrap());
        assert!(tag.starts_with(&name), "{tag}: {name}");
    }
}

#[test]
fn a_layer_is_one_file_in_both_halves_of_the_mirror() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::plain();
    let summary = place.push(&["hello"], &options());
    assert_pushed(&summary);
    let mirror = place.mirror();
    for (package, pushed) in summary.pushed() {
        let inode = |path| fs_err::metadata(path).unwrap().ino();
        let halves = (mirror.blob_path(&pushed.digest), mirror.spack_blob_path(&pushed.digest));
        assert_eq!(inode(halves.0), inode(halves.1), "{}", package.label());
    }
}
