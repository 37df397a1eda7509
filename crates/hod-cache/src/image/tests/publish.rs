use hod_archive::Cancel;
use hod_mirror::oci::{Descriptor, ImageConfig, Index, Platform, Tag, media_type};
use hod_mirror::registry::RawManifest;
use hod_mirror::{DirectoryMirror, ImageMirror};
use serde_json::Value;

use super::shelf::Shelf;
use crate::Error;
use crate::image::publish::publish;
use crate::image::{ImageError, Rendered, Tagged};

/// An image for this architecture, as another machine would render it.
fn image(shelf: &Shelf, architecture: &str, what: &str) -> Rendered {
    let tag = format!("{what}-{architecture}");
    let descriptor = shelf.add_image(&tag, architecture, "linux");
    let manifest = shelf.manifest(&tag).unwrap().unwrap();
    let parsed = manifest.clone().into_manifest().unwrap();
    let config = shelf.blob(&parsed.config.digest).unwrap();
    assert_eq!(manifest.digest, descriptor.digest);
    let (architecture, os) = (architecture.to_owned(), "linux".to_owned());
    let platform = Platform { architecture, os, other: serde_json::Map::new() };
    Rendered { config, manifest, platform }
}

fn put(shelf: &Shelf, image: &Rendered) -> Result<Tagged, Error> {
    publish(shelf, &Tag::new("app").unwrap(), image, &mut |_| {})
}

fn found(shelf: &Shelf) -> RawManifest {
    shelf.manifest("app").unwrap().unwrap()
}

/// Architecture and digest of each entry.
fn entries(raw: RawManifest) -> Vec<(String, String)> {
    let index = raw.into_index().unwrap();
    let entry =
        |entry: Descriptor| (entry.platform.unwrap().architecture, entry.digest.to_string());
    index.descriptors().flatten().map(entry).collect()
}

fn pair(image: &Rendered) -> (String, String) {
    (image.platform.architecture.clone(), image.manifest.digest.to_string())
}

#[test]
fn images_of_two_machines_share_a_tag() {
    let shelf = Shelf::default();
    let (intel, arm) = (image(&shelf, "amd64", "app"), image(&shelf, "arm64", "app"));
    let tagged = put(&shelf, &arm).unwrap();
    assert_eq!((tagged.digest, tagged.was_there), (arm.manifest.digest, false));
    assert_eq!(found(&shelf), arm.manifest, "one platform needs no index");

    let tagged = put(&shelf, &intel).unwrap();
    assert_eq!(tagged.image, intel.manifest.digest);
    let index = found(&shelf);
    assert_eq!(index.digest, tagged.digest);
    assert_eq!(index.media_type, media_type::INDEX);
    assert_eq!(entries(index.clone()), [pair(&intel), pair(&arm)]);

    // In the other order, and once more: the same bytes.
    let other = Shelf::default();
    for image in [&intel, &arm] {
        other.add_blob(&image.config);
        other.add_manifest(None, image.manifest.clone());
        put(&other, image).unwrap();
    }
    assert_eq!(found(&other), index);
    shelf.take_log();
    assert!(put(&shelf, &intel).unwrap().was_there);
    assert!(shelf.take_log().is_empty(), "nothing to do");
}

#[test]
fn a_new_image_takes_the_place_of_its_own_platform_only() {
    let shelf = Shelf::default();
    let old = image(&shelf, "amd64", "old");
    let new = image(&shelf, "amd64", "new");
    put(&shelf, &old).unwrap();
    put(&shelf, &new).unwrap();
    assert_eq!(found(&shelf), new.manifest);
    let arm = image(&shelf, "arm64", "app");
    put(&shelf, &arm).unwrap();
    put(&shelf, &old).unwrap();
    assert_eq!(entries(found(&shelf)), [pair(&old), pair(&arm)]);
}

#[test]
fn what_others_wrote_into_an_index_stays_as_it_was() {
    let shelf = Shelf::default();
    let (intel, old) = (image(&shelf, "amd64", "app"), image(&shelf, "amd64", "old"));
    let foreign = r#"{ "size":1e1,"digest":"sha512:00", "mediaType":"x/y","platform":{"os":"linux","architecture":"zz"}}"#;
    let other = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"platform":{"os":"unknown","architecture":"unknown"},"x":[1.50]}"#;
    let replaced = serde_json::to_string(&Descriptor {
        platform: Some(old.platform.clone()),
        ..old.manifest.descriptor()
    })
    .unwrap();
    let text = format!(
        r#"{{"annotations":{{"b":"1","a":"2"}},"manifests":[{foreign},{other},{replaced}],"schemaVersion":2}}"#
    );
    shelf.add_document::<Index>(Some("app"), text);
    put(&shelf, &intel).unwrap();
    let own = serde_json::to_string(&Descriptor {
        platform: Some(intel.platform.clone()),
        ..intel.manifest.descriptor()
    })
    .unwrap();
    // An entry that is not understood has no platform here, and so comes last.
    let expected = format!(
        r#"{{"annotations":{{"b":"1","a":"2"}},"manifests":[{own},{other},{foreign}],"schemaVersion":2,"mediaType":"{}"}}"#,
        media_type::INDEX
    );
    assert_eq!(String::from_utf8(found(&shelf).bytes).unwrap(), expected);
}

#[test]
fn a_docker_list_needs_docker_images_alone() {
    let docker = |image: Rendered| {
        let mut value: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        value["mediaType"] = media_type::DOCKER_MANIFEST.into();
        value["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
        let bytes = serde_json::to_vec(&value).unwrap();
        let digest = hod_archive::Digest::of(&bytes);
        let media_type = media_type::DOCKER_MANIFEST.to_owned();
        Rendered { manifest: RawManifest { media_type, digest, bytes }, ..image }
    };
    let shelf = Shelf::default();
    put(&shelf, &docker(image(&shelf, "amd64", "app"))).unwrap();
    put(&shelf, &docker(image(&shelf, "arm64", "app"))).unwrap();
    assert_eq!(found(&shelf).media_type, media_type::DOCKER_LIST);
    put(&shelf, &image(&shelf, "riscv64", "app")).unwrap();
    let index = found(&shelf);
    assert_eq!(index.media_type, media_type::INDEX);
    assert_eq!(entries(index).len(), 3);
}

#[test]
fn whoever_is_overwritten_writes_again() {
    let shelf = Shelf::default();
    let (intel, arm) = (image(&shelf, "amd64", "app"), image(&shelf, "arm64", "app"));
    shelf.add_rival(arm.manifest.clone());
    let mut pauses = Vec::new();
    let tag = Tag::new("app").unwrap();
    let tagged = publish(&shelf, &tag, &intel, &mut |round| pauses.push(round)).unwrap();
    assert_eq!(pauses, [0, 1]);
    assert_eq!(entries(found(&shelf)), [pair(&intel), pair(&arm)]);
    assert_eq!(tagged.digest, found(&shelf).digest);
}

#[test]
fn a_tag_that_others_keep_writing_is_given_up() {
    let shelf = Shelf::default();
    let (intel, arm) = (image(&shelf, "amd64", "app"), image(&shelf, "arm64", "app"));
    for _ in 0..6 {
        shelf.add_rival(arm.manifest.clone());
    }
    let Error::Image { source, .. } = put(&shelf, &intel).unwrap_err() else { panic!() };
    assert!(matches!(*source, ImageError::Contended { rounds: 6 }), "{source:?}");
}

#[test]
fn the_variant_of_arm64_may_be_left_out() {
    let shelf = Shelf::default();
    let arm = image(&shelf, "arm64", "app");
    let config = shelf.blob(&arm.manifest.clone().into_manifest().unwrap().config.digest);
    let config: ImageConfig = serde_json::from_slice(&config.unwrap()).unwrap();
    assert_eq!(config.architecture, "arm64");
    put(&shelf, &arm).unwrap();
    let mut other = image(&shelf, "arm64", "other");
    other.platform.other.insert("variant".to_owned(), "v8".into());
    put(&shelf, &other).unwrap();
    assert_eq!(found(&shelf), other.manifest, "it took the place of the first");
}

#[test]
fn a_directory_holds_images_of_two_platforms_under_one_tag() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path().join("cache")).unwrap();
    let shelf = Shelf::default();
    let images = ["arm64", "amd64"].map(|architecture| image(&shelf, architecture, "app"));
    let tag = Tag::new("app").unwrap();
    for image in &images {
        for layer in &image.manifest.clone().into_manifest().unwrap().layers {
            mirror.put_blob(&shelf.blob(&layer.digest).unwrap()).unwrap();
        }
        publish(&mirror, &tag, image, &mut |_| {}).unwrap();
    }
    let images_of: &dyn ImageMirror = &mirror;
    let index = images_of.manifest("app").unwrap().unwrap();
    assert_eq!(entries(index), [pair(&images[1]), pair(&images[0])]);
    for image in &images {
        let (found, _) = images_of.image("app", &image.platform).unwrap().unwrap();
        assert_eq!(found, image.manifest);
    }
    let report = mirror.check(2.try_into().unwrap(), &Cancel::default(), &|_| {}).unwrap();
    assert!(report.is_undamaged(), "{report:#?}");
    assert_eq!((report.entries, report.manifests), (1, 2));
}
