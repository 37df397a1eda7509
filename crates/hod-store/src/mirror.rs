//! Build caches as `mirrors.yaml` names them (`spack-format` 6.1, `Mirror` in
//! `spack/mirrors/mirror.py`).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::{ConfigWarning, Variables, mismatch, scheme, text};
use crate::yaml::Yaml;
use crate::{Environment, Error};

pub(crate) mod edit;
mod settings;
#[cfg(test)]
mod tests;
mod url;

pub use edit::{EditMirrorsError, MirrorDirection, MirrorFile};
pub use settings::{MirrorHolds, MirrorSettings};
pub use url::{MirrorUrlError, written_url};

/// What a URL of a mirror may begin with; anything else is a path.
const SCHEMES: [&str; 9] = ["file", "http", "https", "sftp", "ftp", "s3", "gs", "oci", "oci+http"];

/// A mirror.
// As many yes-or-no settings as Spack has.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorConfig {
    /// What it is called.
    pub name: String,
    /// How to read from it.
    pub fetch: Connection,
    /// How to write to it; `None` if only a place to read from is named.
    pub push: Option<Connection>,
    /// It holds packages.
    pub binary: bool,
    /// It holds sources.
    pub source: bool,
    /// Its packages must be signed. Never so if it is an OCI registry.
    pub signed: bool,
    /// Spack pushes to it after each installation.
    pub autopush: bool,
    /// The file that has the most to say of it. `None` for one that is not configured.
    pub file: Option<PathBuf>,
}

/// How a mirror is reached in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Connection {
    /// Where it is. Paths have become `file://` URLs.
    pub url: String,
    /// Which of its indexes to use.
    pub view: Option<String>,
    /// User and password.
    pub access_pair: Option<AccessPair>,
    /// A session token, for S3.
    pub access_token: Option<Secret>,
    /// The profile in the user's AWS configuration.
    pub profile: Option<String>,
    /// The S3 server.
    pub endpoint_url: Option<String>,
}

/// User and password, or what has other names for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessPair {
    /// The user.
    pub id: Secret,
    /// The password.
    pub secret: Secret,
}

/// A value that should not be shown, or the environment variable that has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The value itself.
    Value(String),
    /// The variable's name.
    Variable(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(…)"),
            Self::Variable(name) => f.debug_tuple("Variable").field(name).finish(),
        }
    }
}

impl Secret {
    /// The value, if there is one that is not empty.
    pub fn value<'a>(&'a self, environment: &'a Environment) -> Option<&'a str> {
        match self {
            Self::Value(value) => Some(&**value).filter(|value| !value.is_empty()),
            Self::Variable(name) => environment.nonempty(name),
        }
    }
}

impl AccessPair {
    /// User and password; neither counts without the other.
    pub fn values<'a>(&'a self, environment: &'a Environment) -> Option<(&'a str, &'a str)> {
        Some((self.id.value(environment)?, self.secret.value(environment)?))
    }
}

impl Connection {
    /// The environment variables that credentials should be in and are not. For Spack that is an
    /// error before a push, and no credentials otherwise.
    pub fn unset_variables(&self, environment: &Environment) -> Vec<&str> {
        let pair = self.access_pair.iter().flat_map(|pair| [&pair.id, &pair.secret]);
        let unset = |secret: &Secret| matches!(secret, Secret::Variable(name) if environment.variable(name).is_none());
        let secrets = pair.chain(&self.access_token).filter(|secret| unset(secret));
        secrets
            .map(|secret| match secret {
                Secret::Value(text) | Secret::Variable(text) => &**text,
            })
            .collect()
    }
}

impl MirrorConfig {
    /// A mirror that is not configured but named by its URL or path, on a command line: it holds
    /// signed packages and sources, as far as anybody knows.
    pub fn anonymous(url_or_path: &str, environment: &Environment) -> Self {
        let url = if scheme(url_or_path).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            url_or_path.to_owned()
        } else {
            let path = environment.cwd.join(url_or_path);
            file_url(&crate::environment::normalised(&path))
        };
        Self::new(url_or_path, url)
    }

    fn new(name: &str, url: String) -> Self {
        let fetch = Connection { url, ..Connection::default() };
        Self {
            name: name.to_owned(),
            signed: !is_oci(&fetch.url),
            push: Some(fetch.clone()),
            fetch,
            binary: true,
            source: true,
            autopush: false,
            file: None,
        }
    }
}

fn is_oci(url: &str) -> bool {
    url.starts_with("oci://") || url.starts_with("oci+http://")
}

/// A mirror from its entry in the merged `mirrors`.
pub(crate) fn read(
    name: &str,
    entry: &Yaml,
    variables: &Variables<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<MirrorConfig, Error> {
    let setting = format!("mirrors:{name}");
    let file = Some(entry.place.file.to_path_buf());
    if entry.text().is_some() {
        let mirror = MirrorConfig::new(name, url_of(entry, &setting, variables, warnings)?);
        return Ok(MirrorConfig { file, ..mirror });
    }
    if entry.entries().is_none() {
        return Err(mismatch(entry, &setting, "a URL, a path or a mapping"));
    }
    let reader = Reader { entry, setting: &setting };
    let fetch = reader.connection("fetch", variables, warnings)?;
    let fetch =
        fetch.ok_or_else(|| mismatch(entry, &setting, "a mapping with `url` or `fetch`"))?;
    Ok(MirrorConfig {
        name: name.to_owned(),
        push: reader.connection("push", variables, warnings)?,
        binary: reader.boolean("binary", true)?,
        source: reader.boolean("source", true)?,
        signed: reader.boolean("signed", true)? && !is_oci(&fetch.url),
        autopush: reader.boolean("autopush", false)?,
        file,
        fetch,
    })
}

struct Reader<'a> {
    entry: &'a Yaml,
    setting: &'a str,
}

impl Reader<'_> {
    fn boolean(&self, key: &str, default: bool) -> Result<bool, Error> {
        let Some(value) = self.entry.get(key) else { return Ok(default) };
        let error = || mismatch(value, &format!("{}:{key}", self.setting), "true or false");
        value.boolean().ok_or_else(error)
    }

    /// What holds for one direction: its own value of each attribute, or else the mirror's.
    fn connection(
        &self,
        direction: &str,
        variables: &Variables<'_>,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Result<Option<Connection>, Error> {
        let own = self.entry.get(direction);
        if let Some(own) = own.filter(|own| own.items().is_some()) {
            let setting = format!("{}:{direction}", self.setting);
            return Err(mismatch(own, &setting, "a URL, a path or a mapping"));
        }
        let attribute =
            |key: &str| own.and_then(|own| own.get(key)).or_else(|| self.entry.get(key));
        let setting = |key: &str| format!("{}:{key}", self.setting);
        let string = |key: &str| -> Result<Option<String>, Error> {
            attribute(key).map(|value| Ok(text(value, &setting(key))?.to_owned())).transpose()
        };
        let address = own.filter(|own| own.text().is_some()).or_else(|| attribute("url"));
        let Some(address) = address else { return Ok(None) };
        let token = string("access_token_variable")?.map(Secret::Variable);
        Ok(Some(Connection {
            url: url_of(address, &setting("url"), variables, warnings)?,
            view: string("view")?,
            access_pair: attribute("access_pair")
                .map(|pair| access_pair(pair, &setting("access_pair")))
                .transpose()?,
            access_token: match token {
                Some(token) => Some(token),
                None => string("access_token")?.map(Secret::Value),
            },
            profile: string("profile")?,
            endpoint_url: string("endpoint_url")?,
        }))
    }
}

/// `{id or id_variable, secret_variable}`, or a list of two values as before 1.0.
fn access_pair(pair: &Yaml, setting: &str) -> Result<AccessPair, Error> {
    let error =
        || mismatch(pair, setting, "a mapping with `id` or `id_variable`, and `secret_variable`");
    if let Some([id, secret]) = pair.items() {
        let value = |value: &Yaml| Ok(Secret::Value(text(value, setting)?.to_owned()));
        return Ok(AccessPair { id: value(id)?, secret: value(secret)? });
    }
    let get = |key: &str| pair.get(key).map(|value| text(value, setting).map(str::to_owned));
    let id = match get("id_variable").transpose()? {
        Some(name) => Secret::Variable(name),
        None => Secret::Value(get("id").transpose()?.ok_or_else(error)?),
    };
    let secret = Secret::Variable(get("secret_variable").transpose()?.ok_or_else(error)?);
    Ok(AccessPair { id, secret })
}

/// A URL as it is, or that of a path.
fn url_of(
    value: &Yaml,
    setting: &str,
    variables: &Variables<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<String, Error> {
    let text = text(value, setting)?;
    if scheme(text).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Ok(text.to_owned());
    }
    if let Some(path) = variables.path(text, &value.place, warnings) {
        return Ok(file_url(&path));
    }
    // A variable that holds a URL, which Spack would take for a strange path.
    let url = variables.substituted(text, &value.place, &mut Vec::new());
    if scheme(&url).is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Ok(url);
    }
    Err(mismatch(value, setting, "a path, or a URL of a known kind"))
}

/// As Python's `Path.as_uri` writes it.
fn file_url(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;

    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~/".contains(byte) {
            url.push(char::from(*byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
