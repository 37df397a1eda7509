//! The mirror as a build cache: what Spack wrote is read, what we write is what Spack writes.

use fs_err as fs;
use hod_archive::Digest;
use hod_mirror::spack::{BlobKind, BlobRecord, Signature, SpackEntry, SpackLayout};
use hod_mirror::{DirectoryMirror, Linked, SpackPublication};

use crate::support::{copy, golden, names};

fn entries(mirror: &DirectoryMirror) -> Vec<SpackEntry> {
    let v3 = mirror.spack_names().unwrap();
    let v2 = mirror.spack_v2_names().unwrap();
    assert!(v3.unknown.is_empty() && v2.unknown.is_empty());
    let v3 = v3.names.iter().map(|name| mirror.read_spack_entry(name).unwrap().unwrap());
    let v2 = v2.names.iter().map(|name| mirror.read_spack_v2_entry(name).unwrap().unwrap());
    v3.chain(v2).collect()
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
    copy(&golden("v2-unsigned"), place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    assert_eq!(names(place.path()), ["build_cache"]);
    mirror.put_blob(b"something").unwrap();
    assert_eq!(names(place.path()), [".hod", "build_cache", "hod.json", "oci"]);
    assert_eq!(entries(&mirror).len(), 6);
}
