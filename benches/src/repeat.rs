//! A push of what is there already: how long it takes, which files it looks at, and how both grow
//! with the number of specs.

use std::path::Path;

use crate::harness::{CACHE, Harness, Store, beside};
use crate::synthetic::{Specs, Target};
use crate::table::{Samples, Table, grouped};
use crate::trace::{self, Place};

/// Sizes of the stores that nobody built.
const SYNTHETIC: &[usize] = &[1000, 10_000];
/// A push that does nothing is over soon: so many times the usual number of runs cost little.
const MORE: usize = 10;
const NOTHING_TO_DO: &str = "Wall time of a push with nothing to do";

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let mut times =
        Table::new(NOTHING_TO_DO, &["", "specs", "wall ms", "ms per spec", "first push s"]);
    let mut looks = Table::new(
        "Calls of a push with nothing to do, by what they are on",
        &["", "prefixes", "root of the store", "database", "mirror", "cache of hod", "elsewhere"],
    );
    if let Some(store) = harness.store() {
        one(harness, &store, "hod", harness.runs * MORE, &mut times, &mut looks)?;
        spack(harness, &store, &mut times)?;
    }
    for &count in SYNTHETIC {
        let scratch = harness.scratch()?;
        // One of them is needed to build the others only, and not pushed.
        let specs = Specs::new(count + 1, 1, Target::Plain);
        let root = scratch.path().join("store");
        specs.write_store(&root)?;
        let roots = specs.roots().map(|root| specs.name(root)).collect();
        // As a script does that asks Spack what is installed.
        let all = (1..specs.len()).map(|spec| format!("/{}", Specs::hash(spec))).collect();
        for (name, specs) in [("hod, synthetic", roots), ("hod, synthetic, each named", all)] {
            let store = Store { root: root.clone(), specs };
            one(harness, &store, name, harness.runs, &mut times, &mut looks)?;
        }
    }
    harness.show(&times);
    harness.show(&looks);
    Ok(())
}

fn one(
    harness: &Harness,
    store: &Store,
    name: &str,
    runs: usize,
    times: &mut Table,
    looks: &mut Table,
) -> anyhow::Result<()> {
    let scratch = harness.scratch()?;
    let mirror = scratch.path().join("mirror");
    let first = harness.push_store(store, &mirror, &[], &[])?;
    let specs = crate::entries::read(&mirror)?.len();
    let mut wall = Samples::default();
    for _ in 0..runs {
        wall.push(harness.push_store(store, &mirror, &[], &[])?.wall * 1e3);
    }
    times.row(row(name, specs, &wall, first.wall));
    times.keep(format!("{name}, {specs} specs, ms"), &wall);
    looks.row(calls(harness, store, &mirror, format!("{name}, {} specs", grouped(specs as u64)))?);
    Ok(())
}

fn spack(harness: &Harness, store: &Store, times: &mut Table) -> anyhow::Result<()> {
    let Some(spack) = &harness.spack else { return Ok(()) };
    let scratch = harness.scratch()?;
    let mirror = scratch.path().join("mirror");
    let first = spack.push(&mirror, &store.specs, scratch.path())?;
    let specs = crate::entries::read(&mirror)?.len();
    let mut wall = Samples::default();
    for _ in 0..harness.runs {
        wall.push(spack.push(&mirror, &store.specs, scratch.path())?.wall * 1e3);
    }
    times.row(row("spack buildcache push", specs, &wall, first.wall));
    times.keep("spack buildcache push, ms", &wall);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of specs")]
fn row(name: &str, specs: usize, wall: &Samples, first: f64) -> [String; 5] {
    let each = wall.median() / specs as f64;
    let wall = format!("{:.1} ({:.1}–{:.1})", wall.median(), wall.smallest(), wall.largest());
    [name.to_owned(), grouped(specs as u64), wall, format!("{each:.3}"), format!("{first:.2}")]
}

/// One more such push under strace: how many of its calls name what.
fn calls(
    harness: &Harness,
    store: &Store,
    mirror: &Path,
    name: String,
) -> anyhow::Result<Vec<String>> {
    let scratch = harness.scratch()?;
    let report = scratch.path().join("strace.txt");
    harness.push_store(store, mirror, &[], &trace::tracing(&report))?;
    let report = String::from_utf8_lossy(&fs_err::read(&report)?).into_owned();
    let below = |path: &Path| -> Place {
        let path = path.to_owned();
        Box::new(move |it| it.starts_with(&path))
    };
    let (root, database) = (store.root.clone(), store.root.join(".spack-db"));
    let is_root = move |path: &Path| path == root;
    let root = store.root.clone();
    let is_prefix =
        move |path: &Path| path.starts_with(&root) && path != root && !path.starts_with(&database);
    // In the order of the columns; a path counts where it is first met.
    let places: [Place; 5] = [
        Box::new(is_prefix),
        Box::new(is_root),
        below(&store.root),
        below(mirror),
        below(&beside(mirror)?.join(CACHE)),
    ];
    let counts = trace::by_place(&report, &places);
    let mut row = vec![name];
    row.extend(counts.iter().map(|calls| grouped(calls.values().sum())));
    Ok(row)
}
