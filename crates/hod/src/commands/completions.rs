//! `hod completions`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ui::ExitStatus;

#[expect(clippy::unnecessary_wraps, reason = "all verbs have one shape")]
pub(crate) fn run(shell: Shell) -> anyhow::Result<ExitStatus> {
    clap_complete::generate(shell, &mut Cli::command(), "hod", &mut std::io::stdout());
    Ok(ExitStatus::Success)
}
