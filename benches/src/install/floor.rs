//! An installation against the sum of its parts: what hod spends beyond the work that cannot be left
//! out.

use std::ffi::OsString;

use hod_relocate::{PrefixMap, Prefixes};
use tempfile::TempDir;

use super::tree::{self, Package};
use super::{Mirror, Place, installed};
use crate::harness::{Harness, cores};
use crate::parts;
use crate::table::{Samples, Table, grouped};

const PARTS: &[&str] = &[
    "inflate",
    "SHA-256 of the blobs",
    "relocate the listed files, in memory",
    "make the files: the kernel's part",
];

/// Each part of the work on all packages.
struct Alone {
    seconds: [f64; PARTS.len()],
    /// The blob that takes longest, if only one thread can inflate it.
    serial: f64,
    listed: usize,
}

pub(super) fn run(harness: &Harness, mirror: &Mirror, place: &Place<'_>) -> anyhow::Result<()> {
    let mut samples: Vec<Samples> = vec![Samples::default(); PARTS.len()];
    let (mut user, mut system, mut wall) = <(Samples, Samples, Samples)>::default();
    let (mut cpu, mut pinned, mut serial) = <(Samples, Samples, Samples)>::default();
    let one_core = ["taskset", "-c", "0"].map(OsString::from);
    let mut kept: Vec<TempDir> = Vec::new();
    let mut packages: Vec<Package> = Vec::new();
    let mut listed = 0;
    for _ in 0..harness.runs {
        let root = harness.root(place.directory)?;
        rustix::fs::sync();
        let usage = harness.install(root.path(), &mirror.path, &mirror.spec, &[], &[])?;
        wall.push(usage.wall);
        user.push(usage.user);
        system.push(usage.system);
        cpu.push(usage.cpu());
        if packages.is_empty() {
            packages = tree::read(&mirror.entries, &installed(root.path())?)?;
        }
        place.done(root, &mut kept);
        // Two threads slow each other down (caches, memory); the parts below run alone.
        let root = harness.root(place.directory)?;
        rustix::fs::sync();
        let usage = harness.install(root.path(), &mirror.path, &mirror.spec, &[], &one_core)?;
        pinned.push(usage.cpu());
        place.done(root, &mut kept);
        let root = harness.root(place.directory)?;
        rustix::fs::sync();
        let alone = alone(&packages, &root)?;
        place.done(root, &mut kept);
        listed = alone.listed;
        serial.push(alone.serial);
        for (samples, seconds) in samples.iter_mut().zip(alone.seconds) {
            samples.push(seconds);
        }
    }
    drop(kept);
    let title = format!("Floor of installing to {}, {}: CPU seconds", place.name, mirror.name);
    let mut table = Table::new(title, &["part", "s"]);
    for (part, samples) in PARTS.iter().zip(&samples) {
        table.row([(*part).to_owned(), samples.to_string()]);
        table.keep(*part, samples);
    }
    let sum: f64 = samples.iter().map(Samples::median).sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
    let shared = sum / cores() as f64;
    let least = shared.max(serial.median());
    table.row(["sum".to_owned(), format!("{sum:.3}")]);
    table.row(["hod, user".to_owned(), user.to_string()]);
    table.row(["hod, sys".to_owned(), system.to_string()]);
    table.row(["hod, user + sys".to_owned(), cpu.to_string()]);
    table.row(["hod / sum".to_owned(), format!("{:.3}", cpu.median() / sum)]);
    table.row(["hod on one core, user + sys".to_owned(), pinned.to_string()]);
    table.row(["hod on one core / sum".to_owned(), format!("{:.3}", pinned.median() / sum)]);
    table.row(["hod, wall".to_owned(), wall.to_string()]);
    table.row(["wall / (sum / cores)".to_owned(), format!("{:.3}", wall.median() / shared)]);
    if serial.median() > 0.0 {
        table.row(["inflate the largest blob".to_owned(), serial.to_string()]);
        let ratio = format!("{:.3}", wall.median() / least);
        table.row(["wall / the larger of that and sum / cores".to_owned(), ratio]);
    }
    table.keep("hod, cpu", &cpu);
    table.keep("hod, wall", &wall);
    harness.show(&table);
    let bytes: usize = packages.iter().map(|package| package.stream.tar.len()).sum();
    harness.say(&format!(
        "{} packages, {} bytes of tar, {listed} files relocated.",
        packages.len(),
        grouped(bytes as u64)
    ));
    Ok(())
}

/// Does each part of the work alone, package by package. What one is written into is warm in no
/// other way than for hod: the page cache is new.
fn alone(packages: &[Package], root: &TempDir) -> anyhow::Result<Alone> {
    let new = root.path().display().to_string();
    // In Spack's order: the root comes last.
    let own = packages.iter().map(|package| &package.prefix);
    let old: Vec<&String> = own.chain(packages.first().map(|package| &package.root)).collect();
    let moved = |path: &String| {
        let built_in = packages.first().map_or("", |package| &package.root);
        (path.clone(), path.replacen(built_in, &new, 1))
    };
    let map = PrefixMap::new(old.iter().map(|path| moved(path)));
    let prefixes = Prefixes::new(old);
    let mut sum = Alone { seconds: [0.0; PARTS.len()], serial: 0.0, listed: 0 };
    for package in packages {
        let inflate = package.inflate()?;
        if package.is_single() {
            sum.serial = sum.serial.max(inflate);
        }
        let (relocate, listed) = package.relocate(&prefixes, &map)?;
        let prefix = root.path().join(&package.name);
        fs_err::create_dir(&prefix)?;
        let write = package.write(&prefix)?;
        let seconds = [inflate, parts::sha256(&package.stream.compressed), relocate, write];
        sum.seconds.iter_mut().zip(seconds).for_each(|(sum, seconds)| *sum += seconds);
        sum.listed += listed;
    }
    Ok(sum)
}
