//! What follows for the environment from the directories in prefixes (`spack-format` 8, parts 1 and
//! 2): what `spack load` says without recipes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use hod_spec::{DagHash, Deptypes, Nodes as _, Spec, Topological};
use hod_store::{Prefix, Store};

/// Directories of a prefix and the variables they are added to: Spack's default
/// `modules:prefix_inspections`, in its order.
const INSPECTIONS: [(&str, &str); 8] = [
    ("bin", "PATH"),
    ("man", "MANPATH"),
    ("share/man", "MANPATH"),
    ("share/aclocal", "ACLOCAL_PATH"),
    ("lib/pkgconfig", "PKG_CONFIG_PATH"),
    ("lib64/pkgconfig", "PKG_CONFIG_PATH"),
    ("share/pkgconfig", "PKG_CONFIG_PATH"),
    (".", "CMAKE_PREFIX_PATH"),
];

/// Where programs of what is run may be.
const PROGRAMS: [&str; 2] = ["bin", "bin64"];

/// Directories that are found without being named (`spack-format` 8): those of each root.
const SYSTEM_ROOTS: [&str; 3] = ["/", "/usr", "/usr/local"];
const SYSTEM_DIRECTORIES: [&str; 6] = ["", "bin", "bin64", "include", "lib", "lib64"];

/// Variables, each with the directories that come first in it.
pub type SearchPaths = BTreeMap<&'static str, Vec<String>>;

/// On which machine the environment is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Machine {
    /// Any that has the packages where they were installed. Spack looks into external packages as
    /// well and adds what it finds in this machine's `/usr`; another has none of that, so they are
    /// left out.
    #[default]
    Any,
    /// This one, with the packages where they lie.
    This,
}

/// What was found in prefixes: each is looked into once, however many images it is in.
#[derive(Debug, Default)]
pub(crate) struct Inspected {
    machine: Machine,
    found: HashMap<DagHash, Vec<&'static str>>,
}

/// What `spack load` of these packages puts first in search paths, as far as the directories of
/// their prefixes say; a directory that Spack adds twice is there once. The packages are installed,
/// and directories are where they lie on this machine.
pub fn search_paths(store: &Store, packages: &[DagHash]) -> SearchPaths {
    let roots: Vec<&Spec> = packages.iter().filter_map(|hash| store.node(hash)).collect();
    let mut inspected = Inspected { machine: Machine::This, found: HashMap::new() };
    inspected.search_paths(store, &roots)
}

impl Inspected {
    /// What the directories in the prefixes of the roots' runtime closure say.
    pub(super) fn search_paths(&mut self, store: &Store, roots: &[&Spec]) -> SearchPaths {
        let order = Topological::new(store, roots.iter().copied());
        let mut variables = SearchPaths::new();
        let mut add = |variable, directory: String| {
            let directories = variables.entry(variable).or_default();
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        };
        // What is run comes before what is linked: each of Spack's two rounds prepends. In the
        // first, externals do so before all others.
        let runnable = runnable(&order, roots);
        let (externals, own): (Vec<&Spec>, Vec<&Spec>) = order
            .dependents_first()
            .filter(|spec| runnable.contains(&spec.hash))
            .partition(|spec| spec.external.is_some());
        for spec in own.into_iter().chain(externals) {
            let Some(prefix) = self.prefix(store, spec).filter(|prefix| !is_system(prefix)) else {
                continue;
            };
            let has = self.directories(store, spec);
            for directory in PROGRAMS.into_iter().filter(|directory| has.contains(directory)) {
                if let Some(path) = within(&prefix, directory) {
                    add("PATH", path);
                }
            }
        }
        for spec in order.dependents_first() {
            let Some(prefix) = self.prefix(store, spec) else { continue };
            let has = self.directories(store, spec);
            for (directory, variable) in INSPECTIONS.iter().rev() {
                if has.contains(directory)
                    && !is_system(&prefix.join(directory))
                    && let Some(path) = within(&prefix, directory)
                {
                    add(variable, path);
                }
            }
        }
        variables
    }

    /// Those of the directories that a prefix has; `.` stands for itself.
    fn directories(&mut self, store: &Store, spec: &Spec) -> &[&'static str] {
        let prefix = self.place(store, spec);
        self.found.entry(spec.hash).or_insert_with(|| {
            let Some(prefix) = prefix else { return Vec::new() };
            let all = INSPECTIONS.iter().map(|(directory, _)| *directory).chain(["bin64"]);
            all.filter(|directory| prefix.location.join(directory).is_dir()).collect()
        })
    }

    fn place(&self, store: &Store, spec: &Spec) -> Option<Prefix> {
        let is_meant = self.machine == Machine::This || spec.external.is_none();
        store.prefix(&spec.hash).filter(|_| is_meant)
    }

    /// The prefix as it is called on the machine that is meant.
    fn prefix(&self, store: &Store, spec: &Spec) -> Option<PathBuf> {
        let prefix = self.place(store, spec)?;
        Some(match self.machine {
            Machine::Any => prefix.recorded,
            Machine::This => prefix.location,
        })
    }
}

/// As [`Inspected::search_paths`], for a prefix that no store knows. `location` is looked into,
/// `prefix` is its name.
pub(super) fn search_paths_of_prefix(location: &Path, prefix: &Path) -> SearchPaths {
    let mut variables = SearchPaths::new();
    for (directory, variable) in INSPECTIONS.iter().rev() {
        if location.join(directory).is_dir()
            && let Some(path) = within(prefix, directory)
        {
            variables.entry(variable).or_default().push(path);
        }
    }
    variables
}

/// The roots, and whatever is run by what is run.
fn runnable(order: &Topological<'_>, roots: &[&Spec]) -> HashSet<DagHash> {
    let mut runnable: HashSet<DagHash> = roots.iter().map(|root| root.hash).collect();
    for spec in order.dependents_first() {
        if runnable.contains(&spec.hash) {
            let edges = spec.dependencies.iter();
            let run = edges.filter(|edge| edge.deptypes.intersects(Deptypes::RUN));
            runnable.extend(run.map(|edge| edge.hash));
        }
    }
    runnable
}

/// Whether a directory is one that is found without being named: these alone, nothing below them.
fn is_system(path: &Path) -> bool {
    let normal: PathBuf = path.components().collect();
    let of_root =
        |root: &&str| SYSTEM_DIRECTORIES.iter().any(|name| Path::new(root).join(name) == normal);
    SYSTEM_ROOTS.iter().any(of_root)
}

/// A directory of a prefix; what is not text cannot be in a variable.
fn within(prefix: &Path, directory: &str) -> Option<String> {
    let path = if directory == "." { prefix.to_owned() } else { prefix.join(directory) };
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_anyway_is_known() {
        for path in ["/", "/usr", "/usr/", "/usr/.", "/usr/bin", "/usr/local/lib64", "/lib"] {
            assert!(is_system(Path::new(path)), "{path}");
        }
        for path in ["/usr/share/man", "/opt", "/opt/usr/bin", "/usr/lib/pkgconfig"] {
            assert!(!is_system(Path::new(path)), "{path}");
        }
    }
}
