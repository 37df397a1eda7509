//! Passwords kept and forgotten: the storing half of `login` and `logout`.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};

use super::auth_file::{encoded, is_of};
use super::host::key_of;
use super::{AuthFile, Credentials, CredentialsError, Keychain};

/// Where something is kept now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub file: PathBuf,
    /// The program that keeps the secret itself; `None` if it is in the file, where everybody who
    /// can read that can read it.
    pub helper: Option<String>,
}

impl Keychain {
    /// Keeps credentials for a registry: in `REGISTRY_AUTH_FILE`, else `config.json` in
    /// `DOCKER_CONFIG`, else in `~/.docker`; with the helper that this file names, if it does.
    /// Everything else in the file stays.
    pub fn store(&self, host: &str, credentials: &Credentials) -> Result<Kept, CredentialsError> {
        let path = self.login.as_deref().ok_or(CredentialsError::NoPlace)?;
        let mut file = open(path)?;
        let (username, secret) = match credentials {
            Credentials::Basic { username, .. } if username.contains(':') => {
                return Err(CredentialsError::Colon);
            }
            Credentials::Basic { username, password } => (Some(&**username), password),
            Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => (None, token),
        };
        // A helper has no word for a token that is sent as it is.
        let is_for_helper = !matches!(credentials, Credentials::RegistryToken(_));
        let helper = file.helper(host)?.filter(|_| is_for_helper).map(str::to_owned);
        let helper = helper.map(|name| self.helpers.store(path, &name, host, username, secret));
        let helper = helper.transpose()?;
        let entry = match credentials {
            // As docker leaves a note that the helper knows something.
            _ if helper.is_some() => json!({}),
            Credentials::Basic { username, password } => {
                json!({ "auth": encoded(username, password) })
            }
            Credentials::IdentityToken(token) => json!({ "identitytoken": token }),
            Credentials::RegistryToken(token) => json!({ "registrytoken": token }),
        };
        let auths = auths(&mut file)?;
        // Older forms of the same host might be found first.
        let key = key_of(host);
        auths.retain(|other, _| *other == key || !is_of(other, host));
        auths.insert(key, entry);
        write(path, &file)?;
        self.forget();
        Ok(Kept { file: path.to_owned(), helper })
    }

    /// Forgets what [`store`](Self::store) keeps for a registry. `None` if there was nothing.
    pub fn erase(&self, host: &str) -> Result<Option<Kept>, CredentialsError> {
        let path = self.login.as_deref().ok_or(CredentialsError::NoPlace)?;
        let mut file = open(path)?;
        let helper = file.helper(host)?.map(str::to_owned);
        let had = helper.as_ref().map(|name| self.helpers.get(path, name, host)).transpose()?;
        let helper = match (helper, had.flatten()) {
            (Some(name), Some(_)) => Some(self.helpers.erase(path, &name, host)?),
            _ => None,
        };
        let mut is_written = false;
        if file.object("auths")?.is_some() {
            let auths = auths(&mut file)?;
            let before = auths.len();
            auths.retain(|key, _| !is_of(key, host));
            is_written = auths.len() != before;
        }
        if is_written {
            write(path, &file)?;
        }
        self.forget();
        let kept = Kept { file: path.to_owned(), helper };
        Ok(Some(kept).filter(|kept| is_written || kept.helper.is_some()))
    }
}

fn open(path: &Path) -> Result<AuthFile, CredentialsError> {
    match AuthFile::open(path)? {
        Some(file) => Ok(file),
        None => AuthFile::parse(path, b"{}"),
    }
}

fn auths(file: &mut AuthFile) -> Result<&mut Map<String, Value>, CredentialsError> {
    if file.object("auths")?.is_none() {
        file.content.insert("auths".to_owned(), json!({}));
    }
    let auths = file.content.get_mut("auths").and_then(Value::as_object_mut);
    Ok(auths.expect("an object, as was looked up above"))
}

/// Replaces the file in one step by one that only its owner can read. With tabs, as docker writes.
fn write(path: &Path, file: &AuthFile) -> Result<(), CredentialsError> {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    file.content
        .serialize(&mut serializer)
        .map_err(|source| CredentialsError::Json { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    replace(path, &bytes)
        .map_err(|source| CredentialsError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Where the file is a link, what it leads to is replaced.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) => path.to_owned(),
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        // Left behind by a process of the same number that died; with whatever mode it has.
        let _ = fs::remove_file(&temporary);
        let mut out =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&temporary, &path)
    })();
    if written.is_err() {
        // It may not have been made.
        let _ = fs::remove_file(&temporary);
    }
    written
}
