//! What can be typed after `hod uninstall`.

use clap::Args;

use super::StorePath;

pub(super) const EXAMPLES: &str = "\
A package that others need to link or run stays. Those that were only built with it are in nobody's
way. Module files and views are left to Spack.

Examples:
  hod uninstall zlib@1.2.13                   from the store of Spack's configuration
  hod uninstall /k3x7qpl --store /opt/store   by its hash
  hod uninstall libpng zlib                   together: zlib may go if only libpng needs it
  hod uninstall --dependents zlib             and all that needs it
  hod uninstall --dry-run --all python        say what would be removed";

#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    /// Packages: queries that match one each
    #[arg(value_name = "SPEC", required = true)]
    pub(crate) specs: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StorePath,
    /// Remove what needs them as well
    #[arg(short = 'R', long)]
    pub(crate) dependents: bool,
    /// Remove all packages that match, however many
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Say what would be removed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
