//! What a push takes, what it leaves out, and what it does the second time.

use hod_cache::{Only, PushOptions, Reason, SelectOptions, Wanted, select};
use hod_spec::Selection;

use crate::place::{Place, assert_pushed, hash, options, selected};

fn names(packages: &[hod_cache::Package]) -> Vec<&str> {
    packages.iter().map(hod_cache::Package::name).collect()
}

#[test]
fn dependencies_come_first_and_externals_not_at_all() {
    let place = Place::plain();
    let store = place.open();
    let with = selected(&store, &["linkfarm"], Selection::WithoutBuildDependencies);
    assert_eq!(names(&with.packages), ["zlib", "gcc-runtime", "bzip2", "linkfarm"]);
    assert!(with.left_out.is_empty());
    let only = selected(&store, &["linkfarm"], Selection::RootsOnly);
    assert_eq!(names(&only.packages), ["linkfarm"]);
}

#[test]
fn what_was_needed_to_build_and_is_gone_is_left_out() {
    let place = Place::plain();
    let store = place.open();
    let with = selected(&store, &["linkfarm"], Selection::WithBuildDependencies);
    assert_eq!(names(&with.packages), ["zlib", "gcc-runtime", "bzip2", "linkfarm"]);
    let left: Vec<_> = with.left_out.iter().map(|left| (&left.label[..16], &left.reason)).collect();
    assert_eq!(left, [("compiler-wrapper", &Reason::NotInstalled)]);
}

#[test]
fn what_is_excluded_is_left_out_and_images_that_need_it_are_held_back() {
    let place = Place::plain();
    let store = place.open();
    let roots = [hash(&store, "linkfarm")];
    let exclude = vec![Wanted::new("zlib").query().unwrap().clone()];
    let options_ = SelectOptions {
        dependencies: Selection::WithoutBuildDependencies,
        exclude,
        ..SelectOptions::default()
    };
    let selected = select(&store, &roots, &options_);
    assert_eq!(names(&selected.packages), ["gcc-runtime", "bzip2", "linkfarm"]);
    assert_eq!(selected.left_out[0].reason, Reason::Excluded("zlib".to_owned()));
    let summary = place.push_packages(&selected.packages, &options());
    assert_pushed(&summary);
    let (_, linkfarm) = summary.pushed().last().unwrap();
    assert_eq!(linkfarm.image, None);
    assert!(linkfarm.held_back.as_ref().unwrap().starts_with("zlib@1.2.13/"));
    // The package itself is there, and its image comes as soon as it can.
    let summary = place.push(&["linkfarm"], &options());
    let (_, linkfarm) = summary.pushed().last().unwrap();
    assert!(linkfarm.image.is_some() && !linkfarm.was_packed, "{linkfarm:#?}");
}

#[test]
fn the_second_time_nothing_is_looked_at() {
    let place = Place::plain();
    let first = place.push(&["hello"], &options());
    assert_pushed(&first);
    assert!(first.pushed().all(|(_, pushed)| pushed.was_packed && !pushed.was_there));
    // Not even the prefixes are needed: the hash decides, as it does for Spack.
    fs_err::remove_dir_all(place.prefix("hello")).unwrap();
    let second = place.push(&["hello"], &options());
    assert_pushed(&second);
    assert!(second.pushed().all(|(_, pushed)| pushed.was_there), "{second:#?}");
    let digests = |summary: &hod_cache::PushSummary| {
        summary
            .pushed()
            .map(|(_, pushed)| (pushed.digest, pushed.image.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&first), digests(&second));
}

#[test]
fn force_looks_at_the_tree_and_packs_what_has_changed() {
    let place = Place::plain();
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert_pushed(&place.push(&["hello"], &options()));
    let forced = PushOptions { force: true, ..options() };
    let unchanged = place.push(&["hello"], &forced);
    assert!(unchanged.pushed().all(|(_, pushed)| !pushed.was_packed), "{unchanged:#?}");
    fs_err::write(place.prefix("hello").join("share/new"), "news").unwrap();
    let changed = place.push(&["hello"], &forced);
    let packed = changed.pushed().filter(|(_, pushed)| pushed.was_packed);
    assert_eq!(packed.map(|(package, _)| package.name()).collect::<Vec<_>>(), ["hello"]);
}

#[test]
fn an_entry_that_was_pruned_comes_back_from_the_image() {
    let place = Place::plain();
    assert_pushed(&place.push(&["hello"], &options()));
    fs_err::remove_dir_all(place.at("mirror/v3/manifests")).unwrap();
    fs_err::remove_dir_all(place.at("mirror/blobs")).unwrap();
    let again = place.push(&["hello"], &options());
    assert_pushed(&again);
    assert!(again.pushed().all(|(_, pushed)| !pushed.was_packed && !pushed.was_there));
    assert_eq!(place.mirror().spack_names().unwrap().names.len(), 2);
}

#[test]
fn an_image_that_is_missing_comes_from_the_entry() {
    let place = Place::plain();
    assert_pushed(&place.push(&["hello"], &options()));
    let before = place.mirror().entries().unwrap();
    // As if Spack had pushed it.
    fs_err::remove_dir_all(place.at("mirror/oci")).unwrap();
    let again = place.push(&["hello"], &options());
    assert_pushed(&again);
    assert!(again.pushed().all(|(_, pushed)| !pushed.was_packed));
    let tags = |entries: &[hod_mirror::Entry]| {
        entries.iter().map(|entry| entry.tag.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tags(&place.mirror().entries().unwrap()), tags(&before));
}

#[test]
fn only_the_package_means_an_image_of_one_layer() {
    let place = Place::plain();
    let packages = selected(&place.open(), &["linkfarm"], Selection::RootsOnly).packages;
    let options = PushOptions { only: Only::Package, ..options() };
    let summary = place.push_packages(&packages, &options);
    assert_pushed(&summary);
    let entry = place.mirror().entries().unwrap().remove(0);
    let manifest = place.mirror().read_manifest(&entry.descriptor).unwrap();
    assert_eq!(manifest.layers.len(), 1);
}
