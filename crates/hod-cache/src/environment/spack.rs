//! What `spack load --sh` says of an environment: the one place where recipes are asked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use hod_spec::DagHash;

use super::{BASE_PATH, Change};

/// Most characters of what Spack complains about that are shown.
const MOST_COMPLAINT: usize = 2000;

/// A `spack` program, and what of the caller's environment it is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpackCommand {
    /// The program: a path. Its own `PATH` is not the caller's.
    pub program: PathBuf,
    /// Variables it needs to find its configuration.
    pub variables: Vec<(OsString, OsString)>,
}

/// Why Spack does not say what the environment is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpackError {
    /// There is no such program.
    #[error("there is no program `{}`", program.display())]
    Missing {
        /// The program.
        program: PathBuf,
    },
    /// The program cannot be run.
    #[error("could not run `{}`", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program says no.
    #[error("`{} load` failed ({status}){}", program.display(), complaint(stderr))]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// What it prints is not what `spack load --sh` prints.
    #[error("cannot understand what `{} load --sh` prints: `{line}`", program.display())]
    Unexpected {
        /// The program.
        program: PathBuf,
        /// The statement that is not understood, cut to 200 characters.
        line: String,
    },
}

fn complaint(stderr: &str) -> String {
    let stderr = stderr.trim();
    if stderr.is_empty() { ", and said nothing".to_owned() } else { format!(": {stderr}") }
}

impl SpackCommand {
    /// `program`, with what Spack needs of `variables`, the caller's environment: where its
    /// configuration and its Python are. What a shell with loaded packages or an active
    /// environment has is kept from it.
    pub fn new(
        program: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let is_needed = |name: &str| {
            let is_spacks = name.starts_with("SPACK_") && !is_bookkeeping(name);
            is_spacks || matches!(name, "HOME" | "USER" | "LOGNAME" | "LANG" | "LC_ALL" | "TMPDIR")
        };
        let needed = |(name, _): &(OsString, OsString)| name.to_str().is_some_and(is_needed);
        let variables = variables.into_iter().filter(needed).collect();
        Self { program: program.into(), variables }
    }

    /// What becomes of variables when the specs are loaded.
    pub(super) fn load(
        &self,
        hashes: impl IntoIterator<Item = DagHash>,
    ) -> Result<BTreeMap<String, Change>, SpackError> {
        let program = || self.program.clone();
        let output = Command::new(&self.program)
            .args(["load", "--sh"])
            .args(hashes.into_iter().map(|hash| format!("/{hash}")))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", BASE_PATH)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => SpackError::Missing { program: program() },
                _ => SpackError::Run { program: program(), source },
            })?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let stderr = stderr.chars().take(MOST_COMPLAINT).collect();
            return Err(SpackError::Failed { program: program(), status: output.status, stderr });
        }
        let unexpected = |line: &str| SpackError::Unexpected {
            program: program(),
            line: line.chars().take(200).collect(),
        };
        let text = String::from_utf8(output.stdout)
            .map_err(|error| unexpected(&String::from_utf8_lossy(error.as_bytes())))?;
        changes(&text).map_err(|statement| unexpected(&statement))
    }
}

/// What Spack keeps in the environment for itself alone, about the shell it was called from.
fn is_bookkeeping(name: &str) -> bool {
    matches!(name, "SPACK_LOADED_HASHES" | "SPACK_ENV" | "SPACK_ENV_VIEW" | "SPACK_SHELL")
        || name.starts_with("SPACK_OLD_")
}

/// What a script for a POSIX shell does to variables; the statement that does anything else.
fn changes(script: &str) -> Result<BTreeMap<String, Change>, String> {
    let mut changes = BTreeMap::new();
    for words in statements(script)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (name, change) = match words[..] {
            ["export", assignment] => {
                let (name, value) =
                    assignment.split_once('=').ok_or_else(|| assignment.to_owned())?;
                (name, change(name, value))
            }
            ["unset", name] => (name, Some(Change::Unset)),
            _ => return Err(words.join(" ")),
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(words.join(" "));
        }
        // All of Spack's own is about this machine's Spack.
        if let Some(change) = change.filter(|_| !name.starts_with("SPACK_")) {
            changes.insert(name.to_owned(), change);
        }
    }
    Ok(changes)
}

/// What becomes of a variable that has this value afterwards. Of lists only what is new is kept,
/// because the image has other old parts than the environment in which Spack ran.
fn change(name: &str, value: &str) -> Option<Change> {
    if name == "PATH" {
        if value == BASE_PATH {
            return None;
        }
        let new = value.strip_suffix(BASE_PATH).and_then(|new| new.strip_suffix(':'));
        return Some(match new {
            Some(new) => Change::Prepend(once_each(new)),
            None => Change::Set(value.to_owned()),
        });
    }
    // Nothing else was set before, so nobody says whether it would have been kept.
    let is_list = name.ends_with("PATH") || name.ends_with("_DIRS");
    Some(if is_list { Change::Prepend(once_each(value)) } else { Change::Set(value.to_owned()) })
}

/// A list without what is in it before; an empty last element stays.
fn once_each(list: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for element in list.split(':') {
        if !kept.contains(&element) {
            kept.push(element);
        }
    }
    kept.join(":")
}

/// The statements of a script, each as its words; what is quoted as `shlex.quote` does, or as a
/// shell understands it, is no longer quoted. What a shell would expand is not understood.
fn statements(script: &str) -> Result<Vec<Vec<String>>, String> {
    let mut statements = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = script.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(quoted) => word.push(quoted),
                        None => return Err(format!("'{word}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => match characters.next() {
                            Some('\n') => {}
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                            Some(plain) => word.extend(['\\', plain]),
                            None => return Err(format!("\"{word}")),
                        },
                        Some('$' | '`') | None => return Err(format!("\"{word}")),
                        Some(quoted) => word.push(quoted),
                    }
                }
            }
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            ' ' | '\t' => words.extend(word.take()),
            ';' | '\n' => {
                words.extend(word.take());
                if !words.is_empty() {
                    statements.push(std::mem::take(&mut words));
                }
            }
            '$' | '`' | '&' | '|' | '<' | '>' | '(' | ')' => {
                words.extend(word.take());
                return Err(format!("{} {character}", words.join(" ")));
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word.take());
    if !words.is_empty() {
        statements.push(words);
    }
    Ok(statements)
}

#[cfg(test)]
mod tests;
