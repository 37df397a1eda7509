//! Stories of stores that are filled and emptied, measured by what Spack wrote.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use fs_err as fs;
use hod_spec::{Database, Nodes, Record, SpecFile};
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::SpecMetadata;
use crate::store::tests::unpack;

mod others;
mod property;

/// Spec files by hash.
struct Files(Vec<SpecFile>);

impl Nodes for Files {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.0.iter().find_map(|file| file.get(hash))
    }
}

fn now() -> Patience<'static> {
    at_once()
}

fn writer(root: &Path) -> StoreWriter {
    StoreWriter::ensure(root, &WriteOptions::default()).unwrap()
}

/// Every record refers to those that are counted, and only to them.
fn assert_counted(database: &Database) {
    let mut counts: BTreeMap<DagHash, u64> = BTreeMap::new();
    for record in database.records() {
        let edges = record.spec.dependencies.iter().map(|edge| edge.hash);
        for hash in edges.chain(record.deprecated_for) {
            *counts.entry(hash).or_default() += 1;
        }
    }
    for record in database.records() {
        let expected = counts.get(&record.spec.hash).copied().unwrap_or_default();
        assert_eq!(record.ref_count, expected, "{}", record.spec.label());
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack").join(name)
}

/// An archived store, as far as it describes itself, in a place of its own; what Spack's database
/// says of it; and all spec files in it. The database itself is taken away.
fn without_database(archive: &Path, root: &str) -> (TempDir, PathBuf, Database, Files) {
    let place = unpack(archive, |path| {
        path.iter().any(|name| [".spack", ".spack-db"].contains(&name.to_str().unwrap()))
    });
    let location = fs::canonicalize(place.path()).unwrap().join(root);
    let directory = location.join(DATABASE);
    let database = Database::parse(fs::read(directory.join("index.json")).unwrap()).unwrap();
    let store = Store::open(&location, &OpenOptions::default()).unwrap();
    let mut files = Vec::new();
    for record in store.records().filter(|record| record.installed) {
        let prefix = store.prefix(&record.spec.hash).unwrap();
        if record.spec.external.is_none() {
            files.push(SpecMetadata::read(&prefix.location, None).unwrap().spec_file);
        }
    }
    for name in ["index.json", "index_verifier"] {
        fs::remove_file(directory.join(name)).unwrap();
    }
    (place, location, database, Files(files))
}

/// Installs again, in the order of time, all that is installed, and with `all` what was once.
fn install_again(writer: &StoreWriter, theirs: &Database, files: &Files, all: bool) {
    let mut records: Vec<&Record> =
        theirs.records().filter(|record| all || record.installed).collect();
    records.sort_by(|a, b| a.installation_time.total_cmp(&b.installation_time));
    for record in records {
        let installation = Installation {
            path: None,
            explicit: Some(record.explicit),
            time: record.installation_time,
        };
        // Each in a process of its own, as it were.
        let mut transaction = writer.transaction(&now()).unwrap();
        transaction.add(files, &record.spec.hash, &installation).unwrap();
        transaction.commit().unwrap();
    }
}

/// The database on disk, with the root that Spack's has.
fn ours(location: &Path, root: &str) -> Database {
    let text = fs::read_to_string(location.join(".spack-db/index.json")).unwrap();
    let text = text.replace(location.to_str().unwrap(), root);
    Database::parse(text.into_bytes()).unwrap()
}

fn assert_same(ours: &Database, theirs: &Database) {
    let hashes = |database: &Database| -> Vec<DagHash> {
        database.records().map(|record| record.spec.hash).collect()
    };
    assert_eq!(hashes(ours), hashes(theirs));
    for (ours, theirs) in ours.records().zip(theirs.records()) {
        assert_eq!(ours, theirs);
        // Spelled the same, too.
        assert_eq!(ours.spec.text(), theirs.spec.text());
    }
}

/// Where Spack's own build of the packages was, `spack gc` has uninstalled what only they needed.
#[rstest]
#[case::short("store.tar.zst", "store", "/opt/hpc/store")]
#[case::padded("store-padded.tar.zst", PADDED, "")]
fn a_store_that_was_built_is_recorded_as_spack_did(
    #[case] archive: &str,
    #[case] root: &str,
    #[case] recorded: &str,
) {
    let (_place, location, theirs, files) = without_database(&fixture(archive), root);
    let recorded = if recorded.is_empty() { format!("/opt/{PADDED}") } else { recorded.to_owned() };
    let writer = writer(&location);
    install_again(&writer, &theirs, &files, true);
    let mut transaction = writer.transaction(&now()).unwrap();
    for record in theirs.records().filter(|record| !record.installed) {
        assert_eq!(transaction.remove(&record.spec.hash).unwrap(), Removed::Kept);
    }
    transaction.commit().unwrap();
    assert_same(&ours(&location, &recorded), &theirs);
}

const PADDED: &str = "padded/__spack_path_placeholder__/__spack_path_placeholder__/\
                      __spack_path_placeholder__/__spack_path_placeholder__/__spack_";

#[rstest]
#[case::short("reloc-short-from-v3-unsigned", "gs", "/tmp/gs")]
#[case::long("reloc-long-from-v3-padded", "store", "/opt/a-much-longer-place-than-before/store")]
fn a_store_that_was_filled_from_a_cache_is_recorded_as_spack_did(
    #[case] name: &str,
    #[case] root: &str,
    #[case] recorded: &str,
) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    let golden = std::env::var_os("HOD_GOLDEN").map_or(shared, PathBuf::from);
    if !golden.is_dir() {
        println!("skipped: no golden data at `{}` (set HOD_GOLDEN)", golden.display());
        return;
    }
    let archive = golden.join(format!("store/{name}.tar.zst"));
    let (_place, location, theirs, files) = without_database(&archive, root);
    install_again(&writer(&location), &theirs, &files, false);
    assert_same(&ours(&location, recorded), &theirs);
}

#[test]
fn uninstalling_one_by_one_leaves_nothing() {
    let (_place, location, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    install_again(&writer, &theirs, &files, false);
    let mut transaction = writer.transaction(&now()).unwrap();
    assert_counted(transaction.database());
    let hash =
        |name: &str| theirs.records().find(|record| &*record.spec.name == name).unwrap().spec.hash;
    // The library is needed, so its record stays for who needs it.
    assert_eq!(transaction.remove(&hash("zlib")).unwrap(), Removed::Kept);
    assert!(!transaction.database().get(&hash("zlib")).unwrap().installed);
    assert_counted(transaction.database());
    for name in ["linkfarm", "hello", "libpng"] {
        assert_eq!(transaction.remove(&hash(name)).unwrap(), Removed::Gone);
        assert_counted(transaction.database());
    }
    assert!(transaction.database().get(&hash("zlib")).is_none());
    let left: Vec<_> = transaction.database().records().map(|r| &*r.spec.name).collect();
    let mut left: Vec<_> = left.iter().map(ToString::to_string).collect();
    left.sort();
    assert_eq!(left, ["bzip2", "compiler-wrapper", "gcc", "gcc-runtime", "glibc", "gmake"]);
    for name in ["bzip2", "gcc-runtime", "glibc", "gcc"] {
        transaction.remove(&hash(name)).unwrap();
        assert_counted(transaction.database());
    }
    let left: Vec<_> =
        transaction.database().records().map(|r| (&*r.spec.name, r.installed)).collect();
    // An external, installed since it was registered.
    assert_eq!(left, [("gmake", true)]);
}

#[test]
fn a_new_store_has_the_shape_of_spacks() {
    let place = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(place.path()).unwrap().join("new/store");
    let writer = writer(&root);
    let mut names: Vec<_> = fs::read_dir(root.join(".spack-db"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["failures", "lock", "prefix_failures", "prefix_lock"]);
    let mode =
        |name: &str| fs::metadata(root.join(".spack-db").join(name)).unwrap().permissions().mode();
    assert_eq!(mode("lock") & 0o700, 0o700);
    // Nothing was done, so nothing is written.
    writer.transaction(&now()).unwrap().commit().unwrap();
    assert!(!root.join(".spack-db/index.json").exists());
    assert_eq!(writer.root(), root);
    // It is there now.
    assert_eq!(StoreWriter::open(&root, &WriteOptions::default()).unwrap().location(), root);
    let store = Store::open(&root, &OpenOptions::default()).unwrap();
    assert_eq!(store.records().count(), 0);
}

#[test]
fn no_store_is_made_among_other_things() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "").unwrap();
    let error = StoreWriter::ensure(place.path(), &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Occupied { found, .. } if found.ends_with("letter.txt")));
    let error = StoreWriter::open(place.path(), &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }));
    // A store's inside is no place either.
    let root = place.path().join("store");
    let _writer = writer(&root);
    let error = StoreWriter::ensure(&root.join("inner"), &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::PartOfStore { .. }));
}

#[rstest]
#[case::older("7")]
#[case::newer("9")]
fn a_database_of_another_version_is_not_touched(#[case] version: &str) {
    let place = tempfile::tempdir().unwrap();
    drop(writer(place.path()));
    let text = format!(r#"{{"database":{{"version":"{version}","installs":{{}}}}}}"#);
    let index = place.path().join(".spack-db/index.json");
    fs::write(&index, &text).unwrap();
    let error = StoreWriter::open(place.path(), &WriteOptions::default()).unwrap_err();
    match version {
        "7" => {
            assert!(matches!(error, Error::OldDatabase { found: 7, .. }));
            assert!(error.to_string().contains("spack reindex"), "{error}");
        }
        _ => assert!(matches!(error, Error::Database { .. })),
    }
    assert_eq!(fs::read_to_string(&index).unwrap(), text);
}

#[test]
fn a_lost_database_is_not_replaced_by_an_empty_one() {
    let place = tempfile::tempdir().unwrap();
    drop(writer(place.path()));
    let verifier = place.path().join(".spack-db/index_verifier");
    // Whoever made the first change died over it: there never was one.
    fs::write(&verifier, "").unwrap();
    assert!(StoreWriter::open(place.path(), &WriteOptions::default()).is_ok());
    fs::write(&verifier, "once").unwrap();
    let error = StoreWriter::open(place.path(), &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::DatabaseLost { .. }));
}

#[test]
fn a_change_is_announced_and_one_that_fails_changes_nothing() {
    let (_place, location, theirs, files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    install_again(&writer, &theirs, &files, false);
    let directory = location.join(DATABASE);
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let (index, verifier) = (read("index.json"), read("index_verifier"));
    assert_eq!(verifier.len(), 36);
    let names = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    assert!(names.filter_map(|name| name.extension().map(ToOwned::to_owned)).all(|e| e == "json"));
    let root = theirs.records().find(|record| &*record.spec.name == "hello").unwrap().spec.hash;

    // What is dropped never happened.
    let mut transaction = writer.transaction(&now()).unwrap();
    transaction.set_explicit(&root, false).unwrap();
    drop(transaction);
    assert_eq!((read("index.json"), read("index_verifier")), (index.clone(), verifier.clone()));

    // The file to write to is a directory.
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let temporary = directory.join(format!("index.json.{host}.{}.temp", std::process::id()));
    fs::create_dir(&temporary).unwrap();
    let mut transaction = writer.transaction(&now()).unwrap();
    transaction.set_explicit(&root, false).unwrap();
    assert!(matches!(transaction.commit().unwrap_err(), Error::Write { .. }));
    assert_eq!(read("index.json"), index);
    fs::remove_dir(&temporary).unwrap();

    let mut transaction = writer.transaction(&now()).unwrap();
    transaction.set_explicit(&root, false).unwrap();
    transaction.commit().unwrap();
    assert_ne!(read("index_verifier"), verifier);
    let store = Store::open(&location, &OpenOptions::default()).unwrap();
    assert!(!store.record(&root).unwrap().explicit);
}

#[test]
fn one_writes_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let writer = writer(place.path());
    let first = writer.transaction(&now()).unwrap();
    assert!(matches!(writer.transaction(&now()).unwrap_err(), Error::Locked { .. }));
    drop(first);
    let hash: DagHash = "yox7nsrab6dhdlxlapu6hg33h4atwgrx".parse().unwrap();
    let other: DagHash = "arbvturvzrczc6dyodbycjav7qqhraus".parse().unwrap();
    let held = writer.lock_prefix(&hash, Mode::Exclusive, &now()).unwrap();
    assert!(held.is_some());
    assert!(writer.try_lock_prefix(&hash, Mode::Shared).is_err());
    assert!(writer.try_lock_prefix(&other, Mode::Exclusive).is_ok());
    // Somebody wants no locks at all.
    let open = OpenOptions { uses_locks: false, ..OpenOptions::default() };
    let options = WriteOptions { open, ..WriteOptions::default() };
    let unlocked = StoreWriter::open(place.path(), &options).unwrap();
    assert!(unlocked.try_lock_prefix(&hash, Mode::Exclusive).unwrap().is_none());
    let _one = unlocked.transaction(&now()).unwrap();
    let _two = unlocked.transaction(&now()).unwrap();
}

#[test]
fn a_failure_spack_noted_can_be_seen_and_removed() {
    let (_place, location, theirs, _files) = without_database(&fixture("store.tar.zst"), "store");
    let writer = writer(&location);
    let spec = &theirs.records().next().unwrap().spec;
    assert!(!writer.has_failed(spec).unwrap());
    let mark = location.join(format!(".spack-db/failures/{}-{}", spec.name, spec.hash));
    fs::create_dir_all(mark.parent().unwrap()).unwrap();
    fs::write(&mark, "{}").unwrap();
    assert!(writer.has_failed(spec).unwrap());
    assert!(writer.clear_failure(spec).unwrap());
    assert!(!mark.exists() && !writer.has_failed(spec).unwrap());
}
