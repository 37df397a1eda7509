//! Which specs of a store a push takes.

use std::collections::HashSet;
use std::sync::Arc;

use hod_spec::{DagHash, Nodes as _, Query, Selection, Spec, push_order, runtime_closure};
use hod_store::{Redistribution, Store};

use crate::{Installed, Package};

/// What to take besides the roots.
#[derive(Debug, Clone, Default)]
pub struct SelectOptions {
    /// Which dependencies.
    pub dependencies: Selection,
    /// Leave the roots themselves out.
    pub without_roots: bool,
    /// Leave out what matches one of these.
    pub exclude: Vec<Query>,
}

/// What a push takes from a store.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Selected {
    /// To be pushed, dependencies first.
    pub packages: Vec<Package>,
    /// Not to be pushed, and why.
    pub left_out: Vec<LeftOut>,
}

/// A spec that a push would take if it could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// `name@version/1234567`.
    pub label: String,
    /// The whole hash.
    pub hash: DagHash,
    /// Why.
    pub reason: Reason,
}

/// Why a spec is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was needed to build something and has been removed since. Harmless: nothing that is
    /// pushed needs it to work.
    NotInstalled,
    /// It matches this query.
    Excluded(String),
    /// Its recipe forbids to redistribute binaries.
    NotRedistributable,
}

/// Selects `roots` and their dependencies.
///
/// A dependency that is not installed but needed at run time stays selected: that it cannot be
/// packed is then told as a failure, not as a remark.
pub fn select(store: &Arc<Store>, roots: &[DagHash], options: &SelectOptions) -> Selected {
    let nodes: &Store = store;
    let root_specs: Vec<&Spec> = roots.iter().filter_map(|hash| nodes.node(hash)).collect();
    let needed: HashSet<DagHash> =
        runtime_closure(nodes, root_specs.iter().copied()).iter().map(|spec| spec.hash).collect();
    let mut selected = Selected::default();
    let is_root: HashSet<&DagHash> = roots.iter().collect();
    for spec in push_order(nodes, root_specs.iter().copied(), options.dependencies) {
        if options.without_roots && is_root.contains(&spec.hash) {
            continue;
        }
        let is_installed = store.record(&spec.hash).is_some_and(|record| record.installed);
        let reason =
            if let Some(query) = options.exclude.iter().find(|query| query.matches(spec, nodes)) {
                Reason::Excluded(query.to_string())
            } else if !is_installed && !needed.contains(&spec.hash) {
                Reason::NotInstalled
            } else if let Some(package) = Package::installed(store, spec.hash) {
                selected.packages.push(package);
                continue;
            } else {
                Reason::NotInstalled
            };
        selected.left_out.push(LeftOut { label: spec.label(), hash: spec.hash, reason });
    }
    selected
}

/// Whether the recipe beside an installed spec says that its binaries may not be passed on. One
/// that says so under a condition counts: a licence is not to be broken by a guess.
pub(crate) fn redistribution(installed: &Installed) -> Redistribution {
    // A prefix that cannot be looked at fails a moment later, and says why.
    installed.store().redistribution(&installed.hash()).unwrap_or(Redistribution::Unknown)
}
