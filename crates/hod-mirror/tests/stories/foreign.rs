//! What other tools put into the layout is kept, followed as far as it is known, and not called
//! damaged.

use fs_err as fs;
use hod_mirror::oci::{Descriptor, Document, Index, Manifest, Platform, Tag, media_type};
use hod_mirror::{DirectoryMirror, Patience, Problem, Publication};

use crate::support::{check, publish, put_image, tags};

#[test]
fn a_layout_shared_with_other_tools_stays_whole() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let path = place.path().join("oci/index.json");

    // An image copied in by skopeo, under a whole reference; an image for two platforms, of which
    // only one was copied; an artifact; something by an unknown algorithm; a key of the future.
    let image = put_image(&mirror, "theirs");
    let manifest = image.manifest.descriptor();
    let absent = format!("sha256:{}", "0".repeat(64));
    let list = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{0}","digest":"{1}","size":{2},"platform":{{"architecture":"amd64","os":"linux"}}}},{{"mediaType":"{0}","digest":"{absent}","size":9,"platform":{{"architecture":"arm64","os":"linux"}}}}]}}"#,
        media_type::MANIFEST,
        manifest.digest,
        manifest.size
    );
    let (list, list_size) = mirror.put_blob(list.as_bytes()).unwrap();
    let (empty, _) = mirror.put_blob(b"{}").unwrap();
    let (note, _) = mirror.put_blob(b"a note").unwrap();
    let artifact = format!(
        r#"{{"schemaVersion":2,"artifactType":"text/x-note","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[{{"mediaType":"text/plain","digest":"{note}","size":6}}],"subject":{{"mediaType":"{}","digest":"{absent}","size":9}}}}"#,
        media_type::MANIFEST
    );
    let (artifact, artifact_size) = mirror.put_blob(artifact.as_bytes()).unwrap();
    // Spack's index tag: an empty config, and a layer that is no tar whatever its type says.
    let (database, _) = mirror.put_blob(b"{\"database\":{}}").unwrap();
    let spack = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{empty}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{database}","size":15}}]}}"#,
        media_type::CONFIG
    );
    let (spack, spack_size) = mirror.put_blob(spack.as_bytes()).unwrap();

    let named = |kind: &str, digest: &str, size: u64, name: &str| {
        format!(
            r#"{{"mediaType":"{kind}", "digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
        )
    };
    let image_kind = media_type::MANIFEST;
    let entries = [
        format!(r#"{{"mediaType":"{image_kind}","digest":"{artifact}","size":{artifact_size}}}"#),
        named("x/y", "sha512:00", 3, "by-another-algorithm"),
        named(image_kind, &manifest.digest.to_string(), manifest.size, "example.org/app:1"),
        named(image_kind, &spack.to_string(), spack_size, "index.spack"),
        named(media_type::INDEX, &list.to_string(), list_size, "two-platforms"),
    ];
    let theirs = entries.join(",");
    let before = format!(r#"{{"schemaVersion":2,"x-future":{{"b":1.50}},"manifests":[{theirs}]}}"#);
    fs::write(&path, &before).unwrap();

    let report = check(&mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.entries, report.manifests), (5, 3));
    assert!(report.unchecked >= 3);

    publish(&mirror, "ours");
    let after = fs::read_to_string(&path).unwrap();
    for entry in &entries {
        assert!(after.contains(entry), "{entry}");
    }
    assert!(after.starts_with(r#"{"schemaVersion":2,"x-future":{"b":1.50},"manifests":["#));
    assert_eq!(tags(&mirror), ["example.org/app:1", "index.spack", "ours", "two-platforms"]);
    assert!(check(&mirror).findings.is_empty());

    // As far as they are known, they are checked.
    fs::remove_file(mirror.blob_path(&image.layer)).unwrap();
    let report = check(&mirror);
    assert_eq!(report.findings.len(), 1);
    assert!(matches!(report.findings[0].problem, Problem::Missing { .. }));
    assert_eq!(report.findings[0].tags, ["example.org/app:1", "two-platforms"]);
}

#[test]
fn an_image_for_several_platforms_is_published_with_all_of_them() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let descriptors: Vec<Descriptor> = ["amd64", "arm64"]
        .map(|architecture| {
            let platform = Platform { architecture: architecture.to_owned(), ..Platform::host() };
            let descriptor = put_image(&mirror, architecture).manifest.descriptor();
            Descriptor { platform: Some(platform), ..descriptor }
        })
        .into();
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":{}}}"#,
        serde_json::to_string(&descriptors).unwrap()
    );
    let index: Document<Index> = Document::parse(text.into_bytes()).unwrap();
    mirror.put_blob(index.bytes()).unwrap();
    let publish = || {
        let tag = Tag::new("both").unwrap();
        let publication = Publication { tag, descriptor: index.descriptor() };
        mirror.publish(&[publication], &Patience::default())
    };
    publish().unwrap();
    assert!(check(&mirror).findings.is_empty());

    let manifest: Document<Manifest> = mirror.read_manifest(&descriptors[1]).unwrap();
    fs::remove_file(mirror.blob_path(&manifest.layers[0].digest)).unwrap();
    publish().unwrap_err();
}
