//! Macro benchmarks: `hod` as a whole against Spack's way of doing the same (`peer.py`) or the real
//! Spack, against the floor of its own parts, and under a file system that answers slowly. Prints
//! Markdown tables for BENCHMARKS.md, where the methods are written down.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are the product")]

mod child;
mod entries;
mod floor;
mod harness;
mod index;
mod install;
mod memory;
mod pack;
mod parts;
mod registry;
mod repeat;
mod shape;
mod slow_fs;
mod spack;
mod store_push;
mod strace;
mod stream;
mod synthetic;
mod syscalls;
mod table;
mod trace;
mod unpack;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use harness::Harness;

/// Measure hod on the named corpora.
#[derive(Debug, Parser)]
#[command(name = "hod-benches")]
struct Cli {
    /// What to measure.
    what: What,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/hod")]
    hod: PathBuf,
    /// Where `xtask corpus --to` made the corpora.
    #[arg(long, default_value = "target/corpora")]
    corpus_dir: PathBuf,
    /// Measure these corpora instead of the usual ones; repeatable.
    #[arg(long = "corpus", value_name = "NAME")]
    corpora: Vec<String>,
    /// Runs of each variant; medians are reported.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// A Python 3.11 for the peer.
    #[arg(long, default_value = "python3.11")]
    python: PathBuf,
    /// A memory file system for mirrors, caches and outputs.
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// A directory on a real disk, for unpacking.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    disk_dir: PathBuf,
    /// The program of a real Spack, which runs in the environment of this command.
    #[arg(long, requires = "spack_store")]
    spack: Option<PathBuf>,
    /// A configuration scope for it (`spack -C`), which names the store.
    #[arg(long, value_name = "DIR", requires = "spack")]
    spack_config: Option<PathBuf>,
    /// The store that is pushed, instead of the corpus `spack-store`: its root.
    #[arg(long, value_name = "PATH")]
    spack_store: Option<PathBuf>,
    /// What of the store is pushed, with all it needs at run time; repeatable.
    #[arg(long = "spec", value_name = "SPEC", default_values = ["python", "hello", "libpng"])]
    specs: Vec<String>,
    /// Where to write the same numbers as JSON, with every single sample.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Wall time, CPU time and size of a push against the peer's.
    Pack,
    /// CPU time of a push against the sum of its parts done alone.
    Floor,
    /// System calls per file, directory and link.
    Syscalls,
    /// Wall time when every call on a file takes a millisecond more.
    SlowFs,
    /// The largest resident set.
    Memory,
    /// Wall time of unpacking, and system calls per file.
    Unpack,
    /// A whole store, against the real Spack and against its parts done alone.
    StorePush,
    /// A whole store to a registry, against the real Spack, near and far.
    Registry,
    /// A push of what is there already.
    Repeat,
    /// Databases of 100,000 packages, and the index of a mirror.
    Index,
    /// A package and all it needs into a fresh store, against the real Spack, against its parts done
    /// alone, and on a slow file system.
    Install,
    /// All of the above.
    All,
}

type Section = fn(&Harness) -> anyhow::Result<()>;

const SECTIONS: &[(What, Section)] = &[
    (What::Pack, pack::run),
    (What::Floor, floor::run),
    (What::Syscalls, syscalls::run),
    (What::SlowFs, slow_fs::run),
    (What::Memory, memory::run),
    (What::Unpack, unpack::run),
    (What::StorePush, store_push::run),
    (What::Registry, registry::run),
    (What::Repeat, repeat::run),
    (What::Index, index::run),
    (What::Install, install::run),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == child::SUBCOMMAND) {
        return child::measure(arguments);
    }
    let cli = Cli::parse();
    let harness = Harness::new(&cli)?;
    let mut faults = 0;
    for (what, section) in SECTIONS {
        if cli.what != *what && cli.what != What::All {
            continue;
        }
        if let Err(error) = section(&harness) {
            eprintln!("hod-benches: {what:?}: {error:#}");
            faults += 1;
        }
    }
    if let Some(out) = &cli.out {
        fs_err::write(out, serde_json::to_string_pretty(&harness.results())?)?;
    }
    anyhow::ensure!(faults == 0, "{faults} sections are incomplete");
    Ok(())
}
