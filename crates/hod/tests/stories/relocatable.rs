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
    assert_snapshot!(story.told(), @r#"
    $ hod check ./cache --relocatable /opt/hpc/store
    2> Checked 6 packages in `./cache` for `/opt/hpc/store` in [time]: all fit
    2> Read no blob, all is known since the push
    exit 0
    $ hod check ./cache --relocatable /opt/short
    2> Checked 6 packages in `./cache` for `/opt/short` in [time]: all fit
    2> Read no blob, all is known since the push
    exit 0
    $ hod check ./cache --relocatable /opt/longer/store
    misfit  hello@2.10/[hash]  `bin/hello` has room for 71 characters where `/opt/longer/store/linux-x86_64/hello-2.10-[hash]` has 74
    misfit  libpng@1.6.39/[hash]  `bin/png-fix-itxt` has room for 72 characters where `/opt/longer/store/linux-x86_64/zlib-1.2.13-[hash]` has 75
    misfit  linkfarm@1.0/[hash]  `bin/farm` has room for 73 characters where `/opt/longer/store/linux-x86_64/linkfarm-1.0-[hash]` has 76
    2> Checked 6 packages in `./cache` for `/opt/longer/store` in [time]: 3 misfits, 3 fit
    2> Read 5 blobs, 1 known since the push
    2>
    2> hint: a path that is shorter by 3 characters would do
    2>
    2> hint: `config:install_tree:padded_length` of the store they are built in makes room
    exit 1
    $ hod check ./cache --relocatable /opt/longer/store gcc-runtime
    2> Checked 1 package in `./cache` for `/opt/longer/store` in [time]: all fit
    2> Read no blob, all is known since the push
    exit 0
    $ hod check ./cache --relocatable /opt/longer/store hello --json
    {"event":"misfit","spec":"hello@2.10/[hash]","file":"bin/hello","old":"/opt/hpc/store/linux-x86_64/hello-2.10-[hash]","new":"/opt/longer/store/linux-x86_64/hello-2.10-[hash]","room":71,"need":74}
    {"event":"finished","verb":"check","relocatable":"/opt/longer/store","packages":1,"fits":0,"misfits":1,"unknown":0,"from_facts":0,"excess":3}
    2> Checked 1 package in `./cache` for `/opt/longer/store` in [time]: 1 misfit, 0 fit
    2> Read 1 blob
    2>
    2> hint: a path that is shorter by 3 characters would do
    2>
    2> hint: `config:install_tree:padded_length` of the store they are built in makes room
    exit 1
    $ hod check ./cache --relocatable /opt/longer/store python
    2> error: no package matches `python` among 6 in `./cache`
    2>
    2> hint: `hod list -m ./cache` shows what is there
    exit 1
    $ hod check ./cache hello
    2> error: the following required arguments were not provided:
    2>   --relocatable <PATH>
    2>
    2> Usage: hod check --relocatable <PATH> <MIRROR> <QUERY>...
    2>
    2> For more information, try '--help'.
    exit 2
    "#);
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
        if bytes.len() > 5_000 && bytes.starts_with(b"\x1f\x8b") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs_err::write(file.path(), bytes).unwrap();
        }
    }
    let ended = story.run("check ./cache --relocatable /opt/a-much-longer-place-than-before/store");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("unknown  hello@2.10/"), "{ended:?}");
    assert_snapshot!(story.told(), @"
    $ hod check ./cache --relocatable /opt/a-much-longer-place-than-before/store
    2> Checked 5 packages in `./cache` for `/opt/a-much-longer-place-than-before/store` in [time]: all fit
    2> Read no blob, all is known since the push
    exit 0
    $ hod check ./cache --relocatable /opt/a-much-longer-place-than-before/store
    2> Checked 5 packages in `./cache` for `/opt/a-much-longer-place-than-before/store` in [time]: all fit
    2> Read 5 blobs
    exit 0
    ");
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
    // How long the paths are is another matter on each machine.
    let ended = story.run("check ./cache --relocatable ./tool");
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.contains(": all fit\nRead no blob, all is known"), "{ended:?}");
    let ended = story.run("check ./cache --relocatable ./tool-1.0-and-more");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let length = prefix.as_os_str().len();
    let expected = format!(
        "`bin/tool` has room for {length} characters where `{}-and-more` has",
        prefix.display()
    );
    assert!(ended.stdout.contains(&expected), "{ended:?}");
    assert!(ended.stderr.contains("hint: a path that is shorter by 9 characters"), "{ended:?}");
    assert!(!ended.stderr.contains("padded_length"), "{ended:?}");
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
    assert_snapshot!(story.told(), @"
    $ hod check oci+http://[HOST]/a --relocatable /opt/a-much-longer-place-than-before/store
    2> Checked 5 packages in `oci+http://[HOST]/a` for `/opt/a-much-longer-place-than-before/store` in [time]: all fit
    2> Read no blob, all is known since the push
    exit 0
    $ hod check oci+http://[HOST]/a --relocatable /p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p hello
    misfit  hello@2.10/[hash]  `bin/hello` has room for 185 characters where `/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/linux-x86_64/hello-2.10-[hash]` has 197
    2> Checked 1 package in `oci+http://[HOST]/a` for `/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p/p` in [time]: 1 misfit, 0 fit
    2> Read 1 blob
    2>
    2> hint: a path that is shorter by 12 characters would do
    2>
    2> hint: `config:install_tree:padded_length` of the store they are built in makes room
    exit 1
    ");
}
