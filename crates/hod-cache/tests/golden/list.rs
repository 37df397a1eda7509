//! Caches that Spack made, listed.

use hod_cache::{LocalStore, Wanted, find, packages};
use hod_mirror::spack::SpackLayout;
use hod_mirror::{DirectoryMirror, Mirror};
use hod_testing::golden::{copy_golden, golden};

#[test]
fn both_layouts_are_listed_as_one() {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-signed", place.path());
    copy_golden("v3-signed", place.path());
    let stray = place.path().join("build_cache/stray.spec.json");
    fs_err::write(&stray, "garbage").unwrap();
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let listing = packages(&Mirror::Directory(mirror.clone()), &LocalStore::none(), None).unwrap();
    assert_eq!((listing.found.len(), listing.total), (10, 10));
    assert!(listing.warnings[0].contains("stray"), "{:?}", listing.warnings);
    let layouts = |name: &str| {
        let found = packages(
            &Mirror::Directory(mirror.clone()),
            &LocalStore::none(),
            Some(&Wanted::new(name)),
        )
        .unwrap()
        .found;
        found.into_iter().map(|found| found.entry.unwrap().layout).collect::<Vec<_>>()
    };
    let mut both = layouts("hello");
    both.sort();
    assert_eq!(both, [SpackLayout::V2, SpackLayout::V3]);
}

#[test]
fn a_package_that_was_migrated_is_listed_once_as_spack_installs_it() {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-signed", place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let migrated =
        find(&Mirror::Directory(mirror.clone()), &LocalStore::none(), &Wanted::new("zlib"))
            .unwrap();
    let spec = mirror.read_spec(migrated.entry.as_ref().unwrap()).unwrap();
    let spec_blob = mirror.put_spec_blob(&spec.v5_spec_text()).unwrap();
    let tarball = fs_err::read(&migrated.entry.as_ref().unwrap().layer.path).unwrap();
    let (digest, size) = mirror.put_blob(&tarball).unwrap();
    mirror.share_with_spack(&digest, size).unwrap();
    let layer =
        hod_mirror::spack::BlobRecord::new(hod_mirror::spack::BlobKind::Layer, digest, size);
    let name = migrated.entry.unwrap().name;
    let publication = hod_mirror::SpackPublication { name, layer, spec: spec_blob };
    mirror.publish_spack(&[publication]).unwrap();
    let again = find(&Mirror::Directory(mirror.clone()), &LocalStore::none(), &Wanted::new("zlib"))
        .unwrap();
    assert_eq!(again.entry.unwrap().layout, SpackLayout::V3);
    assert_eq!(again.hash, migrated.hash);
    // What an older format says of the compiler is still known.
    assert_eq!(again.compiler.as_deref(), Some("gcc@12.2.0"));
}

#[test]
fn what_is_asked_for_is_found_by_its_properties() {
    let mirror = DirectoryMirror::open(golden("v3-signed")).unwrap();
    let names = |query: &str| {
        let found = packages(
            &Mirror::Directory(mirror.clone()),
            &LocalStore::none(),
            Some(&Wanted::new(query)),
        )
        .unwrap()
        .found;
        found.into_iter().map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(names("^zlib"), ["linkfarm"]);
    assert_eq!(names("%gcc@12"), ["bzip2", "gcc-runtime", "hello", "linkfarm", "zlib"]);
    assert_eq!(names("+pic~debug"), ["bzip2"]);
    assert_eq!(names("zlib@1.2:1.3"), ["zlib"]);
    assert!(
        packages(
            &Mirror::Directory(mirror.clone()),
            &LocalStore::none(),
            Some(&Wanted::new("zlib@1.3:"))
        )
        .is_err()
    );
}
