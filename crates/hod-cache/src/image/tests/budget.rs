use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use hod_archive::{Cancel, Codec, DiffId, Digest, Encoders, Encoding, Level, Members, decoder};

use super::shelf::Shelf;
use crate::image::budget::{LayerBudget, OpenLayer};
use crate::image::{ImageError, Layer};
use crate::{Error, LocalStore};

/// The archive of a package with one file, and its parents.
fn archive(number: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let prefix = format!("opt/store/package-{number}");
    for path in ["opt/", "opt/store/", &format!("{prefix}/")] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        builder.append_data(&mut header, path, std::io::empty()).unwrap();
    }
    let content = format!("content of {number}");
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, format!("{prefix}/file"), content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

struct Scene {
    place: tempfile::TempDir,
    store: LocalStore,
    encoders: Encoders,
    cancel: Cancel,
    blobs: BTreeMap<Digest, Vec<u8>>,
    layers: Vec<Layer>,
}

impl Scene {
    fn new(packages: usize) -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&place.path().join("memory"), 1 << 30).unwrap();
        let mut blobs = BTreeMap::new();
        let layers = (0..packages).map(archive).map(|blob| {
            let (digest, size) = (Digest::of(&blob), blob.len() as u64);
            blobs.insert(digest, blob);
            Layer { codec: Codec::None, digest, size, diff_id: DiffId(digest) }
        });
        let layers = layers.collect();
        let (encoders, cancel) = (Encoders::new(2), Cancel::default());
        Self { place, store, encoders, cancel, blobs, layers }
    }

    fn fit(&self, mirror: &Shelf, open: OpenLayer<'_>) -> Result<Vec<Layer>, Error> {
        let budget = LayerBudget {
            mirror,
            store: &self.store,
            spool: &self.spool(),
            encoders: &self.encoders,
            encoding: Encoding::new(Codec::Gzip, Level::Fast, Members::Multi).unwrap(),
            max_layers: 120,
            cancel: &self.cancel,
        };
        budget.fit("app", self.layers.clone(), None, open)
    }

    fn spool(&self) -> std::path::PathBuf {
        self.place.path().join("spool")
    }

    fn open(&self, layer: &Layer) -> Box<dyn Read + Send> {
        Box::new(Cursor::new(self.blobs[&layer.digest].clone()))
    }
}

fn nothing_is_read(layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
    panic!("{} is read", layer.digest)
}

#[test]
fn an_image_of_300_packages_has_120_layers() {
    let scene = Scene::new(300);
    let mirror = Shelf::default();
    let layers = scene.fit(&mirror, &|layer| Ok(scene.open(layer))).unwrap();
    assert_eq!(layers.len(), 120);
    assert_eq!(layers[1..], scene.layers[181..], "the last stay as they are");

    // What was merged is all that is missing, once each.
    let blob = mirror.blob(&layers[0].digest).unwrap();
    assert_eq!(blob.len() as u64, layers[0].size);
    let mut archive = tar::Archive::new(decoder(Codec::Gzip, &blob[..]).unwrap());
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        files.push((path, content));
    }
    let mut expected =
        vec![("opt/".to_owned(), String::new()), ("opt/store/".to_owned(), String::new())];
    for number in 0..181 {
        let prefix = format!("opt/store/package-{number}/");
        expected.push((prefix.clone(), String::new()));
        expected.push((format!("{prefix}file"), format!("content of {number}")));
    }
    assert_eq!(files, expected);
    let is_empty = |path: &Path| fs_err::read_dir(path).unwrap().count() == 0;
    assert!(is_empty(&scene.spool()));
}

#[test]
fn the_second_time_nothing_is_read() {
    let scene = Scene::new(130);
    let mirror = Shelf::default();
    let first = scene.fit(&mirror, &|layer| Ok(scene.open(layer))).unwrap();
    assert_eq!(mirror.take_log().len(), 1);
    assert_eq!(scene.fit(&mirror, &nothing_is_read).unwrap(), first);
    assert!(mirror.take_log().is_empty(), "nothing is sent either");
    // Another mirror gets the blob that was kept.
    let other = Shelf::default();
    assert_eq!(scene.fit(&other, &nothing_is_read).unwrap(), first);
    assert_eq!(other.take_log(), [format!("sent {}", first[0].digest)]);
    assert_eq!(other.blob(&first[0].digest), mirror.blob(&first[0].digest));
}

#[test]
fn a_kept_blob_that_is_damaged_is_made_again() {
    let scene = Scene::new(130);
    let first = scene.fit(&Shelf::default(), &|layer| Ok(scene.open(layer))).unwrap();
    let kept = scene.place.path().join("memory/blobs/sha256").join(first[0].digest.hex());
    let mut bytes = fs_err::read(&kept).unwrap();
    bytes[20] ^= 1;
    fs_err::write(&kept, bytes).unwrap();
    let other = Shelf::default();
    assert_eq!(scene.fit(&other, &|layer| Ok(scene.open(layer))).unwrap(), first);
    assert_eq!(Digest::of(&other.blob(&first[0].digest).unwrap()), first[0].digest);
}

#[test]
fn what_is_within_the_budget_is_left_alone() {
    let scene = Scene::new(120);
    let layers = scene.fit(&Shelf::default(), &nothing_is_read).unwrap();
    assert_eq!(layers, scene.layers);
}

#[test]
fn a_damaged_layer_makes_no_image() {
    let mut scene = Scene::new(130);
    let wrong = scene.layers[3].digest;
    scene.blobs.insert(wrong, archive(999));
    let mirror = Shelf::default();
    let error = scene.fit(&mirror, &|layer| Ok(scene.open(layer))).unwrap_err();
    let Error::Image { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, ImageError::Merge { layers: 11, .. }), "{source:?}");
    assert!(mirror.take_log().is_empty(), "nothing arrives");
    // And nothing is remembered of it.
    scene.blobs.insert(wrong, archive(3));
    assert!(scene.fit(&mirror, &|layer| Ok(scene.open(layer))).is_ok());
}

#[test]
fn why_a_layer_cannot_be_opened_is_told() {
    let scene = Scene::new(130);
    let error = scene.fit(&Shelf::default(), &|_| Err(Error::NotTried)).unwrap_err();
    assert!(matches!(error, Error::NotTried), "{error:?}");
}
