//! Databases of 100,000 packages, as a store and as a mirror have them; and the index of a mirror
//! with 2,000 packages, made anew and brought up to date.

use std::ffi::OsString;
use std::path::Path;

use crate::child::Usage;
use crate::harness::{Harness, Store};
use crate::parts;
use crate::synthetic::{Specs, Target};
use crate::table::{Samples, Table, grouped, mebibytes};

const RECORDS: usize = 100_000;
/// Builds of one package, of which a large build cache has many.
const BUILDS: usize = 50;
/// Packages in the mirror whose index is written.
const ENTRIES: usize = 2000;

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    reading(harness)?;
    writing(harness)
}

/// A command that reads much.
struct Case {
    name: &'static str,
    arguments: Vec<OsString>,
}

impl Case {
    fn list(name: &'static str, option: &str, of: &Path, query: Option<&str>) -> Self {
        let mut arguments: Vec<OsString> = vec!["list".into()];
        arguments.extend(query.map(OsString::from));
        arguments.extend([option.into(), of.into(), "-q".into()]);
        Self { name, arguments }
    }
}

fn reading(harness: &Harness) -> anyhow::Result<()> {
    let scratch = harness.scratch()?;
    let specs = Specs::new(RECORDS, BUILDS, Target::Object);
    let at = |name: &str| scratch.path().join(name);
    let database = specs.write_database(&at("store"))?;
    let index = specs.write_mirror(&at("one"), 1)?;
    specs.write_mirror(&at("all"), RECORDS)?;
    harness.say(&format!(
        "The database: {} records, {} bytes, {} for each; as an index {} bytes.",
        grouped(RECORDS as u64),
        grouped(database),
        grouped(database / RECORDS as u64),
        grouped(index)
    ));

    let first = format!("/{}", Specs::hash(0));
    let last = format!("/{}", Specs::hash(RECORDS - 1));
    let cases = [
        (Case::list("store, one package", "--store", &at("store"), Some(&last)), database),
        (Case::list("store, all", "--store", &at("store"), None), database),
        (Case::list("index, its only package", "-m", &at("one"), Some(&first)), index),
        (Case::list("index, one of all packages", "-m", &at("all"), Some(&last)), index),
        (Case::list("index, all packages", "-m", &at("all"), None), index),
    ];
    let mut columns = vec![(Samples::default(), Samples::default(), 0_i64); cases.len()];
    for _ in 0..harness.runs {
        for ((case, _), (wall, cpu, memory)) in cases.iter().zip(&mut columns) {
            let usage = harness.hod(&case.arguments, scratch.path(), &[])?;
            wall.push(usage.wall);
            cpu.push(usage.cpu());
            *memory = (*memory).max(usage.max_rss_kib);
        }
    }
    let mut table = Table::new(
        format!(
            "Reading a database of {} packages, {} runs",
            grouped(RECORDS as u64),
            harness.runs
        ),
        &["hod list", "wall s", "user + sys s", "peak MiB", "memory / size of the file"],
    );
    for ((case, size), (wall, cpu, memory)) in cases.iter().zip(&columns) {
        #[expect(clippy::cast_precision_loss, reason = "sizes of a benchmark")]
        let share = *memory as f64 * 1024.0 / *size as f64;
        table.row([
            case.name.to_owned(),
            wall.to_string(),
            cpu.to_string(),
            mebibytes(*memory),
            format!("{share:.2}"),
        ]);
        table.keep(format!("{}, wall", case.name), wall);
    }
    harness.show(&table);
    let bytes = fs_err::read(at("store").join(".spack-db/index.json"))?;
    let (hash, json) = (parts::sha256(&bytes), parts::json(&bytes)?);
    harness.say(&format!(
        "Alone, on one thread: SHA-256 of the database {hash:.3} s, going through its JSON {json:.3} s."
    ));
    Ok(())
}

fn writing(harness: &Harness) -> anyhow::Result<()> {
    let scratch = harness.scratch()?;
    // Each run pushes two packages more.
    let specs = Specs::new(ENTRIES + 2 * harness.runs, 1, Target::Object);
    let root = scratch.path().join("store");
    specs.write_store(&root)?;
    let more = specs.len() - 2 * harness.runs;
    let store = |numbers: std::ops::Range<usize>| {
        let specs = numbers.map(|number| specs.name(number)).collect();
        Store { root: root.clone(), specs }
    };
    let mirror = scratch.path().join("mirror");
    harness.push_store(&store(specs.roots().start..more), &mirror, &["--update-index"], &[])?;

    let names = ["hod index", "hod push of one more", "hod push --update-index of one more"];
    let mut columns: Vec<(&str, Samples, Samples, i64)> = Vec::new();
    let mut take = |name: &'static str, usage: &Usage| {
        if !columns.iter().any(|(known, ..)| *known == name) {
            columns.push((name, Samples::default(), Samples::default(), 0));
        }
        for (_, wall, cpu, memory) in columns.iter_mut().filter(|(known, ..)| *known == name) {
            wall.push(usage.wall);
            cpu.push(usage.cpu());
            *memory = (*memory).max(usage.max_rss_kib);
        }
    };
    for run in 0..harness.runs {
        if let Some(spack) = &harness.spack {
            take("spack buildcache update-index", &spack.update_index(&mirror, scratch.path())?);
        }
        let arguments = ["index".into(), mirror.clone().into(), "-q".into()];
        take(names[0], &harness.hod(&arguments, scratch.path(), &[])?);
        let [first, second] = [more + 2 * run, more + 2 * run + 1];
        take(names[1], &harness.push_store(&store(first..first + 1), &mirror, &[], &[])?);
        let update = &["--update-index"];
        take(names[2], &harness.push_store(&store(second..second + 1), &mirror, update, &[])?);
    }
    let mut table = Table::new(
        format!(
            "Writing the index of a mirror with {} packages, {} interleaved runs",
            grouped(ENTRIES as u64),
            harness.runs
        ),
        &["", "wall s", "user + sys s", "peak MiB"],
    );
    for (name, wall, cpu, memory) in &columns {
        table.row([(*name).to_owned(), wall.to_string(), cpu.to_string(), mebibytes(*memory)]);
        table.keep(format!("{name}, wall"), wall);
    }
    harness.show(&table);
    Ok(())
}
