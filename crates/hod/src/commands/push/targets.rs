//! What is to be pushed: the words of the command line become packages.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use hod_cache::{Error, LeftOut, Package, Reason, SelectOptions, Wanted, find_installed, select};
use hod_spec::{DagHash, Selection};
use hod_store::{SpecMetadata, Store};

use crate::cli::{self, Only};
use crate::error::{NotAPath, NotInStore, UsageError};
use crate::surroundings::{Surroundings, What, what};
use crate::ui::Printer;
use crate::ui::format::count;

/// What a push takes.
#[derive(Default)]
pub(super) struct Targets {
    /// Dependencies first.
    pub(super) packages: Vec<Package>,
    pub(super) left_out: Vec<LeftOut>,
    /// What was asked for, of what is in a store.
    pub(super) roots: BTreeSet<String>,
}

impl Targets {
    /// Whether a package was asked for, rather than brought along.
    pub(super) fn is_root(&self, package: &Package) -> bool {
        package.as_installed().is_none() || self.roots.contains(&package.label())
    }

    /// Hashes of the specs that were asked for.
    pub(super) fn root_hashes(&self) -> Vec<DagHash> {
        let roots = self.packages.iter().filter(|package| self.is_root(package));
        roots.filter_map(|package| Some(package.as_installed()?.hash())).collect()
    }

    /// Why there is nothing to push.
    pub(super) fn why_none(&self) -> String {
        match self.left_out.len() {
            0 => format!(
                "{} and all it needs are external, or nothing is left of it",
                some(&self.roots.iter().cloned().collect::<Vec<_>>())
            ),
            _ => "everything is left out".to_owned(),
        }
    }
}

/// Stores by location, each opened once.
struct Stores<'a> {
    surroundings: &'a Surroundings<'a>,
    explicit: Option<&'a Path>,
    default: Option<Arc<Store>>,
    others: BTreeMap<PathBuf, Arc<Store>>,
}

impl Stores<'_> {
    /// The one that is meant where no path says which.
    fn default(&mut self) -> anyhow::Result<Arc<Store>> {
        if self.default.is_none() {
            self.default = Some(self.surroundings.store(self.explicit)?);
        }
        Ok(Arc::clone(self.default.as_ref().expect("set a moment ago")))
    }

    /// The one a prefix is in: the one named, else the one around it.
    fn around(&mut self, prefix: &Path) -> anyhow::Result<Arc<Store>> {
        if self.explicit.is_some() {
            return self.default();
        }
        let Some(root) = Store::containing(prefix) else { return self.default() };
        if let Some(store) = self.others.get(&root) {
            return Ok(Arc::clone(store));
        }
        let store = self.surroundings.store(Some(&root))?;
        self.others.insert(root, Arc::clone(&store));
        Ok(store)
    }
}

/// What was asked for of one store, each spec once.
struct Roots {
    store: Arc<Store>,
    hashes: Vec<DagHash>,
    seen: HashSet<DagHash>,
}

/// All words are understood before anything is packed: a mistyped one costs no time.
pub(super) fn targets(
    arguments: &cli::Push,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<Targets> {
    let explicit = arguments.specs.store.store.as_deref();
    let (default, others) = (None, BTreeMap::new());
    let mut stores = Stores { surroundings, explicit, default, others };
    let mut plain: Vec<Package> = Vec::new();
    let mut roots: Vec<Roots> = Vec::new();
    let mut add = |store: Arc<Store>, hash: DagHash| {
        let at = roots.iter().position(|roots| Arc::ptr_eq(&roots.store, &store));
        let at = at.unwrap_or_else(|| {
            roots.push(Roots { store, hashes: Vec::new(), seen: HashSet::new() });
            roots.len() - 1
        });
        if roots[at].seen.insert(hash) {
            roots[at].hashes.push(hash);
        }
    };
    for word in &arguments.what {
        match what(word) {
            What::Query(query) => {
                let explain = |error| NotAPath::explain(&query, error);
                let store = stores.default().map_err(explain)?;
                let hash = find_installed(&store, &Wanted::new(&query))
                    .map_err(|error| explain(error.into()))?;
                add(store, hash);
            }
            What::Prefix(path) => match prefix(arguments, &path)? {
                package if package.is_from_spack() => {
                    let store = stores
                        .around(package.location())
                        .with_context(|| anyhow!("cannot push `{}` as a spec", path.display()))?;
                    let hash = spec_of(&package, &store)?;
                    add(store, hash);
                }
                package => {
                    if !plain.iter().any(|other| other.prefix() == package.prefix()) {
                        plain.push(package);
                    }
                }
            },
        }
    }
    let is_named = arguments.prefixes.name.is_some() || arguments.prefixes.version.is_some();
    if is_named && (plain.len() != 1 || !roots.is_empty()) {
        let text = "`--name` and `--version` need a single prefix that Spack did not make";
        return Err(UsageError(text.into()).into());
    }
    let mut targets = Targets { packages: plain, ..Targets::default() };
    let options = options(arguments)?;
    for Roots { store, hashes, .. } in roots {
        let labels = hashes.iter().filter_map(|hash| Some(store.record(hash)?.spec.label()));
        targets.roots.extend(labels);
        let selected = select(&store, &hashes, &options);
        targets.packages.extend(selected.packages);
        targets.left_out.extend(selected.left_out);
    }
    Ok(targets)
}

fn options(arguments: &cli::Push) -> anyhow::Result<SelectOptions> {
    let specs = &arguments.specs;
    let exclude = specs.exclude.iter().map(|text| Ok(Wanted::new(text).query()?.clone()));
    Ok(SelectOptions {
        dependencies: match (specs.only, specs.without_build_dependencies) {
            (Some(Only::Package), _) => Selection::RootsOnly,
            (_, true) => Selection::WithoutBuildDependencies,
            (_, false) => Selection::WithBuildDependencies,
        },
        without_roots: specs.only == Some(Only::Dependencies),
        exclude: exclude.collect::<Result<_, Error>>()?,
    })
}

fn prefix(arguments: &cli::Push, path: &Path) -> anyhow::Result<Package> {
    let named = Package::at(path).and_then(|package| {
        let package = match &arguments.prefixes.name {
            Some(name) => package.with_name(name)?,
            None => package,
        };
        match &arguments.prefixes.version {
            Some(version) => package.with_version(version),
            None => Ok(package),
        }
    });
    let error = |source| Error::Package { path: path.to_owned(), source: Box::new(source) };
    Ok(named.map_err(error)?)
}

/// The spec that a prefix is of, which must be the one the store has there.
fn spec_of(package: &Package, store: &Store) -> anyhow::Result<DagHash> {
    let metadata = SpecMetadata::read(package.location(), None)?;
    let hash = metadata.spec().hash;
    let recorded = store.prefix(&hash).map(|prefix| prefix.location);
    let same = |recorded: &PathBuf| {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        real(recorded) == real(package.location())
    };
    if recorded.as_ref().is_some_and(same) {
        return Ok(hash);
    }
    Err(NotInStore {
        prefix: package.location().to_owned(),
        spec: metadata.spec().label(),
        store: store.location().to_owned(),
        recorded,
    }
    .into())
}

/// What was asked for and what it brings along.
pub(super) fn tell(targets: &Targets, printer: &Printer) {
    let specs = targets.packages.iter().filter(|package| package.as_installed().is_some()).count();
    if specs > 0 {
        let is_root =
            |package: &&Package| package.as_installed().is_some() && targets.is_root(package);
        let roots = targets.packages.iter().filter(is_root).count();
        let named = match targets.roots.first() {
            Some(one) if roots == 1 => format!("`{one}`"),
            _ => count(roots as u64, "root"),
        };
        let rest = match (roots, specs - roots) {
            (0, rest) => count(rest as u64, "dependency"),
            (_, 0) => named,
            (_, rest) => format!("{named} and {}", count(rest as u64, "dependency")),
        };
        if specs > 1 {
            printer.say(format_args!("Selected {}: {rest}", count(specs as u64, "spec")));
        }
    }
    let labels = |is: fn(&Reason) -> bool| {
        let left = targets.left_out.iter().filter(move |left| is(&left.reason));
        left.map(|left| left.label.clone()).collect::<Vec<_>>()
    };
    let not_installed = labels(|reason| matches!(reason, Reason::NotInstalled));
    if !not_installed.is_empty() {
        printer.say(format_args!(
            "Skipped {} that {} not installed: {}",
            if not_installed.len() == 1 { "a build dependency" } else { "build dependencies" },
            if not_installed.len() == 1 { "is" } else { "are" },
            some(&not_installed),
        ));
    }
    let excluded = labels(|reason| matches!(reason, Reason::Excluded(_)));
    if !excluded.is_empty() {
        printer.say(format_args!("Excluded {}", some(&excluded)));
    }
}

/// As many as fit into a line.
pub(super) fn some(labels: &[String]) -> String {
    const MOST: usize = 5;
    let shown = labels.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match labels.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
