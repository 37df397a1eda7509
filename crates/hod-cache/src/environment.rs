//! The environment in which a container of an image runs (`spack-format` 8): what follows from
//! what is in the prefixes, or what `spack load` says, which knows the recipes as well.

mod spack;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use hod_spec::{DagHash, Deptypes, Spec, Topological};
use hod_store::Store;

pub use spack::{SpackCommand, SpackError};

use crate::image::{EnvSource, RunOptions};
use crate::{Error, Package};

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
const BASE_PATH: &str = "/bin:/usr/bin";

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

/// Whose environment.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) store: &'a Store,
    pub(crate) roots: &'a [&'a Spec],
    /// For messages.
    pub(crate) label: &'a str,
}

/// What becomes of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// These directories come before what is there.
    Prepend(String),
    Set(String),
    Unset,
}

/// `NAME=value` lines for an image of the roots with their runtime closure, over those of its base
/// image: `PATH` first, then what the base has in its order, then by name.
pub(crate) fn environment(
    scene: Scene<'_>,
    inspected: &mut Inspected,
    base: &[String],
    run: &RunOptions,
) -> Result<Vec<String>, Error> {
    let changes = match &run.env_source {
        EnvSource::Inspections => inspect(scene, inspected),
        EnvSource::Spack(command) => {
            let hashes = scene.roots.iter().map(|root| root.hash);
            command.load(hashes).map_err(|source| Error::Environment {
                package: scene.label.to_owned(),
                source: Box::new(source),
            })?
        }
    };
    let mut variables = Variables::new(base);
    for (name, change) in changes {
        variables.change(&name, change);
    }
    for (name, value) in &run.env {
        variables.change(name, Change::Set(value.clone()));
    }
    Ok(variables.into_lines())
}

/// As [`environment`], for a prefix that no store knows: what is in it says all.
pub(crate) fn prefix_environment(
    package: &Package,
    base: &[String],
    run: &RunOptions,
) -> Vec<String> {
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (directory, variable) in INSPECTIONS.iter().rev() {
        if package.location().join(directory).is_dir()
            && let Some(path) = within(package.prefix(), directory)
        {
            lists.entry(variable).or_default().push(path);
        }
    }
    let mut variables = Variables::new(base);
    for (name, directories) in lists {
        variables.change(name, Change::Prepend(directories.join(":")));
    }
    for (name, value) in &run.env {
        variables.change(name, Change::Set(value.clone()));
    }
    variables.into_lines()
}

/// What the directories in the prefixes say.
///
/// Spack looks into external packages as well and adds what it finds in this machine's `/usr`. An
/// image has none of that, and would differ from machine to machine: they are left out here. A
/// directory that Spack adds twice is there once.
fn inspect(scene: Scene<'_>, inspected: &mut Inspected) -> BTreeMap<String, Change> {
    let Scene { store, roots, .. } = scene;
    let order = Topological::new(store, roots.iter().copied());
    let mut variables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut add = |variable, directory: String| {
        let directories = variables.entry(variable).or_default();
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    };
    // What is run comes before what is linked: each of Spack's two rounds prepends.
    let runnable = runnable(&order, roots);
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
    let prepended = |(variable, directories): (&str, Vec<String>)| {
        (variable.to_owned(), Change::Prepend(directories.join(":")))
    };
    variables.into_iter().map(prepended).collect()
}

/// Variables in the order in which they were first set; a line of the base image that sets none
/// has no value.
struct Variables(Vec<(String, Option<String>)>);

impl Variables {
    fn new(base: &[String]) -> Self {
        let mut variables = Self(vec![("PATH".to_owned(), Some(BASE_PATH.to_owned()))]);
        for line in base {
            match line.split_once('=') {
                Some((name, value)) => variables.change(name, Change::Set(value.to_owned())),
                None => variables.0.push((line.clone(), None)),
            }
        }
        variables
    }

    fn change(&mut self, name: &str, change: Change) {
        let place = self.0.iter().position(|(known, _)| known == name);
        let before = place.and_then(|place| self.0[place].1.as_deref()).unwrap_or_default();
        let value = match change {
            Change::Unset => {
                self.0.retain(|(known, _)| known != name);
                return;
            }
            Change::Set(value) => value,
            Change::Prepend(list) if before.is_empty() => list,
            Change::Prepend(list) => format!("{}:{before}", list.trim_end_matches(':')),
        };
        match place {
            Some(place) => self.0[place].1 = Some(value),
            None => self.0.push((name.to_owned(), Some(value))),
        }
    }

    fn into_lines(self) -> Vec<String> {
        let line = |(name, value): (String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        };
        self.0.into_iter().map(line).collect()
    }
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

/// A directory of a spec's prefix, as recorded.
fn path_of(store: &Store, spec: &Spec, directory: &str) -> Option<String> {
    within(&store.prefix(&spec.hash)?.recorded, directory)
}

/// A directory of a prefix; what is not text cannot be in a variable.
fn within(prefix: &Path, directory: &str) -> Option<String> {
    let path = if directory == "." { prefix.to_owned() } else { prefix.join(directory) };
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[rstest]
    #[case::nothing(&[], &["PATH=/p/bin:/bin:/usr/bin", "X=1"])]
    #[case::the_base_has_a_path(
        &["A=b=c", "PATH=/usr/local/bin:/bin"],
        &["PATH=/p/bin:/usr/local/bin:/bin", "A=b=c", "X=1"]
    )]
    #[case::the_base_has_an_empty_path(&["PATH="], &["PATH=/p/bin", "X=1"])]
    #[case::a_name_without_a_value(&["ODD", "X=0"], &["PATH=/p/bin:/bin:/usr/bin", "ODD", "X=1"])]
    fn what_packages_need_comes_before_what_the_base_has(
        #[case] base: &[&str],
        #[case] expected: &[&str],
    ) {
        let mut variables = Variables::new(&lines(base));
        variables.change("PATH", Change::Prepend("/p/bin".to_owned()));
        variables.change("X", Change::Set("1".to_owned()));
        assert_eq!(variables.into_lines(), expected);
    }

    #[test]
    fn an_open_end_stays_open_only_at_the_end() {
        let mut variables = Variables::new(&lines(&["MANPATH=/base", "GONE=1"]));
        for name in ["MANPATH", "OTHER"] {
            variables.change(name, Change::Prepend("/p/man:".to_owned()));
        }
        variables.change("GONE", Change::Unset);
        let expected = ["PATH=/bin:/usr/bin", "MANPATH=/p/man:/base", "OTHER=/p/man:"];
        assert_eq!(variables.into_lines(), expected);
    }
}
