//! Walks over the graph of specs, each in exactly the order Spack has, since that order shows in
//! what is written: image layers, relocation lists, what is pushed first.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{DagHash, Database, Deptypes, Spec, SpecFile};

/// Where specs are found by hash.
pub trait Nodes {
    /// The spec of this hash, if it is here.
    fn node(&self, hash: &DagHash) -> Option<&Spec>;
}

impl Nodes for SpecFile {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.get(hash)
    }
}

impl Nodes for Database {
    fn node(&self, hash: &DagHash) -> Option<&Spec> {
        self.get(hash).map(|record| &record.spec)
    }
}

/// The specs an edge of one of `deptypes` leads to, in the order of the edges; those not found in
/// `nodes` are left out.
fn children<'a>(
    nodes: &'a dyn Nodes,
    spec: &'a Spec,
    deptypes: Deptypes,
) -> impl Iterator<Item = &'a Spec> {
    let edges = spec.dependencies.iter().filter(move |edge| edge.deptypes.intersects(deptypes));
    edges.filter_map(move |edge| nodes.node(&edge.hash))
}

/// Breadth first from `roots`, each spec once, the roots first.
fn breadth_first<'a>(
    nodes: &'a dyn Nodes,
    roots: impl IntoIterator<Item = &'a Spec>,
    deptypes: Deptypes,
) -> Vec<&'a Spec> {
    let mut seen = HashSet::new();
    let mut queue: VecDeque<&Spec> = roots.into_iter().collect();
    let mut order = Vec::new();
    while let Some(spec) = queue.pop_front() {
        if seen.insert(spec.hash) {
            order.push(spec);
            queue.extend(children(nodes, spec, deptypes));
        }
    }
    order
}

/// The roots and everything they need to work, over link and run edges, breadth first.
pub fn runtime_closure<'a>(
    nodes: &'a dyn Nodes,
    roots: impl IntoIterator<Item = &'a Spec>,
) -> Vec<&'a Spec> {
    breadth_first(nodes, roots, Deptypes::RUNTIME)
}

/// The specs whose prefixes may be in the files of `spec`: itself and its link dependencies,
/// breadth first, then what it runs; no externals (`spack-format` 2.4, `R(spec)`).
pub fn relocation_set<'a>(nodes: &'a dyn Nodes, spec: &'a Spec) -> Vec<&'a Spec> {
    let linked = breadth_first(nodes, [spec], Deptypes::LINK);
    let mut seen = HashSet::new();
    linked
        .into_iter()
        .chain(children(nodes, spec, Deptypes::RUN))
        .filter(|spec| spec.external.is_none() && seen.insert(spec.hash))
        .collect()
}

/// Which specs a push takes besides the roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// Everything the roots depend on, build dependencies included; as Spack does.
    #[default]
    WithBuildDependencies,
    /// Everything they depend on to link, run or be tested.
    WithoutBuildDependencies,
    /// Nothing else.
    RootsOnly,
}

/// What a push takes, dependencies before dependents: breadth first from the roots, without
/// externals, turned round (`spack-format` 10.1).
pub fn push_order<'a>(
    nodes: &'a dyn Nodes,
    roots: impl IntoIterator<Item = &'a Spec>,
    selection: Selection,
) -> Vec<&'a Spec> {
    let deptypes = match selection {
        Selection::WithBuildDependencies => Deptypes::ALL,
        Selection::WithoutBuildDependencies => Deptypes::RUNTIME | Deptypes::TEST,
        Selection::RootsOnly => Deptypes::NONE,
    };
    let mut order = breadth_first(nodes, roots, deptypes);
    order.retain(|spec| spec.external.is_none());
    order.reverse();
    order
}

/// The runtime closure in topological order, dependents first, as Spack sorts it for image layers
/// and environments (`spack-format` 5.4).
#[derive(Debug)]
pub struct Topological<'a>(Vec<&'a Spec>);

impl<'a> Topological<'a> {
    /// Sorts the closure of `roots`.
    pub fn new(nodes: &'a dyn Nodes, roots: impl IntoIterator<Item = &'a Spec>) -> Self {
        let roots: Vec<&Spec> = roots.into_iter().collect();
        let closure = breadth_first(nodes, roots.iter().copied(), Deptypes::RUNTIME);
        let edges: HashMap<DagHash, Vec<&Spec>> = closure
            .iter()
            .map(|spec| (spec.hash, children(nodes, spec, Deptypes::RUNTIME).collect()))
            .collect();
        let mut incoming: HashMap<DagHash, usize> = HashMap::new();
        for child in roots.iter().copied().chain(edges.values().flatten().copied()) {
            *incoming.entry(child.hash).or_default() += 1;
        }
        let mut order = Vec::with_capacity(closure.len());
        let mut queue = VecDeque::new();
        let mut arrive = |spec: &'a Spec, queue: &mut VecDeque<&'a Spec>| {
            let left = incoming.get_mut(&spec.hash).expect("every edge was counted");
            *left -= 1;
            if *left == 0 {
                order.push(spec);
                queue.push_back(spec);
            }
        };
        // An artificial node above all roots.
        for root in roots {
            arrive(root, &mut queue);
        }
        while let Some(spec) = queue.pop_front() {
            for child in &edges[&spec.hash] {
                arrive(child, &mut queue);
            }
        }
        Self(order)
    }

    /// Dependents before what they depend on.
    pub fn dependents_first(&self) -> impl DoubleEndedIterator<Item = &'a Spec> + '_ {
        self.0.iter().copied()
    }

    /// Dependencies before what needs them: the order of image layers.
    pub fn dependencies_first(&self) -> impl DoubleEndedIterator<Item = &'a Spec> + '_ {
        self.0.iter().rev().copied()
    }
}

/// The value of `spec` in a spec file of version 5 about `root`: the nodes depth first, each before
/// what it depends on, over all types of edges. The spec whose binary a spliced one is comes right
/// after that, with its own nodes (`spack-format` 2.1).
pub fn render_spec(nodes: &dyn Nodes, root: &Spec) -> String {
    let mut out = String::from("{\"_meta\":{\"version\":5},\"nodes\":[");
    for (index, spec) in document_order(nodes, root).into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&spec.v5_text());
    }
    out.push_str("]}");
    out
}

/// The nodes of a spec file in their order.
///
/// Spack starts a fresh walk for each build spec and drops from it what was written before, while
/// the walk around it knows nothing of that. So there are walks within walks, each with what it
/// has seen, and one set of what is written. Where a walk has been below a spec and come back,
/// nothing is left for any other.
fn document_order<'a>(nodes: &'a dyn Nodes, root: &'a Spec) -> Vec<&'a Spec> {
    enum Step<'a> {
        Enter(&'a Spec),
        Leave(DagHash),
    }
    struct Walk<'a> {
        steps: Vec<Step<'a>>,
        seen: HashSet<DagHash>,
    }
    let walk = |root| Walk { steps: vec![Step::Enter(root)], seen: HashSet::new() };
    let mut walks = vec![walk(root)];
    // A build spec's own list is the same whenever it is asked for.
    let mut listed = HashSet::new();
    let mut written = HashSet::new();
    let mut left = HashSet::new();
    let mut order = Vec::new();
    while let Some(current) = walks.last_mut() {
        let spec = match current.steps.pop() {
            Some(Step::Enter(spec)) => spec,
            Some(Step::Leave(hash)) => {
                left.insert(hash);
                continue;
            }
            None => {
                walks.pop();
                continue;
            }
        };
        if left.contains(&spec.hash) || !current.seen.insert(spec.hash) {
            continue;
        }
        if written.insert(spec.hash) {
            order.push(spec);
        }
        current.steps.push(Step::Leave(spec.hash));
        let first = current.steps.len();
        current.steps.extend(children(nodes, spec, Deptypes::ALL).map(Step::Enter));
        current.steps[first..].reverse();
        let build_spec = spec.build_spec.filter(|hash| *hash != spec.hash);
        let build_spec = build_spec.and_then(|hash| nodes.node(&hash));
        if let Some(build_spec) = build_spec.filter(|build_spec| listed.insert(build_spec.hash)) {
            walks.push(walk(build_spec));
        }
    }
    order
}

#[cfg(test)]
mod tests;
