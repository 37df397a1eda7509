//! Stories with more than one writer, and more than one store.

use std::process::Command;
use std::{env, thread};

use super::*;
use crate::Warning;

const ROOT: &str = "HOD_TEST_STORE";
const PACKAGES: &str = "HOD_TEST_PACKAGES";

/// How often each writer changes each of its packages.
const ROUNDS: usize = 20;

fn patient() -> Patience<'static> {
    Patience::default()
}

/// The spec files in the prefixes of a store.
fn prefixes(root: &Path) -> Files {
    let directory = fs::read_dir(root.join("linux-x86_64")).unwrap();
    let files = directory.map(|entry| SpecMetadata::read(&entry.unwrap().path(), None).unwrap());
    Files(files.map(|metadata| metadata.spec_file).collect())
}

fn add(writer: &StoreWriter, files: &Files, hash: &DagHash) -> Registered {
    let installation = Installation { path: None, explicit: Some(true), time: 1.5 };
    let mut transaction = writer.transaction(&patient()).unwrap();
    let registered = transaction.add(files, hash, &installation).unwrap();
    transaction.commit().unwrap();
    registered
}

fn change(root: &Path, packages: &str) {
    let writer = StoreWriter::open(root, &WriteOptions::default()).unwrap();
    let files = prefixes(root);
    for _ in 0..ROUNDS {
        for name in packages.split(' ') {
            let spec = files.0.iter().map(SpecFile::root).find(|spec| &*spec.name == name).unwrap();
            add(&writer, &files, &spec.hash);
            let mut transaction = writer.transaction(&patient()).unwrap();
            transaction.remove(&spec.hash).unwrap();
            transaction.commit().unwrap();
            add(&writer, &files, &spec.hash);
        }
    }
}

/// Not a test by itself: what the other process runs.
#[test]
fn the_other_writer() {
    let Some(root) = env::var_os(ROOT) else { return };
    change(Path::new(&root), &env::var(PACKAGES).unwrap());
}

#[test]
fn several_writers_lose_nothing_and_readers_always_read() {
    let (_place, location, _theirs, _files) = without_database(&fixture("store.tar.zst"), "store");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "store::write::tests::others::the_other_writer"]);
    let mut other = command
        .env(ROOT, &location)
        .env(PACKAGES, "linkfarm bzip2")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    thread::scope(|scope| {
        let threads = ["hello zlib", "libpng gcc-runtime"]
            .map(|packages| scope.spawn(|| change(&location, packages)));
        while threads.iter().any(|thread| !thread.is_finished()) {
            let unlocked = OpenOptions { uses_locks: false, ..OpenOptions::default() };
            for options in [OpenOptions::default(), unlocked] {
                let store = Store::open(&location, &options).unwrap();
                // Before the first commit there is nothing but prefixes.
                let has_database =
                    !store.warnings().iter().any(|w| matches!(w, Warning::DatabaseMissing { .. }));
                if has_database {
                    let records = store.records().cloned().collect();
                    assert_counted(&records);
                }
            }
        }
    });
    assert!(other.wait().unwrap().success());
    let text = fs::read(location.join(".spack-db/index.json")).unwrap();
    let database = Database::parse(text).unwrap();
    assert_counted(&database);
    let is_here = |record: &&Record| record.installed && record.spec.external.is_none();
    let mut names: Vec<_> = database.records().filter(is_here).map(|r| &*r.spec.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["bzip2", "gcc-runtime", "hello", "libpng", "linkfarm", "zlib"]);
    assert!(database.records().filter(is_here).all(|record| record.explicit));
}

#[test]
fn what_an_upstream_has_gets_no_record() {
    let (_place, upstream, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    install_again(&writer(&upstream), &theirs, &files, false);
    let hash =
        |name: &str| theirs.records().find(|record| &*record.spec.name == name).unwrap().spec.hash;
    let here = tempfile::tempdir().unwrap();
    let open = OpenOptions { upstreams: vec![upstream.clone()], ..OpenOptions::default() };
    let options = WriteOptions { open, ..WriteOptions::default() };
    let writer = StoreWriter::ensure(here.path(), &options).unwrap();
    assert_eq!(add(&writer, &files, &hash("zlib")), Registered::Upstream);
    assert!(!here.path().join(".spack-db/index.json").exists());

    // Its users lost a package there, and it is installed here instead.
    let there = StoreWriter::open(&upstream, &WriteOptions::default()).unwrap();
    let mut transaction = there.transaction(&patient()).unwrap();
    transaction.remove(&hash("libpng")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(add(&writer, &files, &hash("libpng")), Registered::Missing);
    let transaction = writer.transaction(&patient()).unwrap();
    let names: Vec<_> = transaction.database().records().map(|r| &*r.spec.name).collect();
    // The compiler wrapper was installed nowhere.
    assert_eq!(names, ["compiler-wrapper", "libpng"]);
    assert_counted(transaction.database());
    let png = transaction.database().get(&hash("libpng")).unwrap();
    assert!(png.path.as_deref().unwrap().starts_with(here.path().to_str().unwrap()));
}

#[test]
fn a_package_of_another_hash_in_the_place_does_not_count() {
    let (_place, location, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    let zlib = theirs.records().find(|record| &*record.spec.name == "zlib").unwrap();
    let hash = zlib.spec.hash;
    assert_eq!(add(&writer, &files, &hash), Registered::Installed);
    let prefix = writer.layout().prefix_of(&zlib.spec, &files).unwrap().unwrap();
    let other = theirs.records().find(|record| &*record.spec.name == "hello").unwrap();
    let file = writer.layout().prefix_of(&other.spec, &files).unwrap().unwrap();
    fs::copy(file.join(".spack/spec.json"), prefix.join(".spack/spec.json")).unwrap();
    assert_eq!(add(&writer, &files, &hash), Registered::Missing);
    fs::remove_dir_all(&prefix).unwrap();
    assert_eq!(add(&writer, &files, &hash), Registered::Missing);
}

#[test]
fn a_replaced_package_counts_for_its_replacement() {
    let (_place, location, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    install_again(&writer, &theirs, &files, false);
    let hash =
        |name: &str| theirs.records().find(|record| &*record.spec.name == name).unwrap().spec.hash;
    // As `spack deprecate` leaves it.
    let mut transaction = writer.transaction(&patient()).unwrap();
    let database = transaction.database_mut();
    database.get_mut(&hash("hello")).unwrap().deprecated_for = Some(hash("libpng"));
    database.get_mut(&hash("libpng")).unwrap().ref_count += 1;
    assert_counted(transaction.database());
    transaction.commit().unwrap();
    let mut transaction = writer.transaction(&patient()).unwrap();
    assert_eq!(transaction.remove(&hash("libpng")).unwrap(), Removed::Kept);
    assert_eq!(transaction.remove(&hash("hello")).unwrap(), Removed::Gone);
    assert!(transaction.database().get(&hash("libpng")).is_none());
    assert_counted(transaction.database());
}

#[test]
fn a_spec_of_which_a_part_is_unknown_changes_nothing() {
    let (_place, location, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    let hello = files.0.iter().find(|file| &*file.root().name == "hello").unwrap();
    let alone =
        format!(r#"{{"spec":{{"_meta":{{"version":5}},"nodes":[{}]}}}}"#, hello.root().text());
    let alone = SpecFile::parse(alone.into_bytes()).unwrap();
    let installation = Installation { path: None, explicit: None, time: 1.5 };
    let mut transaction = writer.transaction(&patient()).unwrap();
    let error = transaction.add(&alone, &hello.root().hash, &installation).unwrap_err();
    assert!(matches!(error, Error::UnknownDependency { .. }));
    let unknown = theirs.records().next().unwrap().spec.hash;
    assert!(matches!(transaction.remove(&unknown), Err(Error::NoRecord { .. })));
    transaction.commit().unwrap();
    assert!(!location.join(".spack-db/index.json").exists());
}
