//! Dependencies point downwards only: `hod` above `hod-cache` above the leaves, and the leaves know
//! nothing of each other. Also: what the workspace declares, somebody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// Who may depend on whom, development dependencies included. A crate that is not here may depend
/// on none of ours and must be added before it exists.
const ALLOWED: &[(&str, &[&str])] = &[
    ("hod", &["hod-cache", "hod-mirror", "hod-store", "hod-spec", "hod-archive", "hod-testing"]),
    (
        "hod-cache",
        &["hod-mirror", "hod-store", "hod-spec", "hod-relocate", "hod-archive", "hod-testing"],
    ),
    ("hod-mirror", &["hod-spec", "hod-archive", "hod-testing"]),
    ("hod-store", &["hod-spec"]),
    ("hod-spec", &[]),
    ("hod-archive", &[]),
    ("hod-relocate", &[]),
    // Not part of the program; it times one leaf's kernel alone.
    ("hod-benches", &["hod-relocate", "hod-testing"]),
    // For tests alone, and knows none of ours.
    ("hod-testing", &[]),
    ("xtask", &[]),
];

/// What tests stand on. No program may need it to be built.
const FOR_TESTS: &str = "hod-testing";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or null for what the crate itself needs.
    kind: Option<String>,
}

/// Prints every fault and fails if there was one.
pub(crate) fn run() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("could not run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let manifest = fs_err::read_to_string(format!("{}/Cargo.toml", metadata.workspace_root))?;
    let mut faults = edges(&metadata.packages);
    faults.extend(unused(&declared(&manifest), &metadata.packages));
    for fault in &faults {
        eprintln!("depcheck: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults in the dependencies", faults.len());
    }
    println!("depcheck: {} crates, every edge points downwards", metadata.packages.len());
    Ok(())
}

/// Edges between our crates that are not allowed.
fn edges(packages: &[Package]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut faults = Vec::new();
    for package in packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            faults.push(format!("{} has no place in the order of crates", package.name));
            continue;
        };
        let is_needed = |dependency: &Dependency| {
            dependency.name == FOR_TESTS && dependency.kind.as_deref() != Some("dev")
        };
        if package.name != "hod-benches" && package.dependencies.iter().any(is_needed) {
            faults.push(format!("{} needs {FOR_TESTS} outside of its tests", package.name));
        }
        let targets: BTreeSet<&str> =
            package.dependencies.iter().map(|dependency| dependency.name.as_str()).collect();
        for target in targets {
            if ours.contains(target) && !allowed.contains(&target) {
                faults.push(format!("{} must not depend on {target}", package.name));
            }
        }
    }
    faults
}

/// The names under `[workspace.dependencies]`: one per line, as this workspace writes them.
fn declared(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.starts_with('#'))
        .collect()
}

fn unused(declared: &[String], packages: &[Package]) -> Vec<String> {
    let used: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    declared
        .iter()
        .filter(|name| !used.contains(name.as_str()))
        .map(|name| format!("{name} is declared for the workspace and used by nobody"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let needed = |name: &&str| Dependency { name: (*name).to_owned(), kind: None };
        let dependencies = dependencies.iter().map(needed).collect();
        Package { name: name.to_owned(), dependencies }
    }

    #[test]
    fn upward_and_sideways_edges_are_faults() {
        let good = [
            package("hod", &["hod-cache", "clap"]),
            package("hod-cache", &["hod-store", "hod-relocate"]),
            package("hod-store", &["thiserror"]),
            package("hod-relocate", &[]),
        ];
        assert_eq!(edges(&good), Vec::<String>::new());
        let bad = [
            package("hod-cache", &["hod"]),
            package("hod", &[]),
            package("hod-store", &["hod-relocate"]),
            package("hod-relocate", &[]),
            package("hod-common", &[]),
        ];
        assert_eq!(
            edges(&bad),
            [
                "hod-cache must not depend on hod",
                "hod-store must not depend on hod-relocate",
                "hod-common has no place in the order of crates",
            ]
        );
    }

    #[test]
    fn what_tests_stand_on_is_no_part_of_a_program() {
        let mut packages = [package("hod-mirror", &["hod-testing"]), package("hod-testing", &[])];
        assert_eq!(edges(&packages), ["hod-mirror needs hod-testing outside of its tests"]);
        packages[0].dependencies[0].kind = Some("dev".to_owned());
        assert_eq!(edges(&packages), Vec::<String>::new());
    }

    #[test]
    fn declared_dependencies_are_used() {
        let manifest = "[workspace]\nmembers = []\n\n[workspace.dependencies]\nclap = \"4\"\n\n\
                        # a remark = here\nsha2 = { version = \"0.11\" }\n[profile.release]\nlto = 1\n";
        let declared = declared(manifest);
        assert_eq!(declared, ["clap", "sha2"]);
        let faults = unused(&declared, &[package("hod", &["clap"])]);
        assert_eq!(faults, ["sha2 is declared for the workspace and used by nobody"]);
    }
}
