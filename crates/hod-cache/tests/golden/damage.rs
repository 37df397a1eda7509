//! A store with something missing: never a partial entry, always a reason.

use hod_cache::{Error, PushSummary};

use crate::place::{Place, options};

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
