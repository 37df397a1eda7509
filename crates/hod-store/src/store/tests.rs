//! Stories of stores, told with two that Spack made.

use std::cell::RefCell;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use fs_err as fs;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::{Mode, Patience, Span, Waiting, padding};

const ZLIB: &str = "linux-x86_64/zlib-1.2.13-";

/// A store from `fixtures/spack`, unpacked as far as it describes itself.
fn unpacked(fixture: &str) -> TempDir {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spack");
    unpack(&fixtures.join(fixture), |path| {
        path.iter().any(|name| [".spack", ".spack-db"].contains(&name.to_str().unwrap()))
    })
}

/// What is wanted of an archived store.
pub(crate) fn unpack(archive: &Path, is_wanted: impl Fn(&Path) -> bool) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let file = fs::File::open(archive).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    archive.set_preserve_permissions(false);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if is_wanted(&entry.path().unwrap()) {
            entry.unpack_in(place.path()).unwrap();
        }
    }
    place
}

fn store() -> (TempDir, PathBuf) {
    let place = unpacked("store.tar.zst");
    let path = fs::canonicalize(place.path()).unwrap().join("store");
    (place, path)
}

fn open(path: &Path) -> Result<Store, Error> {
    Store::open(path, &OpenOptions::default())
}

fn hash_of(store: &Store, name: &str) -> DagHash {
    let record = store.records().find(|record| &*record.spec.name == name).unwrap();
    record.spec.hash
}

/// `name@version` of what is installed in the store itself.
fn installed(store: &Store) -> Vec<String> {
    let is_here = |record: &&Record| record.installed && record.spec.external.is_none();
    let installed = store.records().filter(is_here);
    let mut names: Vec<_> =
        installed.map(|record| format!("{}@{}", record.spec.name, record.spec.version)).collect();
    names.sort();
    names
}

const INSTALLED: [&str; 6] = [
    "bzip2@1.0.8",
    "gcc-runtime@12.2.0",
    "hello@2.10",
    "libpng@1.6.39",
    "linkfarm@1.0",
    "zlib@1.2.13",
];

/// Rewrites the database's text.
fn edit(path: &Path, edit: impl FnOnce(String) -> String) {
    let index = path.join(".spack-db/index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, edit(text)).unwrap();
}

#[test]
fn a_store_that_lies_elsewhere_knows_both_its_places() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    assert_eq!(store.root(), Path::new("/opt/hpc/store"));
    assert_eq!(store.location(), path);
    assert_eq!(store.sbang_path(), Path::new("/opt/hpc/store/bin/sbang"));
    assert_eq!(store.warnings(), []);
    assert_eq!(installed(&store), INSTALLED);

    let zlib = hash_of(&store, "zlib");
    let prefix = store.installed_prefix(&zlib).unwrap();
    let name = format!("{ZLIB}{zlib}");
    assert_eq!(prefix.recorded, Path::new("/opt/hpc/store").join(&name));
    assert_eq!(prefix.location, path.join(&name));
    assert_eq!(store.metadata(&zlib).unwrap().spec().label(), store.node(&zlib).unwrap().label());
    assert_eq!(store.redistribution(&zlib).unwrap(), Redistribution::Allowed);
    assert_eq!(store.survey().unwrap(), []);
}

#[test]
fn a_store_in_its_place_has_one() {
    let (_place, path) = store();
    edit(&path, |text| text.replace("/opt/hpc/store", path.to_str().unwrap()));
    let store = open(&path).unwrap();
    assert_eq!((store.root(), store.location()), (&*path, &*path));
    let zlib = hash_of(&store, "zlib");
    let prefix = store.prefix(&zlib).unwrap();
    assert_eq!(prefix.recorded, prefix.location);
}

#[test]
fn an_external_stays_where_it_is() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let prefix = store.prefix(&hash_of(&store, "gcc")).unwrap();
    assert_eq!(prefix, Prefix::in_place("/usr".into()));
}

#[test]
fn a_symlink_to_a_store_is_another_place() {
    let (place, path) = store();
    let link = fs::canonicalize(place.path()).unwrap().join("link");
    symlink(&path, &link).unwrap();
    edit(&path, |text| text.replace("/opt/hpc/store", link.to_str().unwrap()));
    assert_eq!(open(&link).unwrap().root(), link);
    let store = open(&path).unwrap();
    assert_eq!((store.root(), store.location()), (&*link, &*path));
}

#[rstest]
#[case::its_root("padded/PPPP", true)]
#[case::above_the_padding("padded", true)]
#[case::in_the_padding("padded/P", true)]
#[case::above_the_padding_without_database("padded", false)]
fn a_padded_store_is_found_behind_its_padding(#[case] named: &str, #[case] has_database: bool) {
    let place = unpacked("store-padded.tar.zst");
    let four = [padding::PLACEHOLDER; 4].join("/");
    let root = Path::new("/opt/padded").join(format!("{four}/__spack_"));
    let location = fs::canonicalize(place.path()).unwrap().join(root.strip_prefix("/opt").unwrap());
    if !has_database {
        fs::remove_dir_all(location.join(".spack-db")).unwrap();
    }
    let named = named.replace("PPPP", &format!("{four}/__spack_"));
    let named = named.replace("/P", &format!("/{}", padding::PLACEHOLDER));
    let store = open(&place.path().join(named)).unwrap();
    assert_eq!(store.location(), location);
    assert_eq!(store.root(), root);
    assert_eq!(store.unpadded_root(), Path::new("/opt/padded"));
    assert_eq!(store.sbang_path(), Path::new("/opt/padded/bin/sbang"));
    assert!(store.installed_prefix(&hash_of(&store, "linkfarm")).is_ok());
}

#[test]
fn two_stores_behind_one_directory_are_not_guessed_between() {
    let place = tempfile::tempdir().unwrap();
    for root in [padding::PLACEHOLDER, "__spack_path"] {
        fs::create_dir_all(place.path().join(root).join(".spack-db")).unwrap();
    }
    let error = open(place.path()).unwrap_err();
    assert!(matches!(error, Error::AmbiguousRoot { roots, .. } if roots.len() == 2));
}

#[test]
fn the_configured_root_without_padding_is_believed() {
    let (_place, path) = store();
    let unpadded_root = Some(PathBuf::from("/opt/hpc"));
    let store = Store::open(&path, &OpenOptions { unpadded_root, ..Default::default() }).unwrap();
    assert_eq!(store.sbang_path(), Path::new("/opt/hpc/bin/sbang"));
    let unpadded_root = Some(PathBuf::from("/elsewhere"));
    let store = Store::open(&path, &OpenOptions { unpadded_root, ..Default::default() }).unwrap();
    assert_eq!(store.sbang_path(), Path::new("/opt/hpc/store/bin/sbang"));
}

#[test]
fn records_that_mean_different_roots_are_an_error() {
    let (_place, path) = store();
    edit(&path, |text| text.replace("/opt/hpc/store/linux-x86_64/zlib", "/old/linux-x86_64/zlib"));
    let error = open(&path).unwrap_err();
    let Error::InconsistentRoots { expected, found, spec, .. } = &error else { panic!("{error}") };
    assert_eq!(expected, Path::new("/opt/hpc/store"));
    assert_eq!(found, Path::new("/old"));
    assert!(spec.starts_with("zlib@1.2.13/"), "{spec}");
}

#[test]
fn one_record_that_is_right_is_enough() {
    let (_place, path) = store();
    let here = path.to_str().unwrap();
    // Whatever the others say: their packages were somewhere else once.
    edit(&path, |text| {
        text.replace("/opt/hpc/store/linux-x86_64/zlib", &format!("{here}/linux-x86_64/zlib"))
    });
    let store = open(&path).unwrap();
    assert_eq!(store.root(), path);
    let prefix = store.prefix(&hash_of(&store, "hello")).unwrap();
    assert_eq!(prefix.recorded, prefix.location);
    assert!(prefix.location.starts_with("/opt/hpc/store"));
}

#[test]
fn a_record_of_another_place_keeps_its_path() {
    let (_place, path) = store();
    edit(&path, |text| text.replace("/opt/hpc/store/linux-x86_64/zlib", "/old/elsewhere/zlib"));
    let store = open(&path).unwrap();
    assert_eq!(store.root(), Path::new("/opt/hpc/store"));
    let prefix = store.prefix(&hash_of(&store, "zlib")).unwrap();
    assert!(prefix.location.starts_with("/old/elsewhere"));
}

#[test]
fn without_a_database_a_store_is_looked_through() {
    let (_place, path) = store();
    let with = open(&path).unwrap();
    let parts = |store: &Store| -> Vec<_> {
        let part = |record: &Record| {
            (record.spec.clone(), record.path.clone(), record.installed, record.ref_count)
        };
        let is_here = |record: &&Record| record.installed && record.spec.external.is_none();
        store.records().filter(is_here).map(part).collect()
    };
    fs::remove_file(path.join(".spack-db/index.json")).unwrap();
    let without = open(&path).unwrap();
    assert_eq!(without.root(), Path::new("/opt/hpc/store"));
    assert_eq!(
        without.warnings(),
        [Warning::DatabaseMissing { location: path.clone(), packages: 6 }]
    );
    assert_eq!(installed(&without), INSTALLED);
    for (walked, recorded) in parts(&without).iter().zip(&parts(&with)) {
        assert_eq!((&walked.0.hash, &walked.1), (&recorded.0.hash, &recorded.1));
        assert_eq!(walked.3, recorded.3, "{}", walked.0.name);
    }
    // A build dependency that is gone is known all the same.
    let wrapper = without.record(&hash_of(&without, "compiler-wrapper")).unwrap();
    assert!(!wrapper.installed && wrapper.path.is_none());
    assert!(without.installed_prefix(&hash_of(&without, "hello")).is_ok());
}

#[test]
fn what_cannot_be_read_in_a_walk_is_left_out_with_a_warning() {
    let (_place, path) = store();
    let packages = path.join("linux-x86_64");
    let prefixes: Vec<_> =
        fs::read_dir(&packages).unwrap().map(|entry| entry.unwrap().path()).collect();
    let of = |name: &str| {
        let is_it = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(name);
        prefixes.iter().find(is_it).unwrap().clone()
    };
    fs::write(of("bzip2").join(".spack/spec.json"), "{").unwrap();
    fs::create_dir_all(packages.join("zlib-again/.spack")).unwrap();
    fs::copy(of("zlib").join(".spack/spec.json"), packages.join("zlib-again/.spack/spec.json"))
        .unwrap();
    symlink(of("hello"), packages.join("a-link-to-hello")).unwrap();
    fs::remove_dir_all(path.join(".spack-db")).unwrap();

    let store = open(&path).unwrap();
    assert!(!installed(&store).contains(&"bzip2@1.0.8".to_owned()));
    let warnings: Vec<_> = store.warnings().iter().map(ToString::to_string).collect();
    assert!(
        warnings[0].contains("bzip2") && warnings[0].contains("not a spec file"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("no database; 6 packages"), "{warnings:?}");
    assert!(warnings[2].ends_with("zlib-again`, which is left out"), "{warnings:?}");
    assert_eq!(warnings.len(), 3);
}

#[test]
fn an_empty_directory_is_no_store_and_an_empty_store_is_one() {
    let place = tempfile::tempdir().unwrap();
    assert!(matches!(open(place.path()).unwrap_err(), Error::NotAStore { .. }));
    fs::create_dir(place.path().join(".spack-db")).unwrap();
    let store = open(place.path()).unwrap();
    assert_eq!(store.records().count(), 0);
    assert_eq!(store.root(), store.location());
    assert!(matches!(open(&place.path().join("absent")).unwrap_err(), Error::NoStore { .. }));
    fs::write(place.path().join("file"), "").unwrap();
    assert!(matches!(open(&place.path().join("file")).unwrap_err(), Error::NoStore { .. }));
}

#[test]
fn a_part_of_a_store_is_none() {
    let (_place, path) = store();
    let error = open(&path.join("linux-x86_64")).unwrap_err();
    assert!(matches!(error, Error::PartOfStore { store, .. } if store == path));
}

#[rstest]
#[case::truncated(|text: String| text[..text.len() / 2].to_owned(), "not a database")]
#[case::empty(|_: String| String::new(), "not a database")]
#[case::of_the_future(
    |text: String| text.replacen("\"8\"", "\"9\"", 1),
    "the database has version 9, and this program reads 5 to 8"
)]
fn a_damaged_database_is_an_error_that_names_it(
    #[case] damage: fn(String) -> String,
    #[case] reason: &str,
) {
    let (_place, path) = store();
    edit(&path, damage);
    let error = open(&path).unwrap_err();
    assert!(error.to_string().contains(".spack-db/index.json"), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains(reason), "{source}");
}

#[test]
fn a_prefix_deleted_behind_the_database_is_missed_when_it_is_asked_for() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let zlib = hash_of(&store, "zlib");
    let prefix = store.prefix(&zlib).unwrap();
    fs::remove_dir_all(&prefix.location).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.prefix(&zlib), Some(prefix.clone()));
    assert!(matches!(
        store.metadata(&zlib).unwrap_err(),
        Error::PrefixMissing { path, .. } if path == prefix.location
    ));
    let spec = store.node(&zlib).unwrap().label();
    assert_eq!(
        store.survey().unwrap(),
        [Warning::RecordWithoutPrefix { spec, path: prefix.location }]
    );
}

#[test]
fn what_is_not_installed_or_not_known_has_no_prefix_to_read() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let wrapper = hash_of(&store, "compiler-wrapper");
    assert!(matches!(store.installed_prefix(&wrapper).unwrap_err(), Error::NotInstalled { .. }));
    let unknown = DagHash::from_bytes([7; 20]);
    assert!(matches!(store.metadata(&unknown).unwrap_err(), Error::NoRecord { .. }));
}

#[test]
fn the_spec_file_may_be_as_it_was_of_old() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let zlib = hash_of(&store, "zlib");
    let directory = store.prefix(&zlib).unwrap().location.join(".spack");
    let today = store.metadata(&zlib).unwrap();
    // JSON is YAML, too.
    fs::rename(directory.join("spec.json"), directory.join("spec.yaml")).unwrap();
    let of_old = store.metadata(&zlib).unwrap();
    assert_eq!(of_old.spec(), today.spec());
    fs::write(directory.join("spec.yaml"), "spec: [").unwrap();
    assert!(matches!(store.metadata(&zlib).unwrap_err(), Error::Syntax { .. }));
    fs::remove_file(directory.join("spec.yaml")).unwrap();
    let error = store.metadata(&zlib).unwrap_err();
    assert!(matches!(error, Error::Read { path, .. } if path.ends_with("spec.json")));
}

#[test]
fn another_package_in_the_place_of_one_is_noticed() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let [zlib, hello] = ["zlib", "hello"].map(|name| hash_of(&store, name));
    let file = |hash| store.prefix(hash).unwrap().location.join(".spack/spec.json");
    fs::copy(file(&hello), file(&zlib)).unwrap();
    let error = store.metadata(&zlib).unwrap_err();
    assert!(
        matches!(error, Error::AnotherSpec { expected, found, .. } if (expected, found) == (zlib, hello))
    );
}

#[test]
fn a_package_the_database_does_not_know_shows_in_a_survey() {
    let (_place, path) = store();
    edit(&path, |text| {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let installs = value["database"]["installs"].as_object_mut().unwrap();
        installs.retain(|_, record| record["spec"]["name"] != "zlib");
        value.to_string()
    });
    let warnings = open(&path).unwrap().survey().unwrap();
    let text: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|text| text.starts_with("`libpng@1.6.39/")), "{text:?}");
    assert!(text.last().unwrap().contains("the database does not say so"), "{text:?}");
}

#[test]
fn what_a_store_lacks_is_found_upstream() {
    let (_place, upstream) = store();
    let (_other, path) = store();
    let zlib = hash_of(&open(&path).unwrap(), "zlib");
    // Gone from one store, and in another only known.
    edit(&path, |text| {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let installs = value["database"]["installs"].as_object_mut().unwrap();
        installs.retain(|_, record| record["spec"]["name"] != "zlib");
        for record in installs.values_mut().filter(|record| record["spec"]["name"] == "hello") {
            record["installed"] = false.into();
        }
        value.to_string()
    });
    let absent = path.join("absent");
    let upstreams = vec![absent.clone(), upstream.clone()];
    let store = Store::open(&path, &OpenOptions { upstreams, ..Default::default() }).unwrap();
    assert_eq!(store.warnings(), [Warning::UpstreamMissing { path: absent }]);
    assert!(store.is_upstream(&zlib));
    assert!(store.records().all(|record| record.spec.hash != zlib));
    assert!(store.installed_prefix(&zlib).unwrap().location.starts_with(&upstream));
    assert_eq!(&*store.node(&zlib).unwrap().name, "zlib");
    // As for Spack, a record here hides one there even if it is not installed here.
    let hello = hash_of(&store, "hello");
    assert!(!store.is_upstream(&hello));
    assert!(matches!(store.installed_prefix(&hello).unwrap_err(), Error::NotInstalled { .. }));
}

#[test]
fn a_walk_makes_no_records_of_what_an_upstream_has() {
    let (_place, upstream) = store();
    let (_other, path) = store();
    let store = open(&path).unwrap();
    let zlib = hash_of(&store, "zlib");
    fs::remove_dir_all(store.prefix(&zlib).unwrap().location).unwrap();
    fs::remove_file(path.join(".spack-db/index.json")).unwrap();
    let upstreams = vec![upstream];
    let store = Store::open(&path, &OpenOptions { upstreams, ..Default::default() }).unwrap();
    assert!(store.is_upstream(&zlib) && store.installed_prefix(&zlib).is_ok());
}

#[test]
fn a_path_leads_to_its_store() {
    let (place, path) = store();
    let zlib = open(&path).unwrap();
    let prefix = zlib.prefix(&hash_of(&zlib, "zlib")).unwrap().location;
    assert_eq!(Store::containing(&prefix), Some(path.clone()));
    assert_eq!(Store::containing(&path), Some(path.clone()));
    assert_eq!(Store::containing(place.path()), None);
    let link = place.path().join("view");
    symlink(&prefix, &link).unwrap();
    assert_eq!(Store::containing(&link), Some(path));
}

#[test]
fn a_store_waits_while_its_database_is_written() {
    let (_place, path) = store();
    let file = LockFile::open(&path.join(".spack-db/lock")).unwrap();
    let lock = file.lock(Span::Whole, Mode::Exclusive, &Patience::default()).unwrap();
    let told = RefCell::new(Vec::new());
    let on_wait = |waiting: &Waiting| told.borrow_mut().push(waiting.holder);
    let patience = Patience {
        timeout: Some(Duration::from_millis(1200)),
        on_wait: &on_wait,
        ..Patience::default()
    };
    let options = OpenOptions { patience, ..Default::default() };
    let error = Store::open(&path, &options).unwrap_err();
    let me = i32::try_from(std::process::id()).ok();
    assert!(matches!(error, Error::Locked { holder, mode: Mode::Shared, .. } if holder == me));
    assert_eq!(told.into_inner(), [me]);
    assert!(Store::open(&path, &OpenOptions { uses_locks: false, ..Default::default() }).is_ok());
    drop(lock);
    assert!(open(&path).is_ok());
}

#[test]
fn a_store_that_may_only_be_read_is_read() {
    let (_place, path) = store();
    let database = path.join(".spack-db");
    let lock = database.join("lock");
    fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(open(&path).unwrap().warnings(), []);
    let file = LockFile::open(&lock).unwrap();
    match file.lock(Span::Whole, Mode::Exclusive, &Patience::default()) {
        Err(Error::ReadOnlyLock { path }) => assert_eq!(path, lock),
        Err(error) => panic!("{error}"),
        Ok(_) => println!("skipped: the superuser may write everywhere"),
    }

    fs::remove_file(&lock).unwrap();
    fs::set_permissions(&database, std::fs::Permissions::from_mode(0o555)).unwrap();
    let store = open(&path);
    fs::set_permissions(&database, std::fs::Permissions::from_mode(0o755)).unwrap();
    // The superuser may write everywhere, and then the lock was made.
    let expected = !lock.exists();
    let store = store.unwrap();
    let is_told = matches!(store.warnings(), [Warning::NotLocked { path, .. }] if *path == lock);
    assert_eq!(is_told, expected);
}

/// `spack uninstall` on this store says the same of each.
#[test]
fn what_needs_a_package_is_known() {
    let (_place, path) = store();
    let store = open(&path).unwrap();
    let names = |records: Vec<&Record>| {
        let mut names: Vec<_> = records.iter().map(|r| r.spec.name.to_string()).collect();
        names.sort();
        names
    };
    let dependents = |package: &str| names(store.dependents(&[hash_of(&store, package)]));
    assert_eq!(dependents("zlib"), ["libpng", "linkfarm"]);
    assert_eq!(dependents("hello"), [""; 0]);
    assert_eq!(dependents("gcc-runtime"), ["bzip2", "hello", "libpng", "linkfarm", "zlib"]);
    // Those that are to go as well do not stand in the way.
    let going = ["zlib", "libpng"].map(|name| hash_of(&store, name));
    assert_eq!(names(store.dependents(&going)), ["linkfarm"]);
    let built = names(store.built_with(&hash_of(&store, "gmake")));
    assert!(built.contains(&"zlib".to_owned()), "{built:?}");
    assert_eq!(dependents("gmake"), [""; 0]);
    assert_eq!(names(store.built_with(&hash_of(&store, "zlib"))), [""; 0]);
}
