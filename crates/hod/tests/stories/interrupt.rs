//! Interrupted by a user or a batch system.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::story::{Ended, Story};
use crate::support::tree::noise;

#[test]
fn an_interrupt_ends_a_push_in_order() {
    let story = interrupted_by(Signal::INT);
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache ./big-1.0 --compression-level best
    2> Interrupted: 0 of 1 prefix pushed, nothing half-written
    2>
    2> hint: run the same command again to push the rest
    exit 130
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    $ hod push ./cache ./big-1.0 --compression-level fast
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + big@1.0/[hash] [size]  oci:cache/oci:big-1.0-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 6 blobs ([size]) of 2 entries in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_request_to_terminate_ends_a_push_in_order() {
    let story = interrupted_by(Signal::TERM);
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache ./big-1.0 --compression-level best
    2> Interrupted: 0 of 1 prefix pushed, nothing half-written
    2>
    2> hint: run the same command again to push the rest
    exit 130
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    $ hod push ./cache ./big-1.0 --compression-level fast
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + big@1.0/[hash] [size]  oci:cache/oci:big-1.0-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 6 blobs ([size]) of 2 entries in `./cache` in [time]: all good
    exit 0
    ");
}

fn interrupted_by(signal: Signal) -> Story {
    let story = Story::with_zlib();
    let prefix = story.at("big-1.0");
    fs_err::create_dir(&prefix).unwrap();
    let block = noise("big", 3 << 20);
    for n in 0..10 {
        fs_err::write(prefix.join(format!("file-{n:02}")), &block).unwrap();
    }
    story.done("push -q ./cache ./zlib-1.3.1");
    let mut push = story.hod("push -j 1 ./cache ./big-1.0 --compression-level best");
    let child = push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_bytes(&story.at("cache/.hod/tmp"));
    let asked = Instant::now();
    send(&child, signal);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    story.note("hod push -j 1 ./cache ./big-1.0 --compression-level best", &ended);
    assert_eq!(names(&story.at("cache/.hod/tmp")), Vec::<String>::new());
    story.tell("check ./cache");
    story.tell("push ./cache ./big-1.0 --compression-level fast");
    story.tell("check ./cache");
    story
}

/// Until the push has written something, so that there is something to interrupt.
fn wait_for_bytes(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let sizes = fs_err::read_dir(directory).into_iter().flatten();
        if sizes.flatten().filter_map(|e| e.metadata().ok()).any(|m| m.len() > 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the push wrote nothing");
}

fn send(child: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs_err::DirEntry>| entry.unwrap().file_name();
    let names = fs_err::read_dir(directory).unwrap().map(name);
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}
