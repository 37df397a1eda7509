//! docker's `config.json` and containers' `auth.json` (containers-auth.json(5)), which are one
//! format: `auths`, `credHelpers`, `credsStore`.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::{Map, Value};

use super::host::{host_of, names, same_host};
use super::{Credentials, CredentialsError};

/// A file with credentials.
pub struct AuthFile {
    path: PathBuf,
    pub(super) content: Map<String, Value>,
}

impl std::fmt::Debug for AuthFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a file says of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthAnswer {
    /// It knows nothing.
    Nothing,
    /// These.
    Credentials(Credentials),
    /// The helper of this name is to be asked.
    Helper(String),
}

impl AuthFile {
    /// Reads a file. `None` if there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, CredentialsError> {
        match fs_err::read(path) {
            Ok(bytes) => Self::parse(path, &bytes).map(Some),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(CredentialsError::Read { path: path.to_owned(), source: error }),
            },
        }
    }

    /// What the file at `path` holds. Empty is as good as `{}`: so is a file that was just made.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CredentialsError> {
        let path = path.to_owned();
        if bytes.trim_ascii().is_empty() {
            return Ok(Self { path, content: Map::new() });
        }
        // As a value: an error about types would show what is there instead.
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(content)) => Ok(Self { path, content }),
            Ok(other) => Err(CredentialsError::WrongType {
                path,
                key: "the file".to_owned(),
                expected: OBJECT,
                found: kind(&other),
            }),
            Err(source) => Err(CredentialsError::Json { path, source }),
        }
    }

    /// What it says of a repository: its registry's helper first, then what is written here, most
    /// specific first, then the helper for everything.
    pub fn answer(&self, host: &str, repository: &str) -> Result<AuthAnswer, CredentialsError> {
        if let Some(name) = self.helper_of(host)? {
            return Ok(AuthAnswer::Helper(name.to_owned()));
        }
        for (key, entry) in self.entries(host, repository)? {
            if let Some(credentials) = self.credentials(&format!("auths.{key}"), entry)? {
                return Ok(AuthAnswer::Credentials(credentials));
            }
        }
        let helper = self.string(&self.content, "", "credsStore")?;
        Ok(helper.map_or(AuthAnswer::Nothing, |name| AuthAnswer::Helper(name.to_owned())))
    }

    /// The helper that is to keep what belongs to a host, its own or the one for everything.
    pub(super) fn helper(&self, host: &str) -> Result<Option<&str>, CredentialsError> {
        match self.helper_of(host)? {
            Some(name) => Ok(Some(name)),
            None => self.string(&self.content, "", "credsStore"),
        }
    }

    fn helper_of(&self, host: &str) -> Result<Option<&str>, CredentialsError> {
        let Some(helpers) = self.object("credHelpers")? else { return Ok(None) };
        for key in helpers.keys().filter(|key| is_of(key, host)) {
            if let Some(name) = self.string(helpers, "credHelpers.", key)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The entries that are for a repository, the most specific first: those of
    /// `host/namespace/repository`, `host/namespace`, `host` in any of its forms.
    fn entries(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Vec<(&String, &Value)>, CredentialsError> {
        let Some(auths) = self.object("auths")? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        let mut namespace = Some(repository.trim_matches('/')).filter(|name| !name.is_empty());
        while let Some(name) = namespace {
            let keys = names(host).into_iter().map(|host| format!("{host}/{name}"));
            entries.extend(keys.filter_map(|key| auths.get_key_value(&key)));
            namespace = name.rsplit_once('/').map(|(parent, _)| parent);
        }
        // The plain name before docker's older forms.
        let (plain, older): (Vec<_>, Vec<_>) = auths
            .iter()
            .filter(|(key, _)| is_of(key, host))
            .partition(|(key, _)| !key.contains('/'));
        entries.extend(plain.into_iter().chain(older));
        Ok(entries)
    }

    fn credentials(
        &self,
        key: &str,
        entry: &Value,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let entry = match entry {
            Value::Null => return Ok(None),
            Value::Object(entry) => entry,
            other => return Err(self.wrong(key.to_owned(), OBJECT, other)),
        };
        let prefix = format!("{key}.");
        let string = |name: &str| self.string(entry, &prefix, name);
        if let Some(token) = string("identitytoken")? {
            return Ok(Some(Credentials::IdentityToken(token.to_owned())));
        }
        if let Some(token) = string("registrytoken")? {
            return Ok(Some(Credentials::RegistryToken(token.to_owned())));
        }
        if let Some(auth) = string("auth")? {
            let error =
                || CredentialsError::Auth { path: self.path.clone(), key: format!("{key}.auth") };
            return Ok(Some(decoded(auth).ok_or_else(error)?));
        }
        let (username, password) = (string("username")?, string("password")?);
        Ok(username.zip(password).map(|(username, password)| Credentials::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        }))
    }

    pub(super) fn object(
        &self,
        name: &str,
    ) -> Result<Option<&Map<String, Value>>, CredentialsError> {
        match self.content.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(self.wrong(name.to_owned(), OBJECT, other)),
        }
    }

    /// Text that is not empty.
    fn string<'a>(
        &self,
        object: &'a Map<String, Value>,
        prefix: &str,
        name: &str,
    ) -> Result<Option<&'a str>, CredentialsError> {
        match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong(format!("{prefix}{name}"), "text", other)),
        }
    }

    fn wrong(&self, key: String, expected: &'static str, found: &Value) -> CredentialsError {
        CredentialsError::WrongType { path: self.path.clone(), key, expected, found: kind(found) }
    }
}

const OBJECT: &str = "an object";

/// What a value is, and not what it says.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => OBJECT,
    }
}

/// Whether a key stands for a host as a whole.
pub(super) fn is_of(key: &str, host: &str) -> bool {
    host_of(key).is_some_and(|of| same_host(of, host))
}

/// `user:password` in base64. Docker pads some passwords with NUL, and cuts that off again.
fn decoded(auth: &str) -> Option<Credentials> {
    let auth = auth.trim();
    let bytes = BASE64
        .decode(auth.as_bytes())
        .or_else(|_| BASE64_NOPAD.decode(auth.trim_end_matches('=').as_bytes()));
    let text = String::from_utf8(bytes.ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    let password = password.trim_matches('\0');
    if username.is_empty() {
        return None;
    }
    Some(Credentials::Basic { username: username.to_owned(), password: password.to_owned() })
}

/// The other way round.
pub(super) fn encoded(username: &str, password: &str) -> String {
    BASE64.encode(format!("{username}:{password}").as_bytes())
}
