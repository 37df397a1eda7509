//! A push against the sum of its parts: what hod spends beyond the work that cannot be left out.

use std::ffi::OsString;

use crate::harness::{Harness, Subject, cores};
use crate::parts::{self, Encoder};
use crate::stream::{self, Stream};
use crate::table::{Samples, Table, grouped, ratio};

const SUBJECTS: &[&str] = &["cpython", "rust-sysroot", "tiny", "spack-store"];

/// Options of the push, and the encoder that must make the same of the same blocks.
const VARIANTS: &[(&str, &[&str], Encoder)] = &[
    ("gzip 6, the default", &["--compression-level", "6"], Encoder::Members(6)),
    ("gzip 1", &["--compression-level", "1"], Encoder::Members(1)),
    (
        "gzip 6, single member",
        &["--gzip-members", "single", "--compression-level", "6"],
        Encoder::Single(6),
    ),
    ("zstd 3", &["--compression", "zstd", "--compression-level", "3"], Encoder::Zstd(3)),
    ("zstd 1", &["--compression", "zstd", "--compression-level", "1"], Encoder::Zstd(1)),
];

const PARTS: &[&str] = &[
    "list, open and read",
    "scan for prefixes",
    "SHA-256 of the stream",
    "encode",
    "SHA-256 of the blob",
];

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    for subject in harness.subjects(SUBJECTS) {
        parts::walk_and_read(&subject.prefix)?;
        for (name, options, encoder) in VARIANTS {
            if let Err(error) = variant(harness, &subject, name, options, *encoder) {
                harness.say(&format!("`{}`, {name}: no floor: {error:#}", subject.name));
            }
        }
    }
    Ok(())
}

fn variant(
    harness: &Harness,
    subject: &Subject,
    name: &str,
    options: &[&str],
    encoder: Encoder,
) -> anyhow::Result<()> {
    let mut samples: Vec<Samples> = vec![Samples::default(); PARTS.len()];
    let (mut cpu, mut pinned, mut wall, mut sum) =
        <(Samples, Samples, Samples, Samples)>::default();
    let one_core = ["taskset", "-c", "0"].map(OsString::from);
    let (mut ours, mut alone, mut listed) = (0, 0, 0);
    let prefixes = [subject.prefix.display().to_string(), parent(subject)];
    let scan = parts::relocation_scan(&prefixes);
    // One run of hod, then its parts on the bytes of that run, and again.
    for _ in 0..harness.runs {
        let packed = harness.push(subject, options, &[])?;
        let stream = Stream::read(&packed.blob)?;
        ours = packed.size;
        cpu.push(packed.usage.cpu());
        wall.push(packed.usage.wall);
        drop(packed);
        // Two encoders at work slow each other down (caches, memory); the parts below run alone.
        pinned.push(harness.push(subject, options, &one_core)?.usage.cpu());
        let members = stream::members(&stream.tar)?;
        let (encoding, size) = parts::encode(encoder, &stream.tar, &stream.blocks)?;
        alone = size;
        let (scanning, found) = parts::scan_members(&stream.tar, &members, &scan);
        listed = found;
        let seconds = [
            parts::walk_and_read(&subject.prefix)?.0,
            scanning,
            parts::sha256(&stream.tar),
            encoding,
            parts::sha256(&stream.compressed),
        ];
        sum.push(seconds.iter().sum());
        for (samples, seconds) in samples.iter_mut().zip(seconds) {
            samples.push(seconds);
        }
    }
    let mut table = Table::new(
        format!("Floor of `{}`, {name}: CPU seconds, one thread each", subject.name),
        &["part", "s"],
    );
    for (part, samples) in PARTS.iter().zip(&samples) {
        table.row([(*part).to_owned(), samples.to_string()]);
        table.keep(*part, samples);
    }
    let ideal = sum.median();
    #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
    let shared = cpu.median() / cores() as f64;
    table.row(["sum".to_owned(), format!("{ideal:.3}")]);
    table.row(["hod, user + sys".to_owned(), cpu.to_string()]);
    table.row(["hod / sum".to_owned(), format!("{:.3}", cpu.median() / ideal)]);
    table.row(["hod on one core, user + sys".to_owned(), pinned.to_string()]);
    table.row(["hod on one core / sum".to_owned(), format!("{:.3}", pinned.median() / ideal)]);
    table.row(["hod, wall".to_owned(), wall.to_string()]);
    table.row(["wall / (CPU / cores)".to_owned(), format!("{:.3}", wall.median() / shared)]);
    table.keep("hod, cpu", &cpu);
    table.keep("hod on one core, cpu", &pinned);
    table.keep("hod, wall", &wall);
    harness.show(&table);
    harness.say(&format!(
        "The encoder alone made {} bytes of the same blocks; the blob has {} ({:.4} of it). \
         The scan alone listed {listed} files.",
        grouped(alone),
        grouped(ours),
        ratio(ours, alone)
    ));
    Ok(())
}

fn parent(subject: &Subject) -> String {
    subject.prefix.parent().unwrap_or(&subject.prefix).display().to_string()
}
