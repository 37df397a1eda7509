//! Mirrors that were damaged on their way, stores that cannot be written to: a package is whole or
//! not there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hod_store::{LockFile, Mode, Patience, Span, StoreWriter, WriteOptions};
use hod_testing::disk::SmallDisk;
use rstest::rstest;

use crate::forge::{blob, file_named, manifest};
use crate::place::{Ask, Place, assert_whole, open_store, recorded, v3};

/// How many bytes of a file are tried.
const FLIPS: usize = 16;

/// Tries to install zlib and gcc-runtime, and says what went wrong.
fn attempt(mirror: &Path, root: &Path) -> Option<String> {
    if root.exists() {
        fs_err::remove_dir_all(root).unwrap();
    }
    let done = match Ask::of(&["zlib"], mirror, root).run() {
        Err(failure) => return Some(failure.0),
        Ok(done) => done,
    };
    let told = [done.failures(), done.absent()].concat();
    if root.join(".spack-db/index.json").exists() {
        assert_whole(root);
    }
    let is_there =
        root.join(".spack-db/index.json").exists() && recorded(root).contains(&"zlib".to_owned());
    assert_eq!(is_there, told.is_empty(), "{told:?}");
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The tarball, the spec, the manifest, the index and its manifest.
fn files(mirror: &Path) -> Vec<PathBuf> {
    let (path, zlib) = manifest(mirror, "zlib");
    let index = file_named(&mirror.join("v3/manifests/index"), "index");
    let listed = serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap();
    vec![blob(mirror, &zlib, 0), blob(mirror, &zlib, 1), path, blob(mirror, &listed, 0), index]
}

#[rstest]
#[case::tarball(0, true)]
#[case::spec(1, true)]
#[case::manifest(2, false)]
#[case::index(3, false)]
#[case::manifest_of_the_index(4, false)]
fn a_changed_byte_anywhere(#[case] file: usize, #[case] always_matters: bool) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let path = files(&mirror).swap_remove(file);
    let good = fs_err::read(&path).unwrap();
    let step = (good.len() / FLIPS).max(1);
    for at in (0..good.len()).step_by(step).chain([good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs_err::write(&path, bytes).unwrap();
        let told = attempt(&mirror, &place.at("s"));
        assert!(told.is_some() || !always_matters, "byte {at} of {}", path.display());
    }
}

#[rstest]
fn a_file_that_was_cut_or_is_too_long(
    #[values(0, 1, 2, 4)] file: usize,
    #[values("empty", "cut", "one short", "longer")] how: &str,
) {
    let place = Place::new();
    let mirror = place.copy("v3-signed");
    let path = files(&mirror).swap_remove(file);
    let mut bytes = fs_err::read(&path).unwrap();
    match how {
        "empty" => bytes.clear(),
        "cut" => bytes.truncate(bytes.len() / 2),
        "one short" => bytes.truncate(bytes.len() - 1),
        _ => bytes.push(0),
    }
    fs_err::write(&path, bytes).unwrap();
    let told = attempt(&mirror, &place.at("s"));
    // A signature that nobody checks may lack its last line, and what the index says can be read
    // from the manifests.
    assert!(told.is_some() || file == 2 || file == 4, "{how}: {}", path.display());
}

/// The image of hello and its config, in a layout that Spack filled.
#[rstest]
#[case::config("config")]
#[case::layer("layer")]
#[case::manifest("manifest")]
fn a_changed_byte_in_an_image(#[case] what: &str) {
    let place = Place::new();
    let mirror = place.copy("oci-layout");
    let blobs = mirror.join("blobs/sha256");
    let index: serde_json::Value =
        serde_json::from_slice(&fs_err::read(mirror.join("index.json")).unwrap()).unwrap();
    let is_hello = |entry: &&serde_json::Value| {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().is_some_and(|name| name.starts_with("hello-"))
    };
    let entry = index["manifests"].as_array().unwrap().iter().find(is_hello).unwrap();
    let hex = |digest: &serde_json::Value| {
        digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
    };
    let manifest = blobs.join(hex(&entry["digest"]));
    let read: serde_json::Value =
        serde_json::from_slice(&fs_err::read(&manifest).unwrap()).unwrap();
    let layers = read["layers"].as_array().unwrap();
    let path = match what {
        "config" => blobs.join(hex(&read["config"]["digest"])),
        "layer" => blobs.join(hex(&layers.last().unwrap()["digest"])),
        _ => manifest,
    };
    let good = fs_err::read(&path).unwrap();
    for at in (0..good.len()).step_by((good.len() / 8).max(1)) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        fs_err::write(&path, bytes).unwrap();
        let root = place.at(&format!("{at}"));
        let told = match Ask::of(&["hello"], &mirror, &root).run() {
            Err(failure) => failure.0,
            Ok(done) => [done.failures(), done.absent()].concat().join("\n"),
        };
        assert!(!told.is_empty(), "byte {at} of {}", path.display());
        if root.join(".spack-db/index.json").exists() {
            assert!(!recorded(&root).contains(&"hello".to_owned()), "{told}");
            assert_whole(&root);
        }
    }
}

/// Room for one package and not for the next: what is recorded is whole.
#[test]
fn a_disk_that_is_soon_full() {
    for pages in [8, 40, 100, 160, 200, 300] {
        let Some(disk) = SmallDisk::mount(pages * 4096) else { return };
        let root = disk.path().join("s");
        let done = match Ask::of(&["linkfarm", "hello"], &v3(), &root).run() {
            Err(failure) => {
                assert!(failure.0.contains("No space left"), "{}", failure.0);
                continue;
            }
            Ok(done) => done,
        };
        let failures = done.failures();
        assert!(failures.iter().any(|said| said.contains("No space left")), "{failures:#?}");
        if root.join(".spack-db/index.json").exists() {
            assert_whole(&root);
        }
    }
}

#[test]
fn somebody_who_holds_the_database_for_too_long() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["zlib"], &v3(), &root);
    StoreWriter::ensure(&root, &WriteOptions::default()).unwrap();
    let file = LockFile::open(&root.join(".spack-db/lock")).unwrap();
    let held = file.lock(Span::Whole, Mode::Shared, &Patience::default()).unwrap();
    let done = Ask { timeout: Some(Duration::from_millis(300)), ..ask.clone() }.run().unwrap();
    let failures = done.failures();
    assert_eq!(failures.len(), 2, "{failures:#?}");
    assert!(failures.iter().any(|said| said.contains("could not get the exclusive lock")));
    drop(held);
    ask.succeed();
    assert_whole(&root);
}

/// Whoever installs a package may take any time; and who needs it to stay shares its lock even
/// after it is there.
#[test]
fn somebody_who_holds_a_package() {
    let place = Place::new();
    let (root, other) = (place.at("s"), place.at("o"));
    let ask = Ask::of(&["zlib"], &v3(), &root);
    Ask { root: other.clone(), ..ask.clone() }.succeed();
    let store = open_store(&other);
    let record = store.records().find(|record| &*record.spec.name == "zlib").unwrap();
    StoreWriter::ensure(&root, &WriteOptions::default()).unwrap();
    let file = LockFile::open(&root.join(".spack-db/prefix_lock")).unwrap();
    let span = Span::of(&record.spec.hash);
    let held = file.lock(span, Mode::Exclusive, &Patience::default()).unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(2600));
            drop(held);
        });
        let done = ask.succeed();
        assert_eq!(done.installed(), ["gcc-runtime", "zlib"]);
        assert!(done.told.contains(&"waits".to_owned()), "{:?}", done.told);
    });
    assert!(began.elapsed() > Duration::from_secs(2));
    assert_whole(&root);
}

#[rstest]
#[case::future("9", "version")]
#[case::older("5", "version")]
fn a_database_of_another_version(#[case] version: &str, #[case] expected: &str) {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["zlib"], &v3(), &root);
    ask.succeed();
    let index = root.join(".spack-db/index.json");
    let text = fs_err::read_to_string(&index).unwrap();
    let now = text.find("\"version\":\"").map(|at| at + "\"version\":\"".len()).unwrap();
    let changed = format!("{}{version}{}", &text[..now], &text[now + 1..]);
    assert_ne!(text, changed);
    fs_err::write(&index, &changed).unwrap();
    let failure = Ask { queries: vec!["hello"], ..ask }.run().unwrap_err().0;
    assert!(failure.contains(expected), "{failure}");
    assert_eq!(fs_err::read_to_string(&index).unwrap(), changed);
}
