//! Which prefix becomes which when a package is installed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Deptypes, Nodes, Spec, Version, relocation_set};
use hod_store::{BuildInfo, Layout, Store};

use super::InstallError;

/// Old and new prefixes, in the order of their priority.
pub(crate) type Moves = Vec<(Vec<u8>, Vec<u8>)>;

/// Where packages are, and where those go that are yet to come.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The packages and all they need.
    pub(crate) nodes: &'a dyn Nodes,
    /// What is there.
    pub(crate) store: Option<&'a Store>,
    pub(crate) layout: &'a Layout,
    /// Of those whose place was found already.
    pub(crate) prefixes: &'a HashMap<DagHash, PathBuf>,
    pub(crate) sbang: &'a Path,
}

impl Places<'_> {
    /// What becomes what, in Spack's order (`spack-format` 7.3).
    pub(crate) fn moves(&self, spec: &Spec, info: &BuildInfo) -> Result<Moves, InstallError> {
        let known: HashMap<&str, &str> =
            info.hash_to_prefix.iter().map(|(hash, prefix)| (&**hash, &**prefix)).collect();
        let mut pairs = Moves::new();
        if let Some(sbang) = &info.sbang_install_path {
            let own = self.sbang.as_os_str().as_encoded_bytes().to_vec();
            pairs.push((sbang.clone().into_bytes(), own));
        }
        for node in relocation_set(self.nodes, spec) {
            let built = self.built_as(spec, node);
            let Some(old) = built.and_then(|hash| known.get(&*hash.to_string()).copied()) else {
                continue;
            };
            let new = self.prefix(node)?;
            pairs.push((old.as_bytes().to_vec(), new.into_os_string().into_encoded_bytes()));
        }
        let root = self.layout.root().as_os_str().as_encoded_bytes().to_vec();
        pairs.push((info.buildpath.clone().into_bytes(), root));
        Ok(pairs)
    }

    /// Under which hash the archive knows a package that `spec` needs: of a spliced one, what it
    /// was built with instead (`spack-format` 7.10).
    fn built_as(&self, spec: &Spec, node: &Spec) -> Option<DagHash> {
        let Some(built) = spec.build_spec else { return Some(node.hash) };
        if node.hash == spec.hash {
            return Some(built);
        }
        let built = self.nodes.node(&built)?;
        let runtime = Deptypes::RUNTIME | Deptypes::TEST;
        let mut seen = HashSet::new();
        let mut queue = vec![built];
        let mut analogs: Vec<&Spec> = Vec::new();
        let provided = virtuals(spec, self.nodes, &node.hash);
        while let Some(current) = queue.pop() {
            if !seen.insert(current.hash) {
                continue;
            }
            if current.hash == node.hash {
                return Some(node.hash);
            }
            let offers = virtuals(built, self.nodes, &current.hash);
            let is_provider = !provided.is_empty() && provided.iter().all(|v| offers.contains(v));
            if current.hash != built.hash && (current.name == node.name || is_provider) {
                analogs.push(current);
            }
            let edges =
                current.dependencies.iter().filter(|edge| edge.deptypes.intersects(runtime));
            queue.extend(edges.filter_map(|edge| self.nodes.node(&edge.hash)));
        }
        let rank = |analog: &Spec| analog.name == node.name;
        let order = |a: &&Spec, b: &&Spec| {
            let versions = || Version::parse(&a.version).cmp(&Version::parse(&b.version));
            rank(a).cmp(&rank(b)).then_with(versions)
        };
        analogs.into_iter().max_by(order).map(|analog| analog.hash)
    }

    /// Where a package is, or will be, as recorded.
    fn prefix(&self, node: &Spec) -> Result<PathBuf, InstallError> {
        if let Some(prefix) = self.prefixes.get(&node.hash) {
            return Ok(prefix.clone());
        }
        place(self.store, self.layout, self.nodes, node)
    }
}

/// The virtual packages that a spec provides anywhere below `root`.
fn virtuals<'a>(root: &'a Spec, nodes: &'a dyn Nodes, provider: &DagHash) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for spec in hod_spec::runtime_closure(nodes, [root]) {
        let edges = spec.dependencies.iter().filter(|edge| edge.hash == *provider);
        found.extend(edges.flat_map(|edge| edge.virtuals.iter().map(|name| &**name)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Where the store has `sbang`, or will have it.
pub(crate) fn sbang_of(
    store: Option<&Store>,
    layout: &Layout,
    unpadded_root: Option<&Path>,
) -> PathBuf {
    let derived = || hod_store::unpadded(layout.root());
    let own = || unpadded_root.map_or_else(derived, Path::to_owned).join("bin/sbang");
    store.map_or_else(own, Store::sbang_path)
}

/// Whether a spec is in the store, or in an upstream: by its record, and by its prefix.
pub(super) fn is_installed(store: &Store, hash: &DagHash) -> bool {
    store.installed_prefix(hash).is_ok()
}

/// Where a package goes, as recorded: where its record says, be it installed or not, else where the
/// projections say. Spack asks in this order, too (`Spec.prefix` in `spec.py`).
pub(super) fn place(
    store: Option<&Store>,
    layout: &Layout,
    nodes: &dyn Nodes,
    spec: &Spec,
) -> Result<PathBuf, InstallError> {
    if let Some(known) = store.and_then(|store| store.prefix(&spec.hash)) {
        return Ok(known.recorded);
    }
    let prefix = layout.prefix_of(spec, nodes);
    let failed = |source| InstallError::Layout { spec: spec.label(), source: Box::new(source) };
    // Only an external may have none, and those are not installed.
    Ok(prefix.map_err(failed)?.unwrap_or_default())
}

/// What a tree says of itself.
pub(crate) fn parse(build_info: &[u8], label: &str) -> Result<BuildInfo, InstallError> {
    BuildInfo::parse(build_info)
        .map_err(|source| InstallError::BuildInfo { spec: label.to_owned(), source: source.into() })
}
