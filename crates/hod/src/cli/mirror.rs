//! The arguments of `hod mirror`, which are those of `spack mirror` (`spack-format` 10.2).

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Mirror {
    #[command(subcommand)]
    pub(crate) command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Give a mirror a name, and search it before all others
    #[command(after_help = ADD_EXAMPLES)]
    Add(AddMirror),
    /// Change what is known of a mirror
    #[command(after_help = SET_EXAMPLES)]
    Set(SetMirror),
    /// Forget a mirror; what it holds stays
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
    /// List the mirrors: what they hold, and where they are
    #[command(visible_alias = "ls")]
    List,
}

const ADD_EXAMPLES: &str = "\
Examples:
  hod mirror add lab ./cache
  hod mirror add my_registry oci://ghcr.io/user/image
  hod mirror add my_registry oci://ghcr.io/user/image --oci-username-variable REGISTRY_USER \\
      --oci-password-variable REGISTRY_TOKEN";

const SET_EXAMPLES: &str = "\
Example:
  hod mirror set --push --oci-username ada --oci-password-variable REGISTRY_TOKEN my_registry";

#[derive(Debug, Args)]
pub(crate) struct AddMirror {
    /// What to call it
    pub(crate) name: String,
    /// Where it is: oci://, oci+http://, file://, https://, s3:// and so on, or a directory
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) kind: Kind,
    /// Have Spack push to it after each installation
    #[arg(long)]
    pub(crate) autopush: bool,
    // Last: its heading is that of everything after it.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are booleans")]
pub(crate) struct SetMirror {
    /// Its name
    pub(crate) name: String,
    /// Change only how it is written to
    #[arg(long, conflicts_with = "fetch")]
    pub(crate) push: bool,
    /// Change only how it is read from
    #[arg(long)]
    pub(crate) fetch: bool,
    /// Where it is
    #[arg(long)]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) kind: Kind,
    /// Have Spack push to it after each installation
    #[arg(long, conflicts_with = "no_autopush")]
    pub(crate) autopush: bool,
    /// Have Spack push to it only when told
    #[arg(long)]
    pub(crate) no_autopush: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Kind {
    /// What it holds (may be given twice) [default: both]
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<Holds>,
    /// Its packages must be signed; never so in a registry
    #[arg(long, conflicts_with = "unsigned")]
    pub(crate) signed: bool,
    /// Its packages need not be signed
    #[arg(long)]
    pub(crate) unsigned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Holds {
    Binary,
    Source,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// User of the registry
    #[arg(long, value_name = "USER")]
    pub(crate) oci_username: Option<String>,
    /// Variable that has the user
    #[arg(long, value_name = "NAME", conflicts_with = "oci_username")]
    pub(crate) oci_username_variable: Option<String>,
    /// Variable that has the password or token
    #[arg(long, value_name = "NAME")]
    pub(crate) oci_password_variable: Option<String>,
    /// Access key of S3
    #[arg(long, value_name = "ID", conflicts_with_all = ["oci_username", "oci_username_variable"])]
    pub(crate) s3_access_key_id: Option<String>,
    /// Variable that has the access key of S3
    #[arg(long, value_name = "NAME", conflicts_with_all = ["s3_access_key_id", "oci_username", "oci_username_variable"])]
    pub(crate) s3_access_key_id_variable: Option<String>,
    /// Variable that has the secret key of S3
    #[arg(long, value_name = "NAME", conflicts_with = "oci_password_variable")]
    pub(crate) s3_access_key_secret_variable: Option<String>,
    /// Variable that has the session token of S3
    #[arg(long, value_name = "NAME")]
    pub(crate) s3_access_token_variable: Option<String>,
    /// Profile in the AWS configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) s3_profile: Option<String>,
    /// URL of the S3 server
    #[arg(long, value_name = "URL")]
    pub(crate) s3_endpoint_url: Option<String>,
    // What Spack had before 1.0: understood, and refused.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub(crate) oci_password: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub(crate) s3_access_key_secret: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub(crate) s3_access_token: Option<String>,
}
