//! Killed at any moment, and many at a time.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::story::{Ended, Story};
use crate::support::tree::{noise, random};
use crate::support::{HOD, has, skip};

/// Kills per run; each comes at another moment.
const KILLS: u32 = 200;

/// A loop must not hold up everything on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_push_killed_at_any_moment_leaves_a_whole_mirror() {
    let story = Story::new();
    let seed = u64::from(std::process::id()) | 1 << 32;
    let mut state = seed;
    let prefixes: Vec<String> = (0..8).map(|n| format!("pkg{n}-1.0")).collect();
    for name in &prefixes {
        story.tree(name, "bin/tool 755 *20000");
    }
    let all = prefixes.iter().map(|name| format!("./{name}")).collect::<Vec<_>>().join(" ");
    let start = Instant::now();
    let mut published = BTreeSet::new();
    for round in 0..KILLS {
        let rounds = format!("round {round} of seed {seed}");
        // A file that changes makes every push pack and publish something.
        let changed = story.at(&prefixes[round as usize % 8]).join("bin/tool");
        fs_err::write(changed, noise(&rounds, 20_000)).unwrap();
        let mut push = story.hod(&format!("push -q ./cache {all}"));
        let mut child = push.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        // Every round where the mirror is small, later some: a check reads all there is.
        if story.at("cache/hod.json").exists() && (round < 40 || round % 10 == 0) {
            let check = story.run("--json check -q ./cache");
            assert!(
                !check.stdout.contains("\"damaged\",") && has_finished(&check),
                "{rounds}: {check:#?}"
            );
        }
        if story.at("cache/hod.json").exists() {
            let tags = tags(&story, &rounds);
            assert!(published.is_subset(&tags), "{rounds}: lost {published:?} of {tags:?}");
            published = tags;
        }
        if start.elapsed() > PATIENCE {
            println!("stopped after {round} kills: out of time");
            break;
        }
    }
    let finished = story.run(&format!("push ./cache {all}"));
    assert_eq!(finished.code, Some(0), "seed {seed}: {finished:#?}");
    let check = story.run("--json check -q ./cache");
    assert!(check.stdout.contains("\"damaged\":0"), "seed {seed}: {check:#?}");
    let there = tags(&story, "the end");
    for name in &prefixes {
        assert!(there.iter().any(|tag| tag.starts_with(name.as_str())), "{name} of {there:?}");
    }
}

/// Everything the mirror lists, which reads all manifests and configs.
fn tags(story: &Story, when: &str) -> BTreeSet<String> {
    let list = story.run("--json list -m ./cache");
    assert_eq!(list.code, Some(0), "{when}: {list:#?}");
    let tag = |line: &str| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        object["tag"].as_str().unwrap().to_owned()
    };
    list.stdout.lines().map(tag).collect()
}

pub(crate) fn has_finished(check: &Ended) -> bool {
    check.stdout.contains("\"damaged\":0") && matches!(check.code, Some(0 | 1))
}

pub(crate) fn spawn_all(story: &Story, words: impl Fn(usize) -> String) -> Vec<Ended> {
    let start = |n| {
        let mut push = story.hod(&words(n));
        // Each with its own cache, as on eight machines.
        push.env("XDG_CACHE_HOME", story.at(&format!("home/{n}")));
        push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect()
}

#[test]
fn eight_pushes_of_eight_prefixes_are_all_there() {
    let story = Story::new();
    for n in 0..8 {
        story.tree(&format!("pkg{n}-1.0"), "bin/tool 755 *50000");
    }
    for ended in spawn_all(&story, |n| format!("push ./cache ./pkg{n}-1.0")) {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    assert_eq!(tags(&story, "at the end").len(), 8);
    story.done("check ./cache");
}

#[test]
fn eight_pushes_of_one_prefix_are_one_entry() {
    let story = Story::with_zlib();
    let mut references = BTreeSet::new();
    for ended in spawn_all(&story, |_| "push --refs ./cache ./zlib-1.3.1".to_owned()) {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        references.insert(ended.stdout);
    }
    assert_eq!((references.len(), tags(&story, "at the end").len()), (1, 1));
    story.done("check ./cache");
}

#[test]
fn a_file_system_without_locks_will_do() {
    if !has(&["strace"]) {
        return;
    }
    let story = Story::with_zlib();
    for error in ["ENOSYS", "EOPNOTSUPP", "ENOLCK"] {
        let mut strace = story.command("strace");
        strace.args(["-f", "-qq", "-o", "trace", "-e", "trace=flock", "-e"]);
        strace.arg(format!("inject=flock:error={error}")).arg(HOD);
        strace.args(["push", &format!("./{error}"), "./zlib-1.3.1"]);
        let ended = Ended::from(strace.output().unwrap());
        if ended.stderr.contains("ptrace") || ended.stderr.contains("PTRACE") {
            return skip("this system does not let strace trace");
        }
        assert_eq!(ended.code, Some(0), "{error}: {ended:#?}");
        let trace = fs_err::read_to_string(story.at("trace")).unwrap();
        assert!(trace.contains("INJECTED"), "hod takes no lock: {trace}");
        story.done(&format!("check ./{error}"));
    }
}
