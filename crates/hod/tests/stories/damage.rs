//! A mirror that something happened to.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use crate::story::Story;

/// The files of the only package: layer, config, manifest.
fn blobs(story: &Story) -> [PathBuf; 3] {
    let shown: serde_json::Value =
        serde_json::from_str(&story.done("--json show -m ./cache zlib")).unwrap();
    let digests = [&shown["layers"][0]["digest"], &shown["config"], &shown["manifest"]];
    digests.map(|digest| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        story.at("cache/oci/blobs/sha256").join(hex)
    })
}

/// As a failing disk would: the blob is one file with the user's cached blob, so both change.
fn flip_a_byte(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

fn mirror() -> Story {
    let story = Story::with_zlib();
    story.done("push ./cache ./zlib-1.3.1");
    story
}

#[test]
fn a_damaged_layer_is_found_and_mended() {
    let story = mirror();
    let [layer, ..] = blobs(&story);
    flip_a_byte(&layer);
    story.tell("check ./cache");
    story.tell("unpack zlib -m ./cache --to out");
    story.tell("push --force ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache
    damaged  ./cache/oci/blobs/sha256/[digest] should have the digest sha256:[digest], found sha256:[digest] (zlib-1.3.1-[hash])
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: 1 damaged
    2>
    2> hint: push the damaged packages again from their prefixes, with `--force`
    exit 1
    $ hod unpack zlib -m ./cache --to out
    2> error: could not unpack `zlib@1.3.1/[hash]`
    2>   cause: the gzip blob is damaged, in what begins at byte 0
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    $ hod push --force ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    ");
    assert!(!story.at("out").exists());
}

#[test]
fn a_cut_layer_is_found_and_mended_by_any_push() {
    let story = mirror();
    let [layer, ..] = blobs(&story);
    fs_err::write(&layer, "short").unwrap();
    story.tell("check ./cache");
    story.tell("push ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache
    damaged  ./cache/oci/blobs/sha256/[digest] should have [n] bytes, found 5 (zlib-1.3.1-[hash])
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: 1 damaged
    2>
    2> hint: push the damaged packages again from their prefixes, with `--force`
    exit 1
    $ hod push ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_damaged_manifest_is_found_and_mended() {
    let story = mirror();
    let [_, _, manifest] = blobs(&story);
    flip_a_byte(&manifest);
    story.tell("check ./cache");
    story.tell("list -m ./cache");
    story.tell("push --force ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache
    damaged  ./cache/oci/blobs/sha256/[digest] should have the digest sha256:[digest], found sha256:[digest] (zlib-1.3.1-[hash])
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: 1 damaged
    2>
    2> hint: push the damaged packages again from their prefixes, with `--force`
    exit 1
    $ hod list -m ./cache
    2> error: could not use the mirror `./cache`
    2>   cause: a blob should have the digest sha256:[digest], found sha256:[digest]
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    $ hod push --force ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_damaged_config_is_found_and_mended() {
    let story = mirror();
    let [_, config, _] = blobs(&story);
    flip_a_byte(&config);
    story.tell("check ./cache");
    story.tell("show -m ./cache zlib");
    story.tell("push --force ./cache ./zlib-1.3.1");
    story.tell("check ./cache");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache
    damaged  ./cache/oci/blobs/sha256/[digest] should have the digest sha256:[digest], found sha256:[digest] (zlib-1.3.1-[hash])
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: 1 damaged
    2>
    2> hint: push the damaged packages again from their prefixes, with `--force`
    exit 1
    $ hod show -m ./cache zlib
    2> error: could not use the mirror `./cache`
    2>   cause: a blob should have the digest sha256:[digest], found sha256:[digest]
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    $ hod push --force ./cache ./zlib-1.3.1
    2> Pushed 1 prefix to `./cache` in [time] ([size] from [size])
    2>  + zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    $ hod check ./cache
    2> Checked 3 blobs ([size]) of 1 entry in `./cache` in [time]: all good
    exit 0
    ");
}

#[test]
fn a_lost_blob_is_found_and_mended() {
    for lost in 0..3 {
        let story = mirror();
        let blob = &blobs(&story)[lost];
        fs_err::remove_file(blob).unwrap();
        let check = story.run("check ./cache");
        assert_eq!(check.code, Some(1), "{check:?}");
        assert!(check.stdout.contains(blob.file_name().unwrap().to_str().unwrap()), "{check:?}");
        assert!(check.stdout.contains("is missing"), "{check:?}");
        story.done("push --force ./cache ./zlib-1.3.1");
        story.done("check ./cache");
    }
}

#[test]
fn an_orphan_is_named_and_harmless() {
    let story = mirror();
    // The digest of nothing.
    let waste = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    fs_err::write(story.at("cache/oci/blobs/sha256").join(waste), "").unwrap();
    let check = story.tell("check ./cache");
    story.tell("push ./cache ./zlib-1.3.1");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache
    orphaned  ./cache/oci/blobs/sha256/[digest] is named by nothing ([n] bytes)
    2> Checked 4 blobs ([size]) of 1 entry in `./cache` in [time]: 1 orphaned
    2>
    2> hint: orphaned files were left by an interrupted push or a replaced tag; they do no harm
    exit 1
    $ hod push ./cache ./zlib-1.3.1
    2> 1 of 1 already there in `./cache` in [time], nothing to push
    2>  = zlib@1.3.1/[hash] [size]  oci:cache/oci:zlib-1.3.1-[hash]
    exit 0
    ");
    assert!(check.stdout.contains(waste));
}

#[test]
fn a_check_as_json_names_what_it_found() {
    let story = mirror();
    let [layer, ..] = blobs(&story);
    flip_a_byte(&layer);
    let check = story.run("--json check ./cache");
    let lines: Vec<serde_json::Value> =
        check.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "damaged");
    let path = Path::new(lines[0]["path"].as_str().unwrap());
    assert_eq!(path.file_name(), layer.file_name());
    assert_eq!(lines.last().unwrap()["damaged"], 1);
    assert_eq!(check.code, Some(1));
}

#[test]
fn a_lost_index_is_an_error_and_not_an_empty_mirror() {
    let story = mirror();
    fs_err::remove_file(story.at("cache/oci/index.json")).unwrap();
    story.tell("list -m ./cache");
    story.tell("check ./cache");
    story.tell("push ./cache ./zlib-1.3.1");
    assert_snapshot!(story.told(), @"
    $ hod list -m ./cache
    2> error: could not use the mirror `./cache`
    2>   cause: `./cache/oci/index.json` is missing
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    $ hod check ./cache
    damaged  ./cache/oci/index.json is missing, an index
    2> Checked 3 blobs ([size]) of 0 entries in `./cache` in [time]: 1 damaged
    2>
    2> hint: put a copy of the index in its place, or push everything again to a new mirror
    exit 1
    $ hod push ./cache ./zlib-1.3.1
    2> error: could not use the mirror `./cache`
    2>   cause: `./cache/oci/index.json` is missing
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    ");
}
