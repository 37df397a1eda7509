//! What could be installed where.

use hod_testing::registry::{Options, Registry};
use insta::assert_snapshot;

use crate::golden::unpack_fixture;
use crate::story::{Story, settle};

/// A story that begins with a store that Spack made, as long as it says and with padding.
fn story(archive: &str) -> Story {
    let story = Story::new();
    unpack_fixture(archive, &story.at(""));
    settle();
    story
}

#[test]
fn a_mirror_is_asked_what_could_be_installed_somewhere() {
    let story = story("store.tar.zst");
    story.done("push ./cache linkfarm hello libpng --store ./store");
    story.tell("check ./cache --relocatable /opt/hpc/store");
    story.tell("check ./cache --relocatable /opt/short");
    story.tell("check ./cache --relocatable /opt/longer/store");
    story.tell("check ./cache --relocatable /opt/longer/store gcc-runtime");
    story.tell("check ./cache --relocatable /opt/longer/store hello --json");
    story.tell("check ./cache --relocatable /opt/longer/store python");
    story.tell("check ./cache hello");
    assert!(!story.at("opt").exists());
    assert_snapshot!(story.told());
}

#[test]
fn without_what_the_push_found_out_blobs_are_read() {
    let story = story("store-padded.tar.zst");
    story.done("push ./cache linkfarm hello --store ./padded");
    story.tell("check ./cache --relocatable /opt/a-much-longer-place-than-before/store");
    fs_err::remove_dir_all(story.at("cache/oci")).unwrap();
    story.tell("check ./cache --relocatable /opt/a-much-longer-place-than-before/store");
    // What is not whole is no answer.
    let blobs = story.at("cache/blobs/sha256");
    let files =
        fs_err::read_dir(blobs).unwrap().flat_map(|it| fs_err::read_dir(it.unwrap().path()));
    for file in files.flatten().map(Result::unwrap) {
        let mut bytes = fs_err::read(file.path()).unwrap();
        if bytes.len() > 20_000 && bytes.starts_with(b"\x1f\x8b") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs_err::write(file.path(), bytes).unwrap();
        }
    }
    let ended = story.run("check ./cache --relocatable /opt/a-much-longer-place-than-before/store");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("unknown  linkfarm@1.0/"), "{ended:?}");
    assert_snapshot!(story.told());
}

#[test]
fn a_prefix_that_spack_did_not_make_would_be_the_place_itself() {
    let story = Story::new();
    let prefix = story.at("tool-1.0");
    fs_err::create_dir_all(prefix.join("bin")).unwrap();
    let text = format!("{}/share/tool/data\0", prefix.display());
    let object = [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 64], text.as_bytes()].concat();
    fs_err::write(prefix.join("bin/tool"), object).unwrap();
    story.done("push ./cache ./tool-1.0");
    story.tell("check ./cache --relocatable ./tool");
    story.tell("check ./cache --relocatable ./tool-1.0-and-more");
    assert_snapshot!(story.told());
}

#[test]
fn a_registry_is_asked_without_downloading_anything() {
    let Some(server) = Registry::start(&Options::default()) else { return };
    let story = story("store-padded.tar.zst");
    let mirror = format!("oci+http://{}/a", server.host());
    story.done(&format!("push -j 1 {mirror} linkfarm hello --store ./padded"));
    let place = "/opt/a-much-longer-place-than-before/store";
    story.tell(&format!("check {mirror} --relocatable {place}"));
    let padding = "/p".repeat(70);
    story.tell(&format!("check {mirror} --relocatable {padding} hello"));
    assert_snapshot!(story.told());
}
