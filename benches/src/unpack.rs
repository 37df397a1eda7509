//! Unpacking: hod, Spack's way and GNU tar, into a fresh directory each time.
//!
//! Nothing is removed from the disk before the end: unpacking right after a removal makes ext4 crawl.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::child::{self, Usage};
use crate::harness::{Harness, Packed, Subject};
use crate::shape::{ENTRIES, Shape};
use crate::strace;
use crate::syscalls::differences;
use crate::table::{Samples, Table};

const SUBJECTS: &[&str] = &["cpython", "tiny"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Hod,
    Peer,
    Tar,
}

const SIDES: [(Side, &str); 3] =
    [(Side::Hod, "hod"), (Side::Peer, "Spack's way"), (Side::Tar, "tar xzf")];

/// One subject packed by both; tar reads the peer's tarball.
struct Tarballs {
    subject: Subject,
    ours: Packed,
    theirs: Packed,
}

impl Tarballs {
    fn make(harness: &Harness, subject: Subject) -> anyhow::Result<Self> {
        let ours = harness.push(&subject, &[], &[])?;
        let theirs = harness.peer(&subject, &[])?;
        Ok(Self { subject, ours, theirs })
    }
}

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    for subject in harness.subjects(SUBJECTS) {
        let tarballs = Tarballs::make(harness, subject)?;
        for (place, directory) in [("memory", &harness.memory), ("disk", &harness.disk)] {
            times(harness, &tarballs, place, directory.path())?;
        }
    }
    calls(harness)
}

fn times(
    harness: &Harness,
    tarballs: &Tarballs,
    place: &str,
    directory: &Path,
) -> anyhow::Result<()> {
    let name = &tarballs.subject.name;
    let mut columns = [(); 3].map(|()| (Samples::default(), Samples::default()));
    for run in 0..harness.runs {
        for ((side, side_name), (wall, cpu)) in SIDES.iter().zip(&mut columns) {
            let to = directory.join(format!("{name}-{run}-{side:?}"));
            // What was written before must not be written back while this run is timed.
            rustix::fs::sync();
            let usage = unpack(harness, tarballs, *side, &to, &[])?;
            wall.push(usage.wall);
            cpu.push(usage.cpu());
            if run == 0 {
                check(&tarballs.subject.prefix, &to).with_context(|| (*side_name).to_owned())?;
            }
            if place == "memory" {
                fs_err::remove_dir_all(&to)?;
            }
        }
    }
    let mut table = Table::new(
        format!("Unpacking `{name}` to {place}, {} interleaved runs", harness.runs),
        &["", "wall s", "user + sys s", "times faster than Spack's way"],
    );
    let peer = columns[1].0.median();
    for ((_, name), (wall, cpu)) in SIDES.iter().zip(&columns) {
        let faster = format!("{:.2}", peer / wall.median());
        table.row([(*name).to_owned(), wall.to_string(), cpu.to_string(), faster]);
        table.keep(format!("{name}, wall"), wall);
        table.keep(format!("{name}, cpu"), cpu);
    }
    harness.show(&table);
    Ok(())
}

fn unpack(
    harness: &Harness,
    tarballs: &Tarballs,
    side: Side,
    to: &Path,
    wrap: &[OsString],
) -> anyhow::Result<Usage> {
    let Tarballs { subject, ours, theirs } = tarballs;
    match side {
        Side::Hod => harness.unpack(subject, ours, to, wrap),
        Side::Peer => harness.peer_unpack(&theirs.blob, to, wrap),
        Side::Tar => {
            fs_err::create_dir(to)?;
            // The members are called by their absolute path without its slash.
            let depth = subject.prefix.components().count() - 1;
            let mut command = wrap.to_vec();
            command.extend(["tar".into(), "-xzf".into(), theirs.blob.clone().into()]);
            command.extend([format!("--strip-components={depth}").into(), "-C".into(), to.into()]);
            child::run(&command, &[], theirs.scratch.path())
        }
    }
}

/// The tree must be what was packed, the buildinfo aside.
fn check(prefix: &Path, unpacked: &Path) -> anyhow::Result<()> {
    let output = Command::new("diff")
        .args(["-rq", "--no-dereference", "--exclude=.spack"])
        .args([prefix, unpacked])
        .output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        let first: Vec<_> = text.lines().take(3).collect();
        bail!("the unpacked tree is not the packed one: {}", first.join("; "));
    }
    Ok(())
}

fn calls(harness: &Harness) -> anyhow::Result<()> {
    let empty = Tarballs::make(harness, Shape::Empty.make(harness)?)?;
    let mut shapes = Vec::new();
    for shape in Shape::COUNTED {
        shapes.push((shape, Tarballs::make(harness, shape.make(harness)?)?));
    }
    let report = harness.memory.path().join("strace.txt");
    for (side, name) in SIDES {
        let count = |tarballs: &Tarballs, to: PathBuf| {
            unpack(harness, tarballs, side, &to, &strace::counting(&report))?;
            strace::read(&report)
        };
        let directory = harness.memory.path();
        let start = count(&empty, directory.join(format!("calls-empty-{side:?}")))?;
        let mut columns = Vec::new();
        for (shape, tarballs) in &shapes {
            let to = directory.join(format!("calls-{}-{side:?}", shape.name()));
            columns.push((format!("per {}", shape.name()), count(tarballs, to)?, ENTRIES));
        }
        harness.show(&differences(&format!("System calls of unpacking: {name}"), &start, &columns));
    }
    Ok(())
}
