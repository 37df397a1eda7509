//! `mirrors.yaml` changed as `spack mirror` changes it, and everything else in the file left as it
//! is, byte for byte.
//!
//! What a file should say after a change is computed on its data; the text is changed by
//! `yaml-edit` and read again with the reader of all of Spack's configuration. Only if both agree
//! is anything written.

use std::io;
use std::path::{Path, PathBuf};

use super::Secret;
use super::settings::{self, MirrorSettings};
use crate::config::Variables;
use crate::yaml::{self, Key, Place, Value, Yaml};
use crate::{Environment, YamlError};

mod replace;
#[cfg(test)]
mod tests;
mod text;

/// The section.
const MIRRORS: &str = "mirrors";

/// Which of a mirror's two places a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorDirection {
    /// The one to read from.
    Fetch,
    /// The one to write to.
    Push,
}

impl MirrorDirection {
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Push => "push",
        }
    }
}

/// Why the mirrors in a file could not be changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditMirrorsError {
    /// The file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not YAML.
    #[error("could not read `{}`", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The lines around the fault, each with its number, counted from one.
        excerpt: Vec<(usize, String)>,
        /// The line of the fault, if it is at one.
        line: Option<usize>,
        /// Why.
        source: Box<YamlError>,
    },
    /// Something in the file has the wrong kind.
    #[error("could not change `{}`", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// What, and where.
        source: Box<crate::Error>,
    },
    /// A name is taken.
    #[error("a mirror named `{name}` already exists")]
    Exists {
        /// The name.
        name: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// A name is not in the file.
    #[error("there is no mirror named `{name}` in `{}`", path.display())]
    Unknown {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Half of a user and password.
    #[error("the mirror `{name}` has a {present} and no {missing}")]
    HalfAccessPair {
        /// The mirror.
        name: String,
        /// The half that is there.
        present: &'static str,
        /// The half that is not.
        missing: &'static str,
    },
    /// The change would change something else as well: what it concerns is shared by an anchor, or
    /// comes from `<<`.
    #[error("cannot change `{name}` in `{}` without changing something else there", path.display())]
    Tangled {
        /// The mirror.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Somebody else changed the file meanwhile.
    #[error("`{}` was changed by somebody else at the same time", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// The mirrors of one file: those of one of Spack's scopes.
///
/// Changes are made in memory; [`save`](Self::save) writes them.
#[derive(Debug, Clone)]
pub struct MirrorFile {
    path: PathBuf,
    /// What is on the disk; `None` if nothing is.
    original: Option<Vec<u8>>,
    text: String,
    /// What the text says.
    document: Option<Yaml>,
}

impl MirrorFile {
    /// Where the user's own mirrors are: `mirrors.yaml` in `SPACK_USER_CONFIG_PATH`, else in
    /// `~/.spack` (`spack-format` 6.3). `None` without a home directory.
    pub fn user_path(environment: &Environment) -> Option<PathBuf> {
        let name = "SPACK_USER_CONFIG_PATH";
        let needs_home = environment.nonempty(name).is_none_or(|path| path.starts_with('~'));
        if needs_home && environment.home.is_none() {
            return None;
        }
        let variables = Variables { environment, spack_root: None, spack_environment: None };
        Some(variables.user_path(name, "~/.spack").join("mirrors.yaml"))
    }

    /// Reads a file, which need not exist.
    pub fn open(path: &Path) -> Result<Self, EditMirrorsError> {
        let original = match fs_err::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(EditMirrorsError::Read { path: path.to_owned(), source }),
        };
        Self::parse(path, original)
    }

    /// What a file at `path` holds, or `None` if there is none.
    pub fn parse(path: &Path, original: Option<Vec<u8>>) -> Result<Self, EditMirrorsError> {
        let bytes = original.as_deref().unwrap_or_default();
        let syntax = |source: YamlError| {
            let line = source.line();
            EditMirrorsError::Syntax {
                path: path.to_owned(),
                excerpt: line.map_or_else(Vec::new, |line| excerpt(bytes, line)),
                line,
                source: source.into(),
            }
        };
        let text = std::str::from_utf8(bytes).map_err(|error| syntax(error.into()))?.to_owned();
        let document = yaml::parse(bytes, path).map_err(syntax)?;
        let file = Self { path: path.to_owned(), original, text, document };
        file.check()?;
        Ok(file)
    }

    /// The document must be a mapping, and its mirrors as well.
    fn check(&self) -> Result<(), EditMirrorsError> {
        let Some(document) = &self.document else { return Ok(()) };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let document = crate::config::mapping(document, &name);
        let section = document.and_then(|entries| {
            let section = entries.iter().find(|(key, _)| key.text == MIRRORS);
            section
                .filter(|(_, section)| !section.is_null())
                .map_or(Ok(()), |(_, section)| crate::config::mapping(section, MIRRORS).map(|_| ()))
        });
        section.map_err(|source| self.setting(source))
    }

    fn setting(&self, source: crate::Error) -> EditMirrorsError {
        EditMirrorsError::Setting { path: self.path.clone(), source: source.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its mirrors, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.mirrors().iter().map(|(key, _)| &*key.text)
    }

    fn mirrors(&self) -> &[(Key, Yaml)] {
        let section = self.document.as_ref().and_then(|document| document.get(MIRRORS));
        section.and_then(Yaml::entries).unwrap_or_default()
    }

    fn mirror(&self, name: &str) -> Result<&Yaml, EditMirrorsError> {
        let found = self.mirrors().iter().find(|(key, _)| key.text == name);
        found.map(|(_, mirror)| mirror).ok_or_else(|| EditMirrorsError::Unknown {
            name: name.to_owned(),
            path: self.path.clone(),
        })
    }

    /// Puts a mirror before all others, so that it is searched first (`add` in
    /// `spack/mirrors/utils.py`).
    pub fn add(
        &mut self,
        name: &str,
        url: &str,
        settings: &MirrorSettings,
    ) -> Result<(), EditMirrorsError> {
        if self.names().any(|taken| taken == name) {
            let (name, path) = (name.to_owned(), self.path.clone());
            return Err(EditMirrorsError::Exists { name, path });
        }
        let place = Place { file: self.path.as_path().into(), line: 1, column: 1 };
        let mirror = settings::added(name, url, settings, &place)?;
        let mut mirrors = self.mirrors().to_vec();
        mirrors.insert(0, (settings::key(name), mirror));
        self.change_to(name, mirrors)
    }

    /// Changes a mirror, or one direction of it; what is `None` stays. Whether anything changed.
    pub fn set(
        &mut self,
        name: &str,
        direction: Option<MirrorDirection>,
        settings: &MirrorSettings,
    ) -> Result<bool, EditMirrorsError> {
        let old = self.mirror(name)?;
        let parts = [MirrorDirection::Fetch, MirrorDirection::Push].map(MirrorDirection::key);
        let parts = parts.into_iter().filter_map(|key| Some((format!(":{key}"), old.get(key)?)));
        for (part, value) in std::iter::once((String::new(), old)).chain(parts) {
            if value.items().is_some() || value.is_null() {
                let setting = format!("{MIRRORS}:{name}{part}");
                let expected = "a URL, a path or a mapping";
                return Err(self.setting(crate::config::mismatch(value, &setting, expected)));
            }
        }
        let new = settings::updated(name, old, direction, settings)?;
        if same(old, &new) {
            return Ok(false);
        }
        let mut mirrors = self.mirrors().to_vec();
        for (key, mirror) in &mut mirrors {
            if key.text == name {
                mirror.clone_from(&new);
            }
        }
        self.change_to(name, mirrors)?;
        Ok(true)
    }

    /// Takes a mirror out.
    pub fn remove(&mut self, name: &str) -> Result<(), EditMirrorsError> {
        self.mirror(name)?;
        let mut mirrors = self.mirrors().to_vec();
        mirrors.retain(|(key, _)| key.text != name);
        self.change_to(name, mirrors)
    }

    /// Writes these mirrors into the text.
    fn change_to(&mut self, name: &str, mirrors: Vec<(Key, Yaml)>) -> Result<(), EditMirrorsError> {
        let sections = self.document.as_ref().and_then(Yaml::entries).unwrap_or_default();
        let place = Place { file: self.path.as_path().into(), line: 1, column: 1 };
        let mut wanted = sections.to_vec();
        let section = Yaml { value: Value::Map(mirrors), place: place.clone() };
        match wanted.iter_mut().find(|(key, _)| key.text == MIRRORS) {
            Some((_, old)) => *old = section,
            None => wanted.push((settings::key(MIRRORS), section)),
        }
        let wanted = Yaml { value: Value::Map(wanted), place };
        let says = |text: &str| -> Option<Yaml> {
            let read = yaml::parse(text.as_bytes(), &self.path).ok()??;
            (same(&read, &wanted) && order(&read).eq(order(&wanted))).then_some(read)
        };
        for text in text::candidates(&self.text, self.document.as_ref(), &wanted) {
            if let Some(document) = says(&text) {
                self.text = text;
                self.document = Some(document);
                return Ok(());
            }
        }
        Err(EditMirrorsError::Tangled { name: name.to_owned(), path: self.path.clone() })
    }

    /// Replaces the file in one step, with its mode; makes it and its directory if there is none.
    pub fn save(&self) -> Result<(), EditMirrorsError> {
        replace::replace(&self.path, self.original.as_deref(), self.text.as_bytes())
    }
}

/// Whether two values mean the same, however they are quoted and in whatever order: what comes from
/// `<<` is read after a mapping's own keys, wherever it stands.
fn same(left: &Yaml, right: &Yaml) -> bool {
    match (&left.value, &right.value) {
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    let other = right.iter().find(|(other, _)| other == key);
                    other.is_some_and(|(_, other)| same(value, other))
                })
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Scalar { .. }, Value::Scalar { .. }) => left.to_json() == right.to_json(),
        _ => false,
    }
}

/// The names of the mirrors in a document, in their order, which is that of the search.
fn order(document: &Yaml) -> impl Iterator<Item = &str> {
    let mirrors = document.get(MIRRORS).and_then(Yaml::entries).unwrap_or_default();
    mirrors.iter().map(|(key, _)| &*key.text)
}

/// The line and those next to it.
fn excerpt(bytes: &[u8], line: usize) -> Vec<(usize, String)> {
    let text = String::from_utf8_lossy(bytes);
    // A fault may be that something is missing at the end.
    let line = line.min(text.lines().count());
    let lines = text.lines().zip(1_usize..).map(|(text, number)| (number, text.to_owned()));
    lines.filter(|(number, _)| number.abs_diff(line) <= 1).collect()
}

/// The old list's user has no variable.
pub(super) fn old_id(pair: &Yaml) -> Option<Secret> {
    let id = pair.items()?.first()?.text()?;
    Some(Secret::Value(id.to_owned()))
}
