//! What words on the command line mean here: a mirror, a store, a spec or a prefix. This is where
//! Spack's configuration and the environment come in.

mod place;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use hod_archive::Cancel;
use hod_store::{Environment, Found, MirrorConfig, Patience, SpackConfig, Store, StoreRequest};

use crate::cli::Registries;
use crate::error::{NoMirrors, UnknownMirror};
use crate::ui::Printer;

pub(crate) use place::{MirrorPlace, Opener};

/// Which of a mirror's two places is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Fetch,
    Push,
}

/// The environment, and Spack's configuration once somebody needs it.
pub(crate) struct Surroundings<'a> {
    environment: Environment,
    config: OnceCell<SpackConfig>,
    printer: &'a Printer,
    cancel: &'a Cancel,
}

/// What a word that names a package is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An install prefix.
    Prefix(PathBuf),
    /// A query for an installed spec.
    Query(String),
}

impl<'a> Surroundings<'a> {
    pub(crate) fn new(printer: &'a Printer, cancel: &'a Cancel) -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let environment = Environment {
            home: etcetera::home_dir().ok(),
            cwd: std::env::current_dir().unwrap_or_default(),
            user: variables.get("USER").or_else(|| variables.get("LOGNAME")).cloned(),
            variables,
        };
        Self { environment, config: OnceCell::new(), printer, cancel }
    }

    /// `SPACK_ROOT`.
    pub(crate) fn spack_root(&self) -> Option<String> {
        self.environment.variable("SPACK_ROOT").filter(|root| !root.is_empty()).map(str::to_owned)
    }

    /// What the process knows of its surroundings.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A path as people write it, with `~` for their home.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let home = self.environment.home.as_deref().filter(|home| *home != Path::new("/"));
        match home.and_then(|home| path.strip_prefix(home).ok()) {
            Some(below) => format!("~/{}", below.display()),
            None => path.display().to_string(),
        }
    }

    /// Spack's configuration, with what could not be taken into account said once.
    pub(crate) fn config(&self) -> anyhow::Result<&SpackConfig> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = SpackConfig::load(&self.environment)?;
        for warning in config.warnings() {
            self.printer.warn(warning);
        }
        Ok(self.config.get_or_init(|| config))
    }

    /// The same with what it says of packages; `None` where there is none that can be read, and so
    /// nobody who says anything of packages.
    pub(crate) fn config_with_packages(&self) -> Option<SpackConfig> {
        SpackConfig::load_with_packages(&self.environment).ok()
    }

    /// Opens mirrors, in the way the command line wants.
    pub(crate) fn opener<'b>(&'b self, arguments: &'b Registries) -> Opener<'b> {
        Opener { arguments, surroundings: self }
    }

    /// The mirror that is named by a path, a URL or its name in `mirrors.yaml`.
    pub(crate) fn mirror(&self, word: &OsStr, direction: Direction) -> anyhow::Result<MirrorPlace> {
        if let Some(layout) = MirrorPlace::of_layout(word) {
            return Ok(layout?);
        }
        // Names and URLs are text.
        let Some(text) = word.to_str() else { return Ok(MirrorPlace::directory(word)) };
        if text.contains("://") {
            return Ok(MirrorPlace::of_url(text)?);
        }
        if is_path(text) {
            return Ok(MirrorPlace::directory(text));
        }
        let mirrors = self.config()?.mirrors()?;
        let Some(mirror) = mirrors.iter().find(|mirror| mirror.name == text) else {
            return Err(UnknownMirror {
                name: text.to_owned(),
                known: mirrors.into_iter().map(|mirror| mirror.name).collect(),
                is_directory: Path::new(text).is_dir(),
            }
            .into());
        };
        if mirror.signed && direction == Direction::Push {
            self.printer.warn(format_args!(
                "the mirror `{text}` is to hold signed packages, and hod signs none yet: Spack \
                 installs what is pushed with `--no-check-signature`, or after `spack mirror set \
                 --unsigned {text}`"
            ));
        }
        self.configured(mirror, direction)
            .with_context(|| format!("cannot use the mirror `{text}` of Spack's configuration"))
    }

    /// All configured mirrors that hold binaries and can be read.
    pub(crate) fn mirrors(&self) -> anyhow::Result<Vec<MirrorPlace>> {
        let mut places = Vec::new();
        for mirror in self.config()?.mirrors()?.iter().filter(|mirror| mirror.binary) {
            match self.configured(mirror, Direction::Fetch) {
                Ok(place) => places.push(place),
                Err(error) => self.printer.warn(format_args!(
                    "left out the mirror `{}` of Spack's configuration: {error}",
                    mirror.name
                )),
            }
        }
        if places.is_empty() {
            return Err(NoMirrors.into());
        }
        Ok(places)
    }

    fn configured(
        &self,
        mirror: &MirrorConfig,
        direction: Direction,
    ) -> anyhow::Result<MirrorPlace> {
        let connection = match direction {
            Direction::Fetch => Some(&mirror.fetch),
            Direction::Push => mirror.push.as_ref(),
        };
        let connection = connection.ok_or_else(|| anyhow!("it has no place to push to"))?;
        let place = MirrorPlace::of_connection(connection, direction, &self.environment)?;
        Ok(place.signed(mirror.signed))
    }

    /// The store that is meant: the one named, else that of `HOD_STORE` or of Spack.
    pub(crate) fn store(&self, explicit: Option<&Path>) -> anyhow::Result<Arc<Store>> {
        let found = self.find_store(explicit)?;
        self.open(&found)
    }

    /// Which store is meant, opened or not.
    pub(crate) fn find_store(&self, explicit: Option<&Path>) -> anyhow::Result<Found> {
        let request = StoreRequest { explicit: explicit.map(Path::to_owned) };
        let found = hod_store::find_store(&request, &self.environment)?;
        for warning in &found.warnings {
            self.printer.warn(warning);
        }
        Ok(found)
    }

    /// Where something is told, and what stops the work.
    pub(crate) fn printer(&self) -> &'a Printer {
        self.printer
    }

    pub(crate) fn cancel(&self) -> &'a Cancel {
        self.cancel
    }

    /// Opens a store that was found.
    pub(crate) fn open(&self, found: &Found) -> anyhow::Result<Arc<Store>> {
        let on_wait = |waiting: &hod_store::Waiting| {
            crate::commands::waiting_for_store(waiting, &found.path, self.printer);
        };
        let is_cancelled = || self.cancel.is_cancelled();
        let patience =
            Patience { on_wait: &on_wait, is_cancelled: &is_cancelled, ..Patience::default() };
        let store = Store::open(&found.path, &found.options(patience))?;
        for warning in store.warnings() {
            self.printer.warn(warning);
        }
        Ok(Arc::new(store))
    }
}

/// What a word that names a package is: a path contains a `/` or is `.` or `..` (`spack-format`
/// 6.1); but `/abc1234` and `name/abc1234` are hashes, unless there is such a directory.
pub(crate) fn what(word: &OsStr) -> What {
    let Some(text) = word.to_str() else { return What::Prefix(PathBuf::from(word)) };
    let is_query = || {
        let query = text.parse::<hod_spec::Query>();
        query.is_ok_and(|query| query.hash_prefix().is_some())
    };
    if !is_path(text) || (!Path::new(text).exists() && is_query()) {
        What::Query(text.to_owned())
    } else {
        What::Prefix(PathBuf::from(text))
    }
}

/// The rule by which Spack tells paths from names (`spack-format` 6.1).
pub(crate) fn is_path(text: &str) -> bool {
    text.contains('/') || matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_path_or_a_query() {
        let query = |text: &str| assert_eq!(what(text.as_ref()), What::Query(text.to_owned()));
        let prefix =
            |text: &str| assert_eq!(what(text.as_ref()), What::Prefix(PathBuf::from(text)));
        query("zlib");
        query("zlib@1.3+shared");
        query("/abcdefg");
        query("zlib/abcdefg");
        prefix(".");
        prefix("./zlib");
        prefix("/tmp");
        prefix("/opt/zlib-1.3.1");
    }
}
