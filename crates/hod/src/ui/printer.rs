//! The one place that writes to stdout and stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::{ColorChoice, Global};

/// What colours mean. Nothing depends on them.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();

/// Lists are cut after so many lines unless `-v` is given.
const LIST_LENGTH: usize = 20;

/// Decides what is shown.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Printer {
    quiet: bool,
    verbose: bool,
    json: bool,
    progress: bool,
}

#[expect(clippy::unused_self, reason = "whoever prints holds the printer")]
impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            // `NO_COLOR`, `CLICOLOR_FORCE` and the kind of terminal decide.
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self {
            quiet: global.quiet,
            verbose: global.verbose,
            json: global.json,
            progress: !global.quiet && !global.no_progress && io::stderr().is_terminal(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether more than usual is to be shown.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether something may move on the terminal.
    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Data, on stdout.
    pub(crate) fn data(&self, line: impl Display) {
        let mut stdout = anstream::stdout().lock();
        if let Err(error) = writeln!(stdout, "{line}") {
            gone(&error);
        }
    }

    /// One JSON object, on stdout.
    pub(crate) fn json(&self, value: &impl Serialize) {
        // Everything serialised here is made of plain structs with string keys.
        let text = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
        let mut stdout = io::stdout().lock();
        if let Err(error) = writeln!(stdout, "{text}") {
            gone(&error);
        }
    }

    /// Talk, on stderr; silent with `-q`.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.quiet {
            self.error(line);
        }
    }

    /// What must be said even with `-q`.
    pub(crate) fn error(&self, line: impl Display) {
        // With stderr gone there is nobody left to tell.
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    }

    /// A part of a conversation on the terminal, without a line's end.
    pub(crate) fn ask(&self, text: &str) {
        let mut stderr = anstream::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// What to do about what was just said.
    pub(crate) fn hint(&self, hint: impl Display) {
        self.error(format_args!("\n{HINT}hint:{HINT:#} {hint}"));
    }

    /// A warning, on stderr; silent with `-q`.
    pub(crate) fn warn(&self, line: impl Display) {
        self.say(format_args!("{WARNING}warning:{WARNING:#} {line}"));
    }

    /// A list of talk, cut to twenty lines unless `-v` is given.
    pub(crate) fn say_list(&self, lines: impl IntoIterator<Item = String>) {
        let lines: Vec<String> = lines.into_iter().collect();
        let shown = if self.verbose { lines.len() } else { LIST_LENGTH };
        for line in lines.iter().take(shown) {
            self.say(line);
        }
        if lines.len() > shown {
            self.say(format_args!("{DIM}… and {} more (-v shows all){DIM:#}", lines.len() - shown));
        }
    }
}

/// The reader of stdout has had enough (`hod list | head`): that is its right, and no error.
fn gone(error: &io::Error) {
    let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
    std::process::exit(i32::from(!is_broken_pipe));
}
