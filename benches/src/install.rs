//! A package and all it needs, installed from a mirror into a fresh store: hod against the real
//! Spack, in memory and on disk, and hod against its parts done alone.
//!
//! Nothing is removed from the disk before the end: writing right after a removal makes ext4 crawl.

mod calls;
mod floor;
mod slow;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::child::Usage;
use crate::entries::{self, Entries};
use crate::harness::{Harness, Store, beside};
use crate::spack::Install;
use crate::table::{Samples, Table, grouped, mebibytes};

/// Starting without any of what it keeps takes Spack half a minute.
const FRESH_RUNS: usize = 2;

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let Some(mut store) = harness.store() else { return Ok(()) };
    // The first one is installed, and what it needs.
    store.specs.truncate(1);
    let mirrors = Mirror::make(harness, &store)?;
    for mirror in &mirrors {
        let bytes: u64 = mirror.entries.values().map(|layer| layer.size).sum();
        harness.say(&format!(
            "{}: {} packages, {} bytes, `{}` is installed.",
            mirror.name,
            mirror.entries.len(),
            grouped(bytes),
            mirror.spec
        ));
    }
    let places = [
        Place { name: "memory", directory: &harness.memory },
        Place { name: "disk", directory: &harness.disk },
    ];
    let cache = fresh_job(harness, &mirrors, &places[0])?;
    for place in &places {
        against_spack(harness, &mirrors, place, cache.path())?;
    }
    for place in &places {
        for mirror in &mirrors {
            floor::run(harness, mirror, place)?;
        }
    }
    calls::run(harness, &mirrors, &places[0], cache.path())?;
    slow::run(harness, &mirrors[0], &places[0], cache.path())
}

/// Where packages are installed.
struct Place<'a> {
    name: &'static str,
    directory: &'a TempDir,
}

impl Place<'_> {
    /// What was installed is not needed any more: it goes now, or, on a disk, at the end.
    fn done(&self, root: TempDir, kept: &mut Vec<TempDir>) {
        if self.name == "disk" {
            kept.push(root);
        }
    }
}

/// A mirror of a store, and what is installed from it.
struct Mirror {
    name: &'static str,
    path: PathBuf,
    entries: Entries,
    /// By its hash.
    spec: String,
    _scratch: TempDir,
}

impl Mirror {
    /// One made by hod and, where it is, one made by Spack.
    fn make(harness: &Harness, store: &Store) -> anyhow::Result<Vec<Self>> {
        let mut mirrors = vec![Self::one(harness, store, "blobs made by hod", |path| {
            harness.push_store(store, path, &["--update-index"], &[]).map(drop)
        })?];
        if let Some(spack) = &harness.spack {
            mirrors.push(Self::one(harness, store, "blobs made by Spack", |path| {
                spack.push(path, &store.specs, beside(path)?)?;
                spack.update_index(path, beside(path)?).map(drop)
            })?);
        }
        Ok(mirrors)
    }

    fn one(
        harness: &Harness,
        store: &Store,
        name: &'static str,
        push: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let scratch = harness.scratch()?;
        let path = scratch.path().join("mirror");
        push(&path)?;
        let entries = entries::read(&path)?;
        let wanted = store.specs.first().context("nothing is to be installed")?;
        let start = format!("{}-", wanted.split('@').next().unwrap_or_default());
        let entry = entries.keys().find(|entry| entry.starts_with(&start));
        let (_, hash) = entry.and_then(|entry| entry.rsplit_once('-')).context("not pushed")?;
        let spec = format!("/{hash}");
        Ok(Self { name, path, entries, spec, _scratch: scratch })
    }
}

/// Who installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Hod,
    Spack,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Hod => "hod",
            Self::Spack => "spack install",
        }
    }

    /// Those who are here.
    fn all(harness: &Harness) -> &'static [Self] {
        if harness.spack.is_some() { &[Self::Spack, Self::Hod] } else { &[Self::Hod] }
    }

    /// Installs into `root`; `cache` is what Spack keeps of recipes and indices, hod's is fresh.
    fn install(
        self,
        harness: &Harness,
        mirror: &Mirror,
        root: &Path,
        cache: &Path,
        wrap: &[OsString],
    ) -> anyhow::Result<Usage> {
        let Mirror { path: mirror, spec, .. } = mirror;
        match self {
            Self::Hod => harness.install(root, mirror, spec, &[], wrap),
            Self::Spack => {
                let spack = harness.spack.as_ref().context("there is no Spack")?;
                let scratch = harness.scratch()?;
                spack.install(&Install { root, mirror, spec, cache }, scratch.path(), wrap)
            }
        }
    }
}

/// Size of each file below each prefix, and of each link, but for what each packer keeps of its own.
type Listing = BTreeMap<PathBuf, u64>;

fn listing(root: &Path) -> anyhow::Result<Listing> {
    let mut listing = Listing::new();
    let mut left: Vec<PathBuf> = vec![PathBuf::new()];
    while let Some(directory) = left.pop() {
        for entry in fs_err::read_dir(root.join(&directory))? {
            let entry = entry?;
            let name = entry.file_name();
            // The database, locks, sbang; and in prefixes what is known of them.
            let is_of_root = directory.as_os_str().is_empty();
            if name == ".spack" || is_of_root && (name == ".spack-db" || name == "bin") {
                continue;
            }
            let (path, metadata) = (directory.join(name), entry.metadata()?);
            if metadata.is_dir() {
                left.push(path);
            } else {
                listing.insert(path, metadata.len());
            }
        }
    }
    Ok(listing)
}

/// The names of the packages in a store, which are those of its prefixes.
fn installed(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for architecture in fs_err::read_dir(root)? {
        let architecture = architecture?;
        let name = architecture.file_name();
        if name == ".spack-db" || name == "bin" || !architecture.path().is_dir() {
            continue;
        }
        for prefix in fs_err::read_dir(architecture.path())? {
            names.push(prefix?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} has no package", root.display());
    Ok(names)
}

/// What is seen of one side.
#[derive(Default)]
struct Column {
    wall: Samples,
    cpu: Samples,
    memory: i64,
}

impl Column {
    fn add(&mut self, usage: &Usage) {
        self.wall.push(usage.wall);
        self.cpu.push(usage.cpu());
        self.memory = self.memory.max(usage.max_rss_kib);
    }
}

/// Both sides once for each mirror, and again. All must have installed the same.
fn measure(
    harness: &Harness,
    mirrors: &[Mirror],
    place: &Place<'_>,
    runs: usize,
    cache: &mut dyn FnMut() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<(Vec<Vec<Column>>, Listing)> {
    let sides = Side::all(harness);
    let columns = mirrors.iter().map(|_| sides.iter().map(|_| Column::default()).collect());
    let mut columns: Vec<Vec<Column>> = columns.collect();
    let mut expected: Option<Listing> = None;
    let mut kept = Vec::new();
    for _ in 0..runs {
        for (mirror, columns) in mirrors.iter().zip(&mut columns) {
            for (side, column) in sides.iter().zip(columns) {
                let root = harness.root(place.directory)?;
                let cache = cache()?;
                // What was written before must not be written back while this run is timed.
                rustix::fs::sync();
                column.add(&side.install(harness, mirror, root.path(), &cache, &[])?);
                let found = listing(root.path())?;
                let expected = expected.get_or_insert_with(|| found.clone());
                let mut paths = expected.keys().chain(found.keys());
                if let Some(path) = paths.find(|path| expected.get(*path) != found.get(*path)) {
                    let (name, path) = (side.name(), path.display());
                    anyhow::bail!("{name} from {}: {path} is not as it should be", mirror.name);
                }
                place.done(root, &mut kept);
            }
        }
    }
    Ok((columns, expected.unwrap_or_default()))
}

fn show(harness: &Harness, title: String, mirrors: &[Mirror], columns: &[Vec<Column>]) {
    let heads = ["", "wall s", "user + sys s", "peak MiB", "times faster", "CPU, times less"];
    let mut table = Table::new(title, &heads);
    for (mirror, columns) in mirrors.iter().zip(columns) {
        for (side, column) in Side::all(harness).iter().zip(columns) {
            let name = format!("{}, {}", side.name(), mirror.name);
            let ratio = |of: fn(&Column) -> f64| format!("{:.2}", of(&columns[0]) / of(column));
            table.row([
                name.clone(),
                column.wall.to_string(),
                column.cpu.to_string(),
                mebibytes(column.memory),
                ratio(|column| column.wall.median()),
                ratio(|column| column.cpu.median()),
            ]);
            table.keep(format!("{name}, wall"), &column.wall);
            table.keep(format!("{name}, cpu"), &column.cpu);
        }
    }
    harness.show(&table);
}

/// A machine on which neither ever ran. Returns what Spack keeps then, for the other runs.
fn fresh_job(harness: &Harness, mirrors: &[Mirror], place: &Place<'_>) -> anyhow::Result<TempDir> {
    let mut caches = Vec::new();
    let runs = harness.runs.min(FRESH_RUNS);
    if harness.spack.is_some() {
        let mut cache = || {
            let cache = harness.scratch()?;
            let path = cache.path().to_owned();
            caches.push(cache);
            Ok(path)
        };
        let (columns, _) = measure(harness, &mirrors[..1], place, runs, &mut cache)?;
        let title = format!("Installing in a fresh job, {runs} interleaved runs");
        show(harness, title, mirrors, &columns);
    }
    // hod got one as well, and had no use for it.
    for cache in caches {
        if fs_err::read_dir(cache.path())?.next().is_some() {
            return Ok(cache);
        }
    }
    harness.scratch()
}

fn against_spack(
    harness: &Harness,
    mirrors: &[Mirror],
    place: &Place<'_>,
    cache: &Path,
) -> anyhow::Result<()> {
    // Spack reads a mirror's index once, and then never again while it stays as it is.
    for mirror in mirrors {
        for side in Side::all(harness) {
            let root = harness.root(&harness.memory)?;
            side.install(harness, mirror, root.path(), cache, &[])?;
        }
    }
    let mut cache = || Ok(cache.to_owned());
    let (columns, listing) = measure(harness, mirrors, place, harness.runs, &mut cache)?;
    let title = format!("Installing to {}, {} interleaved runs", place.name, harness.runs);
    show(harness, title, mirrors, &columns);
    harness.say(&format!(
        "After every run, the same {} files and links of the same sizes were there, {} bytes.",
        grouped(listing.len() as u64),
        grouped(listing.values().sum())
    ));
    Ok(())
}
