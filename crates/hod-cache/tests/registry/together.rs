//! Several at once, and whoever is stopped in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use hod_cache::{IndexMode, PushOptions};
use hod_mirror::oci::Descriptor;
use hod_mirror::registry::{BlobSource, HOD_INDEX, Registry, SPACK_INDEX, UploadOptions};
use hod_testing::proxy::{Action, Rule};
use hod_testing::registry::Options;

use crate::site::{Site, good, index, none};

fn read(registry: &Registry, descriptor: &Descriptor) -> Result<Vec<u8>, hod_mirror::Error> {
    registry.read_blob(descriptor, descriptor.size)
}

/// The packages that are available by the index.
fn indexed(registry: &Registry) -> BTreeSet<String> {
    let index = registry.read_index(&read).unwrap().expect("there is an index");
    let available = index.records().filter(|record| record.in_buildcache);
    available.map(|record| record.spec.name.to_string()).collect()
}

fn updating() -> PushOptions {
    PushOptions { update_index: true, ..PushOptions::default() }
}

#[test]
fn of_pushers_at_the_same_time_none_loses_an_index_entry() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let names = ["zlib", "bzip2", "hello", "linkfarm", "libpng"];
    std::thread::scope(|scope| {
        for name in names {
            let site = &site;
            scope.spawn(move || {
                let registry = site.repository("a/b");
                good(site.push(&registry, &[name], &none(), &updating()));
            });
        }
    });
    let found = indexed(&site.repository("a/b"));
    assert!(names.iter().all(|name| found.contains(*name)), "{found:?}");
}

#[test]
fn a_writer_that_is_overtaken_writes_again() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/b");
    good(site.push(&registry, &["zlib"], &none(), &updating()));
    // Between reading and writing, this one is so slow that another comes and goes.
    let slow = Rule {
        method: "PUT",
        path: "/manifests/hod-index",
        times: 1,
        ..Rule::new(Action::Delay(Duration::from_millis(1500)))
    };
    site.proxy.rule(slow);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            good(site.push(&site.repository("a/b"), &["bzip2"], &none(), &updating()));
        });
        std::thread::sleep(Duration::from_millis(500));
        good(site.push(&site.repository("a/b"), &["hello"], &none(), &updating()));
        late.join().unwrap();
    });
    let found = indexed(&site.repository("a/b"));
    assert!(["zlib", "bzip2", "hello"].iter().all(|name| found.contains(*name)), "{found:?}");
}

#[test]
fn what_a_writer_of_spack_overtakes_is_not_lost_to_hod() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/b");
    good(site.push(&registry, &["zlib"], &none(), &updating()));
    let old = registry.manifest(SPACK_INDEX).unwrap().unwrap();
    good(site.push(&registry, &["bzip2"], &none(), &updating()));
    // Spack began before and ends now.
    let tag = hod_mirror::oci::Tag::for_spack_entry(SPACK_INDEX).unwrap();
    registry.put_manifest(&tag, &old).unwrap();
    assert!(indexed(&site.repository("a/b")).contains("bzip2"));
    // The next writer mends what Spack reads.
    good(site.push(&registry, &["hello"], &none(), &updating()));
    let (spack, hod) = (registry.resolve(SPACK_INDEX), registry.resolve(HOD_INDEX));
    assert_eq!(spack.unwrap(), hod.unwrap());
}

#[test]
fn an_index_that_somebody_compressed_is_read_and_written_anew() {
    use std::io::Write as _;
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/b");
    good(site.push(&registry, &["zlib"], &none(), &updating()));
    let manifest = registry.manifest(SPACK_INDEX).unwrap().unwrap().into_manifest().unwrap();
    let text = read(&registry, &manifest.layers[0]).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    let (_, digest, size) =
        registry.upload(BlobSource::Bytes(&gzip), UploadOptions::default()).unwrap();
    let mut copied = manifest.clone().into_view();
    copied.layers[0].digest = digest;
    copied.layers[0].size = size;
    let copied = hod_mirror::oci::Document::render(copied).unwrap();
    for tag in [SPACK_INDEX, HOD_INDEX] {
        let tag = hod_mirror::oci::Tag::for_spack_entry(tag).unwrap();
        registry.put_manifest(&tag, &(&copied).into()).unwrap();
    }
    assert!(indexed(&registry).contains("zlib"));
    let report = index(&site.repository("a/b"), IndexMode::Incremental);
    assert!(report.is_changed && report.skipped.is_empty());
    assert_eq!(registry.resolve(SPACK_INDEX).unwrap(), Some(manifest.digest()));
}

#[test]
fn what_is_gone_leaves_the_index() {
    let Some(site) = Site::open(&Options { delete: true, ..Options::default() }) else { return };
    let registry = site.repository("a/b");
    let summary = good(site.push(&registry, &["zlib", "bzip2"], &none(), &updating()));
    let image = summary
        .pushed()
        .find(|(package, _)| package.name() == "bzip2")
        .and_then(|(_, pushed)| pushed.image.clone())
        .unwrap();
    let path = format!("/v2/a/b/manifests/{}", image.manifest);
    let deleted =
        hod_testing::http::request(site.server.host(), "DELETE", &path, &[], b"").unwrap();
    assert_eq!(deleted.status, 202);
    let report = index(&site.repository("a/b"), IndexMode::Incremental);
    assert_eq!(report.dropped, 1);
    assert!(!indexed(&registry).contains("bzip2") && indexed(&registry).contains("zlib"));
}

#[test]
fn a_foreign_tag_does_not_stop_the_index() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let registry = site.repository("a/b");
    let summary = good(site.push(&registry, &["zlib"], &none(), &PushOptions::default()));
    let image = summary.pushed().next().and_then(|(_, pushed)| pushed.image.clone()).unwrap();
    // A package's image under another package's name.
    let manifest = registry.manifest(&image.tag).unwrap().unwrap();
    let wrong = format!("zlib-1-{}.spack", "a".repeat(32));
    let tag = hod_mirror::oci::Tag::for_spack_entry(wrong.clone()).unwrap();
    registry.put_manifest(&tag, &manifest).unwrap();
    let report = index(&site.repository("a/b"), IndexMode::Rebuild);
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.skipped[0].path.to_string_lossy(), wrong);
    assert!(indexed(&registry).contains("zlib"));
}

#[test]
fn what_was_interrupted_is_not_done_twice() {
    let Some(site) = Site::open(&Options::default()) else { return };
    let store = site.place.memory();
    std::thread::sleep(Duration::from_millis(150));
    // Killed at some point, again and again, and started again each time.
    let mut sent: Vec<String> = Vec::new();
    for attempt in 0..12 {
        let options = PushOptions::default();
        let cancel = options.cancel.clone();
        let registry = site.repository_with(
            "a/b",
            hod_mirror::registry::RegistryOptions { cancel: cancel.clone(), ..Default::default() },
        );
        site.proxy.clear();
        site.proxy.latency(Duration::from_millis(10));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(40 * (attempt + 1)));
            cancel.cancel();
        });
        let summary = site.push(&registry, &["hello", "libpng"], &store, &options);
        killer.join().unwrap();
        // What has its name already is not sent again.
        let complete = |seen: &hod_testing::proxy::Seen| {
            seen.is("PUT", "/manifests/") && seen.status == Some(201)
        };
        for seen in site.proxy.requests().iter().filter(|seen| complete(seen)) {
            let path = seen.path().to_owned();
            assert!(!sent.contains(&path), "{path} was sent twice");
            sent.push(path);
        }
        if summary.failed().count() == 0 {
            break;
        }
    }
    site.proxy.latency(Duration::ZERO);
    let summary = good(site.push(
        &site.repository("a/b"),
        &["hello", "libpng"],
        &store,
        &PushOptions::default(),
    ));
    assert!(summary.pushed().all(|(_, pushed)| pushed.image.is_some()));
    crate::faults::assert_whole(&site, "a/b");
}
