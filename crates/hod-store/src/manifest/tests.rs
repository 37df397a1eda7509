//! Stories of what is installed and what became of it.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, symlink};

use fs_err as fs;
use tempfile::TempDir;

use super::*;
use crate::store::tests::unpack;

/// A package with one of everything, and its manifest.
fn installed() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let prefix = place.path().join("zlib-1.3");
    fs::create_dir_all(prefix.join(".spack")).unwrap();
    fs::create_dir_all(prefix.join("lib")).unwrap();
    fs::write(prefix.join(".spack/spec.json"), "{}").unwrap();
    fs::write(prefix.join(".spack/install_times.json"), "{}").unwrap();
    fs::write(prefix.join("lib/libz.so.1"), "library").unwrap();
    fs::write(prefix.join(OsStr::from_bytes(b"lib/\xff\xe9.txt")), "bytes").unwrap();
    fs::write(prefix.join("lib/é中😀"), "text").unwrap();
    symlink("libz.so.1", prefix.join("lib/libz.so")).unwrap();
    symlink(OsStr::from_bytes(b"gone-\x80"), prefix.join("lib/dangling")).unwrap();
    symlink("lib", prefix.join("lib64")).unwrap();
    let manifest = InstallManifest::survey(&prefix, &prefix).unwrap();
    fs::write(prefix.join(MANIFEST), manifest.render()).unwrap();
    (place, prefix)
}

fn differences(prefix: &Path) -> Vec<(String, String)> {
    let found = InstallManifest::verify(prefix, prefix).unwrap().into_iter();
    let relative = |path: &Path| path.strip_prefix(prefix).unwrap().display().to_string();
    found.map(|found| (relative(&found.path), found.mismatch.to_string())).collect()
}

#[test]
fn what_was_just_installed_is_as_it_was() {
    let (_place, prefix) = installed();
    assert_eq!(differences(&prefix), []);
    let manifest = InstallManifest::parse(&fs::read(prefix.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(manifest, InstallManifest::survey(&prefix, &prefix).unwrap());
    assert!(manifest.entries.contains_key(&prefix));
    assert!(!manifest.entries.contains_key(&prefix.join(".spack/install_times.json")));
    let library = &manifest.entries[&prefix.join("lib/libz.so.1")];
    assert!(matches!(&library.kind, ManifestKind::File { size: 7, .. }));
}

#[test]
fn every_change_is_told() {
    let (_place, prefix) = installed();
    fs::write(prefix.join("lib/libz.so.1"), "Library").unwrap();
    fs::remove_file(prefix.join("lib/libz.so")).unwrap();
    fs::remove_file(prefix.join("lib64")).unwrap();
    symlink("lib32", prefix.join("lib64")).unwrap();
    fs::write(prefix.join("new"), "").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    fs::set_permissions(prefix.join(".spack/spec.json"), mode).unwrap();
    let told = differences(&prefix);
    let expected = [
        (".spack/spec.json", "mode"),
        ("lib/libz.so", "deleted"),
        ("lib/libz.so.1", "mtime"),
        ("lib/libz.so.1", "hash"),
        ("lib64", "link"),
        ("new", "added"),
    ];
    assert_eq!(told, expected.map(|(path, word)| (path.to_owned(), word.to_owned())));
    fs::write(prefix.join(MANIFEST), "[]").unwrap();
    assert_eq!(differences(&prefix), [(String::new(), "manifest corrupted".to_owned())]);
    fs::remove_file(prefix.join(MANIFEST)).unwrap();
    assert_eq!(differences(&prefix), [(String::new(), "manifest missing".to_owned())]);
}

/// The store lies elsewhere than it was built, and symlinks are the only files whose permissions
/// and times were not unpacked with the rest: so what differs is known.
#[test]
fn a_package_that_spack_built_is_as_spack_left_it() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack");
    let place = unpack(&fixtures.join("store.tar.zst"), |path| {
        path.iter().any(|name| name.to_str().is_some_and(|name| name.starts_with("linkfarm-")))
    });
    let packages = place.path().join("store/linux-x86_64");
    let prefix = fs::read_dir(packages).unwrap().next().unwrap().unwrap().path();
    let recorded = Path::new("/opt/hpc/store/linux-x86_64").join(prefix.file_name().unwrap());
    let bytes = fs::read(prefix.join(MANIFEST)).unwrap();
    let manifest = InstallManifest::parse(&bytes).unwrap();
    let count = serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
    assert_eq!(manifest.entries.len(), count.as_object().unwrap().len());
    for difference in InstallManifest::verify(&prefix, &recorded).unwrap() {
        let expected = [Mismatch::Owner, Mismatch::Group, Mismatch::Mode, Mismatch::Time];
        assert!(expected.contains(&difference.mismatch), "{difference:?}");
    }
    // What Spack wrote is what we write, but for the order.
    let sorted = |json: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(json).unwrap();
        let mut entries: Vec<String> =
            value.as_object().unwrap().iter().map(|(k, v)| format!("{k}: {v}")).collect();
        entries.sort();
        entries
    };
    assert_eq!(sorted(manifest.render().as_bytes()), sorted(&bytes));
}

#[test]
fn paths_of_any_bytes_are_written_as_python_does() {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let entry = ManifestEntry { mode: 0o40755, owner: 1, group: 2, kind: ManifestKind::Other };
    let entries =
        [path(b"/a/\xff\xc3\xa9\"\\"), path("/😀".as_bytes())].map(|path| (path, entry.clone()));
    let manifest = InstallManifest { entries: entries.into() };
    let text = manifest.render();
    assert_eq!(
        text,
        "{\"/a/\\udcff\\u00e9\\\"\\\\\":{\"mode\":16877,\"owner\":1,\"group\":2},\
         \"/\\ud83d\\ude00\":{\"mode\":16877,\"owner\":1,\"group\":2}}"
    );
    assert_eq!(InstallManifest::parse(text.as_bytes()).unwrap(), manifest);
}

#[test]
fn a_file_that_was_gone_before_it_was_looked_at_has_no_entry() {
    let text = r#"{"/a":{},"/b":{"mode":33188,"owner":0,"group":0,"hash":"X","time":3,"size":1}}"#;
    let manifest = InstallManifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.entries.len(), 1);
    assert!(InstallManifest::parse(b"{\"/a\":1}").is_err());
}

#[test]
fn hashes_and_times_are_those_of_python() {
    // base64.b32encode(hashlib.sha1(b"abc").digest())
    assert_eq!(manifest_hash(b"abc"), "VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5");
    // os.stat().st_mtime of a file touched at 1795334230.884886812
    assert_eq!(manifest_time(1_795_334_230, 884_886_812).to_string(), "1795334230.8848867");
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_again(
        paths in proptest::collection::vec(proptest::collection::vec(1..=255_u8, 0..12), 1..6),
        seconds in -4e9..4e9_f64,
    ) {
        let file = |target: &[u8]| ManifestEntry {
            mode: 0o100_644,
            owner: 0,
            group: u32::MAX,
            kind: match target.len() % 3 {
                0 => ManifestKind::Other,
                1 => ManifestKind::Symlink { target: OsStr::from_bytes(target).into() },
                _ => ManifestKind::File { hash: "X".into(), time: seconds, size: u64::MAX },
            },
        };
        let entries = paths.iter().map(|path| (OsStr::from_bytes(path).into(), file(path)));
        let manifest = InstallManifest { entries: entries.collect() };
        let text = manifest.render();
        proptest::prop_assert!(text.is_ascii());
        proptest::prop_assert_eq!(InstallManifest::parse(text.as_bytes()).unwrap(), manifest);
    }
}
