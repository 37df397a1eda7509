//! `hod completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ui::{ExitStatus, Printer};

#[expect(clippy::unnecessary_wraps, reason = "all verbs have one shape")]
pub(crate) fn run(shell: Shell, printer: &Printer) -> anyhow::Result<ExitStatus> {
    // The generators panic where they cannot write, so they write where they can.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hod", &mut script);
    printer.data(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitStatus::Success)
}
