//! How many requests things cost: exact, and the same on every machine.

use hod_cache::{IndexMode, PushOptions};
use hod_testing::registry::Options;

use crate::site::{Site, good, index, memory, none, told};

/// Specs that `hello` and `libpng` bring along, themselves included.
const NAMES: [&str; 2] = ["hello", "libpng"];

#[test]
fn a_first_push_costs_at_most_seven_requests_a_spec() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/cache");
    let summary = good(site.push(&registry, &NAMES, &memory(&site), &PushOptions::default()));
    let n = summary.outcomes.len();
    assert!(n >= 4, "{n}");
    assert!(summary.pushed().all(|(_, pushed)| pushed.image.is_some() && pushed.was_packed));
    let told = site.told();
    let count = |what: &str| told.iter().filter(|request| *request == what).count();
    // Of each spec a look, POST and PUT of the layer, POST and PUT of the config, the manifest; and
    // a PATCH of each layer that is large enough to be sent while it is packed, if it still is.
    assert_eq!(told.len(), 6 * n + count("PATCH blobs/uploads"), "{told:#?}");
    assert!(count("PATCH blobs/uploads") <= 1);
    assert_eq!(count("GET manifests"), n);
    assert_eq!(count("POST blobs/uploads"), 2 * n);
    assert_eq!(count("PUT manifests"), n);
}

#[test]
fn a_repeated_push_only_looks() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let n = good(site.push(&site.repository("a/cache"), &NAMES, &none(), &PushOptions::default()))
        .outcomes
        .len();
    site.proxy.clear();
    let registry = site.repository("a/cache");
    let summary = good(site.push(&registry, &NAMES, &none(), &PushOptions::default()));
    assert!(summary.pushed().all(|(_, pushed)| pushed.was_there));
    assert_eq!(site.proxy.requests().len(), n, "{:#?}", site.told());
}

#[test]
fn what_was_packed_before_is_sent_from_where_it_was_kept() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let store = memory(&site);
    // So that the trees are believed to be settled.
    std::thread::sleep(std::time::Duration::from_millis(150));
    let first = site.repository("a/first");
    let n = good(site.push(&first, &NAMES, &store, &PushOptions::default())).outcomes.len();
    site.proxy.clear();
    let second = site.repository("a/second");
    let summary = good(site.push(&second, &NAMES, &store, &PushOptions::default()));
    assert!(summary.pushed().all(|(_, pushed)| !pushed.was_packed));
    assert!(site.proxy.requests().len() <= 8 * n + 6, "{:#?}", site.told());
}

#[test]
fn the_index_after_a_push_costs_the_same_however_much_there_is() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let update = PushOptions { update_index: true, ..PushOptions::default() };
    let registry = site.repository("a/cache");
    let small = good(site.push(&registry, &["zlib"], &none(), &PushOptions::default()));
    let before = site.proxy.requests().len();
    good(site.push(&registry, &["zlib"], &none(), &update));
    let first = site.proxy.requests().len() - before - small.outcomes.len();
    assert!(first <= 8, "{first} {:#?}", &site.told()[before..]);

    let n = good(site.push(&registry, &NAMES, &none(), &PushOptions::default())).outcomes.len();
    let before = site.proxy.requests().len();
    good(site.push(&registry, &NAMES, &none(), &update));
    let later = site.proxy.requests().len() - before - n;
    assert!(later <= 8, "{later} {:#?}", &site.told()[before..]);
}

#[test]
fn another_process_indexes_for_two_requests_a_spec() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/cache");
    good(site.push(&registry, &["zlib"], &none(), &PushOptions::default()));
    index(&registry, IndexMode::Incremental);
    let k = good(site.push(&registry, &NAMES, &none(), &PushOptions::default()))
        .pushed()
        .filter(|(_, pushed)| !pushed.was_there)
        .count();
    site.proxy.clear();
    let report = index(&site.repository("a/cache"), IndexMode::Incremental);
    assert_eq!(report.read, k as u64);
    let requests = site.proxy.requests().iter().map(told).collect::<Vec<_>>();
    let pages = requests.iter().filter(|request| *request == "GET tags/list").count();
    assert!(requests.len() <= 2 * k + 8 + pages, "{requests:#?}");
    // And with nothing new, it only looks.
    site.proxy.clear();
    let report = index(&site.repository("a/cache"), IndexMode::Incremental);
    assert!(!report.is_changed);
    assert!(site.proxy.requests().len() <= 5, "{:#?}", site.told());
}
