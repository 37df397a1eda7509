//! Runs one command and says what it used.
//!
//! The command is started by a fresh copy of this program that starts nothing else, so that the
//! usage of *its* children is the usage of the command, and so that the command's peak memory does
//! not begin with the harness's own (Linux carries it across fork and exec).

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

pub(crate) const SUBCOMMAND: &str = "measure-child";

/// What one run used, with everything it started.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) wall: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Of the largest process.
    pub(crate) max_rss_kib: i64,
}

impl Usage {
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// `measure-child REPORT PROGRAM ARGUMENT…`: runs the program and writes its usage to `REPORT`.
pub(crate) fn measure(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let report = arguments.next().context("a report is needed")?;
    let program = arguments.next().context("a program is needed")?;
    let start = Instant::now();
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .with_context(|| format!("could not run {}", program.display()))?;
    let wall = start.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let usage = Usage {
        wall,
        user: seconds(used.user_time().num_microseconds()),
        system: seconds(used.system_time().num_microseconds()),
        max_rss_kib: used.max_rss(),
    };
    fs_err::write(Path::new(&report), serde_json::to_vec(&usage)?)?;
    std::process::exit(status.code().unwrap_or(101));
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a benchmark fit in 53 bits")]
fn seconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1e6
}

/// What surrounds a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Environment<'a> {
    /// These variables and `PATH`, and nothing else.
    Only(&'a [(&'a str, &'a Path)]),
    /// Whatever surrounds us.
    Ours,
}

/// Runs `command` (program first) to its end, with `variables` as its only environment beside
/// `PATH`. Fails with what it printed if it failed.
pub(crate) fn run(
    command: &[OsString],
    variables: &[(&str, &Path)],
    scratch: &Path,
) -> anyhow::Result<Usage> {
    run_in(Environment::Only(variables), command, scratch)
}

/// The same with another environment.
pub(crate) fn run_in(
    environment: Environment<'_>,
    command: &[OsString],
    scratch: &Path,
) -> anyhow::Result<Usage> {
    let report = scratch.join("usage.json");
    let mut child = Command::new(std::env::current_exe()?);
    child.arg(SUBCOMMAND).arg(&report).args(command).stdin(Stdio::null());
    if let Environment::Only(variables) = environment {
        child
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .envs(variables.iter().copied());
    }
    let output = child.output()?;
    if !output.status.success() {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        bail!(
            "{} ({}):\n{}{}",
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&fs_err::read(&report)?)?)
}
