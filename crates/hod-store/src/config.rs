//! Spack's configuration, as far as it says where things are (`spack-format` 6).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::mirror;
use crate::permission::{self, Permissions};
use crate::yaml::{self, Value, Yaml};
use crate::{Environment, Error, MirrorConfig};

mod include;
mod install_tree;
mod scope;
mod spack_root;
mod substitute;
#[cfg(test)]
mod tests;
mod warning;

pub use install_tree::InstallTree;
pub(crate) use substitute::{Variables, scheme};
pub use warning::ConfigWarning;

/// The sections that are always read.
const SECTIONS: &[&str] = &["include", "config", "upstreams", "mirrors"];
/// The same with the largest, which few have a use for.
const ALL_SECTIONS: &[&str] = &["include", "config", "upstreams", "mirrors", "packages"];

/// How long Spack waits for its database, by its own default configuration.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// The merged configuration of a Spack.
#[derive(Debug, Clone)]
pub struct SpackConfig {
    environment: Environment,
    spack_root: Option<PathBuf>,
    spack_environment: Option<PathBuf>,
    /// What Spack has no setting for depends on this.
    is_before_1_0: bool,
    files: Vec<PathBuf>,
    config: Option<Yaml>,
    upstreams: Option<Yaml>,
    mirrors: Option<Yaml>,
    packages: Option<Yaml>,
    warnings: Vec<ConfigWarning>,
}

impl SpackConfig {
    /// Reads the configuration of the Spack of this environment, or only the system's and the
    /// user's if there is no Spack (`spack-format` 6.3).
    ///
    /// What it says of single packages is left out.
    pub fn load(environment: &Environment) -> Result<Self, Error> {
        Self::load_sections(environment, SECTIONS)
    }

    /// The same with what it says of single packages: their [`permissions`](Self::permissions).
    pub fn load_with_packages(environment: &Environment) -> Result<Self, Error> {
        Self::load_sections(environment, ALL_SECTIONS)
    }

    fn load_sections(
        environment: &Environment,
        sections: &'static [&'static str],
    ) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let spack_root = spack_root::find(environment, &mut warnings);
        let spack_environment =
            environment.nonempty("SPACK_ENV").map(|path| environment.cwd.join(path));
        let variables = Variables {
            environment,
            spack_root: spack_root.as_deref(),
            spack_environment: spack_environment.as_deref(),
        };
        let mut loader = scope::Loader::new(variables, sections, warnings);
        loader.load_all()?;
        Ok(loader.complete()?.with_warnings())
    }

    /// The configuration that one file holds, be it an environment's `spack.yaml`, a section's
    /// file or one with several sections. What it includes is left out.
    pub fn parse(bytes: &[u8], file: &Path, environment: &Environment) -> Result<Self, Error> {
        let variables = Variables { environment, spack_root: None, spack_environment: None };
        let mut loader = scope::Loader::new(variables, ALL_SECTIONS, Vec::new());
        loader.add_text(bytes, file)?;
        Ok(loader.complete()?.with_warnings())
    }

    fn new(variables: Variables<'_>) -> Self {
        Self {
            environment: variables.environment.clone(),
            spack_root: variables.spack_root.map(Path::to_owned),
            spack_environment: variables.spack_environment.map(Path::to_owned),
            is_before_1_0: false,
            files: Vec::new(),
            config: None,
            upstreams: None,
            mirrors: None,
            packages: None,
            warnings: Vec::new(),
        }
    }

    /// Lays a section of more weight over what is there.
    fn lay_over(&mut self, section: &yaml::Key, over: Yaml) {
        let under = match &*section.text {
            "config" => &mut self.config,
            "upstreams" => &mut self.upstreams,
            "mirrors" => &mut self.mirrors,
            "packages" => &mut self.packages,
            _ => return,
        };
        *under = Some(match under.take().filter(|_| !section.replaces) {
            Some(under) => yaml::merge(under, over),
            None => over,
        });
    }

    /// Notes what the settings ask for in vain. The values themselves are computed when they are
    /// asked for, so that a fault in one does not hide the others.
    fn with_warnings(mut self) -> Self {
        let mut warnings = std::mem::take(&mut self.warnings);
        let _ = self.read_install_tree(&mut warnings);
        let _ = self.read_upstreams(&mut warnings);
        let _ = self.read_mirrors(&mut warnings);
        self.warnings = warnings;
        self
    }

    fn variables(&self) -> Variables<'_> {
        Variables {
            environment: &self.environment,
            spack_root: self.spack_root.as_deref(),
            spack_environment: self.spack_environment.as_deref(),
        }
    }

    /// The directory of the Spack.
    pub fn spack_root(&self) -> Option<&Path> {
        self.spack_root.as_deref()
    }

    /// The files that were read, those of least weight first.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Where packages are installed: `config:install_tree`. `None` if nothing says so and there is
    /// no Spack.
    pub fn install_tree(&self) -> Result<Option<InstallTree>, Error> {
        self.read_install_tree(&mut Vec::new())
    }

    fn read_install_tree(
        &self,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Result<Option<InstallTree>, Error> {
        let projection = install_tree::projection(self.is_before_1_0);
        install_tree::read(self.config.as_ref(), projection, &self.variables(), warnings)
    }

    /// The roots of the upstream stores, in the order in which they are asked.
    pub fn upstreams(&self) -> Result<Vec<PathBuf>, Error> {
        self.read_upstreams(&mut Vec::new())
    }

    fn read_upstreams(&self, warnings: &mut Vec<ConfigWarning>) -> Result<Vec<PathBuf>, Error> {
        let Some(section) = &self.upstreams else { return Ok(Vec::new()) };
        let mut roots = Vec::new();
        for (name, upstream) in mapping(section, "upstreams")? {
            let name = format!("upstreams:{}", name.text);
            mapping(upstream, &name)?;
            if let Some(root) = upstream.get("install_tree") {
                let setting = format!("{name}:install_tree");
                let text = text(root, &setting)?;
                let path = self.variables().path(text, &root.place, warnings);
                roots.push(path.ok_or_else(|| mismatch(root, &setting, "a path"))?);
            }
        }
        Ok(roots)
    }

    /// Whether locks are used: `config:locks`.
    pub fn uses_locks(&self) -> Result<bool, Error> {
        let Some(value) = self.setting("locks") else { return Ok(true) };
        value.boolean().ok_or_else(|| mismatch(value, "config:locks", "true or false"))
    }

    /// How long to wait for the database: `config:db_lock_timeout`; `None` for ever, which Spack
    /// writes as zero.
    pub fn lock_timeout(&self) -> Result<Option<Duration>, Error> {
        let Some(value) = self.setting("db_lock_timeout") else { return Ok(Some(LOCK_TIMEOUT)) };
        let seconds = value
            .number()
            .ok_or_else(|| mismatch(value, "config:db_lock_timeout", "a number of seconds"))?;
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// Who may read and write what is installed of a package: `packages:NAME:permissions`, else
    /// `packages:all:permissions`, and `config:allow_sgid`.
    pub fn permissions(&self, package: &str) -> Result<Permissions, Error> {
        let allows_sgid = match self.setting("allow_sgid") {
            Some(value) => value
                .boolean()
                .ok_or_else(|| mismatch(value, "config:allow_sgid", "true or false"))?,
            None => true,
        };
        let has_spack = self.spack_root.is_some();
        permission::read(package, self.packages.as_ref(), allows_sgid, has_spack)
    }

    fn setting(&self, name: &str) -> Option<&Yaml> {
        self.config.as_ref()?.get(name)
    }

    /// The mirrors, in the order in which they are searched.
    pub fn mirrors(&self) -> Result<Vec<MirrorConfig>, Error> {
        self.read_mirrors(&mut Vec::new())
    }

    fn read_mirrors(&self, warnings: &mut Vec<ConfigWarning>) -> Result<Vec<MirrorConfig>, Error> {
        let Some(section) = &self.mirrors else { return Ok(Vec::new()) };
        let entries = mapping(section, "mirrors")?.iter();
        entries
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| mirror::read(&name.text, value, &self.variables(), warnings))
            .collect()
    }

    /// The names of the mirrors, and the file that has the most to say of each. Unlike
    /// [`mirrors`](Self::mirrors) it does not mind what is said.
    pub fn mirror_files(&self) -> Vec<(String, PathBuf)> {
        let entries = self.mirrors.as_ref().and_then(Yaml::entries).unwrap_or_default().iter();
        let named = entries.filter(|(_, value)| !value.is_null());
        named.map(|(name, value)| (name.text.clone(), value.place.file.to_path_buf())).collect()
    }

    /// What could not be taken into account.
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }
}

/// The entries of a section that must be a mapping.
pub(crate) fn mapping<'y>(
    value: &'y Yaml,
    setting: &str,
) -> Result<&'y [(yaml::Key, Yaml)], Error> {
    value.entries().ok_or_else(|| mismatch(value, setting, "a mapping"))
}

/// The text of a setting that must be one.
pub(crate) fn text<'y>(value: &'y Yaml, setting: &str) -> Result<&'y str, Error> {
    value.text().ok_or_else(|| mismatch(value, setting, "text"))
}

/// A setting is not what it should be. What it is instead is said by kind only: it may be a secret.
pub(crate) fn mismatch(value: &Yaml, setting: &str, expected: &'static str) -> Error {
    Error::Setting {
        place: value.place.to_string(),
        setting: setting.to_owned(),
        expected,
        found: value.kind().into_owned(),
    }
}

/// An empty mapping in the place of what is null.
fn emptied(value: Yaml) -> Yaml {
    if value.is_null() { Yaml { value: Value::Map(Vec::new()), place: value.place } } else { value }
}
