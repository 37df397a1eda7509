//! The environment in which a container of an image runs, as far as it follows from what is in
//! the prefixes (`spack-format` 8). What only recipes know is not here.

use std::collections::{BTreeMap, HashMap, HashSet};

use hod_spec::{DagHash, Deptypes, Spec, Topological};
use hod_store::Store;

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

/// What a shell finds where nothing was installed.
const BASE_PATH: [&str; 2] = ["/bin", "/usr/bin"];

/// What was found in prefixes: each is looked into once, however many images it is in.
#[derive(Debug, Default)]
pub(crate) struct Inspected(HashMap<DagHash, Vec<&'static str>>);

impl Inspected {
    /// Those of the directories that a prefix has; `.` stands for itself. Externals have none:
    /// what they have is on this machine only.
    fn directories(&mut self, store: &Store, spec: &Spec) -> &[&'static str] {
        self.0.entry(spec.hash).or_insert_with(|| {
            let Some(prefix) = store.prefix(&spec.hash).filter(|_| spec.external.is_none()) else {
                return Vec::new();
            };
            let all = INSPECTIONS.iter().map(|(directory, _)| *directory).chain(["bin64"]);
            all.filter(|directory| prefix.location.join(directory).is_dir()).collect()
        })
    }
}

/// `NAME=value` lines for an image of `root` with its runtime closure: `PATH` first, then by name.
///
/// Spack looks into external packages as well and adds what it finds in this machine's `/usr`. An
/// image has none of that, and would differ from machine to machine: they are left out here. A
/// directory that Spack adds twice is there once.
pub(crate) fn environment(store: &Store, root: &Spec, inspected: &mut Inspected) -> Vec<String> {
    let order = Topological::new(store, [root]);
    let mut variables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut add = |variable, directory: String| {
        let directories = variables.entry(variable).or_default();
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    };
    // What is run comes before what is linked: each of Spack's two rounds prepends.
    let runnable = runnable(&order, root);
    for spec in order.dependents_first().filter(|spec| runnable.contains(&spec.hash)) {
        let has = inspected.directories(store, spec);
        for directory in ["bin", "bin64"].into_iter().filter(|directory| has.contains(directory)) {
            if let Some(path) = path_of(store, spec, directory) {
                add("PATH", path);
            }
        }
    }
    for spec in order.dependents_first() {
        let has = inspected.directories(store, spec);
        for (directory, variable) in INSPECTIONS.iter().rev() {
            if has.contains(directory)
                && let Some(path) = path_of(store, spec, directory)
            {
                add(variable, path);
            }
        }
    }
    for path in BASE_PATH {
        add("PATH", path.to_owned());
    }
    let path = variables.remove("PATH").map(|path| ("PATH", path));
    path.into_iter()
        .chain(variables)
        .map(|(variable, directories)| format!("{variable}={}", directories.join(":")))
        .collect()
}

/// The root, and whatever is run by what is run.
fn runnable(order: &Topological<'_>, root: &Spec) -> HashSet<DagHash> {
    let mut runnable = HashSet::from([root.hash]);
    for spec in order.dependents_first() {
        if runnable.contains(&spec.hash) {
            let edges = spec.dependencies.iter();
            let run = edges.filter(|edge| edge.deptypes.intersects(Deptypes::RUN));
            runnable.extend(run.map(|edge| edge.hash));
        }
    }
    runnable
}

/// A directory of a prefix, as recorded; what is not text cannot be in a variable.
fn path_of(store: &Store, spec: &Spec, directory: &str) -> Option<String> {
    let prefix = store.prefix(&spec.hash)?.recorded;
    let path = if directory == "." { prefix } else { prefix.join(directory) };
    path.to_str().map(str::to_owned)
}
