//! `hod env`

mod script;

use std::collections::BTreeMap;

use hod_archive::Cancel;
use hod_cache::{Wanted, find_installed, search_paths};
use hod_spec::{DagHash, Nodes as _};
use serde_json::json;

use crate::cli::{self, EnvShell};
use crate::error::NotAPath;
use crate::surroundings::Surroundings;
use crate::ui::{ExitStatus, Printer};

/// Where Spack notes what is loaded: `spack unload` and `spack find --loaded` read it.
const LOADED: &str = "SPACK_LOADED_HASHES";

pub(crate) fn run(
    arguments: &cli::Env,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    let store = surroundings.store(arguments.store.store.as_deref())?;
    let mut packages: Vec<DagHash> = Vec::new();
    for word in &arguments.specs {
        let hash = find_installed(&store, &Wanted::new(word))
            .map_err(|error| NotAPath::explain(word, error.into()))?;
        store.installed_prefix(&hash)?;
        if !packages.contains(&hash) {
            packages.push(hash);
        }
    }
    if store.root() != store.location() {
        printer.warn(format_args!(
            "the store lies at `{}`, and its files refer to `{}`: programs may not find what they \
             need",
            store.location().display(),
            store.root().display(),
        ));
    }
    let mut variables: BTreeMap<&str, Vec<String>> = search_paths(&store, &packages);
    // Spack prepends one after the other.
    variables.insert(LOADED, packages.iter().rev().map(ToString::to_string).collect());
    if printer.is_json() {
        let specs = packages.iter().filter_map(|hash| {
            let (spec, prefix) = (store.node(hash)?, store.prefix(hash)?);
            Some(json!({ "spec": spec.label(), "hash": hash, "prefix": prefix.location }))
        });
        printer.json(&json!({ "specs": specs.collect::<Vec<_>>(), "prepend": variables }));
    } else {
        let text = match arguments.shell {
            EnvShell::Sh => script::sh(&variables),
            EnvShell::Csh => script::csh(&variables),
            EnvShell::Fish => script::fish(&variables),
        };
        printer.data(text.trim_end());
    }
    printer.say("Left to Spack: what recipes set (`setup_run_environment`), `spack load` knows it");
    Ok(ExitStatus::Success)
}
