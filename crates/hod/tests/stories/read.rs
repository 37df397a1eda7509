//! List, show, check and unpack.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use insta::assert_snapshot;

use crate::story::{Story, settle};
use crate::support::tree::listing;

/// A mirror with two versions of one package and one of another.
fn mirror() -> Story {
    let story = Story::with_zlib();
    story.tree("zlib-1.2.13", "lib/libz.so.1 755 *2000");
    story.tree("hdf5-1.14.3", "bin/h5dump 755 #!/bin/sh\\n");
    settle();
    story.done("push ./cache ./zlib-1.3.1 ./zlib-1.2.13 ./hdf5-1.14.3");
    story
}

#[test]
fn packages_are_listed_by_name_version_and_hash() {
    let story = mirror();
    let listed = story.tell("list -m ./cache").stdout;
    story.tell("list -m ./cache zlib");
    story.tell("list -m ./cache hdf5@1.14.3");
    story.tell("list -m ./cache -q hdf5");
    let label = listed.lines().next().unwrap().split(' ').next().unwrap();
    let (_, hash) = label.split_once('/').unwrap();
    let by_hash = story.done(&format!("list -m ./cache /{hash}"));
    assert_eq!(by_hash.lines().count(), 1, "{by_hash}");
    assert_eq!(story.done(&format!("list -m ./cache {label}")), by_hash);
    assert_snapshot!(story.told(), @"
    $ hod list -m ./cache
    hdf5@1.14.3/[hash]  [platform] [size]  [DIR]/hdf5-1.14.3
    zlib@1.2.13/[hash]  [platform] [size]  [DIR]/zlib-1.2.13
    zlib@1.3.1/[hash]   [platform] [size]  [DIR]/zlib-1.3.1
    2> 3 packages in `./cache`
    exit 0
    $ hod list -m ./cache zlib
    zlib@1.2.13/[hash]  [platform] [size]  [DIR]/zlib-1.2.13
    zlib@1.3.1/[hash]   [platform] [size]  [DIR]/zlib-1.3.1
    2> 2 of 3 packages in `./cache`
    exit 0
    $ hod list -m ./cache hdf5@1.14.3
    hdf5@1.14.3/[hash]  [platform] [size]  [DIR]/hdf5-1.14.3
    2> 1 of 3 packages in `./cache`
    exit 0
    $ hod list -m ./cache -q hdf5
    hdf5@1.14.3/[hash]  [platform] [size]  [DIR]/hdf5-1.14.3
    exit 0
    ");
}

#[test]
fn names_that_mean_nothing_or_too_much_get_a_hint() {
    let story = mirror();
    story.tell("list -m ./cache hdff5");
    story.tell("list -m ./cache python");
    story.tell("show -m ./cache zlib@2");
    story.tell("unpack -m ./cache --to out /abcdefg");
    story.tell("unpack -m ./cache --to out nothing-like-it");
    story.tell("show -m ./cache zlib");
    assert_snapshot!(story.told(), @"
    $ hod list -m ./cache hdff5
    2> error: no package matches `hdff5` among 3 in `./cache`
    2>
    2> hint: did you mean `hdf5`?
    exit 1
    $ hod list -m ./cache python
    2> error: no package matches `python` among 3 in `./cache`
    2>
    2> hint: `hod list -m ./cache` shows what is there
    exit 1
    $ hod show -m ./cache zlib@2
    2> error: no package matches `zlib@2` among 3 in `./cache`
    2>
    2> hint: `hod list -m ./cache zlib` shows what is there
    exit 1
    $ hod unpack -m ./cache --to out /abcdefg
    2> error: no package matches `/[hash]` among 3 in `./cache`
    2>
    2> hint: `hod list -m ./cache` shows what is there
    exit 1
    $ hod unpack -m ./cache --to out nothing-like-it
    2> error: no package matches `nothing-like-it` among 3 in `./cache`
    2>
    2> hint: `hod list -m ./cache` shows what is there
    exit 1
    $ hod show -m ./cache zlib
    2> error: `zlib` matches 2 packages in `./cache`
    2>   zlib@1.2.13/[hash]
    2>   zlib@1.3.1/[hash]
    2>
    2> hint: name one by its hash, as in `/[hash]`
    exit 1
    ");
    assert!(!story.at("out").exists());
}

#[test]
fn a_package_is_shown() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    let shown = story.tell("show -m ./cache zlib");
    assert_snapshot!(story.told(), @"
    $ hod show -m ./cache zlib
    zlib@1.3.1/[hash]
      hash      [hash]
      prefix    [DIR]/zlib-1.3.1
      image     oci:cache/oci:zlib-1.3.1-[hash]
      platform  [platform]
      manifest  sha256:[digest] [size]
      config    sha256:[digest] [size]
      layer     sha256:[digest] [size], gzip
      diff id   sha256:[digest] [size]
      contains  5 files ([size]), 6 directories, 1 symbolic link, 1 hard link
      made with --compression gzip --compression-level 6 --gzip-members multi --mtime 0
      largest files
     [size]  lib/libz.so.1
     [size]  bin/tool
     [size]  include/zlib.h
     [size]  share/empty
    exit 0
    ");
    let tag = shown.stdout.split_once("oci:cache/oci:").unwrap().1.lines().next().unwrap();
    assert_eq!(story.done(&format!("show -m ./cache {tag}")), shown.stdout);
    assert_eq!(story.done("show -m ./cache zlib@1.3.1"), shown.stdout);
    assert_eq!(story.done("show -m ./cache zlib@=1.3.1"), shown.stdout);
}

#[test]
fn a_package_is_unpacked_as_it_was() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    story.tell("unpack zlib -m ./cache --to out");
    fs_err::create_dir(story.at("empty")).unwrap();
    story.tell("unpack zlib -m ./cache --to empty");
    story.tell("unpack zlib -m ./cache --to root --rootfs");
    story.tell("unpack zlib -m ./cache --to out");
    story.tell("unpack zlib -m ./cache --to zlib-1.3.1/bin/tool");
    story.tell("unpack zlib -m ./cache --to none/at/all");
    story.tell("unpack zlib -m ./cache --to small --max-bytes 1000");
    story.tell("unpack zlib -m ./cache --to small --max-entries 3");
    assert_snapshot!(story.told(), @"
    $ hod unpack zlib -m ./cache --to out
    2> Unpacked zlib@1.3.1/[hash] to `[DIR]/out` in [time] (5 files, [size])
    2> Paths inside its files still say `[DIR]/zlib-1.3.1`
    exit 0
    $ hod unpack zlib -m ./cache --to empty
    2> Unpacked zlib@1.3.1/[hash] to `[DIR]/empty` in [time] (5 files, [size])
    2> Paths inside its files still say `[DIR]/zlib-1.3.1`
    exit 0
    $ hod unpack zlib -m ./cache --to root --rootfs
    2> Unpacked zlib@1.3.1/[hash] to `[DIR]/root` in [time] (5 files, [size])
    exit 0
    $ hod unpack zlib -m ./cache --to out
    2> error: could not unpack `zlib@1.3.1/[hash]`
    2>   cause: `[DIR]/out` exists and is not an empty directory
    2>
    2> hint: unpack to a new directory, or remove this one first
    exit 1
    $ hod unpack zlib -m ./cache --to zlib-1.3.1/bin/tool
    2> error: could not unpack `zlib@1.3.1/[hash]`
    2>   cause: `[DIR]/zlib-1.3.1/bin/tool` exists and is not an empty directory
    2>
    2> hint: unpack to a new directory, or remove this one first
    exit 1
    $ hod unpack zlib -m ./cache --to none/at/all
    2> Unpacked zlib@1.3.1/[hash] to `[DIR]/none/at/all` in [time] (5 files, [size])
    2> Paths inside its files still say `[DIR]/zlib-1.3.1`
    exit 0
    $ hod unpack zlib -m ./cache --to small --max-bytes 1000
    2> error: could not unpack `zlib@1.3.1/[hash]`
    2>   cause: the archive has more than [n] bytes
    2>
    2> hint: if you trust it, raise the limit with `--max-bytes`
    exit 1
    $ hod unpack zlib -m ./cache --to small --max-entries 3
    2> error: could not unpack `zlib@1.3.1/[hash]`
    2>   cause: the archive has more than 3 members
    2>
    2> hint: if you trust it, raise the limit with `--max-entries`
    exit 1
    ");
    let prefix = story.at("zlib-1.3.1");
    let inside = format!("root{}", prefix.display());
    for copy in ["out", "empty", &inside] {
        let mut found = listing(&story.at(copy));
        found.retain(|line| !line.starts_with(".spack"));
        assert_eq!(found, listing(&prefix), "{copy}");
    }
    assert!(!story.at("small").exists());
}

#[test]
fn an_unpack_as_json_is_one_object() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    let text = story.done("--json unpack zlib -m ./cache --to out");
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["event"], "unpacked");
    assert_eq!(object["to"].as_str(), story.at("out").to_str());
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let story = mirror();
    // More than a pipe holds, so that the writer meets the closed end.
    for words in ["list -m ./cache", "completions bash", "list -m ./cache --json"] {
        let mut hod = story.hod(words);
        let mut child = hod.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains("panick")), (Some(0), false), "{said}");
    }
    let mut child = story.hod("list -m ./cache").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("hdf5@1.14.3/"), "{line}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let story = Story::with_zlib();
    let plain = story.run("push ./cache ./none").stderr;
    assert!(!plain.contains('\x1b'), "{plain:?}");
    let coloured = story.run("--color always push ./cache ./none").stderr;
    assert!(coloured.contains("\x1b["), "{coloured:?}");
    let never = story.run("--color never push ./cache ./none").stderr;
    assert_eq!(never, plain);
}
