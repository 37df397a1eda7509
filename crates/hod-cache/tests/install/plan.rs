//! What is there, what is missing, and where it comes from.

use std::os::unix::fs::MetadataExt as _;

use hod_cache::{Dependencies, InstalledAs};
use hod_store::{Patience, StoreWriter, WriteOptions};
use serde_json::{Value, json};

use crate::forge::{blob, file_named, manifest};
use crate::place::{Ask, Place, assert_whole, open_store, prefix, recorded, v3};

#[test]
fn the_second_time_there_is_nothing_to_do() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["linkfarm"], &v3(), &root);
    let done = ask.succeed();
    assert_eq!(done.installed(), ["bzip2", "gcc-runtime", "linkfarm", "zlib"]);
    let before = fs_err::read(root.join(".spack-db/index.json")).unwrap();
    let again = ask.succeed();
    assert_eq!((again.plan.steps.len(), again.plan.present.len()), (0, 4));
    assert_eq!(fs_err::read(root.join(".spack-db/index.json")).unwrap(), before);
}

#[test]
fn only_what_was_asked_for_is_explicit() {
    let place = Place::new();
    let root = place.at("s");
    let explicit = || -> Vec<String> {
        let store = open_store(&root);
        let records = store.records().filter(|record| record.explicit);
        records.map(|record| record.spec.name.to_string()).collect()
    };
    Ask::of(&["linkfarm"], &v3(), &root).succeed();
    assert_eq!(explicit(), ["linkfarm"]);
    // It is there already, and from now on because somebody wants it.
    Ask::of(&["zlib"], &v3(), &root).succeed();
    let mut now = explicit();
    now.sort();
    assert_eq!(now, ["linkfarm", "zlib"]);
}

#[test]
fn by_force_a_package_is_replaced_and_those_it_needs_are_not() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["zlib"], &v3(), &root);
    ask.succeed();
    let header = prefix(&root, "zlib").join("include/zlib.h");
    let runtime = fs_err::metadata(prefix(&root, "gcc-runtime")).unwrap().ino();
    fs_err::write(&header, "harm").unwrap();
    let done = Ask { is_forced: true, ..ask }.succeed();
    assert_eq!(done.installed(), ["zlib"]);
    assert!(fs_err::read_to_string(&header).unwrap().contains("zlib.h -- interface"));
    assert_eq!(fs_err::metadata(prefix(&root, "gcc-runtime")).unwrap().ino(), runtime);
    assert_whole(&root);
}

#[test]
fn a_forced_installation_that_fails_leaves_what_was_there() {
    let place = Place::new();
    let (root, mirror) = (place.at("s"), place.copy("v3-signed"));
    let ask = Ask::of(&["zlib"], &mirror, &root);
    ask.succeed();
    let (_, manifest) = manifest(&mirror, "zlib");
    fs_err::write(blob(&mirror, &manifest, 0), "short").unwrap();
    let done = Ask { is_forced: true, ..ask }.run().unwrap();
    assert_eq!(done.failures().len(), 1);
    assert_eq!(recorded(&root), ["gcc-runtime", "zlib"]);
    assert_whole(&root);
}

/// Somebody was killed after the prefix got its name and before it was recorded.
#[test]
fn a_prefix_without_a_record_is_replaced() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["zlib"], &v3(), &root);
    ask.succeed();
    let zlib = prefix(&root, "zlib");
    fs_err::remove_file(root.join(".spack-db/index.json")).unwrap();
    fs_err::remove_file(root.join(".spack-db/index_verifier")).unwrap();
    for name in [".hod", ".hod-old"] {
        let name = format!(".{}{name}", zlib.file_name().unwrap().to_str().unwrap());
        fs_err::create_dir_all(zlib.with_file_name(name).join("lib")).unwrap();
    }
    fs_err::write(zlib.join("waste"), "").unwrap();
    ask.succeed();
    assert_whole(&root);
    assert!(!zlib.join("waste").exists());
}

#[test]
fn what_is_not_ours_is_not_replaced() {
    let place = Place::new();
    let (root, other) = (place.at("s"), place.at("o"));
    let ask = Ask::of(&["zlib"], &v3(), &root);
    Ask { root: other.clone(), ..ask.clone() }.succeed();
    let zlib = prefix(&other, "zlib").strip_prefix(&other).unwrap().to_owned();
    fs_err::create_dir_all(root.join(&zlib)).unwrap();
    fs_err::create_dir_all(root.join(".spack-db")).unwrap();
    fs_err::write(root.join(&zlib).join("mine"), "").unwrap();
    let done = ask.run().unwrap();
    let failures = done.failures();
    assert!(failures[0].contains("is in the way of `zlib@"), "{failures:?}");
    assert!(root.join(&zlib).join("mine").exists());
    assert_eq!(recorded(&root), ["gcc-runtime"]);
}

/// Its search paths must not be taken for superfluous because of that.
#[test]
fn without_dependencies_a_package_comes_alone_and_works_when_they_come() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["linkfarm"], &v3(), &root);
    let alone = Ask { dependencies: Dependencies::None, ..ask.clone() };
    assert_eq!(alone.succeed().installed(), ["linkfarm"]);
    assert_eq!(recorded(&root), ["linkfarm"]);
    assert_whole(&root);
    let rest = ask.succeed();
    assert_eq!(rest.installed(), ["bzip2", "gcc-runtime", "zlib"]);
    let farm = prefix(&root, "linkfarm").join("bin/farm");
    let mut command = std::process::Command::new(farm);
    let output = hod_testing::machine::run_new(command.env_clear()).unwrap();
    assert!(output.status.success(), "{output:?}");
    let other = place.at("o");
    Ask { root: other.clone(), ..ask }.succeed();
    let size = |root| fs_err::metadata(prefix(root, "linkfarm").join("bin/farm")).unwrap().len();
    assert_eq!(size(&root), size(&other));
}

#[test]
fn what_is_not_in_any_mirror_is_told_and_the_rest_can_be_had() {
    let place = Place::new();
    let (root, mirror) = (place.at("s"), place.copy("v3-signed"));
    fs_err::remove_file(manifest(&mirror, "bzip2").0).unwrap();
    let done = Ask::of(&["linkfarm"], &mirror, &root).run().unwrap();
    assert_eq!(done.absent().len(), 1);
    assert!(done.absent()[0].contains("no mirror has `bzip2@1.0.8/"), "{:?}", done.absent());
    assert_eq!(done.installed(), ["gcc-runtime", "linkfarm", "zlib"]);
    assert_whole(&root);
}

#[test]
fn what_the_first_mirror_lacks_comes_from_the_next() {
    let place = Place::new();
    let (root, first) = (place.at("s"), place.copy("v3-signed"));
    fs_err::remove_file(manifest(&first, "bzip2").0).unwrap();
    let (_, zlib) = manifest(&first, "zlib");
    fs_err::remove_file(blob(&first, &zlib, 0)).unwrap();
    let mirrors = vec![first.clone(), v3()];
    let done = Ask { mirrors, ..Ask::of(&["linkfarm"], &first, &root) }.succeed();
    let second = done.plan.steps.iter().filter(|step| step.source == 1);
    let second: Vec<&str> = second.map(|step| &*step.spec.name).collect();
    assert_eq!(second, ["bzip2"]);
    // That a file is missing shows when it is opened.
    assert!(
        done.told[0].starts_with("zlib@") && done.told[0].contains("trying"),
        "{:?}",
        done.told
    );
    assert_whole(&root);
}

#[test]
fn what_is_damaged_in_the_first_mirror_comes_from_the_next() {
    let place = Place::new();
    let (root, first) = (place.at("s"), place.copy("v3-signed"));
    let (_, zlib) = manifest(&first, "zlib");
    let path = blob(&first, &zlib, 0);
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
    let mirrors = vec![first.clone(), v3()];
    let done = Ask { mirrors, ..Ask::of(&["zlib"], &first, &root) }.succeed();
    assert_eq!(done.installed(), ["gcc-runtime", "zlib"]);
    assert!(done.told.iter().any(|said| said.contains("trying")), "{:?}", done.told);
    assert_whole(&root);
}

#[test]
fn what_an_upstream_has_is_referred_to_there() {
    let place = Place::new();
    let (up, root) = (place.at("up"), place.at("s"));
    Ask::of(&["zlib", "bzip2"], &v3(), &up).succeed();
    let upstreams = vec![up.clone()];
    let done = Ask { upstreams, ..Ask::of(&["linkfarm"], &v3(), &root) }.succeed();
    assert_eq!(done.installed(), ["linkfarm"]);
    assert_whole(&root);
    let farm = prefix(&root, "linkfarm");
    let link = fs_err::read_dir(&farm).unwrap().count();
    assert!(link > 0);
    let script = fs_err::read_to_string(farm.join("bin/run-farm.sh")).unwrap();
    assert!(!script.contains("/opt/hpc/store"), "{script}");
    let program = fs_err::read(farm.join("bin/farm")).unwrap();
    let zlib = prefix(&up, "zlib").to_str().unwrap().to_owned();
    // The search path is exact; other strings are cut where they do not fit, and then it fails.
    assert!(program.windows(zlib.len()).any(|window| window == zlib.as_bytes()));
}

/// A `spack.lock` with all that the index of the mirror has, and linkfarm as what is wanted.
#[test]
fn a_lock_file_says_what_is_wanted() {
    let place = Place::new();
    let root = place.at("s");
    let index = fs_err::read(file_named(&v3().join("v3/manifests/index"), "index")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let database = fs_err::read(blob(&v3(), &index, 0)).unwrap();
    let database: Value = serde_json::from_slice(&database).unwrap();
    let installs = database["database"]["installs"].as_object().unwrap();
    let specs: serde_json::Map<String, Value> =
        installs.iter().map(|(hash, record)| (hash.clone(), record["spec"].clone())).collect();
    let linkfarm = specs.iter().find(|(_, spec)| spec["name"] == "linkfarm").unwrap().0.clone();
    let lock = json!({
        "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
        "spack": {"version": "1.0"},
        "roots": [{"hash": linkfarm, "spec": "linkfarm"}],
        "concrete_specs": specs,
    });
    let lock = Some(lock.to_string().into_bytes());
    let done = Ask { lock, ..Ask::of(&[], &v3(), &root) }.succeed();
    assert_eq!(done.installed(), ["bzip2", "gcc-runtime", "linkfarm", "zlib"]);
    assert_whole(&root);
}

/// Others have put it elsewhere, and it was removed since: Spack puts it there again.
#[test]
fn a_record_says_where_a_package_goes() {
    let place = Place::new();
    let root = place.at("s");
    let ask = Ask::of(&["zlib"], &v3(), &root);
    let projections = vec![("all".to_owned(), "p/{name}-{hash}".to_owned())];
    Ask { projections, ..ask.clone() }.succeed();
    let there = prefix(&root, "gcc-runtime");
    fs_err::remove_dir_all(&there).unwrap();
    let done = ask.succeed();
    assert_eq!(done.summary.outcomes[0].prefix, there);
    assert!(matches!(done.summary.outcomes[0].result, Ok(InstalledAs::New { .. })));
    assert_whole(&root);
}

#[test]
fn a_mirror_whose_packages_are_to_be_signed_is_not_used() {
    let place = Place::new();
    let root = place.at("s");
    let done = Ask { is_signed: true, ..Ask::of(&["zlib"], &v3(), &root) }.run().unwrap();
    assert_eq!(done.absent().len(), 2);
    assert!(done.absent()[0].contains("hod verifies no signatures yet"), "{:?}", done.absent());
    assert_eq!(recorded(&root), Vec::<String>::new());
}

/// Several at once, as many processes would, each with a graph that shares packages with others.
#[test]
fn installations_of_the_same_packages_at_the_same_time() {
    let place = Place::new();
    let root = place.at("s");
    StoreWriter::ensure(&root, &WriteOptions::default()).unwrap();
    let wanted: [&[&str]; 4] =
        [&["linkfarm"], &["zlib", "linkfarm"], &["hello"], &["hello", "zlib"]];
    std::thread::scope(|scope| {
        for queries in wanted {
            let root = &root;
            scope.spawn(move || Ask { jobs: 1, ..Ask::of(queries, &v3(), root) }.succeed());
        }
    });
    assert_eq!(recorded(&root), ["bzip2", "gcc-runtime", "hello", "linkfarm", "zlib"]);
    assert_whole(&root);
    let store = StoreWriter::open(&root, &WriteOptions::default()).unwrap();
    let store = store.read(&Patience::default()).unwrap();
    let mut explicit: Vec<&str> =
        store.records().filter(|record| record.explicit).map(|record| &*record.spec.name).collect();
    explicit.sort_unstable();
    assert_eq!(explicit, ["hello", "linkfarm", "zlib"]);
}
