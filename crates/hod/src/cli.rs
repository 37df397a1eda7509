//! What can be typed. Types only: what the words mean is decided in `commands`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hod_archive::{Codec, Level, Members};

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
pub(crate) enum Command {
    /// Pack install prefixes and push them to a mirror
    #[command(after_help = PUSH_EXAMPLES)]
    Push(Push),
    /// List the packages in a mirror
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Show what a mirror knows of one package
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Read everything in a mirror again and compare it with its digests
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Unpack a package to a directory, as it was packed
    #[command(after_help = UNPACK_EXAMPLES)]
    Unpack(Unpack),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  hod completions bash > ~/.local/share/bash-completion/completions/hod"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const PUSH_EXAMPLES: &str = "\
Examples:
  hod push ./cache /opt/zlib-1.3.1              into a directory, made if need be
  hod push ./cache /opt/* -j 8                  several prefixes at once
  hod push ./cache ./build --name zlib --version 1.3.1
  hod push --dry-run ./cache /opt/zlib-1.3.1    say what would be done
  hod push --refs -q ./cache /opt/zlib-1.3.1    print the image reference for the next program

Then:
  skopeo inspect oci:cache/oci:TAG
  podman run --rm oci:cache/oci:TAG COMMAND     with the full path of the command";

const LIST_EXAMPLES: &str = "\
Examples:
  hod list -m ./cache           all packages
  hod list -m ./cache zlib      all builds of zlib
  hod list -m ./cache --json | jq -r .tag";

const SHOW_EXAMPLES: &str = "\
Examples:
  hod show zlib -m ./cache
  hod show zlib@1.3.1/k3x7qpl -m ./cache --json";

const CHECK_EXAMPLES: &str = "\
Exit code 1 means that something is damaged, or that files lie around that nothing refers to.

Example:
  hod check ./cache";

const UNPACK_EXAMPLES: &str = "\
Nothing is relocated: paths inside the files stay as they were.

Examples:
  hod unpack zlib -m ./cache --to ./zlib        ./zlib becomes the prefix
  hod unpack zlib -m ./cache --to ./root --rootfs
                                                full paths below ./root";

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The mirror: a directory, made if it does not exist
    #[arg(value_parser = mirror)]
    pub(crate) mirror: PathBuf,
    /// Install prefixes
    #[arg(required = true, value_name = "PREFIX")]
    pub(crate) prefixes: Vec<PathBuf>,
    /// Name of the package [default: from the directory's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Version of the package [default: from the directory's name]
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Threads that compress [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Most threads that wait for the file system
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) io_jobs: NonZeroUsize,
    /// Say what would be pushed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Pack even what is known to be there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the reference of each package's image on stdout
    #[arg(long)]
    pub(crate) refs: bool,
    // Last: its heading is that of everything after it.
    #[command(flatten)]
    pub(crate) format: Format,
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

/// A directory or a `file://` URL of one. Other URLs are refused: taken for a path, each would
/// become a directory named `oci:`.
fn mirror(text: &str) -> Result<PathBuf, String> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(PathBuf::from(text)) };
    if scheme != "file" {
        return Err(format!("only directories can be mirrors so far, not {scheme}://"));
    }
    if !rest.starts_with('/') {
        return Err("a file:// URL needs an absolute path, as in file:///srv/mirror".to_owned());
    }
    Ok(PathBuf::from(rest))
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
    /// The mirror to read from
    #[arg(short, long, value_parser = mirror)]
    pub(crate) mirror: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only these: name, name@version, name@version/hash or /hash
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) from: From,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The package: name, name@version, name@version/hash, /hash or a tag
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) from: From,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The mirror
    #[arg(value_parser = mirror)]
    pub(crate) mirror: PathBuf,
    /// Threads that read and decompress [default: cores]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
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
    fn a_mirror_is_a_directory() {
        assert_eq!(mirror("./cache").unwrap(), PathBuf::from("./cache"));
        assert_eq!(mirror("file:///srv/cache").unwrap(), PathBuf::from("/srv/cache"));
        assert!(mirror("oci://ghcr.io/a/b").unwrap_err().contains("not oci://"));
        assert!(mirror("file://cache").unwrap_err().contains("absolute"));
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
