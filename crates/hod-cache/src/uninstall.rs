//! Uninstall: packages of a store go, if nothing that is installed needs them.
//!
//! ```text
//! removable ─▶ plan ═▶ lock ─ record ─ rename ─▶ remove the tree
//! queries      data    as many at the same time as have free locks, dependents first
//! to hashes
//! ```

mod error;
mod run;
mod tree;

pub use error::UninstallError;
pub use run::{
    UninstallOptions, UninstallOutcome, UninstallResult, UninstallSummary, Uninstalled, uninstall,
};

use std::collections::HashSet;
use std::path::PathBuf;

use hod_spec::{DagHash, Nodes as _, Record, Spec, Topological};
use hod_store::Store;

use crate::{Error, Place, Wanted};

/// How many packages a query may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// One.
    One,
    /// Any number, but not none.
    All,
}

/// What becomes of installed packages that need one that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// They stay, and so does what they need.
    Kept,
    /// They go as well.
    Removed,
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UninstallPlan {
    /// Packages, dependents first.
    pub steps: Vec<UninstallStep>,
}

/// One package that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UninstallStep {
    /// The package.
    pub spec: Spec,
    /// Where it is, as recorded.
    pub prefix: PathBuf,
    /// Whether it was named; the others need one that was.
    pub is_asked: bool,
    /// Installed packages that were built with it and do not need it since: its record stays for
    /// them, as of one that is not installed.
    pub built: Vec<String>,
}

/// The packages of a store that a query means and that could be removed, if nothing needs them:
/// installed ones, and deprecated ones, of which there is a link to the package that is used
/// instead (`spack deprecate`).
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Ambiguous`]; [`UninstallError::External`] and
/// [`UninstallError::Upstream`] if that is all that matches.
pub fn removable(
    store: &Store,
    wanted: &Wanted,
    matching: Matching,
) -> Result<Vec<DagHash>, UninstallError> {
    let query = wanted.query()?;
    let known: Vec<&Record> = store.records().filter(|record| is_there(store, record)).collect();
    let matches = known.iter().copied().filter(|record| query.matches(&record.spec, store));
    let (externals, mut matches): (Vec<&Record>, Vec<&Record>) =
        matches.partition(|record| record.spec.external.is_some());
    if let ([], Some(external)) = (&matches[..], externals.first()) {
        return Err(UninstallError::External { spec: external.spec.label() });
    }
    if matches.is_empty() {
        let whole = query.hash_prefix().and_then(|hash| hash.parse::<DagHash>().ok());
        if let Some(spec) =
            whole.filter(|hash| store.is_upstream(hash)).and_then(|hash| store.node(&hash))
        {
            return Err(UninstallError::Upstream { spec: spec.label() });
        }
        let names = known.iter().map(|record| record.spec.name.to_string()).collect();
        let place = Place::Store(store.location().to_owned());
        return Err(wanted.not_found(place, known.len(), names, Vec::new()).into());
    }
    matches.sort_by(|a, b| {
        let key = |record: &'_ Record| (record.spec.label(), record.spec.hash);
        key(a).cmp(&key(b))
    });
    if matching == Matching::One && matches.len() > 1 {
        return Err(UninstallError::Cache(Error::Ambiguous {
            query: wanted.as_str().to_owned(),
            place: Place::Store(store.location().to_owned()),
            matches: matches.iter().map(|record| record.spec.label()).collect(),
        }));
    }
    Ok(matches.iter().map(|record| record.spec.hash).collect())
}

/// Whether there is something to remove. A deprecated package is not installed, but has a link.
fn is_there(store: &Store, record: &Record) -> bool {
    let has_link = || {
        let prefix = store.prefix(&record.spec.hash);
        prefix.is_some_and(|prefix| prefix.location.is_symlink())
    };
    record.installed || record.deprecated_for.is_some() && has_link()
}

/// Decides what is to be removed for packages that were named together.
///
/// # Errors
/// [`UninstallError::Needed`] if one of them is needed by a package that stays.
pub fn plan_uninstall(
    store: &Store,
    named: &[DagHash],
    dependents: Dependents,
) -> Result<UninstallPlan, UninstallError> {
    let mut all = named.to_vec();
    let needing = store.dependents(named);
    match dependents {
        Dependents::Removed => all.extend(needing.iter().map(|record| record.spec.hash)),
        Dependents::Kept if !needing.is_empty() => return Err(needed(store, named, &needing)),
        Dependents::Kept => {}
    }
    let going: HashSet<DagHash> = all.iter().copied().collect();
    let order = Topological::new(store, all.iter().filter_map(|hash| store.node(hash)));
    let step = |spec: &Spec| {
        let built = store.built_with(&spec.hash).into_iter();
        let stays = |record: &&Record| !going.contains(&record.spec.hash);
        UninstallStep {
            prefix: store.prefix(&spec.hash).map(|prefix| prefix.recorded).unwrap_or_default(),
            is_asked: named.contains(&spec.hash),
            built: built.filter(stays).map(|record| record.spec.label()).collect(),
            spec: spec.clone(),
        }
    };
    let steps = order.dependents_first().filter(|spec| going.contains(&spec.hash)).map(step);
    Ok(UninstallPlan { steps: steps.collect() })
}

/// Which of the packages named are needed, and by what.
fn needed(store: &Store, named: &[DagHash], needing: &[&Record]) -> UninstallError {
    let is_needed = |hash: &&DagHash| !store.dependents(&[**hash]).is_empty();
    let all: HashSet<&DagHash> = named.iter().collect();
    // Those that only others of those named need are in nobody's way.
    let is_in_the_way = |hash: &&DagHash| {
        let dependents = store.dependents(&[**hash]);
        dependents.iter().any(|record| !all.contains(&record.spec.hash))
    };
    let specs = named.iter().filter(is_needed).filter(is_in_the_way);
    let mut dependents: Vec<String> = needing.iter().map(|record| record.spec.label()).collect();
    dependents.sort();
    UninstallError::Needed {
        specs: specs.filter_map(|hash| store.node(hash)).map(Spec::label).collect(),
        dependents,
    }
}
