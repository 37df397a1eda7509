//! A file system that answers slowly: strace holds up every call that names a file or a directory,
//! each thread on its own, by a millisecond.

use std::ffi::OsString;

use crate::harness::{Harness, Subject};
use crate::shape::Shape;
use crate::table::{Samples, Table};

/// The calls that wait for a metadata server. `?` lets an architecture lack one.
const SLOW: &str = "?openat,?openat2,?open,?newfstatat,?statx,?fstat,?stat,?lstat,\
                    ?readlink,?readlinkat,?getdents64";
const DELAY: &str = "delay_enter=1000";

const VARIANTS: &[(&str, &[&str])] = &[
    ("hod", &[]),
    ("hod --io-jobs 1", &["--io-jobs", "1"]),
    ("hod --io-jobs 64", &["--io-jobs", "64"]),
];

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    let Some(subject) = harness.subject("small-3000") else { return Ok(()) };
    let empty = Shape::Empty.make(harness)?;
    let runs = harness.runs.min(3);
    let rows = VARIANTS.len() + 1;
    let mut columns = vec![(Samples::default(), Samples::default()); rows];
    for _ in 0..runs {
        for (at, (whole, start)) in columns.iter_mut().enumerate() {
            whole.push(wall(harness, at, &subject)?);
            start.push(wall(harness, at, &empty)?);
        }
    }
    let mut table = Table::new(
        format!("Packing `small-3000`, each call on a file 1 ms slower, {runs} interleaved runs"),
        &["", "wall s", "start s", "wall - start s", "times faster"],
    );
    let beyond = |(whole, start): &(Samples, Samples)| whole.median() - start.median();
    let peer = beyond(&columns[VARIANTS.len()]);
    let names = VARIANTS.iter().map(|(name, _)| *name).chain(["Spack's way"]);
    for (name, column) in names.zip(&columns) {
        table.row([
            name.to_owned(),
            column.0.to_string(),
            column.1.to_string(),
            format!("{:.3}", beyond(column)),
            format!("{:.2}", peer / beyond(column)),
        ]);
        table.keep(format!("{name}, wall"), &column.0);
        table.keep(format!("{name}, start"), &column.1);
    }
    harness.show(&table);
    Ok(())
}

/// Both sides are traced by the same command, from their first instruction on.
fn wall(harness: &Harness, variant: usize, subject: &Subject) -> anyhow::Result<f64> {
    let wrap: Vec<OsString> = vec![
        "strace".into(),
        "-f".into(),
        // Calls that are not held up run at full speed.
        "--seccomp-bpf".into(),
        "-qq".into(),
        "-o".into(),
        "/dev/null".into(),
        "-e".into(),
        format!("trace={SLOW}").into(),
        "-e".into(),
        format!("inject={SLOW}:{DELAY}").into(),
    ];
    let packed = match VARIANTS.get(variant) {
        Some((_, options)) => harness.push(subject, options, &wrap)?,
        None => harness.peer(subject, &wrap)?,
    };
    Ok(packed.usage.wall)
}
