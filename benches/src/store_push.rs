//! A whole store pushed into a fresh mirror: hod against the real Spack, in memory and on disk, and
//! hod against its parts done alone.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::child::Usage;
use crate::entries;
use crate::floor;
use crate::harness::{Harness, Store};
use crate::parts;
use crate::table::{Samples, Table, grouped, mebibytes, ratio};

/// Name and options of each way to push.
const VARIANTS: &[(&str, &[&str])] = &[
    ("hod", &[]),
    ("hod, fast", &["--compression-level", "fast"]),
    ("hod, single member", &["--gzip-members", "single"]),
];
const PEER: &str = "spack buildcache push";

/// The tar streams of all entries, by their names: what every run must have pushed.
type Streams = BTreeMap<String, String>;

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let Some(store) = harness.store() else { return Ok(()) };
    // Warms the page cache, for both alike.
    let (_, seen) = parts::walk_and_read(&store.root)?;
    let expected = expected(harness, &store)?;
    harness.say(&format!(
        "The store: {} prefixes, {} files, {} directories, {} links, {} bytes.",
        expected.len(),
        grouped(seen.files),
        grouped(seen.directories),
        grouped(seen.others),
        grouped(seen.bytes)
    ));
    for (place, directory) in [("memory", &harness.memory), ("disk", &harness.disk)] {
        against_spack(harness, &store, &expected, place, directory.path())?;
    }
    floor::of_store(harness, &store)
}

/// Who pushes: Spack, or hod with these options.
#[derive(Clone, Copy)]
enum Side {
    Spack,
    Hod(&'static [&'static str]),
}

impl Side {
    fn push(self, harness: &Harness, store: &Store, mirror: &Path) -> anyhow::Result<Usage> {
        match self {
            Self::Hod(options) => harness.push_store(store, mirror, options, &[]),
            Self::Spack => {
                let spack = harness.spack.as_ref().context("there is no Spack")?;
                spack.push(mirror, &store.specs, crate::harness::beside(mirror)?)
            }
        }
    }
}

/// What the first push makes, which is not timed: Spack's, if it is here.
fn expected(harness: &Harness, store: &Store) -> anyhow::Result<Streams> {
    let scratch = harness.scratch()?;
    let mirror = scratch.path().join("mirror");
    let first = if harness.spack.is_some() { Side::Spack } else { Side::Hod(&[]) };
    first.push(harness, store, &mirror)?;
    entries::diff_ids(&entries::read(&mirror)?)
}

/// Samples of one side.
#[derive(Default)]
struct Column {
    wall: Samples,
    cpu: Samples,
    /// Wall time of the same push once more, when nothing is left to do.
    again: Samples,
    memory: i64,
    size: u64,
}

fn against_spack(
    harness: &Harness,
    store: &Store,
    expected: &Streams,
    place: &str,
    directory: &Path,
) -> anyhow::Result<()> {
    let mut sides = Vec::new();
    if harness.spack.is_some() {
        sides.push((PEER, Side::Spack));
    }
    sides.extend(VARIANTS.iter().map(|(name, options)| (*name, Side::Hod(options))));
    let mut columns: Vec<Column> = sides.iter().map(|_| Column::default()).collect();
    // Removing much from a disk makes it slow for a while: there, all is removed at the end.
    let mut kept: Vec<TempDir> = Vec::new();
    for _ in 0..harness.runs {
        for ((name, side), column) in sides.iter().zip(&mut columns) {
            let scratch = tempfile::tempdir_in(directory)?;
            let mirror = scratch.path().join("mirror");
            // What was written before must not be written back while this run is timed.
            rustix::fs::sync();
            let usage = side.push(harness, store, &mirror)?;
            column.again.push(side.push(harness, store, &mirror)?.wall);
            column.add(&usage, &mirror, expected).with_context(|| (*name).to_owned())?;
            if place == "disk" {
                kept.push(scratch);
            }
        }
    }
    drop(kept);
    let title = format!("Pushing the store to {place}, {} interleaved runs", harness.runs);
    let heads: &[&str] = if harness.spack.is_some() {
        &[
            "",
            "wall s",
            "again s",
            "user + sys s",
            "peak MiB",
            "bytes",
            "size / Spack's",
            "times faster",
            "without start",
        ]
    } else {
        &["", "wall s", "again s", "user + sys s", "peak MiB", "bytes"]
    };
    let mut table = Table::new(title, heads);
    let peer = harness.spack.as_ref().and(columns.first());
    for ((name, _), column) in sides.iter().zip(&columns) {
        let mut row = vec![
            (*name).to_owned(),
            column.wall.to_string(),
            format!("{:.3}", column.again.median()),
            column.cpu.to_string(),
            mebibytes(column.memory),
            grouped(column.size),
        ];
        if let Some(peer) = peer {
            row.push(format!("{:.4}", ratio(column.size, peer.size)));
            row.push(format!("{:.2}", peer.wall.median() / column.wall.median()));
            row.push(format!("{:.2}", peer.beyond() / column.beyond()));
        }
        table.row(row);
        table.keep(format!("{name}, wall"), &column.wall);
        table.keep(format!("{name}, again"), &column.again);
        table.keep(format!("{name}, cpu"), &column.cpu);
    }
    harness.show(&table);
    harness.say(&format!(
        "After every run, all {} entries were there, with the tar streams of {}.",
        expected.len(),
        if harness.spack.is_some() { "Spack's first push" } else { "hod's first push" },
    ));
    Ok(())
}

impl Column {
    /// Takes in a run after making sure that it did the work.
    fn add(&mut self, usage: &Usage, mirror: &Path, expected: &Streams) -> anyhow::Result<()> {
        let entries = entries::read(mirror)?;
        if let Some(how) = entries::difference(&entries::diff_ids(&entries)?, expected) {
            bail!("the mirror does not hold what it should: {how}");
        }
        self.wall.push(usage.wall);
        self.cpu.push(usage.cpu());
        self.memory = self.memory.max(usage.max_rss_kib);
        self.size = entries.values().map(|layer| layer.size).sum();
        Ok(())
    }

    /// Wall time beyond that of a push with nothing to do.
    fn beyond(&self) -> f64 {
        self.wall.median() - self.again.median()
    }
}
