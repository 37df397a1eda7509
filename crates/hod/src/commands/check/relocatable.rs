//! `hod check MIRROR --relocatable PATH`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use hod_cache::{
    Event, Fit, Found, LocalStore, Relocatable, Target, Wanted, packages, relocatable,
};
use hod_mirror::Mirror;
use hod_store::{Layout, Patience, Store};
use serde_json::json;

use super::super::{jobs, waiting_for_store};
use crate::cli;
use crate::settings::local_store;
use crate::surroundings::Surroundings;
use crate::ui::format::{count, duration};
use crate::ui::{ExitStatus, Printer, Progress, diagnostics};

/// Says what could not be installed into a store with this root.
pub(super) fn run(
    arguments: &cli::Check,
    root: &Path,
    mirror: &Mirror,
    surroundings: &Surroundings<'_>,
    start: Instant,
) -> anyhow::Result<ExitStatus> {
    let printer = surroundings.printer();
    let local = local_store(printer)?;
    let found = surroundings.find_store(Some(root))?;
    let store = read(&found, surroundings)?;
    let own = || std::path::absolute(&found.path);
    let place = store.as_ref().map_or_else(own, |store| Ok(store.root().to_owned()))?;
    let layout = Layout::new(&place, &found.projections, found.hash_length)?;
    let target = Target {
        layout: &layout,
        store: store.as_ref(),
        unpadded_root: found.unpadded_root.as_deref(),
        plain: std::path::absolute(root)?,
        jobs: jobs(arguments.jobs).get(),
        cancel: surroundings.cancel().clone(),
    };
    let (chosen, unreadable) = choose(arguments, mirror, &local, printer)?;
    let progress = Progress::new(printer);
    let reporter = |event: Event<'_>| {
        if let Event::Progress { package, bytes, total } = event {
            progress.advance(package, "reading", bytes, total);
            if total.is_some_and(|total| bytes >= total) {
                progress.end(package);
            }
        }
    };
    let answers = relocatable(mirror, &local, &chosen, &target, &reporter)?;
    let tally = Tally::of(&answers, &chosen, unreadable.len());
    tell(&answers, &unreadable, printer);
    if printer.is_json() {
        printer.json(&json!({
            "event": "finished", "verb": "check", "relocatable": place, "packages": tally.all,
            "fits": tally.fits, "misfits": tally.misfits, "unknown": tally.unknown,
            "from_facts": tally.from_facts, "excess": tally.excess,
        }));
    }
    tally.say(mirror, &place, start, printer);
    Ok(if tally.fits == tally.all { ExitStatus::Success } else { ExitStatus::Failure })
}

/// What is there already: packages in it stay where they are.
fn read(
    found: &hod_store::Found,
    surroundings: &Surroundings<'_>,
) -> anyhow::Result<Option<Store>> {
    if !found.path.join(".spack-db/index.json").exists() {
        return Ok(None);
    }
    let (printer, cancel) = (surroundings.printer(), surroundings.cancel());
    let on_wait = |waiting: &hod_store::Waiting| waiting_for_store(waiting, &found.path, printer);
    let is_cancelled = || cancel.is_cancelled();
    let patience =
        Patience { on_wait: &on_wait, is_cancelled: &is_cancelled, ..Patience::default() };
    Ok(Some(Store::open(&found.path, &found.options(patience))?))
}

/// The packages that are meant, each once; and what could not be read.
fn choose(
    arguments: &cli::Check,
    mirror: &Mirror,
    local: &LocalStore,
    printer: &Printer,
) -> anyhow::Result<(Vec<Found>, Vec<String>)> {
    let queries: Vec<Wanted> = arguments.query.iter().map(Wanted::new).collect();
    let mut wanted: Vec<Option<&Wanted>> = queries.iter().map(Some).collect();
    if wanted.is_empty() {
        wanted.push(None);
    }
    let mut chosen = BTreeMap::new();
    let mut unreadable = Vec::new();
    for wanted in wanted {
        let listing = packages(mirror, local, wanted)?;
        for message in listing.warnings {
            printer.warn(message);
        }
        unreadable.extend(listing.unreadable);
        for found in listing.found {
            let tag = found.image.as_ref().map(|image| image.tag.clone());
            let key = (found.name.clone(), found.version.clone(), found.hash.clone(), tag);
            chosen.insert(key, found);
        }
    }
    unreadable.sort();
    unreadable.dedup();
    Ok((chosen.into_values().collect(), unreadable))
}

/// One line for each package that does not fit, or of which nobody can say.
fn tell(answers: &[Relocatable], unreadable: &[String], printer: &Printer) {
    for answer in answers {
        let label = &answer.label;
        match &answer.fit {
            Fit::DoesNotFit(shortage) if printer.is_json() => printer.json(&json!({
                "event": "misfit", "spec": label, "file": shortage.file, "old": shortage.old,
                "new": shortage.new, "room": shortage.room, "need": shortage.need,
            })),
            Fit::DoesNotFit(shortage) => printer.data(format_args!(
                "misfit  {label}  `{}` has room for {} characters where `{}` has {}",
                shortage.file, shortage.room, shortage.new, shortage.need,
            )),
            Fit::Unknown(error) => {
                let causes: Vec<String> =
                    diagnostics::causes(&**error).map(ToString::to_string).collect();
                if printer.is_json() {
                    printer.json(&json!({ "event": "unknown", "spec": label, "error": causes }));
                } else {
                    printer.data(format_args!("unknown  {label}  {}", causes.join(": ")));
                }
            }
            _ => {}
        }
    }
    for message in unreadable {
        if printer.is_json() {
            printer.json(&json!({ "event": "unknown", "error": [message] }));
        } else {
            printer.data(format_args!("unknown  {message}"));
        }
    }
}

/// The answers in numbers.
struct Tally {
    all: usize,
    fits: usize,
    misfits: usize,
    unknown: usize,
    from_facts: usize,
    /// By how many bytes the worst is too long.
    excess: usize,
    /// Whether packages of Spack are among them.
    has_specs: bool,
}

impl Tally {
    fn of(answers: &[Relocatable], chosen: &[Found], unreadable: usize) -> Self {
        let count = |is: fn(&Relocatable) -> bool| answers.iter().filter(|it| is(it)).count();
        let excess = |answer: &Relocatable| match &answer.fit {
            Fit::DoesNotFit(shortage) => shortage.excess(),
            _ => 0,
        };
        Self {
            all: answers.len() + unreadable,
            fits: count(|answer| matches!(answer.fit, Fit::Fits)),
            misfits: count(|answer| matches!(answer.fit, Fit::DoesNotFit(_))),
            unknown: count(|answer| matches!(answer.fit, Fit::Unknown(_))) + unreadable,
            from_facts: count(|answer| answer.is_from_facts),
            excess: answers.iter().map(excess).max().unwrap_or(0),
            has_specs: chosen.iter().any(|found| found.spec.is_some()),
        }
    }

    fn say(&self, mirror: &Mirror, root: &Path, start: Instant, printer: &Printer) {
        let Self { all, fits, misfits, unknown, from_facts, excess, .. } = *self;
        if all == 0 {
            printer.say(format_args!("Nothing to check: there is no package in `{mirror}`"));
            return;
        }
        let mut parts = Vec::new();
        if misfits > 0 {
            parts.push(format!("{misfits} {}", if misfits == 1 { "misfit" } else { "misfits" }));
        }
        if unknown > 0 {
            parts.push(format!("{unknown} unknown"));
        }
        if parts.is_empty() {
            parts.push("all fit".to_owned());
        } else {
            parts.push(format!("{fits} fit"));
        }
        printer.say(format_args!(
            "Checked {} in `{mirror}` for `{}` in {}: {}",
            count(all as u64, "package"),
            root.display(),
            duration(start.elapsed()),
            parts.join(", "),
        ));
        let read = all - from_facts;
        printer.say(match (read, from_facts) {
            (0, _) => "Read no blob, all is known since the push".to_owned(),
            (_, 0) => format!("Read {}", count(read as u64, "blob")),
            _ => format!("Read {}, {from_facts} known since the push", count(read as u64, "blob")),
        });
        if excess > 0 {
            let shorter = count(excess as u64, "character");
            printer.hint(format_args!("a path that is shorter by {shorter} would do"));
        }
        if excess > 0 && self.has_specs {
            printer.hint(
                "`config:install_tree:padded_length` of the store they are built in makes room",
            );
        }
    }
}
