//! What can be typed after `hod env`.

use clap::{Args, ValueEnum};

use super::StorePath;

pub(super) const EXAMPLES: &str = "\
What is printed puts the directories of the packages and of all they need first in PATH, MANPATH,
CMAKE_PREFIX_PATH, PKG_CONFIG_PATH and ACLOCAL_PATH, as `spack load` does. What recipes set besides
only Spack knows.

Examples:
  eval \"$(hod env python)\"                   in sh, bash, zsh
  hod env --shell fish python | source       in fish
  hod env --shell csh python > env.csh; source env.csh
  hod env --json python | jq -r '.prepend.PATH[]'";

#[derive(Debug, Args)]
pub(crate) struct Env {
    /// Packages: queries that match one each
    #[arg(value_name = "SPEC", required = true)]
    pub(crate) specs: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StorePath,
    /// The shell that is to read it; bash and zsh read that of sh
    #[arg(long, value_name = "SHELL", default_value = "sh")]
    pub(crate) shell: EnvShell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvShell {
    Sh,
    Csh,
    Fish,
}
