//! `hod install`

mod live;
mod plain;
mod record;

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use hod_archive::Cancel;
use hod_cache::{
    Dependencies, Event, Graph, InstallJob, InstallOptions, InstallPlan, InstallSource, LocalStore,
    PlanOptions, Wanted, install, plan_install, resolve,
};
use hod_mirror::Mirror;
use hod_store::{Found, Layout, Patience, Permissions, Store, StoreWriter};

use super::{jobs, limits, waiting_for_store};
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::{Direction, MirrorPlace, Surroundings};
use crate::ui::{ExitStatus, Printer};
use live::Live;

pub(crate) fn run(
    arguments: &cli::Install,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let surroundings = Surroundings::new(printer, cancel);
    let local = local_store(printer)?;
    if let Some(to) = &arguments.to {
        return plain::run(arguments, to, &surroundings, &local, start);
    }
    let target = Target::find(arguments, &surroundings)?;
    let existing = target.read(cancel, printer)?;
    let mirrors = mirrors(arguments, &surroundings)?;
    let sources: Vec<InstallSource<'_>> = mirrors
        .iter()
        .map(|(mirror, is_signed)| InstallSource { mirror, is_signed: *is_signed })
        .collect();
    let graph = graph(arguments, &sources, &local, existing.as_ref())?;
    let layout = target.layout(existing.as_ref())?;
    let options = PlanOptions {
        dependencies: match (arguments.with_build_dependencies, arguments.no_deps) {
            (true, _) => Dependencies::All,
            (_, true) => Dependencies::None,
            _ => Dependencies::Runtime,
        },
        is_forced: arguments.force,
        unpadded_root: target.found.unpadded_root.clone(),
        cancel: cancel.clone(),
    };
    let plan = plan_install(&graph, existing.as_ref(), &layout, &sources, &local, &options)?;
    let store = layout.root();
    record::planned(&plan, &graph, &sources, store, start.elapsed(), printer);
    if !plan.absent.is_empty() && !arguments.allow_missing {
        return Ok(record::absent(&plan, printer));
    }
    if arguments.dry_run {
        return Ok(record::would(&plan, store, printer));
    }
    let planned = Planned { plan: &plan, graph: &graph, sources: &sources, local: &local };
    let status = carry_out(arguments, &surroundings, &target, &planned, start)?;
    if plan.absent.is_empty() {
        return Ok(status);
    }
    record::absent(&plan, printer);
    Ok(if status == ExitStatus::Success { ExitStatus::Failure } else { status })
}

/// What an installation is made of, but for the store.
struct Planned<'a> {
    plan: &'a InstallPlan,
    graph: &'a Graph,
    sources: &'a [InstallSource<'a>],
    local: &'a LocalStore,
}

/// Installs what is planned, and tells what came of it.
fn carry_out(
    arguments: &cli::Install,
    surroundings: &Surroundings<'_>,
    target: &Target,
    planned: &Planned<'_>,
    start: Instant,
) -> anyhow::Result<ExitStatus> {
    let (printer, cancel) = (surroundings.printer(), surroundings.cancel());
    let writer = target.write(cancel, printer)?;
    let store = writer.read(&Patience::default())?;
    let on_wait =
        |waiting: &hod_store::Waiting| waiting_for_store(waiting, &target.found.path, printer);
    // Without a Spack there is nobody to say who may read what.
    let config = surroundings.config_with_packages();
    let permissions = |spec: &hod_spec::Spec| match &config {
        Some(config) => config.permissions(&spec.name),
        None => Ok(Permissions::default()),
    };
    let options = InstallOptions {
        jobs: jobs(arguments.jobs).get(),
        limits: limits(&arguments.limits),
        permissions: &permissions,
        on_wait: &on_wait,
        lock_timeout: target.found.lock_timeout,
        cancel: cancel.clone(),
    };
    let Planned { plan, graph, sources, local } = *planned;
    let live = Live::new(printer, plan.steps.len());
    let reporter = |event: Event<'_>| live.take(&event);
    let job = InstallJob { plan, graph, store: &store, writer: &writer, sources, local };
    let summary = install(&job, &options, &reporter)?;
    let status =
        record::finish(&summary, plan.present.len(), writer.root(), start.elapsed(), printer);
    if target.found.spack_root.is_some() && summary.outcomes.iter().any(|o| o.result.is_ok()) {
        printer.say(
            "Left to Spack: module files (`spack module tcl refresh`) and the views of environments \
             (`spack env view regenerate`)",
        );
    }
    Ok(status)
}

/// The store to install into.
struct Target {
    found: Found,
    /// Whether it is made if it is not there.
    is_made: bool,
}

impl Target {
    fn find(arguments: &cli::Install, surroundings: &Surroundings<'_>) -> anyhow::Result<Self> {
        let explicit = arguments.root.as_deref().or(arguments.store.store.as_deref());
        let found = surroundings.find_store(explicit)?;
        // What `--store` names must be there, but Spack makes its own when it installs the first
        // package.
        let is_named = arguments.store.store.is_some() || found.how == hod_store::How::Variable;
        Ok(Self { found, is_made: arguments.root.is_some() || !is_named })
    }

    /// What is there; `None` for a store that is yet to be made.
    fn read(&self, cancel: &Cancel, printer: &Printer) -> anyhow::Result<Option<Store>> {
        if self.is_made && is_vacant(&self.found.path) {
            return Ok(None);
        }
        let path = &self.found.path;
        let on_wait = |waiting: &hod_store::Waiting| waiting_for_store(waiting, path, printer);
        let is_cancelled = || cancel.is_cancelled();
        let patience =
            Patience { on_wait: &on_wait, is_cancelled: &is_cancelled, ..Patience::default() };
        let writer = StoreWriter::open(path, &self.found.write_options(patience))?;
        Ok(Some(writer.read(&Patience { timeout: self.found.lock_timeout, ..patience })?))
    }

    /// Where packages go in it.
    fn layout(&self, existing: Option<&Store>) -> anyhow::Result<Layout> {
        let root = match existing {
            Some(store) => store.root().to_owned(),
            None => std::path::absolute(&self.found.path)?,
        };
        Ok(Layout::new(&root, &self.found.projections, self.found.hash_length)?)
    }

    fn write(&self, cancel: &Cancel, printer: &Printer) -> anyhow::Result<StoreWriter> {
        let path = &self.found.path;
        let on_wait = |waiting: &hod_store::Waiting| waiting_for_store(waiting, path, printer);
        let is_cancelled = || cancel.is_cancelled();
        let patience =
            Patience { on_wait: &on_wait, is_cancelled: &is_cancelled, ..Patience::default() };
        let options = self.found.write_options(patience);
        let writer = if self.is_made && is_vacant(path) {
            StoreWriter::ensure(path, &options)?
        } else {
            StoreWriter::open(path, &options)?
        };
        hod_store::ensure_sbang(writer.unpadded_root())?;
        Ok(writer)
    }
}

/// Whether there is nothing, or a directory with nothing in it.
fn is_vacant(path: &Path) -> bool {
    match fs_err::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The mirrors that are meant, and whether what is there must be signed.
fn mirrors(
    arguments: &cli::Install,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<Vec<(Mirror, bool)>> {
    let opener = surroundings.opener(&arguments.registries);
    let is_signed = |place: &MirrorPlace| place.is_signed() && !arguments.no_check_signature;
    if !arguments.mirror.is_empty() {
        let named = arguments.mirror.iter().map(|word| {
            let place = surroundings.mirror(word, Direction::Fetch)?;
            Ok((opener.open(&place)?, is_signed(&place)))
        });
        return named.collect();
    }
    let mut mirrors = Vec::new();
    for place in surroundings.mirrors()? {
        match opener.open(&place) {
            Ok(mirror) => mirrors.push((mirror, is_signed(&place))),
            // One of those in Spack's configuration need not exist yet.
            Err(error) => surroundings.printer().warn(format_args!("{error:#}")),
        }
    }
    Ok(mirrors)
}

/// What is asked for, and all it depends on.
fn graph(
    arguments: &cli::Install,
    sources: &[InstallSource<'_>],
    local: &LocalStore,
    store: Option<&Store>,
) -> anyhow::Result<Graph> {
    let mut graph = Graph::default();
    for path in &arguments.lock {
        let bytes = fs_err::read(path)?;
        graph.add_lock(bytes).with_context(|| format!("could not read `{}`", path.display()))?;
    }
    for word in &arguments.specs {
        resolve(&mut graph, &Wanted::new(word), sources, local, store)
            .map_err(|error| crate::error::NotAPath::explain(word, error.into()))?;
    }
    Ok(graph)
}
