//! Packages of a mirror become packages of a store.

use insta::assert_snapshot;

use crate::golden::unpack_fixture;
use crate::story::Story;

/// A directory whose path is short: what was built without padding fits in no longer one.
pub(crate) fn story() -> Story {
    let story = Story::short();
    hod_testing::golden::copy_golden("v3-signed", &story.at("cache"));
    story
}

#[test]
fn packages_are_installed_into_a_store_that_is_made_for_them() {
    let story = story();
    story.tell("install zlib -m ./cache --root s --dry-run -j1");
    assert!(!story.at("s").exists());
    story.tell("install zlib -m ./cache --root s -q");
    story.tell("install zlib -m ./cache --root s");
    story.tell("list --store ./s");
    story.tell("install hello zlib -m ./cache --root s");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache --root s --dry-run -j1
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> Would install 2 specs into `[DIR]/s` ([size] to fetch)
    2>  + gcc-runtime@12.2.0/[hash]  [DIR]/s/linux-x86_64/gcc-runtime-12.2.0-[hash]
    2>  + zlib@1.2.13/[hash]  [DIR]/s/linux-x86_64/zlib-1.2.13-[hash]
    exit 0
    $ hod install zlib -m ./cache --root s -q
    exit 0
    $ hod install zlib -m ./cache --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> 2 of 2 already there in `[DIR]/s`, nothing to install
    exit 0
    $ hod list --store ./s
    gcc@12.2.0/[hash]          linux-debian12-x86_64                        external /usr
    gcc-runtime@12.2.0/[hash]  linux-debian12-x86_64
    glibc@2.36/[hash]          linux-debian12-x86_64                        external /usr
    gmake@4.3/[hash]           linux-debian12-x86_64                        external /usr
    zlib@1.2.13/[hash]         linux-debian12-x86_64  gcc@12.2.0  explicit
    2> 5 packages in `[DIR]/s`
    exit 0
    $ hod install hello zlib -m ./cache --root s
    2> Resolved 2 roots to 3 specs in [time]
    2> Found 2 of 3 in `[DIR]/s`
    2> Installed 1 spec into `[DIR]/s` in [time] ([size], 1 of 56 files relocated)
    2>  + hello@2.10/[hash]  [DIR]/s/linux-x86_64/hello-2.10-[hash]
    exit 0
    ");
}

#[test]
fn programs_are_told_what_was_done() {
    let story = story();
    let lines = story.done("--json install zlib -m ./cache --root s");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["planned", "installed", "installed", "finished"]);
    assert_eq!((&lines[0]["selected"], &lines[0]["missing"]), (&2.into(), &2.into()));
    assert!(std::path::Path::new(lines[2]["prefix"].as_str().unwrap()).join("lib").is_dir());
    assert_eq!(lines[3]["installed"], 2);
    let lines = story.done("--json install linkfarm -m ./cache --root s --dry-run");
    let would = lines.lines().filter(|line| line.contains("\"would_install\"")).count();
    assert_eq!(would, 2);
}

/// A store that Spack filled, and of which Hod makes more.
#[test]
fn what_is_missing_in_spacks_store_is_added() {
    let story = story();
    unpack_fixture("store.tar.zst", &story.at(""));
    story.tell("install linkfarm hello -m ./cache --store store");
    story.tell("install hello -m ./cache --store store --force");
    assert_snapshot!(story.told(), @"
    $ hod install linkfarm hello -m ./cache --store store
    2> Resolved 2 roots to 5 specs in [time]
    2> 5 of 5 already there in `/opt/hpc/store`, nothing to install
    exit 0
    $ hod install hello -m ./cache --store store --force
    2> Resolved `hello@2.10/[hash]` to 2 specs in [time]
    2> Found 1 of 2 in `/opt/hpc/store`
    2> Installed 1 spec into `/opt/hpc/store` in [time] ([size], 0 of 56 files relocated)
    2>  + hello@2.10/[hash]  /opt/hpc/store/linux-x86_64/hello-2.10-[hash]
    exit 0
    ");
}

#[test]
fn what_is_damaged_in_one_mirror_comes_from_the_other() {
    let story = story();
    hod_testing::golden::copy_golden("v3-signed", &story.at("good"));
    crate::install_refused::damage(&story, "zlib");
    story.tell("install zlib -m ./cache -m ./good --root s -j1");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache -m ./good --root s -j1
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> warning: `zlib@1.2.13/[hash]`: what `./cache` has of it cannot be used (could not unpack `zlib@1.2.13/[hash]`), trying `./good`
    2> [1/2] Installed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> [2/2] Installed zlib@1.2.13/[hash] ([size], [time])
    2> Installed 2 specs into `[DIR]/s` in [time] ([size], 2 of 26 files relocated)
    2>  + gcc-runtime@12.2.0/[hash]  [DIR]/s/linux-x86_64/gcc-runtime-12.2.0-[hash]
    2>  + zlib@1.2.13/[hash]  [DIR]/s/linux-x86_64/zlib-1.2.13-[hash]
    exit 0
    ");
}
