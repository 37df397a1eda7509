//! The mirror as a build cache: what Spack wrote is read, what we write is what Spack writes.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use hod_archive::{Codec, Digest, decoder};
use hod_mirror::spack::{
    BlobKind, BlobRecord, EntryName, Signature, SpackContent, SpackEntry, SpackLayout,
};
use hod_mirror::{DirectoryMirror, Error, Linked, ParseError, Role, SpackPublication, Stored};
use hod_testing::golden::{copy_golden, golden};
use rstest::rstest;

use crate::support::{EMPTY_LAYER, check, names, package, publish, publish_package};

/// The entries of both layouts, by name.
fn entries(mirror: &DirectoryMirror) -> Vec<SpackEntry> {
    let (v3, v2) = (mirror.spack_names().unwrap(), mirror.spack_v2_names().unwrap());
    assert!(v3.unknown.is_empty() && v2.unknown.is_empty());
    let v3 = v3.names.iter().map(|name| mirror.read_spack_entry(name));
    let v2 = v2.names.iter().map(|name| mirror.read_spack_v2_entry(name));
    let mut all: Vec<_> = v3.chain(v2).map(|entry| entry.unwrap().unwrap()).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

#[test]
fn caches_of_spack_are_read_as_they_are() {
    for (cache, layout, signature, count, is_complete) in [
        ("v3-signed", SpackLayout::V3, Signature::NotVerified, 5, true),
        ("v3-unsigned", SpackLayout::V3, Signature::None, 6, false),
        ("v3-padded", SpackLayout::V3, Signature::None, 5, false),
        ("v2-signed", SpackLayout::V2, Signature::NotVerified, 5, true),
        ("v2-unsigned", SpackLayout::V2, Signature::None, 6, false),
    ] {
        let mirror = DirectoryMirror::open(golden(cache)).unwrap();
        let entries = entries(&mirror);
        assert_eq!(entries.len(), count, "{cache}");
        for entry in entries {
            assert_eq!((entry.layout, entry.signature), (layout, signature), "{cache}");
            assert_eq!(mirror.is_spack_entry_complete(&entry).unwrap(), is_complete, "{cache}");
            let spec = mirror.read_spec(&entry).unwrap();
            assert_eq!(spec.root().hash, entry.name.hash());
            assert_eq!(&*spec.root().name, entry.name.name());
            if is_complete {
                let layer = fs::read(&entry.layer.path).unwrap();
                assert_eq!(Digest::of(&layer), entry.layer.digest);
                assert_eq!(Some(layer.len() as u64), entry.layer.size);
            }
        }
        assert!(!golden(cache).join("hod.json").exists());
    }
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    decoder(Codec::Gzip, bytes).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_is_published_is_what_spack_would_have_written() {
    let place = tempfile::tempdir().unwrap();
    let theirs = DirectoryMirror::open(golden("v3-unsigned")).unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    for entry in entries(&theirs) {
        let spec = theirs.read_spec(&entry).unwrap();
        let pretty: serde_json::Value = serde_json::from_str(spec.spec_text()).unwrap();
        let pretty = serde_json::to_string_pretty(&pretty).unwrap();
        let spec = mirror.put_spec_blob(&pretty).unwrap();
        // The compressor is another, so the blob is; what is in it is the same.
        let blob = fs::read(mirror.spack_blob_path(&spec.digest().unwrap())).unwrap();
        assert_eq!(blob[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let SpackContent::Manifest(manifest) = &entry.content else { panic!("{entry:?}") };
        let golden = fs::read(theirs.spack_blob_path(&manifest.spec_digest())).unwrap();
        assert_eq!(gunzip(&blob), gunzip(&golden));
        let (layer, size) = mirror.put_blob(entry.name.to_string().as_bytes()).unwrap();
        assert_eq!(mirror.share_with_spack(&layer, size).unwrap(), Linked::HardLink);
        let layer = BlobRecord::new(BlobKind::Layer, layer, size);
        let publication = SpackPublication { name: entry.name.clone(), layer, spec };
        mirror.publish_spack(&[publication]).unwrap();
        let ours = mirror.read_spack_entry(&entry.name).unwrap().unwrap();
        assert!(mirror.is_spack_entry_complete(&ours).unwrap());
        assert_eq!(mirror.read_spec(&ours).unwrap(), theirs.read_spec(&entry).unwrap());
    }
    assert_eq!(fs::read(place.path().join("v3/layout.json")).unwrap(), br#"{"signing": "gpg"}"#);
}

#[test]
fn a_copy_of_a_v2_cache_is_pushed_to() {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-unsigned", place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    assert_eq!(names(place.path()), ["build_cache"]);
    mirror.put_blob(b"something").unwrap();
    assert_eq!(names(place.path()), [".hod", "build_cache", "hod.json", "oci"]);
    assert_eq!(entries(&mirror).len(), 6);
}

#[test]
fn a_blob_is_one_file_in_both_halves() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let (digest, size) = mirror.put_blob(b"layer").unwrap();
    let file = |path: std::path::PathBuf| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.dev(), metadata.ino(), metadata.nlink())
    };
    let is_shared = || {
        let (oci, spack) = (file(mirror.blob_path(&digest)), file(mirror.spack_blob_path(&digest)));
        oci == spack && oci.2 == 2
    };
    assert_eq!(mirror.share_with_spack(&digest, size).unwrap(), Linked::HardLink);
    assert_eq!(mirror.share_with_spack(&digest, size).unwrap(), Linked::Present);
    assert_eq!(mirror.share_with_oci(&digest, size).unwrap(), Linked::Present);
    assert!(is_shared());

    // Pushed once more, the blob is another file: the link is made again.
    let mut writer = mirror.blob_writer().unwrap();
    writer.write_all(b"layer").unwrap();
    assert_eq!(writer.complete_as(digest, size).unwrap(), Stored::Present);
    assert!(!is_shared());
    assert_eq!(mirror.share_with_spack(&digest, size).unwrap(), Linked::HardLink);
    assert!(is_shared());
    assert_eq!(names(&place.path().join(".hod/tmp")), [""; 0]);

    // What prune took away comes back from the image, and the other way round.
    fs::remove_file(mirror.spack_blob_path(&digest)).unwrap();
    assert!(mirror.has_blob(&digest, size).unwrap());
    assert_eq!(mirror.share_with_spack(&digest, size).unwrap(), Linked::HardLink);
    fs::remove_file(mirror.blob_path(&digest)).unwrap();
    assert_eq!(mirror.share_with_oci(&digest, size).unwrap(), Linked::HardLink);
    assert!(is_shared());

    let missing = Digest::of(b"missing");
    let error = mirror.share_with_spack(&missing, 1).unwrap_err();
    assert!(matches!(error, Error::MissingBlob { digest, .. } if digest == missing));
    let error = mirror.share_with_spack(&digest, 1).unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { expected: 1, found: 5, .. }), "{error:?}");
}

/// Spack's `prune` removes what no manifest names, unless it is younger than the index.
#[test]
fn what_is_about_to_be_named_again_is_as_young_as_new() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let zlib = package("zlib", &[]);
    publish_package(&mirror, &zlib);
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let digest = Digest::of(EMPTY_LAYER);
    let path = mirror.spack_blob_path(&digest);
    let spec = mirror.put_spec_blob(&zlib.spec).unwrap();
    let spec_path = mirror.spack_blob_path(&spec.digest().unwrap());
    for path in [&path, &spec_path] {
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    publish_package(&mirror, &zlib);
    for path in [path, spec_path] {
        assert!(fs::metadata(path).unwrap().modified().unwrap() > long_ago);
    }
}

#[test]
fn nothing_is_published_before_its_content() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let zlib = package("zlib", &[]);
    let (digest, size) = mirror.put_blob(EMPTY_LAYER).unwrap();
    let layer = BlobRecord::new(BlobKind::Layer, digest, size);
    let missing = BlobRecord::new(BlobKind::Spec, Digest::of(b"spec"), 4);
    let publication = |spec: &BlobRecord| SpackPublication {
        name: zlib.name.clone(),
        layer: layer.clone(),
        spec: spec.clone(),
    };
    let good = mirror.put_spec_blob(&zlib.spec).unwrap();
    let error = mirror.publish_spack(&[publication(&good), publication(&missing)]).unwrap_err();
    assert!(matches!(error, Error::MissingContent { role: Role::Spec, .. }), "{error:?}");
    assert!(mirror.spack_names().unwrap().names.is_empty());

    // A layer that is there as an image's is shared on the way.
    fs::remove_file(mirror.spack_blob_path(&digest)).unwrap();
    mirror.publish_spack(&[publication(&good)]).unwrap();
    let entry = mirror.read_spack_entry(&zlib.name).unwrap().unwrap();
    assert!(mirror.is_spack_entry_complete(&entry).unwrap());

    // A manifest that says the same is not written again.
    let written = fs::metadata(&entry.path).unwrap().ino();
    mirror.publish_spack(&[publication(&good)]).unwrap();
    assert_eq!(fs::metadata(&entry.path).unwrap().ino(), written);
    mirror.publish_spack(&[]).unwrap();

    let wrong = BlobRecord { checksum: "../x".to_owned(), ..good };
    let error = mirror.publish_spack(&[publication(&wrong)]).unwrap_err();
    assert!(
        matches!(&error, Error::Unparsable { source: ParseError::Checksum { .. }, .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_not_there_is_none() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let zlib = package("zlib", &[]);
    assert!(mirror.read_spack_entry(&zlib.name).unwrap().is_none());
    assert!(mirror.spack_names().unwrap().names.is_empty());
    assert!(mirror.spack_v2_names().unwrap().names.is_empty());
    assert!(mirror.read_spack_index().unwrap().is_none());
    assert!(mirror.read_spack_v2_index().unwrap().is_none());
    assert!(check(&mirror).findings.is_empty());

    publish_package(&mirror, &zlib);
    let entry = mirror.read_spack_entry(&zlib.name).unwrap().unwrap();
    fs::remove_file(&entry.layer.path).unwrap();
    assert!(!mirror.is_spack_entry_complete(&entry).unwrap());
}

#[test]
fn the_old_index_is_read() {
    let mirror = DirectoryMirror::open(golden("v2-unsigned")).unwrap();
    let database = mirror.read_spack_v2_index().unwrap().unwrap();
    for entry in entries(&mirror) {
        assert!(database.get(&entry.name.hash()).unwrap().in_buildcache);
    }
}

/// Of a spec file with and one without signature, Spack reads the one with.
#[test]
fn a_signed_spec_file_goes_before_an_unsigned_one() {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-signed", place.path());
    copy_golden("v2-unsigned", place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let names = mirror.spack_v2_names().unwrap().names;
    let signed = names.iter().filter(|name| name.signature() == Signature::NotVerified).count();
    assert_eq!((names.len(), signed), (6, 5));

    // A name that says signed, and no signature.
    let name = names.iter().find(|name| name.signature() == Signature::NotVerified).unwrap();
    let path = place.path().join(format!("build_cache/{}.spec.json", name.stem()));
    fs::rename(&path, path.with_extension("json.sig")).unwrap();
    let error = mirror.read_spack_v2_entry(name).unwrap_err();
    assert!(matches!(&error, Error::Unparsable { source: ParseError::NotSigned, .. }), "{error:?}");
}

/// What a spec blob may be, if it wants to do harm.
#[rstest]
#[case::a_bomb(|| bomb(65 << 20), "limit of 67108864")]
#[case::no_gzip(|| vec![0x1f, 0x8b, 8, 0, 0], "cannot understand the document")]
#[case::no_json(|| b"garbage".to_vec(), "cannot understand the document")]
#[case::another_spec(|| {
    format!(r#"{{"spec":{}}}"#, package("other", &[]).spec).into_bytes()
}, "should be of the spec zlib-1.0-")]
fn a_hostile_spec_is_refused(#[case] bytes: fn() -> Vec<u8>, #[case] expected: &str) {
    let (_place, mirror, name) = mirror_with_spec(&bytes(), |record| record);
    let entry = mirror.read_spack_entry(&name).unwrap().unwrap();
    let error = mirror.read_spec(&entry).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_length_is_believed_only_as_far_as_it_goes() {
    let huge = |record| BlobRecord { content_length: u64::MAX, ..record };
    let (_place, mirror, name) = mirror_with_spec(b"{}", huge);
    let entry = mirror.read_spack_entry(&name).unwrap().unwrap();
    assert!(matches!(mirror.read_spec(&entry), Err(Error::TooLarge { .. })));
    let short = |record| BlobRecord { content_length: 1, ..record };
    let (_place, mirror, name) = mirror_with_spec(b"{} and more", short);
    let entry = mirror.read_spack_entry(&name).unwrap().unwrap();
    assert!(matches!(mirror.read_spec(&entry), Err(Error::SizeMismatch { .. })));

    let path = mirror.spack_manifest_path(&name);
    fs::write(path, vec![b' '; 2 << 20]).unwrap();
    let error = mirror.read_spack_entry(&name).unwrap_err();
    assert!(
        matches!(&error, Error::Unparsable { source: ParseError::TooLong { .. }, .. }),
        "{error:?}"
    );
}

/// Gzip of so many zeros.
fn bomb(size: u64) -> Vec<u8> {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::repeat(0).take(size), &mut bomb).unwrap();
    bomb.finish().unwrap()
}

/// A mirror in which the package `zlib` has these bytes for its spec.
fn mirror_with_spec(
    bytes: &[u8],
    change: fn(BlobRecord) -> BlobRecord,
) -> (tempfile::TempDir, DirectoryMirror, EntryName) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let zlib = package("zlib", &[]);
    publish_package(&mirror, &zlib);
    let (digest, size) = mirror.put_blob(bytes).unwrap();
    mirror.share_with_spack(&digest, size).unwrap();
    let layer = BlobRecord::new(BlobKind::Layer, digest, size);
    let spec = change(BlobRecord::new(BlobKind::Spec, digest, size));
    let manifest = hod_mirror::spack::SpecManifest::render(layer, spec).unwrap();
    fs::write(mirror.spack_manifest_path(&zlib.name), manifest.bytes()).unwrap();
    (place, mirror, zlib.name)
}

/// The two halves do not know each other's names.
#[test]
fn an_image_is_no_package() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    publish(&mirror, "image");
    assert!(mirror.spack_names().unwrap().names.is_empty());
    publish_package(&mirror, &package("zlib", &[]));
    assert_eq!(mirror.entries().unwrap().len(), 1);
}
