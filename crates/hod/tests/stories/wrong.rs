//! Wrong input: what was wrong, where, why, and what to do.

use std::os::unix::ffi::OsStringExt as _;

use insta::assert_snapshot;

use crate::story::{Story, settle};
use crate::support::tree::{listing, set_mode};
use crate::support::{HOD, ZLIB, has, is_root, skip};

#[test]
fn what_is_no_prefix_is_refused() {
    let story = Story::with_zlib();
    fs_err::create_dir(story.at("empty")).unwrap();
    std::os::unix::fs::symlink("nowhere", story.at("dangling")).unwrap();
    story.tell("push ./cache ./none");
    story.tell("push ./cache zlib-1.3.1/bin/tool");
    story.tell("push ./cache ./empty");
    story.tell("push ./cache ./dangling");
    story.tell("push ./cache sub/../zlib-1.3.1");
    story.tell("push ./cache /");
    story.tell("push ./cache zlib-1.3.1/bin/tool/below");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./none
    2> error: cannot push `./none`
    2>   cause: there is no prefix at `[DIR]/none`
    2>
    2> hint: a prefix is the directory that `make install` wrote to
    exit 1
    $ hod push ./cache zlib-1.3.1/bin/tool
    2> error: cannot push `zlib-1.3.1/bin/tool`
    2>   cause: `[DIR]/zlib-1.3.1/bin/tool` is a file, not an install prefix
    2>
    2> hint: push the directory it lies in, `[DIR]/zlib-1.3.1/bin`
    exit 1
    $ hod push ./cache ./empty
    2> error: cannot push `./empty`
    2>   cause: the prefix `[DIR]/empty` is empty
    2>
    2> hint: push it when something is installed in it, or name another
    exit 1
    $ hod push ./cache ./dangling
    2> error: cannot push `./dangling`
    2>   cause: there is no prefix at `[DIR]/dangling`
    2>
    2> hint: a prefix is the directory that `make install` wrote to
    exit 1
    $ hod push ./cache sub/../zlib-1.3.1
    2> error: cannot push `sub/../zlib-1.3.1`
    2>   cause: there is no prefix at `[DIR]/sub/../zlib-1.3.1`
    2>
    2> hint: a prefix is the directory that `make install` wrote to
    exit 1
    $ hod push ./cache /
    2> error: cannot push `/`
    2>   cause: the root of the file system cannot be packed as a prefix
    exit 1
    $ hod push ./cache zlib-1.3.1/bin/tool/below
    2> error: cannot push `zlib-1.3.1/bin/tool/below`
    2>   cause: could not look at `[DIR]/zlib-1.3.1/bin/tool/below`
    2>   cause: failed to query resolved metadata `[DIR]/zlib-1.3.1/bin/tool/below`: Not a directory (os error 20)
    2>
    2> hint: a part of this path is a file, where a directory should be
    exit 1
    ");
    assert!(!story.at("cache").exists());
}

#[test]
fn a_prefix_whose_path_is_not_text_is_refused() {
    let story = Story::new();
    let name = std::ffi::OsString::from_vec(b"caf\xe9-1.0".to_vec());
    fs_err::create_dir(story.at("").join(&name)).unwrap();
    let mut push = story.hod("push ./cache");
    push.arg(&name);
    story.tell_as("hod push ./cache caf\\xe9-1.0", push);
    assert_snapshot!(story.told(), @r"
    $ hod push ./cache caf\xe9-1.0
    2> error: cannot push `caf�-1.0`
    2>   cause: the path of the prefix `[DIR]/caf�-1.0` is not UTF-8
    exit 1
    ");
}

#[test]
fn an_unreadable_file_is_named() {
    let story = Story::with_zlib();
    set_mode(&story.at("zlib-1.3.1/lib/libz.so.1"), 0);
    let mut push = story.hod("push ./cache ./zlib-1.3.1");
    if is_root() {
        // Root reads everything.
        if !has(&["setpriv"]) {
            return;
        }
        set_mode(&story.at(""), 0o777);
        set_mode(&story.at("home"), 0o777);
        // The program may be where other users cannot go.
        fs_err::copy(HOD, story.at("hod")).unwrap();
        push = story.command("setpriv");
        push.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(story.at("hod"));
        push.args(["push", "./cache", "./zlib-1.3.1"]);
    }
    story.tell_as("hod push ./cache ./zlib-1.3.1", push);
    story.tell("list -m ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> error: could not pack `zlib@1.3.1`
    2>   cause: could not read `[DIR]/zlib-1.3.1/lib/libz.so.1`
    2>   cause: Permission denied (os error 13)
    2>
    2> hint: run it as a user who may do this, or change the permissions
    exit 1
    $ hod list -m ./cache
    2> 0 packages in `./cache`
    exit 0
    ");
}

#[test]
fn what_is_no_mirror_is_refused() {
    let story = Story::with_zlib();
    story.tree("photos", "one.jpg 644 1\ntwo.jpg 644 2");
    story.tree("file", "a 644 a");
    story.tell("push ./photos ./zlib-1.3.1");
    story.tell("push --dry-run ./photos ./zlib-1.3.1");
    story.tell("push photos/one.jpg ./zlib-1.3.1");
    story.tell("push photos/one.jpg/below ./zlib-1.3.1");
    story.tell("list -m ./photos");
    story.tell("list -m photos/one.jpg");
    story.tell("list -m ./none");
    story.tell("check ./none");
    assert_snapshot!(story.told(), @"
    $ hod push ./photos ./zlib-1.3.1
    2> error: `./photos` is not a mirror: it holds `one.jpg` and 1 more
    2>
    2> hint: name a new directory for the mirror, such as `./photos/cache`
    exit 1
    $ hod push --dry-run ./photos ./zlib-1.3.1
    2> error: `./photos` is not a mirror: it holds `one.jpg` and 1 more
    2>
    2> hint: name a new directory for the mirror, such as `./photos/cache`
    exit 1
    $ hod push photos/one.jpg ./zlib-1.3.1
    2> error: `photos/one.jpg` is not a directory
    2>
    2> hint: name a directory for the mirror; `hod push` makes it
    exit 1
    $ hod push photos/one.jpg/below ./zlib-1.3.1
    2> error: cannot read `photos/one.jpg/below`
    2>   cause: failed to query resolved metadata `photos/one.jpg/below`: Not a directory (os error 20)
    2>
    2> hint: a part of this path is a file, where a directory should be
    exit 1
    $ hod list -m ./photos
    2> error: `./photos` is not a mirror: it holds `one.jpg` and 1 more
    2>
    2> hint: name a new directory for the mirror, such as `./photos/cache`
    exit 1
    $ hod list -m photos/one.jpg
    2> error: `photos/one.jpg` is not a directory
    2>
    2> hint: name a directory for the mirror; `hod push` makes it
    exit 1
    $ hod list -m ./none
    2> error: there is no mirror at `./none`: the directory does not exist
    2>
    2> hint: `hod push ./none PREFIX` makes one
    exit 1
    $ hod check ./none
    2> error: there is no mirror at `./none`: the directory does not exist
    2>
    2> hint: `hod push ./none PREFIX` makes one
    exit 1
    ");
    assert_eq!(listing(&story.at("photos")).len(), 2);
}

#[test]
fn a_mirror_of_a_newer_layout_is_left_alone() {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    fs_err::write(story.at("cache/hod.json"), r#"{"layoutVersion":99}"#).unwrap();
    let before = listing(&story.at("cache"));
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("list -m ./cache");
    fs_err::write(story.at("cache/hod.json"), "{").unwrap();
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> error: the mirror was made by a newer hod: the layout version in `./cache/hod.json` is 99, this program reads up to 1
    2>
    2> hint: install a newer hod
    exit 1
    $ hod list -m ./cache
    2> error: the mirror was made by a newer hod: the layout version in `./cache/hod.json` is 99, this program reads up to 1
    2>
    2> hint: install a newer hod
    exit 1
    $ hod check ./cache
    2> error: cannot understand `./cache/hod.json`
    2>   cause: not the expected JSON
    2>   cause: EOF while parsing an object at line 1 column 1
    exit 1
    ");
    fs_err::write(story.at("cache/hod.json"), r#"{"layoutVersion":99}"#).unwrap();
    assert_eq!(listing(&story.at("cache")), before);
}

#[test]
fn formats_that_do_not_exist_are_explained() {
    let story = Story::with_zlib();
    story.tell("push ./cache ./zlib-1.3.1 --compression lz4");
    story.tell("push ./cache ./zlib-1.3.1 --compression-level 77");
    story.tell("push ./cache ./zlib-1.3.1 --compression-level high");
    story.tell("push ./cache ./zlib-1.3.1 --compression zstd --compression-level 30");
    story.tell("push ./cache ./zlib-1.3.1 --compression none --compression-level 3");
    story.tell("push ./cache ./zlib-1.3.1 --compression zstd --gzip-members single");
    story.tell("push ./cache ./zlib-1.3.1 --gzip-members two");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 --compression lz4
    2> error: invalid value 'lz4' for '--compression <CODEC>': unknown compression `lz4`, expected gzip, zstd or none
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --compression-level 77
    2> error: gzip has levels 1 to 12, not 77
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --compression-level high
    2> error: invalid value 'high' for '--compression-level <LEVEL>': `high` is neither a number nor fast, default or best
    2>
    2> For more information, try '--help'.
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --compression zstd --compression-level 30
    2> error: zstd has levels 1 to 19, not 30
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --compression none --compression-level 3
    2> error: without compression there is no level 3 to choose
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --compression zstd --gzip-members single
    2> error: only gzip can be written as a single member, not zstd
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --gzip-members two
    2> error: invalid value 'two' for '--gzip-members <HOW>': expected multi or single
    2>
    2> For more information, try '--help'.
    exit 2
    ");
    assert!(!story.at("cache").exists());
}

#[test]
fn times_that_are_none_are_explained() {
    let story = Story::with_zlib();
    story.tell("push ./cache ./zlib-1.3.1 --mtime yesterday");
    story.tell("push ./cache ./zlib-1.3.1 --mtime=-1");
    story.tell("push ./cache ./zlib-1.3.1 --mtime 99999999999999");
    story.tell("push ./cache ./zlib-1.3.1 --mtime source-date-epoch");
    let mut push = story.hod("push ./cache ./zlib-1.3.1 --mtime source-date-epoch");
    push.env("SOURCE_DATE_EPOCH", "soon");
    story.tell_as("SOURCE_DATE_EPOCH=soon hod push … --mtime source-date-epoch", push);
    let mut push = story.hod("push ./cache ./zlib-1.3.1 --mtime source-date-epoch");
    push.env("SOURCE_DATE_EPOCH", "1700000000");
    story.tell_as("SOURCE_DATE_EPOCH=1700000000 hod push … --mtime source-date-epoch", push);
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 --mtime yesterday
    2> error: `yesterday` is neither a number of seconds nor `source-date-epoch`
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --mtime=-1
    2> error: `-1` is neither a number of seconds nor `source-date-epoch`
    exit 2
    $ hod push ./cache ./zlib-1.3.1 --mtime 99999999999999
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod push ./cache ./zlib-1.3.1 --mtime source-date-epoch
    2> error: `--mtime source-date-epoch` needs the variable SOURCE_DATE_EPOCH
    exit 2
    $ SOURCE_DATE_EPOCH=soon hod push … --mtime source-date-epoch
    2> error: SOURCE_DATE_EPOCH is `soon`, not a number of seconds
    exit 2
    $ SOURCE_DATE_EPOCH=1700000000 hod push … --mtime source-date-epoch
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    ");
}

#[test]
fn a_cache_size_that_is_none_is_explained() {
    let story = Story::with_zlib();
    let mut push = story.hod("push ./cache ./zlib-1.3.1");
    push.env("HOD_CACHE_SIZE", "lots");
    story.tell_as("HOD_CACHE_SIZE=lots hod push ./cache ./zlib-1.3.1", push);
    assert_snapshot!(story.told(), @"
    $ HOD_CACHE_SIZE=lots hod push ./cache ./zlib-1.3.1
    2> error: HOD_CACHE_SIZE is `lots`, not a number of bytes
    exit 2
    ");
    assert!(!story.at("cache").exists());
}

#[test]
fn a_file_that_a_container_would_take_for_a_deletion_is_refused() {
    let story = Story::with_zlib();
    story.tree("zlib-1.3.1", "share/.wh.gone 644 x");
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> error: could not pack `zlib@1.3.1`
    2>   cause: `[DIR]/zlib-1.3.1/share/.wh.gone` has a name that container images reserve (`.wh.`…)
    2>
    2> hint: rename the file: a container would delete another one instead
    exit 1
    $ hod check ./cache
    2> Checked 0 blobs ([size]) of 0 entries in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_name_for_two_prefixes_is_refused() {
    let story = Story::with_zlib();
    story.tree("tool-2.0", "bin/tool 755 tool\\n");
    story.tell("push ./cache ./zlib-1.3.1 ./tool-2.0 --name z");
    story.tell("push ./cache ./zlib-1.3.1 ./tool-2.0 --version 1");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1 ./tool-2.0 --name z
    2> error: `--name` and `--version` need a single prefix that Spack did not make
    exit 2
    $ hod push ./cache ./zlib-1.3.1 ./tool-2.0 --version 1
    2> error: `--name` and `--version` need a single prefix that Spack did not make
    exit 2
    ");
}

#[test]
fn without_a_cache_directory_everything_works() {
    let story = Story::with_zlib();
    let mut homeless = story.hod("push ./cache ./zlib-1.3.1");
    homeless.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let ended = homeless.output().unwrap();
    assert!(ended.status.success(), "{}", crate::support::both(&ended));
    // A file where the directory should be: unwritable for root as well.
    fs_err::write(story.at("home/.cache"), "").unwrap();
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("push ./other ./zlib-1.3.1");
    story.tell("push -q ./other ./zlib-1.3.1");
    assert_snapshot!(story.told(), @"
    $ hod push ./cache ./zlib-1.3.1
    2> warning: nothing will be remembered for the next time (HOD_CACHE_DIR names another place): failed to create directory `[DIR]/home/.cache/hod/packed`: Not a directory (os error 20)
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod push ./other ./zlib-1.3.1
    2> warning: nothing will be remembered for the next time (HOD_CACHE_DIR names another place): failed to create directory `[DIR]/home/.cache/hod/packed`: Not a directory (os error 20)
    2> Pushed 1 prefix to `./other` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:other/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod push -q ./other ./zlib-1.3.1
    exit 0
    ");
}

#[test]
fn a_failed_prefix_does_not_stop_the_others() {
    let story = Story::with_zlib();
    story.tree("bad-1.0", ".wh.x 644 x");
    story.tree("tool-2.0", "bin/tool 755 tool\\n");
    settle();
    story.tell("push -j 1 ./cache ./zlib-1.3.1 ./bad-1.0 ./tool-2.0");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod push -j 1 ./cache ./zlib-1.3.1 ./bad-1.0 ./tool-2.0
    2> [1/3] Failed bad@1.0
    2> [2/3] Pushed zlib@1.3.1/[hash] ([size], [time])
    2> [3/3] Pushed tool@2.0/[hash] ([size], [time])
    2> Pushed 2 prefixes to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    2>  + tool@2.0/[hash] [size]  oci:cache/oci:tool-2.0-[hash]
    2> error: could not pack `bad@1.0`
    2>   cause: `[DIR]/bad-1.0/.wh.x` has a name that container images reserve (`.wh.`…)
    2>
    2> hint: rename the file: a container would delete another one instead
    exit 1
    $ hod check ./cache
    2> Checked 6 blobs ([size]) of 2 entries in `./cache` in [time]: all good
    exit 0
    ");
}

/// A file system that is full in the middle of a blob, in a mount namespace of its own.
#[test]
fn a_full_disk_leaves_the_mirror_as_it_was() {
    if !is_root() {
        return skip("only root can mount a small file system");
    }
    if !has(&["unshare", "mount"]) {
        return;
    }
    let story = Story::new();
    story.tree("zlib-1.3.1", ZLIB);
    story.tree("big-1.0", "lib/big 644 *700000");
    fs_err::create_dir(story.at("disk")).unwrap();
    settle();
    let script = r#"
        mount -t tmpfs -o size=1m none disk || exit 77
        run() { echo "$ hod $*"; "$HOD" "$@" 2>&1; echo "exit $?"; }
        run push -q disk/cache ./zlib-1.3.1
        head -c 500000 /dev/zero >disk/filler
        run push disk/cache ./big-1.0
        run check disk/cache
        run list -m disk/cache
        rm disk/filler
        run push disk/cache ./big-1.0
        run check disk/cache
    "#;
    let mut shell = story.command("unshare");
    shell.args(["-m", "sh", "-c", script]).env("HOD", HOD);
    let output = shell.output().unwrap();
    if output.status.code() != Some(0) {
        return skip(&format!("cannot mount here: {}", crate::support::both(&output)));
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert_snapshot!(story.filtered(&said), @"
    $ hod push -q disk/cache ./zlib-1.3.1
    exit 0
    $ hod push disk/cache ./big-1.0
    error: could not pack `big@1.0`
      cause: could not write the packed blob
      cause: failed to write to file `disk/cache/.hod/tmp/[name]`: No space left on device (os error 28)

    hint: free some space and run the same command again; nothing half-written is left
    exit 1
    $ hod check disk/cache
    Checked 3 blobs ([size]) of 1 entry in `disk/cache` in [time]: all good
    exit 0
    $ hod list -m disk/cache
    zlib@1.3.1/[hash]  [platform] [size]  [DIR]/zlib-1.3.1
    1 package in `disk/cache`
    exit 0
    $ hod push disk/cache ./big-1.0
    Pushed 1 prefix to `disk/cache` in [time] ([size] from [size])
     + big@1.0/[hash] [size]  oci:disk/cache/oci:big-1.0-[hash]
    exit 0
    $ hod check disk/cache
    Checked 6 blobs ([size]) of 2 entries in `disk/cache` in [time]: all good
    exit 0
    ");
}
