//! System calls, threads and memory of an installation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Mirror, Place, Side, listing};
use crate::harness::Harness;
use crate::strace::{self, Counts, FILE_CALLS};
use crate::table::{Table, grouped, mebibytes, ratio};
use crate::trace;

/// What a file may take: `openat`, `write`, `utimensat`, `close`, and two to spare.
const MOST_CALLS: f64 = 6.0;
const JOBS: &[&str] = &["1", "2", "8"];
/// What an installation may hold, and what each thread may hold besides, in MiB.
const MEMORY: (u64, u64) = (64, 8);
/// A file up to this size is written at once, however the archive is cut.
const AT_ONCE: u64 = 256 << 10;

pub(super) fn run(
    harness: &Harness,
    mirrors: &[Mirror],
    place: &Place<'_>,
    cache: &Path,
) -> anyhow::Result<()> {
    counts(harness, mirrors, place, cache)?;
    once(harness, &mirrors[0], place)?;
    memory(harness, mirrors, place)
}

fn counts(
    harness: &Harness,
    mirrors: &[Mirror],
    place: &Place<'_>,
    cache: &Path,
) -> anyhow::Result<()> {
    let report = harness.memory.path().join("strace.txt");
    let mut columns: Vec<(String, Counts)> = Vec::new();
    let mut files = 0;
    for mirror in mirrors {
        for side in Side::all(harness) {
            let root = harness.root(place.directory)?;
            side.install(harness, mirror, root.path(), cache, &strace::counting(&report))?;
            columns.push((format!("{}, {}", side.name(), mirror.name), strace::read(&report)?));
            files = listing(root.path())?.len() as u64;
        }
    }
    let mut heads = vec!["call, per file and link"];
    heads.extend(columns.iter().map(|(head, _)| head.as_str()));
    let mut table = Table::new("System calls of installing", &heads);
    let mut names: Vec<&String> = columns.iter().flat_map(|(_, counts)| counts.keys()).collect();
    names.sort();
    names.dedup();
    let row = |name: &str, of: &dyn Fn(&Counts) -> u64| {
        let shares = columns.iter().map(|(_, counts)| ratio(of(counts), files));
        (shares.clone().fold(0.0, f64::max), {
            let mut row = vec![name.to_owned()];
            row.extend(shares.map(|share| format!("{share:.2}")));
            row
        })
    };
    for name in names {
        let (largest, row) = row(name, &|counts| counts.get(name).copied().unwrap_or(0));
        if largest >= 0.02 {
            table.row(row);
        }
    }
    let is_on_files = |(name, _): &(&String, &u64)| FILE_CALLS.contains(&name.as_str());
    let on_files =
        |counts: &Counts| counts.iter().filter(is_on_files).map(|(_, count)| count).sum();
    table.row(row("all on files", &on_files).1);
    table.row(row("all", &|counts| counts.values().sum()).1);
    let mut total = vec!["all, of the run".to_owned()];
    total.extend(columns.iter().map(|(_, counts)| grouped(counts.values().sum())));
    table.row(total);
    harness.show(&table);
    harness
        .say(&format!("{} files and links; {MOST_CALLS} calls each are allowed.", grouped(files)));
    Ok(())
}

/// How often each file is opened and written.
fn once(harness: &Harness, mirror: &Mirror, place: &Place<'_>) -> anyhow::Result<()> {
    let scratch = harness.scratch()?;
    let report = scratch.path().join("trace.txt");
    let root = harness.root(place.directory)?;
    let wrap = trace::tracing(&report);
    Side::Hod.install(harness, mirror, root.path(), scratch.path(), &wrap)?;
    let report = String::from_utf8_lossy(&fs_err::read(&report)?).into_owned();
    // A file is made in a directory with another name: below `.NAME.hod`, not `NAME`.
    let final_name = |path: PathBuf| -> Option<PathBuf> {
        let below = path.strip_prefix(root.path()).ok()?.to_str()?;
        Some(below.replacen("/.", "/", 1).replacen(".hod/", "/", 1).into())
    };
    let mut seen: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
    for (call, path) in trace::calls(&report) {
        let (opened, written) = match call {
            "openat" | "open" | "openat2" => (1, 0),
            "write" | "pwrite64" | "writev" => (0, 1),
            _ => continue,
        };
        if let Some(path) = final_name(path) {
            let entry = seen.entry(path).or_default();
            *entry = (entry.0 + opened, entry.1 + written);
        }
    }
    let mut histogram: BTreeMap<(u64, u64), (u64, PathBuf)> = BTreeMap::new();
    let mut large = 0;
    for (path, size) in listing(root.path())? {
        // Links, and further names of a file, are not opened at all.
        let Some(&counts) = seen.get(&path) else { continue };
        if size > AT_ONCE {
            large += 1;
            continue;
        }
        let entry = histogram.entry(counts).or_default();
        *entry = (entry.0 + 1, path);
    }
    let title = format!("How often hod opens and writes a file of up to {} KiB", AT_ONCE >> 10);
    let mut table = Table::new(title, &["opened", "written", "files", "one of them"]);
    for ((opened, written), (files, path)) in histogram {
        let path = path.components().skip(1).collect::<PathBuf>();
        let cells = [opened, written, files].map(grouped);
        table.row(cells.into_iter().chain([format!("`{}`", path.display())]));
    }
    harness.show(&table);
    harness.say(&format!("{large} larger files are written in parts."));
    Ok(())
}

fn memory(harness: &Harness, mirrors: &[Mirror], place: &Place<'_>) -> anyhow::Result<()> {
    let heads = ["", "jobs", "peak MiB", "allowed MiB", "threads started"];
    let mut table = Table::new("Memory and threads of installing", &heads);
    let report = harness.memory.path().join("strace.txt");
    for mirror in mirrors {
        for jobs in JOBS {
            let options = ["-j", jobs];
            let mut peak = 0;
            for _ in 0..harness.runs {
                let root = harness.root(place.directory)?;
                let usage =
                    harness.install(root.path(), &mirror.path, &mirror.spec, &options, &[])?;
                peak = peak.max(usage.max_rss_kib);
            }
            let root = harness.root(place.directory)?;
            let wrap = strace::counting(&report);
            harness.install(root.path(), &mirror.path, &mirror.spec, &options, &wrap)?;
            let counts = strace::read(&report)?;
            let started = ["clone", "clone3"].iter().filter_map(|name| counts.get(*name)).sum();
            let allowed = MEMORY.0 + MEMORY.1 * jobs.parse::<u64>()?;
            table.row([
                format!("hod, {}", mirror.name),
                (*jobs).to_owned(),
                mebibytes(peak),
                grouped(allowed),
                grouped(started),
            ]);
        }
    }
    harness.show(&table);
    Ok(())
}
