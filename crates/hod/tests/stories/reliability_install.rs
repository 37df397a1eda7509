//! Installations that are killed at any moment, and many at a time.

use std::process::Stdio;
use std::time::{Duration, Instant};

use hod_store::{Difference, InstallManifest, OpenOptions, Store};

use rustix::process::{Pid, Signal, kill_process};

use crate::install::story;
use crate::reliability::spawn_all;
use crate::story::Story;
use crate::support::tree::random;

/// Kills per run; each comes at another moment.
const KILLS: u32 = 204;
/// So many at the same time, each with a store of its own.
const THREADS: u64 = 4;
/// A loop must not hold up everything on a slow machine.
const PATIENCE: Duration = Duration::from_secs(12);

/// What is recorded is whole, as `spack verify manifest` sees it; how many packages that are.
fn assert_whole(story: &Story, told: &str) -> usize {
    let root = story.at("s");
    if !root.join(".spack-db/index.json").exists() {
        return 0;
    }
    let store = Store::open(&root, &OpenOptions::default()).unwrap();
    let mut count = 0;
    for record in store.records().filter(|record| record.installed) {
        if record.spec.external.is_some() {
            continue;
        }
        let prefix = store.installed_prefix(&record.spec.hash).unwrap();
        let found = InstallManifest::verify(&prefix.location, &prefix.recorded).unwrap();
        assert_eq!(found, Vec::<Difference>::new(), "{told}");
        count += 1;
    }
    count
}

/// What is beside the packages.
fn leftovers(story: &Story) -> Vec<String> {
    let entries = fs_err::read_dir(story.at("s/linux-x86_64")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn an_installation_killed_at_any_moment_leaves_whole_packages_alone() {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || killed(u64::from(std::process::id()) | (thread + 1) << 32));
        }
    });
}

fn killed(seed: u64) {
    let story = story();
    let mut state = seed;
    let words = "install -q zlib -m ./cache --root s";
    let start = Instant::now();
    story.done(words);
    // So that kills come at all moments of a run, and few after it.
    let span = u64::try_from(start.elapsed().as_micros()).unwrap();
    for round in 0..KILLS / u32::try_from(THREADS).unwrap() {
        // A new store now and then, and by force when all is there: most steps are taken only once.
        let is_forced = round % 3 == 2;
        if round % 3 == 0 {
            fs_err::remove_dir_all(story.at("s")).unwrap();
        }
        let words = if is_forced { format!("{words} --force") } else { words.to_owned() };
        let mut child = story.hod(&words).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % span));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = format!("round {round} of seed {seed}");
        let there = assert_whole(&story, &told);
        if is_forced {
            // A rerun finishes the job, whatever there was.
            story.done("install -q zlib -m ./cache --root s");
            assert_eq!(assert_whole(&story, &told), 2, "{told}, of which {there} were there");
            assert_eq!(leftovers(&story), Vec::<String>::new(), "{told}");
        }
        if start.elapsed() > PATIENCE {
            break;
        }
    }
}

#[test]
fn an_installation_asked_to_end_leaves_nothing_but_whole_packages() {
    let story = story();
    let seed = u64::from(std::process::id());
    let mut state = seed;
    let words = "install -q hello zlib -m ./cache --root s";
    for round in 0..12 {
        let mut child = story.hod(words).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % 150_000));
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let ended = child.wait().unwrap();
        let told = format!("round {round} of seed {seed}: {ended}");
        // It may be over, or not have begun to listen.
        assert!(matches!(ended.code(), Some(0 | 130) | None), "{told}");
        let there = assert_whole(&story, &told);
        if ended.code().is_some() {
            assert_eq!(leftovers(&story), Vec::<String>::new(), "{told}");
            assert!(ended.code() != Some(0) || there == 3, "{told}, and {there} are there");
        }
        if story.at("s").exists() {
            fs_err::remove_dir_all(story.at("s")).unwrap();
        }
    }
}

#[test]
fn eight_installations_at_once_install_each_package_once() {
    let story = story();
    let wanted = ["linkfarm", "hello", "zlib", "bzip2"];
    let ended = spawn_all(&story, |n| {
        format!("install {} linkfarm -m ./cache --root s -j1", wanted[n % wanted.len()])
    });
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    assert_eq!(assert_whole(&story, "at the end"), 5);
    assert_eq!(leftovers(&story), Vec::<String>::new());
}
