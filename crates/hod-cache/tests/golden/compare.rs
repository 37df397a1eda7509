//! The build cache that Hod writes is the one that Spack writes.

use std::collections::BTreeMap;
use std::path::Path;

use hod_archive::Digest;
use hod_testing::golden::golden;
use serde_json::Value;

use crate::place::{Place, assert_pushed, gunzipped, json, options};

/// Paths relative to `root` of all spec manifests, and their content.
fn manifests(root: &Path) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for package in fs_err::read_dir(root.join("v3/manifests/spec")).unwrap() {
        for file in fs_err::read_dir(package.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            all.insert(name, json(&path));
        }
    }
    all
}

fn blob(root: &Path, record: &Value) -> std::path::PathBuf {
    let hex = record["checksum"].as_str().unwrap();
    root.join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Everything but the compressed bytes and what follows from them.
fn compare(place: &Place, cache: &str) {
    let (ours, theirs) = (place.at("mirror"), golden(cache));
    let diff_ids = json(&golden("diff-ids.json"));
    let (our_manifests, their_manifests) = (manifests(&ours), manifests(&theirs));
    assert_eq!(
        our_manifests.keys().collect::<Vec<_>>(),
        their_manifests.keys().collect::<Vec<_>>()
    );
    for (name, manifest) in &our_manifests {
        let expected = &their_manifests[name];
        let (ours_data, theirs_data) = (&manifest["data"], &expected["data"]);
        assert_eq!(manifest["version"], expected["version"]);
        for at in 0..2 {
            let (record, golden) = (&ours_data[at], &theirs_data[at]);
            let keys =
                |record: &Value| record.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(record), keys(golden), "{name}");
            for key in ["mediaType", "compression", "checksumAlgorithm"] {
                assert_eq!(record[key], golden[key], "{name}");
            }
            let size = fs_err::metadata(blob(&ours, record)).unwrap().len();
            assert_eq!(record["contentLength"], size, "{name}");
        }
        let hash = &name[name.len() - ".spec.manifest.json".len() - 32..][..32];
        let tar = Digest::of(&gunzipped(&blob(&ours, &ours_data[0])));
        assert_eq!(tar.to_string(), diff_ids[cache][hash]["diff_id"], "{name}");
        let spec = gunzipped(&blob(&ours, &ours_data[1]));
        assert_eq!(spec, gunzipped(&blob(&theirs, &theirs_data[1])), "{name}");
    }
    let index = |root: &Path| {
        let manifest = json(&root.join("v3/manifests/index/index.manifest.json"));
        json(&blob(root, &manifest["data"][0]))
    };
    assert_eq!(index(&ours), index(&theirs));
    let layout = |root: &Path| fs_err::read(root.join("v3/layout.json")).unwrap();
    assert_eq!(layout(&ours), layout(&theirs));
}

#[test]
fn every_tarball_spec_and_index_is_what_spack_writes() {
    let place = Place::plain();
    let options = hod_cache::PushOptions { update_index: true, ..options() };
    assert_pushed(&place.push(&["linkfarm", "hello", "libpng"], &options));
    compare(&place, "v3-unsigned");
}

#[test]
fn a_padded_store_is_packed_as_spack_packs_it() {
    let place = Place::padded();
    let options = hod_cache::PushOptions { update_index: true, ..options() };
    assert_pushed(&place.push(&["linkfarm", "hello"], &options));
    compare(&place, "v3-padded");
}
