//! A process dies between any two steps that change the disk. What it leaves is a mirror, and
//! the next run finishes the job.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use hod_archive::{Cancel, Codec, DiffId, Digest};

use super::{DirectoryMirror, Patience, Publication};
use crate::Linked;
use crate::oci::{Descriptor, Document, ImageConfig, Manifest, Tag};

const ROOT: &str = "HOD_TEST_ROOT";
const STEP: &str = "HOD_TEST_DIE_AT_STEP";

/// What the process that dies was to do: two images, one with a linked layer, published in turn.
fn push(root: &Path) {
    let mirror = DirectoryMirror::ensure(root).unwrap();
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

/// Not a test by itself: the process that dies.
#[test]
fn pushing_process() {
    if let Some(root) = env::var_os(ROOT) {
        push(Path::new(&root));
    }
}

#[test]
fn death_at_any_step_leaves_a_mirror_and_the_next_push_completes_it() {
    let place = tempfile::tempdir().unwrap();
    for step in 1.. {
        let root = place.path().join(step.to_string());
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "directory::crash_tests::pushing_process"])
            .env(ROOT, &root)
            .env(STEP, step.to_string())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            assert!(step > 25, "only {step} steps were taken");
            break;
        }
        assert_eq!(status.signal(), Some(9));

        // A reader accepts what is there, as soon as it is a mirror at all.
        if root.join("hod.json").exists() {
            let mirror = DirectoryMirror::open(&root).unwrap();
            let report = check(&mirror);
            assert!(report.is_undamaged(), "step {step}: {:?}", report.findings);
            for entry in mirror.entries().unwrap() {
                let manifest = mirror.read_manifest(&entry.descriptor).unwrap();
                mirror.read_config(&manifest.config).unwrap();
            }
        }
        push(&root);
        let mirror = DirectoryMirror::open(&root).unwrap();
        let report = check(&mirror);
        assert!(report.findings.is_empty(), "step {step}: {:?}", report.findings);
        assert_eq!(report.entries, 2);
    }
}

fn check(mirror: &DirectoryMirror) -> crate::CheckReport {
    mirror.check(1.try_into().unwrap(), &Cancel::default(), &|_| {}).unwrap()
}
