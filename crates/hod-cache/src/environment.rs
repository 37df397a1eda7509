//! The environment in which packages are used (`spack-format` 8): what follows from what is in the
//! prefixes, or what `spack load` says, which knows the recipes as well. Here it becomes that of a
//! container.

mod inspect;
mod spack;

use hod_spec::Spec;
use hod_store::Store;

pub(crate) use inspect::Inspected;
pub use inspect::{SearchPaths, search_paths};
pub use spack::{SpackCommand, SpackError};

use crate::image::{EnvSource, RunOptions};
use crate::{Error, Package};

/// What a shell finds where nothing was installed.
const BASE_PATH: &str = "/bin:/usr/bin";

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
        EnvSource::Inspections => {
            prepended(inspected.search_paths(scene.store, scene.roots)).collect()
        }
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
    let mut variables = Variables::new(base);
    let found = inspect::search_paths_of_prefix(package.location(), package.prefix());
    for (name, change) in prepended(found) {
        variables.change(&name, change);
    }
    for (name, value) in &run.env {
        variables.change(name, Change::Set(value.clone()));
    }
    variables.into_lines()
}

fn prepended(found: SearchPaths) -> impl Iterator<Item = (String, Change)> {
    let change = |(variable, directories): (&str, Vec<String>)| {
        (variable.to_owned(), Change::Prepend(directories.join(":")))
    };
    found.into_iter().map(change)
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
