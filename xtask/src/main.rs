//! Chores of the workspace that need more than a cargo command: the named corpora of the
//! benchmarks, and the check that dependencies point downwards only.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore reports to the terminal")]

mod corpus;
mod depcheck;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Chores of the workspace.
#[derive(Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Make the named corpora and verify them against the committed digests.
    Corpus {
        /// Which corpora; all but `million` and `huge` when none is named.
        names: Vec<String>,
        /// The directory that receives one subdirectory per corpus.
        #[arg(long, default_value = "target/corpora")]
        to: PathBuf,
        /// Write what was made into `benches/corpora.json` instead of verifying it.
        #[arg(long)]
        bless: bool,
    },
    /// Check that the workspace's crates depend on each other downwards only.
    Depcheck,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().chore {
        Chore::Corpus { names, to, bless } => corpus::run(&names, &to, bless),
        Chore::Depcheck => depcheck::run(),
    }
}
