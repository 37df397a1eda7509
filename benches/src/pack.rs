//! A push against the peer: wall time, CPU time, size; the curve over jobs and over levels.

use anyhow::bail;
use sha2::{Digest, Sha256};

use crate::harness::{Harness, Packed, Subject, cores};
use crate::parts;
use crate::stream::{self, Stream};
use crate::table::{Samples, Table, grouped, ratio};

const SUBJECTS: &[&str] = &["cpython", "rust-sysroot", "tiny", "spack-store"];

/// Name and options of each way to push.
const VARIANTS: &[(&str, &[&str])] = &[
    ("hod", &[]),
    ("hod, fast", &["--compression-level", "fast"]),
    ("hod, single member", &["--gzip-members", "single"]),
    ("hod, zstd fast", &["--compression", "zstd", "--compression-level", "fast"]),
    ("hod, not compressed", &["--compression", "none"]),
];
const JOBS: &[&str] = &["1", "2", "4"];
const LEVELS: &[&str] = &["1", "3", "5", "6", "7", "9"];
const PEER: &str = "Spack's way";

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    for subject in harness.subjects(SUBJECTS) {
        // Warms the page cache, for both alike.
        let (_, seen) = parts::walk_and_read(&subject.prefix)?;
        harness.say(&format!(
            "`{}`: {} files, {} directories, {} links, {} bytes.",
            subject.name,
            grouped(seen.files),
            grouped(seen.directories + 1),
            grouped(seen.others),
            grouped(seen.bytes)
        ));
        check(harness, &subject)?;
        against_peer(harness, &subject)?;
        jobs(harness, &subject)?;
        if subject.name == "cpython" {
            levels(harness, &subject)?;
        }
    }
    Ok(())
}

/// Every way to push must hold the same tar stream, and it must be the peer's up to the buildinfo.
fn check(harness: &Harness, subject: &Subject) -> anyhow::Result<()> {
    let ours = Stream::read(&harness.push(subject, &[], &[])?.blob)?.tar;
    let expected = Sha256::digest(&ours);
    let with_jobs: (&str, &[&str]) = ("hod -j1 --io-jobs 1", &["-j", "1", "--io-jobs", "1"]);
    for (name, options) in VARIANTS[1..].iter().copied().chain([with_jobs]) {
        let other = Stream::read(&harness.push(subject, options, &[])?.blob)?.tar;
        if Sha256::digest(&other) != expected {
            bail!("{}: the stream of `{name}` is not that of `hod`", subject.name);
        }
    }
    let theirs = Stream::read(&harness.peer(subject, &[])?.blob)?.tar;
    harness.say(&match stream::difference(&ours, &theirs)? {
        None => "All streams are equal; the peer's is the same up to the buildinfo.".to_owned(),
        Some(how) => format!("All of hod's streams are equal, the peer's is NOT the same: {how}."),
    });
    Ok(())
}

/// Samples of one variant over its runs.
#[derive(Default)]
struct Column {
    wall: Samples,
    cpu: Samples,
    size: u64,
}

impl Column {
    fn add(&mut self, packed: &Packed) {
        self.wall.push(packed.usage.wall);
        self.cpu.push(packed.usage.cpu());
        self.size = packed.size;
    }
}

fn against_peer(harness: &Harness, subject: &Subject) -> anyhow::Result<()> {
    let mut columns: Vec<Column> = (0..=VARIANTS.len()).map(|_| Column::default()).collect();
    for _ in 0..harness.runs {
        for (column, (_, options)) in columns[1..].iter_mut().zip(VARIANTS) {
            column.add(&harness.push(subject, options, &[])?);
        }
        columns[0].add(&harness.peer(subject, &[])?);
    }
    let mut table = Table::new(
        format!("Packing `{}`, {} interleaved runs", subject.name, harness.runs),
        &["", "wall s", "user + sys s", "bytes", "size / Spack's", "times faster"],
    );
    let peer = (columns[0].wall.median(), columns[0].size);
    let names = std::iter::once(PEER).chain(VARIANTS.iter().map(|(name, _)| *name));
    for (name, column) in names.zip(&columns) {
        table.row([
            name.to_owned(),
            column.wall.to_string(),
            column.cpu.to_string(),
            grouped(column.size),
            format!("{:.4}", ratio(column.size, peer.1)),
            format!("{:.2}", peer.0 / column.wall.median()),
        ]);
        table.keep(format!("{name}, wall"), &column.wall);
        table.keep(format!("{name}, cpu"), &column.cpu);
    }
    harness.show(&table);
    Ok(())
}

/// Wall time over `--jobs`, measured as far as there are cores, and computed for 16: the hash of the
/// raw stream is the only work that one thread must do from end to end, the rest is shared out.
fn jobs(harness: &Harness, subject: &Subject) -> anyhow::Result<()> {
    let mut columns: Vec<Column> = JOBS.iter().map(|_| Column::default()).collect();
    let mut serial = Samples::default();
    for run in 0..harness.runs {
        for (column, jobs) in columns.iter_mut().zip(JOBS) {
            let packed = harness.push(subject, &["-j", jobs], &[])?;
            column.add(&packed);
            if run == 0 {
                let tar = Stream::read(&packed.blob)?.tar;
                serial.push(parts::sha256(&tar));
            }
        }
    }
    let mut table = Table::new(
        format!("Packing `{}` with more jobs ({} cores)", subject.name, cores()),
        &["jobs", "wall s", "user + sys s"],
    );
    for (column, jobs) in columns.iter().zip(JOBS) {
        table.row([(*jobs).to_owned(), column.wall.to_string(), column.cpu.to_string()]);
        table.keep(format!("-j {jobs}, wall"), &column.wall);
    }
    let cpu = columns[0].cpu.median();
    let serial = serial.median();
    let low = serial.max(cpu / 16.0);
    let high = serial + (cpu - serial) / 16.0;
    table.row([
        "16 (computed)".to_owned(),
        format!("{low:.3} to {high:.3}"),
        format!("{cpu:.3}, of it serial {serial:.3}"),
    ]);
    harness.show(&table);
    Ok(())
}

fn levels(harness: &Harness, subject: &Subject) -> anyhow::Result<()> {
    let peer = harness.peer(subject, &[])?;
    let mut table = Table::new(
        format!("Packing `{}` at each level, one run", subject.name),
        &["codec and level", "wall s", "user + sys s", "bytes", "size / Spack's"],
    );
    for (codec, levels) in [("gzip", LEVELS), ("zstd", &LEVELS[..4])] {
        for level in levels {
            let options = ["--compression", codec, "--compression-level", level];
            let packed = harness.push(subject, &options, &[])?;
            table.row([
                format!("{codec} {level}"),
                format!("{:.3}", packed.usage.wall),
                format!("{:.3}", packed.usage.cpu()),
                grouped(packed.size),
                format!("{:.4}", ratio(packed.size, peer.size)),
            ]);
        }
    }
    harness.show(&table);
    Ok(())
}
