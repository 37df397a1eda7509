//! Pushes of specs, killed at any moment and many at a time.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::golden::unpack_fixture;
use crate::reliability::{has_finished, spawn_all};
use crate::story::Story;
use crate::support::tree::random;

/// Kills per run; each comes at another moment.
const KILLS: u32 = 60;

/// A loop must not hold up everything on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn story() -> Story {
    let story = Story::new();
    unpack_fixture("store.tar.zst", &story.at(""));
    story
}

/// What a check counted.
fn checked(story: &Story, mirror: &str) -> Value {
    let check = story.run(&format!("--json check -q {mirror}"));
    let last = check.stdout.lines().last().unwrap_or_else(|| panic!("{check:#?}"));
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_push_of_specs_killed_at_any_moment_leaves_a_whole_mirror() {
    let story = story();
    let seed = u64::from(std::process::id()) | 1 << 32;
    let mut state = seed;
    let words = "push -q ./cache linkfarm hello libpng --store ./store --update-index";
    let start = Instant::now();
    for round in 0..KILLS {
        // A new mirror now and then: most steps are taken only once.
        if round % 4 == 0 && story.at("cache").exists() {
            fs_err::remove_dir_all(story.at("cache")).unwrap();
        }
        let mut child = story.hod(words).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % 250_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if story.at("cache/hod.json").exists() {
            let check = story.run("--json check -q ./cache");
            assert!(
                !check.stdout.contains("\"damaged\",") && has_finished(&check),
                "round {round} of seed {seed}: {check:#?}"
            );
            let list = story.run("list -q -m ./cache");
            assert_eq!(list.code, Some(0), "round {round} of seed {seed}: {list:#?}");
        }
        if start.elapsed() > PATIENCE {
            break;
        }
    }
    story.done(words);
    let checked = checked(&story, "./cache");
    assert_eq!((&checked["specs"], &checked["entries"]), (&6.into(), &6.into()), "{checked}");
    assert_eq!(checked["unindexed"], Value::Array(Vec::new()), "seed {seed}");
}

#[test]
fn eight_pushes_that_update_the_index_lose_no_entry() {
    let story = story();
    let names = ["zlib", "bzip2", "libpng", "hello", "linkfarm", "gcc-runtime", "hello", "zlib"];
    let ended = spawn_all(&story, |n| {
        format!("push ./cache {} --store ./store --only package --update-index", names[n])
    });
    for ended in ended {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    let checked = checked(&story, "./cache");
    assert_eq!(checked["specs"], 6, "{checked}");
    for at in ["unindexed", "withdrawn"] {
        assert_eq!(checked[at], Value::Array(Vec::new()), "{checked}");
    }
}
