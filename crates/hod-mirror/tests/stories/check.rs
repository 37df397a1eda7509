//! Each kind of damage is found, and told by its tags.

use std::io::Write;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use hod_archive::{Cancel, Codec, DiffId, Digest};
use hod_mirror::oci::{Descriptor, Document, ImageConfig, Manifest, Tag};
use hod_mirror::{DirectoryMirror, Error, Finding, Patience, Problem, Publication, Role};
use rstest::rstest;

use crate::support::{Image, check, image_config, publish, put_image_with};

/// What is done to the mirror, and what the check then says.
type Damage = fn(&DirectoryMirror, &Image) -> Expected;

struct Expected {
    problem: Problem,
    path: std::path::PathBuf,
    tags: &'static [&'static str],
}

fn blob(mirror: &DirectoryMirror, digest: Digest, problem: Problem) -> Expected {
    Expected { problem, path: mirror.blob_path(&digest), tags: &["a"] }
}

fn index(mirror: &DirectoryMirror, problem: Problem, tags: &'static [&'static str]) -> Expected {
    Expected { problem, path: mirror.path().join("oci/index.json"), tags }
}

fn missing(mirror: &DirectoryMirror, digest: Digest, role: Role) -> Expected {
    fs::remove_file(mirror.blob_path(&digest)).unwrap();
    blob(mirror, digest, Problem::Missing { role })
}

fn flip(mirror: &DirectoryMirror, digest: Digest) -> Expected {
    let path = mirror.blob_path(&digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    blob(mirror, digest, Problem::WrongDigest { expected: digest, found: Digest::of(&bytes) })
}

/// Publishes under the tag `a` an image whose config tells something untrue of its layer.
fn lie(mirror: &DirectoryMirror, change: fn(&mut ImageConfig)) -> Image {
    let tar = b"tar".repeat(100);
    let mut config = image_config(&tar);
    change(&mut config);
    let image = put_image_with(mirror, &tar, config);
    mirror.publish(&[image.publication("a")], &Patience::default()).unwrap();
    image
}

fn edit_index(mirror: &DirectoryMirror, edit: impl FnOnce(String) -> String) {
    let path = mirror.path().join("oci/index.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, edit(text)).unwrap();
}

#[rstest]
#[case::a_missing_layer(|mirror: &DirectoryMirror, image: &Image| missing(mirror, image.layer, Role::Layer))]
#[case::a_missing_config(|mirror: &DirectoryMirror, image: &Image| missing(mirror, image.config, Role::Config))]
#[case::an_entry_without_its_manifest(|mirror: &DirectoryMirror, image: &Image| {
    missing(mirror, image.manifest.digest(), Role::Manifest)
})]
#[case::a_layer_with_a_flipped_bit(|mirror: &DirectoryMirror, image: &Image| flip(mirror, image.layer))]
#[case::a_config_with_a_flipped_bit(|mirror: &DirectoryMirror, image: &Image| flip(mirror, image.config))]
#[case::a_manifest_with_a_flipped_bit(|mirror: &DirectoryMirror, image: &Image| flip(mirror, image.manifest.digest()))]
#[case::a_layer_cut_short(|mirror: &DirectoryMirror, image: &Image| {
    fs::write(mirror.blob_path(&image.layer), "a").unwrap();
    blob(mirror, image.layer, Problem::WrongSize { expected: 1000, found: 1 })
})]
#[case::an_empty_manifest(|mirror: &DirectoryMirror, image: &Image| {
    let expected = fs::metadata(mirror.blob_path(&image.manifest.digest())).unwrap().len();
    fs::write(mirror.blob_path(&image.manifest.digest()), "").unwrap();
    blob(mirror, image.manifest.digest(), Problem::WrongSize { expected, found: 0 })
})]
#[case::a_wrong_diff_id(|mirror: &DirectoryMirror, _: &Image| {
    let other = DiffId(Digest::of(b"other"));
    let lie = lie(mirror, |config| config.rootfs.diff_ids = vec![DiffId(Digest::of(b"other"))]);
    let problem = Problem::WrongDiffId { expected: other, found: DiffId(lie.layer) };
    blob(mirror, lie.layer, problem)
})]
#[case::a_diff_id_too_few(|mirror: &DirectoryMirror, _: &Image| {
    let lie = lie(mirror, |config| config.rootfs.diff_ids.clear());
    blob(mirror, lie.config, Problem::WrongDiffIdCount { expected: 1, found: 0 })
})]
#[case::a_wrong_uncompressed_size(|mirror: &DirectoryMirror, _: &Image| {
    let lie = lie(mirror, |config| {
        config.hod.as_mut().expect("the image has facts").uncompressed_size = 7;
    });
    blob(mirror, lie.layer, Problem::WrongUncompressedSize { expected: 7, found: 300 })
})]
#[case::a_malformed_tag(|mirror: &DirectoryMirror, _: &Image| {
    edit_index(mirror, |text| text.replace(r#""b""#, r#""b b""#));
    index(mirror, Problem::BadTag { found: "b b".to_owned() }, &["b b"])
})]
#[case::a_tag_twice(|mirror: &DirectoryMirror, _: &Image| {
    edit_index(mirror, |text| text.replace(r#""b""#, r#""a""#));
    index(mirror, Problem::DuplicateTag { found: "a".to_owned() }, &["a"])
})]
#[case::a_missing_index(|mirror: &DirectoryMirror, _: &Image| {
    fs::remove_file(mirror.path().join("oci/index.json")).unwrap();
    index(mirror, Problem::Missing { role: Role::Index }, &[])
})]
fn damage_is_found(#[case] damage: Damage) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let image = publish(&mirror, "a");
    publish(&mirror, "b");
    let expected = damage(&mirror, &image);

    let report = check(&mirror);
    assert!(!report.is_undamaged());
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(damaged[0].problem, expected.problem);
    assert_eq!(damaged[0].path, expected.path);
    assert_eq!(damaged[0].tags, expected.tags);
}

#[rstest]
#[case::an_index("oci/index.json", &[])]
#[case::an_index_entry("entry", &["a"])]
fn what_cannot_be_understood_is_damage(#[case] what: &str, #[case] tags: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    publish(&mirror, "a");
    edit_index(&mirror, |text| match what {
        "entry" => text.replace("sha256:", "sha256:../"),
        _ => "garbage".to_owned(),
    });
    let report = check(&mirror);
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert!(matches!(damaged[0].problem, Problem::Unparsable { .. }), "{damaged:?}");
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].tags, tags);
}

/// A document whose bytes have the right digest and make no sense.
#[rstest]
#[case::no_json("garbage")]
#[case::a_manifest_and_an_index(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#)]
fn a_manifest_of_garbage_is_damage(#[case] bytes: &str) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let good = publish(&mirror, "a").manifest;
    let (bad, size) = mirror.put_blob(bytes.as_bytes()).unwrap();
    edit_index(&mirror, |text| {
        let named = good.bytes().len();
        text.replace(&good.digest().to_string(), &bad.to_string())
            .replace(&format!(r#""size":{named}"#), &format!(r#""size":{size}"#))
    });
    let report = check(&mirror);
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert!(matches!(damaged[0].problem, Problem::Unparsable { .. }), "{damaged:?}");
    assert_eq!(damaged[0].tags, ["a"]);
}

/// Otherwise whoever prunes would throw away the layers of a damaged manifest (Spack's does).
#[rstest]
#[case::of_a_manifest(true)]
#[case::of_the_index(false)]
fn what_something_unreadable_may_name_is_not_called_orphaned(#[case] is_manifest: bool) {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let image = publish(&mirror, "a");
    mirror.put_blob(b"orphan").unwrap();
    assert_eq!(check(&mirror).orphaned().count(), 1);
    if is_manifest {
        flip(&mirror, image.manifest.digest());
    } else {
        edit_index(&mirror, |_| "garbage".to_owned());
    }
    let report = check(&mirror);
    assert!(!report.are_orphans_known);
    assert_eq!((report.damaged().count(), report.orphaned().count()), (1, 0));
}

#[test]
fn a_layer_its_codec_cannot_decode_is_damage() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let (layer, size) = mirror.put_blob(b"this is no gzip").unwrap();
    let config = Document::render(ImageConfig::new(vec![DiffId(layer)])).unwrap();
    mirror.put_blob(config.bytes()).unwrap();
    let layers = vec![Descriptor::new(Codec::Gzip.media_type(), layer, size)];
    let manifest = Document::render(Manifest::image(config.descriptor(), layers)).unwrap();
    mirror.put_blob(manifest.bytes()).unwrap();
    let publication =
        Publication { tag: Tag::new("bad").unwrap(), descriptor: manifest.descriptor() };
    mirror.publish(&[publication], &Patience::default()).unwrap();

    let report = check(&mirror);
    assert_eq!(report.findings.len(), 1);
    assert!(matches!(report.findings[0].problem, Problem::Undecodable { .. }));
    assert_eq!(report.findings[0].tags, ["bad"]);
}

#[test]
fn damage_to_a_shared_layer_names_every_tag() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let image = publish(&mirror, "a");
    mirror.publish(&[image.publication("c")], &Patience::default()).unwrap();
    flip(&mirror, image.layer);
    assert_eq!(check(&mirror).findings[0].tags, ["a", "c"]);
}

#[test]
fn what_nothing_names_takes_up_room_and_is_no_damage_unless_it_is_not_what_it_says() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let (orphan, _) = mirror.put_blob(b"orphan").unwrap();
    let (rotten, _) = mirror.put_blob(b"rotten").unwrap();
    fs::write(mirror.blob_path(&rotten), "wotten").unwrap();
    fs::write(mirror.path().join("oci/blobs/sha256/README"), "hello").unwrap();
    let left = place.path().join(".hod/tmp/left");
    let mut file = fs::File::create(&left).unwrap();
    file.write_all(b"half").unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(120)).unwrap();
    drop(file);

    let report = check(&mirror);
    let found = |path| {
        let finding = report.findings.iter().find(|finding| finding.path == path);
        finding.map(|finding| finding.problem.clone())
    };
    assert_eq!(found(mirror.blob_path(&orphan)), Some(Problem::Orphan { size: 6 }));
    assert_eq!(found(left.clone()), Some(Problem::StaleTemporary { size: 4 }));
    let stray = place.path().join("oci/blobs/sha256/README");
    assert_eq!(found(stray), Some(Problem::StrayFile { size: 5 }));
    let wrong = Problem::WrongDigest { expected: rotten, found: Digest::of(b"wotten") };
    assert_eq!(found(mirror.blob_path(&rotten)), Some(wrong));
    assert_eq!((report.orphaned().count(), report.damaged().count()), (3, 1));

    // The check only looks; the next writer tidies up.
    assert!(left.exists());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    drop(mirror.blob_writer().unwrap());
    assert!(!left.exists());
}

#[test]
fn a_check_tells_how_far_it_is_and_can_be_stopped() {
    use std::sync::Mutex;
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    publish(&mirror, "a");
    let last = Mutex::new(None);
    let cancel = Cancel::default();
    let jobs = 1.try_into().unwrap();
    mirror.check(jobs, &cancel, &|progress| *last.lock().unwrap() = Some(progress)).unwrap();
    let last = last.into_inner().unwrap().unwrap();
    assert_eq!((last.blobs_done, last.bytes_done), (3, last.bytes));
    assert_eq!(last.blobs, 3);

    let stopped = mirror.check(jobs, &cancel, &|_| cancel.cancel());
    assert!(matches!(stopped, Err(Error::Cancelled)));
}
