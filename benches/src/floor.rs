//! A push against the sum of its parts: what hod spends beyond the work that cannot be left out.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;

use crate::child::Usage;
use crate::entries;
use crate::harness::{Harness, Store, Subject, cores};
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

/// What is packed.
#[derive(Clone, Copy)]
enum Work<'a> {
    Prefix(&'a Subject),
    /// Each of its prefixes becomes a blob.
    Store(&'a Store),
}

/// What came of packing it once. The blobs vanish with it.
struct Pushed {
    usage: Usage,
    trees: Vec<Tree>,
    _scratch: TempDir,
}

/// One blob and where it came from.
struct Tree {
    prefix: PathBuf,
    blob: PathBuf,
    size: u64,
}

pub(crate) fn run(harness: &Harness) -> anyhow::Result<()> {
    for subject in harness.subjects(SUBJECTS) {
        parts::walk_and_read(&subject.prefix)?;
        for variant in VARIANTS {
            let (name, _, _) = variant;
            if let Err(error) = one(harness, Work::Prefix(&subject), variant) {
                harness.say(&format!("`{}`, {name}: no floor: {error:#}", subject.name));
            }
        }
    }
    Ok(())
}

/// The floor of all prefixes of a store together, for the codecs that Spack reads.
pub(crate) fn of_store(harness: &Harness, store: &Store) -> anyhow::Result<()> {
    VARIANTS[..3].iter().try_for_each(|variant| one(harness, Work::Store(store), variant))
}

impl Work<'_> {
    fn name(self) -> String {
        match self {
            Self::Prefix(subject) => format!("`{}`", subject.name),
            Self::Store(_) => "the store".to_owned(),
        }
    }

    fn push(
        self,
        harness: &Harness,
        options: &[&str],
        wrap: &[OsString],
    ) -> anyhow::Result<Pushed> {
        match self {
            Self::Prefix(subject) => {
                let packed = harness.push(subject, options, wrap)?;
                let (prefix, size) = (subject.prefix.clone(), packed.size);
                let trees = vec![Tree { prefix, blob: packed.blob, size }];
                Ok(Pushed { usage: packed.usage, trees, _scratch: packed.scratch })
            }
            Self::Store(store) => {
                let scratch = harness.scratch()?;
                let mirror = scratch.path().join("mirror");
                let usage = harness.push_store(store, &mirror, options, wrap)?;
                let trees = entries::read(&mirror)?.into_iter().map(|(name, layer)| {
                    Ok(Tree { prefix: store.prefix(&name)?, blob: layer.path, size: layer.size })
                });
                let trees = trees.collect::<anyhow::Result<_>>()?;
                Ok(Pushed { usage, trees, _scratch: scratch })
            }
        }
    }
}

impl Store {
    /// The prefix called so, below the directory of its architecture.
    fn prefix(&self, name: &str) -> anyhow::Result<PathBuf> {
        let mut below = fs_err::read_dir(&self.root)?.flatten();
        below
            .find_map(|entry| Some(entry.path().join(name)).filter(|prefix| prefix.is_dir()))
            .with_context(|| format!("{} has no prefix {name}", self.root.display()))
    }
}

/// Seconds of each part, and what the encoder and the scan alone came to.
struct Alone {
    seconds: [f64; PARTS.len()],
    size: u64,
    listed: usize,
}

/// Does each part of the work on these trees alone, tree by tree.
fn alone(trees: &[Tree], encoder: Encoder) -> anyhow::Result<Alone> {
    let mut prefixes: Vec<String> = Vec::new();
    for tree in trees {
        prefixes.push(tree.prefix.display().to_string());
    }
    let parent = trees.first().and_then(|tree| tree.prefix.parent());
    prefixes.extend(parent.map(|parent| parent.display().to_string()));
    let scan = parts::relocation_scan(&prefixes);
    let mut sum = Alone { seconds: [0.0; PARTS.len()], size: 0, listed: 0 };
    for tree in trees {
        let stream = Stream::read(&tree.blob)?;
        let members = stream::members(&stream.tar)?;
        let (encoding, size) = parts::encode(encoder, &stream.tar, &stream.blocks)?;
        let (scanning, listed) = parts::scan_members(&stream.tar, &members, &scan);
        let seconds = [
            parts::walk_and_read(&tree.prefix)?.0,
            scanning,
            parts::sha256(&stream.tar),
            encoding,
            parts::sha256(&stream.compressed),
        ];
        sum.seconds.iter_mut().zip(seconds).for_each(|(sum, seconds)| *sum += seconds);
        sum.size += size;
        sum.listed += listed;
    }
    Ok(sum)
}

fn one(
    harness: &Harness,
    work: Work<'_>,
    (name, options, encoder): &(&str, &[&str], Encoder),
) -> anyhow::Result<()> {
    let mut samples: Vec<Samples> = vec![Samples::default(); PARTS.len()];
    let (mut cpu, mut pinned, mut wall, mut sum) =
        <(Samples, Samples, Samples, Samples)>::default();
    let one_core = ["taskset", "-c", "0"].map(OsString::from);
    let (mut ours, mut theirs, mut listed) = (0, 0, 0);
    // One run of hod, then its parts on the bytes of that run, and again.
    for _ in 0..harness.runs {
        let pushed = work.push(harness, options, &[])?;
        ours = pushed.trees.iter().map(|tree| tree.size).sum();
        cpu.push(pushed.usage.cpu());
        wall.push(pushed.usage.wall);
        // Two encoders at work slow each other down (caches, memory); the parts below run alone.
        pinned.push(work.push(harness, options, &one_core)?.usage.cpu());
        let alone = alone(&pushed.trees, *encoder)?;
        (theirs, listed) = (alone.size, alone.listed);
        sum.push(alone.seconds.iter().sum());
        for (samples, seconds) in samples.iter_mut().zip(alone.seconds) {
            samples.push(seconds);
        }
    }
    let mut table = Table::new(
        format!("Floor of {}, {name}: CPU seconds, one thread each", work.name()),
        &["part", "s"],
    );
    for (part, samples) in PARTS.iter().zip(&samples) {
        table.row([(*part).to_owned(), samples.to_string()]);
        table.keep(*part, samples);
    }
    let ideal = sum.median();
    #[expect(clippy::cast_precision_loss, reason = "a count of cores")]
    let (shared, floor) = (cpu.median() / cores() as f64, ideal / cores() as f64);
    table.row(["sum".to_owned(), format!("{ideal:.3}")]);
    table.row(["hod, user + sys".to_owned(), cpu.to_string()]);
    table.row(["hod / sum".to_owned(), format!("{:.3}", cpu.median() / ideal)]);
    table.row(["hod on one core, user + sys".to_owned(), pinned.to_string()]);
    table.row(["hod on one core / sum".to_owned(), format!("{:.3}", pinned.median() / ideal)]);
    table.row(["hod, wall".to_owned(), wall.to_string()]);
    table.row(["wall / (CPU / cores)".to_owned(), format!("{:.3}", wall.median() / shared)]);
    table.row(["wall / (sum / cores)".to_owned(), format!("{:.3}", wall.median() / floor)]);
    table.keep("hod, cpu", &cpu);
    table.keep("hod on one core, cpu", &pinned);
    table.keep("hod, wall", &wall);
    harness.show(&table);
    harness.say(&format!(
        "The encoder alone made {} bytes of the same blocks; the blob has {} ({:.4} of it). \
         The scan alone listed {listed} files.",
        grouped(theirs),
        grouped(ours),
        ratio(ours, theirs)
    ));
    Ok(())
}
