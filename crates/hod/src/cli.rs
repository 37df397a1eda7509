//! What can be typed. Types only: what the words mean is decided in `commands`.

pub(crate) mod image;

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hod_archive::{Codec, Level, Members};

mod env;
mod install;
mod login;
mod mirror;
mod uninstall;

pub(crate) use env::{Env, EnvShell};
pub(crate) use install::Install;
pub(crate) use login::{Login, Logout};
pub(crate) use mirror::{AddMirror, Connection, Holds, Kind, Mirror, MirrorCommand, SetMirror};
pub(crate) use uninstall::Uninstall;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "Exit codes: 0 done (also: nothing to do), 1 something failed or was not \
found, 2 wrong usage, 130 interrupted";

/// Carries installed software: packs an install prefix into one reproducible blob that is at once
/// a build cache entry and a container image layer
#[derive(Debug, Parser)]
#[command(name = "hod", version, styles = STYLES, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
#[expect(clippy::struct_excessive_bools, reason = "flags are booleans")]
pub(crate) struct Global {
    /// Say less: errors and asked-for data only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: nothing is cut to twenty lines
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Write JSON on stdout, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Do not show moving progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for a moment")]
pub(crate) enum Command {
    /// Pack installed specs or install prefixes and push them to a mirror
    #[command(after_help = PUSH_EXAMPLES)]
    Push(Push),
    /// Install packages and what they depend on from mirrors into a store
    #[command(after_help = install::EXAMPLES)]
    Install(Install),
    /// Remove installed packages that nothing else needs from a store
    #[command(after_help = uninstall::EXAMPLES)]
    Uninstall(Uninstall),
    /// Print what a shell is to read to use packages of a store
    #[command(after_help = env::EXAMPLES)]
    Env(Env),
    /// List the packages in a mirror or a store
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Show what a mirror or a store knows of one package
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Rebuild the index of a mirror, from which Spack knows what there is
    #[command(after_help = INDEX_EXAMPLES)]
    Index(Index),
    /// Read everything in a mirror again and compare it with its digests
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Copy images from one mirror to another, byte for byte
    #[command(after_help = COPY_EXAMPLES)]
    Copy(Copy),
    /// Unpack a package to a directory, as it was packed
    #[command(after_help = UNPACK_EXAMPLES)]
    Unpack(Unpack),
    /// Name mirrors, for hod and Spack alike
    #[command(after_help = MIRROR_EXAMPLES)]
    Mirror(Mirror),
    /// Remember the password for a registry
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(Login),
    /// Forget the password for a registry
    #[command(after_help = LOGOUT_EXAMPLES)]
    Logout(Logout),
    /// Show or shrink what is kept on this machine, to save work and downloads
    #[command(subcommand, after_help = CACHE_EXAMPLES)]
    Cache(Cache),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  hod completions bash > ~/.local/share/bash-completion/completions/hod"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const MIRROR_EXAMPLES: &str = "\
Mirrors are in Spack's mirrors.yaml, that of the user: SPACK_USER_CONFIG_PATH, else ~/.spack.

Examples:
  hod mirror add my_registry oci://ghcr.io/user/image
  hod mirror set --push --oci-username ada --oci-password-variable REGISTRY_TOKEN my_registry
  hod mirror list";

const LOGIN_EXAMPLES: &str = "\
The password goes where docker, podman and skopeo look for it as well: REGISTRY_AUTH_FILE, else
config.json in DOCKER_CONFIG, else in ~/.docker; through a credential helper if that names one.

Examples:
  hod login ghcr.io
  hod login ghcr.io -u ada --password-stdin < token";

const LOGOUT_EXAMPLES: &str = "\
Example:
  hod logout ghcr.io";

const PUSH_EXAMPLES: &str = "\
What is pushed:
  hdf5@1.14 +mpi      the installed spec that matches, in the store (--store, HOD_STORE, or the
                      one Spack's configuration names); /k3x7qpl names it by its hash
  ./build, /opt/zlib  a prefix: whatever contains a `/`, or `.` or `..`
                      (one that Spack made is pushed as its spec)

Examples:
  hod push ./cache python --update-index        python and all it depends on
  hod push lab 'hdf5+mpi' --only package        to the mirror `lab` of Spack's mirrors.yaml
  hod push ./cache /opt/zlib-1.3.1              what somebody's `make install` made
  hod push ./cache ./build --name zlib --version 1.3.1
  hod push oci://ghcr.io/me/cache python --base-image ubuntu:24.04 --tag python-3.11
                                                to a registry, with an image to run
  hod push --dry-run ./cache python             say what would be done
  hod push --refs -q ./cache python             print the image reference for the next program

Then:
  spack mirror add cache ./cache && spack install --cache-only --no-check-signature python
  podman run --rm oci:cache/oci:TAG COMMAND     or skopeo inspect oci:cache/oci:TAG";

const LIST_EXAMPLES: &str = "\
Queries: name, name@1.2, name@1.2:1.4, name@=1.2, /hash, name/hash, %gcc@12, +variant, ~variant,
key=value, os=…, target=…, ^dependency

Examples:
  hod list -m ./cache               all packages
  hod list -m ./cache 'python@3:'   all builds of Python 3
  hod list --store /opt/store -l    what is installed, with whole hashes and prefixes
  hod list -m ./cache --json | jq -r .hash";

const SHOW_EXAMPLES: &str = "\
Examples:
  hod show zlib -m ./cache
  hod show zlib@1.3.1/k3x7qpl -m ./cache --json
  hod show python --store /opt/store";

const INDEX_EXAMPLES: &str = "\
`hod push --update-index` keeps the index up to date; this reads every entry again.

Example:
  hod index ./cache";

const COPY_EXAMPLES: &str = "\
Mirrors are directories, bare image layouts (`oci-layout:DIR`), repositories of registries
(`oci://HOST/NAME`) and names in Spack's mirrors.yaml. Blobs that are there are not read again, and
within one registry none is sent. Indexes are not copied.

Examples:
  hod copy ./cache oci://ghcr.io/me/cache                 everything
  hod copy oci://ghcr.io/me/cache ./cache 'python@3:'     one package, with all its image needs
  hod copy --update-index ./cache lab zlib hdf5           and the target's index knows of it";

const CACHE_EXAMPLES: &str = "\
Examples:
  hod cache show
  hod cache prune --max-size 1G";

const CHECK_EXAMPLES: &str = "\
Exit code 1 means that something is damaged, that files lie around that nothing refers to, or that a
package does not fit.

Examples:
  hod check ./cache
  hod check ./cache --relocatable /opt/software     what could not be installed there
  hod check lab --relocatable /opt/software python  of a mirror in Spack's mirrors.yaml, one package";

const UNPACK_EXAMPLES: &str = "\
Nothing is relocated: paths inside the files stay as they were.

Examples:
  hod unpack zlib -m ./cache --to ./zlib        ./zlib becomes the prefix
  hod unpack zlib -m ./cache --to ./root --rootfs
                                                full paths below ./root";

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are booleans")]
pub(crate) struct Push {
    /// The mirror: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml; a directory is made if it does not exist
    pub(crate) mirror: OsString,
    /// Installed specs and install prefixes
    #[arg(required = true, value_name = "SPEC|PREFIX")]
    pub(crate) what: Vec<OsString>,
    /// Threads that compress [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Most threads that wait for the file system
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) io_jobs: NonZeroUsize,
    /// Say what would be pushed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Push what is there already: a prefix in any case, a spec if its tree has changed
    #[arg(short, long)]
    pub(crate) force: bool,
    /// After the first failure, begin nothing new
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Bring the mirror's index up to date afterwards
    #[arg(long, visible_alias = "rebuild-index")]
    pub(crate) update_index: bool,
    /// Print the reference of each package's image on stdout
    #[arg(long)]
    pub(crate) refs: bool,
    #[command(flatten)]
    pub(crate) prefixes: PlainPrefixes,
    #[command(flatten)]
    pub(crate) specs: Specs,
    #[command(flatten)]
    pub(crate) images: image::Images,
    #[command(flatten)]
    pub(crate) registries: Registries,
    // Last: its heading is that of everything after it.
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Prefixes that Spack did not make")]
pub(crate) struct PlainPrefixes {
    /// Name of the package [default: from the directory's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Version of the package [default: from the directory's name]
    #[arg(long)]
    pub(crate) version: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Specs")]
pub(crate) struct Specs {
    #[command(flatten)]
    pub(crate) store: StorePath,
    /// Push only the specs themselves, or only what they depend on [default: both]
    #[arg(long, value_name = "WHICH")]
    pub(crate) only: Option<Only>,
    /// Push what was needed to build them as well; the default, as in Spack
    #[arg(long, overrides_with = "without_build_dependencies")]
    pub(crate) with_build_dependencies: bool,
    /// Leave out what was needed only to build them
    #[arg(long, overrides_with = "with_build_dependencies")]
    pub(crate) without_build_dependencies: bool,
    /// Leave out dependencies that match (may be given several times)
    #[arg(long, value_name = "QUERY")]
    pub(crate) exclude: Vec<String>,
    /// Push specs too whose recipes forbid to redistribute binaries
    #[arg(long)]
    pub(crate) private: bool,
    /// Where Spack is, for the build information [env: `SPACK_ROOT`]
    #[arg(long, value_name = "PATH")]
    pub(crate) spack_prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StorePath {
    /// The Spack store [env: `HOD_STORE`] [default: that of Spack's configuration]
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

// Without a text for each, which would make all of the help long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    Package,
    Dependencies,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Format (each of these changes the digests)")]
pub(crate) struct Format {
    /// gzip, zstd or none; Spack reads gzip only
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    pub(crate) compression: Codec,
    /// A number, or fast, default or best (gzip 1, 6, 9; zstd 1, 3, 12)
    #[arg(long, value_name = "LEVEL", default_value = "default")]
    pub(crate) compression_level: Level,
    /// multi (decompresses in parallel) or single (for readers that stop at the first member)
    #[arg(long, value_name = "HOW", default_value = "multi", value_parser = members)]
    pub(crate) gzip_members: Members,
    /// Modification time of all entries, in seconds since 1970, or `source-date-epoch` to take it
    /// from that variable
    #[arg(long, value_name = "TIME", default_value = "0")]
    pub(crate) mtime: String,
}

/// How registries are spoken to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct Registries {
    /// Most requests at the same time
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) connections: NonZeroUsize,
    /// Certificates to trust besides those of the system, as a PEM file [env: `HOD_CA_FILE`]
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether certificates are verified
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    pub(crate) tls_verify: bool,
    /// Attempts at what may succeed a moment later
    #[arg(long, value_name = "N", default_value = "6")]
    pub(crate) retries: NonZeroU32,
}

fn members(text: &str) -> Result<Members, String> {
    match text {
        "multi" => Ok(Members::Multi),
        "single" => Ok(Members::Single),
        _ => Err("expected multi or single".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct From {
    /// The mirror to read from: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    #[arg(short, long)]
    pub(crate) mirror: OsString,
}

/// A mirror or a store.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The mirror to read from: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    /// (may be given several times) [default: all mirrors there]
    #[arg(short, long, conflicts_with = "store")]
    pub(crate) mirror: Vec<OsString>,
    /// Look into a Spack store instead [env: `HOD_STORE`] [default: that of Spack's
    /// configuration]
    #[arg(long, value_name = "PATH")]
    #[expect(clippy::option_option, reason = "absent, without a value, with one")]
    pub(crate) store: Option<Option<PathBuf>>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only what matches
    pub(crate) query: Option<String>,
    /// Show whole hashes, and where everything is; with -v also variants
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The package: a query that matches one, or a tag
    pub(crate) query: String,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

#[derive(Debug, Args)]
pub(crate) struct Index {
    /// The mirror: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    pub(crate) mirror: OsString,
    /// Threads that read entries of a directory [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Read all entries of a registry again, not only those that the index lacks
    #[arg(long)]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The mirror: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    pub(crate) mirror: OsString,
    /// With `--relocatable`, only what matches one of these
    #[arg(value_name = "QUERY", requires = "relocatable")]
    pub(crate) query: Vec<String>,
    /// Of a registry, download everything; otherwise it is asked whether all is there
    #[arg(long, conflicts_with = "relocatable")]
    pub(crate) read: bool,
    /// Say which packages cannot be installed into a store with this root, because a path in one of
    /// their binaries has too little room; a prefix that Spack did not make would be PATH itself
    #[arg(long, value_name = "PATH")]
    pub(crate) relocatable: Option<PathBuf>,
    /// Threads that read and decompress [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The mirror to read from: a directory, `oci://HOST/NAME`, `oci-layout:DIR`, or a name in
    /// Spack's mirrors.yaml
    #[arg(value_name = "FROM")]
    pub(crate) from: OsString,
    /// The mirror to write to, likewise; a directory is made if it does not exist
    #[arg(value_name = "TO")]
    pub(crate) to: OsString,
    /// Only what matches one of these
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// Say what would be copied, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Bring the target's index up to date afterwards
    #[arg(long, visible_alias = "rebuild-index")]
    pub(crate) update_index: bool,
    #[command(flatten)]
    pub(crate) registries: Registries,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Show where it is and how much it holds
    Show,
    /// Forget the least recently used blobs
    Prune {
        /// Bytes that may stay, as in 500M or 2G [default: `HOD_CACHE_SIZE`, or 10G]
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
        /// Say what would be forgotten, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Bytes, with a binary unit if there is one.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("expected a number of bytes, as in 500M or 2G".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number of bytes".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than there is".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// The package: name, name@version, name@version/hash, /hash or a tag
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) from: From,
    /// Where to; must not exist or be empty
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// Keep full paths below PATH instead of making PATH the prefix
    #[arg(long)]
    pub(crate) rootfs: bool,
    /// Threads that decompress and write [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) registries: Registries,
    #[command(flatten)]
    pub(crate) limits: UnpackLimits,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (against archives made to do harm)")]
#[expect(clippy::struct_field_names, reason = "the flags are named so")]
pub(crate) struct UnpackLimits {
    /// Most bytes the archive may unpack to
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
    /// Most entries the archive may have
    #[arg(long, value_name = "N")]
    pub(crate) max_entries: Option<u64>,
    /// Most bytes that one compressed byte may become
    #[arg(long, value_name = "N")]
    pub(crate) max_ratio: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        let sizes = ["0", "500", "1K", "2MiB", "3 G", "1t"].map(size);
        let expected = [0, 500, 1 << 10, 2 << 20, 3 << 30, 1 << 40];
        assert_eq!(sizes, expected.map(Ok));
        for wrong in ["", "G", "-1", "1.5G", "1X", "99999999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
