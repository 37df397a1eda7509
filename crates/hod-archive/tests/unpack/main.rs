//! Unpacking: what honest archives become, and what hostile ones do not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod codec;
mod dialect;
mod hostile;
mod property;
mod rewrite;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use archive::Archive;
use hod_archive::{
    Cancel, Codec, DiffId, DiffIdCheck, Digest, UnpackError, UnpackOptions, Unpacked, unpack,
};

/// A directory with a place to unpack to and things beside it that must stay as they are.
struct Sandbox {
    home: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs_err::create_dir(home.path().join("outside")).unwrap();
        fs_err::write(home.path().join("outside/victim"), "precious").unwrap();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(home.path().join("outside"), mode(0o750)).unwrap();
        fs_err::set_permissions(home.path().join("outside/victim"), mode(0o640)).unwrap();
        Self { home }
    }

    fn outside(&self) -> PathBuf {
        self.home.path().join("outside")
    }

    fn tree(&self) -> PathBuf {
        self.home.path().join("tree")
    }

    fn unpack(&self, archive: &Archive) -> Result<Unpacked, UnpackError> {
        self.unpack_with(archive, &UnpackOptions { jobs: 2, ..UnpackOptions::default() })
    }

    fn unpack_with(
        &self,
        archive: &Archive,
        options: &UnpackOptions<'_>,
    ) -> Result<Unpacked, UnpackError> {
        unpack(&archive.clone().finish()[..], Codec::None, &self.tree(), options)
    }

    /// What an attack must not have changed, and may not have left behind.
    fn assert_untouched(&self) {
        assert_eq!(fs_err::read_to_string(self.outside().join("victim")).unwrap(), "precious");
        let mode = |path: &Path| fs_err::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&self.outside()), 0o750);
        assert_eq!(mode(&self.outside().join("victim")), 0o640);
        assert_eq!(fs_err::metadata(self.outside().join("victim")).unwrap().nlink(), 1);
        assert_eq!(names(&self.outside()), ["victim"]);
        assert_eq!(names(self.home.path()), ["outside"], "staging or a destination is left");
    }

    fn assert_refused(&self, archive: &Archive) -> UnpackError {
        let error = self.unpack(archive).expect_err("the archive must be refused");
        self.assert_untouched();
        error
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn small_package() -> Archive {
    Archive::new()
        .directory("opt")
        .directory("opt/pkg")
        .directory("opt/pkg/bin")
        .file("opt/pkg/bin/tool", "#!/bin/sh\n")
        .hardlink("opt/pkg/bin/alias", "opt/pkg/bin/tool")
        .symlink("opt/pkg/bin/other", "/opt/pkg/bin/tool")
        .directory("opt/pkg/.spack")
        .file("opt/pkg/.spack/binary_distribution", "{}")
}

#[test]
fn a_rootfs_layer_keeps_its_names_and_is_counted() {
    let sandbox = Sandbox::new();
    let unpacked = sandbox.unpack(&small_package()).unwrap();
    let tool = sandbox.tree().join("opt/pkg/bin/tool");
    assert_eq!(fs_err::read_to_string(&tool).unwrap(), "#!/bin/sh\n");
    let metadata = fs_err::metadata(&tool).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime(), metadata.nlink()), (0o644, 0, 2));
    let link = sandbox.tree().join("opt/pkg/bin/other");
    assert_eq!(fs_err::read_link(&link).unwrap(), Path::new("/opt/pkg/bin/tool"));
    assert_eq!(fs_err::symlink_metadata(&link).unwrap().mtime(), 0);
    let bin = fs_err::metadata(sandbox.tree().join("opt/pkg/bin")).unwrap();
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o755, 0));
    assert_eq!((unpacked.files, unpacked.directories), (2, 4));
    assert_eq!((unpacked.symlinks, unpacked.hardlinks, unpacked.file_bytes), (1, 1, 12));
    let tar = small_package().finish();
    assert_eq!(unpacked.digest, Digest::of(&tar));
    assert_eq!(unpacked.diff_id, Some(DiffId(Digest::of(&tar))));
    assert_eq!(unpacked.uncompressed_size, tar.len() as u64);
}

#[test]
fn a_prefix_becomes_the_destination() {
    let sandbox = Sandbox::new();
    let options = UnpackOptions { strip_prefix: Some(b"opt/pkg".into()), ..Default::default() };
    sandbox.unpack_with(&small_package(), &options).unwrap();
    assert_eq!(names(&sandbox.tree()), [".spack", "bin"]);
    let tool = fs_err::metadata(sandbox.tree().join("bin/tool")).unwrap();
    assert_eq!(fs_err::metadata(sandbox.tree().join("bin/alias")).unwrap().ino(), tool.ino());
    assert_eq!(fs_err::metadata(sandbox.tree()).unwrap().mtime(), 0);
}

#[rstest::rstest]
#[case::beside_the_prefix(small_package().file("opt/else", "x"))]
#[case::a_longer_name(small_package().file("opt/pkgs", "x"))]
#[case::parent_is_a_link(Archive::new().symlink("opt", "/").directory("opt/pkg"))]
#[case::prefix_is_a_link(Archive::new().directory("opt").symlink("opt/pkg", "/"))]
#[case::prefix_is_absent(Archive::new().file("opt/pkg/x", "x"))]
#[case::link_to_beside(small_package().hardlink("opt/pkg/x", "opt/else"))]
fn what_does_not_fit_the_prefix_is_refused(#[case] archive: Archive) {
    let sandbox = Sandbox::new();
    let options = UnpackOptions { strip_prefix: Some(b"opt/pkg".into()), ..Default::default() };
    let error = sandbox.unpack_with(&archive, &options).unwrap_err();
    sandbox.assert_untouched();
    let expected =
        matches!(error, UnpackError::OutsidePrefix { .. } | UnpackError::PrefixMissing { .. });
    assert!(expected, "{error}");
}

#[test]
fn an_empty_archive_is_an_empty_directory() {
    let sandbox = Sandbox::new();
    let unpacked = sandbox.unpack(&Archive::new()).unwrap();
    assert_eq!(unpacked.files, 0);
    assert_eq!(names(&sandbox.tree()), [] as [&str; 0]);
}

#[test]
fn an_empty_directory_is_a_destination_and_anything_else_is_not() {
    let sandbox = Sandbox::new();
    fs_err::create_dir(sandbox.tree()).unwrap();
    sandbox.unpack(&small_package()).unwrap();
    let again = sandbox.unpack(&small_package()).unwrap_err();
    assert!(matches!(again, UnpackError::DestinationExists { .. }), "{again}");
    assert_eq!(names(&sandbox.tree()), ["opt"]);

    fs_err::remove_dir_all(sandbox.tree()).unwrap();
    std::os::unix::fs::symlink(sandbox.outside(), sandbox.tree()).unwrap();
    let linked = sandbox.unpack(&small_package()).unwrap_err();
    assert!(matches!(linked, UnpackError::DestinationExists { .. }), "{linked}");
    fs_err::remove_file(sandbox.tree()).unwrap();
    sandbox.assert_untouched();

    for nameless in [".", "..", "/"] {
        let tar = Archive::new().finish();
        let options = UnpackOptions::default();
        let error = unpack(&tar[..], Codec::None, Path::new(nameless), &options).unwrap_err();
        assert!(matches!(error, UnpackError::DestinationNameless { .. }), "{error}");
    }
}

#[test]
fn missing_parents_of_the_destination_are_made() {
    let sandbox = Sandbox::new();
    let deep = sandbox.home.path().join("a/b/tree");
    let tar = small_package().finish();
    unpack(&tar[..], Codec::None, &deep, &UnpackOptions::default()).unwrap();
    assert_eq!(names(&deep), ["opt"]);
    assert_eq!(names(deep.parent().unwrap()), ["tree"]);
}

#[test]
fn a_blob_that_is_not_the_expected_one_leaves_nothing() {
    let tar = small_package().finish();
    let (digest, size) = (Digest::of(&tar), tar.len() as u64);
    let wrong = Digest::of(b"another");
    let with = |expected, diff_id| {
        let sandbox = Sandbox::new();
        let diff_id = DiffIdCheck::Expect(DiffId(diff_id));
        let options = UnpackOptions { expected: Some(expected), diff_id, ..Default::default() };
        let result = sandbox.unpack_with(&small_package(), &options);
        if result.is_err() {
            sandbox.assert_untouched();
        }
        result.map_err(|error| error.to_string())
    };
    assert!(with((digest, size), digest).is_ok());
    assert!(with((wrong, size), digest).unwrap_err().contains("has the digest"));
    assert!(with((digest, size + 1), digest).unwrap_err().contains("bytes, not"));
    assert!(with((digest, size - 1), digest).unwrap_err().contains("longer than"));
    assert!(with((digest, size), wrong).unwrap_err().contains("has the diff id"));
}

#[test]
fn who_cancels_finds_nothing() {
    let sandbox = Sandbox::new();
    let cancel = Cancel::default();
    let when_read = |_: u64| cancel.cancel();
    let options =
        UnpackOptions { cancel: cancel.clone(), progress: Some(&when_read), ..Default::default() };
    let error = sandbox.unpack_with(&small_package(), &options).unwrap_err();
    assert!(matches!(error, UnpackError::Cancelled), "{error}");
    sandbox.assert_untouched();
}

#[test]
fn large_files_and_files_across_chunks_are_whole() {
    let sandbox = Sandbox::new();
    let bytes = |size: usize, seed: usize| -> Vec<u8> {
        (0..size).map(|n| (n * 31 + seed * 7 + n / 251).to_le_bytes()[0]).collect()
    };
    let sizes = [0, 1, 511, 512, 513, 70_000, 200_000, 300_000, 500_000, 600_000, 5_000_000];
    let mut archive = Archive::new();
    for (index, &size) in sizes.iter().enumerate() {
        archive = archive.file(&format!("f{index:02}"), bytes(size, index));
    }
    sandbox.unpack(&archive).unwrap();
    for (index, &size) in sizes.iter().enumerate() {
        let path = sandbox.tree().join(format!("f{index:02}"));
        assert!(fs_err::read(&path).unwrap() == bytes(size, index), "{}", path.display());
        assert_eq!(fs_err::metadata(&path).unwrap().mtime(), 0);
    }
}

#[test]
fn undescribed_parents_are_made_and_late_directories_still_get_their_time() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .file("a/b/c", "x")
        .member(|member| member.name("a/b").kind(b'5').mtime(77).mode(0o500))
        .file("a/b/d", "y")
        .directory("a/b/");
    sandbox.unpack(&archive).unwrap();
    assert_eq!(names(&sandbox.tree().join("a/b")), ["c", "d"]);
    // The last description of a directory counts, as with every other reader.
    let directory = fs_err::metadata(sandbox.tree().join("a/b")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o755, 0));
}
