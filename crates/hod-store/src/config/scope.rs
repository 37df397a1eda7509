//! Which files there are, and in what order they weigh (`spack-format` 6.3).

use std::io;
use std::path::{Path, PathBuf};

use super::include::Include;
use super::substitute::platform;
use super::{ConfigWarning, SpackConfig, Variables, emptied, mapping, mismatch};
use crate::Error;
use crate::yaml::{self, Key, Value, Yaml};

/// How deep files may include each other, as Spack has it.
const DEPTH: usize = 100;

/// Where a scope's sections are.
#[derive(Debug)]
pub(super) enum Source {
    /// A file for each.
    Directory(PathBuf),
    /// All in one file, perhaps below one key of it.
    File(PathBuf, Option<&'static str>),
}

/// One source of settings.
struct Scope {
    /// Where more sections are, to be read once it is known that the scope counts.
    directory: Option<PathBuf>,
    sections: Vec<(Key, Yaml)>,
    /// Part of Spack: nothing can do without.
    is_default: bool,
    /// The index of the first scope that this includes, directly or not; they lie right below it.
    first_included: usize,
}

/// Collects scopes, those of least weight first.
pub(super) struct Loader<'a> {
    variables: Variables<'a>,
    /// Those that are of use.
    names: &'static [&'static str],
    /// The Spack is one before 1.0.
    is_before_1_0: bool,
    scopes: Vec<Scope>,
    files: Vec<PathBuf>,
    warnings: Vec<ConfigWarning>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        variables: Variables<'a>,
        names: &'static [&'static str],
        warnings: Vec<ConfigWarning>,
    ) -> Self {
        let (scopes, files) = (Vec::new(), Vec::new());
        Self { variables, names, is_before_1_0: false, scopes, files, warnings }
    }

    /// Everything Spack reads without being told on its command line.
    pub(super) fn load_all(&mut self) -> Result<(), Error> {
        let etc = self.variables.spack_root.map(|root| root.join("etc/spack"));
        let defaults = etc.as_ref().map(|etc| etc.join("defaults"));
        let has = |file: &str| defaults.as_ref().is_some_and(|path| path.join(file).is_file());
        // Since 1.1, which scopes there are is itself configured, in `etc/spack/include.yaml`.
        // In 0.x, each had another for the platform above it.
        let (are_configured, has_platforms) = (has("base/config.yaml"), !has("include.yaml"));
        self.is_before_1_0 = defaults.is_some() && has_platforms && !are_configured;
        if let Some(defaults) = defaults {
            self.push_with_platform(defaults, true, has_platforms && !are_configured)?;
        }
        if !are_configured {
            self.push_local("SPACK_SYSTEM_CONFIG_PATH", "/etc/spack", has_platforms)?;
        }
        if let Some(etc) = etc {
            self.push_with_platform(etc, false, has_platforms && !are_configured)?;
        }
        if !are_configured {
            self.push_local("SPACK_USER_CONFIG_PATH", "~/.spack", has_platforms)?;
        }
        if let Some(directory) = self.variables.spack_environment {
            let file = directory.join("spack.yaml");
            if file.is_file() {
                self.push(&Source::File(file, Some("spack")), false, 0)?;
            } else {
                self.warnings.push(ConfigWarning::NoEnvironment { path: directory.to_owned() });
            }
        }
        Ok(())
    }

    fn push_with_platform(
        &mut self,
        directory: PathBuf,
        is_default: bool,
        has_platform: bool,
    ) -> Result<(), Error> {
        let specific = directory.join(platform());
        self.push(&Source::Directory(directory), is_default, 0)?;
        if has_platform {
            self.push(&Source::Directory(specific), is_default, 0)?;
        }
        Ok(())
    }

    fn push_local(
        &mut self,
        variable: &str,
        default: &str,
        has_platform: bool,
    ) -> Result<(), Error> {
        if self.variables.environment.variable("SPACK_DISABLE_LOCAL_CONFIG").is_some() {
            return Ok(());
        }
        self.push_with_platform(self.variables.user_path(variable, default), false, has_platform)
    }

    /// Adds a scope above all others, and below it what it includes: the first in its list weighs
    /// most.
    fn push(&mut self, source: &Source, is_default: bool, depth: usize) -> Result<(), Error> {
        let (directory, sections) = match source {
            Source::Directory(directory) => {
                (Some(directory.clone()), self.read_section(directory, "include")?)
            }
            Source::File(file, inside) => (None, self.read_sections(file, *inside)?),
        };
        let first_included = self.scopes.len();
        let list = sections.iter().find(|(key, _)| key.text == "include");
        if let Some((_, list)) = list {
            let items = list.items().ok_or_else(|| mismatch(list, "include", "a list"))?;
            if depth >= DEPTH && !items.is_empty() {
                return Err(Error::EndlessInclude { place: list.place.to_string(), limit: DEPTH });
            }
            for item in items.iter().rev() {
                let include = Include::read(item, &self.variables, &mut self.warnings)?;
                if let Some(source) = include.source(item)? {
                    self.push(&source, is_default, depth + 1)?;
                }
            }
        }
        self.scopes.push(Scope { directory, sections, is_default, first_included });
        Ok(())
    }

    /// The file of one section in a directory.
    fn read_section(&mut self, directory: &Path, section: &str) -> Result<Vec<(Key, Yaml)>, Error> {
        let mut sections = self.read_entries(&directory.join(section).with_extension("yaml"))?;
        sections.retain(|(key, _)| key.text == section);
        checked(sections, self.names)
    }

    /// A file with several sections.
    fn read_sections(
        &mut self,
        file: &Path,
        inside: Option<&str>,
    ) -> Result<Vec<(Key, Yaml)>, Error> {
        let mut sections = self.read_entries(file)?;
        if let Some(inside) = inside {
            let inner = sections.into_iter().find(|(key, _)| key.text == inside);
            let inner = inner.map(|(_, value)| entries(emptied(value), file));
            sections = inner.transpose()?.unwrap_or_default();
        }
        checked(sections, self.names)
    }

    fn read_entries(&mut self, file: &Path) -> Result<Vec<(Key, Yaml)>, Error> {
        let document = self.read_file(file)?.map(|document| entries(document, file));
        Ok(document.transpose()?.unwrap_or_default())
    }

    fn read_file(&mut self, path: &Path) -> Result<Option<Yaml>, Error> {
        let bytes = match fs_err::read(path) {
            Ok(bytes) => bytes,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(None),
                _ => return Err(Error::Read { path: path.to_owned(), source: error }),
            },
        };
        self.files.push(path.to_owned());
        yaml::parse(&bytes, path)
            .map_err(|source| Error::Syntax { path: path.to_owned(), source: source.into() })
    }

    /// Adds one file without what it includes.
    pub(super) fn add_text(&mut self, bytes: &[u8], file: &Path) -> Result<(), Error> {
        let document = yaml::parse(bytes, file)
            .map_err(|source| Error::Syntax { path: file.to_owned(), source: source.into() })?;
        let Some(document) = document else { return Ok(()) };
        let inner = document.get("spack").cloned().unwrap_or(document);
        let mut sections = entries(inner, file)?;
        sections.retain(|(key, _)| key.text != "include");
        self.scopes.push(Scope {
            directory: None,
            sections: checked(sections, self.names)?,
            is_default: false,
            first_included: self.scopes.len(),
        });
        self.files.push(file.to_owned());
        Ok(())
    }

    /// Lays the scopes over one another. Where one says `include::`, what is below it and what it
    /// includes counts no more, except for Spack's own defaults.
    pub(super) fn complete(mut self) -> Result<SpackConfig, Error> {
        let replaces_includes = |scope: &Scope| {
            scope.sections.iter().any(|(key, _)| key.text == "include" && key.replaces)
        };
        let first = self.scopes.iter().rev().find(|scope| replaces_includes(scope));
        let first = first.map_or(0, |scope| scope.first_included);
        let mut config = SpackConfig::new(self.variables);
        for (index, scope) in std::mem::take(&mut self.scopes).into_iter().enumerate() {
            if index < first && !scope.is_default {
                continue;
            }
            let mut sections = scope.sections;
            if let Some(directory) = scope.directory {
                for section in self.names.iter().filter(|section| **section != "include") {
                    sections.append(&mut self.read_section(&directory, section)?);
                }
            }
            for (key, value) in sections {
                config.lay_over(&key, emptied(value));
            }
        }
        config.is_before_1_0 = self.is_before_1_0;
        config.files = self.files;
        config.warnings = self.warnings;
        Ok(config)
    }
}

/// The entries of a whole file.
fn entries(document: Yaml, file: &Path) -> Result<Vec<(Key, Yaml)>, Error> {
    mapping(&document, &file.file_name().unwrap_or_default().to_string_lossy())?;
    match document.value {
        Value::Map(entries) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}

/// The sections that are of use. All but one must be mappings.
fn checked(mut sections: Vec<(Key, Yaml)>, names: &[&str]) -> Result<Vec<(Key, Yaml)>, Error> {
    sections
        .retain(|(key, value)| names.contains(&&*key.text) && (key.replaces || !value.is_null()));
    for (key, value) in sections.iter().filter(|(key, _)| key.text != "include") {
        if !value.is_null() {
            mapping(value, &key.text)?;
        }
    }
    Ok(sections)
}
