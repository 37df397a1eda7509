//! The index of a build cache follows its packages.

use std::collections::BTreeSet;
use std::sync::Mutex;

use fs_err as fs;
use hod_archive::Cancel;
use hod_mirror::spack::{BlobKind, BlobRecord, Manifest};
use hod_mirror::{
    DirectoryMirror, Error, IndexMode, IndexOptions, Linked, Patience, SpackPublication,
};
use hod_testing::golden::{copy_golden, golden};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Package, check, indexed, names, package, publish_package, update};

fn mirror_of(packages: &[Package]) -> (tempfile::TempDir, DirectoryMirror) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    for package in packages {
        publish_package(&mirror, package);
    }
    (place, mirror)
}

fn labels(packages: &[Package]) -> Vec<String> {
    let mut labels: Vec<_> = packages.iter().map(|package| package.name.label()).collect();
    labels.sort();
    labels
}

fn manifest_path(mirror: &DirectoryMirror) -> std::path::PathBuf {
    mirror.path().join("v3/manifests/index/index.manifest.json")
}

fn database(mirror: &DirectoryMirror) -> Value {
    let manifest = Manifest::parse(fs::read(manifest_path(mirror)).unwrap()).unwrap();
    let (_, digest) = manifest.first(BlobKind::Index).unwrap();
    serde_json::from_slice(&fs::read(mirror.spack_blob_path(&digest)).unwrap()).unwrap()
}

/// Replaces the index as somebody would who knows nothing of our lock.
fn replace_index(mirror: &DirectoryMirror, database: &str) {
    let (digest, size) = {
        let bytes = database.as_bytes();
        let digest = hod_archive::Digest::of(bytes);
        let path = mirror.spack_blob_path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        (digest, bytes.len() as u64)
    };
    let manifest = Manifest::render(vec![BlobRecord::new(BlobKind::Index, digest, size)]);
    fs::create_dir_all(manifest_path(mirror).parent().unwrap()).unwrap();
    fs::write(manifest_path(mirror), manifest.bytes()).unwrap();
}

#[rstest]
#[case("v3-signed")]
#[case("v3-unsigned")]
#[case("v3-padded")]
fn the_index_says_what_spack_made_it_say(#[case] cache: &str) {
    let place = tempfile::tempdir().unwrap();
    copy_golden(cache, place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let theirs = database(&mirror);
    let bytes = fs::read(manifest_path(&mirror)).unwrap();

    // Nothing is missing from it, so nothing is read, and nothing written.
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.read, report.dropped, report.skipped.len()), (0, 0, 0));
    assert_eq!(fs::read(manifest_path(&mirror)).unwrap(), bytes);
    fs::remove_file(manifest_path(&mirror)).unwrap();
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.read, report.entries), (report.entries, report.read));
    assert_eq!(database(&mirror), theirs);
    assert_eq!(fs::read(manifest_path(&mirror)).unwrap().len(), bytes.len());
}

#[test]
fn only_what_is_new_is_read_and_what_is_gone_is_dropped() {
    let packages = [package("a", &["b"]), package("c", &["d"])];
    let (_place, mirror) = mirror_of(&packages);
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.entries, report.read, report.is_changed), (2, 2, true));
    assert_eq!(indexed(&mirror), labels(&packages));
    assert_eq!(mirror.read_spack_index().unwrap().unwrap().database.len(), 4);

    publish_package(&mirror, &package("b", &[]));
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.entries, report.read), (3, 1));

    fs::remove_file(mirror.spack_manifest_path(&packages[1].name)).unwrap();
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.entries, report.read, report.dropped), (2, 0, 1));
    // With what only it needed.
    assert_eq!(mirror.read_spack_index().unwrap().unwrap().database.len(), 2);

    let written = fs::metadata(manifest_path(&mirror)).unwrap().modified().unwrap();
    for mode in [IndexMode::Incremental, IndexMode::Rebuild] {
        let report = update(&mirror, mode);
        assert_eq!((report.entries, report.dropped, report.is_changed), (2, 0, false));
    }
    assert_eq!(fs::metadata(manifest_path(&mirror)).unwrap().modified().unwrap(), written);
}

#[test]
fn an_empty_cache_gets_no_index_and_an_emptied_one_an_empty_one() {
    let (_place, mirror) = mirror_of(&[]);
    assert!(!update(&mirror, IndexMode::Rebuild).is_changed);
    assert!(mirror.read_spack_index().unwrap().is_none());
    let package = package("a", &[]);
    publish_package(&mirror, &package);
    update(&mirror, IndexMode::Incremental);
    fs::remove_file(mirror.spack_manifest_path(&package.name)).unwrap();
    assert_eq!(update(&mirror, IndexMode::Incremental).dropped, 1);
    assert!(indexed(&mirror).is_empty());
}

/// What is damaged is taken out of the index; what merely cannot be read now stays as it was.
#[test]
fn what_cannot_be_read_is_told() {
    let packages = ["a", "b", "c", "d"].map(|name| package(name, &[]));
    let (_place, mirror) = mirror_of(&packages);
    update(&mirror, IndexMode::Incremental);
    let [garbage, no_spec, unreadable, _] = &packages;
    let path = |package: &Package| mirror.spack_manifest_path(&package.name);
    fs::write(path(garbage), "garbage").unwrap();
    let entry = mirror.read_spack_entry(&no_spec.name).unwrap().unwrap();
    let manifest = Manifest::parse(fs::read(entry.path).unwrap()).unwrap();
    let spec = manifest.first(BlobKind::Spec).unwrap().1;
    fs::remove_file(mirror.spack_blob_path(&spec)).unwrap();
    fs::remove_file(path(unreadable)).unwrap();
    std::os::unix::fs::symlink(path(unreadable), path(unreadable)).unwrap();

    // As long as only new ones are read, nobody notices.
    assert!(!update(&mirror, IndexMode::Incremental).is_changed);
    let report = update(&mirror, IndexMode::Rebuild);
    assert_eq!((report.entries, report.read, report.dropped), (2, 1, 2));
    let skipped: Vec<_> = report.skipped.iter().map(|it| (it.path.clone(), it.is_kept)).collect();
    assert_eq!(skipped, [(path(garbage), false), (path(no_spec), false), (path(unreadable), true)]);
    assert!(matches!(report.skipped[0].error, Error::Unparsable { .. }));
    assert!(matches!(report.skipped[1].error, Error::MissingBlob { digest, .. } if digest == spec));
    assert!(matches!(report.skipped[2].error, Error::Read { .. }));
    assert_eq!(indexed(&mirror), [packages[2].name.label(), packages[3].name.label()]);
}

#[test]
fn a_damaged_index_is_made_again_and_a_newer_one_is_left_alone() {
    let packages = [package("a", &[]), package("b", &[])];
    let (_place, mirror) = mirror_of(&packages);
    update(&mirror, IndexMode::Incremental);
    fs::write(manifest_path(&mirror), "garbage").unwrap();
    mirror.read_spack_index().unwrap_err();
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.read, report.is_changed), (2, true));
    assert_eq!(report.skipped[0].path, manifest_path(&mirror));
    assert_eq!(indexed(&mirror), labels(&packages));

    replace_index(&mirror, r#"{"database":{"version":"9","installs":{}}}"#);
    let before = fs::read(manifest_path(&mirror)).unwrap();
    let options = IndexOptions {
        mode: IndexMode::Rebuild,
        jobs: 1.try_into().unwrap(),
        patience: &Patience::default(),
        on_progress: &|_, _| {},
    };
    assert!(matches!(mirror.update_spack_index(&options), Err(Error::Document { .. })));
    assert_eq!(fs::read(manifest_path(&mirror)).unwrap(), before);
}

/// Spack takes no lock. What it wrote while an update was about to replace the index is not lost.
#[test]
fn an_index_that_somebody_replaces_meanwhile_is_not_overwritten_unread() {
    let packages = [package("a", &[]), package("b", &[]), package("c", &[])];
    let (_place, mirror) = mirror_of(&packages[..1]);
    let calls = Mutex::new(0);
    let on_progress = |_, _| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            // Before the lock: so that something is left to read under it.
            1 => publish_package(&mirror, &packages[1]),
            // Under it, an index that has what is not listed yet.
            2 => {
                publish_package(&mirror, &packages[2]);
                let (_place, elsewhere) = mirror_of(&packages[2..]);
                update(&elsewhere, IndexMode::Incremental);
                replace_index(&mirror, &database(&elsewhere).to_string());
            }
            _ => {}
        }
    };
    let report = mirror
        .update_spack_index(&IndexOptions {
            mode: IndexMode::Incremental,
            jobs: 1.try_into().unwrap(),
            patience: &Patience::default(),
            on_progress: &on_progress,
        })
        .unwrap();
    assert_eq!((report.entries, report.read), (3, 2));
    assert_eq!(indexed(&mirror), labels(&packages));
}

#[test]
fn an_update_can_be_stopped() {
    let (_place, mirror) = mirror_of(&[package("a", &[]), package("b", &[])]);
    let cancel = Cancel::default();
    let stopped = mirror.update_spack_index(&IndexOptions {
        mode: IndexMode::Incremental,
        jobs: 1.try_into().unwrap(),
        patience: &Patience { cancel: cancel.clone(), ..Patience::default() },
        on_progress: &|_, _| cancel.cancel(),
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert!(!manifest_path(&mirror).exists());
}

/// The file of a package says what the package is; what others say of it as a dependency does not.
#[test]
fn no_package_changes_what_another_one_is() {
    let honest = package("zlib", &[]);
    let liar = package("a", &["zlib"]);
    let spec =
        liar.spec.replace(r#""name":"zlib","version":"1.0""#, r#""name":"zlib","version":"6""#);
    assert_ne!(spec, liar.spec);
    let liar = Package { spec, ..liar };
    let database_of = |packages: &[Package]| {
        let (_place, mirror) = mirror_of(packages);
        update(&mirror, IndexMode::Incremental);
        database(&mirror)["database"]["installs"][honest.name.hash().to_string()].clone()
    };
    let record = database_of(&[liar, package("zlib", &[])]);
    assert_eq!(record["spec"]["version"], "1.0");
}

/// Packages migrated from layout 2 have specs of version 4.
#[test]
fn old_specs_are_indexed() {
    let old = DirectoryMirror::open(golden("v2-signed")).unwrap();
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-signed", place.path());
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let mut hashes = BTreeSet::new();
    for name in old.spack_v2_names().unwrap().names {
        let entry = old.read_spack_v2_entry(&name).unwrap().unwrap();
        let size = entry.layer.size.unwrap();
        let linked = mirror.link_blob_from(&entry.layer.path, entry.layer.digest, size).unwrap();
        assert_ne!(linked, Linked::Present);
        mirror.share_with_spack(&entry.layer.digest, size).unwrap();
        let spec = mirror.put_spec_blob(old.read_spec(&entry).unwrap().spec_text()).unwrap();
        let layer = BlobRecord::new(BlobKind::Layer, entry.layer.digest, size);
        hashes.insert(entry.name.hash());
        mirror.publish_spack(&[SpackPublication { name: entry.name, layer, spec }]).unwrap();
    }
    let report = update(&mirror, IndexMode::Incremental);
    assert_eq!((report.entries, report.skipped.len()), (5, 0));
    let index = mirror.read_spack_index().unwrap().unwrap();
    let available = index.database.records().filter(|record| record.in_buildcache);
    assert_eq!(available.map(|record| record.spec.hash).collect::<BTreeSet<_>>(), hashes);
    let report = check(&mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.packages, report.signed), (10, 5));
    assert_eq!(names(place.path()), [".hod", "blobs", "build_cache", "hod.json", "oci", "v3"]);
}
