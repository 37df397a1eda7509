//! Installations from a registry whose connections break.

use std::path::Path;
use std::time::Duration;

use hod_archive::{Cancel, Limits};
use hod_cache::{
    Event, Graph, InstallJob, InstallOptions, InstallSource, LocalStore, PlanOptions, PushOptions,
    Wanted, install, plan_install, resolve,
};
use hod_mirror::Mirror;
use hod_mirror::registry::{Registry, RegistryOptions};
use hod_store::{
    Difference, InstallManifest, OpenOptions, Patience, Permissions, Store, StoreWriter,
    WriteOptions,
};
use hod_testing::proxy::{Action, Rule};
use hod_testing::registry::Options;
use rstest::rstest;

use crate::site::{Site, good, none};

/// Installs zlib and gcc-runtime; what went wrong.
fn attempt(registry: Registry, root: &Path) -> Vec<String> {
    let mirror = Mirror::Registry(registry);
    let sources = [InstallSource { mirror: &mirror, is_signed: false }];
    let local = LocalStore::none();
    let mut graph = Graph::default();
    if let Err(error) = resolve(&mut graph, &Wanted::new("zlib"), &sources, &local, None) {
        return vec![told(&error)];
    }
    let writer = StoreWriter::ensure(root, &WriteOptions::default()).unwrap();
    let store = writer.read(&Patience::default()).unwrap();
    let options = PlanOptions::default();
    let plan =
        plan_install(&graph, Some(&store), writer.layout(), &sources, &local, &options).unwrap();
    let options = InstallOptions {
        jobs: 2,
        limits: Limits::default(),
        permissions: &|_| Ok(Permissions::default()),
        on_wait: &|_| {},
        lock_timeout: None,
        cancel: Cancel::default(),
    };
    let job = InstallJob {
        plan: &plan,
        graph: &graph,
        store: &store,
        writer: &writer,
        sources: &sources,
        local: &local,
    };
    let summary = install(&job, &options, &|_: Event<'_>| {}).unwrap();
    let absent = plan.absent.iter().map(|absent| told(&absent.error));
    let failed = summary.outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err());
    absent.chain(failed.map(|error| told(error))).collect()
}

fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How many packages are recorded, each of them whole; and nothing half is beside them.
fn whole(root: &Path) -> usize {
    if !root.join(".spack-db/index.json").exists() {
        return 0;
    }
    let store = Store::open(root, &OpenOptions::default()).unwrap();
    let mut count = 0;
    for record in store.records().filter(|record| record.installed) {
        if record.spec.external.is_none() {
            let prefix = store.installed_prefix(&record.spec.hash).unwrap();
            let found = InstallManifest::verify(&prefix.location, &prefix.recorded).unwrap();
            assert_eq!(found, Vec::<Difference>::new());
            count += 1;
        }
    }
    let there = fs_err::read_dir(root.join("linux-x86_64")).map_or(0, Iterator::count);
    assert_eq!(there, count);
    count
}

fn on(path: &'static str, times: usize, action: Action) -> Rule {
    Rule { method: "GET", path, times, ..Rule::new(action) }
}

#[rstest]
#[case::a_blob_is_cut(on("/blobs/", 2, Action::ResetAfterResponseBytes(20_000)), true)]
#[case::a_blob_ends_early(on("/blobs/", 2, Action::TruncateResponse(20_000)), true)]
#[case::the_registry_is_busy(on("/blobs/", 2, Action::respond(503)), true)]
#[case::a_blob_is_another_each_time(on("/blobs/", 100, Action::CorruptResponse(30_000)), false)]
#[case::a_blob_is_cut_each_time(on("/blobs/", 100, Action::ResetAfterResponseBytes(500)), false)]
#[case::a_manifest_is_damaged_each_time(on("/manifests/", 100, Action::CorruptResponse(30)), false)]
fn a_connection_that_breaks(#[case] rule: Rule, #[case] passes: bool) {
    let Some(site) = Site::open(&Options::default()) else { return };
    good(site.push(&site.repository("a/b"), &["zlib"], &none(), &PushOptions::default()));
    let place = tempfile::Builder::new().prefix("h").rand_bytes(4).tempdir_in("/tmp").unwrap();
    let root = place.path().join("s");
    let options = RegistryOptions {
        attempts: 4,
        timeout: Duration::from_secs(1),
        ..RegistryOptions::default()
    };
    let rule = site.proxy.rule(rule);
    let failures = attempt(site.repository_with("a/b", options.clone()), &root);
    assert!(site.proxy.applied(rule) > 0, "it never happened: {:#?}", site.told());
    assert_eq!(failures.is_empty(), passes, "{failures:#?}");
    assert_eq!(whole(&root) == 2, passes, "{failures:#?}");
    if !passes {
        site.proxy.clear_rules();
        assert_eq!(attempt(site.repository("a/b"), &root), Vec::<String>::new());
        assert_eq!(whole(&root), 2);
    }
}
