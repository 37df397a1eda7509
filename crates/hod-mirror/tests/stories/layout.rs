//! A bare image layout is a mirror too: images and nothing else, beside whoever made it.

use std::io::Write as _;

use fs_err as fs;
use hod_mirror::{DirectoryMirror, Error, Found, IndexMode, IndexOptions, Patience};

use crate::support::{check, names, publish, tags};

#[test]
fn a_layout_holds_images_and_nothing_of_spacks() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("layout");
    let mirror = DirectoryMirror::ensure_layout(&root).unwrap();
    assert_eq!(names(&root), [".hod", "blobs", "index.json", "oci-layout"]);
    publish(&mirror, "one");
    assert_eq!(tags(&mirror), ["one"]);
    assert!(check(&mirror).findings.is_empty());
    assert!(!mirror.has_spack_half());
    assert_eq!(mirror.to_string(), format!("oci-layout:{}", root.display()));

    // `blobs/` is not the one of a build cache, whatever lies in it.
    assert!(mirror.spack_names().unwrap().names.is_empty());
    assert!(mirror.read_spack_index().unwrap().is_none());
    let options = IndexOptions {
        mode: IndexMode::Rebuild,
        jobs: 1.try_into().unwrap(),
        patience: &Patience::default(),
        on_progress: &|_, _| {},
    };
    for refused in [
        mirror.update_spack_index(&options).map(drop),
        mirror.put_spec_blob("{}").map(drop),
        mirror.share_with_spack(&hod_archive::Digest::of(b""), 0).map(drop),
    ] {
        assert!(matches!(refused, Err(Error::NoSpackHalf { .. })), "{refused:?}");
    }
    assert_eq!(names(&root), [".hod", "blobs", "index.json", "oci-layout"]);
}

#[test]
fn a_layout_of_another_tool_is_opened_as_it_is_and_written_to() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    // What skopeo and umoci leave: no `.hod`, and blanks where Hod writes none.
    fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    fs::write(root.join("index.json"), r#"{"schemaVersion": 2, "manifests": []}"#).unwrap();

    let mirror = DirectoryMirror::open_layout(root).unwrap();
    assert!(tags(&mirror).is_empty() && check(&mirror).findings.is_empty());
    assert_eq!(names(root), ["blobs", "index.json", "oci-layout"], "reading changes nothing");
    publish(&mirror, "ours");
    publish(&DirectoryMirror::ensure_layout(root).unwrap(), "again");
    assert_eq!(tags(&mirror), ["again", "ours"]);
    assert!(names(&root.join(".hod/tmp")).is_empty());
}

#[test]
fn what_is_something_else_is_refused_and_described() {
    let place = tempfile::tempdir().unwrap();
    let found = |result: Result<DirectoryMirror, Error>| match result {
        Err(Error::NotAMirror { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    let mirror = place.path().join("mirror");
    DirectoryMirror::ensure(&mirror).unwrap();
    assert_eq!(found(DirectoryMirror::open_layout(&mirror)), Found::Mirror);
    assert_eq!(found(DirectoryMirror::ensure_layout(&mirror)), Found::Mirror);

    let layout = place.path().join("layout");
    DirectoryMirror::ensure_layout(&layout).unwrap();
    assert_eq!(found(DirectoryMirror::open(&layout)), Found::OciLayout);
    assert_eq!(found(DirectoryMirror::ensure(&layout)), Found::OciLayout);

    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    assert_eq!(found(DirectoryMirror::open_layout(&home)), Found::Empty);
    fs::write(home.join("letter"), "").unwrap();
    assert!(matches!(found(DirectoryMirror::ensure_layout(&home)), Found::Files { .. }));

    let newer = place.path().join("newer");
    DirectoryMirror::ensure_layout(&newer).unwrap();
    let mut marker = fs::File::create(newer.join("oci-layout")).unwrap();
    marker.write_all(br#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let refused = DirectoryMirror::open_layout(&newer);
    assert!(matches!(refused, Err(Error::UnsupportedOciLayout { .. })), "{refused:?}");
}
