//! A process dies between any two steps that change the disk. What it leaves is a mirror, and
//! the next run finishes the job.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use hod_archive::{Cancel, Codec, DiffId, Digest};

use super::{
    DirectoryMirror, IndexMode, IndexOptions, Patience, Publication, SpackPublication, fault,
};
use crate::oci::{Descriptor, Document, ImageConfig, Manifest, Tag};
use crate::spack::{BlobKind, BlobRecord, EntryName};
use crate::{Linked, Problem};

const ROOT: &str = "HOD_TEST_ROOT";
const STEP: &str = "HOD_TEST_DIE_AT_STEP";

/// What the process that dies was to do: two images, one with a linked layer, published in turn.
fn push(mirror: &DirectoryMirror) {
    let root = mirror.path();
    let image = |tag: &str, layer: Digest, size: usize| {
        let config = Document::render(ImageConfig::new(vec![DiffId(layer)])).unwrap();
        mirror.put_blob(config.bytes()).unwrap();
        let layer = Descriptor::new(Codec::None.media_type(), layer, size as u64);
        let manifest = Manifest::image(config.descriptor(), vec![layer]);
        let manifest = Document::render(manifest).unwrap();
        mirror.put_blob(manifest.bytes()).unwrap();
        let tag = Tag::new(tag).unwrap();
        let publication = Publication { tag, descriptor: manifest.descriptor() };
        mirror.publish(&[publication], &Patience::default()).unwrap();
    };
    let (digest, size) = mirror.put_blob(b"written").unwrap();
    image("written", digest, size.try_into().unwrap());

    let source = root.with_extension("source");
    fs::write(&source, "linked").unwrap();
    let linked = mirror.link_blob_from(&source, Digest::of(b"linked"), 6).unwrap();
    assert!(matches!(linked, Linked::HardLink | Linked::Present));
    image("linked", Digest::of(b"linked"), 6);
}

/// A gzip stream of 1024 zeros: an archive of nothing.
const LAYER: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 99, 96, 24, 5, 163, 96, 20, 140, 84, 0, 0, 46, 175, 181,
    239, 0, 4, 0, 0,
];

/// The same for packages: two that are published in turn and indexed, over a layer that was there
/// as an image's, and one whose layer Spack brought.
fn push_packages(root: &Path) {
    let mirror = DirectoryMirror::ensure(root).unwrap();
    let (digest, size) = mirror.put_blob(LAYER).unwrap();
    for name in ["a", "b"] {
        let hash = name.repeat(32).parse().unwrap();
        mirror.share_with_spack(&digest, size).unwrap();
        let node = format!(
            r#"{{"name":"{name}","version":"1","arch":{{"platform":"linux","platform_os":"x","target":"y"}},"namespace":"n","parameters":{{}},"hash":"{hash}"}}"#
        );
        let spec = format!(r#"{{"_meta":{{"version":5}},"nodes":[{node}]}}"#);
        let publication = SpackPublication {
            name: EntryName::new(name, "1", hash).unwrap(),
            layer: BlobRecord::new(BlobKind::Layer, digest, size),
            spec: mirror.put_spec_blob(&spec).unwrap(),
        };
        mirror.publish_spack(&[publication]).unwrap();
        mirror
            .update_spack_index(&IndexOptions {
                mode: IndexMode::Incremental,
                jobs: 1.try_into().unwrap(),
                patience: &Patience::default(),
                on_progress: &|_, _| {},
            })
            .unwrap();
    }
    // A copy under the same name, as a file system without links has it.
    let copy = mirror.spack_blob_path(&digest).with_extension("copy");
    fs::write(&copy, LAYER).unwrap();
    fs::rename(copy, mirror.spack_blob_path(&digest)).unwrap();
    fault::step();
    mirror.share_with_spack(&digest, size).unwrap();

    let theirs = Digest::of(b"theirs");
    let path = mirror.spack_blob_path(&theirs);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "theirs").unwrap();
    fault::step();
    mirror.share_with_oci(&theirs, 6).unwrap();
}

/// Not a test by itself: the process that dies.
#[test]
fn pushing_process() {
    if let Some(root) = env::var_os(ROOT) {
        push(&ensure(Path::new(&root)));
    }
}

/// Not a test by itself: the process that dies over a bare layout.
#[test]
fn layout_pushing_process() {
    if let Some(root) = env::var_os(ROOT) {
        push(&DirectoryMirror::ensure_layout(Path::new(&root)).unwrap());
    }
}

/// Not a test by itself: the other process that dies.
#[test]
fn package_pushing_process() {
    if let Some(root) = env::var_os(ROOT) {
        push_packages(Path::new(&root));
    }
}

#[test]
fn death_at_any_step_leaves_packages_whole_and_the_next_push_completes_them() {
    let place = tempfile::tempdir().unwrap();
    for step in 1.. {
        let root = place.path().join(step.to_string());
        if !die_at(step, &root, "package_pushing_process") {
            assert!(step > 40, "only {step} steps were taken");
            break;
        }
        if root.join("hod.json").exists() {
            let mirror = DirectoryMirror::open(&root).unwrap();
            let report = check(&mirror);
            assert!(report.is_undamaged(), "step {step}: {:?}", report.findings);
            let index = mirror.read_spack_index().unwrap();
            let indexed = index.iter().flat_map(|index| index.database.records()).count();
            let names = mirror.spack_names().unwrap().names;
            assert!(indexed <= names.len(), "step {step}");
            for name in names {
                let entry = mirror.read_spack_entry(&name).unwrap().unwrap();
                assert!(mirror.is_spack_entry_complete(&entry).unwrap(), "step {step}");
                mirror.read_spec(&entry).unwrap();
            }
        }
        push_packages(&root);
        let mirror = DirectoryMirror::open(&root).unwrap();
        let report = check(&mirror);
        // What has no package and no image, and the index of one package.
        let is_expected = |problem: &Problem| {
            matches!(problem, Problem::Orphan { size: 6 } | Problem::OlderIndex { .. })
        };
        let is_expected = report.findings.iter().all(|it| is_expected(&it.problem));
        assert!(is_expected, "step {step}: {:?}", report.findings);
        assert_eq!((report.packages, report.unindexed.len()), (2, 0));
    }
}

/// Whether the process was killed at this step, or else came to its end before.
fn die_at(step: u64, root: &Path, process: &str) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("directory::crash_tests::{process}")])
        .env(ROOT, root)
        .env(STEP, step.to_string())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    if !status.success() {
        assert_eq!(status.signal(), Some(9), "step {step}");
    }
    !status.success()
}

fn ensure(root: &Path) -> DirectoryMirror {
    DirectoryMirror::ensure(root).unwrap()
}

#[test]
fn death_at_any_step_leaves_a_mirror_and_the_next_push_completes_it() {
    die_at_every_step("pushing_process", "hod.json", ensure);
}

#[test]
fn death_at_any_step_leaves_a_layout_and_the_next_push_completes_it() {
    let ensure = |root: &Path| DirectoryMirror::ensure_layout(root).unwrap();
    die_at_every_step("layout_pushing_process", "oci-layout", ensure);
}

fn die_at_every_step(process: &str, marker: &str, ensure: fn(&Path) -> DirectoryMirror) {
    let place = tempfile::tempdir().unwrap();
    for step in 1.. {
        let root = place.path().join(step.to_string());
        if !die_at(step, &root, process) {
            assert!(step > 20, "only {step} steps were taken");
            break;
        }

        // A reader accepts what is there, as soon as it is a mirror at all.
        if root.join(marker).exists() {
            let mirror = match marker {
                "hod.json" => DirectoryMirror::open(&root),
                _ => DirectoryMirror::open_layout(&root),
            };
            let mirror = mirror.unwrap();
            let report = check(&mirror);
            assert!(report.is_undamaged(), "step {step}: {:?}", report.findings);
            for entry in mirror.entries().unwrap() {
                let manifest = mirror.read_manifest(&entry.descriptor).unwrap();
                mirror.read_config(&manifest.config).unwrap();
            }
        }
        let mirror = ensure(&root);
        push(&mirror);
        let report = check(&mirror);
        assert!(report.findings.is_empty(), "step {step}: {:?}", report.findings);
        assert_eq!(report.entries, 2);
    }
}

fn check(mirror: &DirectoryMirror) -> crate::CheckReport {
    mirror.check(1.try_into().unwrap(), &Cancel::default(), &|_| {}).unwrap()
}
