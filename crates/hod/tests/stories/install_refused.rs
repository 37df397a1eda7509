//! Installations that cannot be, and what is said then. Nothing is left of them.

use std::path::PathBuf;
use std::process::Command;

use insta::assert_snapshot;

use crate::install::story;
use crate::story::Story;
use crate::support::tree::set_mode;
use crate::support::{HOD, has, is_root};

/// Changes a byte in the middle of a package's tarball.
pub(crate) fn damage(story: &Story, name: &str) {
    let blob = tarball(story, name);
    let mut bytes = fs_err::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(blob, bytes).unwrap();
}

fn tarball(story: &Story, name: &str) -> PathBuf {
    let specs = fs_err::read_dir(story.at("cache/v3/manifests/spec").join(name)).unwrap();
    let manifest = fs_err::read_to_string(specs.last().unwrap().unwrap().path()).unwrap();
    let digest = manifest.split("\"checksum\":\"").nth(1).unwrap().split('"').next().unwrap();
    story.at("cache/blobs/sha256").join(&digest[..2]).join(digest)
}

/// What is in a store.
fn packages(story: &Story) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(story.at("s/linux-x86_64")).into_iter().flatten() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names.sort();
    names
}

#[test]
fn what_nobody_has_or_knows() {
    let story = story();
    story.tell("install helo -m ./cache --root s");
    story.tell("install zlib@9 -m ./cache --root s");
    story.tell("install zlib --root s");
    story.tell("install zlib -m ./none --root s");
    story.tell("install --lock cache/v3/layout.json -m ./cache --root s");
    assert_snapshot!(story.told(), @"
    $ hod install helo -m ./cache --root s
    2> error: no package matches `helo` among 5 in `./cache`
    2>
    2> hint: did you mean `hello`?
    exit 1
    $ hod install zlib@9 -m ./cache --root s
    2> error: no package matches `zlib@9` among 5 in `./cache`
    2>
    2> hint: `hod list -m ./cache zlib` shows what is there
    exit 1
    $ hod install zlib --root s
    2> error: no mirror was named, and Spack's configuration has none that can be read
    2>
    2> hint: name one with `-m DIR`, or for all commands with `hod mirror add`
    exit 1
    $ hod install zlib -m ./none --root s
    2> error: there is no mirror at `./none`: the directory does not exist
    2>
    2> hint: `hod push ./none PREFIX` makes one
    exit 1
    $ hod install --lock cache/v3/layout.json -m ./cache --root s
    2> error: could not read `cache/v3/layout.json`
    2>   cause: neither a `spack.lock` nor a `spec.json`
    2>   cause: missing field `_meta` at line 1 column 18
    2>
    2> hint: `spack concretize` writes a `spack.lock`, and a package has its `spec.json` in `.spack`
    exit 1
    ");
    assert!(!story.at("s").exists());
}

#[test]
fn words_that_make_no_sense() {
    let story = story();
    for words in [
        "install",
        "install zlib --root s --store s",
        "install zlib --no-deps --with-build-dependencies",
        "install zlib@@ -m ./cache --root s",
    ] {
        let ended = story.run(words);
        assert_eq!(ended.code, Some(2), "{words}: {ended:#?}");
        assert!(ended.stdout.is_empty() && ended.stderr.contains("error:"), "{ended:#?}");
    }
    assert!(!story.at("s").exists());
}

#[test]
fn a_root_that_is_too_long_for_what_was_built_without_padding() {
    let story = story();
    story.tell("install hello -m ./cache --root a-root-that-is-much-too-long -j1");
    assert_snapshot!(story.told(), @"
    $ hod install hello -m ./cache --root a-root-that-is-much-too-long -j1
    2> Resolved `hello@2.10/[hash]` to 2 specs in [time]
    2> [1/2] Failed hello@2.10/[hash]
    2> [2/2] Installed gcc-runtime@12.2.0/[hash] ([size], [time])
    2> Installed 1 spec into `[DIR]/a-root-that-is-much-too-long` in [time] ([size], 0 of 11 files relocated)
    2>  + gcc-runtime@12.2.0/[hash]  [DIR]/a-root-that-is-much-too-long/linux-x86_64/gcc-runtime-12.2.0-[hash]
    2> could not install `hello@2.10/[hash]`
    2> error: cannot relocate `hello@2.10/[hash]`
    2>   cause: a path in `bin/hello` cannot be replaced
    2>   cause: the string at offset 21064 has [n] bytes for `[DIR]/a-root-that-is-much-too-long/linux-x86_64/hello-2.10-[hash]`, which has 96
    2>
    2> hint: install into a store with a shorter root, or build the package with `config:install_tree:padded_length`
    exit 1
    ");
}

#[test]
fn a_directory_that_is_no_store() {
    let story = story();
    fs_err::create_dir(story.at("s")).unwrap();
    fs_err::write(story.at("s/mine"), "").unwrap();
    story.tell("install zlib -m ./cache --root s");
    story.tell("install zlib -m ./cache --store nowhere");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache --root s
    2> error: `[DIR]/s` is no store: it has neither a database nor a package
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    $ hod install zlib -m ./cache --store nowhere
    2> error: no store at `[DIR]/nowhere`
    2>   cause: failed to query resolved metadata `[DIR]/nowhere`: No such file or directory (os error 2)
    2>
    2> hint: a store is the directory that holds `.spack-db`: Spack's `config:install_tree:root`
    exit 1
    ");
    assert_eq!(fs_err::read_dir(story.at("s")).unwrap().count(), 1);
}

#[test]
fn a_mirror_whose_packages_must_be_signed() {
    let story = story();
    story.done("mirror add --signed site ./cache");
    story.tell("install zlib -m site --root s");
    assert!(!story.at("s").exists());
    story.tell("install zlib -m site --root s --no-check-signature -q");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m site --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> error: `gcc-runtime@12.2.0/[hash]` in `[DIR]/cache` is signed, and hod verifies no signatures yet
    2> error: `zlib@1.2.13/[hash]` in `[DIR]/cache` is signed, and hod verifies no signatures yet
    2>
    2> hint: `--no-check-signature` installs it without asking who signed it
    exit 1
    $ hod install zlib -m site --root s --no-check-signature -q
    exit 0
    ");
}

#[test]
fn a_damaged_package_and_those_that_need_it() {
    let story = story();
    damage(&story, "zlib");
    story.tell("install linkfarm -m ./cache --root s -q");
    assert_snapshot!(story.told(), @"
    $ hod install linkfarm -m ./cache --root s -q
    2> could not install `zlib@1.2.13/[hash]`
    2> error: could not unpack `zlib@1.2.13/[hash]`
    2>   cause: no tar header at byte 300544: the checksum does not match
    2> 1 spec held back, because what they depend on is not there
    2>
    2> hint: `hod check MIRROR` names everything that is damaged, and what to do
    exit 1
    ");
    let there = packages(&story);
    assert!(there.iter().all(|name| !name.contains("zlib") && !name.starts_with('.')), "{there:?}");
    assert!(there.iter().all(|name| !name.contains("linkfarm")), "{there:?}");
}

#[test]
fn what_one_mirror_lacks_and_nobody_else_has() {
    let story = story();
    fs_err::remove_dir_all(story.at("cache/v3/manifests/spec/bzip2")).unwrap();
    story.tell("install linkfarm -m ./cache --root s");
    assert!(!story.at("s").exists());
    story.tell("install linkfarm -m ./cache --root s --allow-missing -q");
    assert_snapshot!(story.told(), @"
    $ hod install linkfarm -m ./cache --root s
    2> Resolved `linkfarm@1.0/[hash]` to 4 specs in [time]
    2> error: no mirror has `bzip2@1.0.8/[hash]`
    2>
    2> hint: name a mirror that has it with `-m`, or install the rest with `--allow-missing`
    exit 1
    $ hod install linkfarm -m ./cache --root s --allow-missing -q
    2> error: no mirror has `bzip2@1.0.8/[hash]`
    2>
    2> hint: name a mirror that has it with `-m`, or install the rest with `--allow-missing`
    exit 1
    ");
}

#[test]
fn a_database_of_the_future() {
    let story = story();
    story.done("install gcc-runtime -m ./cache --root s");
    let index = story.at("s/.spack-db/index.json");
    let text = fs_err::read_to_string(&index).unwrap();
    let future = text.replace("\"version\":\"8\"", "\"version\":\"9\"");
    assert_ne!(text, future);
    fs_err::write(&index, &future).unwrap();
    story.tell("install zlib -m ./cache --root s");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache --root s
    2> error: could not read the database `[DIR]/s/.spack-db/index.json`
    2>   cause: the database has version 9, and this program reads 5 to 8
    2>
    2> hint: install a newer hod
    exit 1
    ");
    assert_eq!(fs_err::read_to_string(&index).unwrap(), future);
}

#[test]
fn something_else_is_where_a_package_is_to_be() {
    let story = story();
    story.done("install gcc-runtime -m ./cache --root s");
    let zlib = story.at("s/linux-x86_64/zlib-1.2.13-yox7nsrab6dhdlxlapu6hg33h4atwgrx");
    fs_err::create_dir(&zlib).unwrap();
    fs_err::write(zlib.join("mine"), "").unwrap();
    story.tell("install zlib -m ./cache --root s");
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> Found 1 of 2 in `[DIR]/s`
    2> could not install `zlib@1.2.13/[hash]`
    2> error: `[DIR]/s/linux-x86_64/zlib-1.2.13-[hash]` is in the way of `zlib@1.2.13/[hash]`
    2>
    2> hint: move `[DIR]/s/linux-x86_64/zlib-1.2.13-[hash]` away, and run the same command again
    exit 1
    ");
    assert!(zlib.join("mine").exists());
}

/// Hod as a user who may not do everything. `None`, with the reason printed, if there is no way.
fn as_somebody(story: &Story, words: &str) -> Option<Command> {
    if !is_root() {
        return Some(story.hod(words));
    }
    if !has(&["setpriv"]) {
        return None;
    }
    set_mode(&story.at(""), 0o777);
    set_mode(&story.at("home"), 0o777);
    // The program may be where other users cannot go.
    if !story.at("hod").exists() {
        fs_err::copy(HOD, story.at("hod")).unwrap();
    }
    let mut hod = story.command("setpriv");
    hod.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(story.at("hod"));
    hod.args(words.split_whitespace());
    Some(hod)
}

#[test]
fn a_store_that_may_only_be_read() {
    let story = story();
    let words = "install gcc-runtime -m ./cache --root s -q";
    let Some(first) = as_somebody(&story, words) else { return };
    story.tell_as(&format!("hod {words}"), first);
    let words = "install zlib -m ./cache --root s";
    let packages = story.at("s/linux-x86_64");
    let tell = |mode: u32, of: &std::path::Path| {
        set_mode(of, mode);
        story.tell_as(&format!("hod {words}"), as_somebody(&story, words).unwrap());
        set_mode(of, 0o755);
    };
    tell(0o555, &packages);
    tell(0o555, &story.at("s/.spack-db"));
    set_mode(&story.at("s/.spack-db/prefix_lock"), 0o444);
    tell(0o444, &story.at("s/.spack-db/lock"));
    assert_snapshot!(story.told(), @"
    $ hod install gcc-runtime -m ./cache --root s -q
    exit 0
    $ hod install zlib -m ./cache --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> Found 1 of 2 in `[DIR]/s`
    2> could not install `zlib@1.2.13/[hash]`
    2> error: could not unpack `zlib@1.2.13/[hash]`
    2>   cause: cannot make the directory `[DIR]/s/linux-x86_64/.zlib-1.2.13-[hash].hod`
    2>   cause: Permission denied (os error 13)
    2>
    2> hint: run it as a user who may do this, or change the permissions
    exit 1
    $ hod install zlib -m ./cache --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> Found 1 of 2 in `[DIR]/s`
    2> could not install `zlib@1.2.13/[hash]`
    2> error: could not record it in the store
    2>   cause: could not write `[DIR]/s/.spack-db/index.json.[host].[process].temp`
    2>   cause: failed to create file `[DIR]/s/.spack-db/index.json.[host].[process].temp`: Permission denied (os error 13)
    2>
    2> hint: run it as a user who may do this, or change the permissions
    exit 1
    $ hod install zlib -m ./cache --root s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> Found 1 of 2 in `[DIR]/s`
    2> could not install `zlib@1.2.13/[hash]`
    2> error: could not use the store
    2>   cause: cannot lock `[DIR]/s/.spack-db/prefix_lock` for writing: the file may only be read
    2>
    2> hint: run it as a user who may write to the store
    exit 1
    ");
    assert_eq!(fs_err::read_dir(packages).unwrap().count(), 1);
}

#[test]
fn a_place_where_nobody_may_make_a_store() {
    let story = story();
    fs_err::create_dir(story.at("d")).unwrap();
    set_mode(&story.at("d"), 0o555);
    let words = "install zlib -m ./cache --root d/s";
    let Some(hod) = as_somebody(&story, words) else { return };
    story.tell_as(&format!("hod {words}"), hod);
    assert_snapshot!(story.told(), @"
    $ hod install zlib -m ./cache --root d/s
    2> Resolved `zlib@1.2.13/[hash]` to 2 specs in [time]
    2> error: could not write `[DIR]/d/s`
    2>   cause: failed to create directory `[DIR]/d/s`: Permission denied (os error 13)
    2>
    2> hint: run it as a user who may do this, or change the permissions
    exit 1
    ");
}
