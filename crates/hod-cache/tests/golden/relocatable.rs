//! Which packages fit into a place: what is said without installing them, and what happens then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hod_archive::{Cancel, Limits};
use hod_cache::{
    Dependencies, Event, Fit, Graph, InstallError, InstallJob, InstallOptions, InstallSource,
    LocalStore, PlainRequest, PlanOptions, PushOptions, Relocatable, RelocationError, Shortage,
    Target, Wanted, find, install, install_plain, packages, plan_install, push, relocatable,
    resolve,
};
use hod_mirror::{DirectoryMirror, Mirror};
use hod_store::{Layout, Patience, Permissions, StoreWriter, WriteOptions};

use crate::place::{Place, assert_pushed, options};

type Projections<'a> = &'a [(&'a str, &'a str)];

fn mirror(path: &Path) -> Mirror {
    Mirror::Directory(DirectoryMirror::open(path).unwrap())
}

/// A mirror of the real Spack with its blobs, which are not kept with the project.
fn spack_mirror(name: &str) -> Option<Mirror> {
    hod_testing::golden::larger_golden(name).map(|path| mirror(&path))
}

fn layout(root: &Path, projections: Projections<'_>) -> Layout {
    let own = |(key, path): &(&str, &str)| ((*key).to_owned(), (*path).to_owned());
    Layout::new(root, &projections.iter().map(own).collect::<Vec<_>>(), None).unwrap()
}

fn ask(mirror: &Mirror, layout: &Layout) -> Vec<Relocatable> {
    let local = LocalStore::none();
    let found = packages(mirror, &local, None).unwrap().found;
    let target = Target {
        layout,
        store: None,
        unpadded_root: None,
        plain: layout.root().to_owned(),
        jobs: 2,
        cancel: Cancel::default(),
    };
    relocatable(mirror, &local, &found, &target, &|_: Event<'_>| {}).unwrap()
}

/// Name, and what lacks room.
fn told(answers: &[Relocatable]) -> Vec<(String, Option<Shortage>)> {
    let one = |answer: &Relocatable| {
        let name = answer.label.split('@').next().unwrap().to_owned();
        match &answer.fit {
            Fit::Fits => (name, None),
            Fit::DoesNotFit(shortage) => (name, Some(shortage.clone())),
            other => panic!("{}: {other:?}", answer.label),
        }
    };
    answers.iter().map(one).collect()
}

/// A directory whose path has so many bytes.
fn root_of_length(place: &Path, length: usize) -> PathBuf {
    let mut path = place.to_str().unwrap().to_owned();
    assert!(path.len() + 2 <= length, "`{path}` has more than {length} bytes");
    path.push('/');
    // No name may have more than 255 bytes.
    while length - path.len() > 200 {
        path.push_str(&"d".repeat(99));
        path.push('/');
    }
    path.push_str(&"e".repeat(length - path.len()));
    path.into()
}

/// Installs one package alone into a new store; the error if it does not fit.
fn try_install(
    mirror: &Mirror,
    name: &str,
    root: &Path,
    projections: Projections<'_>,
) -> Option<RelocationError> {
    let local = LocalStore::none();
    let sources = [InstallSource { mirror, is_signed: false }];
    let mut graph = Graph::default();
    resolve(&mut graph, &Wanted::new(name), &sources, &local, None).unwrap();
    let own = |(key, path): &(&str, &str)| ((*key).to_owned(), (*path).to_owned());
    let projections = projections.iter().map(own).collect();
    let options = WriteOptions { projections, ..WriteOptions::default() };
    let writer = StoreWriter::ensure(root, &options).unwrap();
    let store = writer.read(&Patience::default()).unwrap();
    let plan_options = PlanOptions { dependencies: Dependencies::None, ..PlanOptions::default() };
    let layout = writer.layout();
    let mut plan =
        plan_install(&graph, Some(&store), layout, &sources, &local, &plan_options).unwrap();
    if let Some(absent) = plan.absent.pop() {
        assert!(fs_err::read_dir(root).unwrap().all(|it| it.unwrap().file_name() == ".spack-db"));
        return Some(misfit(absent.error));
    }
    let job = InstallJob {
        plan: &plan,
        graph: &graph,
        store: &store,
        writer: &writer,
        sources: &sources,
        local: &local,
    };
    let options = InstallOptions {
        jobs: 1,
        limits: Limits::default(),
        permissions: &|_| Ok(Permissions::default()),
        on_wait: &|_| {},
        lock_timeout: Some(Duration::from_secs(10)),
        cancel: Cancel::default(),
    };
    let mut summary = install(&job, &options, &|_: Event<'_>| {}).unwrap();
    summary.outcomes.pop().unwrap().result.err().map(misfit)
}

fn misfit(error: InstallError) -> RelocationError {
    match error {
        InstallError::Relocate { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

/// What Hod made of the padded store, and the same without images, which know what is needed.
fn padded_mirrors(place: &Place) -> (Mirror, Mirror) {
    assert_pushed(&place.push(&["linkfarm", "hello"], &options()));
    let with = place.at("mirror");
    let without = place.at("without");
    hod_testing::golden::copy_tree(&with, &without);
    fs_err::remove_dir_all(without.join("oci")).unwrap();
    (mirror(&with), mirror(&without))
}

#[test]
fn a_longer_root_is_refused_for_what_spack_could_not_install_there() {
    let place = Place::plain();
    assert_pushed(&place.push(&["linkfarm", "hello", "libpng"], &options()));
    let layout = layout(Path::new("/opt/a-much-longer-place-than-before/store-fail"), &[]);
    let expected = told(&ask(&mirror(&place.at("mirror")), &layout));
    if let Some(spack) = spack_mirror("v3-unsigned") {
        assert_eq!(expected, told(&ask(&spack, &layout)));
    }
    let misfits = expected.iter().filter(|it| it.1.is_some()).map(|it| &*it.0);
    assert_eq!(misfits.collect::<Vec<_>>(), ["hello", "libpng", "linkfarm"]);
    let hello = expected.iter().find(|it| it.0 == "hello").unwrap().1.as_ref().unwrap();
    assert_eq!(hello.excess(), layout.root().as_os_str().len() - "/opt/hpc/store".len());
    assert!(hello.old.starts_with("/opt/hpc/store/linux-x86_64/hello-2.10-"), "{hello:?}");
    assert!(hello.new.starts_with("/opt/a-much-longer-place-than-before/"), "{hello:?}");
    assert_eq!(hello.file, "bin/hello");
}

#[test]
fn what_was_found_out_at_the_push_answers_without_reading_blobs() {
    let place = Place::padded();
    let (with, without) = padded_mirrors(&place);
    let layout = layout(Path::new("/opt/a-much-longer-place-than-before/store"), &[]);
    let spack = spack_mirror("v3-padded");
    let mirrors = [(&with, true), (&without, false)];
    for (mirror, knows) in mirrors.into_iter().chain(spack.iter().map(|spack| (spack, false))) {
        let answers = ask(mirror, &layout);
        assert_eq!(answers.len(), 5, "{answers:?}");
        assert!(told(&answers).iter().all(|it| it.1.is_none()), "{answers:?}");
        assert!(answers.iter().all(|it| it.is_from_facts == knows), "{mirror}: {answers:?}");
    }
    // Even where there is nothing left to be read.
    fs_err::remove_dir_all(place.at("without")).unwrap();
    let blobs = packages(&with, &LocalStore::none(), None).unwrap().found;
    for found in &blobs {
        let blob = &found.entry.as_ref().unwrap().layer.path;
        let size = fs_err::metadata(blob).unwrap().len();
        fs_err::write(blob, vec![0; usize::try_from(size).unwrap()]).unwrap();
    }
    assert!(told(&ask(&with, &layout)).iter().all(|it| it.1.is_none()));
}

/// Every answer is that of an installation, for roots a little shorter, as long and longer.
fn agree(projections: Projections<'_>, longest: usize) {
    let place = Place::padded();
    let (with, without) = padded_mirrors(&place);
    let (mut fit, mut misfit) = (0, 0);
    for shorter in (0..=9).chain([30]) {
        let top = tempfile::tempdir().unwrap();
        let layout = |root: &Path| layout(root, projections);
        let root = root_of_length(top.path(), longest - shorter);
        let known = ask(&with, &layout(&root));
        let told_ = told(&known);
        assert_eq!(told_, told(&ask(&without, &layout(&root))), "shorter by {shorter}");
        for (name, shortage) in &told_ {
            for (number, mirror) in [&with, &without].into_iter().enumerate() {
                let top = tempfile::tempdir().unwrap();
                let root = root_of_length(top.path(), longest - shorter);
                let error = try_install(mirror, name, &root, projections);
                let is_agreed = error.is_some() == shortage.is_some();
                assert!(is_agreed, "{name}, mirror {number}, {shorter}: {shortage:?}, {error:?}");
            }
            if shortage.is_some() { misfit += 1 } else { fit += 1 }
        }
    }
    // Neither would show anything alone.
    assert!(fit > 0 && misfit > 0, "{fit} fit, {misfit} do not");
}

#[test]
fn an_installation_agrees_where_prefixes_end_as_they_did() {
    agree(&[], 128 + 3);
}

#[test]
fn an_installation_agrees_where_prefixes_end_in_another_way() {
    // As long as `linux-x86_64/{name}-{version}-{hash}`.
    agree(&[("all", "linux/{hash}-{name}-{version}-x86_64")], 128);
}

#[test]
fn what_does_not_fit_is_absent_from_the_plan_before_anything_is_written() {
    let place = Place::padded();
    let (with, without) = padded_mirrors(&place);
    let layout = layout(&root_of_length(Path::new("/opt"), 160), &[]);
    for (mirror, knows) in [(&with, true), (&without, false)] {
        let sources = [InstallSource { mirror, is_signed: false }];
        let (local, mut graph) = (LocalStore::none(), Graph::default());
        resolve(&mut graph, &Wanted::new("hello"), &sources, &local, None).unwrap();
        let options = PlanOptions::default();
        let plan = plan_install(&graph, None, &layout, &sources, &local, &options).unwrap();
        let absent: Vec<&str> = plan.absent.iter().map(|absent| &*absent.spec.name).collect();
        assert_eq!(absent, if knows { vec!["hello"] } else { vec![] });
        if let Some(absent) = plan.absent.into_iter().next() {
            let shortage = Shortage::of(&misfit(absent.error)).unwrap();
            assert_eq!((&*shortage.file, shortage.excess()), ("bin/hello", 32));
        }
    }
}

#[test]
fn what_was_packed_once_is_known_in_the_next_mirror_too() {
    let place = Place::padded();
    std::thread::sleep(Duration::from_millis(150));
    assert_pushed(&place.push(&["hello"], &options()));
    let second = Mirror::Directory(DirectoryMirror::ensure(place.at("second")).unwrap());
    let packages = crate::place::selected(
        &place.open(),
        &["hello"],
        hod_spec::Selection::WithoutBuildDependencies,
    );
    let quiet = |_: Event<'_>| {};
    let summary = push(&second, &packages.packages, &place.memory(), &options(), &quiet).unwrap();
    assert!(summary.pushed().all(|(_, pushed)| !pushed.was_packed), "{summary:#?}");
    let answers = ask(&second, &layout(Path::new("/opt/short"), &[]));
    assert!(answers.iter().all(|it| it.is_from_facts), "{answers:?}");
}

#[test]
fn a_prefix_that_spack_did_not_make_is_asked_about_the_place_itself() {
    let top = tempfile::tempdir().unwrap();
    let old = root_of_length(&top.path().canonicalize().unwrap(), 60).with_file_name("tool-1.0");
    fs_err::create_dir_all(old.join("bin")).unwrap();
    // A string that ends two bytes behind the prefix.
    let text = format!("{}/x\0", old.display());
    let object = [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 64], text.as_bytes()].concat();
    fs_err::write(old.join("bin/tool"), object).unwrap();
    let mirror = Mirror::Directory(DirectoryMirror::ensure(top.path().join("mirror")).unwrap());
    let package = hod_cache::Package::at(&old).unwrap();
    let local = LocalStore::none();
    let quiet = |_: Event<'_>| {};
    let summary = push(&mirror, &[package], &local, &PushOptions::default(), &quiet).unwrap();
    assert_pushed(&summary);
    let length = old.as_os_str().len();
    for new in length - 10..length + 3 {
        let top = tempfile::Builder::new().prefix("").rand_bytes(3).tempdir().unwrap();
        let to = root_of_length(&top.path().canonicalize().unwrap(), new);
        let answers = ask(&mirror, &layout(&to, &[]));
        let found = find(&mirror, &local, &Wanted::new("tool")).unwrap();
        let request = PlainRequest {
            found: &found,
            to: &to,
            jobs: 1,
            limits: Limits::default(),
            cancel: Cancel::default(),
        };
        let installed = install_plain(&mirror, &local, &request, &quiet);
        let shortage = told(&answers).pop().unwrap().1;
        assert_eq!(shortage.is_none(), new + 8 <= length, "{new} for {length}");
        assert_eq!(installed.is_ok(), shortage.is_none(), "{new} for {length}: {installed:?}");
        assert_eq!(answers[0].is_from_facts, shortage.is_none());
        if let Err(error) = installed {
            let expected = Shortage::of(&misfit(error));
            assert_eq!(shortage, expected);
        }
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let place = Place::padded();
    let (_, without) = padded_mirrors(&place);
    let found = packages(&without, &LocalStore::none(), None).unwrap().found;
    let hello = found.iter().find(|found| found.name == "hello").unwrap();
    let blob = &hello.entry.as_ref().unwrap().layer.path;
    let mut bytes = fs_err::read(blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(blob, bytes).unwrap();
    let answers = ask(&without, &layout(Path::new("/opt/short"), &[]));
    let unknown: Vec<&Relocatable> =
        answers.iter().filter(|it| matches!(it.fit, Fit::Unknown(_))).collect();
    assert_eq!(unknown.len(), 1, "{answers:?}");
    assert!(unknown[0].label.starts_with("hello@"));
}
