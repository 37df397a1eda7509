//! Push, as it should go.

use std::os::unix::fs::symlink;
use std::path::Path;

use insta::assert_snapshot;

use crate::story::{Story, settle};
use crate::support::tree::{listing, set_mode};
use crate::support::{ZLIB, has, skip};

#[test]
fn a_prefix_is_pushed_once() {
    let story = Story::with_zlib();
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod push ./cache ./zlib-1.3.1
    2> 1 of 1 already there in `./cache` in [time], nothing to push
    2>  = zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_second_push_opens_no_file_of_the_prefix() {
    if !has(&["strace"]) {
        return;
    }
    let story = Story::with_zlib();
    let Some(first) = opened(&story, "push ./cache ./zlib-1.3.1") else {
        return skip("this system does not let strace trace");
    };
    assert!(first.iter().any(|name| name == "bin/tool"), "the trace shows nothing: {first:?}");
    assert_eq!(opened(&story, "push ./cache ./zlib-1.3.1"), Some(vec![]));
    assert_eq!(opened(&story, "push --dry-run ./cache ./zlib-1.3.1"), Some(vec![]));
    // Another mirror: the tree is known, its blob as well.
    assert_eq!(opened(&story, "push ./other ./zlib-1.3.1"), Some(vec![]));
}

/// The files of the prefix that a run of hod opened; `None` if it cannot be traced.
fn opened(story: &Story, words: &str) -> Option<Vec<String>> {
    let mut strace = story.command("strace");
    strace.args(["-f", "-y", "-qq", "-e", "trace=open,openat,openat2,creat", "-o", "trace"]);
    strace.arg(crate::support::HOD).args(words.split_whitespace());
    if !strace.output().unwrap().status.success() {
        return None;
    }
    let trace = fs_err::read_to_string(story.at("trace")).unwrap();
    let below = format!("<{}/", story.at("zlib-1.3.1").display());
    let name = |line: &str| {
        let (_, path) = line.rsplit_once(" = ")?.1.split_once(&below)?;
        Some(path.trim_end_matches('>').to_owned())
    };
    let is_file = |name: &String| !story.at("zlib-1.3.1").join(name).is_dir();
    Some(trace.lines().filter_map(name).filter(is_file).collect())
}

#[test]
fn a_changed_file_is_noticed_even_with_its_old_size_and_time() {
    let story = Story::with_zlib();
    let before = story.done("push --refs ./cache ./zlib-1.3.1");
    let path = story.at("zlib-1.3.1/include/zlib.h");
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    fs_err::write(&path, "#define ZLIB 2\n").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    settle();
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("list -m ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod list -m ./cache
    zlib@1.3.1/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    zlib@1.3.1/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    2> 2 packages in `./cache`
    exit 0
    ");
    assert_ne!(story.done("push --refs ./cache ./zlib-1.3.1"), before);
}

#[test]
fn a_changed_mode_or_a_new_link_is_noticed() {
    let story = Story::with_zlib();
    let first = story.done("push --refs ./cache ./zlib-1.3.1");
    set_mode(&story.at("zlib-1.3.1/include/zlib.h"), 0o755);
    let second = story.done("push --refs ./cache ./zlib-1.3.1");
    symlink("tool", story.at("zlib-1.3.1/bin/alias")).unwrap();
    let third = story.done("push --refs ./cache ./zlib-1.3.1");
    assert!(first != second && second != third, "{first}{second}{third}");
}

#[test]
fn several_prefixes_are_recorded_in_the_order_they_were_named() {
    let story = Story::with_zlib();
    story.tree("hdf5-1.14.3", "bin/h5dump 755 #!/bin/sh\\n");
    story.tree("tool", "bin/tool 755 #!/bin/sh\\n");
    settle();
    story.done("push -q ./cache ./hdf5-1.14.3");
    // One thread: the live lines come in the order of the work.
    story.tell("push -j 1 ./cache ./zlib-1.3.1 ./tool ./hdf5-1.14.3 zlib-1.3.1/");
    story.tell("push ./cache ./zlib-1.3.1 ./tool ./hdf5-1.14.3 -j 1");
    story.tell("list -m ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache ./zlib-1.3.1 ./tool ./hdf5-1.14.3 zlib-1.3.1/
    2> [1/3] Pushed zlib@1.3.1/[hash] ([size], [time])
    2> [2/3] Pushed tool@unversioned/[hash] ([size], [time])
    2> [3/3] Found hdf5@1.14.3/[hash] ([size], [time])
    2> Pushed 2 prefixes to `./cache` in [time] ([size] from [size]), 1 already there
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    2>  + tool@unversioned/[hash] [size]  oci:cache/oci:tool-unversioned-[hash]
    2>  = hdf5@1.14.3/[hash] [size]  oci:cache/oci:hdf5-1.14.3-[hash]
    exit 0
    $ hod push ./cache ./zlib-1.3.1 ./tool ./hdf5-1.14.3 -j 1
    2> [1/3] Found zlib@1.3.1/[hash] ([size], [time])
    2> [2/3] Found tool@unversioned/[hash] ([size], [time])
    2> [3/3] Found hdf5@1.14.3/[hash] ([size], [time])
    2> 3 of 3 already there in `./cache` in [time], nothing to push
    2>  = zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    2>  = tool@unversioned/[hash] [size]  oci:cache/oci:tool-unversioned-[hash]
    2>  = hdf5@1.14.3/[hash] [size]  oci:cache/oci:hdf5-1.14.3-[hash]
    exit 0
    $ hod list -m ./cache
    hdf5@1.14.3/[hash]       [platform] [size]  [DIR]/hdf5-1.14.3
    tool@unversioned/[hash]  [platform] [size]  [DIR]/tool
    zlib@1.3.1/[hash]        [platform] [size]  [DIR]/zlib-1.3.1
    2> 3 packages in `./cache`
    exit 0
    ");
}

#[test]
fn of_many_prefixes_twenty_are_listed() {
    let story = Story::new();
    let names: Vec<_> = (1..=23).map(|n| format!("pkg-{n:02}-1.0")).collect();
    for name in &names {
        story.tree(name, "bin/tool 755 tool\\n");
    }
    let all = names.iter().map(|name| format!("./{name}")).collect::<Vec<_>>().join(" ");
    let cut = story.run(&format!("push ./cache {all}")).stderr;
    assert_eq!(cut.lines().filter(|line| line.starts_with(" + ")).count(), 20, "{cut}");
    assert!(cut.ends_with("… and 3 more (-v shows all)\n"), "{cut}");
    let whole = story.run(&format!("push -v ./other {all}")).stderr;
    assert_eq!(whole.lines().filter(|line| line.starts_with(" + ")).count(), 23, "{whole}");
}

#[test]
fn one_bad_prefix_among_good_ones_is_found_before_anything_is_written() {
    let story = Story::with_zlib();
    story.tell("push ./cache ./zlib-1.3.1 ./zlib-1.3.2");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 ./zlib-1.3.2
    2> error: cannot push `./zlib-1.3.2`
    2>   cause: there is no prefix at `[DIR]/zlib-1.3.2`
    2>
    2> hint: a prefix is the directory that `make install` wrote to
    exit 1
    ");
    assert!(!story.at("cache").exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let story = Story::with_zlib();
    let everything = || {
        let mut lines = listing(&story.at(""));
        // The cache directory of the user is not the user's.
        lines.retain(|line| !line.starts_with("home/"));
        lines
    };
    let before = everything();
    story.tell("push --dry-run ./cache ./zlib-1.3.1");
    assert_eq!(everything(), before);
    story.done("push ./cache ./zlib-1.3.1");
    story.tree("tool-2.0", "bin/tool 755 tool\\n");
    let before = everything();
    story.tell("push --dry-run ./cache ./zlib-1.3.1 ./tool-2.0");
    story.tell("push --dry-run ./cache ./zlib-1.3.1");
    story.tell("push --dry-run --force ./cache ./zlib-1.3.1");
    assert_eq!(everything(), before);
    assert_snapshot!(story.told(), @"
    $ hod push --dry-run ./cache ./zlib-1.3.1
    2> Would push 1 prefix to `./cache` ([size] before compression)
    2>  + zlib@1.3.1  4 files, [size]
    exit 0
    $ hod push --dry-run ./cache ./zlib-1.3.1 ./tool-2.0
    2> Would push 1 prefix to `./cache` ([size] before compression)
    2>  = zlib@1.3.1/[hash]  4 files, [size]
    2>  + tool@2.0  1 file, [size]
    exit 0
    $ hod push --dry-run ./cache ./zlib-1.3.1
    2> 1 of 1 already there in `./cache`, nothing to push
    exit 0
    $ hod push --dry-run --force ./cache ./zlib-1.3.1
    2> Would push 1 prefix to `./cache` ([size] before compression)
    2>  + zlib@1.3.1  4 files, [size]
    exit 0
    ");
}

#[test]
fn force_packs_again_and_changes_nothing() {
    let story = Story::with_zlib();
    let first = story.done("push --refs ./cache ./zlib-1.3.1");
    let before = listing(&story.at("cache"));
    let again = story.tell("push --force --refs ./cache ./zlib-1.3.1");
    assert_eq!(again.stdout, first);
    assert_eq!(listing(&story.at("cache")), before);
    assert_snapshot!(story.told(), @"
    $ hod push --force --refs ./cache ./zlib-1.3.1
    oci:cache/oci:zlib-1.3.1-[hash]
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    ");
}

#[test]
fn references_are_the_only_data() {
    let story = Story::with_zlib();
    story.tree("tool-2.0", "bin/tool 755 tool\\n");
    story.tell("push --refs -q ./cache ./zlib-1.3.1 ./tool-2.0");
    // As podman takes it: not with `./`.
    story.tell("push --refs -q ./cache/ ./zlib-1.3.1");
    story.tell("push -q ./cache ./zlib-1.3.1");
    assert_snapshot!(story.told(), @"
    $ hod push --refs -q ./cache ./zlib-1.3.1 ./tool-2.0
    oci:cache/oci:zlib-1.3.1-[hash]
    oci:cache/oci:tool-2.0-[hash]
    exit 0
    $ hod push --refs -q ./cache/ ./zlib-1.3.1
    oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod push -q ./cache ./zlib-1.3.1
    exit 0
    ");
}

#[test]
fn json_lines_hold_what_the_text_says() {
    let story = Story::with_zlib();
    let pushed = story.run("--json push ./cache ./zlib-1.3.1");
    let lines: Vec<serde_json::Value> =
        pushed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [planned, package, finished] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!((&planned["event"], &planned["selected"]), (&"planned".into(), &1.into()));
    assert_eq!((&finished["event"], &finished["pushed"]), (&"finished".into(), &1.into()));
    assert_eq!(package["event"], "pushed");
    let text = |key: &str| package[key].as_str().unwrap().to_owned();
    let label = format!("{}@{}/{}", text("name"), text("version"), &text("hash")[..7]);
    let reference = format!("oci:cache/oci:{}", text("tag"));
    assert!(pushed.stderr.contains(&label) && pushed.stderr.contains(&reference), "{pushed:?}");
    let size = format!("{:.1} KiB", package["bytes"].as_f64().unwrap() / 1024.0);
    assert!(pushed.stderr.contains(&size), "{size}: {pushed:?}");
    // What push says, show and the text of show say again.
    let shown: serde_json::Value =
        serde_json::from_str(&story.done("--json show -m ./cache zlib")).unwrap();
    assert_eq!(shown["manifest"], package["manifest"]);
    assert_eq!(shown["layers"][0]["digest"], package["digest"]);
    assert_eq!(shown["layers"][0]["diff_id"], package["diff_id"]);
    let page = story.done("show -m ./cache zlib");
    for key in ["hash", "prefix", "manifest", "digest", "diff_id", "tag"] {
        assert!(page.contains(&text(key)), "{key}: {page}");
    }
    // Quiet JSON is JSON alone; a failure is an object as well.
    let quiet = story.run("--json -q push ./cache ./zlib-1.3.1");
    assert!(quiet.stderr.is_empty() && quiet.stdout.contains("\"present\""), "{quiet:?}");
    let failed = story.run("--json push ./cache ./none");
    let error: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(error["event"], "error");
    let said = error["causes"][0].as_str().unwrap();
    assert!(failed.stderr.contains(said) && failed.code == Some(1), "{failed:?}");
}

#[test]
fn names_and_versions_can_be_given() {
    let story = Story::with_zlib();
    story.tell("push ./cache ./zlib-1.3.1 --name z --version 2");
    story.tell("push ./cache ./zlib-1.3.1 --version 1.3.1+patched");
    story.tell("list -m ./cache");
    story.tell("push ./cache ./zlib-1.3.1 --name a/b");
    story.tell("push ./cache ./zlib-1.3.1 --version=");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 --name z --version 2
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + z@2/[hash] [size]  oci:cache/oci:z-2-[hash]
    exit 0
    $ hod push ./cache ./zlib-1.3.1 --version 1.3.1+patched
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1+patched/[hash] [size]  oci:cache/oci:zlib-1.3.1_patched-[hash]
    exit 0
    $ hod list -m ./cache
    z@2/[hash]                 [platform] [size]  [DIR]/zlib-1.3.1
    zlib@1.3.1+patched/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    2> 2 packages in `./cache`
    exit 0
    $ hod push ./cache ./zlib-1.3.1 --name a/b
    2> error: cannot push `./zlib-1.3.1`
    2>   cause: `a/b` cannot be a package's name
    2>
    2> hint: use letters, digits, `.`, `_`, `+` and `-`
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --version=
    2> error: cannot push `./zlib-1.3.1`
    2>   cause: `` cannot be a package's version
    2>
    2> hint: use letters, digits, `.`, `_`, `+` and `-`
    exit 2
    ");
}

/// However the prefix is written, it is one prefix.
#[test]
fn a_prefix_is_the_same_by_every_path_to_it() {
    let story = Story::with_zlib();
    fs_err::create_dir(story.at("sub")).unwrap();
    symlink("zlib-1.3.1", story.at("current")).unwrap();
    let expected = story.done("push --refs ./cache ./zlib-1.3.1");
    let absolute = story.at("zlib-1.3.1").display().to_string();
    let ways = [
        "./zlib-1.3.1",
        "zlib-1.3.1/",
        "zlib-1.3.1//.",
        "sub/../zlib-1.3.1",
        "./current",
        &absolute,
    ];
    for way in ways {
        let again = story.run(&format!("push --refs ./cache {way}"));
        assert_eq!(again.stdout, expected, "{way}");
        assert!(again.stderr.contains("nothing to push"), "{way}: {again:?}");
    }
    let mut inside = story.hod("push --refs ../cache .");
    inside.current_dir(story.at("zlib-1.3.1"));
    assert_eq!(crate::support::succeed(inside), expected.replace("cache", "../cache"));
}

#[test]
fn every_variant_of_compression_can_be_pushed_and_unpacked() {
    let story = Story::with_zlib();
    let expected = listing(&story.at("zlib-1.3.1"));
    let variants = [
        "--compression gzip",
        "--compression gzip --gzip-members single",
        "--compression gzip --compression-level best",
        "--compression gzip --compression-level 12",
        "--compression zstd",
        "--compression zstd --compression-level fast",
        "--compression zstd --compression-level 19",
        "--compression none",
        "--mtime 1700000000",
    ];
    for (n, variant) in variants.iter().enumerate() {
        story.done(&format!("push ./m{n} ./zlib-1.3.1 {variant}"));
        story.done(&format!("check ./m{n}"));
        story.done(&format!("unpack zlib -m ./m{n} --to out{n}"));
        let mut found = listing(&story.at(&format!("out{n}")));
        found.retain(|line| !line.starts_with(".spack"));
        assert_eq!(found, expected, "{variant}");
    }
}

/// One tree in two codecs is one package with one tag: the last push decides what it leads to.
#[test]
fn another_codec_replaces_the_image() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    story.tell("push ./cache ./zlib-1.3.1 --compression zstd");
    story.tell("list -m ./cache");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 --compression zstd
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod list -m ./cache
    zlib@1.3.1/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    2> 1 package in `./cache`
    exit 0
    $ hod check ./cache
    orphaned  ./cache/oci/blobs/sha256/[digest] is named by nothing ([n] bytes)
    orphaned  ./cache/oci/blobs/sha256/[digest] is named by nothing ([n] bytes)
    orphaned  ./cache/oci/blobs/sha256/[digest] is named by nothing ([n] bytes)
    2> Checked 6 blobs ([size]) of 1 entry in `./cache` in [time]: 3 orphaned
    2>
    2> hint: orphaned files were left by an interrupted push or a replaced tag; they do no harm
    exit 1
    ");
}

#[test]
fn an_empty_directory_becomes_a_mirror() {
    let story = Story::with_zlib();
    fs_err::create_dir(story.at("cache")).unwrap();
    story.tell("push --dry-run ./cache ./zlib-1.3.1");
    story.tell("push ./cache ./zlib-1.3.1");
    assert_snapshot!(story.told(), @"
    $ hod push --dry-run ./cache ./zlib-1.3.1
    2> Would push 1 prefix to `./cache` ([size] before compression)
    2>  + zlib@1.3.1  4 files, [size]
    exit 0
    $ hod push ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    ");
}

#[test]
fn special_files_are_left_out_with_a_warning() {
    let story = Story::new();
    let prefix = story.tree("tool-1.0", "bin/tool 755 tool\\n");
    let _socket = std::os::unix::net::UnixListener::bind(prefix.join("bin/socket")).unwrap();
    settle();
    story.tell("push ./cache ./tool-1.0");
    story.tell("push ./cache ./tool-1.0");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./tool-1.0
    2> warning: `tool@1.0`: left out `bin/socket`, a socket
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + tool@1.0/[hash] [size]  oci:cache/oci:tool-1.0-[hash]
    exit 0
    $ hod push ./cache ./tool-1.0
    2> 1 of 1 already there in `./cache` in [time], nothing to push
    2>  = tool@1.0/[hash] [size]  oci:cache/oci:tool-1.0-[hash]
    exit 0
    ");
}

/// The cache is lost or was made elsewhere: everything is packed again, and is the same.
#[test]
fn without_its_memory_a_push_gives_the_same() {
    let story = Story::with_zlib();
    let first = story.done("push --refs ./cache ./zlib-1.3.1");
    fs_err::remove_dir_all(story.at("home/.cache")).unwrap();
    assert_eq!(story.done("push --refs ./cache ./zlib-1.3.1"), first);
    fs_err::write(first_record(&story.at("home/.cache/hod/packed")), "garbage").unwrap();
    assert_eq!(story.done("push --refs ./cache ./zlib-1.3.1"), first);
    story.done("check ./cache");
}

/// The blob has a second name in the local store, which a second mirror can share.
#[test]
fn another_mirror_gets_what_was_packed_before() {
    let story = Story::with_zlib();
    settle();
    let first = story.done("push --json ./cache ./zlib-1.3.1");
    let second = story.done("push --json ./other ./zlib-1.3.1");
    assert!(first.contains(r#""packed":true"#) && second.contains(r#""packed":false"#), "{second}");
    assert!(second.contains(r#""event":"pushed""#), "{second}");
    story.done("check ./other");

    // Damage in one mirror does not spread to the next: the blob is read before it is shared.
    let digest = first.split(r#""digest":"sha256:"#).nth(1).unwrap();
    let blob = story.at("cache/oci/blobs/sha256").join(&digest[..64]);
    let mut bytes = fs_err::read(&blob).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&blob, bytes).unwrap();
    let last = story.done("push --json ./third ./zlib-1.3.1");
    assert!(last.contains(r#""packed":true"#), "{last}");
    story.done("check ./third");
}

fn first_record(directory: &Path) -> std::path::PathBuf {
    fs_err::read_dir(directory).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn spack_prefixes_are_pushed_with_a_warning() {
    let story = Story::new();
    story.tree("zlib-1.3.1-abcdefghijklmnopqrstuvwxyz234567", ZLIB);
    story.tree("zlib-1.3.1-abcdefghijklmnopqrstuvwxyz234567", ".spack/spec.json 644 {}");
    settle();
    story.tell("push ./cache ./zlib-1.3.1-abcdefghijklmnopqrstuvwxyz234567");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1-[hash]
    2> error: cannot push `./zlib-1.3.1-[hash]` as a spec
    2>   cause: found no store: --store is not given, HOD_STORE is not set, SPACK_ROOT is not set, no `spack` on the path, no `config:install_tree` in `[DIR]/etc/spack` or `~/.spack`
    2>
    2> hint: name the store with `--store PATH`, or set HOD_STORE
    exit 1
    ");
}
