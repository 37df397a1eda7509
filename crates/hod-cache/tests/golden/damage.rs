//! A store with something missing: never a partial entry, always a reason. A mirror with something
//! wrong: the next push mends it.

use hod_cache::{Error, PushSummary};
use hod_mirror::Problem;
use hod_mirror::spack::{EntryName, SpackContent, SpackEntry, SpecManifest};
use rstest::rstest;

use crate::place::{Place, assert_pushed, options};

/// `name: error: its cause` of everything that failed.
fn failures(summary: &PushSummary) -> Vec<String> {
    summary
        .failed()
        .map(|(package, error)| {
            let error: &dyn std::error::Error = error;
            let causes = std::iter::successors(Some(error), |error| error.source());
            let causes = causes.map(ToString::to_string).collect::<Vec<_>>();
            format!("{}: {}", package.name(), causes.join(": "))
        })
        .collect()
}

/// The names of what is in the build cache, and how many images there are.
fn there(place: &Place) -> (Vec<String>, usize) {
    let mirror = place.mirror();
    let names = mirror.spack_names().unwrap().names;
    let names = names.iter().map(|name| name.name().to_owned()).collect();
    (names, mirror.entries().unwrap().len())
}

#[test]
fn without_its_spec_a_package_is_not_pushed_and_the_others_are() {
    let place = Place::plain();
    fs_err::remove_file(place.prefix("zlib").join(".spack/spec.json")).unwrap();
    let summary = place.push(&["linkfarm"], &options());
    let failed = failures(&summary);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0].starts_with("zlib: ") && failed[0].contains("spec.json"), "{failed:#?}");
    // The image of linkfarm would lack zlib.
    assert_eq!(there(&place), (["bzip2", "gcc-runtime", "linkfarm"].map(String::from).into(), 2));
}

#[test]
fn a_prefix_that_was_deleted_behind_the_database_is_named() {
    let place = Place::plain();
    let prefix = place.prefix("zlib");
    fs_err::remove_dir_all(&prefix).unwrap();
    let summary = place.push(&["zlib"], &options());
    let failed = failures(&summary);
    assert!(failed[0].contains(&prefix.display().to_string()), "{failed:#?}");
    assert_eq!(there(&place), (vec!["gcc-runtime".to_owned()], 1));
}

#[test]
fn another_spec_in_the_prefix_is_refused() {
    let place = Place::plain();
    let (zlib, hello) = (place.prefix("zlib"), place.prefix("hello"));
    fs_err::copy(hello.join(".spack/spec.json"), zlib.join(".spack/spec.json")).unwrap();
    let summary = place.push(&["zlib"], &options());
    assert!(matches!(
        summary.failed().next().unwrap().1,
        Error::Installed { source, .. } if matches!(**source, hod_store::Error::AnotherSpec { .. })
    ));
}

#[test]
fn after_a_failure_nothing_new_is_begun_if_so_asked() {
    let place = Place::plain();
    fs_err::remove_dir_all(place.prefix("zlib")).unwrap();
    let jobs = std::num::NonZeroUsize::MIN;
    let options = hod_cache::PushOptions { fail_fast: true, jobs, ..options() };
    let summary = place.push(&["linkfarm"], &options);
    let not_tried = summary.failed().filter(|(_, error)| matches!(error, Error::NotTried));
    assert_eq!(not_tried.count(), 3);
}

/// The entry of a package, and its manifest.
fn entry(place: &Place, name: &str) -> (SpackEntry, SpecManifest) {
    let mirror = place.mirror();
    let names: Vec<EntryName> = mirror.spack_names().unwrap().names;
    let name = names.iter().find(|it| it.name() == name).unwrap();
    let entry = mirror.read_spack_entry(name).unwrap().unwrap();
    let SpackContent::Manifest(manifest) = entry.content.clone() else { panic!("no manifest") };
    (entry, manifest)
}

/// What a check says is damaged.
fn damaged(place: &Place) -> Vec<Problem> {
    let report =
        place.mirror().check(2.try_into().unwrap(), &hod_archive::Cancel::default(), &|_| {});
    report.unwrap().damaged().map(|finding| finding.problem.clone()).collect()
}

/// The last layer of the image of a package.
fn layer_of_image(place: &Place, name: &str) -> hod_archive::Digest {
    let mirror = place.mirror();
    let is_its = |entry: &hod_mirror::Entry| entry.tag.as_ref().unwrap().starts_with(name);
    let entry = mirror.entries().unwrap().into_iter().find(is_its).unwrap();
    mirror.read_manifest(&entry.descriptor).unwrap().layers.last().unwrap().digest
}

/// The manifest of hello is given the tarball of libpng, or all that is libpng's. In the image
/// hello is as it should be, or there are no images.
#[rstest]
fn an_entry_with_the_tree_of_another_package_is_mended(
    #[values(true, false)] is_all_wrong: bool,
    #[values(true, false)] has_images: bool,
) {
    let place = Place::plain();
    assert_pushed(&place.push(&["hello", "libpng"], &options()));
    let ((hello, good), (libpng, other)) = (entry(&place, "hello"), entry(&place, "libpng"));
    let spec = if is_all_wrong { other.spec() } else { good.spec() };
    let wrong = SpecManifest::render(other.layer().clone(), spec.clone()).unwrap();
    fs_err::write(&hello.path, wrong.bytes()).unwrap();
    if !has_images {
        fs_err::remove_dir_all(place.at("mirror/oci")).unwrap();
    }
    let (expected, found) = (hello.name.to_string(), libpng.name.to_string());
    let problem = if is_all_wrong {
        Problem::WrongSpec { expected, found }
    } else {
        Problem::WrongTree { expected, found }
    };
    assert_eq!(damaged(&place), [problem]);

    let summary = place.push(&["hello", "libpng"], &options());
    assert_pushed(&summary);
    let mended = summary.pushed().find(|(package, _)| package.name() == "hello").unwrap().1;
    assert_eq!((mended.digest, mended.was_there), (hello.layer.digest, false));
    assert_eq!(entry(&place, "hello").1, good);
    assert_eq!(layer_of_image(&place, "hello"), hello.layer.digest);
    assert_eq!(damaged(&place), []);
    let again = place.push(&["hello", "libpng"], &options());
    assert!(again.pushed().all(|(_, pushed)| pushed.was_there), "{again:#?}");
}
