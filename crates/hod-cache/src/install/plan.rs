//! What an installation will do: which packages are there, which are to come, from where and to
//! where.

mod preflight;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;

use hod_archive::Cancel;
use hod_spec::{DagHash, Dependency, Deptypes, Nodes, Spec};
use hod_store::{Layout, Store};

use super::locate::{Located, Locator};
use super::moves::{is_installed, place, sbang_of};
use super::{Graph, InstallError, InstallSource};
use crate::layer::Layer;
use crate::source::map;
use crate::{Error, LocalStore};
use preflight::Preflight;

/// Which dependencies are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dependencies {
    /// What is needed to run, as Spack does.
    #[default]
    Runtime,
    /// What was needed to build as well.
    All,
    /// None.
    None,
}

/// What is to be planned.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Which dependencies.
    pub dependencies: Dependencies,
    /// Install what was asked for even if it is there.
    pub is_forced: bool,
    /// The root without its padding, if a configuration says; of a store that is there, the store
    /// does.
    pub unpadded_root: Option<PathBuf>,
    /// Stops the work.
    pub cancel: Cancel,
}

/// What will be done.
#[derive(Debug)]
#[non_exhaustive]
pub struct InstallPlan {
    /// To be installed, dependencies first.
    pub steps: Vec<Step>,
    /// Packages that are in the store or its upstreams.
    pub present: Vec<DagHash>,
    /// Packages that cannot be installed, because nothing that could be used has them.
    pub absent: Vec<Absent>,
}

/// One package to be installed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// The package.
    pub spec: Spec,
    /// Where it goes, as recorded.
    pub prefix: PathBuf,
    /// Whether a user asked for it.
    pub is_explicit: bool,
    /// Which of the sources it comes from.
    pub source: usize,
    /// Bytes to be fetched.
    pub size: u64,
    pub(super) layer: Layer,
    /// Whether it is there, and is to be replaced.
    pub(super) replaces: bool,
}

impl Step {
    /// What must be there before this may be.
    pub(super) fn needs(&self) -> impl Iterator<Item = &Dependency> {
        self.spec.dependencies.iter().filter(|edge| edge.deptypes.intersects(Deptypes::RUNTIME))
    }
}

/// One package that cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub struct Absent {
    /// The package.
    pub spec: Spec,
    /// Why.
    pub error: InstallError,
}

/// Plans the installation of the roots of `graph`.
///
/// `store` is what is there; `None` for a store that is yet to be made.
///
/// # Errors
/// Only if there is no plan at all: packages that cannot be had are part of it.
pub fn plan_install(
    graph: &Graph,
    store: Option<&Store>,
    layout: &Layout,
    sources: &[InstallSource<'_>],
    local: &LocalStore,
    options: &PlanOptions,
) -> Result<InstallPlan, InstallError> {
    let mut plan = InstallPlan { steps: Vec::new(), present: Vec::new(), absent: Vec::new() };
    let mut wanted = Vec::new();
    for spec in order(graph, options.dependencies) {
        let is_root = graph.roots.contains(&spec.hash);
        let is_there = store.is_some_and(|store| is_installed(store, &spec.hash));
        let is_own = store.is_some_and(|store| !store.is_upstream(&spec.hash));
        let replaces = is_there && is_root && options.is_forced && is_own;
        if is_there && !replaces {
            plan.present.push(spec.hash);
        } else {
            wanted.push((spec, is_root, replaces));
        }
    }
    let locators: Vec<Locator<'_>> =
        sources.iter().map(|source| Locator::new(*source, local)).collect();
    let threads = locators.iter().map(|locator| locator.source.threads()).max().unwrap_or(1);
    // Of those without a place, that is said below.
    let places = wanted
        .iter()
        .filter_map(|(spec, ..)| Some((spec.hash, place(store, layout, graph, spec).ok()?)));
    let prefixes: HashMap<DagHash, PathBuf> = places.collect();
    let sbang = sbang_of(store, layout, options.unpadded_root.as_deref());
    let preflight = Preflight {
        graph,
        store,
        layout,
        prefixes: &prefixes,
        sbang: &sbang,
        options,
        turn: Mutex::default(),
    };
    let located = map(&wanted, threads, &options.cancel, |(spec, ..)| {
        let (index, located) = locate(&locators, graph, spec)?;
        preflight.check(spec, &locators[index], &located)?;
        Ok((index, located.layer))
    });
    if options.cancel.is_cancelled() {
        return Err(InstallError::Cancelled);
    }
    let mut taken: HashMap<PathBuf, &Spec> = HashMap::new();
    for ((spec, is_explicit, replaces), located) in wanted.into_iter().zip(located) {
        match located {
            Ok((source, layer)) => {
                let prefix = place(store, layout, graph, spec)?;
                if let Some(other) = taken.insert(prefix.clone(), spec) {
                    let (spec, other) = (spec.label(), other.label());
                    return Err(InstallError::SamePrefix { spec, other, path: prefix });
                }
                plan.steps.push(Step {
                    spec: spec.clone(),
                    prefix,
                    is_explicit,
                    source,
                    size: layer.size.unwrap_or(0),
                    layer,
                    replaces,
                });
            }
            Err(InstallError::Cache(Error::Cancelled) | InstallError::Cancelled) => {
                return Err(InstallError::Cancelled);
            }
            Err(error) => plan.absent.push(Absent { spec: spec.clone(), error }),
        }
    }
    Ok(plan)
}

/// The specs to be installed, each after those it depends on, without externals.
fn order(graph: &Graph, dependencies: Dependencies) -> Vec<&Spec> {
    let deptypes = match dependencies {
        Dependencies::Runtime => Deptypes::RUNTIME,
        Dependencies::All => Deptypes::ALL,
        Dependencies::None => Deptypes::NONE,
    };
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    // Depth first without recursion: a graph of foreign bytes may be a chain of any length.
    for root in &graph.roots {
        let mut open = vec![(*root, false)];
        while let Some((hash, is_done)) = open.pop() {
            let Some(spec) = graph.node(&hash) else { continue };
            if is_done {
                order.push(spec);
            } else if seen.insert(hash) {
                open.push((hash, true));
                let edges = spec.dependencies.iter().rev();
                let edges = edges.filter(|edge| edge.deptypes.intersects(deptypes));
                open.extend(edges.map(|edge| (edge.hash, false)));
            }
        }
    }
    order.retain(|spec| spec.external.is_none());
    order
}

/// The first mirror that has a usable blob. What is wrong with others is told only if none has.
fn locate(
    locators: &[Locator<'_>],
    graph: &Graph,
    spec: &Spec,
) -> Result<(usize, Located), InstallError> {
    let built = built(graph, spec)?;
    let mut first = None;
    for (index, locator) in locators.iter().enumerate() {
        match locator.locate(built) {
            Ok(Some(located)) => return Ok((index, located)),
            Ok(None) => {}
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| InstallError::Nowhere { spec: spec.label() }))
}

/// What mirrors have: of a spliced spec, what was built (`spack-format` 7.10).
pub(super) fn built<'a>(graph: &'a Graph, spec: &'a Spec) -> Result<&'a Spec, InstallError> {
    let no_spec = || InstallError::NoSpec { spec: spec.label(), source: None };
    match spec.build_spec {
        Some(hash) => graph.node(&hash).ok_or_else(no_spec),
        None => Ok(spec),
    }
}
