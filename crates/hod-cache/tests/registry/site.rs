//! A registry, a proxy in front of it, a store to push from.

use std::num::NonZeroUsize;
use std::sync::Arc;

use hod_cache::{Event, IndexMode, IndexReport, LocalStore, News, PushOptions, PushSummary};
use hod_mirror::Mirror;
use hod_mirror::registry::{Access, Reference, Registry, RegistryOptions};
use hod_testing::proxy::{Proxy, Seen};
use hod_testing::registry::{Options, Registry as Server};

use crate::place::Place;

pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
}

impl Site {
    /// `None`, with a printed reason, where there is no registry to be had.
    pub(crate) fn open(options: &Options<'_>) -> Option<Self> {
        let server = Server::start(options)?;
        let proxy = Proxy::start(server.host());
        Some(Self { place: Place::plain(), proxy, server })
    }

    /// A repository behind the proxy, as a new process would see it.
    pub(crate) fn repository(&self, name: &str) -> Registry {
        self.repository_with(name, RegistryOptions::default())
    }

    pub(crate) fn repository_with(&self, name: &str, options: RegistryOptions) -> Registry {
        let reference = format!("oci+http://{}/{name}", self.proxy.host());
        let reference = Reference::parse(&reference).unwrap();
        Registry::open(reference, Access::Push, options).unwrap()
    }

    /// Pushes specs and what they need at run time.
    pub(crate) fn push(
        &self,
        to: &Registry,
        names: &[&str],
        store: &LocalStore,
        options: &PushOptions,
    ) -> PushSummary {
        let which = hod_spec::Selection::WithoutBuildDependencies;
        let packages = crate::place::selected(&self.place.open(), names, which).packages;
        let mirror = Mirror::Registry(to.clone());
        hod_cache::push(&mirror, &packages, store, options, &|_: Event<'_>| {}).unwrap()
    }

    /// What went through the proxy, one `METHOD path` each, digests and sessions left out.
    pub(crate) fn told(&self) -> Vec<String> {
        self.proxy.requests().iter().map(told).collect()
    }
}

/// Brings an index up to date.
pub(crate) fn index(of: &Registry, mode: IndexMode) -> IndexReport {
    let mirror = Mirror::Registry(of.clone());
    let cancel = hod_archive::Cancel::default();
    let quiet = |_: Event<'_>| {};
    hod_cache::index(&mirror, News::All(mode), &none(), NonZeroUsize::MIN, &cancel, &quiet).unwrap()
}

/// A request in short.
pub(crate) fn told(seen: &Seen) -> String {
    let path = seen.path();
    let what = ["/blobs/uploads/", "/blobs/", "/manifests/", "/tags/list"]
        .into_iter()
        .find(|part| path.contains(part))
        .map_or(path, |part| part.trim_matches('/'));
    format!("{} {what}", seen.method)
}

/// A push that must not have failed.
pub(crate) fn good(summary: PushSummary) -> PushSummary {
    let failed: Vec<String> = summary
        .failed()
        .map(|(package, error)| {
            let causes =
                std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
            let causes: Vec<String> = causes.map(ToString::to_string).collect();
            format!("{}: {}", package.label(), causes.join(": "))
        })
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    if let Some(index) = &summary.index {
        assert!(index.is_ok(), "{index:#?}");
    }
    summary
}

/// As it says.
pub(crate) fn none() -> LocalStore {
    LocalStore::none()
}

/// Shared by all that a test pushes.
pub(crate) fn memory(site: &Site) -> Arc<LocalStore> {
    Arc::new(site.place.memory())
}
