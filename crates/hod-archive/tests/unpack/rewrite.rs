//! Trees that change on their way to the disk, and trees that are looked at before they take their
//! place.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use hod_archive::{
    Codec, DiffIdCheck, EntryKind, Modes, Ownership, Rewrite, UnpackError, UnpackOptions, stage,
    unpack,
};

use crate::archive::Archive;
use crate::{Sandbox, names, small_package};

/// Writes what it concerns in capitals, and remembers how it came by it.
#[derive(Default)]
struct Capitals {
    seen: Mutex<BTreeMap<String, &'static str>>,
}

impl Rewrite for Capitals {
    fn concerns(&self, path: &[u8]) -> bool {
        path.starts_with(b"loud")
    }

    fn content(
        &self,
        path: &[u8],
        _is_executable: bool,
        content: &mut Vec<u8>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        if content.starts_with(b"never") {
            return Err("it says never".into());
        }
        content.make_ascii_uppercase();
        content.push(b'!');
        let path = String::from_utf8_lossy(path).into_owned();
        self.seen.lock().unwrap().insert(path, "memory");
        Ok(())
    }

    fn file(
        &self,
        path: &[u8],
        file: &mut std::fs::File,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut content = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut content)?;
        content.make_ascii_uppercase();
        file.rewind()?;
        file.write_all(&content)?;
        let path = String::from_utf8_lossy(path).into_owned();
        self.seen.lock().unwrap().insert(path, "disk");
        Ok(())
    }

    fn symlink(&self, _path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
        (target == b"/old").then(|| b"/new".to_vec())
    }
}

#[test]
fn what_concerns_nobody_is_written_as_it_is_and_the_rest_is_changed() {
    let large = "x".repeat(3 << 20);
    let archive = Archive::new()
        .file("quiet", "abc")
        .file("loud", "abc")
        .file("loud-and-large", large.as_str())
        .hardlink("second-name", "loud")
        .symlink("changed", "/old")
        .symlink("kept", "/other");
    for codec in [Codec::None, Codec::Gzip] {
        let sandbox = Sandbox::new();
        let rewrite = Capitals::default();
        let options =
            UnpackOptions { rewrite: Some(&rewrite), lists_entries: true, ..Default::default() };
        let tar = archive.clone().finish();
        let blob = match codec {
            Codec::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&tar).unwrap();
                encoder.finish().unwrap()
            }
            _ => tar,
        };
        unpack(&blob[..], codec, &sandbox.tree(), &options).unwrap();
        let read = |name: &str| fs_err::read_to_string(sandbox.tree().join(name)).unwrap();
        assert_eq!(read("quiet"), "abc");
        assert_eq!((read("loud"), read("second-name")), ("ABC!".into(), "ABC!".into()));
        assert_eq!(read("loud-and-large"), large.to_uppercase());
        let link = |name: &str| fs_err::read_link(sandbox.tree().join(name)).unwrap();
        assert_eq!((link("changed"), link("kept")), ("/new".into(), "/other".into()));
        let seen = rewrite.seen.into_inner().unwrap();
        assert_eq!(seen, [("loud".into(), "memory"), ("loud-and-large".into(), "disk")].into());
        // Whatever happened to them, all have the time of the archive.
        for name in ["quiet", "loud", "loud-and-large"] {
            assert_eq!(fs_err::metadata(sandbox.tree().join(name)).unwrap().mtime(), 0, "{name}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_changed_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let rewrite = Capitals::default();
    let options = UnpackOptions { rewrite: Some(&rewrite), ..Default::default() };
    let archive = Archive::new().file("quiet", "abc").file("loud", "never");
    let error = sandbox.unpack_with(&archive, &options).unwrap_err();
    assert!(matches!(&error, UnpackError::Rewrite { member, .. } if member == "loud"), "{error:?}");
    sandbox.assert_untouched();
}

#[test]
fn a_staged_tree_can_be_changed_until_it_takes_its_place() {
    let sandbox = Sandbox::new();
    let options = UnpackOptions {
        strip_prefix: Some(b"opt/pkg".into()),
        lists_entries: true,
        diff_id: DiffIdCheck::Skip,
        staging: Some(sandbox.home.path().join(".private")),
        ..Default::default()
    };
    // Somebody was killed here.
    fs_err::create_dir_all(options.staging.as_ref().unwrap().join("left/behind")).unwrap();
    let tar = small_package().finish();
    let staged = stage(&tar[..], Codec::None, &sandbox.tree(), &options).unwrap();
    assert_eq!(names(sandbox.home.path()), [".private", "outside"]);
    assert_eq!(staged.unpacked().diff_id, None);
    let mut listed = Vec::new();
    staged.entries().unwrap().for_each(|entry| {
        let kind = match entry.kind {
            EntryKind::Directory => "directory",
            EntryKind::File { .. } => "file",
            EntryKind::Symlink(_) => "symlink",
            EntryKind::Hardlink(_) => "hardlink",
        };
        listed.push(format!("{} {kind}", String::from_utf8_lossy(entry.path)));
    });
    assert_eq!(
        listed,
        [
            "bin directory",
            "bin/tool file",
            "bin/alias hardlink",
            "bin/other symlink",
            ".spack directory",
            ".spack/binary_distribution file",
        ]
    );

    assert_eq!(staged.read(b"bin/tool", 100).unwrap().unwrap(), b"#!/bin/sh\n");
    assert!(staged.read(b"bin/tool", 3).is_err(), "larger than allowed");
    assert_eq!(staged.read(b"bin/none", 100).unwrap(), None);
    assert!(staged.read(b"bin/other", 100).is_err(), "links are not followed");
    assert!(staged.open(b"../outside/victim").is_err());
    assert!(staged.top().join("bin/tool").exists() && !staged.top().join("bin/none").exists());
    staged.write(b".spack/new", b"new", 0o600, 7).unwrap();
    staged.write(b"bin/other", b"no link any more", 0o755, 0).unwrap();
    staged.link(b"link", b"bin/tool", 0).unwrap();
    staged.publish().unwrap();
    assert_eq!(names(&sandbox.tree()), [".spack", "bin", "link"]);
    assert_eq!(names(sandbox.home.path()), ["outside", "tree"]);
    let new = fs_err::metadata(sandbox.tree().join(".spack/new")).unwrap();
    assert_eq!((new.mode() & 0o777, new.mtime(), new.len()), (0o600, 7, 3));
    let other = fs_err::symlink_metadata(sandbox.tree().join("bin/other")).unwrap();
    assert!(other.is_file());
}

#[test]
fn a_tree_whose_place_in_the_archive_is_found_last_is_published_alone() {
    let sandbox = Sandbox::new();
    let options = UnpackOptions { lists_entries: true, ..Default::default() };
    let tar = small_package().finish();
    let mut staged = stage(&tar[..], Codec::None, &sandbox.tree(), &options).unwrap();
    assert!(staged.narrow(b"opt/none").is_err());
    assert!(staged.narrow(b"opt/pkg/bin/other").is_err(), "a link is no directory");
    staged.narrow(b"opt/pkg").unwrap();
    assert_eq!(staged.read(b".spack/binary_distribution", 10).unwrap().unwrap(), b"{}");
    staged.publish().unwrap();
    assert_eq!(names(&sandbox.tree()), [".spack", "bin"]);
    assert_eq!(names(sandbox.home.path()), ["outside", "tree"], "the rest is removed");
}

#[test]
fn a_staged_tree_that_nobody_wants_disappears() {
    let sandbox = Sandbox::new();
    let tar = small_package().finish();
    drop(stage(&tar[..], Codec::None, &sandbox.tree(), &UnpackOptions::default()).unwrap());
    sandbox.assert_untouched();
}

#[test]
fn permissions_can_be_those_of_a_store_instead_of_the_archive() {
    let sandbox = Sandbox::new();
    let modes = Modes { file: 0o640, executable: 0o750, directory: 0o2750 };
    let ownership = Ownership { modes: Some(modes), group: None };
    let options =
        UnpackOptions { strip_prefix: Some(b"opt/pkg".into()), ownership, ..Default::default() };
    let archive = small_package()
        .member(|member| member.name("opt/pkg/bin/run").mode(0o4711))
        .member(|member| member.name("opt/pkg/bin/data").mode(0o600));
    sandbox.unpack_with(&archive, &options).unwrap();
    let mode = |path: &str| fs_err::metadata(sandbox.tree().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/run"), mode("bin/data")), (0o750, 0o640));
    assert_eq!((mode(""), mode("bin"), mode(".spack")), (0o2750, 0o2750, 0o2750));
}
