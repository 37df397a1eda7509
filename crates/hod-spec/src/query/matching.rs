//! Whether a spec meets the conditions, as Spack decides it for concrete specs
//! (`Spec.satisfies`).

use std::collections::{BTreeSet, VecDeque};

use super::{Edge, Node, Query, Wanted, package_of};
use crate::{Dependency, Deptypes, Nodes, Parameters, Spec, Variant};

impl Query {
    /// Whether `spec` is what is asked for. Its dependencies are found in `nodes`; one that is not
    /// there meets no condition.
    pub fn matches(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        if !self.root.admits(spec, nodes) {
            return false;
        }
        if self.transitive.is_empty() {
            return true;
        }
        let reachable = reachable(spec, nodes);
        self.transitive.iter().all(|wanted| wanted.is_among(&reachable, nodes))
    }
}

/// An edge with what it leads to.
type Reached<'a> = (&'a Dependency, &'a Spec);

/// What `^` looks at: all edges for linking and running, and the direct ones for building.
fn reachable<'a>(spec: &'a Spec, nodes: &'a dyn Nodes) -> Vec<Reached<'a>> {
    let mut edges = Vec::new();
    let mut seen = BTreeSet::from([spec.hash]);
    let mut queue = VecDeque::from([spec]);
    while let Some(parent) = queue.pop_front() {
        for edge in &parent.dependencies {
            let is_runtime = edge.deptypes.intersects(Deptypes::RUNTIME);
            let is_direct = parent.hash == spec.hash && edge.deptypes.intersects(Deptypes::BUILD);
            if !is_runtime && !is_direct {
                continue;
            }
            let Some(child) = nodes.node(&edge.hash) else { continue };
            edges.push((edge, child));
            if is_runtime && seen.insert(child.hash) {
                queue.push_back(child);
            }
        }
    }
    edges
}

impl Edge {
    /// Whether this is asked of the edge or of what it leads to: by name, by a virtual package or
    /// by no name at all.
    fn is_about(&self, (edge, spec): &Reached<'_>) -> bool {
        self.node
            .name
            .as_ref()
            .is_none_or(|name| *name == spec.name || edge.virtuals.contains(name))
    }

    /// For `^`: all virtual packages must come from somewhere, and one spec must meet the rest.
    fn is_among(&self, reachable: &[Reached<'_>], nodes: &dyn Nodes) -> bool {
        let about = || reachable.iter().filter(|reached| self.is_about(reached));
        let has_all = self.virtuals.iter().all(|wanted| {
            about().any(|(edge, spec)| edge.virtuals.contains(wanted) || spec.name == *wanted)
        });
        has_all && about().any(|(_, spec)| self.admits(spec, nodes))
    }

    /// For `%`: one edge must give one of the virtual packages and lead to a spec that meets the
    /// rest.
    fn is_direct_of(&self, parent: &Spec, nodes: &dyn Nodes) -> bool {
        let is_old = parent.original_format() < 5;
        if is_old || (parent.external.is_some() && parent.dependencies.is_empty()) {
            return parent
                .compiler
                .as_deref()
                .is_some_and(|compiler| self.admits_compiler(compiler));
        }
        parent.dependencies.iter().any(|edge| {
            let gives_one = self.virtuals.is_empty()
                || self.virtuals.iter().any(|wanted| edge.virtuals.contains(wanted));
            let child = nodes.node(&edge.hash).filter(|_| gives_one);
            child.is_some_and(|child| self.is_about(&(edge, child)) && self.admits(child, nodes))
        })
    }

    /// What a virtual package's version is only recipes know; all else is asked of its provider.
    fn admits(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        let is_real = self.node.name.as_ref().is_none_or(|name| *name == spec.name);
        (is_real || self.node.versions.is_empty()) && self.node.admits_rest(spec, nodes)
    }

    /// Of old specs nothing but name and version of the compiler is known.
    fn admits_compiler(&self, compiler: &str) -> bool {
        let (name, version) = compiler.split_once("@=").unwrap_or((compiler, ""));
        let wanted = &self.node;
        let is_name = wanted.name.as_deref().is_none_or(|wanted| wanted == package_of(name));
        let is_version = wanted.versions.is_empty() || !version.is_empty();
        let only = Node {
            name: wanted.name.clone(),
            versions: wanted.versions.clone(),
            ..Node::default()
        };
        is_name && is_version && wanted.admits_version(version) && *wanted == only
    }
}

impl Node {
    fn admits(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        self.name.as_ref().is_none_or(|name| *name == spec.name) && self.admits_rest(spec, nodes)
    }

    /// Everything but the name; what is cheap comes first.
    fn admits_rest(&self, spec: &Spec, nodes: &dyn Nodes) -> bool {
        self.hash.as_ref().is_none_or(|prefix| spec.hash.starts_with(prefix))
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == spec.namespace)
            && is_or_any(self.platform.as_deref(), &spec.arch.platform)
            && is_or_any(self.os.as_deref(), &spec.arch.os)
            && self.admits_target(&spec.arch.target)
            && self.admits_version(&spec.version)
            && self.admits_parameters(spec)
            && self.direct.iter().all(|wanted| wanted.is_direct_of(spec, nodes))
    }

    fn admits_version(&self, version: &str) -> bool {
        self.versions.is_empty() || self.versions.iter().any(|range| range.contains(version))
    }

    /// One of a list.
    fn admits_target(&self, target: &str) -> bool {
        let Some(wanted) = self.target.as_deref() else { return true };
        !target.is_empty() && (wanted == "*" || wanted.split(',').any(|wanted| wanted == target))
    }

    fn admits_parameters(&self, spec: &Spec) -> bool {
        if self.variants.is_empty() && self.flags.is_empty() {
            return true;
        }
        let Parameters { variants, flags } = spec.parameters();
        let has_flag = |name: &str, flag| flags.get(name).is_some_and(|flags| flags.contains(flag));
        self.variants.iter().all(|(name, wanted)| {
            variants.get(name).is_some_and(|variant| wanted.admits(name, variant))
        }) && self.flags.iter().all(|(name, wanted)| wanted.iter().all(|flag| has_flag(name, flag)))
    }
}

impl Wanted {
    fn admits(&self, name: &str, variant: &Variant) -> bool {
        let values = match (self, variant) {
            (Self::Anything, _) => return true,
            (Self::Bool(wanted), Variant::Bool(value)) => return wanted == value,
            (Self::Bool(_), _) | (_, Variant::Bool(_)) => return false,
            (_, Variant::One(value)) => std::slice::from_ref(value),
            (_, Variant::Many(values)) => values,
        };
        match self {
            // Patches are known by the beginnings of their checksums.
            Self::Contains(wanted) if name == "patches" => {
                wanted.iter().all(|wanted| values.iter().any(|value| value.starts_with(&**wanted)))
            }
            Self::Contains(wanted) => wanted.iter().all(|wanted| values.contains(wanted)),
            Self::Equals(wanted) => {
                wanted.iter().all(|wanted| values.contains(wanted))
                    && values.iter().all(|value| wanted.contains(value))
            }
            Self::Anything | Self::Bool(_) => true,
        }
    }
}

fn is_or_any(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value || wanted == "*" && !value.is_empty())
}
