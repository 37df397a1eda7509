//! The life of a directory mirror, from nothing to repair.

use std::io::Write;

use crate::support::{check, names, publish, put_image, tags};
use fs_err as fs;
use hod_archive::Digest;
use hod_mirror::oci::{Descriptor, Tag, media_type};
use hod_mirror::{
    DirectoryMirror, Error, Found, Linked, Patience, Problem, Publication, Role, Stored, Written,
};
use rstest::rstest;

#[test]
fn a_mirror_is_written_read_damaged_found_out_and_repaired() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("new/mirror");
    assert!(matches!(DirectoryMirror::open(&root), Err(Error::DoesNotExist { .. })));

    let mirror = DirectoryMirror::ensure(&root).unwrap();
    assert_eq!(fs::read(root.join("hod.json")).unwrap(), br#"{"layoutVersion":1}"#);
    assert_eq!(
        fs::read(root.join("oci/oci-layout")).unwrap(),
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );
    assert!(mirror.entries().unwrap().is_empty());
    assert!(check(&mirror).findings.is_empty());

    // Two images, published one after the other, are found in the order of their tags.
    let zlib = publish(&mirror, "zlib-1.3.1");
    publish(&mirror, "bzip2-1.0.8");
    let mirror = DirectoryMirror::open(&root).unwrap();
    assert_eq!(tags(&mirror), ["bzip2-1.0.8", "zlib-1.3.1"]);
    let found = &mirror.entries().unwrap()[1];
    let manifest = mirror.read_manifest(&found.descriptor).unwrap();
    assert_eq!(manifest.bytes(), zlib.manifest.bytes());
    let config = mirror.read_config(&manifest.config).unwrap();
    assert_eq!(config.hod.as_ref().unwrap().uncompressed_size, 10_000);
    assert!(matches!(mirror.read_config(&found.descriptor), Err(Error::MediaType { .. })));

    let report = check(&mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.entries, report.manifests, report.blobs), (2, 2, 6));

    // Publishing again changes nothing, not even the file.
    let before = fs::metadata(root.join("oci/index.json")).unwrap().modified().unwrap();
    publish(&mirror, "zlib-1.3.1");
    let after = fs::metadata(root.join("oci/index.json")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    // A byte of a layer turns over.
    let layer = mirror.blob_path(&zlib.layer);
    let mut bytes = fs::read(&layer).unwrap();
    bytes[5000] ^= 1;
    fs::write(&layer, &bytes).unwrap();
    let report = check(&mirror);
    let damage: Vec<_> = report.damaged().collect();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].path, layer);
    assert_eq!(damage[0].tags, ["zlib-1.3.1"]);
    assert_eq!(
        damage[0].problem,
        Problem::WrongDigest { expected: zlib.layer, found: Digest::of(&bytes) }
    );

    // It is cut off as well: now a push sees the damage by itself, and mends it.
    fs::write(&layer, &bytes[..100]).unwrap();
    let report = check(&mirror);
    assert_eq!(
        report.damaged().next().unwrap().problem,
        Problem::WrongSize { expected: 10_000, found: 100 }
    );
    let refused = mirror.publish(&[zlib.publication("again")], &Patience::default());
    assert!(matches!(
        refused,
        Err(Error::MissingContent { role: Role::Layer, found: Some(100), .. })
    ));
    publish(&mirror, "zlib-1.3.1");
    assert!(check(&mirror).findings.is_empty());
    assert_eq!(names(&root.join(".hod/tmp")), [""; 0]);
}

#[test]
fn a_publication_without_its_content_is_refused_as_a_whole() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let whole = put_image(&mirror, "whole");
    let holed = put_image(&mirror, "holed");
    fs::remove_file(mirror.blob_path(&holed.config)).unwrap();

    let both = [whole.publication("whole"), holed.publication("holed")];
    let error = mirror.publish(&both, &Patience::default()).unwrap_err();
    assert!(
        matches!(&error, Error::MissingContent { tag, role: Role::Config, digest, found: None, .. }
            if tag == "holed" && *digest == holed.config)
    );
    assert_eq!(
        error.to_string(),
        format!("cannot publish `holed`: its config {} is not in the mirror", holed.config)
    );
    assert!(mirror.entries().unwrap().is_empty());

    let nothing = Descriptor::new(media_type::MANIFEST, Digest::of(b"nothing"), 7);
    let publication = Publication { tag: Tag::new("nothing").unwrap(), descriptor: nothing };
    let refused = mirror.publish(&[publication], &Patience::default());
    assert!(matches!(refused, Err(Error::MissingContent { role: Role::Manifest, .. })));
}

#[test]
fn a_tag_published_again_leads_to_the_new_manifest() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let old = publish(&mirror, "latest");
    let new = put_image(&mirror, "new");
    mirror.publish(&[new.publication("latest")], &Patience::default()).unwrap();

    let entries = mirror.entries().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].descriptor.digest, new.manifest.digest());

    // What only the old one named takes up room and is no damage.
    let report = check(&mirror);
    assert!(report.is_undamaged());
    let mut orphans: Vec<_> = report.orphaned().map(|finding| finding.path.clone()).collect();
    orphans.sort();
    let mut expected =
        [old.layer, old.config, old.manifest.digest()].map(|digest| mirror.blob_path(&digest));
    expected.sort();
    assert_eq!(orphans, expected);
}

#[test]
fn a_dropped_writer_leaves_nothing_and_a_wrong_length_is_no_blob() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let mut writer = mirror.blob_writer().unwrap();
    writer.write_all(b"half of somethi").unwrap();
    assert_eq!(names(&place.path().join(".hod/tmp")).len(), 1);
    drop(writer);

    let mut writer = mirror.blob_writer().unwrap();
    writer.write_all(b"short").unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.written(), 5);
    let error = writer.complete_as(Digest::of(b"shorter"), 7).unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { expected: 7, found: 5, .. }));

    assert_eq!(names(&place.path().join(".hod/tmp")), [""; 0]);
    assert_eq!(names(&place.path().join("oci/blobs/sha256")), [""; 0]);
}

#[test]
fn a_blob_that_is_there_is_not_written_twice() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let write = || {
        let mut writer = mirror.blob_writer().unwrap();
        writer.write_all(b"content").unwrap();
        writer.complete_as(Digest::of(b"content"), 7).unwrap()
    };
    assert_eq!(write(), Stored::New);
    assert_eq!(write(), Stored::Present);
    fs::write(mirror.blob_path(&Digest::of(b"content")), "cut").unwrap();
    assert_eq!(write(), Stored::Repaired);
    assert!(mirror.has_blob(&Digest::of(b"content"), 7).unwrap());
    let missing = mirror.open_blob(&Digest::of(b"other"));
    assert!(matches!(missing, Err(Error::MissingBlob { .. })));
}

#[test]
fn a_blob_of_another_store_is_linked_not_copied() {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path().join("mirror")).unwrap();
    let source = place.path().join("source");
    fs::write(&source, "content").unwrap();
    let digest = Digest::of(b"content");

    let short = mirror.link_blob_from(&source, digest, 8);
    assert!(matches!(short, Err(Error::SizeMismatch { expected: 8, found: 7, .. })));
    let linked = mirror.link_blob_from(&source, digest, 7).unwrap();
    assert_eq!(mirror.link_blob_from(&source, digest, 7).unwrap(), Linked::Present);
    if linked == Linked::HardLink {
        let inode = |path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(source), inode(mirror.blob_path(&digest)));
    }

    // A private file becomes a blob that others can read, so it cannot be the same file.
    let private = place.path().join("private");
    fs::write(&private, "private").unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
    let digest = Digest::of(b"private");
    let linked = mirror.link_blob_from(&private, digest, 7).unwrap();
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o444;
    let everyone = mode(place.path().join("mirror/hod.json"));
    assert_eq!(mode(mirror.blob_path(&digest)), everyone);
    assert_eq!(linked == Linked::HardLink, everyone == 0o400);

    // From another file system, where there is one, it is copied.
    let elsewhere = tempfile::Builder::new().tempfile_in("/dev/shm");
    if let Ok(mut file) = elsewhere {
        file.write_all(b"elsewhere").unwrap();
        let digest = Digest::of(b"elsewhere");
        let linked = mirror.link_blob_from(file.path(), digest, 9).unwrap();
        assert_ne!(linked, Linked::Present);
        assert_eq!(fs::read(mirror.blob_path(&digest)).unwrap(), b"elsewhere");
    }
    assert!(check(&mirror).is_undamaged());
}

#[rstest]
#[case::empty(&[], Found::Empty)]
#[case::a_home(&[".bashrc", "work"], Found::Files { count: 2, first: ".bashrc".into() })]
#[case::a_bare_layout(&["oci-layout", "index.json"], Found::OciLayout)]
#[case::around_a_mirror(&["build_cache"], Found::Files { count: 1, first: "build_cache".into() })]
fn a_directory_that_is_no_mirror_says_what_it_is(#[case] files: &[&str], #[case] expected: Found) {
    let place = tempfile::tempdir().unwrap();
    for file in files {
        fs::write(place.path().join(file), "").unwrap();
    }
    let opened = DirectoryMirror::open(place.path());
    assert!(matches!(opened, Err(Error::NotAMirror { found, .. }) if found == expected));
    if expected != Found::Empty {
        let ensured = DirectoryMirror::ensure(place.path());
        assert!(matches!(ensured, Err(Error::NotAMirror { found, .. }) if found == expected));
        assert_eq!(names(place.path()).len(), files.len());
    }
}

#[test]
fn a_file_is_not_a_mirror() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for opened in [DirectoryMirror::open(file.path()), DirectoryMirror::ensure(file.path())] {
        assert!(matches!(opened, Err(Error::NotADirectory { .. })));
    }
}

#[test]
fn a_spack_mirror_becomes_one_of_ours_when_it_is_written_to() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("v3")).unwrap();
    fs::create_dir(place.path().join("blobs")).unwrap();
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    assert!(mirror.entries().unwrap().is_empty());
    assert!(check(&mirror).findings.is_empty());
    assert_eq!(names(place.path()), ["blobs", "v3"]);

    publish(&mirror, "zlib");
    assert_eq!(names(place.path()), [".hod", "blobs", "hod.json", "oci", "v3"]);
    assert!(check(&mirror).findings.is_empty());
}

#[rstest]
#[case::newer("hod.json", r#"{"layoutVersion":2}"#, "is 2, this program reads up to 1")]
#[case::garbage("hod.json", "garbage", "cannot understand")]
#[case::empty("hod.json", "", "cannot understand")]
#[case::zero("hod.json", r#"{"layoutVersion":0}"#, "cannot understand")]
#[case::newer_oci("oci/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, r#"has version "2.0.0""#)]
#[case::garbage_oci("oci/oci-layout", "{}", "cannot understand")]
fn a_layout_that_is_not_understood_is_left_alone(
    #[case] file: &str,
    #[case] content: &str,
    #[case] expected: &str,
) {
    let place = tempfile::tempdir().unwrap();
    DirectoryMirror::ensure(place.path()).unwrap();
    fs::write(place.path().join(file), content).unwrap();
    for opened in [DirectoryMirror::open(place.path()), DirectoryMirror::ensure(place.path())] {
        let error = opened.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(fs::read_to_string(place.path().join(file)).unwrap(), content);
}

#[test]
fn keys_and_minor_versions_of_the_future_are_fine() {
    let place = tempfile::tempdir().unwrap();
    DirectoryMirror::ensure(place.path()).unwrap();
    fs::write(place.path().join("hod.json"), r#"{"layoutVersion":1,"new":true}"#).unwrap();
    fs::write(place.path().join("oci/oci-layout"), r#"{"imageLayoutVersion":"1.1.0"}"#).unwrap();
    DirectoryMirror::open(place.path()).unwrap();
}

#[test]
fn what_cannot_be_written_is_named_with_its_path() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    mirror.put_blob(b"first").unwrap();
    fs::remove_dir(place.path().join(".hod/tmp")).unwrap();
    fs::write(place.path().join(".hod/tmp"), "a file in the way").unwrap();
    let error = mirror.blob_writer().unwrap_err();
    let Error::Write { what: Written::NewBlob, path, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(path, place.path());
    assert!(source.to_string().contains(".hod/tmp"), "{source}");
    assert!(!error.to_string().contains(&source.to_string()));
}
