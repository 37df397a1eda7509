//! Many writers at once lose nothing.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use fs_err as fs;
use hod_mirror::DirectoryMirror;

use crate::support::{check, names, publish, tags};

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

fn expected_tags() -> Vec<String> {
    let own = |writer| (0..IMAGES).map(move |image| format!("image-{writer}-{image}"));
    let mut tags: Vec<_> = (0..WRITERS).flat_map(own).collect();
    tags.push("shared".to_owned());
    tags.sort();
    tags
}

#[test]
fn eight_threads_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("mirror");
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (root, start) = (&root, &start);
            scope.spawn(move || {
                start.wait();
                push_some(root, writer);
            });
        }
    });
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

/// Not a test by itself: one of the processes of the next one.
#[test]
fn pushing_process() {
    if let (Some(root), Ok(number)) = (env::var_os(ROOT), env::var(NUMBER)) {
        push_some(Path::new(&root), number.parse().unwrap());
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
    assert!(check(&mirror).findings.is_empty());
    assert_eq!(names(&root.join(".hod/tmp")), [""; 0]);
}
