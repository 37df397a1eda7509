//! Each kind of damage to a build cache is found, and told by its package.

use std::path::{Path, PathBuf};

use fs_err as fs;
use hod_archive::Digest;
use hod_mirror::spack::{BlobKind, BlobRecord, EntryName, Manifest, SpecManifest};
use hod_mirror::{DirectoryMirror, Finding, IndexMode, Problem, Role};
use hod_testing::golden::copy_golden;
use rstest::rstest;

use crate::support::{check, names, package, publish, publish_package, put_image, update};

/// A copy of a cache that Spack made, and one of its packages.
struct Cache {
    _place: tempfile::TempDir,
    mirror: DirectoryMirror,
    name: EntryName,
    manifest: SpecManifest,
    manifest_path: PathBuf,
}

fn cache() -> Cache {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v3-signed", place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let all = mirror.spack_names().unwrap().names;
    let name = all.into_iter().find(|name| name.name() == "hello").unwrap();
    let entry = mirror.read_spack_entry(&name).unwrap().unwrap();
    let manifest_path = entry.path.clone();
    let manifest = SpecManifest::parse(fs::read(&manifest_path).unwrap()).unwrap();
    Cache { _place: place, mirror, name, manifest, manifest_path }
}

impl Cache {
    fn other(&self, name: &str) -> EntryName {
        let names = self.mirror.spack_names().unwrap().names;
        names.into_iter().find(|it| it.name() == name).unwrap()
    }

    fn layer(&self) -> PathBuf {
        self.mirror.spack_blob_path(&self.manifest.layer_digest())
    }

    fn spec(&self) -> PathBuf {
        self.mirror.spack_blob_path(&self.manifest.spec_digest())
    }

    fn index(&self) -> PathBuf {
        let index = self.mirror.read_spack_index().unwrap().unwrap();
        self.mirror.spack_blob_path(&index.manifest.first(BlobKind::Index).unwrap().1)
    }

    /// Replaces the manifest by one of these blobs.
    fn rewrite(&self, layer: BlobRecord, spec: BlobRecord) {
        let manifest = SpecManifest::render(layer, spec).unwrap();
        fs::write(&self.manifest_path, manifest.bytes()).unwrap();
    }

    /// Puts a blob where Spack would.
    fn put(&self, kind: BlobKind, bytes: &[u8]) -> BlobRecord {
        let digest = Digest::of(bytes);
        let path = self.mirror.spack_blob_path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        BlobRecord::new(kind, digest, bytes.len() as u64)
    }
}

fn flip(path: &Path) -> Problem {
    let expected = Digest::from_hex(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    Problem::WrongDigest { expected, found: Digest::of(&bytes) }
}

fn remove(path: &Path, role: Role) -> Problem {
    fs::remove_file(path).unwrap();
    Problem::Missing { role }
}

/// Where something is wrong then, and what.
type Damage = fn(&Cache) -> (PathBuf, Problem);

#[rstest]
#[case::a_missing_layer(|it: &Cache| (it.layer(), remove(&it.layer(), Role::Layer)))]
#[case::a_missing_spec(|it: &Cache| (it.spec(), remove(&it.spec(), Role::Spec)))]
#[case::a_layer_with_a_flipped_bit(|it: &Cache| (it.layer(), flip(&it.layer())))]
#[case::a_spec_with_a_flipped_bit(|it: &Cache| (it.spec(), flip(&it.spec())))]
#[case::a_layer_of_another_length(|it: &Cache| {
    let (layer, spec) = (it.manifest.layer(), it.manifest.spec());
    let wrong = BlobRecord { content_length: 7, ..layer.clone() };
    it.rewrite(wrong, spec.clone());
    (it.layer(), Problem::WrongSize { expected: 7, found: layer.content_length })
})]
#[case::the_spec_of_another_package(|it: &Cache| {
    let other = it.other("zlib");
    let manifest = fs::read(it.mirror.spack_manifest_path(&other)).unwrap();
    fs::write(&it.manifest_path, manifest).unwrap();
    let (expected, found) = (it.name.to_string(), other.to_string());
    (it.manifest_path.clone(), Problem::WrongSpec { expected, found })
})]
#[case::the_install_tree_of_another_package(|it: &Cache| {
    let other = it.other("zlib");
    let entry = it.mirror.read_spack_entry(&other).unwrap().unwrap();
    let manifest = SpecManifest::parse(fs::read(entry.path).unwrap()).unwrap();
    it.rewrite(manifest.layer().clone(), it.manifest.spec().clone());
    // Nothing else needs it.
    fs::remove_file(it.layer()).unwrap();
    let (expected, found) = (it.name.to_string(), other.to_string());
    (it.manifest_path.clone(), Problem::WrongTree { expected, found })
})]
fn damage_is_found(#[case] damage: Damage) {
    let cache = cache();
    let (path, problem) = damage(&cache);
    let report = check(&cache.mirror);
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!((&damaged[0].path, &damaged[0].problem), (&path, &problem));
    assert_eq!(damaged[0].tags, [cache.name.to_string()]);
}

#[rstest]
#[case::a_manifest_of_garbage(|it: &Cache| fs::write(&it.manifest_path, "garbage").unwrap(), true)]
#[case::a_manifest_cut_short(|it: &Cache| {
    let text = fs::read(&it.manifest_path).unwrap();
    fs::write(&it.manifest_path, &text[..text.len() - 40]).unwrap();
}, true)]
#[case::a_manifest_without_a_layer(|it: &Cache| {
    let manifest = Manifest::render(vec![it.manifest.spec().clone()]);
    fs::write(&it.manifest_path, manifest.bytes()).unwrap();
}, true)]
#[case::a_path_as_checksum(|it: &Cache| {
    let checksum = "../../../../etc/passwd".to_owned();
    let layer = BlobRecord { checksum, ..it.manifest.layer().clone() };
    let manifest = Manifest::render(vec![layer, it.manifest.spec().clone()]);
    fs::write(&it.manifest_path, manifest.bytes()).unwrap();
}, true)]
#[case::a_spec_of_garbage(|it: &Cache| {
    let spec = it.put(BlobKind::Spec, b"garbage");
    it.rewrite(it.manifest.layer().clone(), spec);
}, false)]
fn what_cannot_be_understood_is_damage(#[case] damage: fn(&Cache), #[case] hides_blobs: bool) {
    let cache = cache();
    damage(&cache);
    let report = check(&cache.mirror);
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert!(matches!(damaged[0].problem, Problem::Unparsable { .. }), "{damaged:?}");
    assert_eq!(damaged[0].tags, [cache.name.to_string()]);
    // Its blobs are no waste, as long as nobody knows which they are.
    assert_eq!(report.are_orphans_known, !hides_blobs);
    assert_eq!(report.orphaned().next().is_none(), hides_blobs);
}

#[rstest]
#[case::no_gzip(b"this is no gzip")]
#[case::no_archive(&[31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 75, 4, 0, 67, 190, 183, 232, 1, 0, 0, 0])]
fn a_layer_that_is_no_archive_is_damage(#[case] bytes: &[u8]) {
    let cache = cache();
    let layer = cache.put(BlobKind::Layer, bytes);
    let path = cache.mirror.spack_blob_path(&layer.digest().unwrap());
    cache.rewrite(layer, cache.manifest.spec().clone());
    let report = check(&cache.mirror);
    let damaged: Vec<&Finding> = report.damaged().collect();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert!(matches!(damaged[0].problem, Problem::Undecodable { .. }), "{damaged:?}");
    assert_eq!(damaged[0].path, path);
    // The one it had before.
    assert_eq!(report.orphaned().count(), 1);
}

#[test]
fn a_damaged_index_is_told_and_a_stale_one_is_not_damage() {
    let cache = cache();
    let report = check(&cache.mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.packages, report.signed, report.entries), (5, 5, 0));
    assert_eq!((report.unindexed.len(), report.withdrawn.len()), (0, 0));

    // Spack's keys are there because manifests name them.
    let keys = names(&cache.mirror.path().join("v3/manifests/key"));
    assert_eq!(keys.len(), 2);

    let index = cache.index();
    let problem = flip(&index);
    let report = check(&cache.mirror);
    assert_eq!(report.findings.len(), 1);
    assert_eq!((&report.findings[0].path, &report.findings[0].problem), (&index, &problem));
    assert_eq!(report.unindexed.len(), 0);

    fs::remove_file(&index).unwrap();
    update(&cache.mirror, IndexMode::Incremental);
    assert!(check(&cache.mirror).is_undamaged());
    publish_package(&cache.mirror, &package("new", &["zlib"]));
    fs::remove_file(&cache.manifest_path).unwrap();
    let report = check(&cache.mirror);
    assert!(report.is_undamaged(), "{:?}", report.findings);
    assert_eq!(report.unindexed, [package("new", &[]).name.to_string()]);
    assert_eq!(report.withdrawn, [cache.name.to_string()]);
    assert_eq!((report.packages, report.signed), (5, 4));
}

#[test]
fn a_manifest_where_spack_does_not_look_is_told_and_keeps_its_blobs() {
    let cache = cache();
    let elsewhere = cache.mirror.path().join("v3/manifests/spec/hello2");
    fs::create_dir(&elsewhere).unwrap();
    let moved = elsewhere.join(cache.manifest_path.file_name().unwrap());
    fs::rename(&cache.manifest_path, &moved).unwrap();
    assert_eq!(
        cache.mirror.spack_names().unwrap().unknown.as_slice(),
        std::slice::from_ref(&moved)
    );
    // And one whose name says nothing: whatever it is, it keeps its blobs.
    let other = elsewhere.join("other.manifest.json");
    let kept = cache.put(BlobKind::Key, b"kept");
    fs::write(&other, Manifest::render(vec![kept]).bytes()).unwrap();
    let report = check(&cache.mirror);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].path, moved);
    assert_eq!(report.findings[0].problem, Problem::Misplaced);
}

#[test]
fn what_no_manifest_names_takes_up_room() {
    let cache = cache();
    let orphan = cache.put(BlobKind::Layer, b"orphan").digest().unwrap();
    let older = cache.put(BlobKind::Index, br#"{"database":{"version":"8"}}"#).digest().unwrap();
    fs::write(cache.mirror.path().join("blobs/README"), "hello").unwrap();
    let misplaced = cache.mirror.path().join("blobs/sha256/00").join(orphan.hex());
    fs::create_dir_all(misplaced.parent().unwrap()).unwrap();
    fs::write(&misplaced, "orphan").unwrap();
    let report = check(&cache.mirror);
    let mut expected = [
        (cache.mirror.path().join("blobs/README"), Problem::StrayFile { size: 5 }),
        (misplaced, Problem::StrayFile { size: 6 }),
        (cache.mirror.spack_blob_path(&orphan), Problem::Orphan { size: 6 }),
        (cache.mirror.spack_blob_path(&older), Problem::OlderIndex { size: 28 }),
    ];
    expected.sort();
    let found: Vec<_> =
        report.findings.iter().map(|it| (it.path.clone(), it.problem.clone())).collect();
    assert_eq!(found, expected);
    assert!(report.is_undamaged());
}

/// A file with a name in each half is read once, and is no orphan as long as either half needs it.
#[test]
fn a_shared_blob_is_checked_once_for_both_halves() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    publish_package(&mirror, &package("a", &[]));
    let image = publish(&mirror, "image");
    mirror.share_with_spack(&image.layer, 5000).unwrap();
    let report = check(&mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    // The package's layer and spec; the image's layer, config and manifest.
    assert_eq!(report.blobs, 5);
    let sizes = |directory: &Path| -> u64 {
        let path = |name: &String| directory.join(name);
        names(directory).iter().map(|name| fs::metadata(path(name)).unwrap().len()).sum()
    };
    let spec = mirror.spack_names().unwrap().names[0].clone();
    let entry = mirror.read_spack_entry(&spec).unwrap().unwrap();
    let manifest = SpecManifest::parse(fs::read(&entry.path).unwrap()).unwrap();
    let oci = sizes(&place.path().join("oci/blobs/sha256"));
    assert_eq!(report.bytes, oci + manifest.spec().content_length);

    // Damage shows under both names.
    fs::write(&entry.layer.path, "damage").unwrap();
    let damaged: Vec<PathBuf> = check(&mirror).damaged().map(|it| it.path.clone()).collect();
    assert_eq!(damaged, [entry.layer.path, mirror.blob_path(&entry.layer.digest)]);
}

#[test]
fn an_image_nobody_tagged_is_an_orphan_under_both_names() {
    let place = tempfile::tempdir().unwrap();
    let mirror = DirectoryMirror::ensure(place.path()).unwrap();
    let image = put_image(&mirror, "image");
    mirror.share_with_spack(&image.layer, 5000).unwrap();
    let report = check(&mirror);
    assert_eq!(report.orphaned().count(), 4);
    assert!(report.is_undamaged());
}

#[test]
fn layout_2_is_checked() {
    let place = tempfile::tempdir().unwrap();
    copy_golden("v2-signed", place.path());
    let mirror = DirectoryMirror::open(place.path()).unwrap();
    let report = check(&mirror);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.packages, report.signed, report.blobs), (5, 5, 5));
    assert!(report.unindexed.is_empty() && report.withdrawn.is_empty());

    let all = mirror.spack_v2_names().unwrap().names;
    let read = |position: usize| mirror.read_spack_v2_entry(&all[position]).unwrap().unwrap();
    let [flipped, gone, garbage, renamed] = [read(0), read(1), read(2), read(3)];
    let mut bytes = fs::read(&flipped.layer.path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&flipped.layer.path, &bytes).unwrap();
    fs::remove_file(&gone.layer.path).unwrap();
    fs::write(&garbage.path, "garbage").unwrap();
    let other = renamed.path.to_str().unwrap().replace("-gcc-12.2.0-", "-gcc-");
    fs::rename(&renamed.path, &other).unwrap();
    fs::remove_file(&read(4).path).unwrap();

    let report = check(&mirror);
    let found = |path: &Path| {
        let finding = report.findings.iter().find(|finding| finding.path == path);
        finding.map(|finding| finding.problem.clone()).unwrap()
    };
    let expected = flipped.layer.digest;
    let wrong = Problem::WrongDigest { expected, found: Digest::of(&bytes) };
    assert_eq!(found(&flipped.layer.path), wrong);
    assert_eq!(found(&gone.layer.path), Problem::Missing { role: Role::Layer });
    assert!(matches!(found(&garbage.path), Problem::Unparsable { .. }));
    assert!(matches!(found(Path::new(&other)), Problem::WrongSpec { .. }));
    assert_eq!((report.damaged().count(), report.withdrawn.len()), (4, 1));
}
