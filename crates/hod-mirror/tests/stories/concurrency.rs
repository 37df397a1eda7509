//! Many writers at once lose nothing.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use fs_err as fs;
use hod_mirror::{DirectoryMirror, Finding, IndexMode, Problem};

use crate::support::{
    Package, check, indexed, names, package, publish, publish_package, tags, update,
};

const ROOT: &str = "HOD_TEST_MIRROR";
const NUMBER: &str = "HOD_TEST_NUMBER";
const WRITERS: usize = 8;
const IMAGES: usize = 4;

/// Creates the mirror, too, like all the others at the same moment.
fn push_some(root: &Path, writer: usize) {
    let mirror = DirectoryMirror::ensure(root).expect("anybody may create the mirror");
    for image in 0..IMAGES {
        publish(&mirror, &format!("image-{writer}-{image}"));
        publish(&mirror, "shared");
    }
}

/// The same in the Spack half, each push followed by an update of the index.
fn push_some_packages(root: &Path, writer: usize) {
    let mirror = DirectoryMirror::ensure(root).expect("anybody may create the mirror");
    for package in 0..IMAGES {
        publish_package(&mirror, &own_package(writer, package));
        publish_package(&mirror, &package_of_all());
        update(&mirror, IndexMode::Incremental);
    }
}

fn own_package(writer: usize, number: usize) -> Package {
    package(&format!("own-{writer}-{number}"), &["common", "shared"])
}

fn package_of_all() -> Package {
    package("shared", &["common"])
}

fn expected_packages() -> Vec<String> {
    let own = |writer| (0..IMAGES).map(move |number| own_package(writer, number));
    let mut labels: Vec<_> = (0..WRITERS).flat_map(own).map(|it| it.name.label()).collect();
    labels.push(package_of_all().name.label());
    labels.sort();
    labels
}

fn expected_tags() -> Vec<String> {
    let own = |writer| (0..IMAGES).map(move |image| format!("image-{writer}-{image}"));
    let mut tags: Vec<_> = (0..WRITERS).flat_map(own).collect();
    tags.push("shared".to_owned());
    tags.sort();
    tags
}

/// Lets all writers begin at the same moment, each in a thread.
fn in_threads(write: impl Fn(usize) + Sync) {
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (write, start) = (&write, &start);
            scope.spawn(move || {
                start.wait();
                write(writer);
            });
        }
    });
}

#[test]
fn eight_threads_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("mirror");
    in_threads(|writer| push_some(&root, writer));
    let mirror = DirectoryMirror::open(&root).unwrap();
    assert_eq!(tags(&mirror), expected_tags());
    assert!(check(&mirror).findings.is_empty());

    // The same pushes one after the other, in another order, give the same index.
    let again = place.path().join("again");
    for writer in (0..WRITERS).rev() {
        push_some(&again, writer);
    }
    let index = |root: &Path| fs::read(root.join("oci/index.json")).unwrap();
    assert_eq!(index(&root), index(&again));
}

#[test]
fn eight_threads_lose_no_package_from_the_index() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("mirror");
    in_threads(|writer| push_some_packages(&root, writer));
    let mirror = DirectoryMirror::open(&root).unwrap();
    assert_eq!(indexed(&mirror), expected_packages());

    // The same pushes one after the other, in another order, give the same index; and so does
    // reading everything again.
    let again = DirectoryMirror::ensure(place.path().join("again")).unwrap();
    for writer in (0..WRITERS).rev() {
        push_some_packages(again.path(), writer);
    }
    let manifest = |mirror: &DirectoryMirror| mirror.read_spack_index().unwrap().unwrap().manifest;
    assert_eq!(manifest(&mirror), manifest(&again));
    assert!(!update(&again, IndexMode::Rebuild).is_changed);
}

/// Not a test by itself: one of the processes of the next ones.
#[test]
fn pushing_process() {
    if let (Some(root), Ok(number)) = (env::var_os(ROOT), env::var(NUMBER)) {
        push_some(Path::new(&root), number.parse().unwrap());
        push_some_packages(Path::new(&root), number.parse().unwrap());
    }
}

#[test]
fn eight_processes_lose_nothing_and_readers_never_see_a_hole() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("mirror");
    let mut processes: Vec<_> = (0..WRITERS)
        .map(|number| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "concurrency::pushing_process"])
                .env(ROOT, &root)
                .env(NUMBER, number.to_string())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();

    let mut is_running = true;
    while is_running {
        is_running = processes.iter_mut().any(|process| process.try_wait().unwrap().is_none());
        if root.join("hod.json").exists() {
            let report = check(&DirectoryMirror::open(&root).unwrap());
            assert!(report.is_undamaged(), "{:?}", report.findings);
        }
    }
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }

    let mirror = DirectoryMirror::open(&root).unwrap();
    assert_eq!(tags(&mirror), expected_tags());
    assert_eq!(indexed(&mirror), expected_packages());
    let names_of_packages = mirror.spack_names().unwrap();
    assert_eq!(names_of_packages.names.len(), expected_packages().len());
    let report = check(&mirror);
    let is_older_index = |it: &Finding| matches!(it.problem, Problem::OlderIndex { .. });
    assert!(report.findings.iter().all(is_older_index), "{:?}", report.findings);
    assert_eq!((report.unindexed.len(), report.withdrawn.len()), (0, 0));
    assert_eq!(names(&root.join(".hod/tmp")), [""; 0]);
}
