//! What can be typed after `hod install`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::{Registries, StorePath, UnpackLimits};

pub(super) const EXAMPLES: &str = "\
Packages are verified, unpacked and relocated in one pass, and recorded in the database of the
store as Spack does it; what it would make in Python (module files, views, hooks of packages) is
left to Spack.

Examples:
  hod install python -m ./cache                   into the store of Spack's configuration
  hod install /k3x7qpl                            from the mirrors of Spack's mirrors.yaml
  hod install --root /opt/software python@3.11 -m oci://ghcr.io/me/cache
                                                  into a store of its own, without any Spack
  hod install zlib --to /opt/zlib -m ./cache      a prefix that Spack did not make, at a new place
  hod install --lock spack.lock -m ./cache        everything an environment asks for
  hod install --dry-run python -m ./cache         say what would be done";

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are booleans")]
pub(crate) struct Install {
    /// Packages: queries that match one each
    #[arg(value_name = "SPEC", required_unless_present = "lock")]
    pub(crate) specs: Vec<String>,
    /// The mirror to install from: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    /// (may be given several times) [default: all mirrors there]
    #[arg(short, long)]
    pub(crate) mirror: Vec<OsString>,
    /// Install what a `spack.lock` or a `spec.json` is about (may be given several times)
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StorePath,
    /// Install into the store with this root, which is made if need be
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub(crate) root: Option<PathBuf>,
    /// Put a prefix that Spack did not make to this place, which must not exist or be empty
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["store", "root", "lock", "force",
        "with_build_dependencies", "no_deps", "allow_missing", "dry_run"])]
    pub(crate) to: Option<PathBuf>,
    /// Install what was needed to build as well
    #[arg(long, conflicts_with = "no_deps")]
    pub(crate) with_build_dependencies: bool,
    /// Install only what is named, nothing it depends on
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Install what is named even if it is there, in place of what is there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Go on without packages that no mirror has
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Install from mirrors whose packages are to be signed, without asking for signatures
    #[arg(long)]
    pub(crate) no_check_signature: bool,
    /// Say what would be installed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Threads that decompress and write, and packages at the same time [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) registries: Registries,
    #[command(flatten)]
    pub(crate) limits: UnpackLimits,
}
