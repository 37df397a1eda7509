//! The terminal: arguments, what is shown, exit codes. Everything else is in the libraries.

mod cli;
mod commands;
mod error;
mod settings;
mod surroundings;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use ui::{ExitStatus, Printer, diagnostics};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(&cli.global);
    let cancel = commands::cancel_on_signal();
    let result = match cli.command {
        Command::Push(arguments) => commands::push::run(&arguments, &printer, &cancel),
        Command::Install(arguments) => commands::install::run(&arguments, &printer, &cancel),
        Command::Uninstall(arguments) => commands::uninstall::run(&arguments, &printer, &cancel),
        Command::Env(arguments) => commands::env::run(&arguments, &printer, &cancel),
        Command::List(arguments) => commands::list::run(&arguments, &printer, &cancel),
        Command::Show(arguments) => commands::show::run(&arguments, &printer, &cancel),
        Command::Index(arguments) => commands::index::run(&arguments, &printer, &cancel),
        Command::Check(arguments) => commands::check::run(&arguments, &printer, &cancel),
        Command::Copy(arguments) => commands::copy::run(&arguments, &printer, &cancel),
        Command::Cache(arguments) => commands::cache::run(&arguments, &printer),
        Command::Unpack(arguments) => commands::unpack::run(&arguments, &printer, &cancel),
        Command::Mirror(arguments) => commands::mirror::run(&arguments, &printer, &cancel),
        Command::Login(arguments) => commands::login::login(&arguments, &printer, &cancel),
        Command::Logout(arguments) => commands::login::logout(&arguments, &printer, &cancel),
        Command::Completions { shell } => commands::completions::run(shell, &printer),
    };
    result.unwrap_or_else(|error| diagnostics::report(&error, &printer)).into()
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
