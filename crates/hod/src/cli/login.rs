//! The arguments of `hod login` and `hod logout`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The registry, as `ghcr.io` or `localhost:5000`
    pub(crate) registry: String,
    /// The user [default: asked for]
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,
    /// Read the password or token from stdin; otherwise it is asked for
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Do not ask the registry whether the password is right
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) registries: super::Registries,
}

#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry
    pub(crate) registry: String,
}
