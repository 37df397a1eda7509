//! `hod push`

mod live;
mod plan;
mod record;
mod targets;

use anyhow::Context as _;
use hod_archive::{Cancel, Encoding};
use hod_cache::{Event, PushOptions, push};
use hod_mirror::DirectoryMirror;
use serde_json::json;

use super::jobs;
use crate::cli::{self, Only};
use crate::error::UsageError;
use crate::settings::{local_store, source_date_epoch};
use crate::surroundings::{Direction, Surroundings};
use crate::ui::{ExitStatus, Printer};
use live::Live;
use targets::targets;

pub(crate) fn run(
    arguments: &cli::Push,
    printer: &Printer,
    cancel: &Cancel,
) -> anyhow::Result<ExitStatus> {
    let surroundings = Surroundings::new(printer, cancel);
    let options = options(arguments, &surroundings, cancel)?;
    let place = surroundings.mirror(&arguments.mirror, Direction::Push)?;
    let targets = targets(arguments, &surroundings)?;
    options.suit(&targets.packages)?;
    targets::tell(&targets, printer);
    if targets.packages.is_empty() {
        printer.say(format_args!("Nothing to push: {}", targets.why_none()));
        return Ok(ExitStatus::Success);
    }
    let store = local_store(printer)?;
    let opener = surroundings.opener(&arguments.registries);
    let base_mirror = options.images.base.as_ref().map(|base| {
        opener.base(base).with_context(|| format!("could not use the base image `{base}`"))
    });
    let base_mirror = base_mirror.transpose()?;
    let options = PushOptions { base_mirror, roots: targets.root_hashes(), ..options };
    if arguments.dry_run {
        return plan::run(
            &place,
            opener.find(&place)?.as_ref(),
            &targets.packages,
            &store,
            &options,
            printer,
        );
    }
    let mirror = opener.ensure(&place)?;
    let has_index = mirror.as_directory().is_none_or(DirectoryMirror::has_spack_half);
    if arguments.update_index && !has_index {
        printer.warn(format_args!("`{place}` is a bare image layout, which has no index"));
    }
    if printer.is_json() {
        let left_out = targets.left_out.iter().map(record::left_out).collect::<Vec<_>>();
        printer.json(&json!({
            "event": "planned", "verb": "push", "mirror": place.to_string(),
            "selected": targets.packages.len(), "left_out": left_out,
        }));
    }
    let live = Live::new(printer, &mirror);
    let reporter = |event: Event<'_>| live.take(&event);
    let summary = push(&mirror, &targets.packages, &store, &options, &reporter)?;
    let refs = arguments.refs.then_some(&targets);
    Ok(record::finish(&mirror, refs, &summary, printer))
}

fn options(
    arguments: &cli::Push,
    surroundings: &Surroundings<'_>,
    cancel: &Cancel,
) -> anyhow::Result<PushOptions> {
    let format = &arguments.format;
    let encoding =
        Encoding::new(format.compression, format.compression_level, format.gzip_members)?;
    let mtime = match format.mtime.as_str() {
        "source-date-epoch" => source_date_epoch()?,
        number => number.parse().map_err(|_| {
            UsageError(format!("`{number}` is neither a number of seconds nor `source-date-epoch`"))
        })?,
    };
    let specs = &arguments.specs;
    Ok(PushOptions {
        encoding,
        mtime,
        jobs: jobs(arguments.jobs),
        io_jobs: arguments.io_jobs,
        connections: arguments.registries.connections,
        force: arguments.force,
        spack_prefix: specs.spack_prefix.clone().or_else(|| surroundings.spack_root()),
        only: match specs.only {
            Some(Only::Package) => hod_cache::Only::Package,
            _ => hod_cache::Only::Closure,
        },
        private: specs.private,
        fail_fast: arguments.fail_fast,
        update_index: arguments.update_index,
        images: arguments.images.options(std::env::vars_os())?,
        cancel: cancel.clone(),
        ..PushOptions::default()
    })
}
